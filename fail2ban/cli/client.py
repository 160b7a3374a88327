# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-client`: asks the running daemon, and starts and ends it.

`fail2ban-server` with a command does the same.
Source: jail-conf.md sections 12.1 to 12.3.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from fail2ban import __version__
from fail2ban.cli import health, starting, tasks
from fail2ban.cli.beautify import beautify
from fail2ban.cli.client_usage import USAGE
from fail2ban.cli.connection import Refusal
from fail2ban.cli.flags import DONE, FAILED, Flags, Program, fail
from fail2ban.cli.output import json_text, log_error
from fail2ban.cli.questions import answer
from fail2ban.errors import Fail2BanError
from fail2ban.records import Settings
from fail2ban.text import printable

CLIENT = Program("fail2ban-client", USAGE, ("json",))
_PROMPT = "fail2ban> "


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    return tasks.run_program(CLIENT, arguments, follow)


def follow(flags: Flags) -> int:
    """Do what the words of the command line say, or hold a dialogue; return the exit status."""
    try:
        status = _follow(flags)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # nobody reads on, as in `banned | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:  # such as a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return fail(flags.program, str(error))


def _follow(flags: Flags) -> int:
    if not flags.words and not flags.dialogue:
        print(flags.program.usage)
        return FAILED
    daemon = flags.daemon()
    if flags.dialogue:
        return _dialogue(flags, daemon)
    return _command(flags, daemon, flags.words)


def _dialogue(flags: Flags, daemon: Settings) -> int:
    """Follow the commands that somebody types, or another program writes."""
    if sys.stdin.isatty():
        import readline  # noqa: F401  # only to be there: it lets `input` edit lines

        print(f"Fail2Ban v{__version__}; help shows the commands, exit ends")
    while True:
        try:
            words = shlex.split(input(_PROMPT))
        except EOFError:
            print()
            return DONE
        except ValueError as error:  # a quote is not closed
            log_error(str(error))
            continue
        if words in (["exit"], ["quit"]):
            return DONE
        if words:
            _command(flags, daemon, words)


def _command(flags: Flags, daemon: Settings, words: Sequence[str]) -> int:
    """Carry out one command; print its result, or why there is none."""
    try:
        match words:
            case ["help"]:
                print(flags.program.usage)
                return DONE
            case ["start"] | ["stop"] | ["restart"]:
                done = _OWN[words[0]](flags, daemon)
                return _show(flags, words, _versioned(done) if flags.json else done)
        if words[0] in OURS:
            run: Run = importlib.import_module(OURS[words[0]]).run
            return run(flags, daemon, words)
        sent, timeout = _to_send(words)
        status = _show(
            flags, sent, answer(daemon, sent, _schema() if flags.json else None, timeout)
        )
        if not flags.json:
            health.remark(daemon, sent)
        return status
    except Refusal as refusal:
        _show_refusal(flags, refusal)
    except Fail2BanError as error:
        log_error(str(error))
    return FAILED


#: Does what the words say, the command's name first; returns the exit status.
Run = Callable[[Flags, Settings, Sequence[str]], int]
#: Command -> the module that does all of it, with a function `run`; imported when needed.
OURS = {
    "replay": "fail2ban.cli.replay",
    "top": "fail2ban.cli.top",
    "watch": "fail2ban.cli.watch",
    "why": "fail2ban.cli.why",
    "why-not": "fail2ban.cli.why",
}

_OWN: dict[str, Callable[[Flags, Settings], object]] = {
    "start": starting.start,
    "stop": starting.stop,
    "restart": starting.restart,
}


def _to_send(words: Sequence[str]) -> tuple[list[str], float | None]:
    """Return the words that the daemon understands, and how long it may think."""
    match words:
        case ["restart", *rest]:
            return ["reload", "--restart", *rest], None
        case ["ping", seconds]:
            return ["ping"], _seconds(seconds)
    return list(words), None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise Fail2BanError(f"{text!r} is no time to wait; expected seconds, as in ping 3")
    return seconds


def _schema() -> int:
    """Return the number of the schema that programs get; imported for them only."""
    from fail2ban.control.schema import VERSION

    return VERSION


def _versioned(result: object) -> dict[str, object]:
    return {"schema": _schema(), "result": result}


# What is shown ----------------------------------------------------------------


def _show(flags: Flags, words: Sequence[str], result: object) -> int:
    if flags.json:
        print(json_text(result))
    else:
        print(beautify(words, result, fancy="utf" in (sys.stdout.encoding or "").lower()))
    return DONE


def _show_refusal(flags: Flags, refusal: Refusal) -> None:
    if flags.json:
        print(json_text({"error": str(refusal), "kind": refusal.kind}))
    else:
        for line in str(refusal).split("\n"):
            print(printable(line))
    log_error(f"NOK: ({str(refusal)!r},)")
