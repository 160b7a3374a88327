# SPDX-License-Identifier: GPL-2.0-or-later
"""Write batches into the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fail2ban.database import transaction
from fail2ban.ledger import Batch
from fail2ban.records import Ban, Id
from fail2ban.storedrows import (
    Stored,
    ban_data,
    data,
    deferred_data,
    event_row,
    id_key,
    newest,
    stored,
    suspect_data,
)

#: Seconds between two notes that a section exists.
PRESENCE = 3600.0

Row = tuple[Any, ...]
#: A section, and a key of one table.
Key = tuple[str, Any]


@dataclass(frozen=True)
class Table:
    """How the changes of one table are written.

    Attributes:
        put, drop: the SQL, of a row and of a key.
        key: a key as it is stored, without the section.
        rest: the row after its key, of a value with so many lines at the most.
    """

    put: str
    drop: str
    key: Callable[[Any], Stored | int]
    rest: Callable[[Any, int], Row]

    def write(
        self, connection: sqlite3.Connection, changes: Mapping[Key, Any], maxmatches: int
    ) -> None:
        """Drop what is None, put all else; within a transaction."""
        gone = (self._key(key) for key, value in changes.items() if value is None)
        connection.executemany(self.drop, gone)
        rows = (
            (*self._key(key), *self.rest(value, maxmatches))
            for key, value in changes.items()
            if value is not None
        )
        connection.executemany(self.put, rows)

    def drop_unknown(self, connection: sqlite3.Connection, changes: dict[Key, Any]) -> None:
        """Leave out of changes what is None, and was never stored."""
        find = self.drop.replace("DELETE", "SELECT 1", 1)
        for key in [key for key, value in changes.items() if value is None]:
            if connection.execute(find, self._key(key)).fetchone() is None:
                del changes[key]

    def _key(self, key: Key) -> tuple[Stored, Stored | int]:
        return stored(key[0]), self.key(key[1])


MARKS = Table(
    "INSERT OR REPLACE INTO marks VALUES (?, ?, ?)",
    "DELETE FROM marks WHERE jail = ? AND key = ?",
    stored,
    lambda mark, most: (stored(mark),),
)
SUSPECTS = Table(
    "INSERT OR REPLACE INTO suspects VALUES (?, ?, ?, ?)",
    "DELETE FROM suspects WHERE jail = ? AND id = ?",
    id_key,
    lambda suspect, most: (max(suspect.times, default=0.0), suspect_data(suspect)),
)
DEFERRED = Table(
    "INSERT OR REPLACE INTO deferred VALUES (?, ?, ?, ?)",
    "DELETE FROM deferred WHERE jail = ? AND number = ?",
    int,
    lambda deferred, most: (deferred.heard, deferred_data(deferred)),
)
BANS = Table(
    "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?)",
    "DELETE FROM bans WHERE jail = ? AND id = ?",
    id_key,
    lambda ban, most: (ban.start, ban.end, ban_data(ban, most)),
)
RECORDS = Table(
    "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)",
    "DELETE FROM records WHERE jail = ? AND id = ?",
    id_key,
    lambda record, most: record,
)

# A ban that is stored already is no new one: it is prolonged, or it is being lifted.
_HISTORY = """
INSERT OR IGNORE INTO history (jail, id, time, failures, lines)
SELECT :jail, :id, :time, :failures, :lines
WHERE NOT EXISTS (SELECT 1 FROM bans WHERE jail = :jail AND id = :id AND start = :time)
"""
_EVENT = "INSERT INTO events (time, kind, jail, id, facts, ids) VALUES (?, ?, ?, ?, ?, ?)"
_PRESENT = f"""
INSERT INTO jails VALUES (?, ?)
ON CONFLICT DO UPDATE SET last = excluded.last WHERE excluded.last > last + {PRESENCE}
"""


def write(connection: sqlite3.Connection, batch: Batch, maxmatches: int, now: float) -> set[str]:
    """Write a batch, all of it or nothing; return the sections it is about.

    Args:
        maxmatches: lines kept of a ban.
        now: seconds since the epoch.

    Raises:
        sqlite3.Error: it is not written.
    """
    with transaction(connection):
        tables = _tables(batch)
        add_history(connection, (ban for ban in batch.bans.values() if ban), maxmatches)
        for table, changes in tables:
            table.write(connection, changes, maxmatches)
        forgotten = (key for key, record in batch.records.items() if record is None)
        _forget(connection, forgotten)
        connection.executemany(_EVENT, map(event_row, batch.events))
        sections = {jail for _, changes in tables for jail, _ in changes}
        note_present(connection, sections, now)
    return sections


def slim(connection: sqlite3.Connection, batch: Batch) -> None:
    """Leave out of a batch what came and went without being stored.

    Raises:
        sqlite3.Error: not all of it is left out.
    """
    SUSPECTS.drop_unknown(connection, batch.suspects)
    DEFERRED.drop_unknown(connection, batch.deferred)
    BANS.drop_unknown(connection, batch.bans)


def add_history(connection: sqlite3.Connection, bans: Iterable[Ban], maxmatches: int) -> None:
    """Keep what will be known of bans when they are over; within a transaction."""
    rows = (
        {
            "jail": stored(ban.jail),
            "id": id_key(ban.id),
            "time": ban.start,
            "failures": ban.ticket.failures,
            "lines": data(newest(ban.ticket.lines, maxmatches)),
        }
        for ban in bans
    )
    connection.executemany(_HISTORY, rows)


def note_present(connection: sqlite3.Connection, sections: Iterable[str], now: float) -> None:
    """Note that these sections exist; within a transaction."""
    connection.executemany(_PRESENT, ((stored(name), now) for name in sections))


def _tables(batch: Batch) -> list[tuple[Table, Mapping[Key, Any]]]:
    return [
        (MARKS, batch.marks),
        (SUSPECTS, batch.suspects),
        (DEFERRED, batch.deferred),
        (BANS, batch.bans),
        (RECORDS, batch.records),
    ]


def _forget(connection: sqlite3.Connection, keys: Iterable[tuple[str, Id]]) -> None:
    """Forget the lines of earlier bans of those whose record is gone."""
    rows = ((stored(jail), id_key(id)) for jail, id in keys)
    connection.executemany("DELETE FROM history WHERE jail = ? AND id = ?", rows)
