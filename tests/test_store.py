# SPDX-License-Identifier: GPL-2.0-or-later
"""The store: what is saved is there, in time it is forgotten, and nothing stops it."""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban import store as store_module
from fail2ban.database import Database
from fail2ban.errors import StoreError
from fail2ban.events import Event
from fail2ban.ledger import Batch, Deferred, Record, Remembered, Suspect
from fail2ban.queries import Earlier, Queries
from fail2ban.records import Failure, Id, StoreSettings
from fail2ban.store import PURGE_INTERVAL, Store
from fail2ban.storedrows import id_item, id_items, id_list
from fail2ban.storeschema import APPLICATION, SCHEMA
from tests import needs
from tests.helpers import NOW, FakeClock
from tests.stored import ban, batch_of, batches, event

ID = ip_address("192.0.2.1")
DAY = 86400.0


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "db")


@pytest.fixture
def stores() -> Iterator[Callable[..., Store]]:
    """Make stores that are closed at the end."""
    made: list[Store] = []

    def make(file: str = "", clock: FakeClock | None = None, **changes: object) -> Store:
        limits = replace(StoreSettings(file), **changes)  # type: ignore[arg-type]
        clock = clock or FakeClock()
        made.append(Store(limits, clock, clock))
        made[-1].open()
        return made[-1]

    yield make
    for store in made:
        store.close()


Make = Callable[..., Store]


def again(make: Make, store: Store, file: str, **changes: object) -> Store:
    """Return what a later run finds."""
    store.step()
    store.close()
    return make(file, **changes)


# What comes back ------------------------------------------------------------------


def live(changes: dict) -> dict:
    return {key: value for (_, key), value in changes.items() if value is not None}


@given(st.lists(batches("sshd"), min_size=1, max_size=4), batches("other"))
@settings(max_examples=60)
def test_what_is_saved_is_loaded_as_it_was(saved: list[Batch], other: Batch) -> None:
    clock = FakeClock()
    store = Store(StoreSettings(":memory:"), clock, clock)
    store.open()
    expected = Batch()
    for batch in saved:
        expected.merge(replace(batch, done=[]))
        store.save(batch)
        store.step()
    store.save(other)
    found = store.load("sshd")
    assert found.marks == live(expected.marks)
    assert found.suspects == live(expected.suspects)
    assert found.deferred == live(expected.deferred)
    assert {ban.id: ban for ban in found.bans} == live(expected.bans)
    assert [type(ban.id) for ban in found.bans] == [type(one.id) for one in found.bans]
    earlier = {id: record for jail, id, record in store.records() if jail == "sshd"}
    assert earlier == live(expected.records)
    told = store.ask(lambda queries: queries.events(1000))
    assert [one for one in told if one.jail == "sshd"] == expected.events
    store.close()


@given(saved=batches("sshd"))
@settings(max_examples=20)
def test_a_later_run_finds_what_this_one_found(
    saved: Batch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limits = StoreSettings(str(tmp_path_factory.mktemp("store") / "db"), purgeage=NOW * 2)
    clock = FakeClock(0.0)
    first = Store(limits, clock, clock)
    first.open()
    first.save(saved)
    found, records = first.load("sshd"), list(first.records())
    first.close()
    second = Store(limits, clock, clock)
    second.open()
    assert second.load("sshd") == found
    assert list(second.records()) == records
    second.close()


def test_a_text_is_never_taken_for_the_address_it_looks_like(stores: Make) -> None:
    store = stores()
    ids: list[Id] = ["192.0.2.1", ID, "192.0.2.1/32", ip_network("192.0.2.1/32"), "=192.0.2.1"]
    for number, id in enumerate(ids):
        store.save(Batch(records={("sshd", id): Record(number, NOW, None)}))
    store.step()
    assert {id: record.bans for _, id, record in store.records()} == {
        id: number for number, id in enumerate(ids)
    }


def test_sections_know_nothing_of_each_other(stores: Make) -> None:
    store = stores()
    store.save(batch_of(ban(jail="a"), ban(jail="b", start=NOW + 1)))
    store.save(Batch(marks={("a", "log"): "1", ("b", "log"): "2"}))
    assert [one.start for one in store.load("a").bans] == [NOW]
    assert (store.load("a").marks, store.load("b").marks) == ({"log": "1"}, {"log": "2"})
    assert store.load("c") == Remembered()


def test_suspects_are_loaded_in_the_order_of_their_last_failure(stores: Make) -> None:
    store, late = stores(), Suspect((NOW - 9, NOW))
    early = Suspect((NOW - 5,))
    store.save(Batch(suspects={("sshd", "late"): late, ("sshd", "early"): early}))
    assert list(store.load("sshd").suspects) == ["early", "late"]


def test_a_row_that_makes_no_sense_is_left_out(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(file)
    store.save(batch_of(ban("192.0.2.1"), ban("192.0.2.2"), ban("192.0.2.3")))
    store.step()
    with closing(sqlite3.connect(file)) as other:
        other.execute("UPDATE bans SET data = '{' WHERE id = '192.0.2.1'")
        other.execute("UPDATE bans SET data = '[1, 2]' WHERE id = '192.0.2.2'")
        other.commit()
    assert [str(one.id) for one in store.load("sshd").bans] == ["192.0.2.3"]
    assert "2 row(s) of the table 'bans' cannot be read and are left out" in caplog.text


# When it is written -----------------------------------------------------------------


def test_all_that_waits_is_written_in_one_transaction(stores: Make, file: str) -> None:
    store, called = stores(file), []
    for number in range(100):
        batch = Batch(marks={("sshd", "log"): str(number)})
        batch.done.append(lambda number=number: called.append(number))
        store.save(batch)
    assert (called, store.health().pending) == ([], 1)
    store.step()
    assert called == list(range(100))
    assert (store.health().commits, store.health().pending) == (1, 0)


def test_who_waits_is_called_when_another_process_can_see_it(stores: Make, file: str) -> None:
    store, seen = stores(file), []

    def look() -> None:
        with closing(sqlite3.connect(file)) as other:
            seen.extend(other.execute("SELECT id FROM bans"))

    store.save(replace(batch_of(ban()), done=[look]))
    store.step()
    assert seen == [("192.0.2.1",)]


def test_what_is_no_ban_waits_a_little_for_others_after_the_last_transaction(
    stores: Make, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "REST", 1e9)
    monkeypatch.setattr(store_module, "LONGEST_REST", 600.0)
    store = stores(file, time.monotonic)
    thread = threading.Thread(target=store.run, args=(threading.Event(),))
    thread.start()

    write_now, third = store._keeper.write, threading.Event()

    def save(mark: str) -> None:
        store.save(Batch(marks={("sshd", "log"): mark}))

    def write(batch: Batch) -> None:
        write_now(batch)
        if commits(1):
            store.save(batch_of(ban("192.0.2.2")))
        elif commits(2):
            third.set()

    def commits(number: int) -> bool:
        return store.health().commits == number

    def await_commit() -> None:
        give_up = time.monotonic() + 10
        while not commits(1) and time.monotonic() < give_up:
            time.sleep(0.01)

    try:
        save("1")
        await_commit()  # a lone change is not delayed
        save("2")
        time.sleep(0.1)
        save("3")
        assert commits(1) and store.health().pending == 1
        monkeypatch.setattr(store._keeper, "write", write)
        store.save(batch_of(ban("192.0.2.1")))
        # One that comes in the middle of a transaction hurries as well.
        assert third.wait(10)
        save("4")
        # Whoever asks is answered at once, with all that was saved.
        assert store.load("sshd", 10).marks == {"log": "4"}
        save("5")
    finally:
        store.finish()
        thread.join(10)
    assert not thread.is_alive()
    assert again(stores, stores(), file).load("sshd").marks == {"log": "5"}


def test_an_idle_store_sleeps_until_the_next_purge(stores: Make, file: str) -> None:
    clock = FakeClock()
    store = stores(file, clock)
    store.save(batch_of(ban()))
    assert store.step() == PURGE_INTERVAL
    clock.advance(100)
    assert store.step() == PURGE_INTERVAL - 100
    assert store.health().commits == 1


def test_a_new_ban_is_kept_as_history_once_however_often_it_is_saved(stores: Make) -> None:
    store, first = stores(), ban(lines=("a", "b"))
    for saved in (first, replace(first, end=NOW + 9000), replace(first, end=NOW - 1)):
        store.save(batch_of(saved))
        store.step()
    store.save(Batch(bans={("sshd", ID): None}))
    assert store.ask(lambda queries: queries.lines(ID, "sshd")) == Earlier(("a", "b"), 5)
    store.save(batch_of(replace(first, start=NOW + 50)))
    assert store.ask(lambda queries: queries.lines(ID, "sshd")).failures == 10


def test_lines_of_all_bans_are_merged_the_newest_stay(stores: Make) -> None:
    store = stores(maxmatches=3)
    store.save(batch_of(ban(start=NOW, jail="a", lines=("1", "2"))))
    store.save(batch_of(ban(start=NOW + 9, jail="b", lines=("3", "4", "5", "6"))))
    store.save(batch_of(ban(start=NOW + 5, jail="c", lines=("x",)), ban("192.0.2.9", jail="a")))
    merged = store.ask(lambda queries: [queries.lines(ID, jail) for jail in (None, "a", "d")])
    assert merged == [Earlier(("4", "5", "6"), 15), Earlier(("1", "2"), 5), Earlier((), 0)]


def test_of_a_ban_no_more_lines_are_stored_than_wanted(stores: Make, file: str) -> None:
    store = stores(file, maxmatches=0)
    store.save(batch_of(ban(lines=("secret",))))
    assert store.load("sshd").bans[0].ticket.lines == ()
    store.step()
    store.close()
    assert b"secret" not in Path(file).read_bytes()


def test_who_is_forgotten_by_hand_leaves_no_lines(stores: Make) -> None:
    store = stores()
    store.save(batch_of(ban()))
    store.step()
    lifted = replace(ban(), end=NOW - 1)
    store.save(replace(batch_of(lifted), records={("sshd", ID): None}))
    assert store.ask(lambda queries: queries.lines(ID, None)) == Earlier((), 0)


def test_events_are_found_by_whom_they_concern(stores: Make) -> None:
    store = stores()
    other = ip_address("192.0.2.2")
    told = [
        event(NOW, "192.0.2.1", "a"),
        event(NOW, "192.0.2.2", "a"),
        Event(NOW, "command", "a", None, {"count": 2}, (other, ID)),
        event(NOW, "192.0.2.1", "b"),
        Event(NOW, "command", "a", None, {"verb": "check"}),
    ]
    store.save(Batch(events=list(told)))

    def found(*ids: Id, limit: int = 10) -> list[int]:
        answer = store.ask(lambda queries: queries.events_of(ids, limit))
        return [
            told.index(replace(one, ids=told[2].ids if "count" in one.facts else ()))
            for one in answer
        ]

    assert len(store.ask(lambda queries: queries.events(10))) == 5
    store._keeper._database.connection.execute("UPDATE events SET ids = x'00' WHERE number = 5")
    assert len(store.ask(lambda queries: queries.events(2))) == 2
    assert found() == []
    assert found(ID) == [0, 2, 3]
    assert found(ID, other) == [0, 1, 2, 3]  # what concerns both is one event
    assert found(ID, limit=1) == [2, 3]
    assert found("192.0.2.1") == []


IDS = st.one_of(
    st.sampled_from(["a", "=a", ",", '"', "\\", '","', "192.0.2.1", "\ud800", "a,b", "\\u002c"]),
    st.text(max_size=5),
    st.ip_addresses(),
    st.sampled_from([ip_network("192.0.2.0/24"), ip_address("fe80::1%a,b")]),
)


@given(st.lists(IDS, min_size=2, max_size=6), IDS)
def test_an_event_of_many_is_found_by_exactly_those(ids: list[Id], other: Id) -> None:
    written = id_items(id_list(ids))
    assert len(written) == len(ids)
    assert (id_item(other) in written) == (other in ids)
    assert all(id_item(id) in written for id in ids)


def test_a_database_of_version_1_learns_whom_an_event_of_many_concerns(
    stores: Make, file: str
) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_first_version())
    store = stores(file)
    before = store.ask(lambda queries: queries.events_of([ID], 10))
    assert [one.facts for one in before] == [{"old": 1}]
    store.save(Batch(events=[Event(NOW, "command", "a", None, {"count": 2}, (ID, "x"))]))
    assert len(store.ask(lambda queries: queries.events_of([ID], 10))) == 2
    assert len(store.ask(lambda queries: queries.events_of(["x"], 10))) == 1
    store.close()
    with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect("")) as fresh:
        fresh.executescript(SCHEMA)
        names = "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
        assert connection.execute(names).fetchall() == fresh.execute(names).fetchall()


def _first_version() -> str:
    """Return the SQL that made a database of version 1, with one event."""
    events = SCHEMA[SCHEMA.index("CREATE TABLE events") : SCHEMA.index("CREATE TABLE imports")]
    old = """
        CREATE TABLE events (
            number INTEGER PRIMARY KEY, time REAL NOT NULL, kind NOT NULL, jail, id, facts NOT NULL
        );
        CREATE INDEX events_id ON events (id);
        CREATE INDEX events_jail ON events (jail);
        CREATE INDEX events_time ON events (time);
    """
    row = f"""INSERT INTO events VALUES (1, {NOW}, 'found', 'a', '{ID}', '{{"old":1}}')"""
    kind = f"PRAGMA application_id = {APPLICATION:d}; PRAGMA user_version = 1"
    return f"{SCHEMA.replace(events, old)}; {row}; {kind}"


def test_events_that_came_while_the_clock_was_ahead_are_forgotten_with_those_behind(
    stores: Make, file: str
) -> None:
    clock = FakeClock()
    store = stores(file, clock, purgeage=DAY)
    times = [NOW, NOW + 9 * DAY, NOW + 1, NOW + 10 * DAY]
    store.save(Batch(events=[event(time) for time in times]))
    clock.advance(DAY + PURGE_INTERVAL)
    store.step()

    def left() -> list[float]:
        return [one.time for one in store.ask(lambda queries: queries.events(10))]

    assert left() == times[1:]
    clock.advance(9 * DAY)
    store.step()
    assert left() == times[3:]
    clock.advance(2 * DAY)
    store.step()
    assert left() == []


def test_a_clock_that_was_far_ahead_does_not_keep_all_that_came_later(
    stores: Make, file: str
) -> None:
    clock = FakeClock()
    store = stores(file, clock, purgeage=DAY)
    store.save(Batch(events=[event(time) for time in (NOW + 9999 * DAY, NOW, NOW + 1)]))
    clock.advance(DAY + PURGE_INTERVAL)
    store.save(Batch(events=[event(clock())]))
    store.step()
    assert [one.time for one in store.ask(lambda queries: queries.events(10))] == [clock()]


# What is forgotten --------------------------------------------------------------------


def test_what_is_old_is_forgotten_each_hour(stores: Make, file: str) -> None:
    clock = FakeClock()
    store = stores(file, clock, purgeage=DAY)
    failure = Failure("sshd", ID, NOW, ("line",))
    store.save(
        Batch(
            suspects={("sshd", "old"): Suspect((NOW,)), ("sshd", "new"): Suspect((NOW + DAY,))},
            deferred={("sshd", 1): Deferred(failure, True, NOW)},
            records={
                ("sshd", "old"): Record(1, NOW, NOW + DAY),
                ("sshd", "permanent"): Record(1, NOW, None),
                ("sshd", "new"): Record(1, NOW, NOW + 3 * DAY),
            },
            events=[event(NOW), event(NOW + DAY)],
            marks={("sshd", "log"): "1"},
        )
    )
    store.save(batch_of(ban(length=None)))
    store.step()
    clock.advance(DAY + PURGE_INTERVAL)
    store.step()
    left = store.load("sshd")
    assert list(left.suspects) == ["new"]
    assert left.deferred == {}
    assert (left.marks, len(left.bans)) == ({"log": "1"}, 1)
    assert {id for _, id, _ in store.records()} == {"permanent", "new"}
    assert store.ask(lambda queries: len(queries.events(10))) == 1
    assert store.ask(lambda queries: queries.lines(ID, None)).failures == 0


def test_what_is_old_at_the_start_is_forgotten(stores: Make, file: str) -> None:
    store = stores(file)
    store.save(Batch(suspects={("sshd", ID): Suspect((NOW,))}, marks={("sshd", "log"): "1"}))
    store = again(stores, store, file, clock=FakeClock(NOW + 2 * DAY))
    assert (store.load("sshd").suspects, store.load("sshd").marks) == ({}, {"log": "1"})


def test_a_section_that_is_gone_is_forgotten_but_not_its_permanent_bans(
    stores: Make, file: str
) -> None:
    store = stores(file)
    for jail in ("here", "gone"):
        store.save(Batch(marks={(jail, "log"): "1"}))
        store.save(batch_of(ban("192.0.2.1", jail=jail), ban("192.0.2.2", length=None, jail=jail)))
    clock = FakeClock(NOW + 2 * DAY)
    store = again(stores, store, file, clock=clock)
    store.load("here")
    clock.advance(PURGE_INTERVAL)
    store.step()
    here, gone = store.load("here"), store.load("gone")
    assert (here.marks, len(here.bans)) == ({"log": "1"}, 2)
    assert (gone.marks, [str(ban.id) for ban in gone.bans]) == ({}, ["192.0.2.2"])


def test_a_silent_log_keeps_its_place(stores: Make, file: str) -> None:
    clock = FakeClock()
    store = stores(file, clock)
    store.save(Batch(marks={("sshd", "log"): "1"}))
    store.step()
    for _ in range(10):
        clock.advance(DAY)
        store.step()
    assert store.load("sshd").marks == {"log": "1"}


def filled(store: Store, events: int = 0, bans: int = 0) -> None:
    """Save many things; every ban has lines and a record."""
    for number in range(events):
        store.save(Batch(events=[event(NOW + number, text="x" * 500)]))
    for number in range(bans):
        one = ban(str(ID + number), NOW + number, lines=("y" * 500,))
        key = one.jail, one.id
        store.save(Batch(bans={key: one}, records={key: Record(1, one.start, one.end)}))
        store.step()
        store.save(Batch(bans={key: None}))
    store.step()


def test_events_go_first_where_there_is_no_more_room(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(file, maxsize=2_000_000)
    filled(store, bans=300)
    for _ in range(10):
        filled(store, events=1500)
        assert os.stat(file).st_size <= 2_000_000 + store_module.EVENTS * 200
    kept = store.ask(lambda queries: queries.events(10**6))
    assert 0 < len(kept) < 15_000
    assert kept[-1].time == NOW + 1499
    assert len(list(store.records())) == 300
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "more than 2000000 bytes: the oldest of what is over is dropped" in caplog.text
    store.close()
    assert os.stat(file).st_size <= 2_000_000


def test_large_events_go_one_after_the_other(stores: Make, file: str) -> None:
    store = stores(file, maxsize=2_000_000)
    many = tuple(ID + number for number in range(5000))
    for number in range(40):
        store.save(Batch(events=[Event(NOW + number, "command", "a", None, {}, many)]))
    store.step()
    left = [one.time for one in store.ask(lambda queries: queries.events(100))]
    assert 2 <= len(left) < 40 and left[-1] == NOW + 39


def test_bans_in_force_and_marks_never_fall_victim(stores: Make, file: str) -> None:
    store = stores(file, maxsize=40_000)
    filled(store, bans=200)
    store.save(batch_of(*(ban(str(ID + number)) for number in range(500))))
    store.save(Batch(marks={("sshd", str(number)): "x" * 100 for number in range(100)}))
    store.save(Batch(records={("sshd", "permanent"): Record(9, NOW, None)}))
    store.step()
    left = store.load("sshd")
    assert (len(left.bans), len(left.marks)) == (500, 100)
    assert [id for _, id, _ in store.records()] == ["permanent"]
    assert store.ask(lambda queries: queries.lines(ID, None)) == Earlier((), 0)


def test_a_database_in_memory_is_bounded_too(stores: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fail2ban.storekeeper.MEMORY", 1_000_000)
    store = stores()
    filled(store, events=8000)
    assert store.health().bytes <= 1_100_000


def test_limits_change_while_it_runs_the_file_does_not(stores: Make, file: str) -> None:
    store = stores(file)
    store.configure(StoreSettings("/elsewhere", maxmatches=1))
    store.save(batch_of(ban()))
    assert store.load("sshd").bans[0].ticket.lines == ("last line",)
    assert store.health().file == file


# When it cannot be written ------------------------------------------------------------


class Disk:
    """Lets a database grow no further, as a full disk does, until it is told to."""

    def __init__(self, store: Store) -> None:
        self._connection = store._keeper._database.connection

    def fill(self) -> None:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        self._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    def empty(self) -> None:
        self._connection.execute("PRAGMA max_page_count = 1000000").fetchone()


def big(number: int) -> Batch:
    """Return a change that needs another page."""
    return Batch(marks={("sshd", f"log {number}"): "x" * 8000})


def test_a_full_disk_is_survived_and_told_once(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    store = stores(file, clock)
    disk, called = Disk(store), []
    disk.fill()
    for number in range(20):
        store.save(replace(big(number), done=[lambda: called.append(1)]))
        store.step()
        clock.advance(10)
    assert len(called) == 20
    assert store.health().failing == "database or disk is full"
    assert store.health().pending == 20
    (told,) = caplog.records
    assert told.levelname == "ERROR"
    assert told.message.startswith(f"cannot write to the database {file}: database or disk is full")
    disk.empty()
    clock.advance(60)
    store.step()
    assert (store.health().failing, store.health().pending) == ("", 0)
    assert caplog.messages[1:] == [
        f"the database {file} can be written again, and 20 change(s) were"
    ]
    assert len(again(stores, store, file).load("sshd").marks) == 20


def test_the_pauses_between_attempts_grow(stores: Make, file: str) -> None:
    clock = FakeClock()
    store = stores(file, clock)
    Disk(store).fill()
    store.save(big(1))
    pauses = []
    for _ in range(9):
        pauses.append(store.step())
        assert store.step() == pauses[-1]
        clock.advance(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_batch_that_cannot_be_written_is_not_written_in_part(stores: Make, file: str) -> None:
    store = stores(file)
    Disk(store).fill()
    store.save(Batch(marks={("sshd", "log"): "1"}, bans=big_bans()))
    store.step()
    with closing(sqlite3.connect(file)) as other:
        for table in ("marks", "bans", "history", "jails"):
            assert other.execute(f"SELECT * FROM {table}").fetchall() == []


def big_bans() -> dict:
    return batch_of(*(ban(str(ID + number), lines=("z" * 500,)) for number in range(50))).bans


def test_what_waits_for_a_full_disk_is_bounded(
    stores: Make, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "EVENTS", 100)
    store = stores(file)
    Disk(store).fill()
    store.save(big(0))
    for number in range(1000):
        store.save(Batch(events=[event(NOW + number)]))
        store.step()
    assert store.health().pending <= 201


def test_who_comes_and_goes_while_nothing_can_be_written_takes_no_room(
    stores: Make, file: str
) -> None:
    clock = FakeClock()
    store = stores(file, clock)
    known, passing = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    store.save(Batch(suspects={("sshd", known): Suspect((NOW,))}))
    store.step()
    disk = Disk(store)
    disk.fill()
    store.save(big(0))
    for id in (known, passing):
        store.save(Batch(suspects={("sshd", id): Suspect((NOW,))}))
        store.save(Batch(suspects={("sshd", id): None}, bans={("sshd", id): None}))
    store.save(Batch(deferred={("sshd", 1): None}))
    store.step()
    assert store.health().pending == 2  # a mark, and that one is to be forgotten
    disk.empty()
    clock.advance(60)
    store.step()
    assert again(stores, store, file).load("sshd").suspects == {}


def test_what_is_there_can_be_read_while_nothing_can_be_written(stores: Make, file: str) -> None:
    store = stores(file)
    store.save(batch_of(ban()))
    store.step()
    Disk(store).fill()
    store.save(big(1))
    assert len(store.load("sshd").bans) == 1


def test_what_is_lost_at_the_end_is_told(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(file)
    Disk(store).fill()
    store.save(big(1))
    store.finish()
    store.run(threading.Event())
    assert caplog.messages[-1] == (
        "the end has come: 1 change(s) could not be written and are lost"
    )


def test_a_database_that_was_deleted_is_written_again(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(file)
    store.save(batch_of(ban("192.0.2.1")))
    store.step()
    for path in Path(file).parent.glob("db*"):
        path.unlink()
    store.save(batch_of(ban("192.0.2.2")))
    store.step()
    assert "was moved or deleted while in use; it is written again" in caplog.text
    assert store.health().failing == ""
    assert len(again(stores, store, file).load("sshd").bans) == 2


def test_where_it_cannot_be_opened_again_everything_is_saved_in_memory(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, renewed = FakeClock(), []
    store = Store(StoreSettings(file), clock, clock, lambda: renewed.append(1))
    store.open()
    Path(file).unlink()

    def fail(path: str, now: float) -> Database:
        raise StoreError("no")

    monkeypatch.setattr("fail2ban.storekeeper.database.open_file", fail)
    store.save(batch_of(ban()))
    store.step()
    assert (renewed, store.health().file) == ([1], "")
    assert len(store.load("sshd").bans) == 1
    store.close()


def test_what_was_put_in_its_place_is_set_aside(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(file)
    store.save(batch_of(ban()))
    store.step()
    os.rename(file, f"{file}.mine")
    Path(file).write_text("theirs")
    store.save(batch_of(ban("192.0.2.2")))
    store.step()
    assert "what was put in its place is now" in caplog.text
    (aside,) = Path(file).parent.glob("db.2*")
    assert aside.read_text() == "theirs"
    assert len(again(stores, store, file).load("sshd").bans) == 2


def test_a_folder_that_was_deleted_is_waited_for(
    stores: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    store = stores(str(folder / "db"), clock)
    store.save(batch_of(ban("192.0.2.1")))
    store.step()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.parent.rmdir()
    store.save(batch_of(ban("192.0.2.2")))
    store.step()
    assert "there is no folder" in store.health().failing
    folder.parent.mkdir()
    clock.advance(60)
    store.step()
    assert store.health().failing == ""
    assert len(again(stores, store, str(folder / "db")).load("sshd").bans) == 2


def damage(store: Store, file: str) -> None:
    """Write garbage over all pages but the first, and have SQLite notice."""
    connection = store._keeper._database.connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("PRAGMA cache_size = 0")
    connection.execute("PRAGMA shrink_memory")
    with open(file, "r+b") as opened:
        size = os.fstat(opened.fileno()).st_size
        opened.seek(4096)
        opened.write(b"\xa5" * (size - 4096))


def test_a_database_damaged_while_in_use_is_replaced(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, renewed = FakeClock(), []
    store = Store(StoreSettings(file), clock, clock, lambda: renewed.append(1))
    store.open()
    store.save(batch_of(ban("192.0.2.1")))
    store.step()
    damage(store, file)
    store.save(batch_of(ban("192.0.2.2")))
    store.step()
    assert renewed == [1]
    assert [str(one.id) for one in store.load("sshd").bans] == ["192.0.2.2"]
    assert store.health().file == file
    assert "is damaged: database disk image is malformed; it is now" in caplog.text
    store.close()
    assert len(list(Path(file).parent.glob("db.2*"))) == 1


def test_damage_that_a_reader_finds_is_mended_too(file: str) -> None:
    clock, renewed = FakeClock(), []
    store = Store(StoreSettings(file), clock, clock, lambda: renewed.append(1))
    store.open()
    store.save(batch_of(ban()))
    store.step()
    damage(store, file)
    with pytest.raises(StoreError, match="cannot read the database"):
        store.load("sshd")
    assert renewed == [1]
    assert store.load("sshd") == Remembered()
    store.close()


def test_a_disk_that_damages_everything_is_given_up(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(file)
    for number in range(6):
        store.save(batch_of(ban(str(ID + number))))
        store.step()
        if store.health().file:
            damage(store, file)
    assert store.health().file == ""
    assert "is damaged again and again" in caplog.text
    assert len(store.load("sshd").bans) == 2


# When it cannot be opened ---------------------------------------------------------------


def test_without_a_file_the_daemon_goes_on_in_memory(
    stores: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = stores(str(tmp_path / "a" / "b" / "db"))
    store.save(batch_of(ban()))
    assert len(store.load("sshd").bans) == 1
    assert store.health().file == ""
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "are kept in memory and end with the daemon" in caplog.text


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_no_file_at_all_is_no_error(
    name: str, stores: Make, caplog: pytest.LogCaptureFixture
) -> None:
    stores(name).save(batch_of(ban()))
    assert not caplog.records


def test_a_second_daemon_leaves_the_database_to_the_first(
    stores: Make, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = stores(file), stores(file)
    assert (first.health().file, second.health().file) == (file, "")
    assert "another daemon uses its database; bans, counts and log positions are" in caplog.text
    first.close()
    assert stores(file).health().file == file


def test_a_damaged_database_is_set_aside_and_the_daemon_runs(stores: Make, file: str) -> None:
    Path(file).write_bytes(b"garbage" * 1000)
    store = stores(file)
    store.save(batch_of(ban()))
    assert len(store.load("sshd").bans) == 1
    assert store.health().file == file


_FULL = """
import sys, pathlib
from fail2ban.records import StoreSettings
from fail2ban import store as store_module
from fail2ban.store import Store
from tests.stored import ban, batch_of
from tests.helpers import FakeClock
folder, clock = pathlib.Path(sys.argv[1]), FakeClock()
file = str(folder / "db")
def opened():
    store = Store(StoreSettings(file), clock, clock)
    store.open()
    return store
def fill():
    with open(folder / "ballast", "ab", 0) as ballast:
        for size in (4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                pass
first = opened()
first.save(batch_of(ban("192.0.2.1")))
first.step()
fill()
first.save(batch_of(*(ban(f"192.0.2.{n}", lines=("x" * 4000,) * 9) for n in range(2, 100))))
first.step()
print("failing", bool(first.health().failing))
first.close()
second = opened()  # starts on a full disk
print("found", len(second.load("sshd").bans), bool(second.health().file))
second.save(batch_of(ban("192.0.2.200", lines=("x" * 4000,) * 9)))
second.step()
print("failing", bool(second.health().failing))
(folder / "ballast").unlink()
clock.advance(60)
second.step()
print("failing", bool(second.health().failing))
second.close()
print("found", len(opened().load("sshd").bans))
"""


@needs.root()
@needs.programs("unshare", "mount")
def test_a_disk_that_is_really_full_is_survived(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full.py").write_text(_FULL)
    script = 'mount -t tmpfs -o size=512k none "$1" && exec "$2" "$3" "$1"'
    names = [str(tmp_path / "full"), sys.executable, str(tmp_path / "full.py")]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *names],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = ["failing True", "found 1 True", "failing True", "failing False", "found 2"]
    assert done.stdout.splitlines() == expected, done.stderr


# The thread -----------------------------------------------------------------------------


@pytest.fixture
def running(file: str) -> Iterator[Store]:
    store = Store(StoreSettings(file))
    store.open()
    thread = threading.Thread(target=store.run, args=(threading.Event(),))
    thread.start()
    yield store
    store.finish()
    thread.join(10)
    assert not thread.is_alive()


def test_many_threads_save_and_ask_at_once(running: Store) -> None:
    called = itertools.count()

    def work(jail: str) -> None:
        for number in range(200):
            batch = Batch(marks={(jail, "log"): str(number)}, done=[lambda: next(called)])
            running.save(batch)
            if number % 20 == 0:
                assert running.load(jail).marks == {"log": str(number)}

    threads = [threading.Thread(target=work, args=(f"jail {name}",)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [running.load(f"jail {name}").marks for name in range(8)] == [{"log": "199"}] * 8
    assert next(called) == 1600


def test_everything_saved_before_the_end_is_written(file: str, stores: Make) -> None:
    store = Store(StoreSettings(file))
    store.open()
    thread = threading.Thread(target=store.run, args=(threading.Event(),))
    thread.start()
    for number in range(500):
        store.save(Batch(marks={("sshd", str(number)): "1"}))
    store.finish()
    thread.join(10)
    assert len(stores(file).load("sshd").marks) == 500


def test_a_stopped_store_still_calls_who_waits(stores: Make) -> None:
    store, called = stores(), []
    store.save(Batch(done=[lambda: called.append("before")]))
    store.close()
    store.save(Batch(done=[lambda: called.append("after")]))
    assert called == ["before", "after"]
    with pytest.raises(StoreError, match="the database is closed"):
        store.load("sshd")


def test_it_stops_when_it_is_told_to_and_woken(stores: Make, file: str) -> None:
    store, stop = stores(file), threading.Event()
    thread = threading.Thread(target=store.run, args=(stop,))
    thread.start()
    store.save(batch_of(ban()))
    stop.set()
    store.wake()
    thread.join(10)
    assert not thread.is_alive()
    assert len(stores(file).load("sshd").bans) == 1


def test_who_asks_does_not_wait_longer_than_he_wants(running: Store) -> None:
    begun, end = threading.Event(), threading.Event()

    def busy(queries: Queries) -> None:
        begun.set()
        end.wait(10)

    asker = threading.Thread(target=running.ask, args=(busy,))
    asker.start()
    begun.wait(10)
    with pytest.raises(StoreError, match="has not answered within 0.01 s"):
        running.ask(lambda queries: None, timeout=0.01)
    end.set()
    asker.join()


def test_an_error_of_the_question_reaches_who_asked(running: Store) -> None:
    def wrong(queries: Queries) -> None:
        raise LookupError("no such jail")

    with pytest.raises(LookupError, match="no such jail"):
        running.ask(wrong)
    assert running.load("sshd") == Remembered()


def test_who_is_called_when_it_is_written_may_ask(running: Store) -> None:
    found: list[int] = []
    asked = threading.Event()

    def done() -> None:
        found.append(len(running.load("sshd").bans))
        asked.set()

    running.save(replace(batch_of(ban()), done=[done]))
    assert asked.wait(10)
    assert found == [1]
