# SPDX-License-Identifier: GPL-2.0-or-later
"""Set up and take down, with the bans that belong there.

Source: fail2ban-conf-0.6.md section 8, with the defects 10, 11 and 14 of section
12 mended; jail-conf.md section 9.1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fail2ban.decide.bans import Bans, Entry, State
from fail2ban.enforce.enforcer import Enforcer, Failed, is_failed, report_failed
from fail2ban.enforce.orders import Job
from fail2ban.enforce.pauses import START_LONGEST, growing_pause
from fail2ban.enforce.scaffold import Scaffold, downwards
from fail2ban.enforce.site import Site, by_scope, portions
from fail2ban.records import FirewallSettings

log = logging.getLogger(__name__)

#: Why a ban is not in force where nothing stands.
NOT_SET_UP = "the firewall is not set up"


@dataclass(frozen=True)
class Plans:
    """What the runner does for its helpers.

    Attributes:
        later: has a job done after so many seconds.
        soon: has a job done after those that wait.
        retry: tries again later what failed with bans at an action.
        give_up: ends the daemon, for a reason.
        stopping: the daemon is ending: nothing new is to be begun.
    """

    later: Callable[[float, Job], None]
    soon: Callable[[Job], None]
    retry: Callable[[Site, Sequence[Entry]], None]
    give_up: Callable[[str], None]
    stopping: Callable[[], bool]


class Builder:
    """Set up what is not up, take down what is; all on the runner's thread.

    Attributes:
        settings: may be replaced.
        attempts: how often setting up has failed in a row.
    """

    def __init__(
        self,
        settings: FirewallSettings,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        plans: Plans,
    ) -> None:
        self.settings, self.attempts = settings, 0
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._plans = plans
        self._start_due = False
        self._before_start: Callable[[Site], object] = lambda site: None

    def check_with(self, check: Callable[[Site], object]) -> None:
        """Have what stands checked before the rest is tried again."""
        self._before_start = check

    def set_up(self, again: bool = True) -> bool:
        """Start what is not up; tell whether all is up.

        Args:
            again: carry out all bans there at once; not at the start of the daemon,
                where each is about to be ordered.
        """
        if not self._plans.stopping() and self._scaffold.base.start():
            for site in self._scaffold.sites():
                if site.up or self._plans.stopping():
                    continue
                if self._scaffold.start(site) and again:
                    self.ban_again(site)
        if self._scaffold.complete:
            self.attempts = 0
        elif not self._plans.stopping():
            self._report_down()
            self._start_later()
        return self._scaffold.complete

    def take_down(self, sites: Iterable[Site], removed: bool = False) -> None:
        """Remove every ban and every chain that is ours; errors do not stop us.

        Args:
            removed: the actions do not come back; otherwise their bans are only
                put aside.
        """
        for site in downwards(sites):
            if site.enforces:
                self._enforcer.clear(site)
            # What is to be repaired may be gone already.
            self._scaffold.stop(site, logging.WARNING if removed else logging.DEBUG)
            self.put_aside(site, removed)

    def end(self, sites: Iterable[Site]) -> None:
        """Take sections down for good: their bans are over."""
        sites = list(sites)
        self.take_down(sites, removed=True)
        self.forget({site.jail: None for site in sites})

    def forget(self, jails: Iterable[str]) -> None:
        """Forget the bans of sections that have ended, also of those without an action."""
        for jail in jails:
            self._enforcer.forget_all(self._bans.of(jail), repeal=True)

    def ban_again(self, site: Site) -> None:
        """Carry out all bans in force at an action; one that tells is told what it missed."""
        for some in portions(self._bans.of(site.jail), site.gathers_bans):
            if self._plans.stopping():
                return
            entries = [entry for entry in some if not entry.lifting]
            if site.enforces and site.up:
                self._apply_again(site, [e for e in entries if not is_applied(site, e)])
            self._enforcer.tell(site.jail, entries)

    def _apply_again(self, site: Site, entries: Sequence[Entry]) -> None:
        for some in by_scope(entries).values():
            failed = self._enforcer.apply(site, some)
            report_failed(site, failed, is_failed)
            self.give_way(site, failed)
        self._enforcer.settle(site.jail, entries)

    def give_way(self, site: Site, failed: Failed) -> None:
        """Note bans that are not in force, and have them tried again later."""
        for entry, error in failed:
            self._enforcer.fail(site, entry, str(error))
        self._plans.retry(site, [entry for entry, _ in failed])

    def put_aside(self, site: Site, removed: bool = False) -> None:
        """Note that an action holds nobody any more."""
        site.left.clear()
        for entry in self._bans.of(site.jail):
            if removed or entry.lifting:
                entry.parts.pop(site.name, None)
                self._enforcer.finish(entry)
            elif (part := entry.parts.get(site.name)) is not None:
                part.reset()
                # What is put aside comes back, or is said not to be in force.
                entry.state = State.WANTED

    def note_down(self, site: Site) -> None:
        """Mark the bans of an action that could not be set up: they are not in force."""
        waiting = self._bans.of(site.jail)
        for entry in waiting:
            if not entry.lifting:
                part = entry.part(site.name)
                part.state, part.error = State.FAILED, NOT_SET_UP
                entry.state = State.FAILED
        if waiting:
            log.error("%s: %d ban(s) are not in force", site, len(waiting))

    def _report_down(self) -> None:
        for site in self._scaffold.sites():
            if site.enforces and not site.up:
                self.note_down(site)

    def _start_later(self) -> None:
        if self._start_due:
            return
        self.attempts += 1
        if 0 <= self.settings.maxreinits < self.attempts:
            return self._plans.give_up("Too many attempts to initialize the firewall")
        self._start_due = True
        pause = growing_pause(self.settings.polltime, self.attempts, START_LONGEST)
        log.warning("#%d attempt to initialize the firewalls", self.attempts)
        self._plans.later(pause, self._start_again)

    def _start_again(self) -> None:
        """Try again to set up; perhaps it failed because the ground is gone by now."""
        self._start_due = False
        standing = [s for s in self._scaffold.sites() if s.enforces and s.up and s.scopes]
        for site in standing:
            self._before_start(site)
        if not self._scaffold.complete:
            if not standing:
                self._scaffold.base.stop()
            self.set_up()


def is_applied(site: Site, entry: Entry) -> bool:
    """Tell whether an action has carried out a ban."""
    part = entry.parts.get(site.name)
    return part is not None and part.state is State.APPLIED
