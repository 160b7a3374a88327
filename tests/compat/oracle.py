# SPDX-License-Identifier: GPL-2.0-or-later
"""Answer what the peer's engine makes of lines: runs inside the peer's Python.

A program of its own, started by `peer.py`. It drives the peer as a black box,
through what its classes offer: a filter is read, the commands that it would
send to its server are given to a filter object, and lines to that. Requests
and answers are JSON, one a line.

Source: samples.md section 2 (the scene), jail-conf.md sections 5.8, 7 and 9.3.
"""

from __future__ import annotations

import importlib
import json
import logging
import signal
import sys
from typing import Any

#: What a failure holds besides what patterns captured.
BOOKKEEPING = {"matches", "nofail", "ip", "fid"}
FAMILIES = {"any": "", "inet4": "family=inet4", "inet6": "family=inet6"}
#: How the peer hands an entry of the journal over: its time is known.
JOURNAL_DATE = "2005-08-14T10:00:00"

Commands = list[list[Any]]


class TooSlow(BaseException):
    """A line took longer than allowed; no `except Exception` may catch it."""


class Engine:
    """The peer's classes, with its clock stopped.

    Args:
        packages: the folder that holds its Python package.
        now: what its clock shows, seconds since the epoch.
    """

    def __init__(self, packages: str, now: float) -> None:
        sys.path.insert(0, packages)
        self._filter_reader = importlib.import_module("fail2ban.client.filterreader").FilterReader
        self._filter = importlib.import_module("fail2ban.server.filter").Filter
        self._action = importlib.import_module("fail2ban.server.action").CommandAction
        clock = importlib.import_module("fail2ban.server.mytime").MyTime
        logging.disable(logging.CRITICAL)
        clock.setAlternateNow(now)
        clock.setTime(now)
        self._feeds: list[list[Any]] = []

    def filter(self, request: dict[str, Any]) -> dict[str, Any]:
        """Give lines to a filter: `base`, `name`, `options`, `feeds`, `seconds`.

        A feed is a text and its time, or null; without `feeds` they are those
        of the request before. A line may take `seconds` of processor time.
        `found` has the number of each line that yields something, and what;
        null for a line that took too long.
        """
        reader = self._filter_reader(
            request["name"], request["name"], request["options"], basedir=request["base"]
        )
        commands = _commands(reader)
        made = self._make(commands)
        self._feeds = request.get("feeds", self._feeds)
        answers = (_answer(made, text, at, request["seconds"]) for text, at in self._feeds)
        found = [[number, got] for number, got in enumerate(answers) if got != []]
        return {"commands": commands, "found": found}

    def texts(self, request: dict[str, Any]) -> dict[str, Any]:
        """Fill in the options of actions, `actions`, as it is done for a ban of each family."""
        return {"texts": [self._texts(options) for options in request["actions"]]}

    def _texts(self, options: dict[str, Any]) -> dict[str, dict[str, str]]:
        return {
            name: {
                family: self._action.replaceTag(text, options, conditional=condition)
                for family, condition in FAMILIES.items()
            }
            for name, text in options.items()
            if isinstance(text, str) and "?" not in name
        }

    def _make(self, commands: Commands) -> Any:
        """Return a filter object as the sample suite has it, with these commands done."""
        made = self._filter(None, useDns="raw")
        made.returnRawHost, made.checkFindTime, made.active = True, False, True
        setters = {
            "addfailregex": made.addFailRegex,
            "addignoreregex": made.addIgnoreRegex,
            "datepattern": made.setDatePattern,
            "maxlines": made.setMaxLines,
            "prefregex": lambda text: setattr(made, "prefRegex", text),
        }
        for how, _, what, *rest in commands:
            for value in rest[0] if how == "multi-set" else rest:
                if what in setters:
                    setters[what](value)
        return made


def _commands(reader: Any) -> Commands:
    if not reader.read():
        raise ValueError("cannot be read")
    reader.getOptions(None)
    return [list(command) for command in reader.convert()]


def _answer(made: Any, text: str, at: float | None, seconds: float) -> list[Any] | None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        if at is None:
            found = made.processLine(text)
        else:
            found = made.processLine(("", JOURNAL_DATE, text), at)
    except TooSlow:
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return [_plain(*failure) for failure in found]


def _plain(regex: int, fid: Any, time: float | None, groups: dict[str, Any]) -> dict[str, Any]:
    captured = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in groups.items()
        if value is not None and name not in BOOKKEEPING
    }
    return {
        "regex": regex,
        "fid": None if fid is None else str(fid),
        "ip": None if groups.get("ip") is None else str(groups["ip"]),
        "time": time,
        "nofail": bool(groups.get("nofail")),
        "lines": ["".join(line) for line in groups.get("matches") or ()],
        "groups": captured,
    }


def _too_slow(number: int, frame: object) -> None:
    raise TooSlow


def main() -> None:
    """Answer the requests of standard input, each by the method that `do` names."""
    packages, now = sys.argv[1:]
    signal.signal(signal.SIGPROF, _too_slow)
    engine = Engine(packages, float(now))
    handlers = {"filter": engine.filter, "texts": engine.texts}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = handlers[request["do"]](request)
        except Exception as error:  # whatever is wrong, the tests are to see it
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
