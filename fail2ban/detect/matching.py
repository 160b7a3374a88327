# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines -> what the patterns say of them, a chunk at a time on the main thread.

One line that takes too long costs that line (promise D3), and a chunk of them
does not keep the main thread from what else it has to do.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from fail2ban.detect.budget import FIRST, OutOfTime, ticking
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.match import Line, Match, Unfinished
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Lines that are handed over at once, and characters of them.
LINES, SIZE = 256, 256 * 1024
#: Seconds after which the main thread leaves the rest of a chunk for later.
SLICE = 0.005
#: Seconds between two complaints about lines that take too long.
QUIET = 60.0
#: Characters of a line that a complaint shows.
SHOWN = 100

MatchLine = Callable[[Line, float], Match | None]


class Chunks:
    """What is taken from a source and not dealt with yet.

    Attributes:
        lines: to be matched.
        matches: to be dealt with, each with the line that it was found on.
    """

    def __init__(self) -> None:
        self.lines: deque[Line] = deque()
        self.matches: deque[tuple[Match, Line]] = deque()

    def fill(self, batch: Iterator[Line]) -> bool:
        """Take a chunk of lines; tell whether there was anything to take.

        Takes what is there: nobody waits for a chunk to become full.
        """
        size, add = 0, self.lines.append
        for line in islice(batch, LINES - len(self.lines)):
            add(line)
            size += len(line.text)
            if size >= SIZE:
                break
        return bool(self.lines)


class Matching:
    """Has the lines of one section matched on the main thread.

    Args:
        jail: name of the section.
        ticks: seconds that only go forward.

    Attributes:
        given_up: lines that took too long so far.
    """

    def __init__(
        self, jail: str, main: MainThread, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self.given_up = 0
        self._main, self._ticks = main, ticks
        self._complaints = _Complaints(jail, ticks)

    def match(self, chunks: Chunks, match: MatchLine, clock: Callable[[], float]) -> float:
        """Match some of the lines, at least one, and take them away.

        Returns:
            Seconds to wait before the next call. Who has had lines that take too
            long leaves the interpreter to others for as long as he had it.

        Args:
            clock: seconds since the epoch, for `match`.

        Raises:
            Closed: the main thread matches no more; the lines are still there.
        """
        start = self._ticks()
        failed = self._main.call(lambda: self._match(chunks, match, clock))
        rest = min(self._ticks() - start, FIRST) if failed else 0.0
        for line, error in failed:
            self.given_up += 1
            self._complaints.add(line, error)
        return rest

    def idle(self) -> None:
        """Say what is left to be said; called now and then."""
        self._complaints.summarise()

    def _match(
        self, chunks: Chunks, match: MatchLine, clock: Callable[[], float]
    ) -> list[tuple[Line, OutOfTime]]:
        """Do it; on the main thread."""
        failed: list[tuple[Line, OutOfTime]] = []
        ticks, lines = self._ticks, chunks.lines
        end = ticks() + SLICE
        with ticking():
            while lines:
                line = lines.popleft()
                try:
                    if found := match(line, clock()):
                        chunks.matches.append((found, line))
                except Unfinished as error:
                    lines.appendleft(line)
                    if error.first is not None:
                        lines.appendleft(error.first)
                except OutOfTime as error:
                    failed.append((line, error))
                if ticks() >= end:
                    break
        return failed


class _Complaints:
    """What is said of lines that were given up: the first, then a number now and then."""

    def __init__(self, jail: str, ticks: Callable[[], float]) -> None:
        self._jail, self._ticks = jail, ticks
        self._said: float | None = None
        self._unsaid = 0

    def add(self, line: Line, error: OutOfTime) -> None:
        self.summarise()
        if self._said is not None:
            self._unsaid += 1
            return
        self._said = self._ticks()
        text = printable(line.text[:SHOWN]) + ("..." if len(line.text) > SHOWN else "")
        reason = str(error).removeprefix(f"[{self._jail}] ") or "the patterns took too long"
        log.warning("[%s] a line is given up (%s): %s", self._jail, reason, text)

    def summarise(self) -> None:
        """Say how many lines there were meanwhile, if it is time."""
        if self._said is None or self._ticks() - self._said < QUIET:
            return
        self._said = None
        if self._unsaid:
            text = "[%s] more lines were given up, since the patterns took too long: %d"
            log.warning(text, self._jail, self._unsaid)
            self._said, self._unsaid = self._ticks(), 0
