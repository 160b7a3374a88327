# SPDX-License-Identifier: GPL-2.0-or-later
"""Something is wrong: that is said once when it begins and once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.events import Event, Events
from fail2ban.health import checks, quiet
from fail2ban.health.alarms import Alarms
from fail2ban.health.facts import JailFacts, LogFacts, Observed, StoreFacts
from fail2ban.health.monitor import INTERVAL, MARK, Monitor
from fail2ban.ledger import Batch
from fail2ban.records import HealthSettings
from tests.helpers import NOW, FakeClock

IP = ip_address("192.0.2.1")
DAY = 86400.0
SETTINGS = HealthSettings(quiet=7 * DAY, skew=60.0)
LOG = LogFacts("/var/log/auth.log")
#: A section with which nothing is wrong.
FINE = JailFacts("sshd", capacity=100, logs=(LOG,))


class Watched:
    """Alarms, and a daemon that only exists as what is observed of it."""

    def __init__(self) -> None:
        self.alarms, self.clock = Alarms(), FakeClock()
        self.said: list[str] = []

    def look(self, *jails: JailFacts, seconds: float = 60.0, **facts: object) -> list[str]:
        """Look so much later; return what has changed, as "+quiet" or "-quiet"."""
        self.clock.advance(seconds)
        observed = replace(Observed(jails), **facts)  # type: ignore[arg-type]
        changes = self.alarms.step(self.clock(), observed, SETTINGS)
        return ["-+"[change.on] + change.alarm.name for change in changes]

    def text(self) -> str:
        (alarm,) = self.alarms.current
        return alarm.text


def test_a_daemon_with_which_nothing_is_wrong_raises_no_alarm() -> None:
    watched = Watched()
    assert watched.look() == []
    for number in range(100):
        busy = replace(FINE, lines=number * 10, matches=number, timed=number, tracked=50)
        assert watched.look(busy) == []


# Dates ------------------------------------------------------------------------


def test_lines_without_any_date_raise_an_alarm_until_one_has_a_date() -> None:
    watched = Watched()
    few, many = checks.TIMELESS_LINES - 1, checks.TIMELESS_LINES
    assert watched.look(replace(FINE, timeless=few)) == []
    assert watched.look(replace(FINE, timeless=many)) == ["+timeless"]
    assert "datepattern" in watched.text()
    assert watched.look(replace(FINE, timeless=many)) == []
    assert watched.look(replace(FINE, timeless=many, timed=1)) == ["-timeless"]


def test_lines_without_a_date_among_others_mean_nothing() -> None:
    watched = Watched()
    for number in range(1, 100):
        assert watched.look(replace(FINE, timeless=number * 50, timed=number)) == []


# Silence ----------------------------------------------------------------------


def with_habit(watched: Watched, days: int = 10) -> JailFacts:
    """Let a section match on so many days; return how it is then."""
    jail = FINE
    for number in range(1, days + 1):
        jail = replace(FINE, lines=number * 50, matches=number, last_match=watched.clock() + DAY)
        assert watched.look(jail, seconds=DAY) == []
    return jail


def test_a_section_that_used_to_match_raises_an_alarm_when_it_is_silent() -> None:
    watched = Watched()
    jail = with_habit(watched)
    silent = replace(jail, lines=jail.lines + quiet.LINES)
    assert watched.look(silent, seconds=6 * DAY) == []
    assert watched.look(silent, seconds=2 * DAY) == ["+quiet"]
    assert "1w 1d" in watched.text()
    assert watched.look(replace(silent, matches=jail.matches + 1)) == ["-quiet"]


def test_a_section_that_rests_is_not_silent_nor_misses_a_log() -> None:
    watched = Watched()
    jail = with_habit(watched)
    gone = replace(LOG, problem="it is not there")
    resting = replace(jail, lines=jail.lines + quiet.LINES, logs=(gone,), idle=True)
    for _ in range(3):
        assert watched.look(resting, seconds=20 * DAY) == []
    # Nor is it when it has just begun to read again.
    back = replace(resting, logs=(LOG,), idle=False)
    assert watched.look(back) == []
    assert watched.look(replace(back, lines=back.lines + quiet.LINES), seconds=DAY) == ["+quiet"]


def test_a_log_that_does_not_grow_is_no_silence() -> None:
    watched = Watched()
    assert watched.look(with_habit(watched), seconds=100 * DAY) == []


def test_a_section_that_has_never_matched_is_not_missed() -> None:
    watched = Watched()
    for number in range(50):
        assert watched.look(replace(FINE, lines=number * 1000), seconds=DAY) == []


def test_one_burst_of_matches_is_no_habit() -> None:
    watched = Watched()
    assert watched.look(replace(FINE, lines=1000, matches=1000)) == []
    assert watched.look(replace(FINE, lines=9000, matches=1000), seconds=30 * DAY) == []


def test_a_section_that_matches_once_a_month_is_not_missed_after_a_week() -> None:
    watched = Watched()
    for number in range(1, 6):
        jail = replace(FINE, lines=number * 500, matches=number)
        assert watched.look(jail, seconds=30 * DAY) == []
    silent = replace(FINE, lines=9000, matches=5)
    assert watched.look(silent, seconds=60 * DAY) == []
    assert watched.look(silent, seconds=60 * DAY) == ["+quiet"]


def test_what_used_to_match_is_known_after_a_restart() -> None:
    before, after = Watched(), Watched()
    with_habit(before)
    after.clock = before.clock
    after.alarms.recall(before.alarms.memory())
    assert after.look(replace(FINE, lines=quiet.LINES), seconds=8 * DAY) == ["+quiet"]


@pytest.mark.parametrize("text", ["", "x", "[]", "1", '{"sshd": 1}', '{"sshd": [1]}'])
def test_a_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Alarms().recall(text)


def test_silence_means_nothing_where_it_is_not_to() -> None:
    alarms = Alarms()
    alarms.recall('{"sshd": [0, 1, 9, 1, 999999]}')
    off = replace(SETTINGS, quiet=0.0)
    assert alarms.step(NOW, Observed((FINE,)), off) == []
    assert alarms.step(NOW, Observed((FINE,)), SETTINGS) != []


# Clocks -----------------------------------------------------------------------


def skewed(lines: int, *skews: float) -> JailFacts:
    logs = [LogFacts(f"/log{number}", lines, skew=skew) for number, skew in enumerate(skews)]
    return replace(FINE, logs=tuple(logs))


def test_a_clock_that_is_always_an_hour_behind_raises_an_alarm() -> None:
    watched = Watched()
    for number in range(1, checks.SKEWED_LOOKS):
        assert watched.look(skewed(number, -3600.0 + number)) == []
    assert watched.look(skewed(9, -3600.0)) == ["+skew"]
    assert "/log0 is 1h behind ours" in watched.text()
    assert watched.look(skewed(10, -45.0)) == []
    assert watched.look(skewed(11, 2.0)) == ["-skew"]


def test_of_several_logs_the_worst_is_told_and_how_many_there_are() -> None:
    watched = Watched()
    for number in range(checks.SKEWED_LOOKS):
        watched.look(skewed(number + 1, 7200.0, 1.0, 3600.0))
    assert "/log0 and 1 more is 2h ahead of ours" in watched.text()


def test_old_lines_that_are_written_late_are_no_wrong_clock() -> None:
    watched = Watched()
    for number in range(1, 30):
        assert watched.look(skewed(number, -61.0 * number)) == []


def test_a_log_without_new_lines_says_nothing_new_about_its_clock() -> None:
    watched = Watched()
    for _ in range(30):
        assert watched.look(skewed(1, -3600.0)) == []


def test_a_log_that_is_gone_has_no_wrong_clock() -> None:
    watched = Watched()
    for number in range(checks.SKEWED_LOOKS):
        watched.look(skewed(number + 1, -3600.0))
    assert watched.look(FINE) == ["-skew"]


# Bans -------------------------------------------------------------------------


def test_a_ban_that_stays_failed_raises_an_alarm_until_it_is_in_force() -> None:
    watched = Watched()
    failing = replace(FINE, failed={"joe\x1b[31m": "'curl -d token=s3cret' returned 1"})
    assert watched.look(failing) == []
    assert watched.look(failing, seconds=checks.FAILED_LONG) == ["+failed"]
    # A command may hold passwords, and the one banned has chosen his name.
    assert r"'joe\x1b[31m' cannot be banned" in watched.text()
    assert "s3cret" not in watched.text()
    assert watched.look(FINE) == ["-failed"]


def test_bans_that_fail_one_after_the_other_for_a_moment_raise_no_alarm() -> None:
    watched = Watched()
    for number in range(30):
        failing = replace(FINE, failed={ip_address(f"192.0.2.{number}"): "busy"})
        assert watched.look(failing) == []


def already_banned(watched: Watched, address: str = "192.0.2.1") -> None:
    watched.alarms.note(Event(watched.clock(), "already_banned", "sshd", ip_address(address)))


def test_who_keeps_failing_although_banned_raises_an_alarm() -> None:
    watched = Watched()
    for _ in range(checks.LEAKS - 1):
        already_banned(watched)
        assert watched.look(FINE) == []
    already_banned(watched)
    assert watched.look(FINE) == ["+leak"]
    assert "192.0.2.1 fails on although banned" in watched.text()
    assert watched.look(FINE, seconds=checks.LEAK_TIME - 90) == []
    assert watched.look(FINE, seconds=checks.LEAK_TIME) == ["-leak"]


def test_several_who_fail_once_while_banned_raise_no_alarm() -> None:
    watched = Watched()
    for number in range(50):
        already_banned(watched, f"192.0.2.{number}")
    assert watched.look(FINE) == []


def test_who_fails_while_banned_is_remembered_up_to_a_limit() -> None:
    leaking = checks.Leaking()
    for number in range(checks.LEAK_IDS + 10):
        leaking.note(Event(NOW, "already_banned", "sshd", ip_address(number)))
    assert len(leaking._times) == checks.LEAK_IDS


# Limits -----------------------------------------------------------------------


def test_a_section_at_its_limit_raises_an_alarm_until_there_is_room() -> None:
    watched = Watched()
    assert watched.look(replace(FINE, tracked=100)) == ["+crowded"]
    assert watched.look(replace(FINE, tracked=95)) == []
    assert watched.look(replace(FINE, tracked=89)) == ["-crowded"]
    assert watched.look(replace(FINE, tracked=95, crowded_out=3)) == ["+crowded"]


def test_lines_that_take_too_long_raise_an_alarm_for_a_while() -> None:
    watched = Watched()
    assert watched.look(replace(FINE, given_up=1)) == ["+slow"]
    assert watched.look(replace(FINE, given_up=1), seconds=checks.SLOW_TIME) == ["-slow"]


# Logs, the database and the queue ---------------------------------------------


def test_a_log_that_stays_away_raises_an_alarm_until_it_is_back() -> None:
    watched = Watched()
    gone = replace(FINE, logs=(replace(LOG, problem="No such file"),))
    assert watched.look(gone) == []
    assert watched.look(gone, seconds=checks.MISSING_LONG) == ["+missing"]
    assert "/var/log/auth.log cannot be read" in watched.text()
    assert watched.look(FINE) == ["-missing"]


def test_a_section_without_any_log_raises_an_alarm_unless_it_reads_a_journal() -> None:
    watched = Watched()
    bare, journal = replace(FINE, logs=()), replace(FINE, name="web", logs=(), journal=True)
    watched.look(bare, journal)
    assert watched.look(bare, journal, seconds=checks.MISSING_LONG) == ["+missing"]


def test_a_database_that_cannot_be_written_raises_an_alarm() -> None:
    watched = Watched()
    store = StoreFacts("/var/lib/x", failing="disk full")
    assert watched.look(store=store) == ["+store"]
    assert "/var/lib/x cannot be written: disk full" in watched.text()
    assert watched.look(store=StoreFacts("/var/lib/x")) == ["-store"]


def test_jobs_that_wait_for_long_raise_an_alarm() -> None:
    watched = Watched()
    assert watched.look(queue=7, queue_delay=31.0) == ["+stuck"]
    assert watched.look(queue=7, queue_delay=20.0) == []
    assert watched.look(queue=0, queue_delay=0.0) == ["-stuck"]


# All of them ------------------------------------------------------------------


def test_the_alarms_of_a_section_that_is_gone_are_over() -> None:
    watched = Watched()
    watched.look(replace(FINE, tracked=100))
    assert watched.look() == ["-crowded"]
    assert watched.alarms.current == ()


def test_an_alarm_that_lasts_keeps_its_beginning_and_tells_how_it_is_now() -> None:
    watched = Watched()
    watched.look(replace(FINE, tracked=100))
    (before,) = watched.alarms.current
    watched.look(replace(FINE, tracked=120))
    (after,) = watched.alarms.current
    assert after.since == before.since
    assert before.text.startswith("100") and after.text.startswith("120")


_jails = st.builds(
    JailFacts,
    name=st.sampled_from(["sshd", "web"]),
    lines=st.integers(0, 500),
    matches=st.integers(0, 3),
    timed=st.integers(0, 3),
    timeless=st.integers(0, 50),
    tracked=st.integers(0, 12),
    capacity=st.just(10),
    crowded_out=st.integers(0, 2),
    given_up=st.integers(0, 2),
    failed=st.dictionaries(st.sampled_from([IP, "a\nb"]), st.just("x"), max_size=2),
    logs=st.lists(
        st.builds(
            LogFacts,
            name=st.sampled_from(["/a", "/b\x1b"]),
            lines=st.integers(0, 9),
            skew=st.none() | st.floats(-1e4, 1e4),
            problem=st.sampled_from(["", "gone"]),
        ),
        max_size=2,
        unique_by=lambda log: log.name,
    ).map(tuple),
)
_looks = st.lists(
    st.tuples(st.floats(-100, 1e6), st.lists(_jails, max_size=2, unique_by=lambda jail: jail.name)),
    max_size=30,
)


@given(_looks)
def test_alarms_begin_and_end_in_turn_and_never_hold_what_a_terminal_obeys(
    looks: list[tuple[float, list[JailFacts]]],
) -> None:
    alarms, on, now = Alarms(), set(), NOW
    for seconds, jails in looks:
        now += seconds
        for alarm, begun in alarms.step(now, Observed(tuple(jails)), SETTINGS):
            key = alarm.name, alarm.jail
            assert (key in on) is not begun
            on ^= {key}
        assert {(alarm.name, alarm.jail) for alarm in alarms.current} == on
        assert all(alarm.text.isprintable() for alarm in alarms.current)
    again = Alarms()
    again.recall(alarms.memory())
    assert again.memory() == alarms.memory()


# The monitor ------------------------------------------------------------------


class Desk:
    """A monitor of a daemon that is observed as the test wants it."""

    def __init__(self) -> None:
        self.clock, self.observed = FakeClock(), Observed((FINE,))
        self.saved: list[Batch] = []
        self.told: list[Event] = []
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.events = Events(self.clock)
        self.monitor = Monitor(
            self.events, self, lambda: SETTINGS, lambda: self.observed, self.clock
        )
        self.events.listen(self.told.append)

    def save(self, batch: Batch) -> None:
        self.saved.append(batch)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self.later.append((seconds, action))


def test_the_monitor_looks_every_minute() -> None:
    desk = Desk()
    desk.monitor.begin(desk)
    for _ in range(3):
        ((seconds, look),) = desk.later
        assert seconds == INTERVAL
        desk.later.clear()
        look()
    desk.observed = Observed((replace(FINE, tracked=100),))
    desk.later[0][1]()
    assert [event.kind for event in desk.told] == ["alarm"]


def test_an_alarm_is_logged_told_and_shown_once(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    with caplog.at_level(logging.INFO):
        for tracked in (100, 100, 0, 0):
            desk.observed = Observed((replace(FINE, tracked=tracked),))
            desk.monitor.step()
    first, second = caplog.messages
    assert first.startswith("[sshd] alarm crowded: 100 addresses fail at a time")
    assert second == "[sshd] alarm crowded is over"
    assert [(event.facts["name"], event.facts["on"]) for event in desk.told] == [
        ("crowded", True),
        ("crowded", False),
    ]


def test_alarms_that_are_on_are_part_of_the_health() -> None:
    desk = Desk()
    desk.observed = Observed((replace(FINE, tracked=100), replace(FINE, name="a")))
    desk.monitor.step()
    health = desk.monitor.health()
    assert [alarm.name for alarm in health.alarms] == ["crowded"]
    assert [jail.name for jail in health.observed.jails] == ["a", "sshd"]
    assert health.started == NOW


def test_the_memory_is_stored_when_it_has_changed() -> None:
    desk = Desk()
    desk.monitor.step()
    desk.saved.clear()
    desk.monitor.step()
    assert desk.saved == []
    desk.observed = Observed((replace(FINE, lines=1, matches=1),))
    desk.monitor.step()
    (batch,) = desk.saved
    again = Desk()
    again.monitor.recall(batch.marks[MARK] or "")
    assert again.monitor._alarms.memory() == batch.marks[MARK]


def test_a_memory_that_cannot_be_read_is_told_and_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    desk.monitor.recall("")
    assert caplog.messages == []
    desk.monitor.recall("{")
    assert "alarms begin anew" in caplog.text


def test_the_monitor_counts_and_keeps_what_happens() -> None:
    desk = Desk()
    desk.events.tell("found", "sshd", IP)
    assert desk.monitor.health().counted.of("sshd", "found") == 1
    assert [event.kind for batch in desk.saved for event in batch.events] == ["found"]
