# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans of an earlier run come back, all of a section with one order.

There may be very many: nothing is checked for any of them. Where they cannot all go
with one command, none of another section waits until they are through.
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
from fail2ban.enforce.site import Site, portions


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
        sites = self._scaffold.enforcing(jail)
        littered = [site for site in sites if site.littered]
        for site in sites:
            if site.up:
                self._enforcer.take_over(site)
            else:
                self._builder.note_down(site)
        self._lift([entry for entry in entries if entry.lifting], sites)
        for site in sites:
            self._enforcer.disown(site)
        # What may have been left is lifted before, at each action where that is so.
        gathers = all(site.gathers_bans for site in sites[:1])
        cleans = all(site.gathers_unbans for site in littered)
        self._go_on(jail, portions(entries, gathers and cleans))

    def _lift(self, over: Sequence[Entry], sites: Sequence[Site]) -> None:
        for some in portions(over, all(site.gathers_unbans for site in sites)):
            if self._plans.stopping():
                return
            self._lifter.lift(some)

    def _go_on(self, jail: str, left: Iterator[Sequence[Entry]]) -> None:
        """Carry out the next bans; what others want meanwhile comes before those after."""
        if self._plans.stopping() or (some := next(left, None)) is None:
            return
        self._banner.ban(some, check=False)
        self._plans.soon(functools.partial(self._go_on, jail, left))
