# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that carries out bans: one command after the other, as decided.

What the others want is put into a queue; here it is carried out, at each action
of the section in turn: those that keep somebody out first, then those that only
tell. An error at one action stops none of the others.

Source: fail2ban-conf-0.6.md sections 7 and 8; jail-conf.md sections 9 and 10.1,
with the defects 3, 15 and 16 of section 16 mended.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections.abc import Callable

from fail2ban.decide.bans import Bans, Entry, Part, State, Verb
from fail2ban.decide.timer import Timer
from fail2ban.enforce.builder import NOT_SET_UP, Builder, Job, Plans, level_of
from fail2ban.enforce.enforcer import Enforcer
from fail2ban.enforce.lifter import Lifter
from fail2ban.enforce.pauses import RETRY_FIRST, RETRY_LONGEST, growing_pause
from fail2ban.enforce.repair import Repairer
from fail2ban.enforce.scaffold import Actions, Scaffold, Site
from fail2ban.enforce.shell import report
from fail2ban.errors import CommandError
from fail2ban.notices import Notices, shown
from fail2ban.records import Ban, Family, FirewallSettings

log = logging.getLogger(__name__)


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
    ) -> None:
        self.started = threading.Event()
        self.bans = Bans(timer, self.order)
        self._scaffold, self._timer, self._clock = scaffold, timer, clock
        self._notices = notices
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._stop = threading.Event()
        plans = Plans(self._later, self._retry, give_up, self._stop.is_set)
        self._enforcer = Enforcer(self.bans, scaffold, notices, clock, ticks, applied)
        self._builder = Builder(settings, self.bans, scaffold, self._enforcer, plans)
        self._repairer = Repairer(self.bans, scaffold, self._enforcer, self._builder, plans, ticks)
        self._builder.check_with(self._repairer.check)
        self._lifter = Lifter(self.bans, scaffold, self._enforcer, self._repairer, plans)

    # What other threads call --------------------------------------------------

    def order(self, verb: Verb, entry: Entry) -> None:
        """Ask for something to be done with a ban; returns at once."""
        verbs = {
            Verb.BAN: self._ban,
            Verb.UNBAN: self._lifter.lift,
            Verb.RENEW: self._renew,
            Verb.PROLONG: self._prolong,
        }
        self._jobs.put(functools.partial(verbs[verb], entry))

    def lift_all(self, jail: str) -> int:
        """End all bans of a section, with one command where there is one for that.

        Returns at once, with their number.
        """

        def order(entries: list[Entry]) -> None:
            self._jobs.put(functools.partial(self._lifter.lift_all, jail, entries))

        return self.bans.end_all(jail, order)

    def reconfigure(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None = None,
    ) -> None:
        """Ask for other commands; actions that stay the same are not touched.

        Args:
            families: those to ban from now on; None: as before.
        """
        copy = {jail: tuple(several) for jail, several in actions.items()}
        self._jobs.put(functools.partial(self._reconfigure, settings, copy, families))

    @property
    def pending(self) -> int:
        """How many jobs wait."""
        return self._jobs.qsize()

    def finish(self) -> None:
        """Let `run` come to its end, after the command that is running now."""
        self._stop.set()
        self._jobs.put(lambda: None)

    # The thread ---------------------------------------------------------------

    def run(self, unclean: bool = False) -> None:
        """Set up, serve until `finish`, take down; also if a bug ends us.

        Args:
            unclean: an earlier instance was killed; remove what it left.
        """
        if unclean:
            log.warning("the last instance was killed: removing what it left in the firewall")
            self._scaffold.clear()
        try:
            if self._builder.set_up():
                log.info("The firewall is set up")
            self.started.set()
            self._jobs.put(self._check_regularly)
            while not self._stop.is_set():
                self.step()
        finally:
            self._notices.restoring()
            self._builder.end(self._scaffold.sites())
            self._scaffold.stop_base()

    def step(self) -> None:
        """Wait for one job and do it."""
        self._jobs.get()()

    def _later(self, seconds: float, job: Job) -> None:
        self._timer.after(seconds, lambda: self._jobs.put(job))

    # Ban ----------------------------------------------------------------------

    def _ban(self, entry: Entry) -> None:
        """Carry out a ban; one that is over or done already needs nothing."""
        if not self.bans.holds(entry) or entry.lifting:
            return
        sites = self._scaffold.of(entry.ban.jail)
        if sites is None:
            return self.bans.remove(entry)
        enforcing = self._scaffold.enforcing(entry.ban.jail)
        for site in enforcing:
            self._ban_at(site, entry)
        if entry.untold is None:
            entry.untold = {site.name for site in sites if not site.enforces}
        if not enforcing:
            self._enforcer.settle(entry)
        self._enforcer.tell(entry)

    def _ban_at(self, site: Site, entry: Entry) -> None:
        part = entry.part(site.name)
        if part.state is State.APPLIED:
            return
        if not site.up:
            return self._enforcer.fail(site, entry, NOT_SET_UP)
        try:
            if entry.ban.family in site.scopes and site.checkable:
                site.firewall.check([entry.ban.family])
            self._enforcer.apply(site, entry)
        except CommandError as error:
            report(error, level_of(part))
            if not self._repairer.after_failure(site, entry):
                self._enforcer.fail(site, entry, str(error))
                self._retry(site, entry)
        if site.recovered:
            # Others have waited for what could not be started until now.
            site.recovered = False
            self._jobs.put(functools.partial(self._builder.ban_again, site))

    def _renew(self, entry: Entry) -> None:
        """Carry out a ban once more: its id still gets through.

        If the check finds the firewall gone, all bans come back. If it passes,
        this one may be missing all the same; it is lifted first, since not
        every ban command may be repeated.
        """
        if entry.state is not State.APPLIED:
            return
        for site in self._scaffold.enforcing(entry.ban.jail):
            if self._repairer.check(site):
                self._enforcer.release(site, entry)
                entry.part(site.name).reset()
                entry.state = State.WANTED
        self._ban(entry)

    def _prolong(self, entry: Entry) -> None:
        """Tell the actions that a ban lasts longer now."""
        for site in self._scaffold.of(entry.ban.jail) or ():
            if site.enforces:
                self._prolong_at(site, entry)
            elif site.up and self._has_prolong(site, entry) and not entry.untold:
                prolong = site.firewall.prolong
                tell = functools.partial(self._enforcer.tell_at, site, entry.ban, prolong)
                self._scaffold.aside(tell)

    def _prolong_at(self, site: Site, entry: Entry) -> None:
        """Prolong a ban that is in force; any other gets its new end when it is."""
        part = entry.parts.get(site.name)
        if part is None or part.state is not State.APPLIED or not self._has_prolong(site, entry):
            return
        try:
            site.firewall.prolong(entry.ban, self._clock())
            part.attempts = 0
        except CommandError as error:
            report(error, logging.INFO if part.attempts else logging.ERROR)
            if not self._repairer.after_failure(site, entry):
                self._retry(site, entry)

    def _has_prolong(self, site: Site, entry: Entry) -> bool:
        if not self.bans.holds(entry) or entry.lifting:
            return False
        if entry.ban.restored and site.commands.norestored:
            return False
        return bool(site.commands.prolong.of(entry.ban.family).strip())

    # Again --------------------------------------------------------------------

    def _retry(self, site: Site, entry: Entry) -> None:
        """Try again after a pause what failed at an action; one attempt is due at a time."""
        part = entry.part(site.name)
        if part.retrying:
            return
        part.retrying = True
        part.attempts += 1
        pause = growing_pause(RETRY_FIRST, part.attempts, RETRY_LONGEST)
        log.info("%s: next try for %s in %g s", site, shown(entry.ban.id), pause)
        self._later(pause, functools.partial(self._try_again, site, entry, part))

    def _try_again(self, site: Site, entry: Entry, part: Part) -> None:
        """Do what is left to do for a ban at an action."""
        part.retrying = False
        # In the meantime the id may have got another ban, which is not to be lifted.
        if entry.parts.get(site.name) is not part or not self.bans.holds(entry):
            return
        if site not in self._scaffold.enforcing(entry.ban.jail):
            return
        if entry.lifting:
            self._lifter.lift_at(site, entry)
            self._enforcer.finish(entry)
        elif part.state is State.APPLIED:
            if part.attempts:
                self._prolong_at(site, entry)
        else:
            self._ban_at(site, entry)
            self._enforcer.tell(entry)

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
            self._jobs.put(lambda: self._check_each(sites[1:]))
        else:
            interval = max(1.0, self._builder.settings.reinittime)
            self._later(interval, self._check_regularly)

    # Other commands -----------------------------------------------------------

    def _reconfigure(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None,
    ) -> None:
        """Take down with the old commands what changes, set it up with the new."""
        changed = self._scaffold.changed(settings, actions, families)
        kept = [site for site in self._scaffold.sites() if site.up and site not in changed]
        self._builder.end([site for site in changed if site.jail not in actions])
        self._builder.take_down([site for site in changed if site.jail in actions], removed=True)
        self._scaffold.replace(settings, actions, families)
        self._builder.settings, self._builder.attempts = settings, 0
        for jail in actions:
            self._settle(jail)
        self._builder.set_up()
        for site in kept:
            self._reload(site)

    def _settle(self, jail: str) -> None:
        """Conclude anew how far bans have come: other actions count now."""
        for entry in self.bans.of(jail):
            if not entry.lifting and entry.untold is not None:
                self._enforcer.settle(entry)

    def _reload(self, site: Site) -> None:
        try:
            site.firewall.reload(site.scopes)
        except CommandError as error:
            report(error, what=f"[{site}] reload: ")
