# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at all parts of the daemon that have something to tell about how they are."""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Iterable
from itertools import islice

from fail2ban.decide.bans import Bans, Entry, State
from fail2ban.health.facts import JailFacts, LogFacts, Observed, StoreFacts
from fail2ban.jail import Jail
from fail2ban.records import Id
from fail2ban.store import StoreHealth

#: Bans of a section that fail which are looked at; of more, one says as much.
FAILED = 1000
#: What is wrong with a log that is named and not followed.
NOT_FOLLOWED = "it is not there, or cannot be read"


def observe(
    sections: Iterable[Jail],
    rests: Callable[[str], bool],
    bans: Bans,
    queue: int,
    queue_delay: float,
    store: StoreHealth,
) -> Observed:
    """Return how everything is. Any thread; only looks at memory.

    Args:
        rests: tells whether a section reads nothing at present.
        queue, queue_delay: see `Observed`.
    """
    return Observed(
        jails=tuple(_jail(one, rests(one.settings.name), bans) for one in sections),
        queue=queue,
        queue_delay=queue_delay,
        threads=threading.active_count(),
        store=_store(store),
    )


def waited(pending: int, delay: float, busy: float) -> float:
    """Return the seconds for which jobs have to wait at present.

    Args:
        pending, delay, busy: as the runner tells them; its delay is that of a job that
            may have been the last for a long time.
    """
    return max(delay, busy) if pending or busy else 0.0


def _jail(section: Jail, idle: bool, bans: Bans) -> JailFacts:
    settings, reader, judge = section.settings, section.reader, section.judge
    tracker, dating = judge.tracker, reader.dating
    states = bans.tally(settings.name)
    return JailFacts(
        name=settings.name,
        journal=settings.journal is not None,
        dryrun=settings.dryrun,
        idle=idle,
        lines=reader.lines,
        matches=reader.matches,
        last_line=reader.last_line,
        last_match=reader.last_match,
        timed=dating.dated,
        timeless=dating.undated,
        given_up=reader.given_up,
        found_total=judge.found_total,
        tracked=len(tracker),
        capacity=tracker.capacity,
        stale=tracker.stale,
        crowded_out=tracker.crowded_out,
        bans={state.value: count for state, count in states.items()},
        banned_total=bans.total(settings.name),
        failed=_failed(bans.of(settings.name)) if states[State.FAILED] else {},
        logs=(*_logs(section), *(() if idle else _missing(section))),
    )


def _logs(section: Jail) -> list[LogFacts]:
    reader = section.reader
    if section.settings.journal is not None:
        return [
            LogFacts("journal", reader.lines, reader.matches, reader.last_line, reader.last_match)
        ]
    behind = reader.dating.skew
    skew = None if behind is None else -behind
    return [
        LogFacts(one.path, one.lines, one.matches, one.grown, one.last_match, skew)
        for one in section.followed()
    ]


def _missing(section: Jail) -> list[LogFacts]:
    """Return the logs that a section names and does not follow."""
    if section.settings.journal is not None:
        return []
    followed = {one.path for one in section.followed()}
    named = [path for path in section.settings.logs if not glob.has_magic(path)]
    return [LogFacts(path, problem=NOT_FOLLOWED) for path in named if path not in followed]


def _failed(entries: list[Entry]) -> dict[Id, str]:
    failed = (entry for entry in entries if entry.state is State.FAILED)
    return {entry.ban.id: entry.error for entry in islice(failed, FAILED)}


def _store(store: StoreHealth) -> StoreFacts:
    return StoreFacts(
        file=store.file,
        bytes=store.bytes,
        pending=store.pending,
        failing=store.failing,
        seconds=store.last_commit_seconds,
    )
