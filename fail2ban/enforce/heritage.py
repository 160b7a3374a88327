# SPDX-License-Identifier: GPL-2.0-or-later
"""What an earlier run of the daemon has left in the firewall: taken over, or removed.

After a clean end only what was kept on purpose is left; it is taken over where
its commands are the same today and its check passes. All else goes: what was
killed may have left anything, and bans that nobody owns would never end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from fail2ban.decide.bans import Entry
from fail2ban.enforce.enforcer import Enforcer
from fail2ban.enforce.farewell import Farewell, Relic, boot_id, print_of, relic_of
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.site import Site
from fail2ban.errors import CommandError
from fail2ban.records import Id

log = logging.getLogger(__name__)

#: Stands in for a section's name where what all sections share is meant.
BASE = ""


class Heritage:
    """Deal with what was left; all on the runner's thread.

    Args:
        boot: what tells this run of the machine from others; empty: unknown.
    """

    def __init__(self, scaffold: Scaffold, enforcer: Enforcer, boot: str | None = None) -> None:
        self._scaffold, self._enforcer = scaffold, enforcer
        self._boot = boot_id() if boot is None else boot
        self._strangers: dict[str, list[Site]] = {}

    # What we leave ------------------------------------------------------------

    def farewells(
        self, kept: Mapping[str, Mapping[str, Iterable[Id]]] | None = None
    ) -> dict[str, str]:
        """Return what the next start must know, by section.

        Args:
            kept: what is left on purpose, and nothing else is: whom each action
                keeps out, by section and action; None: all stands.
        """
        scaffold = self._scaffold
        jails = [jail for jail in scaffold.jails() if not scaffold.is_dry(jail)]
        texts = {}
        for jail in jails if kept is None else kept:
            held = {} if kept is None else kept[jail]
            relics = [relic_of(site, held.get(site.name)) for site in scaffold.enforcing(jail)]
            texts[jail] = Farewell(self._boot, kept is not None, tuple(relics)).write()
        if texts:
            settings, stays = self._scaffold.settings, kept is not None
            base = Farewell(self._boot, stays, start=settings.start, stop=settings.stop)
            texts[BASE] = base.write()
        return texts

    # What was left ------------------------------------------------------------

    def enter(self, unclean: bool, texts: Mapping[str, str]) -> None:
        """Take over or remove what the last run has left, before anything is set up.

        Args:
            unclean: it was killed.
            texts: its `farewells`.
        """
        left = _read(texts)
        base = left.pop(BASE, None)
        killed = unclean or any(not one.kept for one in left.values())
        if killed:
            log.warning("the last instance was killed: removing what it left in the firewall")
        if killed or any(one.boot != self._boot for one in left.values()):
            self._clear(left, base)
        elif left:
            self._adopt(left, base)

    def lift_strange(self, jail: str, entries: Iterable[Entry]) -> None:
        """Lift bans of the last run at actions that are no part of the section any more."""
        for site in self._strangers.pop(jail, ()):
            self._enforcer.let_go(site, [entry.ban for entry in entries], logging.DEBUG)

    def _clear(self, left: Mapping[str, Farewell], base: Farewell | None) -> None:
        """Remove whatever may be there; errors are expected."""
        for jail, farewell in left.items():
            for relic in farewell.relics:
                if self._site_of(jail, relic) is None:
                    self._remove_stranger(jail, relic)
        self._scaffold.clear()
        for site in self._scaffold.sites():
            site.littered = site.enforces and not site.dry and _leaves_litter(site)
        self._wipe_base(base)

    def _adopt(self, left: Mapping[str, Farewell], base: Farewell | None) -> None:
        """Take over what is as it was; remove the rest."""
        same_base = base is not None and self._is_of_today(base)
        found = [(jail, relic) for jail, one in left.items() for relic in one.relics]
        adopted = [one for one in found if same_base and self._take(*one)]
        for jail, relic in found:
            if (jail, relic) not in adopted:
                self._remove(jail, relic)
        if adopted:
            self._scaffold.base.up = True
        else:
            self._wipe_base(base)
            self._scaffold.base.wipe()

    def _take(self, jail: str, relic: Relic) -> bool:
        """Take over what an action has left, if it is still there; tell whether it is."""
        site = self._site_of(jail, relic)
        if site is None or not site.checkable:
            return False
        try:
            site.firewall.check(relic.scopes)
        except CommandError:
            log.info("%s: what the last run has left is gone", site)
            return False
        site.up, site.scopes, site.left = True, dict.fromkeys(relic.scopes), set(relic.held)
        log.info("%s: %d ban(s) of the last run are in force still", site, len(relic.held))
        return True

    def _remove(self, jail: str, relic: Relic) -> None:
        site = self._site_of(jail, relic)
        if site is None:
            return self._remove_stranger(jail, relic)
        site.littered = _leaves_litter(site)
        self._scaffold.wipe(site)

    def _remove_stranger(self, jail: str, relic: Relic) -> None:
        """Remove what an action has left that is no part of the configuration any more."""
        log.info("[%s] %s is not in use any more: removing what it left", jail, relic.action.name)
        site = self._scaffold.stranger(jail, relic.action)
        site.left = set(relic.held)
        if _leaves_litter(site):
            self._enforcer.disown(site)
            self._strangers.setdefault(jail, []).append(site)
        self._scaffold.wipe(site, relic.scopes)

    def _wipe_base(self, base: Farewell | None) -> None:
        """Remove what all sections shared, if that was something else."""
        if base is not None and not self._is_of_today(base):
            self._scaffold.base.wipe(base.stop)

    def _is_of_today(self, base: Farewell) -> bool:
        settings = self._scaffold.settings
        return (base.start, base.stop) == (settings.start, settings.stop)

    def _site_of(self, jail: str, relic: Relic) -> Site | None:
        """Return the action of today that is the same, or None."""
        for site in self._scaffold.enforcing(jail):
            if site.name == relic.action.name and not site.dry and print_of(site) == relic.print:
                return site
        return None


def _leaves_litter(site: Site) -> bool:
    """Tell whether bans outlive an action's `flush` and `stop`.

    What is checked is what `start` made; then the bans are in there, and go with it.
    """
    return not site.commands.flush and not (site.firewall.can_check and site.firewall.can_stop)


def _read(texts: Mapping[str, str]) -> dict[str, Farewell]:
    left = {}
    for jail, text in texts.items():
        try:
            left[jail] = Farewell.read(text)
        except ValueError as error:
            what = "[%s] what the last run has left in the firewall is not known: %s"
            log.error(what, jail, error)
    return left
