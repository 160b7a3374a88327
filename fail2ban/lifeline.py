# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells the service manager of the daemon's life: its start, its reloads, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fail2ban.sd import Supervisor
from fail2ban.watchdog import Ask, Pulse, Watchdog

#: Calls something once, when so many seconds have passed, on another thread.
Later = Callable[[float, Callable[[], object]], object]


class Lifeline:
    """Belongs to the main thread. Without a service manager it does nothing.

    Args:
        supervisor: what the service manager has handed us.
        later: the timer's.
        ring: has the main thread call `step` soon; any thread.
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        later: Later,
        ring: Callable[[], object],
        ticks: Callable[[], float],
    ) -> None:
        self._notifier, self._interval = supervisor.notifier, supervisor.interval
        self._later, self._ring = later, ring
        self._watchdog = Watchdog(self._notifier.feed, ticks)
        self._running = False

    def watch(self, name: str, ask: Ask, patience: Callable[[], float]) -> Pulse:
        """Give signs of life only while this worker works; see `watchdog.Pulse`."""
        return self._watchdog.watch(name, ask, patience)

    def started(self, status: str = "") -> None:
        """Say that we serve, and in a line what; from now on signs of life are given."""
        self._running = True
        self._notifier.ready(status)
        self.step()

    def step(self) -> None:
        """Give a sign of life, and ask for the next step."""
        if self._running and self._interval:
            self._watchdog.step()
            self._later(self._interval, self._ring)

    @contextmanager
    def reload(self) -> Iterator[None]:
        """Say that what happens meanwhile is a reload.

        One that comes before the start is over is a part of the start.
        """
        if self._running:
            self._notifier.reloading()
        try:
            yield
        finally:
            if self._running:
                self._notifier.ready()

    def stopping(self) -> None:
        """Say that we are about to end; nobody waits for a sign of life any more."""
        self._running = False
        self._notifier.stopping()
