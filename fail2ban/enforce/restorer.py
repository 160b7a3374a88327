# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans of an earlier run come back, all of a section with one order.

There may be very many: nothing is checked for any of them, and none of another
section waits until they are through.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

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
        for site in self._scaffold.enforcing(jail):
            if site.up:
                self._enforcer.take_over(site)
            else:
                self._builder.note_down(site)
        for entry in entries:
            if entry.lifting and not self._plans.stopping():
                self._lifter.lift(entry)
        for site in self._scaffold.enforcing(jail):
            self._enforcer.disown(site)
        self._go_on(jail, iter(entries))

    def _go_on(self, jail: str, left: Iterator[Entry]) -> None:
        """Carry out the next ban; what others want meanwhile comes before the one after."""
        if self._plans.stopping() or (entry := next(left, None)) is None:
            return
        for site in self._scaffold.enforcing(jail):
            self._clean(site, entry)
        self._banner.ban(entry, check=False)
        self._plans.soon(functools.partial(self._go_on, jail, left))

    def _clean(self, site: Site, entry: Entry) -> None:
        """Lift what may be left of a ban: not every ban command may be repeated."""
        part = entry.parts.get(site.name)
        if part is not None and part.inherited and not entry.lifting:
            self._enforcer.release(site, entry)
            part.inherited = False
