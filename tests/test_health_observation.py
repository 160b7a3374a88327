# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the daemon tell about themselves is put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

from fail2ban.decide.bans import Bans, Part, State
from fail2ban.decide.timer import Timer
from fail2ban.decide.tracker import Tracker
from fail2ban.detect.logstate import LogState
from fail2ban.health.facts import Observed
from fail2ban.jail import Jail
from fail2ban.observation import FAILED, NOT_FOLLOWED, observe, waited
from fail2ban.records import JailSettings, Ticket
from fail2ban.store import StoreHealth
from tests.helpers import NOW, FakeClock, jail_settings

FOLLOWED, MISSING = "/log", "/var/log/auth.log"


@dataclass
class Dates:
    dated: int = 6
    undated: int = 1
    skew: float | None = 30.0


@dataclass
class Reader:
    """A reader that has read something."""

    lines: int = 7
    matches: int = 3
    last_line: float = NOW
    last_match: float = NOW - 1
    given_up: int = 2
    dating: Dates = field(default_factory=Dates)


@dataclass
class Tracked:
    """A tracker that is nearly full."""

    stale: int = 1
    crowded_out: int = 4
    capacity: int = 10

    def __len__(self) -> int:
        return 9


@dataclass
class Judge:
    found_total: int = 3
    tracker: Tracked = field(default_factory=Tracked)


@dataclass
class Section:
    settings: JailSettings = field(default_factory=jail_settings)
    reader: Reader = field(default_factory=Reader)
    judge: Judge = field(default_factory=Judge)

    def followed(self) -> list[LogState]:
        return [LogState(FOLLOWED, 70, NOW, 6, 2, NOW - 2)]


def table(count: int, state: State) -> Bans:
    """Return bans, the last so many of them in a state."""
    clock = FakeClock()
    bans = Bans(Timer(clock, clock), lambda verb, entry: None)
    name = jail_settings().name
    for number in range(count):
        entry = bans.ban(Ticket(name, ip_address(number), 1, NOW), 60, NOW)
        assert entry is not None
        entry.state = state
        entry.parts["nft"] = Part(error="returned 1")
    return bans


def look(
    sections: list[Section],
    bans: Bans,
    queue: int,
    delay: float,
    store: StoreHealth,
    resting: bool = False,
) -> Observed:
    return observe(cast(list[Jail], sections), lambda name: resting, bans, queue, delay, store)


def test_a_section_tells_of_its_reader_its_judge_and_its_bans() -> None:
    section, store = Section(), StoreHealth("/db", 4096, 2)
    (jail,) = look([section], table(3, State.FAILED), 5, 0.5, store).jails
    assert (jail.lines, jail.matches, jail.timed, jail.timeless, jail.given_up) == (7, 3, 6, 1, 2)
    assert (jail.tracked, jail.capacity, jail.stale, jail.crowded_out) == (9, 10, 1, 4)
    assert jail.bans == {"wanted": 0, "applied": 0, "failed": 3, "lifting": 0}
    assert jail.failed[ip_address(0)] == "returned 1"
    there, missing = jail.logs
    # The writer's clock is behind ours.
    assert (there.name, there.last_line, there.skew, there.problem) == (FOLLOWED, NOW, -30, "")
    assert (there.lines, there.matches, there.last_match) == (6, 2, NOW - 2)
    assert (missing.name, missing.problem) == (MISSING, NOT_FOLLOWED)
    assert jail.banned_total == 3


def test_a_section_that_rests_misses_no_log() -> None:
    (jail,) = look([Section()], table(0, State.WANTED), 0, 0, StoreHealth(), resting=True).jails
    assert jail.idle and [log.name for log in jail.logs] == [FOLLOWED]


def test_where_nothing_waits_nothing_has_waited_long() -> None:
    assert waited(0, 40.0, 0.0) == 0
    assert waited(1, 40.0, 0.0) == 40
    assert waited(0, 2.0, 50.0) == 50


def test_a_ban_that_does_not_fail_has_no_reason() -> None:
    (jail,) = look([Section()], table(2, State.APPLIED), 0, 0.0, StoreHealth()).jails
    assert jail.failed == {}
    assert jail.bans["applied"] == 2


def test_of_very_many_failing_bans_some_are_looked_at() -> None:
    (jail,) = look([Section()], table(FAILED + 1, State.FAILED), 0, 0.0, StoreHealth()).jails
    assert len(jail.failed) == FAILED
    assert jail.bans["failed"] == FAILED + 1


def test_the_daemon_tells_of_its_queue_its_threads_and_its_store() -> None:
    observed = look([], table(0, State.WANTED), 5, 0.5, StoreHealth("/db", 4096, 2, "full"))
    assert (observed.queue, observed.queue_delay) == (5, 0.5)
    assert observed.threads > 0
    assert (observed.store.file, observed.store.bytes) == ("/db", 4096)
    assert (observed.store.pending, observed.store.failing) == (2, "full")


def test_the_tracker_has_what_is_asked_of_it() -> None:
    tracker = Tracker(3, 600)
    assert (len(tracker), tracker.stale, tracker.crowded_out) == (0, 0, 0)
