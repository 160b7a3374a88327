# SPDX-License-Identifier: GPL-2.0-or-later
"""One action of one section, and what is known of how much of it stands."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fail2ban.decide.bans import Entry
from fail2ban.enforce.errands import Scope
from fail2ban.enforce.firewall import Firewall
from fail2ban.records import ActionSettings, Id, JailSettings

#: Section name -> its actions, in order.
Actions = Mapping[str, Sequence[ActionSettings]]


@dataclass(frozen=True)
class Modes:
    """The sections whose commands are not run as usual, by name.

    Attributes:
        dry: their commands are shown, not executed.
        kept: at the end of the daemon their rules and bans stay in the firewall.
    """

    dry: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()

    @classmethod
    def of(cls, jails: Iterable[JailSettings], dry: bool = False) -> Modes:
        """Return what sections ask for.

        Args:
            dry: the commands of all of them are only shown.
        """
        jails = list(jails)
        shown = frozenset(jail.name for jail in jails if dry or jail.dryrun)
        # What was only shown leaves nothing that could be kept.
        return cls(shown, frozenset(j.name for j in jails if j.onstop == "keep") - shown)


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
        left: the ids, see `key_of`, that an earlier run of the daemon has banned
            here, for which there was no order in this one yet.
        littered: a run that was killed may have banned ids that nothing has lifted.
        excusing: it was said that it does not ban anew whom an earlier run banned.
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
    left: set[str] = field(default_factory=set)
    littered: bool = False
    excusing: bool = False

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

    @property
    def dry(self) -> bool:
        """Whether its commands are only shown."""
        return self.firewall.dry

    @property
    def gathers_bans(self) -> bool:
        """Whether many bans take one command here."""
        return self.firewall.gathers_bans

    @property
    def gathers_unbans(self) -> bool:
        """Whether lifting many bans takes one command here."""
        return self.firewall.gathers_unbans

    def flushes(self, scope: Scope) -> bool:
        """Tell whether there is a command that lifts all bans of a scope."""
        return bool(self.commands.flush.of(scope).strip())

    def __str__(self) -> str:
        return self.label


def by_jail(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Sort bans by section; each keeps their order."""
    sorted_: dict[str, list[Entry]] = {}
    for entry in entries:
        sorted_.setdefault(entry.ban.ticket.jail, []).append(entry)
    return sorted_


def by_scope(entries: Iterable[Entry]) -> dict[Scope, list[Entry]]:
    """Sort bans by whom their commands are for; each keeps their order."""
    sorted_: dict[Scope, list[Entry]] = {}
    for entry in entries:
        sorted_.setdefault(entry.ban.family, []).append(entry)
    return sorted_


def portions(
    entries: Iterable[Entry], gathers: bool, most: int | None = None
) -> Iterator[list[Entry]]:
    """Divide bans into what takes about as long as one command.

    Between two portions there is time for others, and to see whether the end has come.

    Args:
        gathers: many addresses take one command. Texts take one each.
        most: so many of them; None: all.
    """
    entries = list(entries)
    together = [e for e in entries if gathers and e.ban.family is not None]
    for begin in range(0, len(together), most or max(1, len(together))):
        yield together[begin : None if most is None else begin + most]
    for entry in entries:
        if not gathers or entry.ban.family is None:
            yield [entry]


def key_of(id: Id) -> str:
    """Write an id so that no other one is written alike; see `id_of`."""
    return f"={id}" if isinstance(id, str) else str(id)


def id_of(key: str) -> Id:
    """Return the id that `key_of` wrote.

    Raises:
        ValueError: it did not.
    """
    if key.startswith("="):
        return key[1:]
    return ipaddress.ip_network(key) if "/" in key else ipaddress.ip_address(key)
