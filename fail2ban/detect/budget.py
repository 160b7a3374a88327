# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the patterns may take for one line (promise D3).

`re` holds the interpreter's lock while it searches, and can only be
interrupted by a signal handler, which Python runs on the main thread. So that
is where searching is done; the lock would let only one thread search at a time
anyway. Elsewhere (in tests, say) a search takes as long as it takes.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from threading import get_ident
from typing import TypeVar, TypeVarTuple

from fail2ban.errors import Fail2BanError

Args = TypeVarTuple("Args")
T = TypeVar("T")

#: Seconds of processor time that one line may cost at first, and once lines of
#: its section have exceeded that again and again.
FIRST, LEAST = 0.5, 0.02
#: Seconds of processor time before one who has not ended is told once more. Long
#: enough for everybody to clear up behind himself.
AGAIN = 0.1
#: Seconds of processor time between two looks at the clock.
TICK = 0.01


class OutOfTime(Fail2BanError):
    """The patterns took too long."""


class _Watch:
    """The one search that runs on the main thread, and what it may cost.

    Attributes:
        seconds: what it may cost; None while there is none.
        start: the time of its first tick: most searches end before, and need no clock.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.start: float | None = None
        self.thread: int | None = None  # where searches can be interrupted
        self.ticking = False

    def tick(self, number: int, frame: object) -> None:
        if self.seconds is None:
            return
        # The time of this thread: others may work while ours waits for the lock.
        now = time.thread_time()
        if self.start is None:
            self.start = now
        elif now - self.start >= self.seconds:
            # Python drops what is raised while a generator is closed: then once more.
            self.start = now + AGAIN - self.seconds
            raise OutOfTime("the patterns took too long")


_watch = _Watch()


def install() -> None:
    """Make searches on the main thread interruptible; called on the main thread."""
    signal.signal(signal.SIGPROF, _watch.tick)
    _watch.thread = get_ident()


@contextlib.contextmanager
def ticking() -> Iterator[None]:
    """Keep the clock of `limited` running, which makes many short calls cheaper."""
    if _watch.ticking or get_ident() != _watch.thread:
        yield
        return
    try:
        _watch.ticking = True
        signal.setitimer(signal.ITIMER_PROF, TICK, TICK)
        yield
    finally:
        # Nothing is limited here, so no tick can interrupt this.
        signal.setitimer(signal.ITIMER_PROF, 0)
        _watch.ticking = False


def limited(seconds: float, function: Callable[[*Args], T], *args: *Args) -> T:
    """Return what `function` returns, unless it takes more processor time than `seconds`.

    It may be interrupted anywhere, so it must not change anything that lasts.

    Raises:
        OutOfTime: it took longer; only on the main thread, after `install`.
    """
    watch = _watch
    if get_ident() != watch.thread:
        return function(*args)
    if not watch.ticking:
        with ticking():
            return limited(seconds, function, *args)
    watch.start = None
    try:
        watch.seconds = seconds
        return function(*args)
    finally:
        watch.seconds = None


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Let a part of what is `limited` take its time.

    For what must not be interrupted: `logging` would keep its lock for ever.
    """
    if get_ident() != _watch.thread:
        yield
        return
    seconds, _watch.seconds = _watch.seconds, None
    try:
        yield
    finally:
        _watch.seconds = seconds


class Allowance:
    """What the lines of one section may cost.

    A line that exceeds it may be one of many that somebody sends us: each halves
    what the next may cost. Time makes good.

    Args:
        clock: seconds that only go forward.
    """

    _RECOVERY = 60.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._strikes = 0
        self._last = 0.0

    @property
    def seconds(self) -> float:
        if not self._strikes:
            return FIRST
        if self._clock() - self._last > self._RECOVERY:
            self._strikes = 0
        return max(LEAST, FIRST * 0.5**self._strikes)

    def exceeded(self) -> None:
        """Note that a line has cost more."""
        self._strikes = min(self._strikes + 1, 10)
        self._last = self._clock()
