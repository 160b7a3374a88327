# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-client`: asks the running daemon, and starts and ends it.

`fail2ban-server` with a command does the same.
Source: jail-conf.md sections 12.1 to 12.3.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence

from fail2ban import __version__
from fail2ban.cli import starting, tasks
from fail2ban.cli.beautify import beautify
from fail2ban.cli.client_usage import USAGE
from fail2ban.cli.connection import Refusal, ask
from fail2ban.cli.flags import DONE, FAILED, Flags, Program, fail
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
            _log(str(error))
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
                return _show(flags, words, _OWN[words[0]](flags, daemon))
        sent, timeout = _to_send(words)
        return _show(flags, sent, ask(daemon.socket, sent, timeout))
    except Refusal as refusal:
        _show_refusal(flags, refusal)
    except Fail2BanError as error:
        _log(str(error))
    return FAILED


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


# What is shown ----------------------------------------------------------------


def _show(flags: Flags, words: Sequence[str], result: object) -> int:
    if flags.json:
        print(_json(result))
    else:
        print(beautify(words, result, fancy="utf" in (sys.stdout.encoding or "").lower()))
    return DONE


def _show_refusal(flags: Flags, refusal: Refusal) -> None:
    if flags.json:
        print(_json({"error": str(refusal), "kind": refusal.kind}))
    else:
        for line in str(refusal).split("\n"):
            print(printable(line))
    _log(f"NOK: ({str(refusal)!r},)")


def _json(result: object) -> str:
    """Write JSON that no terminal obeys; DEL is the one thing that it leaves as it is."""
    return json.dumps(result).replace("\x7f", "\\u007f")


def _log(text: str) -> None:
    """Write an error as a line of a log."""
    sys.stdout.flush()  # so that the answers of a dialogue stay in their order
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    head = f"{stamp},{int(now % 1 * 1000):03d} {'fail2ban':<23} [{os.getpid()}]: ERROR  "
    for line in text.split("\n"):
        print(f"{head} {printable(line)}", file=sys.stderr)
