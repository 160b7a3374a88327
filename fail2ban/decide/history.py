# SPDX-License-Identifier: GPL-2.0-or-later
"""How often each id was banned before, and when last.

Source: jail-conf.md sections 5.5 and 10.4.
"""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

from fail2ban.records import Ban, Id

#: Ids remembered at a time; then the one whose last ban was decided first is forgotten.
CAPACITY = 100_000

#: Seconds for which a ban that is over is remembered, at least; thrice its length is added.
AGE = 86400.0


class Past(NamedTuple):
    """What is known of an id.

    Attributes:
        bans: how many there were.
        last: when the last one was decided, seconds since the epoch.
    """

    bans: int = 0
    last: float = 0.0


class History(Protocol):
    """Earlier bans. Any thread; an answer comes at once."""

    def past(self, jail: str | None, id: Id, now: float) -> Past:
        """Return the bans of an id in a section; None: in all of them."""

    def add(self, ban: Ban) -> None:
        """Remember a ban: one more of its section than were known."""

    def forget(self, jail: str | None, id: Id) -> None:
        """Forget the bans of an id in a section; None: in all of them."""


class _Record(NamedTuple):
    """One section's bans of an id; `until`: when they are forgotten, None: never."""

    bans: int
    last: float
    until: float | None


class Memory:
    """A history that ends with the daemon.

    It is bounded in two ways: by the number of ids, and by time. Ids of
    permanent bans are only forgotten when there is no more room.
    """

    def __init__(self, age: float = AGE, capacity: int = CAPACITY) -> None:
        self._age, self._capacity = age, capacity
        # In the order of the last ban: the first is the oldest.
        self._ids: dict[Id, dict[str, _Record]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def past(self, jail: str | None, id: Id, now: float) -> Past:
        """Return the bans of an id in a section; None: in all of them."""
        with self._lock:
            sections = self._ids.get(id, {})
            known = [
                record
                for name, record in sections.items()
                if jail in (None, name) and not _is_over(record, now)
            ]
        if not known:
            return Past()
        return Past(sum(one.bans for one in known), max(one.last for one in known))

    def add(self, ban: Ban) -> None:
        """Remember a ban: one more of its section than were known."""
        until = None
        if ban.end is not None:
            until = ban.start + 3 * max(0.0, ban.end - ban.start) + self._age
        with self._lock:
            sections = self._ids.pop(ban.id, {})
            old = sections.get(ban.jail)
            bans = 0 if old is None or _is_over(old, ban.start) else old.bans
            sections[ban.jail] = _Record(bans + 1, ban.start, until)
            self._ids[ban.id] = sections
            self._make_room(ban.start)

    def forget(self, jail: str | None, id: Id) -> None:
        """Forget the bans of an id in a section; None: in all of them."""
        with self._lock:
            sections = self._ids.get(id, {})
            for name in [name for name in sections if jail in (None, name)]:
                del sections[name]
            if not sections:
                self._ids.pop(id, None)

    def _make_room(self, now: float) -> None:
        """Drop the oldest while they are too old to count, or too many."""
        while self._ids:
            id, sections = next(iter(self._ids.items()))
            old = all(_is_over(record, now) for record in sections.values())
            if not old and len(self._ids) <= self._capacity:
                return
            del self._ids[id]


def _is_over(record: _Record, now: float) -> bool:
    return record.until is not None and record.until < now
