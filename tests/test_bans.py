# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of bans and the orders it gives."""

from __future__ import annotations

from ipaddress import ip_address

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
