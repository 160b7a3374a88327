# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep the database small: forget what is old, and the oldest where there is no room.

Source: jail-conf.md section 10.4.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Set

from fail2ban.database import number, transaction
from fail2ban.storedrows import read
from fail2ban.storewriter import note_present

#: Rows dropped at a time where there is no more room. Of events few: one may concern
#: as many ids as there are lines in a batch.
CHUNK, EVENTS = 2000, 20

#: How full a database is, of what it may be, after rows were dropped.
FILL = 0.9

_OLD = (
    "DELETE FROM suspects WHERE last < :old",
    "DELETE FROM deferred WHERE heard < :old",
    "DELETE FROM records WHERE until < :now",
    "DELETE FROM history WHERE time < :old",
    # They came in this order, but for those at which the clock was set back. Where it was
    # far ahead nobody knows how old they are: they do not keep those that came later.
    "DELETE FROM events WHERE number < coalesce("
    "(SELECT number FROM events WHERE time BETWEEN :old AND :ahead ORDER BY number LIMIT 1),"
    " (SELECT number FROM events WHERE time >= :old ORDER BY number LIMIT 1),"
    " (SELECT max(number) + 1 FROM events))",
)
# What is gone for good: no section that runs will ask for it.
_OF_SECTION = (
    "DELETE FROM marks WHERE jail = ?",
    'DELETE FROM bans WHERE jail = ? AND "end" < ?',
    "DELETE FROM jails WHERE name = ?",
)
_OLDEST = (
    f"DELETE FROM events WHERE number IN (SELECT number FROM events ORDER BY number LIMIT {EVENTS})",
    f"DELETE FROM history WHERE number IN (SELECT number FROM history ORDER BY time LIMIT {CHUNK})",
    "DELETE FROM records WHERE (jail, id) IN"
    f" (SELECT jail, id FROM records WHERE until IS NOT NULL ORDER BY last LIMIT {CHUNK})",
)


def purge(connection: sqlite3.Connection, now: float, age: float) -> None:
    """Forget what is older than `age` seconds.

    Raises:
        sqlite3.Error: nothing is forgotten.
    """
    with transaction(connection):
        for statement in _OLD:
            connection.execute(statement, {"now": now, "old": now - age, "ahead": now + age})


def purge_sections(
    connection: sqlite3.Connection, present: Set[str], now: float, age: float
) -> None:
    """Forget the sections that have not been there for `age` seconds.

    Their permanent bans stay: they are lifted by hand only.

    Args:
        present: those that exist.

    Raises:
        sqlite3.Error: nothing is forgotten.
    """
    with transaction(connection):
        note_present(connection, present, now)
        old = connection.execute("SELECT name FROM jails WHERE last < ?", (now - age,))
        for (name,) in old.fetchall():
            if read(name) not in present:
                for statement in _OF_SECTION:
                    connection.execute(statement, (name, now - age)[: statement.count("?")])


def used(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the database hold something."""
    pages = number(connection, "page_count") - number(connection, "freelist_count")
    return pages * number(connection, "page_size")


def shrink(connection: sqlite3.Connection, most: int) -> int:
    """Drop the oldest of what is over while there are more than `most` bytes.

    Events go first, then the lines of earlier bans, then their numbers; never
    bans in force, counts, or how far a log was read.

    Returns:
        How many rows were dropped.

    Raises:
        sqlite3.Error: not all that should be is dropped.
    """
    if used(connection) <= most:
        return 0
    gone = 0
    for statement in _OLDEST:
        while used(connection) > most * FILL:
            dropped = connection.execute(statement).rowcount
            if not dropped:
                break
            gone += dropped
    if gone:
        give_back(connection)
    return gone


def give_back(connection: sqlite3.Connection) -> None:
    """Give room that is not used any more back to the file system."""
    # As a script: as a statement it would give back one page.
    connection.executescript("PRAGMA incremental_vacuum")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
