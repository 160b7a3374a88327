# SPDX-License-Identifier: GPL-2.0-or-later
"""The sections at run time: each a reader, a judge and the thread they share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from fail2ban.decide.court import Court
from fail2ban.decide.judge import Judge
from fail2ban.detect.journal import Journal, JournalSource
from fail2ban.detect.logs import Logs
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.match import Matcher
from fail2ban.detect.names import Resolver
from fail2ban.detect.reader import LogReader
from fail2ban.detect.seek import Since
from fail2ban.detect.source import Source
from fail2ban.detect.waker import Waker
from fail2ban.plan import Plan
from fail2ban.records import JailSettings, JournalSettings

log = logging.getLogger(__name__)

#: Runs a thread's body and stops the daemon if it dies: name, body.
Guard = Callable[[str, Callable[[], None]], None]


@dataclass(frozen=True)
class Services:
    """What all sections share."""

    court: Court
    resolver: Resolver
    journal: Journal
    main: MainThread
    guard: Guard


class Jail:
    """Starts, stops and changes one section; called on the main thread.

    Raises:
        OSError, ValueError: its source cannot be opened.
    """

    def __init__(self, settings: JailSettings, filter: Matcher, services: Services) -> None:
        self.settings = settings
        self._filter = filter
        self._services = services
        self._waker = Waker()
        self._source = self._open(settings, services.court.clock() - settings.findtime)
        self.judge = Judge(settings, services.court)
        self._reader = LogReader(
            jail=settings.name,
            source=self._source,
            match=filter.match,
            report=self.judge.hear,
            resolver=services.resolver,
            usedns=settings.filter.usedns,
            waker=self._waker,
            clock=services.court.clock,
            polltime=settings.polltime,
            idle=self.judge.forget,
            main=services.main,
        )
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read."""
        self._stop = stop = threading.Event()
        name = f"reader/{self.settings.name}"
        thread = threading.Thread(
            target=self._services.guard, args=(name, lambda: self._reader.run(stop)), name=name
        )
        thread.start()
        self._thread = thread  # for one that the system has no room for, nobody waits

    def halt(self) -> None:
        """Ask for a pause; returns at once."""
        self._stop.set()
        self._reader.wake()

    def pause(self) -> None:
        """Stop reading; `start` goes on at the same place."""
        self.halt()
        if self._thread is not None:
            self._services.main.join(self._thread)
            self._thread = None

    def close(self) -> None:
        """Stop for good."""
        self.pause()
        self._reader.close()
        self.judge.close()

    def change(self, settings: JailSettings, filter: Matcher) -> None:
        """Take over other settings while paused; counts and positions stay.

        Raises:
            OSError, ValueError: the other source cannot be opened.
        """
        self._redirect(settings)
        self._filter = filter
        self._reader.match = filter.match
        self._reader.usedns = settings.filter.usedns
        self._reader.polltime = settings.polltime
        self.settings = settings
        self.judge.configure(settings)

    # Where the lines come from -------------------------------------------------

    def _open(self, settings: JailSettings, since: float) -> Source:
        """Open the source; of what is there already only what is younger than `since`."""
        if settings.journal is None:
            young = Since(lambda: max(since, self._window()), self._when)
            return Logs(
                settings.logs, tails=settings.tails, encoding=settings.encoding, since=young
            )
        journal = self._services.journal
        return journal.source(settings.name, settings.journal, since, self._waker.wake)

    def _window(self) -> float:
        """Return from when on failures count at present."""
        return self._services.court.clock() - self.settings.findtime

    def _when(self, line: str) -> float | None:
        """Return the timestamp of a line; found where a search can be interrupted."""
        clock = self._services.court.clock
        return self._services.main.call(lambda: self._filter.when(line, clock()))

    def _redirect(self, settings: JailSettings) -> None:
        """Read what the settings say from now on; a source that stays keeps its place."""
        old, source = self.settings, self._source
        if isinstance(source, Logs) and settings.journal is None:
            if _files(settings) != _files(old):
                source.repattern(settings.logs, settings.tails, settings.encoding)
        elif isinstance(source, JournalSource) and _same_journal(old.journal, settings.journal):
            source.rematch(settings.journal or JournalSettings())
        elif old.journal != settings.journal:
            # What was written before was counted, or belongs to others.
            from_now_on = replace(settings, tails=frozenset(settings.logs))
            self._source = self._open(from_now_on, self._services.court.clock())
            self._reader.follow(self._source)


def _halt(jails: Iterable[Jail]) -> None:
    """Ask sections for a pause; while we wait for one, no other is to begin a new chunk."""
    for jail in jails:
        jail.halt()


def _files(settings: JailSettings) -> tuple[object, ...]:
    return settings.logs, settings.tails, settings.encoding


def _same_journal(old: JournalSettings | None, new: JournalSettings | None) -> bool:
    """Tell whether two sections differ at most in what they want of a journal."""
    if old is None or new is None:
        return False
    return replace(old, matches=()) == replace(new, matches=())


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
        _halt(jail for name, jail in self._running.items() if wanted.get(name) != jail.settings)
        for name in self._running.keys() - wanted.keys():
            self._running.pop(name).close()
        paused = self._change_running(wanted, plan)
        fresh = self._new_ones([wanted[name] for name in wanted.keys() - self._running], plan)
        self._commands(wanted)
        self._running |= {jail.settings.name: jail for jail in fresh}
        for jail in paused + fresh:
            jail.start()

    def names(self) -> list[str]:
        """Return the names of the sections that run; any thread."""
        return sorted(self._running)

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
            jail.start()

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
                paused.append(jail)
                try:
                    jail.change(wanted[name], plan.filters[name])
                except (OSError, ValueError) as error:
                    log.error("[%s] cannot change, its old settings stay: %s", name, error)
        return paused
