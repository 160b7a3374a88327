# SPDX-License-Identifier: GPL-2.0-or-later
"""How many bans take one command.

All of one family do, if the user has written a command for many, or one that can be
a line of many, see `enforce.plain`. Otherwise each takes its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fail2ban.enforce import tags
from fail2ban.enforce.coalesce import Ready, carry_out, never_ready
from fail2ban.enforce.halving import in_halves, outcome
from fail2ban.enforce.performer import Performer, Told
from fail2ban.enforce.plain import Plain, plain
from fail2ban.enforce.tags import Facts, Lore
from fail2ban.errors import CommandError
from fail2ban.records import FAMILIES, NO_COMMAND, Ban, Command, Family

#: Whom a command is for: a family, or None for texts that are no address.
Scope = Family | None

#: What has become of each of some bans, in their order; None: its command succeeded.
Outcomes = list[CommandError | None]


@dataclass(frozen=True)
class Errand:
    """What is to be done with bans.

    Attributes:
        one: the command for one of them.
        many: the user's command for many; empty: there is none.
        lifting: they end.
    """

    verb: str
    one: Command
    many: Command = NO_COMMAND
    lifting: bool = False

    def instead(self, one: Command) -> Errand:
        """Return the same with another command for one ban, where that is not empty."""
        ones, manys = [], []
        for scope in (None, *FAMILIES):
            given = one.of(scope)
            ones.append(given if given.strip() else self.one.of(scope))
            manys.append("" if given.strip() else self.many.of(scope))
        return Errand(self.verb, Command(*ones), Command(*manys), self.lifting)


@dataclass(frozen=True)
class Errands:
    """Carries out errands at one action.

    Attributes:
        performer: runs its commands. What it only shows is shown as the user wrote it.
        lore: whom tags ask.
        ready: tells whether a process stands by for a batch.
    """

    performer: Performer
    lore: Lore
    ready: Ready = never_ready

    def gathers(self, errand: Errand, scopes: Iterable[Scope]) -> bool:
        """Tell whether many bans take one command, in each of some scopes."""
        return all(
            errand.many.of(scope).strip()
            or not errand.one.of(scope).strip()
            or self._plain(errand.one.of(scope))
            for scope in scopes
        )

    def do(self, errand: Errand, bans: Sequence[Ban], now: float) -> Outcomes:
        """Carry out an errand for bans, for each family apart.

        Args:
            now: seconds since the epoch.
        """
        families = [ban.family for ban in bans]
        if len(set(families)) == 1:
            return self._for_family(errand, families[0], bans, now)
        outcomes: Outcomes = [None] * len(bans)
        for family in dict.fromkeys(families):
            places = [place for place, one in enumerate(families) if one == family]
            found = self._for_family(errand, family, [bans[place] for place in places], now)
            for place, one in zip(places, found, strict=True):
                outcomes[place] = one
        return outcomes

    def _for_family(
        self, errand: Errand, family: Scope, bans: Sequence[Ban], now: float
    ) -> Outcomes:
        """Run the user's command for many, or one of ours for many of his, or one for each."""
        one, many = errand.one.of(family), errand.many.of(family)
        several = len(bans) > 1
        if many.strip() and family is not None and (several or not one.strip()):
            return in_halves(bans, functools.partial(self._feed, errand, many, now))
        if not one.strip():
            return [None] * len(bans)
        alone = functools.partial(self._alone, errand, one, now)
        found = self._plain(one)
        if found is not None and (several or self.ready(found.batch.command)):
            return self._coalesce(errand, found, bans, now, alone)
        return [outcome(alone, ban) for ban in bans]

    def _plain(self, text: str) -> Plain | None:
        return None if self.performer.dry else plain(text)

    def _feed(self, errand: Errand, text: str, now: float, bans: Sequence[Ban]) -> None:
        """Run a command that finds bans of one family, a line each, on its standard input."""
        jail, family = self.performer.jail, bans[0].family
        facts = Facts(jail, family, now, lifting=errand.lifting, lore=self.lore)
        feed = "".join(f"{tags.address_text(b.ip)} {family} {_seconds(b, now)}\n" for b in bans)
        several = len(bans) > 1
        told = Told(errand.verb, [ban.id for ban in bans], lambda error: several)
        self.performer.run(told, text, facts, {}, feed)

    def _coalesce(
        self,
        errand: Errand,
        found: Plain,
        bans: Sequence[Ban],
        now: float,
        alone: Callable[[Ban], None],
    ) -> Outcomes:
        """Carry out a plain command for bans of one family with as few processes as possible.

        Args:
            alone: carries it out for one.
        """
        family, performer = bans[0].family, self.performer
        lines = [found.line(self._facts(errand, family, ban, now).lookup) for ban in bans]

        def send(
            command: str,
            feed: str,
            numbers: Sequence[int],
            seconds: float,
            divides: Callable[[CommandError], bool],
        ) -> None:
            ids = [bans[number].id for number in numbers]
            with performer.telling(Told(errand.verb, ids, divides)):
                performer.shell(command, {}, seconds, feed=feed)

        def by_itself(number: int) -> None:
            alone(bans[number])

        return carry_out(lines, by_itself, send, performer.timeout, self.ready)

    def _alone(self, errand: Errand, text: str, now: float, ban: Ban) -> None:
        """Run a command for one ban, as the user wrote it."""
        facts = self._facts(errand, ban.family, ban, now)
        self.performer.run(Told(errand.verb, [ban.id]), text, facts, tags.environment(ban, now))

    def _facts(self, errand: Errand, family: Scope, ban: Ban, now: float) -> Facts:
        return Facts(self.performer.jail, family, now, ban, errand.lifting, self.lore)


def _seconds(ban: Ban, now: float) -> int:
    left = ban.seconds_left(now)
    return -1 if left is None else left
