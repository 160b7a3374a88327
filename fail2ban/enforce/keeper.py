# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of the daemon: what is taken down, and what stays in the firewall.

A section may want its bans kept while the daemon is away. What stays must be
known to the next run, to the last ban; anything else is lifted before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from fail2ban.decide.bans import Bans, Entry, State
from fail2ban.enforce.builder import Builder, is_applied
from fail2ban.enforce.enforcer import LIFT_BUDGET, Enforcer
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.shell import report
from fail2ban.enforce.site import Site, portions
from fail2ban.records import Id

log = logging.getLogger(__name__)


class Keeper:
    """Take down and keep; all on the runner's thread.

    Args:
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        builder: Builder,
        ticks: Callable[[], float],
    ) -> None:
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._builder, self._ticks = builder, ticks

    def end(self, keep: bool) -> dict[str, dict[str, list[Id]]]:
        """Take everything down but what sections want kept; errors do not stop us.

        Args:
            keep: what stays is known to the next run.

        Returns:
            the ids that are kept out, by section and action.
        """
        kept = {jail for jail in self._scaffold.jails() if keep and self._is_kept(jail)}
        sites = self._scaffold.sites()
        self._builder.end([site for site in sites if site.jail not in kept])
        tellers = [site for site in sites if site.jail in kept and not site.enforces]
        self._builder.take_down(tellers, removed=True)
        if not kept:
            self._scaffold.base.stop()
        return {jail: self._held(jail) for jail in sorted(kept)}

    def _is_kept(self, jail: str) -> bool:
        """Lift what must not stay; tell whether the rest of a section is to."""
        sites = self._scaffold.enforcing(jail)
        if not self._scaffold.keeps(jail) or not all(site.up for site in sites):
            return False
        for site in sites:
            self._enforcer.take_over(site)
        entries = self._bans.of(jail)
        self._enforcer.settle(jail, [e for e in entries if not e.lifting and e.durable])
        staying = {entry for entry in entries if self._stays(entry)}
        leaving = [entry for entry in entries if entry not in staying]
        enough = self._ticks() + LIFT_BUDGET
        for some in portions(leaving, all(site.gathers_unbans for site in sites)):
            if self._ticks() > enough or not self._lift(sites, some):
                return False
        return bool(staying) or any(site.left for site in sites)

    def _stays(self, entry: Entry) -> bool:
        """Tell whether a ban is in force and will be known to the next run."""
        if entry.lifting or not entry.durable:
            return False
        return entry.reached is State.APPLIED and bool(entry.parts)

    def _lift(self, sites: Sequence[Site], entries: Sequence[Entry]) -> bool:
        """Have all actions of a section let go of bans; tell whether they have."""
        for site in reversed(sites):
            held = [e for e in entries if (part := e.parts.get(site.name)) and part.holds]
            for entry, error in self._enforcer.lift(site, held):
                # After a ban command that failed, there may be nothing to lift.
                if is_applied(site, entry):
                    report(error, what=f"[{site}] ")
                    return False
            for entry in entries:
                self._enforcer.gone(site, entry)
        for over in (True, False):
            some = [entry for entry in entries if entry.lifting is over]
            self._enforcer.forget_all(some, repeal=not over)
        return True

    def _held(self, jail: str) -> dict[str, list[Id]]:
        held = {}
        for site in self._scaffold.enforcing(jail):
            entries = [entry for entry in self._bans.of(jail) if is_applied(site, entry)]
            held[site.name] = [entry.ban.id for entry in entries]
        count = len({id for ids in held.values() for id in ids})
        log.info("[%s] the firewall keeps %d ban(s) until the next start", jail, count)
        return held
