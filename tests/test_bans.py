# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of bans and the orders it gives."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.bans import Bans, Entry, State, Verb
from fail2ban.decide.timer import Timer
from tests.helpers import NOW, FakeClock, ticket


def table() -> tuple[Bans, Timer, FakeClock, list[tuple[Verb, Entry]]]:
    clock = FakeClock()
    timer = Timer(clock, clock)
    orders: list[tuple[Verb, Entry]] = []
    return Bans(timer, lambda verb, entry: orders.append((verb, entry))), timer, clock, orders


def test_new_ban_is_wanted_and_ordered() -> None:
    bans, _, _, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None
    assert (entry.state, entry.ban.start, entry.ban.end) == (State.WANTED, NOW, NOW + 600)
    assert orders == [(Verb.BAN, entry)]


def test_listed_address_is_not_banned_twice() -> None:
    bans, _, _, orders = table()
    bans.ban(ticket(), 600, NOW)
    assert bans.ban(ticket(), 600, NOW) is None
    assert len(orders) == 1


def test_sections_ban_the_same_address_apart() -> None:
    bans, _, _, _ = table()
    assert bans.ban(ticket(jail="SSH"), 600, NOW)
    assert bans.ban(ticket(jail="Apache"), 600, NOW)
    assert bans.jails() == {"SSH", "Apache"}


def test_ban_is_lifted_at_its_end_and_only_once() -> None:
    bans, timer, clock, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    clock.advance(599.9)
    timer.step()
    assert len(orders) == 1
    clock.advance(0.1)
    timer.step()
    assert entry is not None and entry.state is State.LIFTING
    bans.lift(entry)
    assert [verb for verb, _ in orders] == [Verb.BAN, Verb.UNBAN]


def test_permanent_ban_never_ends() -> None:
    bans, timer, clock, orders = table()
    entry = bans.ban(ticket(), None, NOW)
    assert entry is not None and entry.ban.end is None
    clock.advance(1e9)
    timer.step()
    assert len(orders) == 1


def test_address_that_is_being_lifted_can_be_banned_again_after_the_unban() -> None:
    bans, _, _, orders = table()
    first = bans.ban(ticket(), 600, NOW)
    assert first is not None
    bans.lift(first)
    second = bans.ban(ticket(), 600, NOW)
    assert second is not None
    assert orders == [(Verb.BAN, first), (Verb.UNBAN, first), (Verb.BAN, second)]
    bans.remove(first)  # the unban is carried out only now
    assert bans.get("SSH", ip_address("192.0.2.1")) is second


def test_end_of_a_forgotten_ban_orders_nothing() -> None:
    bans, timer, clock, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None
    bans.remove(entry)
    clock.advance(600)
    timer.step()
    assert len(orders) == 1


def test_states_are_counted() -> None:
    bans, _, _, _ = table()
    bans.ban(ticket("192.0.2.1"), 600, NOW)
    entry = bans.ban(ticket("192.0.2.2"), 600, NOW)
    assert entry is not None
    entry.state = State.APPLIED
    assert bans.states() == {State.WANTED: 1, State.APPLIED: 1}


def test_ban_of_an_id_is_kept_apart_from_that_of_its_address() -> None:
    bans, _, _, _ = table()
    account = replace(ticket(), fid="alice")
    assert bans.ban(account, 600, NOW)
    assert bans.ban(ticket(), 600, NOW)
    assert bans.ban(account, 600, NOW) is None
    entry = bans.get("SSH", "alice")
    assert entry is not None and str(entry.ban.ip) == "192.0.2.1"


def test_count_and_origin_of_a_ban_are_kept() -> None:
    bans, _, _, _ = table()
    entry = bans.ban(ticket(), 600, NOW, count=3, restored=True)
    assert entry is not None and (entry.ban.count, entry.ban.restored) == (3, True)


def test_extended_ban_ends_at_its_new_end_and_is_ordered_to_be_prolonged() -> None:
    bans, timer, clock, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None
    assert bans.extend(entry, NOW + 900)
    assert bans.extend(entry, NOW + 1000)
    assert len(timer) == 1
    clock.advance(999.9)
    timer.step()
    assert [verb for verb, _ in orders] == [Verb.BAN, Verb.PROLONG, Verb.PROLONG]
    clock.advance(0.1)
    timer.step()
    assert [verb for verb, _ in orders][3:] == [Verb.UNBAN]


def test_ban_that_is_extended_for_ever_never_ends() -> None:
    bans, timer, clock, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None and bans.extend(entry, None)
    clock.advance(1e9)
    timer.step()
    assert [verb for verb, _ in orders] == [Verb.BAN, Verb.PROLONG]
    assert not bans.extend(entry, NOW + 2e9)


def test_ban_is_never_made_shorter_nor_extended_once_it_is_over() -> None:
    bans, _, _, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None
    assert not bans.extend(entry, NOW + 600)
    assert not bans.extend(entry, NOW + 10)
    bans.lift(entry)
    assert not bans.extend(entry, NOW + 9000)
    assert entry.ban.end == NOW + 600
    assert [verb for verb, _ in orders] == [Verb.BAN, Verb.UNBAN]


def test_state_that_the_runner_notes_late_does_not_undo_the_end_of_a_ban() -> None:
    bans, _, _, _ = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None
    bans.lift(entry)
    entry.state = State.APPLIED  # its command was running meanwhile
    assert entry.state is State.LIFTING


def test_next_ban_inherits_what_the_actions_may_hold_still() -> None:
    bans, _, _, _ = table()
    first = bans.ban(ticket(), 600, NOW)
    assert first is not None
    first.part("one").touched = True
    first.part("two")
    bans.lift(first)
    second = bans.ban(ticket(), 600, NOW)
    assert second is not None
    assert (list(second.parts), second.part("one").inherited) == (["one"], True)
    bans.lift(second)
    third = bans.ban(ticket(), 600, NOW)
    assert third is not None and third.part("one").holds


def test_all_bans_of_a_section_end_with_one_order() -> None:
    bans, _, _, orders = table()
    entries = [bans.ban(ticket(f"192.0.2.{number}"), 600, NOW) for number in (1, 2)]
    bans.ban(ticket(jail="Apache"), 600, NOW)
    ended: list[list[Entry]] = []
    assert bans.end_all("SSH", ended.append) == 2
    assert bans.end_all("SSH", ended.append) == 0
    assert ended == [entries, []]
    assert {verb for verb, _ in orders} == {Verb.BAN}
    assert (bans.count("SSH"), bans.count("Apache")) == (0, 1)


def test_bans_of_a_section_are_counted_also_those_that_are_over() -> None:
    bans, _, _, _ = table()
    first = bans.ban(ticket(), 600, NOW)
    assert first is not None
    bans.lift(first)
    bans.remove(first)
    bans.ban(ticket(), 600, NOW)
    assert (bans.count("SSH"), bans.total("SSH"), bans.total("Apache")) == (1, 2, 0)


@given(st.lists(st.tuples(st.sampled_from(["extend", "wait"]), st.integers(0, 900)), max_size=20))
def test_ban_is_lifted_exactly_when_its_last_end_has_come(steps: list[tuple[str, int]]) -> None:
    bans, timer, clock, orders = table()
    entry = bans.ban(ticket(), 600, NOW)
    assert entry is not None
    end = NOW + 600
    for step, seconds in steps:
        if step == "wait":
            clock.advance(seconds)
        elif bans.extend(entry, clock() + seconds):
            end = clock() + seconds
        timer.step()
        assert entry.lifting == (clock() >= end)
        assert len(timer) <= 1
    assert [verb for verb, _ in orders].count(Verb.UNBAN) == entry.lifting


def test_bans_of_each_section_are_counted_by_state() -> None:
    clock = FakeClock()
    bans = Bans(Timer(clock, clock), lambda verb, entry: None)
    entries = [bans.ban(ticket(f"192.0.2.{number}"), 60, NOW) for number in range(4)]
    first, second, third, _ = [entry for entry in entries if entry is not None]
    first.state, second.state, third.state = State.APPLIED, State.FAILED, State.FAILED
    bans.lift(third)
    expected = {State.WANTED: 1, State.APPLIED: 1, State.FAILED: 1, State.LIFTING: 1}
    assert bans.tally("SSH") == expected and bans.count("SSH") == 3
    assert not any(bans.tally("other").values())
