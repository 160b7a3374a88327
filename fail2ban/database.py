# SPDX-License-Identifier: GPL-2.0-or-later
"""Open the database: make it, check it, bring it up to date, or set it aside.

A database is ours if it says so (`application_id`); how its tables look is its
`user_version`. It is in WAL mode: a commit needs no waiting for the disk, and
what was committed survives any end of the process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fail2ban import storefile
from fail2ban.errors import StoreError
from fail2ban.storeschema import APPLICATION, HEADER, MIGRATIONS, SCHEMA, TABLES, VERSION, Migration

log = logging.getLogger(__name__)

#: Seconds to wait for an administrator who changes something in the database.
PATIENCE_SECONDS = 2.0

#: Bytes of the write-ahead log that stay on the disk after a large transaction.
LOG_SIZE = 4 << 20

_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_NO_ROOM = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN))


class UnusableError(StoreError):
    """What is there is no database that we can use, and waiting does not help."""


@dataclass(frozen=True)
class Database:
    """An open database, for one thread at a time.

    Attributes:
        file: its path; empty: it ends with us.
        place: which file that was when it was opened.
    """

    connection: sqlite3.Connection
    file: str = ""
    place: tuple[int, int] | None = None

    @property
    def lost(self) -> bool:
        """Whether its path leads to another file meanwhile, or to none."""
        return bool(self.file) and storefile.place(self.file) != self.place

    def bytes(self) -> int:
        """Return the size of the file, once all that is written has reached it."""
        return number(self.connection, "page_count") * number(self.connection, "page_size")

    def close(self) -> None:
        """Close it; a complaint about that would help nobody any more."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()


@dataclass(frozen=True)
class Upgrade:
    """Brings an older database forward.

    Attributes:
        version: which one it is to be.
        migrations: see `MIGRATIONS`.
    """

    version: int = VERSION
    migrations: Mapping[int, Migration] = field(default_factory=lambda: MIGRATIONS)

    def apply(self, connection: sqlite3.Connection, path: str, now: float) -> None:
        """Take one step after another, all or none of them, after a backup."""
        old = number(connection, "user_version")
        if old > self.version:
            raise UnusableError(
                f"the database {path} was written by a newer version of this program:"
                f" found format {old}, expected at most {self.version}"
            )
        if old == self.version:
            return
        backup = storefile.free_name(path, now)
        copy(connection, backup)
        with transaction(connection):
            for step in range(old, self.version):
                self.migrations[step](connection)
            connection.execute(f"PRAGMA user_version = {self.version:d}")
        text = "the database %s had format %d and has format %d now; as it was, it is kept as %s"
        log.info(text, path, old, self.version, backup)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file holds nonsense."""
    return code(error) in _DAMAGED


def number(connection: sqlite3.Connection, pragma: str) -> int:
    """Return what SQLite says of a database, as its "page_count"."""
    (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of what follows, or, when it raises, nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def in_memory() -> Database:
    """Return an empty database that ends with us."""
    connection = _connect(":memory:")
    _begin(connection)
    return Database(connection)


def open_file(path: str, now: float, upgrade: Upgrade | None = None) -> Database:
    """Open the database at `path`; a fresh one, if there is none that can be used.

    What is in the way is set aside, and told. Any thread may use the result, but
    one at a time.

    Args:
        path: as `storefile.prepare` has returned it.
        now: seconds since the epoch, for the name of what is set aside.
        upgrade: another one in tests.

    Raises:
        StoreError: there can be no database at that path.
    """
    upgrade = upgrade or Upgrade()
    try:
        return _open(path, now, upgrade)
    except UnusableError as error:
        try:
            aside = storefile.set_aside(path, now)
        except StoreError as hindrance:
            raise StoreError(f"{error}; {hindrance}") from error
        log.error("%s; it is now %s, and a new database is begun", error, aside)
        return _open(path, now, upgrade)


def copy(connection: sqlite3.Connection, target: str) -> None:
    """Write all of a database to a new file.

    Raises:
        StoreError, sqlite3.Error: that is not possible; there is no such file then.
    """
    storefile.create(target)
    try:
        with contextlib.closing(sqlite3.connect(target)) as other:
            connection.backup(other)
    except sqlite3.Error:
        os.unlink(target)
        raise


def _open(path: str, now: float, upgrade: Upgrade) -> Database:
    try:
        _check_kind(path)
    except OSError as error:
        raise UnusableError(f"cannot read the database {path}: {error.strerror}") from error
    storefile.create(path)
    try:
        return _attempt(path, now, upgrade, alone=False)
    except sqlite3.Error as error:
        if code(error) not in _NO_ROOM:
            raise _told(error, path) from error
    # On a full disk there is no room for the file through which SQLite lets others
    # look at the database; without them what is stored can be read.
    try:
        return _attempt(path, now, upgrade, alone=True)
    except sqlite3.Error as error:
        raise _told(error, path) from error


def _check_kind(path: str) -> None:
    """Find out what a path leads to: what may hold more than a database is not renamed.

    The database must not be open: closing the file here would lose SQLite's locks.

    Raises:
        UnusableError, StoreError: it cannot be a database.
    """
    if not os.path.lexists(path):
        return
    if os.path.isdir(path):
        # A container whose file is missing on the host gets an empty folder.
        kind = StoreError if os.listdir(path) else UnusableError
        raise kind(f"{path} is a folder; expected the database, or nothing")
    if os.path.islink(path):
        raise UnusableError(f"{path} is a symbolic link that leads nowhere")
    if not os.path.isfile(path):
        raise StoreError(f"{path} is not a file; expected the database, or nothing")
    if not os.access(path, os.R_OK | os.W_OK):
        raise UnusableError(f"no permission to read and write the database {path}")
    with open(path, "rb") as file:
        begin = file.read(len(HEADER))
    if begin and begin != HEADER:  # SQLite writes over a file of a few bytes
        raise UnusableError(f"{path} does not begin as a database does")


def _attempt(path: str, now: float, upgrade: Upgrade, alone: bool) -> Database:
    connection = _connect(path)
    try:
        if alone:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if _is_empty(connection, path):
            _begin(connection)
        else:
            upgrade.apply(connection, path, now)
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection):  # the file system may be read-only
            _check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return Database(connection, path, storefile.place(path))


def _connect(path: str) -> sqlite3.Connection:
    # The store opens it on one thread and uses it on another.
    connection = sqlite3.connect(
        path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
    )
    # A damaged text costs its row, not the whole table.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    for setting in ("synchronous = NORMAL", "trusted_schema = OFF", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_SIZE:d}")
    return connection


def _is_empty(connection: sqlite3.Connection, path: str) -> bool:
    """Check a database that was there.

    Raises:
        UnusableError: it is damaged.
        StoreError: it is not ours.
    """
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise UnusableError(f"the database {path} is damaged: {found}")
    if not _tables(connection):
        return True
    if number(connection, "application_id") != APPLICATION:
        raise StoreError(f"{path} is the database of another program; expected ours, or nothing")
    return False


def _check_tables(connection: sqlite3.Connection, path: str) -> None:
    if missing := TABLES - _tables(connection):
        raise UnusableError(f"the database {path} has no table {', '.join(sorted(missing))}")


def _tables(connection: sqlite3.Connection) -> set[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found}


def _begin(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty database."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with transaction(connection):
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION:d}")
        connection.execute(f"PRAGMA user_version = {VERSION:d}")


def _told(error: sqlite3.Error, path: str) -> StoreError:
    if is_damage(error):
        return UnusableError(f"the database {path} is damaged: {error}")
    return StoreError(f"cannot use the database {path}: {error}")


def code(error: sqlite3.Error) -> int:
    """Return SQLite's code without its details; 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
