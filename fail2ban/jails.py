# SPDX-License-Identifier: GPL-2.0-or-later
"""All sections at run time: which there are, which read, and how they change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import replace

from fail2ban.decide.judge import Judge
from fail2ban.detect.match import Matcher
from fail2ban.jail import Jail, Services
from fail2ban.plan import Plan
from fail2ban.records import JailSettings

log = logging.getLogger(__name__)

#: Told which sections are to act, and the names of those that are to begin anew.
Act = Callable[[Mapping[str, JailSettings], Collection[str]], None]


class Jails:
    """All sections that there are, by name; called on the main thread.

    A section reads, or it *rests*: it keeps its bans, and goes on where it was. One
    that was added by hand rests until it is started, and until then has no actions.
    One that was stopped by hand is gone, and only its settings are remembered.

    Args:
        commands: told what is to act, before those that are new or changed begin to
            read; it must not wait.
    """

    def __init__(self, services: Services, commands: Act) -> None:
        self._services, self._commands = services, commands
        self._running: dict[str, Jail] = {}
        self._resting: set[str] = set()
        self._added: set[str] = set()
        self._stopped: dict[str, JailSettings] = {}

    def prepare(self, plan: Plan) -> None:
        """Make all sections, with what an earlier run has left of them."""
        self._running = {jail.settings.name: jail for jail in self._new_ones(plan.jails, plan)}

    def start(self) -> None:
        """Begin to read all logs; the runner knows the commands already."""
        for jail in self._running.values():
            jail.start()

    def change(self, plan: Plan, only: str = "", restart: bool = False) -> None:
        """Run what `plan` says; a section that did not change notices nothing.

        What was done to sections by hand is over then.

        Args:
            only: the one section that it is to be done for; empty: all.
            restart: stop those that run, and start them anew.
        """
        wanted = self._wanted(plan, only)
        meant = {only} if only else wanted.keys() | self._running.keys() | self._stopped.keys()
        anew = meant & wanted.keys() & self._running.keys() if restart else frozenset[str]()
        self._end(
            {name for name, jail in self._running.items() if wanted.get(name) != jail.settings},
            (self._running.keys() - wanted.keys()) | anew,
        )
        paused = self._change_running(wanted, plan)
        woken = [jail for jail in self._forget_hand(meant) if jail not in paused]
        self._commands(self._acting(wanted), anew)
        # Bans of theirs that come back find the actions that are to carry them out.
        fresh = self._new_ones([wanted[name] for name in wanted.keys() - self._running], plan)
        self._running |= {jail.settings.name: jail for jail in fresh}
        for jail in paused + woken + fresh:
            if jail.settings.name not in self._resting:
                jail.start()

    def each(self) -> list[Jail]:
        """Return all sections; any thread."""
        return list(self._running.values())

    def names(self) -> list[str]:
        """Return the names of the sections that run; any thread."""
        return sorted(self._running)

    def all(self) -> dict[str, JailSettings]:
        """Return the settings in force of all sections, by name; any thread."""
        return {name: jail.settings for name, jail in list(self._running.items())}

    def settings(self, name: str) -> JailSettings | None:
        """Return the settings of a section in force; any thread."""
        jail = self._running.get(name)
        return jail.settings if jail is not None else None

    def alter(self, settings: JailSettings, filter: Matcher) -> None:
        """Run one section with other settings, until the next `change`.

        Raises:
            OSError, ValueError: its source cannot be opened; nothing has changed.
        """
        jail = self._running[settings.name]
        jail.pause()
        try:
            jail.change(settings, filter)
        finally:
            if settings.name not in self._resting:
                jail.start()

    def rest(self, name: str) -> None:
        """Have a section read nothing for now; its bans stay."""
        self._resting.add(name)
        self._running[name].pause()

    def go_on(self, name: str) -> None:
        """Have a section read on where it was; the actions of a new one begin to act."""
        if name not in self._resting:
            return
        if name in self._added:
            self._added.discard(name)
            self._commands(self.acting(), ())
        self._resting.discard(name)
        self._running[name].start()

    def add(self, settings: JailSettings, filter: Matcher) -> None:
        """Add a section that rests, and has no actions yet.

        Raises:
            OSError, ValueError: its source cannot be opened; nothing has changed.
        """
        name = settings.name
        self._added.add(name)
        self._begin(settings, filter)
        self._resting.add(name)
        self._stopped.pop(name, None)

    def stop(self, name: str) -> None:
        """End a section, until `launch` or `change` brings it back."""
        jail = self._running.pop(name)
        jail.close()
        self._resting.discard(name)
        self._added.discard(name)
        self._stopped[name] = jail.settings
        self._commands(self.acting(), ())

    def launch(self, settings: JailSettings, filter: Matcher) -> None:
        """Bring a section back that was stopped.

        Raises:
            OSError, ValueError: its source cannot be opened; nothing has changed.
        """
        self._begin(settings, filter)
        del self._stopped[settings.name]
        self._running[settings.name].start()

    def stopped(self, name: str) -> JailSettings | None:
        """Return the settings of a section that was stopped by hand; any thread."""
        return self._stopped.get(name)

    def rests(self, name: str) -> bool:
        """Tell whether a section reads nothing; any thread."""
        return name in self._resting

    def acting(self) -> dict[str, JailSettings]:
        """Return the sections as those see them who run their actions."""
        return self._acting(self.all())

    def judge(self, name: str) -> Judge | None:
        """Return the judge of a section; any thread."""
        jail = self._running.get(name)
        return jail.judge if jail is not None else None

    def close(self) -> None:
        """Stop reading; the bans are left to the runner."""
        _halt(self._running.values())
        for jail in self._running.values():
            jail.close()

    def _new_ones(self, wanted: Iterable[JailSettings], plan: Plan) -> list[Jail]:
        """Make jails; one for which the system has no room does not stop the others."""
        jails = []
        for settings in wanted:
            try:
                jails.append(Jail(settings, plan.filters[settings.name], self._services))
            except (OSError, ValueError) as error:
                log.critical("[%s] is NOT guarded: %s", settings.name, error)
        return jails

    def _begin(self, settings: JailSettings, filter: Matcher) -> None:
        """Make one more section; its actions are there before its bans come back."""
        name = settings.name
        self._commands(self._acting(self.all() | {name: settings}), ())
        try:
            self._running[name] = Jail(settings, filter, self._services)
        except (OSError, ValueError):
            self._added.discard(name)
            self._commands(self.acting(), ())
            raise

    def _wanted(self, plan: Plan, only: str) -> dict[str, JailSettings]:
        planned = {settings.name: settings for settings in plan.jails}
        if not only:
            return planned
        wanted = self.all()
        wanted.pop(only, None)
        return wanted | {name: planned[name] for name in planned.keys() & {only}}

    def _acting(self, wanted: Mapping[str, JailSettings]) -> dict[str, JailSettings]:
        return {
            name: replace(settings, actions=()) if name in self._added else settings
            for name, settings in wanted.items()
        }

    def _end(self, changing: Set[str], ending: Set[str]) -> None:
        """End sections; those that change pause at the same time."""
        _halt(jail for name, jail in self._running.items() if name in changing | ending)
        for name in ending:
            self._running.pop(name).close()

    def _forget_hand(self, names: Set[str]) -> list[Jail]:
        """Undo what was done to sections by hand; return those that rested and run."""
        woken = [self._running[name] for name in self._resting & names & self._running.keys()]
        self._resting -= names
        self._added -= names
        for name in names:
            self._stopped.pop(name, None)
        return woken

    def _change_running(self, wanted: Mapping[str, JailSettings], plan: Plan) -> list[Jail]:
        paused = []
        for name, jail in self._running.items():
            if wanted[name] != jail.settings:
                log.info("[%s] has changed", name)
                jail.pause()
                paused.append(jail)
                try:
                    jail.change(wanted[name], plan.filters[name])
                except (OSError, ValueError) as error:
                    log.error("[%s] cannot change, its old settings stay: %s", name, error)
        return paused


def _halt(jails: Iterable[Jail]) -> None:
    """Ask sections for a pause; while we wait for one, no other is to begin a new chunk."""
    for jail in jails:
        jail.halt()
