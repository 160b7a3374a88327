# SPDX-License-Identifier: GPL-2.0-or-later
"""A section's commands: set up, check, ban, unban, take down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fail2ban.enforce import tags
from fail2ban.enforce.shell import Shell
from fail2ban.errors import CommandError
from fail2ban.records import FAMILIES, ActionSettings, Ban, Family

#: Exists where the kernel knows IPv6.
_IPV6 = "/proc/net/if_inet6"


def host_families() -> tuple[Family, ...]:
    """Return the families that this host speaks: without IPv6 its tools fail."""
    return FAMILIES if os.path.exists(_IPV6) else FAMILIES[:1]


@dataclass(frozen=True)
class Firewall:
    """The commands of one section; each runs until it has ended.

    Every method raises CommandError if a command fails.

    Attributes:
        name: the section's.
        commands: as the user wrote them.
        shell: runs them.
        families: those of this host.
    """

    name: str
    commands: ActionSettings
    shell: Shell
    families: tuple[Family, ...] = FAMILIES

    @property
    def can_check(self) -> bool:
        return bool(self.commands.check.strip())

    @property
    def can_stop(self) -> bool:
        return bool(self.commands.stop.strip())

    def intact(self) -> bool:
        """Tell whether the check passes; without one there is no telling."""
        try:
            self.check()
        except CommandError:
            return False
        return self.can_check

    def cannot_ban(self, ban: Ban) -> str | None:
        """Say why the ban command does not fit an address, or None if it does."""
        if ban.family in self.commands.families:
            return None
        return "fwban calls iptables, which is for IPv4 only; <iptables> in its place serves both"

    def start(self) -> None:
        self._for_each_family(self.commands.start)

    def check(self) -> None:
        self._for_each_family(self.commands.check)

    def stop(self) -> None:
        """Take down what `start` made; the second family even if the first fails."""
        self._for_each_family(self.commands.stop, persist=True)

    def ban(self, ban: Ban, now: float) -> None:
        values = tags.ban_values(ban, now)
        self._run(self.commands.ban, values, tags.environment(ban, now))

    def unban(self, ban: Ban, now: float) -> None:
        values = tags.unban_values(ban, now)
        self._run(self.commands.unban, values, tags.environment(ban, now))

    def _for_each_family(self, command: str, persist: bool = False) -> None:
        """Run a command; one that speaks of a family once for each."""
        if not tags.needs_families(command):
            return self.shell(command, {}, self.commands.timeout)
        failed: CommandError | None = None
        for family in self.families:
            try:
                self._run(command, tags.family_values(family), {"F2B_FAMILY": family})
            except CommandError as error:
                failed = error
                if not persist:
                    break
        if failed is not None:
            raise failed

    def _run(self, command: str, values: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self.shell(tags.fill(command, values), variables, self.commands.timeout)
