# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's health as one document of plain data, for programs.

It is a part of the schema that clients are promised: a name that is here stays, with
its meaning. Moments are seconds since the epoch, null where there was none.
"""

from __future__ import annotations

from collections.abc import Iterable

from fail2ban.health.facts import Alarm, Counted, Health, JailFacts, LogFacts, StoreFacts
from fail2ban.health.histogram import BOUNDS, Distribution

Document = dict[str, object]

_ALARM = {"name": str, "jail": str, "since": float, "text": str}
_MOMENT = (float, None)
_COMMAND = {
    "action": str,
    "verb": str,
    "runs": int,
    "failures": int,
    "seconds": float,
    "longest": float,
}
_READ = {"lines": int, "matches": int, "last_line": _MOMENT, "last_match": _MOMENT}
_LOG = {**_READ, "name": str, "skew": (float, None), "problem": str}
_JAIL = {
    **_READ,
    "name": str,
    "dryrun": bool,
    "idle": bool,
    "journal": bool,
    "alarms": [str],
    "dates": {"found": int, "missing": int},
    "slow_lines": int,
    "failures": {"counted": int, "ignored": int, "stale": int, "expired": int, "banned": int},
    "tracked": {"now": int, "limit": int, "crowded_out": int},
    "bans": {
        "now": dict,
        "decided": int,
        "applied": int,
        "reapplied": int,
        "failed": int,
        "lifted": int,
        "failing": [{"id": str, "reason": str}],
    },
    "latency": {
        "count": int,
        "sum": float,
        "half_within": (float, None),
        "most_within": (float, None),
        "buckets": [[float]],
    },
    "commands": [_COMMAND],
    "logs": [_LOG],
}
#: The shape of alarms, in the words of `control.schema`.
ALARMS: list[object] = [_ALARM]
#: The shape of the document.
SHAPE: Document = {
    "time": float,
    "version": str,
    "started": float,
    "uptime": float,
    "alarms": ALARMS,
    "daemon": {
        "threads": int,
        "queue": {"jobs": int, "delay": float},
        "store": {
            "file": str,
            "bytes": int,
            "pending": int,
            "failing": str,
            "commit_seconds": float,
        },
        "history": {"unkept": int},
        "reloads": {
            "attempts": int,
            "failures": int,
            "last_failed": bool,
            "in_force_since": float,
        },
        "commands": [_COMMAND],
    },
    "jails": [_JAIL],
}


def document(health: Health) -> Document:
    """Return everything that is known."""
    observed, counted = health.observed, health.counted
    return {
        "time": health.time,
        "version": health.version,
        "started": health.started,
        "uptime": max(0.0, health.time - health.started),
        "alarms": alarms(health.alarms),
        "daemon": {
            "threads": observed.threads,
            "queue": {"jobs": observed.queue, "delay": observed.queue_delay},
            "store": _store(observed.store),
            "history": {"unkept": health.unkept},
            "reloads": _reloads(health),
            "commands": _commands("", counted),
        },
        "jails": [_jail(jail, counted, health.alarms) for jail in observed.jails],
    }


def alarms(alarms: Iterable[Alarm]) -> list[Document]:
    """Return alarms, the oldest first."""
    return [
        {"name": alarm.name, "jail": alarm.jail, "since": alarm.since, "text": alarm.text}
        for alarm in alarms
    ]


def _store(store: StoreFacts) -> Document:
    return {
        "file": store.file,
        "bytes": store.bytes,
        "pending": store.pending,
        "failing": store.failing,
        "commit_seconds": store.seconds,
    }


def _reloads(health: Health) -> Document:
    counted = health.counted
    return {
        "attempts": counted.reloads,
        "failures": counted.failed_reloads,
        "last_failed": counted.reload_failed,
        "in_force_since": counted.reloaded or health.started,
    }


def _jail(jail: JailFacts, counted: Counted, on: Iterable[Alarm]) -> Document:
    return {
        "name": jail.name,
        "dryrun": jail.dryrun,
        "idle": jail.idle,
        "journal": jail.journal,
        "alarms": [alarm.name for alarm in on if alarm.jail == jail.name],
        "lines": jail.lines,
        "matches": jail.matches,
        "last_line": jail.last_line or None,
        "last_match": jail.last_match or None,
        "dates": {"found": jail.timed, "missing": jail.timeless},
        "slow_lines": jail.given_up,
        "failures": _failures(jail, counted),
        "tracked": {
            "now": jail.tracked,
            "limit": jail.capacity,
            "crowded_out": jail.crowded_out,
        },
        "bans": _bans(jail, counted),
        "latency": _latency(counted.latency.get(jail.name, Distribution())),
        "commands": _commands(jail.name, counted),
        "logs": [_log(log) for log in jail.logs],
    }


def _failures(jail: JailFacts, counted: Counted) -> Document:
    return {
        "counted": jail.found_total,
        "ignored": counted.of(jail.name, "ignored"),
        "stale": jail.stale,
        "expired": counted.of(jail.name, "expired"),
        "banned": counted.of(jail.name, "already_banned"),
    }


def _bans(jail: JailFacts, counted: Counted) -> Document:
    return {
        "now": dict(jail.bans),
        "decided": jail.banned_total,
        "applied": counted.of(jail.name, "banned"),
        "reapplied": counted.of(jail.name, "rebanned"),
        "failed": counted.of(jail.name, "ban_failed"),
        "lifted": counted.of(jail.name, "unbanned"),
        "failing": [{"id": str(id), "reason": reason} for id, reason in jail.failed.items()],
    }


def _latency(latency: Distribution) -> Document:
    return {
        "count": latency.count,
        "sum": latency.sum,
        "half_within": latency.quantile(0.5),
        "most_within": latency.quantile(0.99),
        "buckets": [list(pair) for pair in zip(BOUNDS, latency.cumulative(), strict=False)],
    }


def _commands(jail: str, counted: Counted) -> list[Document]:
    return [
        {
            "action": action,
            "verb": verb,
            "runs": runs.runs,
            "failures": runs.failures,
            "seconds": runs.seconds,
            "longest": runs.longest,
        }
        for (name, action, verb), runs in sorted(counted.commands.items())
        if name == jail
    ]


def _log(log: LogFacts) -> Document:
    return {
        "name": log.name,
        "lines": log.lines,
        "matches": log.matches,
        "last_line": log.last_line or None,
        "last_match": log.last_match or None,
        "skew": log.skew,
        "problem": log.problem,
    }
