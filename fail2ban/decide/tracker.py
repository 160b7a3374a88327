# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the failures of each id in an exact sliding window.

Source: jail-conf.md section 7.8, whose estimate is not what happens here.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from fail2ban.ledger import Suspect
from fail2ban.records import Failure, Id, Ticket

#: Ids tracked at a time by one section; then the oldest is forgotten.
CAPACITY = 100_000

#: Characters kept of a line that counted; lines kept of an id unless told otherwise.
LINE_LENGTH, LINES = 512, 10


@dataclass(slots=True)
class _Suspect:
    """What one id did.

    Attributes:
        times: in ascending order, each as often as its failure counts.
        lines: the newest failures that still count, last ones last: when, and
            what was written.
    """

    times: list[float] = field(default_factory=list)
    lines: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)


class Tracker:
    """Turn the failures of one section into tickets.

    A ticket is due when `maxretry` failures of an id lie within the last
    `findtime` seconds. Failures are forgotten one by one, as they leave the
    window. Never more than `maxretry` - 1 of an id are remembered, since
    the next one makes a ticket.

    Any thread may call; the lock is held for memory work only.

    Args:
        maxmatches: lines kept of an id; None: `LINES`.

    Attributes:
        capacity: ids that are remembered at most.
        stale: failures not counted because their time was before the window.
        crowded_out: ids forgotten because `capacity` was reached.
    """

    def __init__(
        self,
        maxretry: int,
        findtime: float,
        maxmatches: int | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        self.stale = self.crowded_out = 0
        self.capacity = capacity
        self._dropped: list[Id] = []
        # Kept in the order of the last failure: the first is the oldest.
        self._suspects: dict[Id, _Suspect] = {}
        self._lock = threading.Lock()
        self.limit(maxretry, findtime, maxmatches)

    def __len__(self) -> int:
        return len(self._suspects)

    def limit(self, maxretry: int, findtime: float, maxmatches: int | None = None) -> None:
        """Change the limits; what was counted stays counted."""
        with self._lock:
            self._maxretry, self._findtime = maxretry, findtime
            self._maxmatches = LINES if maxmatches is None else max(0, maxmatches)

    def add(self, failure: Failure, now: float, attempts: int = 1) -> Ticket | None:
        """Count a failure; return the ticket if it was one too many.

        A time in the future is taken for `now`: the writer's clock is ahead.
        The id starts from nothing after its ticket.

        Args:
            attempts: how often it counts, from 1 to `maxretry`.
        """
        with self._lock:
            begin, time = now - self._findtime, min(failure.time, now)
            if time < begin:
                self.stale += 1
                return None
            suspect = self._suspects.pop(failure.id, None) or _Suspect()
            _count(suspect, time, begin, attempts)
            self._keep(suspect, time, begin, failure.lines)
            if len(suspect.times) >= self._maxretry:
                return _ticket(failure, suspect)
            self._suspects[failure.id] = suspect
            self._make_room(begin)
            return None

    def forget(self, now: float) -> None:
        """Drop the ids whose failures have all left the window."""
        with self._lock:
            self._drop_old(now - self._findtime)

    # Beyond the end of the process ---------------------------------------------

    def ids(self) -> list[Id]:
        """Return who is watched."""
        with self._lock:
            return list(self._suspects)

    def suspect(self, id: Id) -> Suspect | None:
        """Return what is remembered of an id; None: nothing."""
        with self._lock:
            if (suspect := self._suspects.get(id)) is None:
                return None
            return Suspect(tuple(suspect.times), tuple(suspect.lines))

    def load(self, suspects: Mapping[Id, Suspect], now: float) -> list[Id]:
        """Take over what an earlier run remembered; return who is not watched any more."""
        begin = now - self._findtime
        by_time = sorted(suspects.items(), key=lambda item: item[1].times[-1:])
        with self._lock:
            for id, (times, lines) in by_time:
                # The writer's clock, or ours, may have been ahead.
                counting = [min(time, now) for time in times if time >= begin]
                if counting and id not in self._suspects:
                    # One failure more makes a ticket, also if the limit is lower now.
                    kept = [(when, text) for when, text in lines if when >= begin]
                    self._suspects[id] = _Suspect(counting, kept)
            self._make_room(begin)
            self._dropped.clear()
            return [id for id in suspects if id not in self._suspects]

    def dropped(self) -> list[Id]:
        """Return who was forgotten since the last call because time passed, or room ran out."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
            return dropped

    # Memory --------------------------------------------------------------------

    def _keep(self, suspect: _Suspect, time: float, begin: float, lines: tuple[str, ...]) -> None:
        """Keep the newest lines of failures that count."""
        if not (most := self._maxmatches):
            suspect.lines = []
            return
        kept = [(when, old) for when, old in suspect.lines if when >= begin]
        kept.append((time, tuple(line[:LINE_LENGTH] for line in lines[-most:])))
        while sum(len(old) for _, old in kept[1:]) >= most:
            del kept[0]
        surplus = sum(len(old) for _, old in kept) - most
        if surplus > 0:
            kept[0] = kept[0][0], kept[0][1][surplus:]
        suspect.lines = kept

    def _drop_old(self, begin: float) -> None:
        # The order is that of arrival. Lines of a slow log may be older than
        # those before them; they only wait a little longer at the end.
        while self._suspects:
            oldest = next(iter(self._suspects))
            if self._suspects[oldest].times[-1] >= begin:
                return
            self._drop(oldest)

    def _make_room(self, begin: float) -> None:
        if len(self._suspects) <= self.capacity:
            return
        self._drop_old(begin)
        while len(self._suspects) > self.capacity:
            self._drop(next(iter(self._suspects)))
            self.crowded_out += 1

    def _drop(self, id: Id) -> None:
        del self._suspects[id]
        self._dropped.append(id)


def _count(suspect: _Suspect, time: float, begin: float, attempts: int) -> None:
    """Add one failure and drop those before `begin`."""
    where = bisect_right(suspect.times, time)
    suspect.times[where:where] = [time] * attempts
    del suspect.times[: bisect_left(suspect.times, begin)]


def _ticket(failure: Failure, suspect: _Suspect) -> Ticket:
    return Ticket(
        jail=failure.jail,
        ip=failure.ip,
        failures=len(suspect.times),
        time=suspect.times[-1],
        lines=tuple(line for _, lines in suspect.lines for line in lines),
        fid=failure.fid,
        groups=failure.groups,
        seen=failure.seen,
    )
