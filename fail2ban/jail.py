# SPDX-License-Identifier: GPL-2.0-or-later
"""The sections at run time: each a reader, a judge and the thread they share."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fail2ban.decide.bans import Bans
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.judge import Judge
from fail2ban.detect.filter import Filter
from fail2ban.detect.logs import Logs
from fail2ban.detect.names import Resolver
from fail2ban.detect.reader import LogReader
from fail2ban.detect.waker import Waker
from fail2ban.plan import Plan
from fail2ban.records import JailSettings

log = logging.getLogger(__name__)

#: Runs a thread's body and stops the daemon if it dies: name, body.
Guard = Callable[[str, Callable[[], None]], None]


@dataclass(frozen=True)
class Services:
    """What all sections share."""

    bans: Bans
    own: OwnAddresses
    resolver: Resolver
    guard: Guard
    clock: Callable[[], float] = time.time


class Jail:
    """Starts, stops and changes one section; called on the main thread."""

    def __init__(self, settings: JailSettings, filter: Filter, services: Services) -> None:
        self.settings = settings
        self._guard = services.guard
        self._judge = Judge(settings, services.bans, services.own, services.clock)
        self._reader = LogReader(
            jail=settings.name,
            logs=Logs(settings.logs),
            match=filter.match,
            report=self._judge.hear,
            resolver=services.resolver,
            usedns=settings.filter.usedns,
            waker=Waker(),
            clock=services.clock,
            polltime=settings.polltime,
            idle=self._judge.forget,
        )
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read."""
        self._stop = stop = threading.Event()
        name = f"reader/{self.settings.name}"
        self._thread = threading.Thread(
            target=self._guard, args=(name, lambda: self._reader.run(stop)), name=name
        )
        self._thread.start()

    def pause(self) -> None:
        """Stop reading; `start` goes on at the same place."""
        self._stop.set()
        self._reader.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop for good."""
        self.pause()
        self._reader.close()

    def change(self, settings: JailSettings, filter: Filter) -> None:
        """Take over other settings while paused; counts and positions stay."""
        self._reader.match = filter.match
        self._reader.usedns = settings.filter.usedns
        self._reader.polltime = settings.polltime
        if settings.logs != self.settings.logs:
            self._reader.logs.repattern(settings.logs)
        self.settings = settings
        self._judge.configure(settings)


class Jails:
    """All sections that run, by name; called on the main thread.

    Args:
        commands: told which sections there are to be, before those that are new
            or changed begin to read; it must not wait.
    """

    def __init__(
        self, services: Services, commands: Callable[[Mapping[str, JailSettings]], None]
    ) -> None:
        self._services, self._commands = services, commands
        self._running: dict[str, Jail] = {}

    def start(self, plan: Plan) -> None:
        """Begin to read all logs; the runner knows the commands already."""
        for jail in self._new_ones(plan.jails, plan):
            self._running[jail.settings.name] = jail
            jail.start()

    def change(self, plan: Plan) -> None:
        """Run what `plan` says; a section that did not change notices nothing.

        One that runs, but is broken now, keeps its old settings.
        """
        wanted = self._keep_broken(plan)
        for name in self._running.keys() - wanted.keys():
            self._running.pop(name).close()
        paused = self._change_running(wanted, plan)
        fresh = self._new_ones([wanted[name] for name in wanted.keys() - self._running], plan)
        self._commands(wanted)
        self._running |= {jail.settings.name: jail for jail in fresh}
        for jail in paused + fresh:
            jail.start()

    def close(self) -> None:
        """Stop reading; the bans are left to the runner."""
        for jail in self._running.values():
            jail.close()

    def _new_ones(self, wanted: Iterable[JailSettings], plan: Plan) -> list[Jail]:
        """Make jails; one for which the system has no room does not stop the others."""
        jails = []
        for settings in wanted:
            try:
                jails.append(Jail(settings, plan.filters[settings.name], self._services))
            except OSError as error:
                log.critical("[%s] is NOT guarded: %s", settings.name, error)
        return jails

    def _keep_broken(self, plan: Plan) -> dict[str, JailSettings]:
        wanted = {settings.name: settings for settings in plan.jails}
        for name in plan.broken & self._running.keys():
            log.error("[%s] is broken now: its old settings stay", name)
            wanted[name] = self._running[name].settings
        return wanted

    def _change_running(self, wanted: Mapping[str, JailSettings], plan: Plan) -> list[Jail]:
        paused = []
        for name, jail in self._running.items():
            if wanted[name] != jail.settings:
                log.info("[%s] has changed", name)
                jail.pause()
                jail.change(wanted[name], plan.filters[name])
                paused.append(jail)
        return paused
