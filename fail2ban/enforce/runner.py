# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that carries out bans: one command after the other, as decided.

What the others want is put into a queue; here it is carried out, at each action
of the section in turn: those that keep somebody out first, then those that only
tell. An error at one action stops none of the others. Orders that wait together
are carried out together, so that a command can serve many.

Source: fail2ban-conf-0.6.md sections 7 and 8; jail-conf.md sections 9 and 10.1,
with the defects 3, 15 and 16 of section 16 mended.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from fail2ban.decide.bans import Bans, Entry, Verb
from fail2ban.decide.timer import Timer
from fail2ban.enforce.banner import Banner
from fail2ban.enforce.builder import Builder, Plans
from fail2ban.enforce.enforcer import Enforcer
from fail2ban.enforce.heritage import Heritage
from fail2ban.enforce.keeper import Keeper
from fail2ban.enforce.lifter import Lifter
from fail2ban.enforce.orders import Agenda, Job, Order
from fail2ban.enforce.repair import Repairer
from fail2ban.enforce.reporter import Reporter
from fail2ban.enforce.restorer import Restorer
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.shell import report
from fail2ban.enforce.site import Actions, Modes, Site
from fail2ban.errors import CommandError
from fail2ban.ledger import Ledger
from fail2ban.notices import Notices
from fail2ban.records import Ban, Family, FirewallSettings

log = logging.getLogger(__name__)

#: Seconds between two looks whether somebody who waits for the runner is to give up.
LOOK = 0.2

#: Gets, by section, what the next start must know to remove what we leave: all of
#: it, instead of what it got before. Texts that only the runner understands.
Remember = Callable[[Mapping[str, str]], object]


class Runner:
    """Carry out what was decided.

    Attributes:
        started: set once the first attempt to set up the firewall is over.
        bans: the table.

    Args:
        scaffold: what is set up, and how.
        timer: for retries and for the regular check.
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
        notices: tells of a ban's life.
        applied: called after a new ban is in force, on the runner's thread;
            must return at once.
        give_up: called with the reason when the configuration says so.
        ledger: makes bans durable; None: nobody does, and nobody waits for it.
        remember: called whenever other things are set up, and at the end, on the
            runner's thread; must return at once.
        boot: what tells this run of the machine from others; None: find out.
    """

    def __init__(
        self,
        settings: FirewallSettings,
        scaffold: Scaffold,
        timer: Timer,
        clock: Callable[[], float],
        ticks: Callable[[], float],
        notices: Notices,
        applied: Callable[[Ban], None],
        give_up: Callable[[str], None],
        ledger: Ledger | None = None,
        remember: Remember = lambda texts: None,
        boot: str | None = None,
    ) -> None:
        self.started = threading.Event()
        self.bans = Bans(timer, self.order, ledger)
        self._scaffold, self._timer, self._ticks = scaffold, timer, ticks
        self._notices, self._remember = notices, remember
        self._agenda = Agenda(ticks, self._joins)
        self._stop, self._keep = threading.Event(), True
        self._delay, self._began = 0.0, 0.0

        plans = Plans(self._later, self._put, self._retry, give_up, self._stop.is_set)
        bans = self.bans
        self._reporter = Reporter(bans, scaffold, notices, clock, ticks, applied)
        self._enforcer = enforcer = Enforcer(bans, scaffold, self._reporter, clock, ticks)
        self._builder = builder = Builder(settings, bans, scaffold, enforcer, plans)
        self._repairer = repairer = Repairer(bans, scaffold, enforcer, builder, plans, ticks)
        builder.check_with(repairer.check)
        self._lifter = lifter = Lifter(bans, scaffold, enforcer, repairer, plans)
        self._banner = Banner(
            bans, scaffold, enforcer, self._reporter, builder, repairer, lifter, plans, clock
        )
        self._heritage = Heritage(scaffold, enforcer, boot)
        self._restorer = Restorer(
            bans, scaffold, enforcer, builder, self._banner, lifter, self._heritage, plans
        )
        self._keeper = Keeper(bans, scaffold, enforcer, builder, ticks)
        #: What carries out orders. Of those that came together, the ends go first, the
        #: news last.
        self._obey: dict[Verb, Callable[[Sequence[Entry]], object]] = {
            Verb.UNBAN: lifter.lift,
            Verb.BAN: self._banner.ban,
            Verb.RENEW: self._banner.renew,
            Verb.PROLONG: self._banner.prolong,
            Verb.TELL: self._banner.tell,
        }

    # What other threads call --------------------------------------------------

    def order(self, verb: Verb, entry: Entry) -> None:
        """Ask for something to be done with a ban; returns at once."""
        self._agenda.put(Order(verb, entry))

    def restore(self, jail: str, bans: Iterable[Ban], over: Iterable[Ban] = ()) -> None:
        """Take over what the last run has decided for a section; returns at once.

        To be called for every section, also without any bans, before others are
        decided there.

        Args:
            bans: in force.
            over: those whose end has come since, or that are not wanted any more;
                they are lifted where the firewall may hold them.
        """

        def order(entries: list[Entry]) -> None:
            self._put(functools.partial(self._restorer.restore, jail, entries))

        self.bans.restore(bans, order, over)

    def lift_all(self, jail: str) -> int:
        """End all bans of a section, with one command where there is one for that.

        Returns at once, with their number.
        """

        def order(entries: list[Entry]) -> None:
            self._put(functools.partial(self._lifter.lift_all, jail, entries))

        return self.bans.end_all(jail, order)

    def reconfigure(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None = None,
        anew: Collection[str] = (),
        modes: Modes | None = None,
    ) -> None:
        """Ask for other commands; actions that stay the same are not touched.

        Args:
            families: those to ban from now on; None: as before.
            anew: sections whose actions are stopped and started all the same.
            modes: whose commands are not run as usual; None: as before.
        """
        copy = {jail: tuple(several) for jail, several in actions.items()}
        job = functools.partial(self._reconfigure, settings, copy, families, frozenset(anew), modes)
        self._put(job)

    def wait(self, seconds: float) -> bool:
        """Wait until what was asked for before is done; tell whether it is."""
        done, enough = threading.Event(), self._ticks() + seconds
        self._put(done.set)
        while not done.wait(LOOK):
            if self._stop.is_set() or self._ticks() > enough:
                return False
        return True

    def let_go(self, action: str, ban: Ban) -> None:
        """Ask an action to lift a ban that is none; returns at once."""
        self._put(functools.partial(self._let_go, action, ban))

    def do(self, job: Job) -> None:
        """Have something called in turn; returns at once."""
        self._put(job)

    @property
    def pending(self) -> int:
        """How many jobs and orders wait."""
        return len(self._agenda)

    @property
    def delay(self) -> float:
        """How many seconds the last job that was begun had waited."""
        return self._delay

    @property
    def busy(self) -> float:
        """For how many seconds the present job has been at work; 0: there is none."""
        began = self._began
        return self._ticks() - began if began else 0.0

    def finish(self, keep: bool = True) -> None:
        """Let `run` come to its end, after the command that is running now.

        Args:
            keep: sections that want it leave their bans in the firewall: the next
                run will know of them.
        """
        self._keep = keep
        self._stop.set()
        self._put(lambda: None)

    # The thread ---------------------------------------------------------------

    def run(self, unclean: bool = False, left: Mapping[str, str] = MappingProxyType({})) -> None:
        """Set up, serve until `finish`, take down; also if a bug ends us.

        Args:
            unclean: an earlier instance was killed; remove what it left.
            left: the last that it had remembered.
        """
        self._heritage.enter(unclean, left)
        keep = False  # after a bug, nobody knows what stands
        try:
            self._remember(self._heritage.farewells())
            if self._builder.set_up(again=False):
                log.info("The firewall is set up")
            self.started.set()
            self._put(self._check_regularly)
            while not self._stop.is_set():
                self.step()
            keep = self._keep
        finally:
            self._notices.restoring()
            self._remember(self._heritage.farewells(self._keeper.end(keep)))

    def step(self) -> None:
        """Wait for one job and do it, or for an order and those that can go with it."""
        asked, job = self._agenda.take()
        self._began = self._ticks()
        self._delay = self._began - asked
        if isinstance(job, list):
            self._carry_out(job)
        else:
            job()
        self._began = 0.0

    def _carry_out(self, orders: Sequence[Order]) -> None:
        for verb, obey in self._obey.items():
            if entries := [order.entry for order in orders if order.verb is verb]:
                obey(entries)

    def _joins(self, order: Order) -> bool:
        """Tell whether an order gains by being carried out together with others.

        Where each ban is a command of its own it must not: in between others have
        their turn, and the end is obeyed. For the ends of bans all actions count.
        """
        if order.verb is Verb.TELL:
            return True
        ban = order.entry.ban
        if ban.family is None:
            return False
        sites = self._scaffold.enforcing(ban.ticket.jail)
        if order.verb is Verb.BAN:
            return all(site.gathers_bans for site in sites[:1])
        return order.verb is Verb.UNBAN and all(site.gathers_unbans for site in sites)

    def _put(self, job: Job) -> None:
        self._agenda.put(job)

    def _later(self, seconds: float, job: Job) -> None:
        self._timer.after(seconds, lambda: self._put(job))

    def _retry(self, site: Site, entries: Sequence[Entry]) -> None:
        self._banner.retry(site, entries)

    # Check --------------------------------------------------------------------

    def _check_regularly(self) -> None:
        """Check the sections that have bans, now and every `reinittime`.

        The pause begins when the last check is over, and bans that were ordered
        meanwhile come between two checks: slow checks must not hold them up.
        """
        jails = sorted(self.bans.jails())
        self._check_each([site for jail in jails for site in self._scaffold.enforcing(jail)])

    def _check_each(self, sites: list[Site]) -> None:
        if sites:
            if sites[0] in self._scaffold.enforcing(sites[0].jail):
                self._repairer.check(sites[0])
            self._put(lambda: self._check_each(sites[1:]))
        else:
            interval = max(1.0, self._builder.settings.reinittime)
            self._later(interval, self._check_regularly)

    # Other commands -----------------------------------------------------------

    def _reconfigure(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None,
        anew: frozenset[str],
        modes: Modes | None,
    ) -> None:
        """Take down with the old commands what changes, set it up with the new."""
        changed = self._scaffold.changed(settings, actions, families, modes)
        changed += [s for s in self._scaffold.sites() if s.jail in anew and s not in changed]
        kept = [site for site in self._scaffold.sites() if site.up and site not in changed]
        self._builder.end([site for site in changed if site.jail not in actions])
        self._builder.forget(self.bans.jails() - actions.keys())
        self._builder.take_down([site for site in changed if site.jail in actions], removed=True)
        turned = self._turned(actions, modes)
        for entry in turned:
            self._reporter.ended(entry)  # as what it was; it begins anew as the other
        self._scaffold.replace(settings, actions, families, modes)
        self._remember(self._heritage.farewells())
        for entry in turned:
            if not self._scaffold.is_dry(entry.ban.jail):
                self._banner.tell_anew(entry)
        self._builder.settings, self._builder.attempts = settings, 0
        for jail in actions:
            self._settle(jail)
        self._builder.set_up()
        for site in kept:
            self._reload(site)

    def _let_go(self, action: str, ban: Ban) -> None:
        if self.bans.get(ban.jail, ban.id) is not None:
            return  # it is one by now
        for site in self._scaffold.of(ban.jail) or ():
            if site.name == action and site.up:
                self._enforcer.let_go(site, [ban])

    def _turned(self, actions: Actions, modes: Modes | None) -> list[Entry]:
        """Return the bans of sections whose commands were run and are only shown now, or back."""
        if modes is None:
            return []
        jails = [j for j in actions if self._scaffold.is_dry(j) != (j in modes.dry)]
        return [entry for jail in jails for entry in self.bans.of(jail)]

    def _settle(self, jail: str) -> None:
        """Conclude anew how far bans have come: other actions count now."""
        entries = self.bans.of(jail)
        tried = [entry for entry in entries if not entry.lifting and entry.untold is not None]
        self._enforcer.settle(jail, tried)

    def _reload(self, site: Site) -> None:
        try:
            site.firewall.reload(site.scopes)
        except CommandError as error:
            report(error, what=f"[{site}] reload: ")
