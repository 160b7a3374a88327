# SPDX-License-Identifier: GPL-2.0-or-later
"""Count what happens: a listener of `Events` on the threads that act."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from fail2ban.events import Event
from fail2ban.health.facts import CommandCount, Counted
from fail2ban.health.histogram import Histogram


class Counters:
    """Counts events. Any thread; the lock is held for a few additions.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: dict[tuple[str, str], int] = {}
        self._commands: dict[tuple[str, str, str], _Runs] = {}
        self._latency: dict[str, Histogram] = {}
        self._reloads = self._failed_reloads = 0
        self._reloaded, self._reload_failed = 0.0, False

    def note(self, event: Event) -> None:
        """Count an event; a `Listener`."""
        about = event.jail, event.kind
        with self._lock:
            self._events[about] = self._events.get(about, 0) + 1
            if event.kind == "command":
                self._note_command(event)
            elif event.kind == "banned":
                self._note_latency(event)

    def reloaded(self, done: bool) -> None:
        """Count an attempt to take over the configuration anew."""
        with self._lock:
            self._reloads += 1
            self._failed_reloads += not done
            self._reload_failed = not done
            if done:
                self._reloaded = self._clock()

    def read(self) -> Counted:
        """Return what was counted so far."""
        with self._lock:
            return Counted(
                events=dict(self._events),
                commands={key: runs.read() for key, runs in self._commands.items()},
                latency={jail: histogram.read() for jail, histogram in self._latency.items()},
                reloads=self._reloads,
                failed_reloads=self._failed_reloads,
                reloaded=self._reloaded,
                reload_failed=self._reload_failed,
            )

    def _note_command(self, event: Event) -> None:
        if event.facts.get("dryrun"):
            return  # nothing ran
        key = event.jail, str(event.facts.get("action", "")), str(event.facts.get("verb", ""))
        if (runs := self._commands.get(key)) is None:
            runs = self._commands[key] = _Runs()
        # What is tried again in parts has not failed yet: they tell.
        failed = bool(event.facts.get("error")) and not event.facts.get("divided")
        runs.add(_seconds(event), failed)

    def _note_latency(self, event: Event) -> None:
        # A dry run tells of bans that no kernel has heard of.
        if event.facts.get("seconds") is None or event.facts.get("dryrun"):
            return
        if (histogram := self._latency.get(event.jail)) is None:
            histogram = self._latency[event.jail] = Histogram()
        histogram.add(_seconds(event))


class _Runs:
    """The runs of commands that do the same."""

    __slots__ = ("_runs", "_failures", "_seconds", "_longest")

    def __init__(self) -> None:
        self._runs = self._failures = 0
        self._seconds = self._longest = 0.0

    def add(self, seconds: float, failed: bool) -> None:
        self._runs += 1
        self._failures += failed
        self._seconds += seconds
        self._longest = max(self._longest, seconds)

    def read(self) -> CommandCount:
        return CommandCount(self._runs, self._failures, self._seconds, self._longest)


def _seconds(event: Event) -> float:
    seconds: Any = event.facts.get("seconds")
    return max(0.0, float(seconds or 0.0))
