# SPDX-License-Identifier: GPL-2.0-or-later
"""How often each id was banned before, and when last.

Source: jail-conf.md sections 5.5 and 10.4.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from fail2ban.ledger import Record
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

    def forget(self, jail: str, id: Id) -> None:
        """Forget the bans of an id in a section."""

    def record(self, jail: str, id: Id) -> Record | None:
        """Return what is to be stored of an id in a section; None: nothing."""

    def ids(self, jail: str) -> list[Id]:
        """Return who was ever banned by a section, and is remembered."""


class Memory:
    """The history of all sections, in memory: its records are kept by the store.

    It is bounded in two ways: by the number of ids, and by time. Ids of
    permanent bans are only forgotten when there is no more room.
    """

    def __init__(self, age: float = AGE, capacity: int = CAPACITY) -> None:
        self._age, self._capacity = age, capacity
        # In the order of the last ban: the first is the oldest.
        self._ids: dict[Id, dict[str, Record]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def load(self, records: Iterable[tuple[str, Id, Record]]) -> None:
        """Take over what earlier runs have left: section, id and record."""
        with self._lock:
            for jail, id, record in sorted(records, key=lambda one: one[2].last):
                sections = self._ids.pop(id, {})
                sections[jail] = record
                self._ids[id] = sections
            while len(self._ids) > self._capacity:
                del self._ids[next(iter(self._ids))]

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
            sections[ban.jail] = Record(bans + 1, ban.start, until)
            self._ids[ban.id] = sections
            self._make_room(ban.start)

    def forget(self, jail: str, id: Id) -> None:
        """Forget the bans of an id in a section."""
        with self._lock:
            sections = self._ids.get(id, {})
            sections.pop(jail, None)
            if not sections:
                self._ids.pop(id, None)

    def record(self, jail: str, id: Id) -> Record | None:
        """Return what is to be stored of an id in a section; None: nothing."""
        with self._lock:
            return self._ids.get(id, {}).get(jail)

    def ids(self, jail: str) -> list[Id]:
        """Return who was ever banned by a section."""
        with self._lock:
            return [id for id, sections in self._ids.items() if jail in sections]

    def _make_room(self, now: float) -> None:
        """Drop the oldest while they are too old to count, or too many."""
        while self._ids:
            id, sections = next(iter(self._ids.items()))
            old = all(_is_over(record, now) for record in sections.values())
            if not old and len(self._ids) <= self._capacity:
                return
            del self._ids[id]


def _is_over(record: Record, now: float) -> bool:
    return record.until is not None and record.until < now
