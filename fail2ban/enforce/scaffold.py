# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in the firewall before anybody is banned: chains, sets, tables.

`cmdstart` makes what all sections share, each section's `fwstart` its own part.
Whatever could only be made in part is removed again, so that the next attempt
begins from nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fail2ban.enforce.firewall import Firewall
from fail2ban.enforce.shell import Shell, report
from fail2ban.errors import CommandError
from fail2ban.records import ActionSettings, Family, FirewallSettings


@dataclass(slots=True)
class Site:
    """A section's firewall and whether it stands."""

    firewall: Firewall
    up: bool = False

    @property
    def name(self) -> str:
        return self.firewall.name


class Scaffold:
    """Set up and take down; everything runs on the runner's thread.

    Args:
        actions: section name -> its commands, in the order of the file.
        families: those that this host speaks.
    """

    def __init__(
        self,
        settings: FirewallSettings,
        actions: Mapping[str, ActionSettings],
        shell: Shell,
        families: tuple[Family, ...],
    ) -> None:
        self._settings, self._shell, self._families = settings, shell, families
        self._base_up = False
        self._sites = {name: self._site(name, action) for name, action in actions.items()}

    def site(self, name: str) -> Site | None:
        """Return the site of a section, or None if there is no such section."""
        return self._sites.get(name)

    def sites(self) -> list[Site]:
        """Return all sites, in the order of the configuration."""
        return list(self._sites.values())

    @property
    def complete(self) -> bool:
        """Whether everything stands."""
        return self._base_up and all(site.up for site in self._sites.values())

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
        """Run a section's `fwstart`; tell whether its work stands."""
        try:
            site.firewall.start()
        except CommandError as error:
            report(error, what=f"[{site.name}] fwstart: ")
            self._run_stop(site, logging.DEBUG)
            return False
        site.up = True
        return True

    def stop(self, site: Site) -> None:
        """Run a section's `fwend` if it stands; an error is only logged."""
        if site.up:
            site.up = False
            self._run_stop(site, logging.WARNING)

    def stop_base(self) -> None:
        """Run `cmdend` if `cmdstart` stands; an error is only logged."""
        if self._base_up:
            self._base_up = False
            self._run_stop_base(logging.WARNING)

    def clear(self) -> None:
        """Remove what an earlier instance may have left; errors are expected."""
        for site in self._sites.values():
            self._run_stop(site, logging.DEBUG)
        self._run_stop_base(logging.DEBUG)

    def changed(
        self, settings: FirewallSettings, actions: Mapping[str, ActionSettings]
    ) -> list[Site]:
        """Return the sites that must be taken down before `replace`."""
        if self._base_differs(settings):
            return self.sites()
        return [
            site
            for name, site in self._sites.items()
            if actions.get(name) != site.firewall.commands
        ]

    def replace(
        self, settings: FirewallSettings, actions: Mapping[str, ActionSettings]
    ) -> None:
        """Take over other commands; the `changed` sites must be down."""
        if self._base_differs(settings):
            self.stop_base()
        self._settings = settings
        standing = {name: site for name, site in self._sites.items() if site.up}
        self._sites = {
            name: standing.get(name) or self._site(name, action)
            for name, action in actions.items()
        }

    def _base_differs(self, settings: FirewallSettings) -> bool:
        ours = self._settings
        return (ours.start, ours.stop) != (settings.start, settings.stop)

    def _site(self, name: str, action: ActionSettings) -> Site:
        return Site(Firewall(name, action, self._shell, self._families))

    def _run_stop(self, site: Site, level: int) -> None:
        _tolerate(site.firewall.stop, level)

    def _run_stop_base(self, level: int) -> None:
        _tolerate(lambda: self._shell(self._settings.stop, {}, ActionSettings.timeout), level)


def _tolerate(command: Callable[[], None], level: int) -> None:
    try:
        command()
    except CommandError as error:
        report(error, level)
