# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands before anybody is banned: chains, sets, tables.

`cmdstart` makes what all sections share, the start of each action its own part,
for each family apart if the texts differ. Whatever could only be made in part
is removed again, so that the next attempt begins from nothing.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fail2ban.enforce.aside import Aside, at_once
from fail2ban.enforce.firewall import Firewall, Scope
from fail2ban.enforce.shell import Shell, report
from fail2ban.enforce.tags import Lore
from fail2ban.errors import CommandError
from fail2ban.records import (
    ActionSettings,
    Ban,
    Family,
    FirewallSettings,
    MailActionSettings,
)

log = logging.getLogger(__name__)

#: Section name -> its actions, in order.
Actions = Mapping[str, Sequence[ActionSettings]]


class Post(Protocol):
    """Sends the mails of the action that tells by mail; returns at once."""

    def started(self, settings: MailActionSettings, jail: str) -> None: ...

    def stopped(self, settings: MailActionSettings, jail: str) -> None: ...

    def banned(self, settings: MailActionSettings, ban: Ban) -> None: ...


@dataclass(eq=False, slots=True)
class Site:
    """One action of one section, and how much of it stands.

    Attributes:
        label: what messages call it.
        up: bans can be carried out here.
        scopes: whom its `start` has run for; of an action that starts on demand
            fewer than can be banned.
        failed_starts: on demand, in a row.
        closed_until: no start is tried before, in ticks.
        recovered: a start on demand worked that had failed before.
        refused: families of which was said that nobody of them can be banned.
        repairs: in a row without success.
        repair_allowed: when the next may be, in ticks; 0: at any time.
        check_due: one is waiting for that moment.
        complaining: its last check failed; its last command of an action that only tells.
        doubted: its check fails even where everything works.
    """

    firewall: Firewall
    label: str
    up: bool = False
    scopes: dict[Scope, None] = field(default_factory=dict)
    failed_starts: dict[Scope, int] = field(default_factory=dict)
    closed_until: dict[Scope, float] = field(default_factory=dict)
    recovered: bool = False
    refused: set[Scope] = field(default_factory=set)
    repairs: int = 0
    repair_allowed: float = 0.0
    check_due: bool = False
    complaining: bool = False
    doubted: bool = False

    @property
    def checkable(self) -> bool:
        """Whether there is a check that is worth asking."""
        return self.firewall.can_check and not self.doubted

    @property
    def jail(self) -> str:
        return self.firewall.name

    @property
    def name(self) -> str:
        """The action's, unique within the section."""
        return self.firewall.commands.name

    @property
    def commands(self) -> ActionSettings:
        return self.firewall.commands

    @property
    def enforces(self) -> bool:
        return self.commands.enforces

    def __str__(self) -> str:
        return self.label


class Scaffold:
    """Set up and take down; everything runs on the runner's thread.

    Args:
        actions: section name -> its actions, in the order of the file.
        families: those to ban on this host.
        lore: whom the tags of commands ask.
        post: for the actions that tell by mail.
        aside: takes the commands of actions that only tell.
    """

    def __init__(
        self,
        settings: FirewallSettings,
        actions: Actions,
        shell: Shell,
        families: tuple[Family, ...],
        lore: Lore | None = None,
        post: Post | None = None,
        aside: Aside = at_once,
    ) -> None:
        self._settings, self._shell, self._families = settings, shell, families
        self._lore, self._post, self.aside = lore or Lore(), post, aside
        self._base_up = False
        self._sites = self._build(actions)

    def of(self, jail: str) -> list[Site] | None:
        """Return the sites of a section in order, or None if there is no such section."""
        return self._sites.get(jail)

    def enforcing(self, jail: str) -> list[Site]:
        """Return the sites of a section that keep somebody out."""
        return [site for site in self._sites.get(jail, ()) if site.enforces]

    def sites(self) -> list[Site]:
        """Return all sites, in the order of the configuration."""
        return list(itertools.chain.from_iterable(self._sites.values()))

    @property
    def has_base(self) -> bool:
        """Whether all sections share something that is set up before them."""
        return bool(self._settings.start.strip() or self._settings.stop.strip())

    @property
    def complete(self) -> bool:
        """Whether everything that keeps somebody out stands."""
        return self._base_up and all(site.up for site in self.sites() if site.enforces)

    def start_base(self) -> bool:
        """Run `cmdstart` if it is due; tell whether its work stands."""
        if not self._base_up:
            try:
                self._shell(self._settings.start, {}, ActionSettings.timeout)
                self._base_up = True
            except CommandError as error:
                report(error, what="cmdstart: ")
                self._run_stop_base(logging.DEBUG)
        return self._base_up

    def start(self, site: Site) -> bool:
        """Run an action's `start`, unless it waits for a ban; tell whether its work stands.

        What only tells is not tried again: its news is old by then, and there
        may be bans to tell of all the same.
        """
        if site.enforces:
            if not self._run_start(site):
                self._run_stop(site, site.firewall.scopes, logging.DEBUG)
                return False
        else:
            self.aside(functools.partial(self._run_start, site))
        site.up = True
        if site.commands.mail and self._post:
            self._post.started(site.commands.mail, site.jail)
        return True

    def open(self, site: Site, scope: Scope) -> None:
        """Start an action for one more family; raises CommandError."""
        if scope in site.scopes:
            return
        start = site.commands.start
        if not any(site.firewall.alike(start, scope, other) for other in site.scopes):
            try:
                site.firewall.start([scope])
            except CommandError:
                # Families may share what `stop` removes: then bans would be lost.
                stop = site.commands.stop
                if not any(site.firewall.shares(stop, scope, other) for other in site.scopes):
                    self._run_stop(site, [scope], logging.DEBUG)
                raise
        site.scopes[scope] = None

    def tell(self, site: Site, ban: Ban) -> None:
        """Have a mail sent about a ban, if that is what the action does."""
        if site.commands.mail and self._post:
            self._post.banned(site.commands.mail, ban)

    def stop(self, site: Site, level: int = logging.WARNING) -> None:
        """Run an action's `stop` if it stands; an error is only logged, at `level`."""
        if site.up:
            site.up = False
            do = at_once if site.enforces else self.aside
            do(functools.partial(self._run_whole_stop, site, level))
            if site.commands.mail and self._post:
                self._post.stopped(site.commands.mail, site.jail)

    def stop_base(self) -> None:
        """Run `cmdend` if `cmdstart` stands; an error is only logged."""
        if self._base_up:
            self._base_up = False
            self._run_stop_base(logging.WARNING)

    def clear(self) -> None:
        """Remove what an earlier instance may have left; errors are expected."""
        for site in downwards(self.sites()):
            if site.enforces:
                flush = functools.partial(site.firewall.flush, site.firewall.scopes)
                _tolerate(flush, logging.DEBUG)
                self._run_stop(site, site.firewall.scopes, logging.DEBUG)
        self._run_stop_base(logging.DEBUG)

    def changed(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None = None,
    ) -> list[Site]:
        """Return the sites that must be taken down before `replace`."""
        if self._base_differs(settings) or families not in (None, self._families):
            return self.sites()
        return [s for s in self.sites() if s.commands not in actions.get(s.jail, ())]

    def replace(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None = None,
    ) -> None:
        """Take over other commands; the `changed` sites must be down."""
        if self._base_differs(settings):
            self.stop_base()
        self._settings = settings
        self._families = self._families if families is None else families
        standing = {(site.jail, site.name): site for site in self.sites() if site.up}
        self._sites = self._build(actions)
        for sites in self._sites.values():
            for place, fresh in enumerate(sites):
                if (kept := standing.get((fresh.jail, fresh.name))) is not None:
                    kept.label, sites[place] = fresh.label, kept

    def _base_differs(self, settings: FirewallSettings) -> bool:
        ours = self._settings
        return (ours.start, ours.stop) != (settings.start, settings.stop)

    def _build(self, actions: Actions) -> dict[str, list[Site]]:
        return {
            jail: [self._site(jail, action, len(several) == 1) for action in several]
            for jail, several in actions.items()
        }

    def _site(self, jail: str, action: ActionSettings, only: bool) -> Site:
        firewall = Firewall(jail, action, self._shell, self._families, self._lore)
        return Site(firewall, jail if only else f"{jail}/{action.name}")

    def _run_start(self, site: Site) -> bool:
        if site.commands.on_demand:
            return True
        try:
            site.firewall.start()
        except CommandError as error:
            report(error, what=f"[{site}] start: ")
            if site.enforces:
                return False
        site.scopes = dict.fromkeys(site.firewall.scopes)
        return True

    def _run_whole_stop(self, site: Site, level: int) -> None:
        scopes, site.scopes = site.scopes, {}
        self._run_stop(site, scopes, level)

    def _run_stop(self, site: Site, scopes: Iterable[Scope], level: int) -> None:
        _tolerate(lambda: site.firewall.stop(scopes), level)

    def _run_stop_base(self, level: int) -> None:
        _tolerate(lambda: self._shell(self._settings.stop, {}, ActionSettings.timeout), level)


def downwards(sites: Iterable[Site]) -> list[Site]:
    """Return sites in the order to take them down: of each section the last first."""
    groups = itertools.groupby(sites, key=lambda site: site.jail)
    return [site for _, group in groups for site in reversed(list(group))]


def _tolerate(command: Callable[[], None], level: int) -> None:
    try:
        command()
    except CommandError as error:
        report(error, level)
