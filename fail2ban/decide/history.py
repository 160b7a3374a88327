# SPDX-License-Identifier: GPL-2.0-or-later
"""How often each id was banned before, and when last.

Source: jail-conf.md sections 5.5 and 10.4.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

from fail2ban.decide.keys import Key, id_of, key
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


NO_PAST = Past()


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


#: The sections that have banned an id, flat, for there may be many ids, nearly all with
#: one section: `(jail, bans, last, until, jail, bans, last, until, ...)`, see `Record`.
_Sections = tuple[Any, ...]


class Memory:
    """The history of all sections, in memory: its records are kept by the store.

    It is bounded in two ways: by the number of ids, and by time. Ids of
    permanent bans are only forgotten when there is no more room.
    """

    def __init__(self, age: float = AGE, capacity: int = CAPACITY) -> None:
        self._age, self._capacity = age, capacity
        # In the order of the last ban: the first is the oldest.
        self._ids: dict[Key, _Sections] = {}
        self._adds = 0  # before somebody looks who is too old
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def load(self, records: Iterable[tuple[str, Id, Record]]) -> None:
        """Take over what earlier runs have left: section, id and record."""
        with self._lock:
            for jail, id, record in sorted(records, key=lambda one: one[2].last):
                who = key(id)
                self._ids[who] = _with(self._ids.pop(who, ()), jail, record)
            for who in list(islice(self._ids, max(0, len(self._ids) - self._capacity))):
                del self._ids[who]

    def past(self, jail: str | None, id: Id, now: float) -> Past:
        """Return the bans of an id in a section; None: in all of them."""
        with self._lock:
            sections = self._ids.get(key(id))
        if sections is None:
            return NO_PAST
        known = [
            record
            for name, record in _records(sections)
            if jail in (None, name) and not _is_over(record, now)
        ]
        return Past(sum(one.bans for one in known), max((one.last for one in known), default=0.0))

    def add(self, ban: Ban) -> None:
        """Remember a ban: one more of its section than were known."""
        until = None
        if ban.end is not None:
            until = ban.start + 3 * max(0.0, ban.end - ban.start) + self._age
        jail, who = ban.jail, key(ban.id)
        with self._lock:
            sections = self._ids.pop(who, ())
            old = _find(sections, jail)
            bans = 0 if old is None or _is_over(old, ban.start) else old.bans
            self._ids[who] = _with(sections, jail, Record(bans + 1, ban.start, until))
            self._adds -= 1
            if self._adds < 0 or len(self._ids) > self._capacity:
                self._make_room(ban.start)

    def forget(self, jail: str, id: Id) -> None:
        """Forget the bans of an id in a section."""
        who = key(id)
        with self._lock:
            if sections := _with(self._ids.get(who, ()), jail, None):
                self._ids[who] = sections
            else:
                self._ids.pop(who, None)

    def record(self, jail: str, id: Id) -> Record | None:
        """Return what is to be stored of an id in a section; None: nothing."""
        with self._lock:
            return _find(self._ids.get(key(id), ()), jail)

    def ids(self, jail: str) -> list[Id]:
        """Return who was ever banned by a section."""
        with self._lock:
            return [id_of(who) for who, sections in self._ids.items() if jail in sections[::4]]

    def _make_room(self, now: float) -> None:
        """Drop the oldest while they are too old to count, or too many.

        Some more where they are too many, and not each time: where a dict begins with
        what was dropped, it takes long to find its first key.
        """
        surplus = len(self._ids) - self._capacity
        if surplus > 0:
            surplus += self._capacity // 100
        gone: list[Key] = []
        for who, sections in self._ids.items():
            if len(gone) >= surplus and not all(_is_over(r, now) for _, r in _records(sections)):
                break
            gone.append(who)
        for who in gone:
            del self._ids[who]
        self._adds = len(self._ids) // 100


def _records(sections: _Sections) -> Iterator[tuple[str, Record]]:
    for at in range(0, len(sections), 4):
        yield sections[at], Record(*sections[at + 1 : at + 4])


def _find(sections: _Sections, jail: str) -> Record | None:
    if sections and sections[0] == jail:  # nearly always
        return Record(*sections[1:4])
    return next((record for name, record in _records(sections) if name == jail), None)


def _with(sections: _Sections, jail: str, record: Record | None) -> _Sections:
    """Return sections where one has another record; None: is not there."""
    if sections and jail in sections[::4]:
        at = 4 * sections[::4].index(jail)
        sections = sections[:at] + sections[at + 4 :]
    return sections if record is None else (*sections, jail, *record)


def _is_over(record: Record, now: float) -> bool:
    return record.until is not None and record.until < now
