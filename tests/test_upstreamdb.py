# SPDX-License-Identifier: GPL-2.0-or-later
"""Fail2Ban's own database: taken over once, never changed."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.ledger import Batch, Record, Remembered
from fail2ban.queries import Earlier
from fail2ban.records import Ban, Id, StoreSettings, Ticket
from fail2ban.store import Store
from fail2ban.upstreamdb import BESIDE, recognise
from fail2ban.upstreamrows import read_row
from tests.helpers import NOW, FakeClock

DAY, HOUR = 86400.0, 3600.0

# jail-conf.md section 10.2.
_JAILS = """
CREATE TABLE fail2banDb(version INTEGER);
CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1);
CREATE TABLE logs(
    jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0,
    FOREIGN KEY(jail) REFERENCES jails(name) ON DELETE CASCADE,
    UNIQUE(jail, path), UNIQUE(jail, path, firstlinemd5));
"""
_OLD_BANS = """
CREATE TABLE bans(
    jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON,
    FOREIGN KEY(jail) REFERENCES jails(name));
"""
_BANS = """
CREATE TABLE bans(
    jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL,
    bancount INTEGER NOT NULL default 1, data JSON,
    FOREIGN KEY(jail) REFERENCES jails(name));
CREATE INDEX bans_jail_timeofban_ip ON bans(jail, timeofban);
CREATE TABLE bips(
    ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL,
    bantime INTEGER NOT NULL, bancount INTEGER NOT NULL default 1, data JSON,
    PRIMARY KEY(ip, jail), FOREIGN KEY(jail) REFERENCES jails(name));
"""

#: Section, id, begin, length, how many, details.
Row = tuple[object, object, object, object, object, object]


def row(
    ip: object,
    age: float = HOUR,
    length: object = 2 * HOUR,
    count: int = 1,
    jail: str = "sshd",
    **details: object,
) -> Row:
    given = {"matches": ["a line"], "failures": 3, **details}
    return jail, ip, int(NOW - age), length, count, json.dumps(given)


def upstream(file: Path, rows: Iterable[Row] = (), version: int = 4) -> Path:
    """Make a database of Fail2Ban's own."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_JAILS + (_OLD_BANS if version < 4 else _BANS))
        connection.execute("INSERT INTO fail2banDb VALUES (?)", (version,))
        for jail, ip, start, length, count, data in rows:
            connection.execute("INSERT OR IGNORE INTO jails VALUES (?, 1)", (jail,))
            if version < 4:
                old = jail, ip, start, data
                connection.execute("INSERT INTO bans VALUES (?, ?, ?, ?)", old)
                continue
            new = jail, ip, start, length, count, data
            connection.execute("INSERT INTO bans VALUES (?, ?, ?, ?, ?, ?)", new)
            last = ip, jail, start, length, count, data
            connection.execute("REPLACE INTO bips VALUES (?, ?, ?, ?, ?, ?)", last)
        connection.commit()
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fail2ban.sqlite3"


class Opener:
    """Opens stores; the last one is closed before the next."""

    def __init__(self) -> None:
        self.store: Store | None = None

    def __call__(self, file: Path) -> Store:
        self.close()
        self.store = Store(StoreSettings(str(file)), FakeClock(), FakeClock())
        self.store.open()
        return self.store

    def close(self) -> None:
        if self.store is not None:
            self.store.close()


@pytest.fixture
def opened() -> Iterator[Opener]:
    opener = Opener()
    yield opener
    opener.close()


def by_id(remembered: Remembered) -> dict[Id, Ban]:
    return {ban.id: ban for ban in remembered.bans}


def test_bans_in_force_are_taken_over(file: Path, opened: Opener) -> None:
    rows = [
        row("192.0.2.1", user="root", users=["root", "admin"], count=3, mlfid="x"),
        row("192.0.2.2", length=-1),
        row("192.0.2.3", length=60),
        row("2001:db8::1"),
        row("192.0.2.0/24"),
        row("somebody", ip4="192.0.2.9"),
        row("nobody"),
        row("192.0.2.1", jail="other"),
    ]
    remembered = opened(upstream(file, rows)).load("sshd")
    bans = by_id(remembered)
    address, network = ip_address("192.0.2.1"), ip_network("192.0.2.0/24")
    assert set(bans) == {
        address,
        ip_address("192.0.2.2"),
        ip_address("2001:db8::1"),
        network,
        "somebody",
        "nobody",
    }
    groups = {"user": "root", "users": ("root", "admin"), "mlfid": "x"}
    ticket = Ticket("sshd", address, 3, NOW - HOUR, ("a line",), None, groups)
    assert bans[address] == Ban(NOW - HOUR, NOW + HOUR, ticket, 3, restored=True)
    assert bans[ip_address("192.0.2.2")].end is None
    assert bans["somebody"].ip == ip_address("192.0.2.9")
    assert bans["nobody"].ip == "nobody"
    assert remembered.unknown == frozenset()


def test_earlier_bans_are_counted(file: Path, opened: Opener) -> None:
    rows = [
        row("192.0.2.1", age=2 * HOUR, length=60, count=1),
        row("192.0.2.1", age=HOUR, length=60, count=2),
        row("192.0.2.2", age=9 * DAY, length=-1, count=4),
        row("192.0.2.3", age=9 * DAY, length=DAY, count=4),
        row("192.0.2.4", age=9 * DAY, length=3 * DAY, count=7),
    ]
    found = {str(id): record for _, id, record in opened(upstream(file, rows)).records()}
    assert found == {
        "192.0.2.1": Record(2, NOW - HOUR, NOW - HOUR + 180 + DAY),
        "192.0.2.2": Record(4, NOW - 9 * DAY, None),
        "192.0.2.4": Record(7, NOW - 9 * DAY, NOW + DAY),
    }


def test_lines_of_earlier_bans_are_taken_over(file: Path, opened: Opener) -> None:
    parts = ["Nov 14 ", "22:13:20", " failed"]
    rows = [
        row("192.0.2.1", age=3 * DAY, matches=["too old"]),
        row("192.0.2.1", age=2 * HOUR, length=60, matches=[parts, "b"], failures=2),
        row("192.0.2.1", age=HOUR, length=60, matches=["c"], failures=5),
    ]
    store = opened(upstream(file, rows))
    lines = store.ask(lambda queries: queries.lines(ip_address("192.0.2.1"), "sshd"))
    assert lines == Earlier(("Nov 14 22:13:20 failed", "b", "c"), 7)


@pytest.mark.parametrize("version", [1, 2])
def test_bans_of_older_versions_have_no_known_end(file: Path, version: int, opened: Opener) -> None:
    rows = [row("192.0.2.1", age=2 * HOUR), row("192.0.2.1", age=HOUR), row("192.0.2.2")]
    remembered = opened(upstream(file, rows, version)).load("sshd")
    bans = by_id(remembered)
    assert remembered.unknown == frozenset(bans) == {ip_address(f"192.0.2.{n}") for n in (1, 2)}
    newest = bans[ip_address("192.0.2.1")]
    assert (newest.start, newest.end) == (NOW - HOUR, NOW - HOUR)


def test_a_ban_that_was_upgraded_has_no_known_end_until_it_is_saved(
    file: Path, opened: Opener
) -> None:
    store = opened(upstream(file, [row("192.0.2.1", length=-2)]))
    remembered = store.load("sshd")
    (ban,) = remembered.bans
    assert remembered.unknown == {ban.id}
    store.save(Batch(bans={("sshd", ban.id): ban}))
    assert store.load("sshd").unknown == frozenset()


# It stays as it is -----------------------------------------------------------------


def state(file: Path) -> object:
    return hashlib.sha256(file.read_bytes()).digest(), os.stat(file).st_mtime_ns


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_file_is_not_changed_and_ours_is_beside_it(
    file: Path, mode: str, opened: Opener
) -> None:
    upstream(file, [row("192.0.2.1")])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before = state(file)
    store = opened(file)
    assert len(store.load("sshd").bans) == 1
    assert store.health().file == f"{file}{BESIDE}"
    store.close()
    assert state(file) == before
    names = [file.name, f"{file.name}{BESIDE}", f"{file.name}{BESIDE}.lock"]
    assert sorted(os.listdir(file.parent)) == names


def test_it_is_taken_over_once(
    file: Path, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store = opened(upstream(file, [row("192.0.2.1", length=-1)]))
    store.save(Batch(bans={("sshd", ip_address("192.0.2.1")): None}))
    store.step()
    assert opened(file).load("sshd").bans == ()
    text = f"took over from Fail2Ban's database {file}, which stays as it is: 1 ban(s) in force"
    assert [text in message for message in caplog.messages] == [True]


def test_a_newer_version_is_not_taken_over(
    file: Path, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    upstream(file, [row("192.0.2.1")])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE fail2banDb SET version = 5")
        connection.commit()
    store = opened(file)
    assert (store.load("sshd").bans, store.health().file) == ((), f"{file}{BESIDE}")
    assert "found version 5, expected at most 4; nothing is taken over" in caplog.text


# Rows that make no sense --------------------------------------------------------------


def test_a_broken_row_costs_itself(
    file: Path, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[Row] = [
        row("192.0.2.1"),
        ("sshd", "192.0.2.2", "never", 600, 1, "{}"),
        ("sshd", "192.0.2.3", int(NOW), "long", 1, "{}"),
    ]
    store = opened(upstream(file, rows))
    assert [str(ban.id) for ban in store.load("sshd").bans] == ["192.0.2.1"]
    assert f"row(s) of {file} cannot be read" in caplog.text


@pytest.mark.parametrize("data", [None, "", "{", "[1]", '"x"', '{"matches": 5, "failures": "x"}'])
def test_a_ban_without_readable_details_is_still_a_ban(
    file: Path, data: str | None, opened
) -> None:
    store = opened(upstream(file, [("sshd", "192.0.2.1", int(NOW), 600, 1, data)]))
    (ban,) = store.load("sshd").bans
    assert (ban.ticket.lines, ban.ticket.failures) == ((), 0)


def test_lines_that_are_not_utf8_are_read(file: Path, opened: Opener) -> None:
    data = json.dumps({"matches": ["caf\xe9"]}, ensure_ascii=False).encode("latin-1")
    store = opened(upstream(file, [("sshd", "192.0.2.1", int(NOW), 600, 1, data)]))
    (ban,) = store.load("sshd").bans
    assert ban.ticket.lines[0].startswith("caf")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(
    st.text(max_size=9).map(str.encode) | st.sampled_from([b"1.2.3.4", b"::1", b"1.2.3.0/24"]),
    st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    st.dictionaries(st.sampled_from(["matches", "failures", "ip4", "user"]), _json)
    .map(json.dumps)
    .map(str.encode),
)
def test_whatever_details_hold_there_is_a_ban(id: bytes, length: float, data: bytes) -> None:
    found = read_row(b"sshd", id, NOW, length, 1, data)
    assert found.ban.jail == "sshd"
    assert all(isinstance(line, str) for line in found.ban.ticket.lines)
    assert found.unknown == (length <= -2)


def test_only_a_database_of_fail2ban_is_recognised(file: Path) -> None:
    assert recognise(str(file)) is None
    file.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert recognise(str(file)) is None
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE mails (text)")
    assert recognise(str(file)) is None
    file.unlink()
    found = recognise(str(upstream(file)))
    assert found is not None
    assert found.version == 4
