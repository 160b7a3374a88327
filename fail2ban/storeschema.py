# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the store's database, and how they come from those of earlier versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

#: "F2BS": a database of this program.
APPLICATION = 0x46324253

#: How every database of SQLite begins.
HEADER = b"SQLite format 3\0"

# An id is written as `storedrows.id_key` does, times are seconds since the epoch,
# `data`, `lines` and `facts` are JSON; `ids` is a list as `storedrows.id_list` writes it, and
# its index only says where there are any. Events are looked for by whom they concern, and
# forgotten in the order in which they came: any other index would cost each of them more
# than it is worth. A text that is no Unicode is stored as a blob.
#: The tables of an empty database.
SCHEMA = """
CREATE TABLE jails (name PRIMARY KEY, last REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (jail, key, mark NOT NULL, PRIMARY KEY (jail, key)) WITHOUT ROWID;
CREATE TABLE suspects (
    jail, id, last REAL NOT NULL, data NOT NULL, PRIMARY KEY (jail, id)
) WITHOUT ROWID;
CREATE TABLE deferred (
    jail, number INTEGER, heard REAL NOT NULL, data NOT NULL, PRIMARY KEY (jail, number)
) WITHOUT ROWID;
CREATE TABLE bans (
    jail, id, start REAL NOT NULL, "end" REAL, data NOT NULL, PRIMARY KEY (jail, id)
) WITHOUT ROWID;
CREATE TABLE records (
    jail, id, bans INTEGER NOT NULL, last REAL NOT NULL, until REAL, PRIMARY KEY (jail, id)
) WITHOUT ROWID;
CREATE TABLE history (
    number INTEGER PRIMARY KEY,
    jail, id, time REAL NOT NULL, failures INTEGER NOT NULL, lines NOT NULL,
    UNIQUE (id, jail, time)
);
CREATE INDEX history_time ON history (time);
CREATE TABLE events (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, kind NOT NULL, jail, id, facts NOT NULL, ids
);
CREATE INDEX events_id ON events (id) WHERE id IS NOT NULL;
CREATE INDEX events_ids ON events (number) WHERE ids IS NOT NULL;
CREATE TABLE imports (file PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
"""

#: What must be there.
TABLES = frozenset("jails marks suspects deferred bans records history events imports".split())

#: Makes the next version of a database.
Migration = Callable[[sqlite3.Connection], object]

#: The version of `SCHEMA`.
VERSION = 2

_TO_2 = """
ALTER TABLE events ADD COLUMN ids;
DROP INDEX IF EXISTS events_id;
DROP INDEX IF EXISTS events_jail;
DROP INDEX IF EXISTS events_time;
CREATE INDEX events_id ON events (id) WHERE id IS NOT NULL;
CREATE INDEX events_ids ON events (number) WHERE ids IS NOT NULL;
"""


def _with_ids(connection: sqlite3.Connection) -> None:
    """Let an event concern many ids."""
    for statement in _TO_2.split(";"):
        connection.execute(statement)


#: Version -> what makes the next one of it, within a transaction.
MIGRATIONS: Mapping[int, Migration] = {1: _with_ids}
