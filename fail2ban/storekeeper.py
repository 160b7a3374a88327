# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep the store's database usable, whatever happens to its file, and small."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from fail2ban import database, storefile, storepurge, upstreamdb
from fail2ban.database import Database
from fail2ban.errors import StoreError
from fail2ban.ledger import Batch
from fail2ban.queries import Queries
from fail2ban.records import StoreSettings
from fail2ban.storewriter import slim, write

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Bytes of a database in memory, at the most.
MEMORY = 16 << 20

#: How often a damaged database is replaced before its file is given up.
RENEWALS = 3


class Storekeeper:
    """The database of the store; for one thread at a time.

    Args:
        clock: seconds since the epoch.
        renewed: called when what was stored is lost and a new database is begun.

    Attributes:
        present: the sections that are known to exist.
    """

    def __init__(
        self,
        settings: StoreSettings,
        clock: Callable[[], float],
        renewed: Callable[[], object],
    ) -> None:
        self._settings, self._clock, self._renewed = settings, clock, renewed
        self._database = database.in_memory()
        self._lock: storefile.Lock | None = None
        self._renewals = 0
        self._crowded = self._untidy = False
        self.present: set[str] = set()

    @property
    def file(self) -> str:
        """The database's path; empty: it is in memory."""
        return self._database.file

    def open(self) -> None:
        """Open the database, or go on without one; what is wrong is told."""
        self._database.close()
        self._database = self._open()
        self.tidy(sections=False)

    def configure(self, settings: StoreSettings) -> None:
        """Take over other limits, but no other file; any thread."""
        self._settings = replace(settings, file=self._settings.file)
        self._crowded = False

    def write(self, batch: Batch) -> None:
        """Write a batch as a whole, into a new database if this one is damaged or gone.

        Raises:
            StoreError, sqlite3.Error: it is not written.
        """
        if self._database.lost:
            self._follow()
        try:
            self._write(batch)
        except sqlite3.Error as error:
            if not self._renews(error):
                raise
            self._write(batch)
        self._shrink()

    def slim(self, batch: Batch) -> None:
        """Leave out of a batch that cannot be written what came and went meanwhile.

        Those who attack us from ever new addresses must not fill the memory.
        """
        with contextlib.suppress(sqlite3.Error):  # that nothing works is told already
            slim(self._database.connection, batch)

    def read(self, work: Callable[[Queries], T]) -> T:
        """Return what somebody finds in the database.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            return work(Queries(self._database.connection, self._settings.maxmatches))
        except sqlite3.Error as error:
            self._renews(error)
            raise StoreError(f"cannot read the database: {error}") from error

    def tidy(self, sections: bool = True) -> None:
        """Forget what is old.

        Args:
            sections: also those that are gone; at the start not all have come yet.
        """
        connection, now, age = self._database.connection, self._clock(), self._settings.purgeage
        try:
            storepurge.purge(connection, now, age)
            if sections:
                storepurge.purge_sections(connection, self.present, now, age)
        except sqlite3.Error as error:
            self._complain(error)
        else:
            self._untidy = False
        self._shrink()

    def bytes(self) -> int:
        """Return the size of the database.

        Raises:
            sqlite3.Error: it cannot be read.
        """
        return self._database.bytes()

    def close(self) -> None:
        """Close the database, and let others use it."""
        self._database.close()
        if self._lock is not None:
            self._lock.release()

    # Opening ------------------------------------------------------------------

    def _open(self) -> Database:
        if self._settings.file in ("", ":memory:"):
            return database.in_memory()
        try:
            return self._open_file(storefile.prepare(self._settings.file))
        except StoreError as error:
            if self._lock is not None:
                self._lock.release()
            return _give_up(error)

    def _open_file(self, file: str) -> Database:
        """Open our database at `file`, or beside it if Fail2Ban's own is there."""
        other = upstreamdb.recognise(file)
        if other is not None:
            file = storefile.prepare(file + upstreamdb.BESIDE)
        self._lock = storefile.Lock(file)
        self._lock.acquire()
        now = self._clock()
        opened = database.open_file(file, now)
        if other is not None:
            settings = self._settings
            upstreamdb.bring_over(
                other, opened.connection, now, settings.maxmatches, settings.purgeage
            )
        return opened

    def _renews(self, error: sqlite3.Error) -> bool:
        """Replace the database if an error means that it is damaged; tell whether it was."""
        file = self._database.file
        if not (file and database.is_damage(error)):
            return False
        self._database.close()
        self._renewals += 1
        try:
            self._database = self._begin_anew(file, error)
        except StoreError as hindrance:
            self._database = _give_up(hindrance)
        self._renewed()
        return True

    def _begin_anew(self, file: str, error: sqlite3.Error) -> Database:
        if self._renewals > RENEWALS:
            raise StoreError(f"the database {file} is damaged again and again: {error}")
        if os.path.lexists(file):
            aside = storefile.set_aside(file, self._clock())
            text = "the database %s is damaged: %s; it is now %s, and a new one is begun"
            log.error(text, file, error, aside)
        return database.open_file(file, self._clock())

    def _follow(self) -> None:
        """Write the database once more where its file was moved away or deleted.

        Raises:
            StoreError, sqlite3.Error: that is not possible yet.
        """
        old, now = self._database, self._clock()
        storefile.prepare(old.file)
        again = storefile.free_name(old.file, now)
        database.copy(old.connection, again)
        text = "the database %s was moved or deleted while in use; it is written again"
        log.error(text, old.file)
        storefile.put_in_place(again, old.file, now)
        # SQLite now removes what lies beside the path, as it does for the last user.
        old.close()
        try:
            self._database = database.open_file(old.file, now)
        except StoreError as error:
            self._database = _give_up(error)
            self._renewed()

    # Writing ------------------------------------------------------------------

    def _write(self, batch: Batch) -> None:
        connection, most = self._database.connection, self._settings.maxmatches
        self.present |= write(connection, batch, most, self._clock())

    def _shrink(self) -> None:
        """Drop the oldest where there is more than there may be."""
        connection, most = self._database.connection, self._settings.maxsize
        if not self._database.file:
            most = min(most, MEMORY)
        try:
            gone = storepurge.shrink(connection, most)
            crowded = bool(gone) or storepurge.used(connection) > most
        except sqlite3.Error as error:
            self._complain(error)
            return
        if crowded and not self._crowded:
            text = "the database holds more than %d bytes: the oldest of what is over is dropped"
            log.warning(text, most)
        self._crowded |= crowded

    def _complain(self, error: sqlite3.Error) -> None:
        """Nothing can be dropped: say so once, until it can."""
        if not self._renews(error) and not self._untidy:
            log.warning("cannot drop what is old from the database: %s", error)
            self._untidy = True


def _give_up(error: StoreError) -> Database:
    log.error(
        "%s; bans, counts and log positions are kept in memory and end with the daemon;"
        " 'dbfile' should name a file that we, and nobody else, can make and write",
        error,
    )
    return database.in_memory()
