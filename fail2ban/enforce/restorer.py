# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans of an earlier run come back, all of a section in one go.

Nothing is checked between two of them: there may be very many.
"""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.decide.bans import Bans, Entry
from fail2ban.enforce.banner import Banner
from fail2ban.enforce.builder import Builder, Plans
from fail2ban.enforce.enforcer import Enforcer
from fail2ban.enforce.heritage import Heritage
from fail2ban.enforce.lifter import Lifter
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.site import Site


class Restorer:
    """Restore bans; all on the runner's thread."""

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        enforcer: Enforcer,
        builder: Builder,
        banner: Banner,
        lifter: Lifter,
        heritage: Heritage,
        plans: Plans,
    ) -> None:
        self._bans, self._scaffold, self._enforcer = bans, scaffold, enforcer
        self._builder, self._banner, self._lifter = builder, banner, lifter
        self._heritage, self._plans = heritage, plans

    def restore(self, jail: str, entries: Sequence[Entry]) -> None:
        """Carry out bans of an earlier run, or the end of those that are over.

        Where that run has left them in the firewall, no command is needed for
        what is in force, and what is not is lifted.
        """
        self._heritage.lift_strange(jail, entries)
        if self._scaffold.of(jail) is None:
            for entry in entries:
                self._bans.remove(entry)
            return
        for site in self._scaffold.enforcing(jail):
            self._restore_at(site, entries)
        for entry in entries:
            if self._plans.stopping():
                return
            (self._lifter.lift if entry.lifting else self._banner.conclude)(entry)
        for site in self._scaffold.enforcing(jail):
            self._enforcer.disown(site)

    def _restore_at(self, site: Site, entries: Sequence[Entry]) -> None:
        if not site.up:
            return self._builder.note_down(site)
        self._enforcer.take_over(site)
        for entry in entries:
            if self._plans.stopping():
                return
            if entry.lifting or not self._bans.holds(entry):
                continue
            self._clean(site, entry)
            self._banner.ban_at(site, entry, check=False)

    def _clean(self, site: Site, entry: Entry) -> None:
        """Lift what may be left of a ban: not every ban command may be repeated."""
        part = entry.parts.get(site.name)
        if part is not None and part.inherited:
            self._enforcer.release(site, entry)
            part.inherited = False
