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
from typing import Protocol

from fail2ban.enforce import shell as shells
from fail2ban.enforce.aside import Aside, at_once
from fail2ban.enforce.base import Base
from fail2ban.enforce.coalesce import Ready, never_ready
from fail2ban.enforce.errands import Scope
from fail2ban.enforce.firewall import Firewall
from fail2ban.enforce.shell import Shell, report
from fail2ban.enforce.site import Actions, Modes, Site
from fail2ban.enforce.tags import Lore
from fail2ban.errors import CommandError
from fail2ban.events import Events
from fail2ban.records import ActionSettings, Ban, Family, FirewallSettings, MailActionSettings

log = logging.getLogger(__name__)


class Post(Protocol):
    """Sends the mails of the action that tells by mail; returns at once."""

    def started(self, settings: MailActionSettings, jail: str) -> None: ...

    def stopped(self, settings: MailActionSettings, jail: str) -> None: ...

    def banned(self, settings: MailActionSettings, ban: Ban) -> None: ...


class Scaffold:
    """Set up and take down; everything runs on the runner's thread.

    Attributes:
        settings: what concerns all sections.
        base: what they share.
        aside, events: as they were given.

    Args:
        actions: section name -> its actions, in the order of the file.
        families: those to ban on this host.
        lore: whom the tags of commands ask.
        post: for the actions that tell by mail.
        aside: takes the commands of actions that only tell.
        modes: the sections whose commands are not run as usual.
        events: is told of each command.
        rehearsal: returns what only shows the commands of a section.
        ready: tells whether a process stands by for a batch.
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
        modes: Modes | None = None,
        events: Events | None = None,
        rehearsal: Callable[[str], Shell] = shells.rehearsal,
        ready: Ready = never_ready,
    ) -> None:
        self.settings, self._shell, self._families = settings, shell, families
        self._lore, self._post, self.aside = lore or Lore(), post, aside
        self._modes, self._rehearsal, self._ready = modes or Modes(), rehearsal, ready
        self.events = events or Events()
        self.base = Base(settings, shell, rehearsal("*"), self.events)
        self.base.dry = _are_dry(actions, self._modes)
        self._sites = self._build(actions)
        self._enforcing = _enforcing(self._sites)

    def is_dry(self, jail: str) -> bool:
        """Tell whether the commands of a section are only shown; any thread."""
        return jail in self._modes.dry

    def keeps(self, jail: str) -> bool:
        """Tell whether the bans of a section are to outlive the daemon."""
        return jail in self._modes.kept and not self.is_dry(jail)

    def jails(self) -> list[str]:
        """Return the names of all sections, in the order of the configuration."""
        return list(self._sites)

    def of(self, jail: str) -> list[Site] | None:
        """Return the sites of a section in order, or None if there is no such section."""
        return self._sites.get(jail)

    def enforcing(self, jail: str) -> Sequence[Site]:
        """Return the sites of a section that keep somebody out."""
        return self._enforcing.get(jail, [])

    def sites(self) -> list[Site]:
        """Return all sites, in the order of the configuration."""
        return list(itertools.chain.from_iterable(self._sites.values()))

    @property
    def complete(self) -> bool:
        """Whether everything that keeps somebody out stands."""
        return self.base.up and all(site.up for site in self.sites() if site.enforces)

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
        self._mail(site, "started", lambda post, mail: post.started(mail, site.jail))
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
        self._mail(site, "banned", lambda post, mail: post.banned(mail, ban))

    def stop(self, site: Site, level: int = logging.WARNING) -> None:
        """Run an action's `stop` if it stands; an error is only logged, at `level`."""
        if site.up:
            site.up = False
            do = at_once if site.enforces else self.aside
            do(functools.partial(self._run_whole_stop, site, level))
            self._mail(site, "stopped", lambda post, mail: post.stopped(mail, site.jail))

    def clear(self) -> None:
        """Remove what an earlier instance may have left; errors are expected."""
        for site in downwards(self.sites()):
            if site.enforces and not site.dry:
                self.wipe(site)
        self.base.wipe()

    def wipe(self, site: Site, scopes: Sequence[Scope] | None = None) -> None:
        """Remove what an earlier instance may have left of an action; errors are expected.

        Args:
            scopes: whom its `start` had run for; None: all that can be banned.
        """
        scopes = site.firewall.scopes if scopes is None else scopes
        _tolerate(functools.partial(site.firewall.flush, scopes), logging.DEBUG)
        self._run_stop(site, scopes, logging.DEBUG)

    def stranger(self, jail: str, action: ActionSettings) -> Site:
        """Return an action that is no part of the configuration any more."""
        firewall = Firewall(
            jail, action, self._shell, action.families, self._lore, events=self.events
        )
        return Site(firewall, f"{jail}/{action.name}")

    def changed(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None = None,
        modes: Modes | None = None,
    ) -> list[Site]:
        """Return the sites that must be taken down before `replace`."""
        modes = self._modes if modes is None else modes
        if self.base.differs(settings, _are_dry(actions, modes)):
            return self.sites()
        if families not in (None, self._families):
            return self.sites()
        return [
            site
            for site in self.sites()
            if site.commands not in actions.get(site.jail, ())
            or site.dry != (site.jail in modes.dry)
        ]

    def replace(
        self,
        settings: FirewallSettings,
        actions: Actions,
        families: tuple[Family, ...] | None = None,
        modes: Modes | None = None,
    ) -> None:
        """Take over other commands; the `changed` sites must be down."""
        modes = self._modes if modes is None else modes
        self.base.change(settings, _are_dry(actions, modes))
        self.settings, self._modes = settings, modes
        self._families = self._families if families is None else families
        standing = {(site.jail, site.name): site for site in self.sites() if site.up}
        self._sites = self._build(actions)
        for sites in self._sites.values():
            for place, fresh in enumerate(sites):
                if (kept := standing.get((fresh.jail, fresh.name))) is not None:
                    kept.label, sites[place] = fresh.label, kept
        self._enforcing = _enforcing(self._sites)

    def _build(self, actions: Actions) -> dict[str, list[Site]]:
        return {
            jail: [self._site(jail, action, len(several) == 1) for action in several]
            for jail, several in actions.items()
        }

    def _site(self, jail: str, action: ActionSettings, only: bool) -> Site:
        dry = self.is_dry(jail)
        shell = self._rehearsal(jail) if dry else self._shell
        firewall = Firewall(
            jail,
            action,
            shell,
            self._families,
            self._lore,
            events=self.events,
            dry=dry,
            ready=self._ready,
        )
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

    def _mail(
        self, site: Site, what: str, send: Callable[[Post, MailActionSettings], None]
    ) -> None:
        """Send a mail, if that is what an action does."""
        if (mail := site.commands.mail) is None or self._post is None:
            return
        if site.dry:
            log.warning("[%s] would send a mail: %s", site.jail, what)
        else:
            send(self._post, mail)


def _enforcing(sites: Mapping[str, Iterable[Site]]) -> dict[str, list[Site]]:
    return {jail: [site for site in several if site.enforces] for jail, several in sites.items()}


def downwards(sites: Iterable[Site]) -> list[Site]:
    """Return sites in the order to take them down: of each section the last first."""
    groups = itertools.groupby(sites, key=lambda site: site.jail)
    return [site for _, group in groups for site in reversed(list(group))]


def _tolerate(command: Callable[[], None], level: int) -> None:
    try:
        command()
    except CommandError as error:
        report(error, level)


def _are_dry(jails: Iterable[str], modes: Modes) -> bool:
    """Tell whether there are sections, and the commands of all are only shown."""
    names = set(jails)
    return bool(names) and names <= modes.dry
