# SPDX-License-Identifier: GPL-2.0-or-later
"""Take over what Fail2Ban's own database holds; it is never changed.

Its versions differ in their columns: before 3 there is no length of a ban,
before 4 no table of the bans in force, `bips`. How far it read its logs is not
taken over: those marks mean nothing to our sources.

Source: jail-conf.md sections 10.2, 10.3 and 10.5.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fail2ban.database import transaction
from fail2ban.records import Ban
from fail2ban.storedrows import BROKEN, ban_data, id_key, stored
from fail2ban.storeschema import APPLICATION, HEADER
from fail2ban.storewriter import BANS, RECORDS, add_history
from fail2ban.upstreamrows import UNKNOWN, Found, read_row

log = logging.getLogger(__name__)

#: What our own database is called beside it.
BESIDE = ".store"

#: The newest version that is known.
VERSION = 4

#: Bans that are over, taken over at the most; the newest ones.
HISTORY = 100_000


@dataclass(frozen=True)
class Upstream:
    """A database of Fail2Ban's own.

    Attributes:
        version: as it says.
    """

    file: str
    version: int


def recognise(file: str) -> Upstream | None:
    """Tell whether there is a database of Fail2Ban's own at a path; None: there is not."""
    try:
        with open(file, "rb") as opened:
            header = opened.read(100)
    except OSError:
        return None  # whoever opens it to use it says why that does not work
    application = int.from_bytes(header[68:72], "big")
    if not header.startswith(HEADER) or application == APPLICATION:
        return None
    try:
        with _reading(file) as source:
            (version,) = source.execute("SELECT version FROM fail2banDb").fetchone()
        return Upstream(file, int(version))
    except (sqlite3.Error, TypeError, ValueError):
        return None


def bring_over(
    upstream: Upstream, ours: sqlite3.Connection, now: float, maxmatches: int, age: float
) -> None:
    """Take over bans in force, numbers and lines of earlier ones, once; tell about it.

    Args:
        now: seconds since the epoch.
        maxmatches: lines kept of a ban.
        age: seconds after which what is over is of no use.
    """
    if ours.execute("SELECT 1 FROM imports").fetchone():
        return
    if upstream.version > VERSION:
        text = "%s is a database of a newer Fail2Ban: found version %d, expected at most %d"
        log.warning(text + "; nothing is taken over", upstream.file, upstream.version, VERSION)
        return
    taken = _Taken(ours, now, maxmatches, age)
    try:
        with _reading(upstream.file) as source, transaction(ours):
            taken.take(_Reader(source, now - age))
            ours.execute("INSERT INTO imports VALUES (?, ?)", (upstream.file, now))
    except sqlite3.Error as error:
        log.error("cannot take over what %s holds: %s", upstream.file, error)
        return
    text = (
        "took over from Fail2Ban's database %s, which stays as it is: %d ban(s) in force, %d in all"
    )
    log.info(text, upstream.file, taken.bans, taken.history)
    if taken.broken:
        log.warning("%d row(s) of %s cannot be read and are left out", taken.broken, upstream.file)


@dataclass
class _Taken:
    """What is taken over, and how much of it there was."""

    ours: sqlite3.Connection
    now: float
    maxmatches: int
    age: float
    bans: int = 0
    history: int = 0
    broken: int = 0

    def take(self, reader: _Reader) -> None:
        """Write all that a database holds; within a transaction."""
        add_history(self.ours, self._history(reader), self.maxmatches)
        for found in self._readable(reader.newest()):
            self._put(found)

    def _history(self, reader: _Reader) -> Iterator[Ban]:
        for found in self._readable(reader.bans()):
            self.history += 1
            yield found.ban

    def _put(self, found: Found) -> None:
        ban = found.ban
        key = stored(ban.jail), id_key(ban.id)
        if found.unknown or ban.end is None or ban.end > self.now:
            data = ban_data(ban, self.maxmatches, found.unknown)
            self.ours.execute(BANS.put, (*key, ban.start, ban.end, data))
            self.bans += 1
        record = found.record(self.age)
        if record.until is None or record.until > self.now:
            self.ours.execute(RECORDS.put, (*key, *record))

    def _readable(self, rows: Iterator[Any]) -> Iterator[Found]:
        for row in rows:
            try:
                found = read_row(*row)
            except BROKEN:
                self.broken += 1
            else:
                yield found


class _Reader:
    """The rows of any version: section, id, begin, length, how many, details.

    Args:
        since: when the oldest ban that is of use began, seconds since the epoch.
    """

    def __init__(self, source: sqlite3.Connection, since: float) -> None:
        self._source, self._since = source, since
        columns = {row[1] for row in source.execute("PRAGMA table_info(bans)")}
        length = "bantime" if b"bantime" in columns else f"{UNKNOWN:d}"
        count = "bancount" if b"bancount" in columns else "1"
        self._rest = f"{length}, {count}, data"

    def bans(self) -> Iterator[Any]:
        """Return every ban there was lately."""
        sql = f"SELECT jail, ip, timeofban, {self._rest} FROM bans WHERE timeofban >= ?"
        return self._source.execute(
            f"{sql} ORDER BY timeofban DESC LIMIT {HISTORY:d}", (self._since,)
        )

    def newest(self) -> Iterator[Any]:
        """Return the newest ban of each id in each section."""
        if self._source.execute("PRAGMA table_info(bips)").fetchone():
            return self._source.execute(
                "SELECT jail, ip, timeofban, bantime, bancount, data FROM bips"
            )
        sql = f"SELECT jail, ip, max(timeofban), {self._rest} FROM bans GROUP BY jail, ip"
        return self._source.execute(sql)


@contextlib.contextmanager
def _reading(file: str) -> Iterator[sqlite3.Connection]:
    """Open a database so that nothing of it changes; all texts are bytes.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    uri = f"file:{urllib.parse.quote(os.path.abspath(file))}?mode=ro"
    if _must_stand_still(file):
        uri += "&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as source:
        source.text_factory = bytes
        yield source


def _must_stand_still(file: str) -> bool:
    """Tell whether SQLite would write something beside a database that is only read.

    It makes the files of a write-ahead log, and takes back what a broken journal says.
    """
    with open(file, "rb") as opened:
        wal = opened.read(20)[18:] == b"\2\2"
    return os.path.exists(f"{file}-journal") or (wal and not os.path.exists(f"{file}-wal"))
