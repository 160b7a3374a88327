# SPDX-License-Identifier: GPL-2.0-or-later
"""See whether what we set up is still there, and set it up again if not.

The firewall belongs to others too: it may be flushed behind our back. Where all
sections stand on one ground, everything is set up again; otherwise only the
action whose check failed. Everybody is banned again there at once.

Source: fail2ban-conf-0.6.md sections 7 and 8, with the defects 10, 11 and 14 of
section 12 mended; jail-conf.md section 9.5, with the defect 15 of section 16 mended.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence

from fail2ban.decide.bans import Bans, Entry, State
from fail2ban.enforce.builder import Builder, Plans
from fail2ban.enforce.enforcer import Enforcer
from fail2ban.enforce.pauses import REPAIR_LONGEST, growing_pause
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.shell import report
from fail2ban.enforce.site import Site
from fail2ban.errors import CommandError

log = logging.getLogger(__name__)


class Repairer:
    """Check and repair; all on the runner's thread.

    Args:
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        builder: Builder,
        plans: Plans,
        ticks: Callable[[], float],
    ) -> None:
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._builder, self._plans, self._ticks = builder, plans, ticks
        self._repairs = 0
        self._allowed = ticks()  # the first repair is allowed at any time
        self._check_due = False

    # Check --------------------------------------------------------------------

    def intact(self, site: Site) -> bool:
        """Tell whether the check passes; without one there is no telling."""
        try:
            site.firewall.check(site.scopes)
        except CommandError:
            return False
        return site.checkable

    def check(self, site: Site) -> bool:
        """Tell whether an action's work is as we left it; if not, see to that."""
        if not site.up:
            return False
        if site.dry:
            return True  # nothing is there that could be gone
        try:
            site.firewall.check(site.scopes)
        except CommandError as error:
            if site.doubted:
                return True
            # What no repair helps against would be an error again every few seconds.
            report(error, logging.INFO if site.complaining else logging.ERROR)
            site.complaining = True
            self._repair(site)
            return False
        if site.complaining:
            log.info("%s: the check passes again", site)
        site.complaining = site.doubted = False
        return True

    def check_jail(self, jail: str) -> bool:
        """Check all actions of a section that keep somebody out."""
        return all([self.check(site) for site in self._scaffold.enforcing(jail)])

    # Repair -------------------------------------------------------------------

    def after_failure(self, site: Site, entries: Sequence[Entry]) -> bool:
        """After commands that failed for bans of one family: tell if all was set up again.

        If the check passes, everything is as it should be, and the fault lies
        with those commands. Without a check there is no telling; then all is
        set up anew once for each ban, and not again if that did not help.
        """
        if entries[0].ban.family not in site.scopes:
            return False  # it could not be started for the first time
        if self.intact(site):
            return False
        if site.checkable:
            return self._repair(site, entries)
        parts = [part for e in entries if not (part := e.part(site.name)).repaired]
        repaired = bool(parts) and self._repair(site, entries)
        for part in parts:
            part.repaired = repaired  # it may not be allowed yet
        return repaired

    def lifting_repairs(self, site: Site) -> bool:
        """Tell whether a failed unban is a reason to repair."""
        return self._scaffold.base.exists or site.commands.repair_on_unban

    def _repair(self, site: Site, entries: Sequence[Entry] = ()) -> bool:
        """Set up again and ban everybody again, if it is allowed.

        Args:
            entries: the bans whose commands failed, if that is why.
        """
        if self._scaffold.base.exists:
            return self._repair_all(entries)
        return self._repair_one(site, entries)

    def _repair_all(self, entries: Sequence[Entry]) -> bool:
        if self._ticks() < self._allowed:
            self._check_all_later()
            return False
        self._repairs += 1
        if self._is_too_often(self._repairs):
            return False
        # Repairs that do not help come at growing intervals: each lets everybody in.
        self._allowed = self._ticks() + self._pause(self._repairs)
        log.warning("#%d reinitialization of firewalls", self._repairs)
        sites = [site for site in self._scaffold.sites() if site.enforces]
        self._builder.take_down(sites)
        self._scaffold.base.stop()
        if self._builder.set_up() and self._has_helped(sites, entries):
            self._repairs = 0
        return True

    def _repair_one(self, site: Site, entries: Sequence[Entry]) -> bool:
        if self._ticks() < site.repair_allowed:
            self._check_later(site)
            return False
        site.repairs += 1
        if self._is_too_often(site.repairs):
            return False
        site.repair_allowed = self._ticks() + self._pause(site.repairs)
        log.warning("%s: #%d reinitialization of firewalls", site, site.repairs)
        if not self._mend(site):
            self._builder.take_down([site])
        # Also where a repair left the action standing: its bans come back.
        if site.up:
            self._builder.ban_again(site)
        if self._builder.set_up() and self._has_helped([site], entries):
            site.repairs = 0
        elif self._is_endless and self._all_in_force(site) and not self.intact(site):
            # It would keep us from banning anybody until the next repair, and so on.
            site.doubted, site.repairs = True, 0
            text = "%s: the check fails although everything works: it is not believed any more"
            log.error(text, site)
        return True

    @property
    def _is_endless(self) -> bool:
        """Whether repairs that do not help never end the daemon."""
        return self._builder.settings.maxreinits < 0

    def _all_in_force(self, site: Site) -> bool:
        """Tell whether an action holds all whom it should hold, and that is somebody."""
        parts = [e.part(site.name) for e in self._bans.of(site.jail) if not e.lifting]
        return bool(parts) and all(part.state is State.APPLIED for part in parts)

    def _mend(self, site: Site) -> bool:
        """Run the repair command, if there is one; tell whether the check passes now."""
        if not site.commands.repair:
            return False
        self._enforcer.clear(site)
        try:
            site.firewall.repair(site.scopes)
            site.firewall.check(site.scopes)
        except CommandError as error:
            report(error, what=f"[{site}] repair: ")
            return False
        self._builder.put_aside(site)
        return True

    def _is_too_often(self, repairs: int) -> bool:
        limit = self._builder.settings.maxreinits
        if 0 <= limit < repairs:
            self._plans.give_up("reinits follow too often, or too many reinit attempts")
            return True
        return False

    def _pause(self, repairs: int) -> float:
        return growing_pause(self._builder.settings.reinittime, repairs, REPAIR_LONGEST)

    def _has_helped(self, sites: list[Site], entries: Sequence[Entry]) -> bool:
        """Tell whether a repair has made good what was wrong, at least for some."""
        checkable = [site for site in sites if site.checkable]
        return all(self.intact(site) for site in checkable) and (
            not entries or any(entry.state is not State.FAILED for entry in entries)
        )

    # Later --------------------------------------------------------------------

    def _check_all_later(self) -> None:
        """Look again as soon as a repair is allowed."""
        if not self._check_due:
            self._check_due = True
            self._wait(self._allowed, self._check_all)

    def _check_all(self) -> None:
        self._check_due = False
        for jail in sorted(self._bans.jails()):
            if not self.check_jail(jail):
                return

    def _check_later(self, site: Site) -> None:
        if not site.check_due:
            site.check_due = True
            self._wait(site.repair_allowed, functools.partial(self._check_one, site))

    def _check_one(self, site: Site) -> None:
        site.check_due = False
        if site in (self._scaffold.of(site.jail) or ()) and self._bans.of(site.jail):
            self.check(site)

    def _wait(self, until: float, job: Callable[[], object]) -> None:
        pause = until - self._ticks()
        log.info("the firewall can be set up again in %.0f s", pause)
        self._plans.later(pause, job)
