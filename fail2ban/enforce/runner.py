# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that changes the firewall: one command after the other, as decided.

What the others want is put into a queue; here it is carried out, checked,
repaired and taken down. The firewall belongs to others too: it may be flushed
behind our back, and then everything is set up again and everybody banned again.

Source: fail2ban-conf-0.6.md sections 7 and 8, with the defects 10, 11 and 14 of
section 12 mended.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections.abc import Callable, Mapping

from fail2ban import notices
from fail2ban.decide.bans import Bans, Entry, State, Verb
from fail2ban.decide.timer import Timer
from fail2ban.enforce.scaffold import Scaffold, Site
from fail2ban.enforce.shell import report
from fail2ban.errors import CommandError
from fail2ban.records import ActionSettings, Ban, FirewallSettings

log = logging.getLogger(__name__)

#: Seconds before a failed command is tried again: doubled each time, up to a limit.
RETRY_FIRST, RETRY_LONGEST = 1.0, 600.0

#: Seconds between two attempts to set up the firewall at the most.
START_LONGEST = 60.0

#: Failed attempts to lift a ban after which we say that it is still in force.
LIFT_ATTEMPTS = 5

#: Longest pause in seconds between two repairs that did not help.
REPAIR_LONGEST = 3600.0

#: Seconds for lifting a section's bans one by one before its `fwend` removes the rest.
LIFT_BUDGET = 60.0

#: One thing to do; runs on the runner's thread.
Job = Callable[[], object]


def growing_pause(first: float, failures: int, longest: float) -> float:
    """Return the seconds to wait after `failures` failures in a row, from 1."""
    return min(first * 2.0 ** min(failures - 1, 30), longest)


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
        applied: Callable[[Ban], None],
        give_up: Callable[[str], None],
    ) -> None:
        self.started = threading.Event()
        self.bans = Bans(timer, self.order)
        self._settings, self._scaffold = settings, scaffold
        self._timer, self._clock, self._ticks = timer, clock, ticks
        self._applied, self._give_up = applied, give_up
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._attempts = self._reinits = 0
        self._start_due = self._check_due = False
        self._repair_allowed = ticks()  # the first repair is allowed at any time

    # What other threads call --------------------------------------------------

    def order(self, verb: Verb, entry: Entry) -> None:
        """Ask for a ban or an unban; returns at once."""
        verbs = {Verb.BAN: self._ban, Verb.UNBAN: self._unban, Verb.RENEW: self._renew}
        self._jobs.put(functools.partial(verbs[verb], entry))

    def reconfigure(
        self, settings: FirewallSettings, actions: Mapping[str, ActionSettings]
    ) -> None:
        """Ask for other commands; sections whose commands stay are not touched."""
        self._jobs.put(functools.partial(self._reconfigure, settings, dict(actions)))

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
            if self._set_up():
                log.info("The firewall is set up")
            self.started.set()
            self._jobs.put(self._check_regularly)
            while not self._stop.is_set():
                self.step()
        finally:
            notices.restoring()
            self._take_down(self._scaffold.sites(), lift=True)
            self._scaffold.stop_base()

    def step(self) -> None:
        """Wait for one job and do it."""
        self._jobs.get()()

    # Ban ----------------------------------------------------------------------

    def _ban(self, entry: Entry) -> None:
        """Carry out a ban; one that is over or done already needs nothing."""
        if not self.bans.holds(entry) or entry.state in (State.APPLIED, State.LIFTING):
            return
        site = self._scaffold.site(entry.ban.jail)
        if site is None:
            return self.bans.remove(entry)
        if not site.up:
            return self._failed(entry, "the firewall is not set up")
        try:
            site.firewall.check()
            self._apply(site, entry)
        except CommandError as error:
            report(error, _level(entry))
            if not self._repair(site, entry):
                self._failed(entry, str(error))
                self._retry(self._ban, entry)

    def _renew(self, entry: Entry) -> None:
        """Carry out a ban once more: its address still gets through.

        If the check finds the firewall gone, all bans come back. If it passes,
        this one may be missing all the same; it is lifted first, since not
        every ban command may be repeated.
        """
        if entry.state is State.APPLIED and self._check(entry.ban.jail):
            self._release(self._scaffold.site(entry.ban.jail), entry)
            entry.state = State.WANTED
            self._ban(entry)

    def _apply(self, site: Site, entry: Entry) -> None:
        """Run the ban command; raises CommandError."""
        if (reason := site.firewall.cannot_ban(entry.ban)) is not None:
            return self._failed(entry, reason)  # no retry: it would fail for ever
        entry.touched = True
        site.firewall.ban(entry.ban, self._clock())
        entry.state, entry.error, entry.attempts = State.APPLIED, "", 0
        entry.applied_at = self._clock()
        if entry.announced:
            return notices.rebanned(entry.ban)
        entry.announced = True
        notices.banned(entry.ban)
        self._applied(entry.ban)

    def _failed(self, entry: Entry, reason: str) -> None:
        if entry.state is not State.FAILED:
            notices.ban_failed(entry.ban, reason)
        entry.state, entry.error = State.FAILED, reason

    def _retry(self, job: Callable[[Entry], object], entry: Entry) -> None:
        """Try again after a pause; one attempt is due at a time."""
        if entry.retrying:
            return
        entry.retrying = True
        entry.attempts += 1
        pause = growing_pause(RETRY_FIRST, entry.attempts, RETRY_LONGEST)
        log.info("%s: next try for %s in %g s", entry.ban.jail, entry.ban.ip, pause)
        self._timer.after(pause, lambda: self._jobs.put(lambda: self._try_again(job, entry)))

    def _try_again(self, job: Callable[[Entry], object], entry: Entry) -> None:
        entry.retrying = False
        # In the meantime the address may have got another ban, which is not to be lifted.
        if self.bans.holds(entry):
            job(entry)

    # Unban --------------------------------------------------------------------

    def _unban(self, entry: Entry) -> None:
        """Carry out the end of a ban."""
        holder = self.bans.get(entry.ban.jail, entry.ban.ip)
        if holder is not entry and (holder is None or holder.touched):
            return  # a repair has lifted it, or carried out the address's next ban
        site = self._scaffold.site(entry.ban.jail)
        if site is None or not site.up or entry.error or not entry.touched:
            # Not in force; only a command that failed half-way may have left something.
            return self._let_go(site, entry)
        try:
            site.firewall.check()
            site.firewall.unban(entry.ban, self._clock())
        except CommandError as error:
            report(error, logging.INFO if entry.attempts else logging.ERROR)
            if not self._repair(site, entry) and self.bans.holds(entry):
                self._lift_later(entry)
        else:
            self._unbanned(entry)

    def _lift_later(self, entry: Entry) -> None:
        if entry.attempts + 1 == LIFT_ATTEMPTS:
            text = "%s: the ban of %s is over, but it is still locked out; trying on"
            log.error(text, entry.ban.jail, entry.ban.ip)
        self._retry(self._unban, entry)

    def _let_go(self, site: Site | None, entry: Entry) -> None:
        """End a ban, whether it is known to be in force or not."""
        self._release(site, entry)
        self._unbanned(entry)

    def _release(self, site: Site | None, entry: Entry) -> None:
        """Run the unban command if the firewall may hold the address; errors are expected."""
        if site is not None and site.up and (entry.touched or entry.inherited):
            try:
                site.firewall.unban(entry.ban, self._clock())
            except CommandError as error:
                report(error, logging.DEBUG)

    def _unbanned(self, entry: Entry) -> None:
        if entry.announced:
            notices.unbanned(entry.ban)
        if (holder := self.bans.get(entry.ban.jail, entry.ban.ip)) is not None:
            holder.inherited = False
        self.bans.remove(entry)

    # Check and repair ---------------------------------------------------------

    def _check_regularly(self) -> None:
        """Check the sections that have bans, now and every `reinittime`.

        The pause begins when the last check is over, and bans that were ordered
        meanwhile come between two checks: slow checks must not hold them up.
        """
        self._check_each(sorted(self.bans.jails()))

    def _check_each(self, jails: list[str]) -> None:
        if jails:
            self._check(jails[0])
            self._jobs.put(lambda: self._check_each(jails[1:]))
        else:
            interval = max(1.0, self._settings.reinittime)
            self._timer.after(interval, lambda: self._jobs.put(self._check_regularly))

    def _check(self, jail: str) -> bool:
        """Tell whether a section's firewall is as we left it; if not, see to that."""
        site = self._scaffold.site(jail)
        if site is None or not site.up:
            return False
        try:
            site.firewall.check()
        except CommandError as error:
            report(error)
            self._reinitialize()
            return False
        return True

    def _repair(self, site: Site, entry: Entry) -> bool:
        """After a failed command: return True if all was set up again.

        If the check passes, the firewall is as it should be, and the fault lies
        with that one command. Without a check there is no telling; then all is
        set up anew once for each ban, and not again if that did not help.
        """
        if site.firewall.intact():
            return False
        if not site.firewall.can_check:
            if entry.repaired:
                return False
            entry.repaired = True
        return self._reinitialize(entry)

    def _reinitialize(self, entry: Entry | None = None) -> bool:
        """Set up everything again and ban everybody again, if it is allowed.

        Args:
            entry: the ban whose command failed, if that is why.
        """
        if self._ticks() < self._repair_allowed:
            self._check_later()
            return False
        self._reinits += 1
        if 0 <= self._settings.maxreinits < self._reinits:
            self._give_up("reinits follow too often, or too many reinit attempts")
            return False
        # Repairs that do not help come at growing intervals: each lets everybody in.
        pause = growing_pause(self._settings.reinittime, self._reinits, REPAIR_LONGEST)
        self._repair_allowed = self._ticks() + pause
        log.warning("#%d reinitialization of firewalls", self._reinits)
        self._take_down(self._scaffold.sites(), lift=False)
        self._scaffold.stop_base()
        if self._set_up() and self._has_helped(entry):
            self._reinits = 0
        return True

    def _has_helped(self, entry: Entry | None) -> bool:
        """Tell whether a repair has made good what was wrong."""
        checkable = [site for site in self._scaffold.sites() if site.firewall.can_check]
        return all(site.firewall.intact() for site in checkable) and (
            entry is None or entry.state is not State.FAILED
        )

    def _check_later(self) -> None:
        """Look again as soon as a repair is allowed."""
        if self._check_due:
            return
        self._check_due = True
        pause = self._repair_allowed - self._ticks()
        log.info("the firewall can be set up again in %.0f s", pause)
        self._timer.after(pause, lambda: self._jobs.put(self._check_now))

    def _check_now(self) -> None:
        self._check_due = False
        for jail in sorted(self.bans.jails()):
            if not self._check(jail):
                return

    # Set up and take down -----------------------------------------------------

    def _set_up(self) -> bool:
        """Start what is not up and ban again there; tell whether all is up."""
        if not self._stop.is_set() and self._scaffold.start_base():
            for site in self._scaffold.sites():
                if not site.up and not self._stop.is_set() and self._scaffold.start(site):
                    self._ban_again(site)
        if self._scaffold.complete:
            self._attempts = 0
        elif not self._stop.is_set():
            self._report_down()
            self._start_later()
        return self._scaffold.complete

    def _ban_again(self, site: Site) -> None:
        for entry in self.bans.of(site.name):
            if entry.state is State.LIFTING or self._stop.is_set():
                continue
            try:
                self._apply(site, entry)
            except CommandError as error:
                report(error, _level(entry))
                self._failed(entry, str(error))
                self._retry(self._ban, entry)

    def _report_down(self) -> None:
        """Mark the bans of sections that could not be set up: they are not in force."""
        for site in self._scaffold.sites():
            waiting = [] if site.up else self.bans.of(site.name)
            for entry in waiting:
                if entry.state is not State.LIFTING:
                    entry.state, entry.error = State.FAILED, "the firewall is not set up"
            if waiting:
                log.error("%s: %d ban(s) are not in force", site.name, len(waiting))

    def _start_later(self) -> None:
        if self._start_due:
            return
        self._attempts += 1
        if 0 <= self._settings.maxreinits < self._attempts:
            return self._give_up("Too many attempts to initialize the firewall")
        self._start_due = True
        pause = growing_pause(self._settings.polltime, self._attempts, START_LONGEST)
        log.warning("#%d attempt to initialize the firewalls", self._attempts)
        self._timer.after(pause, lambda: self._jobs.put(self._start_again))

    def _start_again(self) -> None:
        """Try again to set up; perhaps it failed because the ground is gone by now."""
        self._start_due = False
        up = [site for site in self._scaffold.sites() if site.up]
        for site in up:
            self._check(site.name)
        if not self._scaffold.complete:
            if not up:
                self._scaffold.stop_base()
            self._set_up()

    def _take_down(self, sites: list[Site], lift: bool) -> None:
        """Remove every ban and every chain that is ours; errors do not stop us.

        Where lifting bans one by one takes too long, `fwend` has to do.

        Args:
            lift: the bans are over; otherwise they are only put aside.
        """
        for site in sites:
            enough = self._ticks() + LIFT_BUDGET
            for entry in self.bans.of(site.name):
                if not (site.firewall.can_stop and self._ticks() > enough):
                    self._release(site, entry)
                if lift or entry.state is State.LIFTING:
                    self._unbanned(entry)
                else:
                    entry.state, entry.touched = State.WANTED, False
                entry.inherited = False
            self._scaffold.stop(site)

    # Other commands -----------------------------------------------------------

    def _reconfigure(
        self, settings: FirewallSettings, actions: Mapping[str, ActionSettings]
    ) -> None:
        """Take down with the old commands what changes, set it up with the new."""
        changed = self._scaffold.changed(settings, actions)
        self._take_down([site for site in changed if site.name not in actions], lift=True)
        self._take_down([site for site in changed if site.name in actions], lift=False)
        self._scaffold.replace(settings, actions)
        self._settings, self._attempts = settings, 0
        self._set_up()


def _level(entry: Entry) -> int:
    """Return how loud a failure of its ban command is: the first is, its repetitions are not."""
    return logging.INFO if entry.state is State.FAILED else logging.ERROR
