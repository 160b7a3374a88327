# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `fail2ban-client replay`: what would have become of old logs.

It needs no daemon and runs nothing: no command of an action, no `ignorecommand`, no
mail; nothing is stored. Only with --resolve are name servers asked.
"""

from __future__ import annotations

import functools
import getopt
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fail2ban.cli.flags import DONE, FAILED, Flags
from fail2ban.cli.output import json_text
from fail2ban.cli.regex_progress import bar
from fail2ban.cli.regex_run import resolve
from fail2ban.cli.replay_court import Decision, Kind, Trial
from fail2ban.cli.replay_jails import Readings, choose
from fail2ban.cli.replay_logs import OldLog
from fail2ban.cli.replay_report import as_data, decision_line, report
from fail2ban.cli.replay_run import Case, Resolve, Stream
from fail2ban.cli.replay_run import run as replay
from fail2ban.cli.replay_tally import JailTally
from fail2ban.decide.hosts import look_up
from fail2ban.detect import budget
from fail2ban.errors import Fail2BanError
from fail2ban.records import Settings
from fail2ban.text import printable

_LONG = ("jail=", "list", "verbose", "resolve", "json")
_LISTED: frozenset[Kind] = frozenset({"banned", "unbanned", "expired"})
_USAGE = "expected replay [--jail JAIL]... [--list | --verbose] [--resolve] FILE..."


@dataclass(frozen=True)
class Wishes:
    """What the words behind `replay` say.

    Attributes:
        logs: files, or "-" for standard input.
        jails: that read all of them; none: as the names of the files say.
        verbosity: 0: only the report; 1: a line for each ban and its end; 2: for
            each failure, too.
        resolve: look up host names.
        json: print JSON.
    """

    logs: tuple[str, ...]
    jails: tuple[str, ...] = ()
    verbosity: int = 0
    resolve: bool = False
    json: bool = False


def run(flags: Flags, daemon: Settings, words: Sequence[str]) -> int:
    """Carry out the command; return the exit status: FAILED if a log breaks off.

    Raises:
        Fail2BanError: it makes no sense, or a log or the configuration cannot be read.
    """
    wishes = parse(words[1:])
    if flags.json:
        wishes = replace(wishes, json=True)
    if wishes.json and wishes.verbosity:
        raise Fail2BanError("--json tells every ban already; expected it without --list")
    _log_safely()
    logs = _opened(wishes.logs)
    readings = choose(flags, wishes.jails, [log.name for log in logs.values()])
    tallies = _replayed(wishes, readings, {log.name: log for log in logs.values()})
    notes = [*readings.notes, *_notes(wishes, readings)]
    if wishes.json:
        print(json_text(as_data(tallies, notes)))
    else:
        for line in report(tallies, notes):
            print(line)
    whole = not any(log.problem for tally in tallies for log in tally.logs)
    return DONE if whole else FAILED


def parse(words: Sequence[str]) -> Wishes:
    """Read the words behind `replay`.

    Raises:
        Fail2BanError: they make no sense.
    """
    try:
        given, logs = getopt.gnu_getopt(list(words), "v", list(_LONG))
    except getopt.GetoptError as error:
        raise Fail2BanError(f"replay: {error}; {_USAGE}") from None
    if not logs:
        raise Fail2BanError(f"replay: no log is named; {_USAGE}")
    flags = [flag for flag, _ in given]
    return Wishes(
        logs=tuple(logs),
        jails=tuple(value for flag, value in given if flag == "--jail"),
        verbosity=2 if {"-v", "--verbose"} & set(flags) else int("--list" in flags),
        resolve="--resolve" in flags,
        json="--json" in flags,
    )


def _opened(names: Sequence[str]) -> dict[tuple[int, int], OldLog]:
    """Open logs; one that is given twice is read once."""
    logs: dict[tuple[int, int], OldLog] = {}
    for name in dict.fromkeys(names):
        log = OldLog(name)
        logs.setdefault(log.ident, log)
    return logs


def _replayed(wishes: Wishes, readings: Readings, logs: dict[str, OldLog]) -> list[JailTally]:
    budget.install()
    tallies: dict[str, JailTally] = {}

    def tell(decision: Decision) -> None:
        tallies[decision.jail].add(decision)
        if wishes.verbosity > 1 or (wishes.verbosity and decision.kind in _LISTED):
            print(decision_line(decision))

    ask = look_up if wishes.resolve else None
    trial = Trial(
        [one.settings for one in readings.each], tell, readings.age, ask, lines=wishes.json
    )
    size = sum(logs[name].size for one in readings.each for name in one.logs)
    with bar(size, writes=wishes.verbosity > 0) as advance:
        streams = _streams(wishes, readings, logs, trial, advance, tallies)
        replay(streams, trial)
    if wishes.verbosity:
        print()
    return list(tallies.values())


def _streams(
    wishes: Wishes,
    readings: Readings,
    logs: dict[str, OldLog],
    trial: Trial,
    advance: Callable[[int], None],
    tallies: dict[str, JailTally],
) -> list[Stream]:
    names: Resolve | None = None
    if wishes.resolve:
        names = functools.lru_cache(maxsize=1000)(functools.partial(resolve, look_up))
    streams = []
    for one in readings.each:
        case = Case(one.settings, one.filter, trial, names)
        tallies[one.settings.name] = case.tally
        streams += [Stream(logs[name], case, advance) for name in one.logs]
    return streams


def _notes(wishes: Wishes, readings: Readings) -> list[str]:
    """Say what was not asked, where that may make a difference."""
    notes = []
    for one in readings.each:
        ignore = one.settings.ignore
        if ignore.command:
            notes.append(f"{one.settings.name}: ignorecommand was not run")
        if ignore.names and not wishes.resolve:
            listed = ", ".join(ignore.names)
            notes.append(
                f"{one.settings.name}: names in ignoreip were not looked up ({listed});"
                " --resolve does"
            )
    return notes


class _Printable(logging.Formatter):
    """One line that no terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _log_safely() -> None:
    """Show what filters and judges complain of."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
