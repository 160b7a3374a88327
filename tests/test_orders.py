# SPDX-License-Identifier: GPL-2.0-or-later
"""What waits for the runner: the order of things, and what is taken together."""

from __future__ import annotations

import threading
from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.bans import Entry, Verb
from fail2ban.enforce import orders
from fail2ban.enforce.orders import Agenda, Job, Order
from fail2ban.records import Ban
from tests.helpers import NOW, FakeClock, ticket

BAN, UNBAN, TELL, RENEW = Verb.BAN, Verb.UNBAN, Verb.TELL, Verb.RENEW


def entry(ip: str = "192.0.2.1", jail: str = "SSH") -> Entry:
    return Entry(Ban(NOW, None, ticket(ip, jail=jail)))


def agenda(*waiting: Job | Order) -> Agenda:
    """Return what waits; orders to renew a ban stay alone."""
    made = Agenda(FakeClock(), lambda order: order.verb is not RENEW)
    for job in waiting:
        made.put(job)
    return made


def taken(made: Agenda) -> list[Job | list[Order]]:
    """Take everything that waits."""
    found = []
    while made:
        found.append(made.take()[1])
    return found


def test_orders_that_wait_are_taken_together_up_to_a_job_and_nothing_is_lost() -> None:
    ips = [Order(BAN, entry(f"192.0.2.{n}")) for n in range(5)]
    job = threading.Event().set
    assert taken(agenda(*ips[:3], job, *ips[3:])) == [ips[:3], job, ips[3:]]


def test_a_lone_order_is_taken_at_once_and_is_a_batch_of_one() -> None:
    lone = Order(BAN, entry())
    assert taken(agenda(lone)) == [[lone]]


def test_what_waits_is_counted_also_what_was_looked_at_only() -> None:
    made = agenda(Order(BAN, entry()), print, print)
    made.take()
    assert len(made) == 2
    made.take()
    assert len(made) == 1


def test_the_wait_of_a_batch_is_that_of_its_first() -> None:
    clock = FakeClock()
    made = Agenda(clock, lambda order: True)
    made.put(Order(BAN, entry("192.0.2.1")))
    clock.advance(3)
    made.put(Order(BAN, entry("192.0.2.2")))
    assert made.take()[0] == NOW


def test_ban_and_unban_of_an_address_are_never_taken_together_whatever_section() -> None:
    first, second = Order(BAN, entry()), Order(UNBAN, entry(jail="Web"))
    assert taken(agenda(first, second)) == [[first], [second]]
    assert taken(agenda(second, first)) == [[second], [first]]


def test_bans_of_an_address_in_two_sections_are_taken_together() -> None:
    both = [Order(BAN, entry()), Order(BAN, entry(jail="Web"))]
    assert taken(agenda(*both)) == [both]


def test_two_ids_of_one_address_are_not_banned_and_lifted_together() -> None:
    """A command gets the address, not the id."""
    named = Entry(Ban(NOW, None, replace(ticket(), fid="alice")))
    first, second = Order(BAN, named), Order(UNBAN, entry())
    assert taken(agenda(first, second)) == [[first], [second]]


def test_news_of_a_ban_go_with_its_beginning_but_not_with_its_end() -> None:
    one = entry()
    ban, tell, unban = Order(BAN, one), Order(TELL, one), Order(UNBAN, one)
    assert taken(agenda(ban, tell, unban)) == [[ban, tell], [unban]]
    assert taken(agenda(tell, unban, tell)) == [[tell], [unban], [tell]]


def test_what_gains_nothing_stays_alone() -> None:
    first, alone, last = Order(BAN, entry("192.0.2.1")), Order(RENEW, entry()), Order(BAN, entry())
    assert taken(agenda(first, alone, last)) == [[first], [alone], [last]]


def test_no_more_than_so_many_are_taken_at_a_time() -> None:
    many = [
        Order(BAN, Entry(Ban(NOW, None, ticket(str(ip_address(n))))))
        for n in range(orders.MOST + 1)
    ]
    assert [len(batch) for batch in taken(agenda(*many)) if isinstance(batch, list)] == [
        orders.MOST, 1,
    ]  # fmt: skip


ORDERS = st.lists(
    st.tuples(st.sampled_from([BAN, UNBAN, TELL, RENEW]), st.integers(0, 5), st.booleans())
)


@given(ORDERS)
def test_every_order_is_taken_once_and_orders_about_an_address_in_their_sequence(
    asked: list[tuple[Verb, int, bool]],
) -> None:
    known = {(n, web): entry(f"192.0.2.{n}", "Web" if web else "SSH") for n in range(6)
             for web in (False, True)}  # fmt: skip
    given_ = [Order(verb, known[n, web]) for verb, n, web in asked]
    batches = taken(agenda(*given_))
    flat = [order for batch in batches if isinstance(batch, list) for order in batch]
    assert list(map(id, flat)) == list(map(id, given_))
    for batch in batches:
        assert isinstance(batch, list)
        for ip in {order.entry.ban.ip for order in batch}:
            verbs = {order.verb for order in batch if order.entry.ban.ip == ip} - {TELL}
            assert len(verbs) <= 1
