# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens is counted, kept in the history within limits, and told as events."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from fail2ban import notices
from fail2ban.events import Event, Events
from fail2ban.health.counters import Counters
from fail2ban.health.facts import CommandCount
from fail2ban.health.histogram import BOUNDS, Distribution, Histogram
from fail2ban.health.keeping import MINUTE, SHARE, TOTAL, Keeping
from fail2ban.health.recorder import LINE_LENGTH, Recording
from fail2ban.ledger import Batch
from fail2ban.records import Ban
from tests.helpers import NOW, FakeClock, failure, ticket

IP = ip_address("192.0.2.1")

# The histogram ----------------------------------------------------------------


@given(st.lists(st.floats(-10, 1e4)))
def test_a_histogram_counts_each_length_once_and_adds_them_up(lengths: list[float]) -> None:
    histogram = Histogram()
    for seconds in lengths:
        histogram.add(seconds)
    read, positive = histogram.read(), [max(0.0, seconds) for seconds in lengths]
    assert read.count == len(lengths)
    assert abs(read.sum - sum(positive)) < 1e-6
    expected = [sum(seconds <= bound for seconds in positive) for bound in BOUNDS]
    assert list(read.cumulative()) == [*expected, len(lengths)]


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_share_of_the_lengths_lies_within_its_quantile(
    lengths: list[float], share: float
) -> None:
    histogram = Histogram()
    for seconds in lengths:
        histogram.add(seconds)
    bound = histogram.read().quantile(share)
    within = sum(bound is None or seconds <= bound for seconds in lengths)
    assert within >= share * len(lengths)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Distribution().quantile(0.5) is None


# Counters ---------------------------------------------------------------------


def heard(*events: Event) -> Counters:
    counters = Counters(FakeClock())
    for event in events:
        counters.note(event)
    return counters


def test_events_are_counted_by_section_and_kind() -> None:
    found = Event(NOW, "found", "sshd", IP)
    read = heard(found, found, replace(found, jail="web")).read()
    assert read.of("sshd", "found") == 2
    assert read.of("web", "found") == 1
    assert read.of("web", "banned") == 0


def command(seconds: float, error: str = "", dryrun: bool = False) -> Event:
    facts = {"action": "nft", "verb": "ban", "seconds": seconds, "error": error, "dryrun": dryrun}
    return Event(NOW, "command", "sshd", IP, facts)


def test_commands_are_counted_with_their_failures_and_time() -> None:
    read = heard(command(0.5), command(1.5, "returned 1"), command(0.25)).read()
    assert read.commands == {("sshd", "nft", "ban"): CommandCount(3, 1, 2.25, 1.5)}


def test_what_is_tried_again_in_parts_has_run_but_not_failed() -> None:
    whole = command(0.5, "returned 1")
    divided = replace(whole, facts={**whole.facts, "count": 9, "divided": True})
    read = heard(divided, divided, whole).read()
    assert read.commands == {("sshd", "nft", "ban"): CommandCount(3, 1, 1.5, 0.5)}


def test_a_command_that_was_only_shown_has_not_run() -> None:
    assert heard(command(0.0, dryrun=True)).read().commands == {}


def test_the_way_from_a_line_to_the_kernel_is_measured() -> None:
    banned = Event(NOW, "banned", "sshd", IP, {"seconds": 0.004})
    by_hand = replace(banned, facts={"seconds": None})
    shown = replace(banned, facts={"seconds": 0.1, "dryrun": True})
    latency = heard(banned, by_hand, shown).read().latency
    assert latency["sshd"].count == 1
    assert latency["sshd"].sum == 0.004


def test_a_reload_that_fails_leaves_the_time_of_the_last_that_did_not() -> None:
    clock = FakeClock()
    counters = Counters(clock)
    counters.reloaded(True)
    clock.advance(60)
    counters.reloaded(False)
    read = counters.read()
    assert (read.reloads, read.failed_reloads, read.reload_failed) == (2, 1, True)
    assert read.reloaded == NOW


# The history ------------------------------------------------------------------


class Shelf:
    """A ledger that keeps events in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def save(self, batch: Batch) -> None:
        self.events += batch.events


def found(number: int = 0, time: float = NOW, jail: str = "sshd") -> Event:
    return Event(time, "found", jail, ip_address(f"2001:db8::{number:x}"))


def test_what_happens_is_kept_at_once() -> None:
    shelf = Shelf()
    Keeping(shelf).note(found())
    assert shelf.events == [found()]


def test_of_a_flood_a_few_are_kept_and_the_rest_is_counted() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for _ in range(SHARE + 7):
        keeping.note(found())
    assert shelf.events == [found()] * SHARE
    assert keeping.unkept == 7
    keeping.step(NOW + MINUTE)
    assert shelf.events[SHARE:] == [replace(found(time=NOW + MINUTE), facts={"more": 7})]


def test_a_flood_of_one_costs_another_nothing() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for _ in range(SHARE + 7):
        keeping.note(found(1))
    keeping.note(found(2))
    assert shelf.events[-1] == found(2)


def test_what_concerns_many_is_kept_for_each_of_them_within_what_a_disk_bears() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    check = Event(NOW, "command", "sshd", None, {"verb": "check"})
    many = replace(check, facts={"verb": "ban", "count": 2}, ids=("a", "b"))
    for _ in range(SHARE + 7):
        keeping.note(check)
    for _ in range(TOTAL):
        keeping.note(many)
    assert shelf.events == [check] * SHARE + [many] * (TOTAL - SHARE)


def test_after_a_minute_there_is_room_again() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for _ in range(SHARE + 1):
        keeping.note(found())
    later = found(time=NOW + MINUTE)
    keeping.note(later)
    assert shelf.events[SHARE:] == [replace(later, facts={"more": 1}), later]


def test_a_flood_from_everywhere_is_bounded_in_disk_and_memory() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for number in range(TOTAL + 500):
        keeping.note(found(number))
    assert len(shelf.events) == TOTAL
    assert keeping.unkept == 500
    assert len(keeping._kept) == TOTAL
    keeping.step(NOW + MINUTE)
    assert len(shelf.events) == TOTAL


def test_bans_are_kept_whatever_else_there_is() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for number in range(TOTAL + 1):
        keeping.note(found(number))
    ban = replace(found(), kind="banned")
    keeping.note(ban)
    assert shelf.events[-1] == ban


def test_a_clock_that_is_set_back_begins_a_new_minute() -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for _ in range(SHARE):
        keeping.note(found())
    keeping.note(found(time=NOW - 3600))
    assert len(shelf.events) == SHARE + 1


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 200)), max_size=300))
def test_kept_and_surplus_add_up_to_what_happened(steps: list[tuple[int, float]]) -> None:
    shelf = Shelf()
    keeping = Keeping(shelf)
    for number, seconds in steps:
        keeping.note(found(number, NOW + seconds))
    keeping.step(NOW - 1000)
    kept = [event for event in shelf.events if "more" not in event.facts]
    more = sum(int(str(event.facts["more"])) for event in shelf.events if "more" in event.facts)
    assert len(kept) + more == len(steps)
    assert more == keeping.unkept


# What is told -----------------------------------------------------------------


def recording() -> tuple[Recording, list[Event]]:
    events, told = Events(FakeClock()), []
    events.listen(told.append)
    return Recording(notices.of(True), events), told


def test_a_failure_is_told_with_its_lines() -> None:
    recorder, told = recording()
    recorder.found(failure())
    assert told == [Event(NOW, "found", "SSH", IP, {"time": NOW, "lines": ["x"], "attempts": 1})]


def test_a_long_line_is_cut() -> None:
    recorder, told = recording()
    recorder.found(failure(line="x" * 100_000))
    assert told[0].facts["lines"] == ["x" * LINE_LENGTH]


def test_who_is_ignored_is_told_with_the_reason() -> None:
    recorder, told = recording()
    recorder.ignored(failure(), "ip")
    assert told[0].kind == "ignored"
    assert told[0].facts["by"] == "ip"


def test_it_is_told_when_a_failure_counts_several_times() -> None:
    recorder, told = recording()
    recorder.found_again(failure(), 2, 3, True)
    assert told == [Event(NOW, "found_again", "SSH", IP, {"time": NOW, "attempts": 3, "bans": 2})]


def test_old_tickets_and_those_of_the_banned_are_told() -> None:
    recorder, told = recording()
    recorder.expired(ticket())
    recorder.already_banned(ticket())
    assert [event.kind for event in told] == ["expired", "already_banned"]


def test_what_becomes_of_a_ban_is_only_logged_here() -> None:
    recorder, told = recording()
    ban = Ban(NOW, NOW + 60, ticket())
    recorder.banned(ban)
    recorder.rebanned(ban)
    recorder.unbanned(ban)
    recorder.repealed(ban)
    recorder.increased(ban)
    recorder.ban_failed(ban, "because")
    recorder.restoring()
    assert told == []
