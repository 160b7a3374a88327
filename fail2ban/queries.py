# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what is stored. All on the thread that may use the database."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from fail2ban.events import Event
from fail2ban.ledger import Deferred, Record, Remembered, Suspect
from fail2ban.records import Id
from fail2ban.storedrows import (
    BROKEN,
    StoredBan,
    id_item,
    id_items,
    id_key,
    newest,
    read,
    read_ban,
    read_data,
    read_deferred,
    read_event,
    read_id,
    read_suspect,
    stored,
)

log = logging.getLogger(__name__)

T = TypeVar("T")


_EVENTS = """
SELECT number, time, kind, jail, id, facts FROM events {where} ORDER BY number DESC LIMIT ?
"""


class Earlier(NamedTuple):
    """What is known of an id from its bans.

    Attributes:
        lines: the newest of its lines, oldest first.
        failures: how many there were.
    """

    lines: tuple[str, ...]
    failures: int


class Queries:
    """The read side of the store.

    A row that cannot be read is left out; how many were is told once a call.

    Args:
        maxmatches: lines that `lines` returns at the most.

    Each method may raise sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, maxmatches: int) -> None:
        self._connection, self._maxmatches = connection, maxmatches

    def load(self, jail: str) -> Remembered:
        """Return what there is of one section."""
        bans = self._bans(jail)
        return Remembered(
            self._marks(jail),
            self._suspects(jail),
            self._deferred(jail),
            tuple(ban for ban, _ in bans),
            frozenset(ban.id for ban, unknown in bans if unknown),
        )

    def records(self) -> Iterator[tuple[str, Id, Record]]:
        """Yield the earlier bans of all sections: section, id, and how many."""
        rows = self._connection.execute("SELECT jail, id, bans, last, until FROM records")
        yield from _readable("records", rows, _read_record)

    def events(self, limit: int) -> list[Event]:
        """Return the newest events, the newest last."""
        rows = self._connection.execute(_EVENTS.format(where=""), (max(0, limit),))
        return _told(rows)

    def events_of(self, ids: Collection[Id], limit: int) -> list[Event]:
        """Return the newest events of each of some ids, in the order in which they came.

        Those that concern many at once are the newest of all that concern any of them.
        """
        limit = max(0, limit)
        rows: set[tuple[Any, ...]] = set()
        for id in ids:
            sql = _EVENTS.format(where="WHERE id = ?")
            rows.update(self._connection.execute(sql, (id_key(id), limit)))
        for number in islice(self._of_many(ids), limit):
            sql = _EVENTS.format(where="WHERE number = ?")
            rows.update(self._connection.execute(sql, (number, 1)))
        return _told(sorted(rows, key=itemgetter(0), reverse=True))

    def _of_many(self, ids: Iterable[Id]) -> Iterator[int]:
        """Yield the numbers of the events that concern many, any of these ids among them."""
        items = frozenset(map(id_item, ids))
        # What is no text, somebody else has written.
        where = "WHERE ids IS NOT NULL AND typeof(ids) = 'text'"
        sql = f"SELECT number, ids FROM events {where} ORDER BY number DESC"
        for number, written in self._connection.execute(sql):
            if not items.isdisjoint(id_items(written)):
                yield number

    def lines(self, id: Id, jail: str | None, before: float = math.inf) -> Earlier:
        """Return what is known of an id from its bans in a section; None: in all.

        Args:
            before: leave bans out that began then or later, in seconds since the epoch.
        """
        where, values = "id = ? AND time < ?", [id_key(id), before]
        if jail is not None:
            where, values = f"{where} AND jail = ?", [*values, stored(jail)]
        total = f"SELECT coalesce(sum(failures), 0) FROM history WHERE {where}"
        (failures,) = self._connection.execute(total, values).fetchone()
        # Each ban has a line at least, or there are none to be had.
        sql = f"SELECT lines FROM history WHERE {where} ORDER BY time DESC LIMIT ?"
        rows = self._connection.execute(sql, (*values, self._maxmatches)).fetchall()
        lines = tuple(
            line
            for some in _readable("history", reversed(rows), lambda row: read_data(row[0]))
            for line in some
        )
        return Earlier(newest(lines, self._maxmatches), failures)

    def _marks(self, jail: str) -> dict[str, str]:
        rows = self._of("SELECT key, mark FROM marks WHERE jail = ?", jail)
        return {read(key): read(mark) for key, mark in rows}

    def _suspects(self, jail: str) -> dict[Id, Suspect]:
        # The oldest first, as those who count them have it.
        rows = self._of("SELECT id, data FROM suspects WHERE jail = ? ORDER BY last", jail)
        return dict(
            _readable("suspects", rows, lambda row: (read_id(row[0]), read_suspect(row[1])))
        )

    def _deferred(self, jail: str) -> dict[int, Deferred]:
        rows = self._of("SELECT number, data, heard FROM deferred WHERE jail = ?", jail)

        def read_row(row: Any) -> tuple[int, Deferred]:
            number, data, heard = row
            return number, read_deferred(jail, data, heard)

        return dict(_readable("deferred", rows, read_row))

    def _bans(self, jail: str) -> list[StoredBan]:
        sql = 'SELECT start, "end", data FROM bans WHERE jail = ? ORDER BY start'
        return list(_readable("bans", self._of(sql, jail), lambda row: read_ban(jail, *row)))

    def _of(self, sql: str, jail: str) -> sqlite3.Cursor:
        return self._connection.execute(sql, (stored(jail),))


def _told(rows: Iterable[tuple[Any, ...]]) -> list[Event]:
    """Return the events of rows that begin with the newest."""
    found = list(_readable("events", rows, lambda row: read_event(row[1:])))
    return found[::-1]


def _read_record(row: Any) -> tuple[str, Id, Record]:
    jail, id, bans, last, until = row
    return read(jail), read_id(id), Record(int(bans), last, until)


def _readable(table: str, rows: Iterable[Any], read_row: Callable[[Any], T]) -> Iterator[T]:
    """Yield what rows say, and tell of those that say nothing."""
    broken = 0
    for row in rows:
        try:
            value = read_row(row)
        except BROKEN:
            broken += 1
        else:
            yield value
    if broken:
        log.warning("%d row(s) of the table %r cannot be read and are left out", broken, table)
