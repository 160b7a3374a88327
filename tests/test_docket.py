# SPDX-License-Identifier: GPL-2.0-or-later
"""What a section hands to the store, and when."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from fail2ban import notices
from fail2ban.decide.bans import Bans, Entry, State, Verb
from fail2ban.decide.court import Court
from fail2ban.decide.history import Memory
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.judge import Judge
from fail2ban.decide.timer import Timer
from fail2ban.events import Event, Events
from fail2ban.ledger import Batch, Deferred, Record, Remembered, Suspect
from fail2ban.records import Ban, Command, Failure, Id, IgnoreSettings, JailSettings, Ticket
from tests.helpers import NOW, FakeClock, failure, jail_settings
from tests.test_ignore import FakeAsker, FakeHosts

ONE, TWO = ip_address("192.0.2.1"), ip_address("192.0.2.2")


class FakeLedger:
    """Keeps what it is given; `commit` says that it is durable."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def save(self, batch: Batch) -> None:
        self.batches.append(batch)

    def commit(self) -> None:
        for batch in self.batches:
            for done in batch.done:
                done()

    def take(self) -> Batch:
        """Return all that was saved since the last call, merged."""
        merged = Batch()
        for batch in self.batches:
            merged.merge(batch)
        self.batches.clear()
        return merged


class Office:
    """A judge whose changes are saved."""

    def __init__(self, settings: JailSettings | None = None) -> None:
        self.clock, self.ledger = FakeClock(), FakeLedger()
        self.orders: list[tuple[Verb, Entry]] = []
        timer = Timer(self.clock, self.clock)
        self.bans = Bans(timer, lambda *order: self.orders.append(order), self.ledger)
        self.hosts, self.asker, self.history = FakeHosts(), FakeAsker(1), Memory()
        self.events: list[Event] = []
        events = Events(self.clock)
        events.listen(self.events.append)
        court = Court(
            bans=self.bans,
            own=OwnAddresses(self.clock, lambda: frozenset()),
            hosts=self.hosts,
            history=self.history,
            notices=notices.of(True),
            asker=self.asker,
            events=events,
            clock=self.clock,
            ticks=self.clock,
            rng=random.Random(1),
        )
        self.judge = Judge(settings or jail_settings(maxretry=3), court)
        self.judge._inquiry._start = lambda: None  # type: ignore[method-assign]
        self.hosts.answer()

    def fail(self, ip: Id = ONE, times: int = 1) -> None:
        for _ in range(times):
            self.judge.hear(Failure("SSH", ip, self.clock(), ("line",)))

    def remember(self, left: Remembered) -> tuple[list[Ban], list[Ban]]:
        back: list[Ban] = []
        over: list[Ban] = []

        def restore(bans: object, ended: object) -> None:
            back.extend(bans)  # type: ignore[call-overload]
            over.extend(ended)  # type: ignore[call-overload]
            self.bans.restore(back, lambda entries: None)

        self.judge.remember(left, restore)
        return back, over


def test_position_and_counts_are_saved_together_and_only_at_the_end_of_a_poll() -> None:
    office = Office()
    office.judge.begin()
    office.fail(times=2)
    assert office.ledger.batches == []
    office.judge.done({"log": "7"})
    (batch,) = office.ledger.batches
    assert batch.marks == {("SSH", "log"): "7"}
    assert batch.suspects["SSH", ONE] == Suspect((NOW, NOW), ((NOW, ("line",)), (NOW, ("line",))))


def test_ban_is_saved_with_the_lines_that_led_to_it_and_its_suspect_is_gone() -> None:
    office = Office()
    office.judge.begin()
    office.fail(times=3)
    office.judge.done({"log": "9"})
    batch = office.ledger.take()
    ban = batch.bans["SSH", ONE]
    assert ban is not None
    assert ban.ticket.failures == 3
    assert batch.suspects == {("SSH", ONE): None}
    assert batch.records["SSH", ONE] == office.history.record("SSH", ONE)


def test_marks_that_did_not_change_are_not_saved_again() -> None:
    office = Office()
    office.judge.done({"one": "1", "two": "1"})
    office.ledger.take()
    office.judge.done({"one": "1", "two": "2"})
    assert office.ledger.take().marks == {("SSH", "two"): "2"}
    office.judge.done({"one": "1", "two": "2"})
    assert office.ledger.batches == []


def test_mark_of_a_log_that_is_let_go_is_taken_away() -> None:
    office = Office()
    office.judge.done({"one": "1", "two": "1"})
    office.ledger.take()
    office.judge.done({"two": "1"})
    assert office.ledger.take().marks == {("SSH", "one"): None}


def test_ban_is_told_to_be_durable_once_its_batch_is() -> None:
    office = Office()
    office.judge.begin()
    office.fail(times=3)
    (entry,) = office.bans.of("SSH")
    assert not entry.durable
    office.judge.done({})
    assert not entry.durable
    office.ledger.commit()
    assert entry.durable
    assert [verb for verb, _ in office.orders] == [Verb.BAN, Verb.TELL]
    office.ledger.commit()
    assert len(office.orders) == 2


def test_without_a_ledger_every_ban_is_as_durable_as_it_will_be() -> None:
    clock = FakeClock()
    bans = Bans(Timer(clock, clock), lambda verb, entry: None)
    entry = bans.ban(Ticket("SSH", ONE, 3, NOW), 60.0, NOW)
    assert entry is not None
    assert entry.durable


def test_ban_by_hand_is_saved_at_once() -> None:
    office = Office()
    assert office.judge.ban(ONE)
    assert office.ledger.take().bans["SSH", ONE] is not None


def test_ban_that_a_hand_lifts_is_stored_as_over_until_the_firewall_has_let_go() -> None:
    office = Office()
    office.judge.ban(ONE)
    (entry,) = office.bans.of("SSH")
    office.ledger.take()
    office.bans.lift(entry)
    stored = office.ledger.take().bans["SSH", ONE]
    assert stored is not None
    assert stored.end is not None
    assert stored.end <= NOW
    office.bans.remove(entry)
    assert office.ledger.take().bans == {("SSH", ONE): None}


def test_ban_that_the_end_of_the_daemon_takes_down_stays_stored() -> None:
    office = Office()
    office.judge.ban(ONE)
    (entry,) = office.bans.of("SSH")
    office.ledger.take()
    office.bans.remove(entry)
    assert office.ledger.batches == []


def test_ban_that_is_prolonged_is_saved_with_its_new_end() -> None:
    office = Office(jail_settings(maxretry=1, bantime=600.0))
    office.fail()
    (entry,) = office.bans.of("SSH")
    entry.state, entry.applied_at, entry.announced = State.APPLIED, NOW, True
    office.ledger.take()
    office.clock.now += 100
    office.fail()
    stored = office.ledger.take().bans["SSH", ONE]
    assert stored is not None
    assert (stored.end, stored.prolonged) == (NOW + 700, True)


def test_failure_that_waits_for_a_name_outlives_the_process_until_it_is_settled() -> None:
    office = Office()
    office.judge.begin()
    named = Failure("SSH", "host.example", NOW, ("line",))
    number = office.judge.defer(named)
    office.judge.done({"log": "1"})
    assert office.ledger.take().deferred == {("SSH", number): Deferred(named, True, NOW)}
    office.judge.settle(number, [failure(str(ONE))])
    batch = office.ledger.take()
    assert batch.deferred == {("SSH", number): None}
    assert batch.suspects["SSH", ONE] is not None


def test_what_a_name_comes_to_during_a_poll_waits_for_its_end() -> None:
    office = Office()
    number = office.judge.defer(Failure("SSH", "host.example", NOW, ("line",)))
    office.ledger.take()
    office.judge.begin()
    office.judge.settle(number, [failure(str(ONE))])
    assert office.ledger.batches == []
    office.judge.done({})
    assert office.ledger.take().suspects["SSH", ONE] is not None


def test_bans_of_a_poll_that_is_broken_off_are_saved_and_nothing_else_of_it() -> None:
    office = Office()
    office.judge.begin()
    office.fail(times=3)
    office.fail(TWO, times=2)
    office.judge.rest()
    saved = office.ledger.take()
    assert (saved.marks, saved.suspects, list(saved.bans)) == ({}, {}, [("SSH", ONE)])
    assert saved.records["SSH", ONE] is not None
    office.judge.done({"log": "5"})
    saved = office.ledger.take()
    assert saved.marks == {("SSH", "log"): "5"}
    assert saved.suspects.keys() == {("SSH", ONE), ("SSH", TWO)}
    assert saved.bans == {}


def test_ban_by_hand_is_saved_while_lines_are_read() -> None:
    office = Office()
    office.judge.begin()
    assert office.judge.ban(ONE)
    assert list(office.ledger.take().bans) == [("SSH", ONE)]


def test_answer_that_comes_after_the_end_of_a_section_is_left_to_the_next_run() -> None:
    office = Office()
    number = office.judge.defer(Failure("SSH", "host.example", NOW, ("line",)))
    office.ledger.take()
    office.judge.close()
    office.judge.settle(number, [failure()])
    assert office.judge.found_total == 0
    assert office.ledger.batches == []


def test_failure_is_settled_once() -> None:
    office = Office()
    number = office.judge.defer(Failure("SSH", "host.example", NOW, ("line",)))
    for _ in range(2):
        office.judge.settle(number, [failure(str(ONE))])
    assert office.judge.found_total == 1


def test_failure_that_waits_for_a_command_is_deferred() -> None:
    office = Office(replace(jail_settings(), ignore=IgnoreSettings(command=Command.same("x <ip>"))))
    office.judge.begin()
    office.fail()
    office.judge.done({"log": "1"})
    ((key, deferred),) = office.ledger.take().deferred.items()
    assert deferred is not None
    assert (deferred.failure.ip, deferred.named) == (ONE, False)
    work = office.judge._inquiry._next()
    assert work is not None
    work()
    batch = office.ledger.take()
    assert batch.deferred == {key: None}
    assert batch.suspects["SSH", ONE] is not None


def test_who_leaves_the_window_leaves_the_store() -> None:
    office = Office()
    office.fail()
    office.ledger.take()
    office.clock.now += 10_000
    office.judge.forget(office.clock())
    office.judge.done({"log": "2"})
    assert office.ledger.take().suspects == {("SSH", ONE): None}


def test_pardon_takes_the_earlier_bans_away() -> None:
    office = Office()
    office.judge.ban(ONE)
    office.judge.ban(TWO)
    office.ledger.take()
    office.judge.pardon(ONE)
    assert office.ledger.take().records == {("SSH", ONE): None}
    office.judge.pardon(None)
    assert office.ledger.take().records == {("SSH", TWO): None}


def test_decision_is_told_as_an_event() -> None:
    office = Office()
    office.fail(times=3)
    (event,) = [one for one in office.events if one.kind == "decided"]
    assert (event.jail, event.id) == ("SSH", ONE)
    assert (event.facts["failures"], event.facts["manual"]) == (3, False)


# What an earlier run has left ---------------------------------------------------------


def test_failures_of_an_earlier_run_count() -> None:
    office = Office()
    office.remember(Remembered(suspects={ONE: Suspect((NOW - 2, NOW - 1))}))
    office.fail()
    assert [entry.ban.id for entry in office.bans.of("SSH")] == [ONE]


def test_failures_that_have_left_the_window_do_not_and_leave_the_store() -> None:
    office = Office()
    office.remember(Remembered(suspects={ONE: Suspect((NOW - 9000,))}))
    assert office.ledger.take().suspects == {("SSH", ONE): None}


def test_failures_of_who_is_ignored_now_are_forgotten() -> None:
    office = Office(
        replace(jail_settings(), ignore=IgnoreSettings(networks=(ip_network("192.0.2.0/24"),)))
    )
    office.remember(Remembered(suspects={ONE: Suspect((NOW,))}))
    assert office.judge.found == 0
    assert office.ledger.take().suspects == {("SSH", ONE): None}


def ban(id: Id = ONE, start: float = NOW - 10, length: float | None = 100.0, by: int = 3) -> Ban:
    end = None if length is None else start + length
    return Ban(start, end, Ticket("SSH", id, by, start), restored=True)


def ended(office: Office) -> float | None:
    """Return the end with which a ban is stored."""
    stored = office.ledger.take().bans["SSH", ONE]
    assert stored is not None
    return stored.end


def test_bans_come_back_unless_their_time_has_come_or_they_are_ignored_now() -> None:
    ignore = IgnoreSettings(networks=(ip_network("192.0.2.2/32"),))
    office = Office(replace(jail_settings(bantime=100.0), ignore=ignore))
    old = ban(ip_address("192.0.2.3"), NOW - 200)
    back, over = office.remember(Remembered(bans=(ban(), ban(TWO), old)))
    assert [one.id for one in back] == [ONE]
    assert [one.id for one in over] == [TWO, old.id]
    stored = office.ledger.take().bans
    assert ("SSH", ONE) not in stored  # it is there already, as it stands
    assert stored["SSH", TWO] is None


@pytest.mark.parametrize("length", [None, 5000.0])
def test_ban_that_is_longer_than_the_section_allows_now_is_cut(length: float | None) -> None:
    office = Office(jail_settings(bantime=60.0))
    back, _ = office.remember(Remembered(bans=(ban(length=length),)))
    assert back[0].end == NOW + 50
    assert ended(office) == NOW + 50


def test_ban_that_was_prolonged_keeps_its_end() -> None:
    office = Office(jail_settings(bantime=100.0))
    long = replace(ban(start=NOW - 90, length=180.0), prolonged=True)
    back, _ = office.remember(Remembered(bans=(long,)))
    assert back == [long]


def test_ban_of_unknown_length_lasts_as_long_as_the_section_bans() -> None:
    office = Office(jail_settings(bantime=60.0))
    back, _ = office.remember(Remembered(bans=(ban(length=0.0),), unknown=frozenset([ONE])))
    assert back[0].end == NOW + 50
    assert ended(office) == NOW + 50


def test_deferred_failures_are_heard_again_or_resolved_again() -> None:
    office = Office()
    named = Failure("SSH", "host.example", NOW, ("line",))
    deferred = {4: Deferred(named, True, NOW), 7: Deferred(failure(str(ONE)), False, NOW)}
    office.remember(Remembered(deferred=deferred))
    asked: list[tuple[int, Failure]] = []
    office.judge.resume(lambda *one: asked.append(one))
    assert asked == [(4, named)]
    assert office.judge.found == 1
    assert office.judge.defer(named) == 8


def test_earlier_bans_make_the_next_one_longer_after_a_restart() -> None:
    memory = Memory()
    memory.load([("SSH", ONE, Record(2, NOW - 50, NOW + 1000))])
    assert memory.past("SSH", ONE, NOW).bans == 2
    assert memory.past(None, ONE, NOW).bans == 2
    assert memory.past("SSH", ONE, NOW + 2000).bans == 0
