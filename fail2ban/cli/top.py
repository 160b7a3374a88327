# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `fail2ban-client top`: a live view of what the daemon does."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live

from fail2ban.cli.flags import DONE, Flags
from fail2ban.cli.output import json_text
from fail2ban.cli.questions import named, stream
from fail2ban.cli.rates import Rates
from fail2ban.cli.topframe import counters, frame
from fail2ban.errors import Fail2BanError
from fail2ban.records import Settings

#: Seconds between two looks.
PAUSE = 1.0
#: Columns where there is no terminal.
_WIDTH = 160
#: Events that are remembered; more do not fit on a terminal.
_EVENTS = 100
#: Those that are shown; failures are too many, and the table counts them.
_KINDS = (
    "decided banned rebanned ban_failed prolonged unbanned repealed alarm jail expired"
).split()
_ONCE = "--once"
_USAGE = f"expected top [{_ONCE}]"

Object = Mapping[str, Any]


def run(flags: Flags, daemon: Settings, words: Sequence[str]) -> int:
    """Show it until q or Ctrl-C; with `--once`, or if nobody sits there, once.

    Raises:
        Fail2BanError: the daemon does not tell, or not any more.
    """
    if list(words[1:]) not in ([], [_ONCE]):
        raise Fail2BanError(_USAGE)
    if flags.json:
        print(json_text(_look(daemon)))
    elif _ONCE in words or not sys.stdout.isatty():
        _show_once(daemon)
    else:
        with contextlib.suppress(KeyboardInterrupt):
            _show(daemon)
    return DONE


def _look(daemon: Settings) -> Object:
    return named(daemon, ["health"], "health")


def _show_once(daemon: Settings) -> None:
    """Look twice, since rates take that."""
    rates = Rates()
    rates.look(time.monotonic(), counters(_look(daemon)))
    time.sleep(PAUSE)
    health = _look(daemon)
    rates.look(time.monotonic(), counters(health))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(frame(health, rates, (), len(health["jails"]) + 10))


def _show(daemon: Settings) -> None:
    """Look again and again, on the whole terminal."""
    rates, events = Rates(), deque[Object](maxlen=_EVENTS)
    follow = threading.Thread(target=_follow, args=(daemon, events), daemon=True)
    follow.start()
    console = Console(highlight=False)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            health = _look(daemon)
            rates.look(time.monotonic(), counters(health))
            live.update(frame(health, rates, tuple(events), console.height), refresh=True)
            if pressed(PAUSE) in ("q", "Q"):
                return


def _follow(daemon: Settings, events: deque[Object]) -> None:
    """Collect what happens, until the daemon hangs up; the body of a thread.

    Why it does is told by the next look. Without events the rest is worth seeing, too.
    """
    words = ["watch", *(word for kind in _KINDS for word in ("--kind", kind))]
    with contextlib.suppress(Fail2BanError):
        for line in stream(daemon, words):
            events.append(json.loads(line))


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Give keys as they are pressed, instead of lines; yields a function that waits for one.

    It gets the seconds to wait, and returns the key; an empty text: none.
    """
    if not sys.stdin.isatty():
        yield _no_key
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return os.read(terminal, 1).decode("ascii", "replace") if ready else ""

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""
