# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's health as metrics.

Names of sections and actions are the administrator's; a path of a log may be
anybody's who can make files where a wildcard looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from fail2ban.health.exposition import Family, Labels, Sample
from fail2ban.health.facts import CommandCount, Counted, Health, JailFacts, LogFacts
from fail2ban.health.histogram import BOUNDS, Distribution
from fail2ban.text import printable

_Kind = Literal["counter", "gauge"]


class _Plain(NamedTuple):
    """A family with one sample of the daemon."""

    name: str
    kind: _Kind
    help: str
    value: Callable[[Health], float]


class _OfJail(NamedTuple):
    """A family with one sample of each section."""

    name: str
    kind: _Kind
    help: str
    value: Callable[[JailFacts, Counted], float]


class _OfLog(NamedTuple):
    """A family with one sample of each log; None: it has none."""

    name: str
    kind: _Kind
    help: str
    value: Callable[[LogFacts], float | None]


class _OfCommand(NamedTuple):
    """A family with one sample of each verb of an action."""

    name: str
    kind: _Kind
    help: str
    value: Callable[[CommandCount], float]


def _heard(kind: str) -> Callable[[JailFacts, Counted], float]:
    return lambda jail, counted: counted.of(jail.name, kind)


_DAEMON = (
    _Plain(
        "start_time_seconds",
        "gauge",
        "When the daemon started, in seconds since the epoch.",
        lambda health: health.started,
    ),
    _Plain("threads", "gauge", "Threads of the daemon.", lambda health: health.observed.threads),
    _Plain(
        "queue_jobs",
        "gauge",
        "Jobs that wait for the thread that runs commands.",
        lambda health: health.observed.queue,
    ),
    _Plain(
        "queue_delay_seconds",
        "gauge",
        "How long the oldest of these jobs has waited.",
        lambda health: health.observed.queue_delay,
    ),
    _Plain(
        "store_size_bytes",
        "gauge",
        "Size of the database.",
        lambda health: health.observed.store.bytes,
    ),
    _Plain(
        "store_pending_changes",
        "gauge",
        "Changes that are not yet in the database.",
        lambda health: health.observed.store.pending,
    ),
    _Plain(
        "store_commit_seconds",
        "gauge",
        "How long the last transaction of the database took.",
        lambda health: health.observed.store.seconds,
    ),
    _Plain(
        "store_failing",
        "gauge",
        "1 while the database cannot be written.",
        lambda health: bool(health.observed.store.failing),
    ),
    _Plain(
        "history_unkept_events",
        "counter",
        "Events that came too fast to be kept in the history.",
        lambda health: health.unkept,
    ),
    _Plain(
        "config_reloads",
        "counter",
        "Attempts to take over the configuration anew.",
        lambda health: health.counted.reloads,
    ),
    _Plain(
        "config_reload_failures",
        "counter",
        "Those of them after which the old configuration stayed.",
        lambda health: health.counted.failed_reloads,
    ),
    _Plain(
        "config_last_reload_successful",
        "gauge",
        "0 while the last attempt has failed.",
        lambda health: not health.counted.reload_failed,
    ),
    _Plain(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration in force was taken over, in seconds since the epoch.",
        lambda health: health.counted.reloaded or health.started,
    ),
)

_JAILS = (
    _OfJail(
        "jail_dry_run",
        "gauge",
        "1 if the commands of the section are shown, not executed.",
        lambda jail, _: jail.dryrun,
    ),
    _OfJail("jail_lines", "counter", "Lines read.", lambda jail, _: jail.lines),
    _OfJail("jail_matches", "counter", "Lines that blame somebody.", lambda jail, _: jail.matches),
    _OfJail(
        "jail_undated_lines",
        "counter",
        "Lines in which a date was looked for in vain.",
        lambda jail, _: jail.timeless,
    ),
    _OfJail(
        "jail_slow_lines",
        "counter",
        "Lines given up because the patterns took too long for them.",
        lambda jail, _: jail.given_up,
    ),
    _OfJail("jail_failures", "counter", "Failures that counted.", lambda jail, _: jail.found_total),
    _OfJail(
        "jail_failures_ignored",
        "counter",
        "Failures of those who are never banned.",
        _heard("ignored"),
    ),
    _OfJail(
        "jail_failures_stale",
        "counter",
        "Failures that came too late to count.",
        lambda jail, _: jail.stale,
    ),
    _OfJail(
        "jail_failures_while_banned",
        "counter",
        "Complaints about somebody who gets through his ban.",
        _heard("already_banned"),
    ),
    _OfJail("jail_tracked", "gauge", "Addresses that are watched.", lambda jail, _: jail.tracked),
    _OfJail(
        "jail_tracked_limit",
        "gauge",
        "How many addresses can be watched at a time.",
        lambda jail, _: jail.capacity,
    ),
    _OfJail(
        "jail_tracked_crowded_out",
        "counter",
        "Addresses forgotten because there were too many.",
        lambda jail, _: jail.crowded_out,
    ),
    _OfJail("jail_bans_decided", "counter", "Bans decided.", lambda jail, _: jail.banned_total),
    _OfJail("jail_bans_applied", "counter", "Bans that came into force.", _heard("banned")),
    _OfJail("jail_bans_reapplied", "counter", "Bans in force once more.", _heard("rebanned")),
    _OfJail("jail_bans_failed", "counter", "Bans that began to fail.", _heard("ban_failed")),
    _OfJail("jail_bans_lifted", "counter", "Bans that are over.", _heard("unbanned")),
)

_LOGS = (
    _OfLog("log_lines", "counter", "Lines read from a log.", lambda log: log.lines),
    _OfLog(
        "log_matches", "counter", "Lines of a log that blame somebody.", lambda log: log.matches
    ),
    _OfLog(
        "log_last_line_timestamp_seconds",
        "gauge",
        "When a log had its last line, in seconds since the epoch.",
        lambda log: log.last_line or None,
    ),
    _OfLog(
        "log_last_match_timestamp_seconds",
        "gauge",
        "When a line of a log last blamed somebody, in seconds since the epoch.",
        lambda log: log.last_match or None,
    ),
    _OfLog(
        "log_clock_skew_seconds",
        "gauge",
        "How far the clock of a log seems to be ahead.",
        lambda log: log.skew,
    ),
    _OfLog("log_readable", "gauge", "0 while a log cannot be read.", lambda log: not log.problem),
)

_COMMANDS = (
    _OfCommand(
        "command_runs",
        "counter",
        "Commands that ran; one may have carried out many bans.",
        lambda runs: runs.runs,
    ),
    _OfCommand("command_failures", "counter", "Commands that failed.", lambda runs: runs.failures),
    _OfCommand("command_seconds", "counter", "How long commands took.", lambda runs: runs.seconds),
    _OfCommand(
        "command_longest_seconds",
        "gauge",
        "How long the slowest command took.",
        lambda runs: runs.longest,
    ),
)


def families(health: Health) -> list[Family]:
    """Return all metrics of the sections that run and of the daemon."""
    return list(_families(health))


def _families(health: Health) -> Iterator[Family]:
    yield _gauge("info", "The version that runs.", [((("version", health.version),), 1)])
    for plain in _DAEMON:
        yield _family(plain.name, plain.kind, plain.help, [((), plain.value(health))])
    alarms = [(_labels(alarm=alarm.name, jail=alarm.jail), 1.0) for alarm in health.alarms]
    yield _gauge("alarm", "1 while something is wrong.", alarms)
    yield from _of_jails(health)
    yield from _of_logs(health)
    yield from _of_commands(health)


def _of_jails(health: Health) -> Iterator[Family]:
    jails, counted = health.observed.jails, health.counted
    for kind in _JAILS:
        values = [(_labels(jail=jail.name), kind.value(jail, counted)) for jail in jails]
        yield _family(kind.name, kind.kind, kind.help, values)
    states = [
        (_labels(jail=jail.name, state=state), float(number))
        for jail in jails
        for state, number in sorted(jail.bans.items())
    ]
    yield _gauge("jail_bans", "Bans by how far they have come.", states)
    latency = [
        sample
        for jail in jails
        for sample in _buckets(jail.name, counted.latency.get(jail.name, Distribution()))
    ]
    text = "From the moment a line was read until its ban was in force."
    yield Family("fail2ban_ban_latency_seconds", "histogram", text, tuple(latency))


def _of_logs(health: Health) -> Iterator[Family]:
    logs = [
        (_labels(jail=jail.name, log=log.name), log)
        for jail in health.observed.jails
        for log in jail.logs
    ]
    for kind in _LOGS:
        values = [(labels, kind.value(log)) for labels, log in logs]
        there = [(labels, value) for labels, value in values if value is not None]
        yield _family(kind.name, kind.kind, kind.help, there)


def _of_commands(health: Health) -> Iterator[Family]:
    # Those of no section are the firewall's own.
    names = {jail.name for jail in health.observed.jails} | {""}
    commands = [
        (_labels(jail=jail, action=action, verb=verb), runs)
        for (jail, action, verb), runs in sorted(health.counted.commands.items())
        if jail in names
    ]
    for kind in _COMMANDS:
        values = [(labels, kind.value(runs)) for labels, runs in commands]
        yield _family(kind.name, kind.kind, kind.help, values)


def _buckets(jail: str, latency: Distribution) -> Iterator[Sample]:
    labels = _labels(jail=jail)
    for bound, count in zip((*BOUNDS, math.inf), latency.cumulative(), strict=True):
        le = "+Inf" if math.isinf(bound) else str(bound)
        yield Sample("_bucket", (*labels, ("le", le)), count)
    yield Sample("_sum", labels, latency.sum)
    yield Sample("_count", labels, latency.count)


def _gauge(name: str, help: str, values: list[tuple[Labels, float]]) -> Family:
    return _family(name, "gauge", help, values)


def _family(name: str, kind: _Kind, help: str, values: list[tuple[Labels, float]]) -> Family:
    suffix = "_total" if kind == "counter" else ""
    samples = tuple(Sample(suffix, labels, float(value)) for labels, value in values)
    return Family(f"fail2ban_{name}", kind, help, samples)


def _labels(**labels: str) -> Labels:
    return tuple((name, printable(value)) for name, value in labels.items())
