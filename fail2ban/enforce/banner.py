# SPDX-License-Identifier: GPL-2.0-or-later
"""The beginning of bans: each action locks out, the first one first.

What fails is tried again, with growing pauses, for as long as the ban lasts.

Source: fail2ban-conf-0.6.md section 7; jail-conf.md sections 9.1 and 9.5.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from fail2ban.decide.bans import Bans, Entry, Part, State
from fail2ban.enforce.builder import NOT_SET_UP, Builder, Plans, level_of
from fail2ban.enforce.enforcer import Enforcer
from fail2ban.enforce.lifter import Lifter
from fail2ban.enforce.pauses import RETRY_FIRST, RETRY_LONGEST, growing_pause
from fail2ban.enforce.repair import Repairer
from fail2ban.enforce.reporter import Reporter
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.shell import report
from fail2ban.enforce.site import Site
from fail2ban.errors import CommandError
from fail2ban.notices import shown

log = logging.getLogger(__name__)


class Banner:
    """Carry out bans; all on the runner's thread.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        reporter: Reporter,
        builder: Builder,
        repairer: Repairer,
        lifter: Lifter,
        plans: Plans,
        clock: Callable[[], float],
    ) -> None:
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._builder, self._repairer, self._lifter = builder, repairer, lifter
        self._reporter, self._plans, self._clock = reporter, plans, clock

    # Ban ----------------------------------------------------------------------

    def ban(self, entry: Entry, check: bool = True) -> None:
        """Carry out a ban; one that is over or done already needs nothing.

        Args:
            check: see `ban_at`.
        """
        if not self._bans.holds(entry) or entry.lifting:
            return
        sites = self._scaffold.of(entry.ban.jail)
        if sites is None:
            return self._bans.remove(entry)
        for site in self._scaffold.enforcing(entry.ban.jail):
            self.ban_at(site, entry, check)
        self._conclude(entry)

    def ban_at(self, site: Site, entry: Entry, check: bool = True) -> None:
        """Carry out a ban at one action.

        Args:
            check: see first whether what the action has set up is still there.
        """
        part = entry.part(site.name)
        if part.state is State.APPLIED:
            return
        if not site.up:
            return self._enforcer.fail(site, entry, NOT_SET_UP)
        try:
            if check and entry.ban.family in site.scopes and site.checkable:
                site.firewall.check([entry.ban.family])
            self._enforcer.apply(site, entry)
        except CommandError as error:
            report(error, level_of(part))
            if not self._repairer.after_failure(site, entry):
                self._enforcer.fail(site, entry, str(error))
                self.retry(site, entry)
        if site.recovered:
            # Others have waited for what could not be started until now.
            site.recovered = False
            self._plans.soon(functools.partial(self._builder.ban_again, site))

    def _conclude(self, entry: Entry) -> None:
        """Note that a ban was tried at all actions, and have it told of."""
        if entry.untold is None:
            self.tell_anew(entry)
        self._enforcer.settle(entry)
        self._enforcer.tell(entry)

    def tell_anew(self, entry: Entry) -> None:
        """Have a ban told of by all actions that only tell, as if it had never been."""
        sites = self._scaffold.of(entry.ban.jail) or ()
        entry.untold = {site.name for site in sites if not site.enforces}

    def tell(self, entry: Entry) -> None:
        """Report a ban if it is in force: it would outlive us by now."""
        self._reporter.announce(entry)
        self._enforcer.tell(entry)

    def renew(self, entry: Entry) -> None:
        """Carry out a ban once more: its id still gets through.

        If the check finds the firewall gone, all bans come back. If it passes,
        this one may be missing all the same; it is lifted first, since not
        every ban command may be repeated.
        """
        if entry.state is not State.APPLIED or self._scaffold.is_dry(entry.ban.jail):
            return
        for site in self._scaffold.enforcing(entry.ban.jail):
            if not self._enforcer.excused(site, entry) and self._repairer.check(site):
                self._enforcer.release(site, entry)
                entry.part(site.name).reset()
                entry.state = State.WANTED
        self.ban(entry)

    # Prolong ------------------------------------------------------------------

    def prolong(self, entry: Entry) -> None:
        """Tell the actions that a ban lasts longer now."""
        if self._bans.holds(entry) and not entry.lifting:
            self._reporter.prolonged(entry)
        for site in self._scaffold.of(entry.ban.jail) or ():
            if site.enforces:
                self._prolong_at(site, entry)
            elif site.up and self._has_prolong(site, entry) and not _is_untold(site, entry):
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
                self.retry(site, entry)

    def _has_prolong(self, site: Site, entry: Entry) -> bool:
        if not self._bans.holds(entry) or entry.lifting:
            return False
        if entry.ban.restored and site.commands.norestored and not site.enforces:
            return False
        return bool(site.commands.prolong.of(entry.ban.family).strip())

    # Again --------------------------------------------------------------------

    def retry(self, site: Site, entry: Entry) -> None:
        """Try again after a pause what failed at an action; one attempt is due at a time."""
        part = entry.part(site.name)
        if part.retrying:
            return
        part.retrying = True
        part.attempts += 1
        pause = growing_pause(RETRY_FIRST, part.attempts, RETRY_LONGEST)
        log.info("%s: next try for %s in %g s", site, shown(entry.ban.id), pause)
        self._plans.later(pause, functools.partial(self._try_again, site, entry, part))

    def _try_again(self, site: Site, entry: Entry, part: Part) -> None:
        """Do what is left to do for a ban at an action."""
        part.retrying = False
        # In the meantime the id may have got another ban, which is not to be lifted.
        if entry.parts.get(site.name) is not part or not self._bans.holds(entry):
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
            self.ban_at(site, entry)
            self._enforcer.tell(entry)


def _is_untold(site: Site, entry: Entry) -> bool:
    return entry.untold is not None and site.name in entry.untold
