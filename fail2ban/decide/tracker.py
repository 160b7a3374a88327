# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the failures of each address in an exact sliding window."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from fail2ban.records import Address, Failure, Ticket

#: Addresses tracked at a time by one section; then the oldest is forgotten.
CAPACITY = 100_000

#: Characters kept of a line that counted, and lines kept of an address.
LINE_LENGTH, LINES = 512, 10


@dataclass(slots=True)
class _Suspect:
    """What one address did: times in ascending order, newest lines last."""

    times: list[float] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class Tracker:
    """Turn the failures of one section into tickets.

    A ticket is due when `maxretry` failures of an address lie within the last
    `findtime` seconds. Failures are forgotten one by one, as they leave the
    window. Never more than `maxretry` - 1 of an address are remembered, since
    the next one makes a ticket.

    Any thread may call; the lock is held for memory work only.

    Attributes:
        stale: failures not counted because their time was before the window.
        crowded_out: addresses forgotten because `capacity` was reached.
    """

    def __init__(self, maxretry: int, findtime: float, capacity: int = CAPACITY) -> None:
        self.stale = self.crowded_out = 0
        self._maxretry, self._findtime, self._capacity = maxretry, findtime, capacity
        # Kept in the order of the last failure: the first is the oldest.
        self._suspects: dict[Address, _Suspect] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._suspects)

    def limit(self, maxretry: int, findtime: float) -> None:
        """Change the limits; what was counted stays counted."""
        with self._lock:
            self._maxretry, self._findtime = maxretry, findtime

    def add(self, failure: Failure, now: float) -> Ticket | None:
        """Count a failure; return the ticket if it was one too many.

        A time in the future is taken for `now`: the writer's clock is ahead.
        The address starts from nothing after its ticket.
        """
        with self._lock:
            begin, time = now - self._findtime, min(failure.time, now)
            if time < begin:
                self.stale += 1
                return None
            suspect = self._suspects.pop(failure.ip, None) or _Suspect()
            _remember(suspect, time, failure.line, begin)
            if len(suspect.times) >= self._maxretry:
                return _ticket(failure, suspect)
            self._suspects[failure.ip] = suspect
            self._make_room(begin)
            return None

    def forget(self, now: float) -> None:
        """Drop the addresses whose failures have all left the window."""
        with self._lock:
            self._drop_old(now - self._findtime)

    def _drop_old(self, begin: float) -> None:
        # The order is that of arrival. Lines of a slow log may be older than
        # those before them; they only wait a little longer at the end.
        while self._suspects:
            oldest = next(iter(self._suspects))
            if self._suspects[oldest].times[-1] >= begin:
                return
            del self._suspects[oldest]

    def _make_room(self, begin: float) -> None:
        if len(self._suspects) <= self._capacity:
            return
        self._drop_old(begin)
        while len(self._suspects) > self._capacity:
            del self._suspects[next(iter(self._suspects))]
            self.crowded_out += 1


def _remember(suspect: _Suspect, time: float, line: str, begin: float) -> None:
    """Add one failure and drop those before `begin`."""
    insort(suspect.times, time)
    del suspect.times[: bisect_left(suspect.times, begin)]
    suspect.lines.append(line[:LINE_LENGTH])
    del suspect.lines[: -min(LINES, len(suspect.times))]


def _ticket(failure: Failure, suspect: _Suspect) -> Ticket:
    return Ticket(
        jail=failure.jail,
        ip=failure.ip,
        failures=len(suspect.times),
        time=suspect.times[-1],
        lines=tuple(suspect.lines),
    )
