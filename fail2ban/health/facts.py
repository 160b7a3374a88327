# SPDX-License-Identifier: GPL-2.0-or-later
"""How the daemon is at one moment, as plain records.

Moments are seconds since the epoch, and 0 where there was none yet. Totals count
from the daemon's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fail2ban.health.histogram import Distribution
from fail2ban.records import Id


@dataclass(frozen=True, slots=True)
class CommandCount:
    """How often commands ran that do the same.

    Attributes:
        runs: how many.
        failures: how many of them failed.
        seconds: that they took together.
        longest: seconds that the slowest took.
    """

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What counters have heard of.

    Attributes:
        events: by section and kind, see `events.Kind`.
        commands: by section, action and verb.
        latency: from a line to the kernel, in seconds, by section.
        reloads, failed_reloads: how often the configuration was read again.
        reloaded: when it was last taken over.
        reload_failed: whether the last attempt failed, so that an older one is in force.
    """

    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    commands: Mapping[tuple[str, str, str], CommandCount] = field(default_factory=dict)
    latency: Mapping[str, Distribution] = field(default_factory=dict)
    reloads: int = 0
    failed_reloads: int = 0
    reloaded: float = 0.0
    reload_failed: bool = False

    def of(self, jail: str, kind: str) -> int:
        """Return how often something happened in a section."""
        return self.events.get((jail, kind), 0)


@dataclass(frozen=True, slots=True)
class LogFacts:
    """A log that a section follows.

    Attributes:
        name: its path, or what tells a journal apart.
        lines: read from it.
        matches: how many of them blame somebody.
        last_line, last_match: when it had the last one; by our clock.
        skew: seconds by which the clock of its writer seems to be ahead of ours,
            negative: behind; None: unknown, nothing was written meanwhile.
        problem: why it cannot be read; empty: it can.
    """

    name: str
    lines: int = 0
    matches: int = 0
    last_line: float = 0.0
    last_match: float = 0.0
    skew: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class JailFacts:
    """A section.

    Attributes:
        journal: it reads a journal; then no log has to be there.
        dryrun: its commands are shown, not executed.
        idle: it reads nothing at present, as somebody wanted.
        lines, matches, last_line, last_match: see `LogFacts`, all logs together.
        timed, timeless: lines in which a date was looked for, and found or not.
        given_up: lines for which the patterns took too long.
        found_total: failures that counted.
        tracked, capacity: ids that failed and are watched, and how many there can be.
        stale: failures that came too late to count.
        crowded_out: ids that were forgotten because there were too many.
        bans: by state, see `decide.bans.State`.
        banned_total: bans that were decided.
        failed: why bans are not in force, by id; some of them if they are many.
        logs: in no order.
    """

    name: str
    journal: bool = False
    dryrun: bool = False
    idle: bool = False
    lines: int = 0
    matches: int = 0
    last_line: float = 0.0
    last_match: float = 0.0
    timed: int = 0
    timeless: int = 0
    given_up: int = 0
    found_total: int = 0
    tracked: int = 0
    capacity: int = 0
    stale: int = 0
    crowded_out: int = 0
    bans: Mapping[str, int] = field(default_factory=dict)
    banned_total: int = 0
    failed: Mapping[Id, str] = field(default_factory=dict)
    logs: tuple[LogFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The database.

    Attributes:
        file: its path; empty: it is in memory, and ends with us.
        bytes: its size.
        pending: changes that are not written yet.
        failing: why it cannot be written; empty: it can.
        seconds: that the last transaction took.
    """

    file: str = ""
    bytes: int = 0
    pending: int = 0
    failing: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong, and lasts.

    Attributes:
        name: of its kind, one word.
        jail: the section; empty: the daemon as a whole.
        since: when it was noticed.
        text: what is seen, what follows from it, and what to do; one line, with
            nothing in it that a terminal obeys.
    """

    name: str
    jail: str
    since: float
    text: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What is looked at from outside, at one moment.

    Attributes:
        queue: jobs that wait for the runner.
        queue_delay: seconds for which the oldest of them has waited.
        threads: of the process.
        jails: the sections that run, by name.
    """

    jails: tuple[JailFacts, ...] = ()
    queue: int = 0
    queue_delay: float = 0.0
    threads: int = 0
    store: StoreFacts = StoreFacts()


@dataclass(frozen=True, slots=True)
class Health:
    """How the daemon is.

    Attributes:
        time: when this was so.
        started: when the daemon was.
        unkept: events that the history has no room for.
        alarms: those that are on, the oldest first.
    """

    time: float
    started: float
    version: str
    observed: Observed = Observed()
    counted: Counted = Counted()
    unkept: int = 0
    alarms: tuple[Alarm, ...] = ()
