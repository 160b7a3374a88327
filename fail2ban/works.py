# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of a daemon, put together; who runs them is the daemon's business."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fail2ban import notices
from fail2ban.decide.court import Court
from fail2ban.decide.history import AGE, Memory
from fail2ban.decide.hosts import Hosts
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.timer import Timer
from fail2ban.detect.guard import Guard
from fail2ban.detect.journal import Journal
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.names import Resolver
from fail2ban.detect.watches import Watches
from fail2ban.enforce import shell
from fail2ban.enforce.aside import Teller
from fail2ban.enforce.asker import ShellAsker
from fail2ban.enforce.coalesce import Ready, never_ready
from fail2ban.enforce.firewall import host_families
from fail2ban.enforce.latepost import LatePost
from fail2ban.enforce.runner import Runner
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.shell import Shell
from fail2ban.enforce.site import Modes
from fail2ban.enforce.tags import Counts, Lore, Merged
from fail2ban.errors import StoreError
from fail2ban.events import Event, Events
from fail2ban.health.facts import Observed
from fail2ban.health.monitor import MARK, Monitor
from fail2ban.health.recorder import Recording
from fail2ban.jail import Services
from fail2ban.jails import Act, Jails
from fail2ban.ledger import Batch, Remembered
from fail2ban.observation import observe, waited
from fail2ban.records import ActionSettings, Ban, Id, JailSettings, Settings, StoreSettings
from fail2ban.store import Store

log = logging.getLogger(__name__)

#: Where the store keeps what the next start must know to remove what we leave in the
#: firewall: no section, and keys that begin so.
FAREWELL = "farewell:"
#: Seconds that a command waits for the store, if it is to get lines of earlier bans;
#: and seconds for which the next ones do not wait where there was no answer.
PATIENCE, REST = 1.0, 60.0
#: Seconds that others wait for the store: a section that begins, a client, and the end
#: before it decides what may stay.
LONG_PATIENCE = 10.0
#: Events of one id that are shown.
EVENTS = 1000


@dataclass(frozen=True)
class Links:
    """What the parts want of the daemon.

    Attributes:
        settings: returns those in force.
        guard: runs a thread's body.
        ring: wakes the main thread; any thread.
        shell: runs commands.
        applied: is told of a ban that is in force; on the runner's thread.
        give_up: ends the daemon, for a reason.
        act: has sections act by their settings.
        ready: tells whether a process stands by for a batch.
    """

    settings: Callable[[], Settings]
    guard: Guard
    ring: Callable[[], None]
    shell: Shell
    applied: Callable[[Ban], None]
    give_up: Callable[[str], None]
    act: Act
    ready: Ready = never_ready


class Works:
    """All parts that live as long as the daemon.

    Attributes:
        main: matches lines for the readers; `desk` changes sections for clients. In
            the middle of a change, while it waits for a reader, only lines are matched.
        store: what outlives the process.
        monitor: counts and watches.
    """

    def __init__(self, settings: Settings, jails: Iterable[JailSettings], links: Links) -> None:
        jails = list(jails)
        self._left: Mapping[str, str] = {}
        self._ask_again = 0.0  # the store did not answer; by the clock that only goes forward
        self.events = Events(time.time)
        self.timer = Timer(time.time, time.monotonic)
        self.main, self.desk = MainThread(links.ring), MainThread(links.ring)
        self.store = Store(store_settings(settings, jails), renewed=self._renew)
        self.history = Memory(settings.store.purgeage if settings.store else AGE)
        lore = Lore(merged=self._merged, counts=self._counts)
        self.post, self.teller = LatePost(lore), Teller()
        scaffold = Scaffold(
            settings.firewall,
            actions(jails),
            links.shell,
            host_families(settings.ipv6),
            lore,
            self.post,
            self.teller,
            Modes.of(jails, settings.firewall.dryrun),
            self.events,
            ready=links.ready,
        )
        words = Recording(notices.of(settings.modern, scaffold.is_dry), self.events)
        self.runner = Runner(
            settings=settings.firewall,
            scaffold=scaffold,
            timer=self.timer,
            clock=time.time,
            ticks=time.monotonic,
            notices=words,
            applied=links.applied,
            give_up=links.give_up,
            ledger=self.store,
            remember=self._note_farewells,
        )
        court = Court(
            bans=self.runner.bans,
            own=OwnAddresses(time.monotonic),
            hosts=Hosts(),
            history=self.history,
            notices=words,
            # To ask whom to ignore changes nothing: a dry run asks, too.
            asker=ShellAsker(shell.run, lore),
            events=self.events,
        )
        self.services = Services(
            court,
            Resolver(),
            Journal(links.guard),
            self.main,
            links.guard,
            self._load,
            self.runner.restore,
            Watches(links.guard),
        )
        self.jails = Jails(self.services, links.act)
        self.monitor = Monitor(
            self.events, self.store, lambda: links.settings().health, self._observe
        )

    # The store --------------------------------------------------------------------

    def open(self) -> dict[str, str]:
        """Open the store; return what the last run has left in the firewall.

        On the main thread, before any other runs.
        """
        self.store.open()
        marks = self._load("").marks
        self.monitor.recall(marks.get(MARK[1], ""))
        try:
            self.history.load(self.store.records())
        except StoreError as error:
            log.error("earlier bans are not known: %s", error)
        self._left = {key: text for key, text in marks.items() if key.startswith(FAREWELL)}
        return {key.removeprefix(FAREWELL): text for key, text in self._left.items()}

    def keeps_faith(self) -> bool:
        """Have all written; tell whether the next run will know what this one has done."""
        try:
            self.store.ask(lambda queries: None, LONG_PATIENCE)
        except StoreError:
            return False
        health = self.store.health()
        return bool(health.file) and not health.failing

    def pardon(self, jail: str, id: Id) -> None:
        """Forget that an id was ever banned by a section; any thread."""
        if (judge := self.jails.judge(jail)) is not None:
            judge.pardon(id)

    def recorded(self, ids: Sequence[Id]) -> list[Event]:
        """Return what happened to some ids, oldest first.

        Raises:
            StoreError: nobody knows.
        """
        found = self.store.ask(lambda queries: queries.events_of(ids, EVENTS), LONG_PATIENCE)
        return sorted(found, key=lambda event: event.time)

    def _load(self, jail: str) -> Remembered:
        try:
            return self.store.load(jail, LONG_PATIENCE)
        except StoreError as error:
            log.error("[%s] what an earlier run has left is not known: %s", jail, error)
            return Remembered()

    def _note_farewells(self, texts: Mapping[str, str]) -> None:
        """Save what the next start must know; on the runner's thread."""
        new = {FAREWELL + jail: text for jail, text in texts.items()}
        gone: dict[str, str | None] = dict.fromkeys(self._left.keys() - new.keys())
        self._left = new
        self.store.save(Batch(marks={("", key): text for key, text in {**gone, **new}.items()}))

    def _renew(self) -> None:
        """Save everything once more: the database was lost; on the store's thread."""
        self.store.save(Batch(marks={("", key): text for key, text in self._left.items()}))
        for jail in self.jails.each():
            jail.judge.renew()

    def _merged(self, ban: Ban, all_jails: bool) -> Merged:
        """Return what earlier bans of an id say, and this one; on the runner's thread."""
        jail = None if all_jails else ban.jail
        lines, failures = ban.ticket.lines, ban.ticket.failures
        if time.monotonic() < self._ask_again:
            return Merged(lines, failures)
        try:
            # The ban itself may be stored, or not yet.
            earlier = self.store.ask(lambda q: q.lines(ban.id, jail, ban.start), PATIENCE)
        except StoreError as error:
            log.warning("[%s] lines of earlier bans are not known: %s", ban.jail, error)
            self._ask_again = time.monotonic() + REST
            return Merged(lines, failures)
        return Merged((*earlier.lines, *lines), earlier.failures + failures)

    # What the parts know of each other ---------------------------------------------

    def _counts(self, jail: str) -> Counts:
        """Return what the tags <jail.…> say; on the runner's thread."""
        judge = self.jails.judge(jail)
        if judge is None:
            return Counts()
        banned = len(self.runner.bans.of(jail))
        return Counts(banned, judge.banned_total, judge.found, judge.found_total)

    def _observe(self) -> Observed:
        runner = self.runner
        pending, jails = runner.pending, self.jails
        delay = waited(pending, runner.delay, runner.busy)
        store = self.store.health()
        return observe(jails.each(), jails.rests, runner.bans, pending, delay, store)


def actions(jails: Iterable[JailSettings]) -> dict[str, tuple[ActionSettings, ...]]:
    """Return the actions of sections, by name."""
    return {jail.name: jail.actions for jail in jails}


def store_settings(settings: Settings, jails: Iterable[JailSettings]) -> StoreSettings:
    """Return how the store is to be kept.

    What is only tried is not to be taken for done by the next run: a dry run has a
    store of its own, which ends with it.
    """
    limits = settings.store or StoreSettings(file="")
    longest = max((jail.findtime for jail in jails), default=0.0)
    file = "" if settings.firewall.dryrun else limits.file
    return replace(limits, file=file, purgeage=max(limits.purgeage, longest))
