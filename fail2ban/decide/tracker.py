# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the failures of each id in an exact sliding window.

Source: jail-conf.md section 7.8, whose estimate is not what happens here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from fail2ban.decide import suspicion
from fail2ban.decide.keys import Key, id_of, key
from fail2ban.decide.suspicion import Suspicion, Text
from fail2ban.ledger import Suspect
from fail2ban.records import Failure, Id, Ticket

#: Ids tracked at a time by one section; then the oldest is forgotten.
CAPACITY = 100_000

#: Characters kept of a line that counted; lines kept of an id unless told otherwise.
LINE_LENGTH, LINES = 512, 10

#: While more ids than that are tracked, only so much is kept of the first line of one
#: that fails: many who fail once are not to fill the memory with what they wrote.
CROWD, CROWD_LENGTH = 10_000, 200


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
        # Kept in the order of the last failure: the first is the oldest.
        self._suspicions: dict[Key, Suspicion] = {}
        self._changed: set[Key] = set()
        self._lock = threading.Lock()
        self.limit(maxretry, findtime, maxmatches)

    def __len__(self) -> int:
        return len(self._suspicions)

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
            begin, most = now - self._findtime, self._maxmatches
            time = failure.time if failure.time < now else now
            if time < begin:
                self.stale += 1
                return None
            who = key(failure.ip if failure.fid is None else failure.fid)
            old = self._suspicions.pop(who, ())
            self._changed.add(who)
            found = suspicion.more(old, time, begin, self._kept(old, failure.lines), most, attempts)
            if len(found) >= 2 * self._maxretry:
                text = suspicion.text_of(failure.lines, most, LINE_LENGTH)
                return _ticket(
                    failure, suspicion.more(old, time, begin, text, most, attempts), most
                )
            self._suspicions[who] = found
            if len(self._suspicions) > self.capacity:
                self._make_room(begin)
            return None

    def forget(self, now: float) -> None:
        """Drop the ids whose failures have all left the window."""
        with self._lock:
            self._drop_old(now - self._findtime)

    # Beyond the end of the process ---------------------------------------------

    def suspect(self, id: Id) -> Suspect | None:
        """Return what is remembered of an id; None: nothing."""
        with self._lock:
            return self._stored(key(id))

    def load(self, suspects: Mapping[Id, Suspect], now: float) -> None:
        """Take over what an earlier run remembered; who is not watched any more has changed."""
        begin = now - self._findtime
        by_time = sorted(suspects.items(), key=lambda item: item[1].times[-1:])
        with self._lock:
            for id, suspect in by_time:
                # The writer's clock, or ours, may have been ahead. One failure more makes
                # a ticket, also if the limit is lower now.
                found, who = suspicion.read(suspect, begin, now), key(id)
                if not found:
                    self._changed.add(who)
                elif who not in self._suspicions:
                    self._suspicions[who] = found
            self._make_room(begin)

    def touch(self, ids: Iterable[Id] | None = None) -> None:
        """Take some ids, or all that are watched, for changed."""
        with self._lock:
            self._changed.update(self._suspicions if ids is None else map(key, ids))

    def changed(self) -> dict[Id, Suspect | None]:
        """Return what is remembered of those that have changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return {id_of(who): self._stored(who) for who in changed}

    # Memory --------------------------------------------------------------------

    def _kept(self, old: Suspicion, lines: tuple[str, ...]) -> Text:
        """Return what is kept of the lines of a failure that makes no ticket."""
        if len(self._suspicions) < CROWD:
            return suspicion.text_of(lines, self._maxmatches, LINE_LENGTH)
        return None if old else suspicion.text_of(lines, min(1, self._maxmatches), CROWD_LENGTH)

    def _drop_old(self, begin: float, surplus: int = 0) -> int:
        """Drop the oldest while they have left the window, or are too many; return how many."""
        # The order is that of arrival. Lines of a slow log may be older than
        # those before them; they only wait a little longer at the end.
        gone: list[Key] = []
        for who, found in self._suspicions.items():
            if found[-2] >= begin and len(gone) >= surplus:
                break
            gone.append(who)
        for who in gone:
            self._drop(who)
        return len(gone)

    def _make_room(self, begin: float) -> None:
        """Drop those that have left the window; if that is not enough, the oldest others.

        Some more than must be: where a dict begins with what was dropped, it takes long
        to find its first key.
        """
        self._drop_old(begin)
        if (surplus := len(self._suspicions) - self.capacity) > 0:
            self.crowded_out += self._drop_old(begin, surplus + self.capacity // 100)

    def _drop(self, who: Key) -> None:
        del self._suspicions[who]
        self._changed.add(who)

    def _stored(self, who: Key) -> Suspect | None:
        found = self._suspicions.get(who)
        return None if found is None else suspicion.stored(found)


def _ticket(failure: Failure, found: Suspicion, most: int) -> Ticket:
    return Ticket(
        failure.jail,
        failure.ip,
        len(found) // 2,
        found[-2],
        suspicion.written(found, most),
        failure.fid,
        failure.groups,
        failure.seen,
    )
