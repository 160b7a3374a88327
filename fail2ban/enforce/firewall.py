# SPDX-License-Identifier: GPL-2.0-or-later
"""One action's commands for one section: set up, check, ban, unban, take down.

Source: jail-conf.md sections 9.1 and 9.6; fail2ban-conf-0.6.md section 7.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from fail2ban.enforce import tags
from fail2ban.enforce.coalesce import Ready, never_ready
from fail2ban.enforce.errands import Errand, Errands, Outcomes, Scope
from fail2ban.enforce.escape import is_harmless
from fail2ban.enforce.performer import Performer, Told
from fail2ban.enforce.plain import plain
from fail2ban.enforce.shell import Shell
from fail2ban.enforce.tags import Facts, Lore
from fail2ban.errors import CommandError
from fail2ban.events import Events
from fail2ban.records import FAMILIES, ActionSettings, Ban, Command, Family

#: Exists where the kernel knows IPv6.
_IPV6 = "/proc/net/if_inet6"
_IPTABLES = re.compile(r"\biptables\b")


def host_families(ipv6: bool | None = None) -> tuple[Family, ...]:
    """Return the families to ban on this host.

    Args:
        ipv6: whether to ban IPv6 addresses; None: if the host speaks it. Without
            it its tools fail.
    """
    wanted = os.path.exists(_IPV6) if ipv6 is None else ipv6
    return FAMILIES if wanted else FAMILIES[:1]


@dataclass(frozen=True)
class Firewall:
    """The commands of one action; each runs until it has ended.

    Methods that get scopes run a command once for all whose text is the same, and
    raise CommandError if it fails. Those that get bans raise nothing: they return
    what has become of each. How many bans take one command, `enforce.errands` knows.

    Attributes:
        name: the section's.
        commands: as the user wrote them.
        shell: runs them.
        families: those to ban on this host.
        lore: whom tags ask.
        clock: seconds since the epoch.
        events: is told of each command.
        ticks: seconds that only go forward.
        dry: the shell only shows commands.
        ready: tells whether a process stands by for a batch.
    """

    name: str
    commands: ActionSettings
    shell: Shell
    families: tuple[Family, ...] = FAMILIES
    lore: Lore = field(default_factory=Lore)
    clock: Callable[[], float] = time.time
    events: Events = field(default_factory=Events)
    ticks: Callable[[], float] = time.monotonic
    dry: bool = False
    ready: Ready = never_ready

    @property
    def can_check(self) -> bool:
        return bool(self.commands.check)

    @property
    def can_stop(self) -> bool:
        return bool(self.commands.stop)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The families that are set up."""
        return tuple(family for family in self.families if family in self.commands.families)

    def cannot_ban(self, ban: Ban) -> str | None:
        """Say why the ban command does not fit an address, or None if it does."""
        family = ban.family
        if family is None:
            return self._cannot_ban_text(ban)
        if family in self.scopes:
            return None
        if family in self.commands.families:
            return "IPv6 is switched off, or this host does not speak it"
        if _IPTABLES.search(self.commands.ban.of(family)):
            return "it calls iptables, which is for IPv4 only; <iptables> in its place serves both"
        return f"its commands are not for {'IPv4' if family == 'ip' else 'IPv6'}"

    def _cannot_ban_text(self, ban: Ban) -> str | None:
        """Refuse a text to commands that expect an address.

        The shell does not obey it, but sed, nft and others might, to whom a
        command hands it as a part of their own language.
        """
        if self.commands.banmany and not self.commands.ban.any.strip():
            return "it has a command for many addresses, but none for a text"
        commands = self.commands.ban.any + self.commands.unban.any
        if "<ip>" not in commands or is_harmless(tags.address_text(ban.ip)):
            return None
        return "its commands are for addresses, and this text could mean something else to them"

    def alike(self, command: Command, one: Scope, other: Scope) -> bool:
        """Tell whether a command is the same for two scopes."""
        return _key(command, one) == _key(command, other)

    def shares(self, command: Command, one: Scope, other: Scope) -> bool:
        """Tell whether a command does one and the same thing for two scopes."""
        lines, others = (set(command.of(scope).split("\n")) for scope in (one, other))
        return any(line.strip() for line in lines & others)

    def start(self, scopes: Iterable[Scope] | None = None) -> None:
        self._each("start", self.commands.start, scopes)

    def check(self, scopes: Iterable[Scope] | None = None) -> None:
        self._each("check", self.commands.check, scopes)

    def repair(self, scopes: Iterable[Scope]) -> None:
        self._each("repair", self.commands.repair, scopes)

    def reload(self, scopes: Iterable[Scope]) -> None:
        self._each("reload", self.commands.reload, scopes)

    def flush(self, scopes: Iterable[Scope]) -> None:
        """Lift all bans of some scopes."""
        self._each("flush", self.commands.flush, scopes)

    def stop(self, scopes: Iterable[Scope] | None = None) -> None:
        """Take down what `start` made; the second family even if the first fails."""
        self._each("stop", self.commands.stop, scopes, persist=True)

    def only_adds(self, scope: Scope) -> bool:
        """Tell whether the ban command fails where what it adds to is gone."""
        return plain(self.commands.ban.of(scope)) is not None

    @functools.cached_property
    def gathers_bans(self) -> bool:
        """Whether many bans take one command, not one each."""
        return self._errands.gathers(self._banning, self.scopes)

    @functools.cached_property
    def gathers_unbans(self) -> bool:
        """Whether lifting many takes one command, not one each."""
        return self._errands.gathers(self._unbanning, self.scopes)

    def ban(self, bans: Sequence[Ban], now: float) -> Outcomes:
        return self._errands.do(self._banning, bans, now)

    def reban(self, bans: Sequence[Ban], now: float) -> Outcomes:
        """Ban once more after a repair."""
        errand = replace(self._banning, verb="reban").instead(self.commands.reban)
        return self._errands.do(errand, bans, now)

    def prolong(self, bans: Sequence[Ban], now: float) -> Outcomes:
        return self._errands.do(Errand("prolong", self.commands.prolong), bans, now)

    def unban(self, bans: Sequence[Ban], now: float) -> Outcomes:
        return self._errands.do(self._unbanning, bans, now)

    @functools.cached_property
    def _banning(self) -> Errand:
        return Errand("ban", self.commands.ban, self.commands.banmany)

    @functools.cached_property
    def _unbanning(self) -> Errand:
        return Errand("unban", self.commands.unban, self.commands.unbanmany, lifting=True)

    @functools.cached_property
    def _errands(self) -> Errands:
        return Errands(self._performer, self.lore, self.ready)

    @functools.cached_property
    def _performer(self) -> Performer:
        commands = self.commands
        return Performer(
            self.name,
            commands.name,
            commands.timeout,
            self.shell,
            self.events,
            self.ticks,
            self.dry,
        )

    def _each(
        self, verb: str, command: Command, scopes: Iterable[Scope] | None, persist: bool = False
    ) -> None:
        """Run a command for each scope, but not twice the same."""
        texts = {_key(command, s): s for s in (self.scopes if scopes is None else scopes)}
        failed: CommandError | None = None
        for (text, _), scope in texts.items():
            variables = {"F2B_FAMILY": scope} if scope and len(texts) > 1 else {}
            facts = Facts(self.name, scope, self.clock(), lore=self.lore)
            try:
                self._performer.run(Told(verb), text, facts, variables)
            except CommandError as error:
                failed = error
                if not persist:
                    break
        if failed is not None:
            raise failed


def _key(command: Command, scope: Scope) -> tuple[str, Scope]:
    """Return what tells whether a command is the same for another scope."""
    text = command.of(scope)
    return text, scope if "<family>" in text else None
