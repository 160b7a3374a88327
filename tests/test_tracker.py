# SPDX-License-Identifier: GPL-2.0-or-later
"""The sliding window: exact, bounded, forgetting one failure at a time."""

from __future__ import annotations

import weakref
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.tracker import LINE_LENGTH, LINES, Tracker
from fail2ban.records import Failure, Ticket
from tests.helpers import NOW, failure


def test_ticket_is_due_at_the_last_of_maxretry_failures() -> None:
    tracker = Tracker(maxretry=3, findtime=600)
    assert tracker.add(failure(time=NOW - 2), NOW) is None
    assert tracker.add(failure(time=NOW - 1), NOW) is None
    ticket = tracker.add(failure(time=NOW), NOW)
    assert ticket is not None
    assert (ticket.failures, ticket.time, str(ticket.ip)) == (3, NOW, "192.0.2.1")


def test_one_failure_is_enough_when_maxretry_is_one() -> None:
    assert Tracker(1, 600).add(failure(), NOW) is not None


def test_count_starts_from_nothing_after_a_ticket() -> None:
    tracker = Tracker(2, 600)
    tracker.add(failure(), NOW)
    assert tracker.add(failure(), NOW)
    assert tracker.add(failure(), NOW) is None
    assert tracker.add(failure(), NOW)


def test_addresses_are_counted_apart() -> None:
    tracker = Tracker(2, 600)
    assert tracker.add(failure("192.0.2.1"), NOW) is None
    assert tracker.add(failure("192.0.2.2"), NOW) is None
    assert tracker.add(failure("2001:db8::1"), NOW) is None
    assert len(tracker) == 3


def test_failures_expire_singly_not_as_a_sum() -> None:
    """Defect 1 of 0.6: with gaps below findtime the sum grew for ever."""
    tracker = Tracker(maxretry=3, findtime=100)
    for step in range(50):
        now = NOW + step * 60  # never three within 100 s
        assert tracker.add(failure(time=now), now) is None


def test_failure_as_old_as_findtime_counts_and_an_older_one_does_not() -> None:
    tracker = Tracker(2, 600)
    tracker.add(failure(time=NOW), NOW)
    assert tracker.add(failure(time=NOW + 600), NOW + 600) is not None
    tracker.add(failure(time=NOW), NOW)
    assert tracker.add(failure(time=NOW + 600.5), NOW + 600.5) is None


def test_failure_from_before_the_window_is_not_counted_but_noted() -> None:
    tracker = Tracker(1, 600)
    assert tracker.add(failure(time=NOW - 601), NOW) is None
    assert (tracker.stale, len(tracker)) == (1, 0)


def test_time_in_the_future_is_taken_for_now() -> None:
    tracker = Tracker(2, 600)
    tracker.add(failure(time=NOW + 7200), NOW)
    assert tracker.add(failure(time=NOW + 700), NOW + 700) is None


def test_late_line_of_another_log_counts_where_its_time_stands() -> None:
    tracker = Tracker(3, 100)
    tracker.add(failure(time=NOW), NOW)
    tracker.add(failure(time=NOW - 90), NOW)
    assert tracker.add(failure(time=NOW + 20), NOW + 20) is None  # the -90 has left
    assert tracker.add(failure(time=NOW + 21), NOW + 21) is not None


def test_forget_drops_addresses_whose_failures_have_left_the_window() -> None:
    tracker = Tracker(3, 600)
    tracker.add(failure("192.0.2.1", NOW), NOW)
    tracker.add(failure("192.0.2.2", NOW + 300), NOW + 300)
    tracker.forget(NOW + 601)
    assert len(tracker) == 1
    tracker.forget(NOW + 901)
    assert len(tracker) == 0


def test_oldest_address_goes_first_when_there_are_too_many() -> None:
    tracker = Tracker(3, 600, capacity=2)
    for number in (1, 2, 1, 3):
        tracker.add(failure(f"192.0.2.{number}", NOW), NOW)
    assert (len(tracker), tracker.crowded_out) == (2, 1)
    assert tracker.add(failure("192.0.2.1", NOW), NOW) is not None  # it was kept


def test_lowered_limits_hold_for_what_was_counted_before() -> None:
    tracker = Tracker(5, 600)
    for _ in range(3):
        tracker.add(failure(), NOW)
    tracker.limit(maxretry=4, findtime=600)
    assert tracker.add(failure(), NOW) is not None


def test_ticket_carries_the_newest_lines_cut_to_length() -> None:
    tracker = Tracker(LINES + 5, 600)
    for number in range(LINES + 5):
        ticket = tracker.add(failure(line=f"{number:03}" + "x" * 5000), NOW)
    assert ticket is not None
    assert [line[:3] for line in ticket.lines] == [f"{n:03}" for n in range(5, LINES + 5)]
    assert {len(line) for line in ticket.lines} == {LINE_LENGTH}


def lines(ticket: Ticket | None) -> tuple[str, ...]:
    assert ticket is not None
    return ticket.lines


def test_ids_are_counted_whoever_is_to_blame() -> None:
    tracker = Tracker(2, 600)
    one = Failure("SSH", ip_address("192.0.2.1"), NOW, ("x",), fid="session")
    other = Failure("SSH", ip_address("192.0.2.2"), NOW, ("x",), fid="session")
    assert tracker.add(one, NOW) is None
    ticket = tracker.add(other, NOW)
    assert ticket is not None
    assert (ticket.id, ticket.fid, ticket.ip) == ("session", "session", ip_address("192.0.2.2"))


def test_an_address_is_kept_as_a_number_also_while_it_waits_to_be_saved() -> None:
    tracker, ip = Tracker(5, 600), ip_address("192.0.2.1")
    tracker.add(Failure("SSH", ip, NOW, ("x",)), NOW)
    object = weakref.ref(ip)
    del ip
    assert object() is None
    assert list(tracker.changed()) == [ip_address("192.0.2.1")]


def test_network_is_not_the_address_it_begins_with() -> None:
    tracker = Tracker(2, 600)
    tracker.add(failure("192.0.2.0"), NOW)
    assert tracker.add(Failure("SSH", ip_network("192.0.2.0/24"), NOW, ("x",)), NOW) is None


def test_ticket_has_the_groups_of_the_last_failure() -> None:
    tracker = Tracker(2, 600)
    ip = ip_address("192.0.2.1")
    tracker.add(Failure("SSH", ip, NOW, ("x",), groups={"user": "root"}), NOW)
    ticket = tracker.add(Failure("SSH", ip, NOW, ("x",), groups={"user": "admin"}), NOW)
    assert ticket is not None and ticket.groups == {"user": "admin"}


def test_failure_of_several_lines_counts_once() -> None:
    tracker = Tracker(2, 600)
    several = Failure("SSH", ip_address("192.0.2.1"), NOW, ("a", "b", "c"))
    assert tracker.add(several, NOW) is None
    ticket = tracker.add(several, NOW)
    assert ticket is not None and ticket.failures == 2
    assert ticket.lines == ("a", "b", "c", "a", "b", "c")


@pytest.mark.parametrize(
    ("maxmatches", "expected"),
    [(0, ()), (1, ("d",)), (2, ("c", "d")), (3, ("b", "c", "d")), (9, ("a", "b", "c", "d"))],
)
def test_newest_lines_are_kept_as_many_as_wanted(
    maxmatches: int, expected: tuple[str, ...]
) -> None:
    tracker = Tracker(2, 600, maxmatches)
    ip = ip_address("192.0.2.1")
    tracker.add(Failure("SSH", ip, NOW, ("a", "b")), NOW)
    assert lines(tracker.add(Failure("SSH", ip, NOW, ("c", "d")), NOW)) == expected


def test_lines_leave_with_their_failure() -> None:
    tracker = Tracker(2, 600)
    tracker.add(failure(time=NOW, line="old"), NOW)
    tracker.add(failure(time=NOW + 601, line="new"), NOW + 601)
    assert lines(tracker.add(failure(time=NOW + 602, line="last"), NOW + 602)) == ("new", "last")


def test_lowered_maxmatches_holds_for_what_was_kept_before() -> None:
    tracker = Tracker(3, 600)
    tracker.add(failure(line="a"), NOW)
    tracker.add(failure(line="b"), NOW)
    tracker.limit(3, 600, maxmatches=1)
    assert lines(tracker.add(failure(line="c"), NOW)) == ("c",)


def test_failure_may_count_as_several_but_has_its_line_once() -> None:
    tracker = Tracker(5, 600)
    tracker.add(failure(line="a"), NOW, attempts=3)
    ticket = tracker.add(failure(line="b"), NOW, attempts=2)
    assert ticket is not None and (ticket.failures, ticket.lines) == (5, ("a", "b"))


def test_failure_that_counts_as_several_leaves_the_window_as_a_whole() -> None:
    tracker = Tracker(4, 600)
    tracker.add(failure(time=NOW), NOW, attempts=3)
    assert tracker.add(failure(time=NOW + 601), NOW + 601, attempts=3) is None


@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 3),  # which address
            st.floats(0, 50),  # how much later
            st.floats(0, 120),  # how old its time is then
        ),
        max_size=60,
    ),
    maxretry=st.integers(1, 5),
    findtime=st.integers(1, 100),
)
def test_tickets_are_those_of_counting_everything_again(
    steps: list[tuple[int, float, float]], maxretry: int, findtime: int
) -> None:
    tracker = Tracker(maxretry, findtime)
    seen: dict[int, list[float]] = {1: [], 2: [], 3: []}
    now = NOW
    for who, later, age in steps:
        now += later
        seen[who].append(now - age)
        inside = [time for time in seen[who] if time >= now - findtime]
        counted = now - age >= now - findtime
        ticket = tracker.add(failure(f"192.0.2.{who}", now - age), now)
        assert (ticket is not None) == (counted and len(inside) >= maxretry)
        if ticket is not None:
            assert ticket.failures == len(inside)
            seen[who] = []


@given(st.lists(st.integers(1, 20), max_size=200), st.integers(1, 10))
def test_never_more_addresses_than_the_capacity(who: list[int], capacity: int) -> None:
    tracker = Tracker(100, 600, capacity=capacity)
    for number in who:
        tracker.add(failure(f"192.0.2.{number}"), NOW)
        assert len(tracker) <= capacity
    assert len(tracker) == min(capacity, len(set(who)))
