# SPDX-License-Identifier: GPL-2.0-or-later
"""Failures of long ago -> the bans they would have led to.

Judges, bans and timer are the daemon's own. Only the clock is set by the lines, a
ban is in force as soon as it is decided, and nothing is run, stored or asked for.
"""

from __future__ import annotations

import functools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from fail2ban import notices
from fail2ban.decide.bans import Bans, Entry, State, Verb
from fail2ban.decide.court import Court
from fail2ban.decide.history import AGE, Memory
from fail2ban.decide.hosts import OURSELVES, Addresses, Hosts
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.judge import Judge
from fail2ban.decide.timer import Timer
from fail2ban.records import NO_COMMAND, Address, Ban, Command, Failure, Id, JailSettings, Ticket

#: What can come of a failure, and of a ban.
Kind = Literal["found", "ignored", "prevented", "expired", "banned", "unbanned"]

#: The same dice for every replay: a ban of random length has the same one each time.
_SEED = 0

LookUp = Callable[[str], Addresses]


@dataclass(frozen=True)
class Decision:
    """One thing that would have happened.

    Attributes:
        kind: "found": a failure counts; "ignored": it does not; "prevented": it is of
            an id that would have been kept out; "expired": failures suffice for a ban
            that would be over already.
        time: when, seconds since the epoch of the lines.
        by: what ignores it; else empty.
        ban: as it is decided, or over; else None.
    """

    kind: Kind
    time: float
    jail: str
    id: Id
    by: str = ""
    ban: Ban | None = None


class Trial:
    """Hears failures in the order of their times. Used on one thread.

    Args:
        tell: called with every decision, in the order of their times.
        age: seconds for which a ban that is over makes the next one longer, at least.
        look_up: the addresses of a name in `ignoreip`; None: names are not looked up.
        own: the addresses of this host.
        lines: keep the lines that led to a ban.

    Attributes:
        now: the time of the lines, seconds since the epoch; never goes back.
    """

    def __init__(
        self,
        jails: Iterable[JailSettings],
        tell: Callable[[Decision], None],
        age: float = AGE,
        look_up: LookUp | None = None,
        own: OwnAddresses | None = None,
        lines: bool = True,
    ) -> None:
        self.now, self._due = 0.0, 0.0
        self._tell = tell
        self._orders: deque[tuple[Verb, Entry]] = deque()
        self._timer = Timer(self._clock, self._clock)
        self._bans = Bans(self._timer, lambda verb, entry: self._orders.append((verb, entry)))
        court = Court(
            bans=self._bans,
            own=own or OwnAddresses(time.monotonic),
            hosts=_AtOnce(look_up),
            history=Memory(age),
            notices=_Reporter(self._report),
            asker=_NoAsker(),
            clock=self._clock,
            rng=random.Random(_SEED),
        )
        self._judges = {jail.name: Judge(_simplified(jail, lines), court) for jail in jails}

    def advance(self, moment: float) -> None:
        """Let it be `moment`, unless it is later already; end the bans that are over."""
        self.now = max(self.now, moment)
        if self.now >= self._due:
            self._due = self.now + self._timer.step()
            self._settle()

    def hear(self, failure: Failure) -> None:
        """Judge a failure that happens now."""
        entry = self._bans.get(failure.jail, failure.id)
        if entry is not None and not entry.lifting:
            # The daemon would complain that a ban has no effect. Here it had none.
            self._report("prevented", failure.jail, failure.id)
            return
        self._judges[failure.jail].hear(failure)
        self._settle()

    def in_force(self, jail: str) -> list[Ban]:
        """Return the bans of a section that are not over."""
        return [entry.ban for entry in self._bans.of(jail) if not entry.lifting]

    def _clock(self) -> float:
        return self.now

    def _settle(self) -> None:
        """Do the work of the runner, which has nothing to run."""
        while self._orders:
            verb, entry = self._orders.popleft()
            ban = entry.ban
            if verb is Verb.BAN:
                entry.state, entry.applied_at, self._due = State.APPLIED, self.now, self.now
                self._report("banned", ban.jail, ban.id, ban=ban)
            elif verb is Verb.UNBAN:
                self._bans.remove(entry)
                end = self.now if ban.end is None else ban.end
                self._tell(Decision("unbanned", end, ban.jail, ban.id, ban=ban))

    def _report(self, kind: Kind, jail: str, id: Id, by: str = "", ban: Ban | None = None) -> None:
        self._tell(Decision(kind, self.now, jail, id, by, ban))


def _simplified(jail: JailSettings, lines: bool) -> JailSettings:
    """Return a section that asks no command whom to ignore, and keeps lines if asked to."""
    ignore = replace(jail.ignore, command=NO_COMMAND)
    return replace(jail, ignore=ignore, maxmatches=jail.maxmatches if lines else 0)


class _Reporter(notices.Classic):
    """Passes on what becomes of failures; the rest is seen by the orders."""

    def __init__(self, report: Callable[[Kind, str, Id, str], None]) -> None:
        self._report = report

    def found(self, failure: Failure) -> None:
        self._report("found", failure.jail, failure.id, "")

    def ignored(self, failure: Failure, reason: str) -> None:
        self._report("ignored", failure.jail, failure.id, reason)

    def expired(self, ticket: Ticket) -> None:
        self._report("expired", ticket.jail, ticket.id, "")


class _AtOnce(Hosts):
    """The addresses of names in `ignoreip`: looked up on the spot, or not at all."""

    def __init__(self, look_up: LookUp | None) -> None:
        super().__init__()
        self._ask = functools.lru_cache(maxsize=1000)(functools.partial(_addresses, look_up))

    def have(self, names: Iterable[str], ip: Address) -> bool:
        return ip in self.addresses(names)

    def addresses(self, names: Iterable[str]) -> Addresses:
        return frozenset[Address]().union(*map(self._ask, names))

    def awaited(self, names: Iterable[str]) -> bool:
        return False

    def wait(self, names: Iterable[str]) -> None:
        """Do nothing: nothing is awaited."""


def _addresses(look_up: LookUp | None, name: str) -> Addresses:
    if look_up is None or name == OURSELVES:  # our interfaces are known without asking
        return frozenset()
    try:
        return look_up(name)
    except (OSError, UnicodeError):
        return frozenset()


class _NoAsker:
    """Stands where commands are run in the daemon; no section has one here."""

    def run(self, command: Command, failure: Failure, timeout: float) -> int:
        raise AssertionError("a replay runs no command")

    def key(self, text: str, failure: Failure) -> str:
        raise AssertionError("a replay runs no command")
