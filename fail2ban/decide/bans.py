# SPDX-License-Identifier: GPL-2.0-or-later
"""The bans in force, and how far each of them has come.

A ban is *wanted* from the moment it is decided, *applied* once its command has
succeeded, *failed* while it has not, and *lifting* from the moment it is over
until the firewall has let go of it. Only an applied ban is ever reported as
done (promise F1).
"""

from __future__ import annotations

import enum
import functools
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from fail2ban.decide.timer import Timer
from fail2ban.records import Address, Ban, Ticket


class State(enum.Enum):
    """How far a ban has come."""

    WANTED = "wanted"
    APPLIED = "applied"
    FAILED = "failed"
    LIFTING = "lifting"


@dataclass(eq=False, slots=True)
class Entry:
    """A ban and its state.

    Only `Bans` sets the state to LIFTING, and only the judge `complained_at`;
    all else is the runner's.

    Attributes:
        touched: a ban command has run, whatever came of it, so that the
            firewall may hold the address.
        inherited: the firewall may hold the address for the ban before, which
            is still being lifted.
        retrying: another attempt is due already.
        repaired: everything was set up anew because of this entry once.
        announced: the ban was reported as done once; then it is a re-ban.
        attempts: commands that failed in a row.
        error: the last failure; empty when there is none.
        applied_at: when it was last reported as done, seconds since the epoch.
        complained_at: when it was last noticed that the address gets through.
    """

    ban: Ban
    state: State = State.WANTED
    touched: bool = False
    inherited: bool = False
    retrying: bool = False
    repaired: bool = False
    announced: bool = False
    attempts: int = 0
    error: str = ""
    applied_at: float = 0.0
    complained_at: float = 0.0


class Verb(enum.Enum):
    """What the runner is asked to do with an entry."""

    BAN = "ban"
    UNBAN = "unban"
    RENEW = "ban again"


#: Puts an order into the runner's queue; returns at once.
Order = Callable[[Verb, Entry], None]


class Bans:
    """The table of bans, one for each section and address.

    Any thread may call; the lock is held for memory work only. What changes
    the firewall is ordered, in the order it was decided (promise F2).

    Args:
        timer: calls us when a ban has come to its end.
        order: hands an entry to the runner.
    """

    def __init__(self, timer: Timer, order: Order) -> None:
        self._timer, self._order = timer, order
        self._entries: dict[tuple[str, Address], Entry] = {}
        self._lock = threading.Lock()

    def ban(self, ticket: Ticket, bantime: float | None, now: float) -> Entry | None:
        """Decide a ban of `bantime` seconds (None: for ever) from `now` on.

        Return None if the address is in the section's list already. One that is
        being lifted is not: its new ban is carried out after the unban.
        """
        entry = Entry(Ban(now, None if bantime is None else now + bantime, ticket))
        with self._lock:
            known = self._entries.get((ticket.jail, ticket.ip))
            if known is not None:
                if known.state is not State.LIFTING:
                    return None
                entry.inherited = known.touched or known.inherited
            self._entries[ticket.jail, ticket.ip] = entry
            self._order(Verb.BAN, entry)
        if entry.ban.end is not None:
            self._timer.at(entry.ban.end, functools.partial(self.lift, entry))
        return entry

    def lift(self, entry: Entry) -> None:
        """End a ban now, unless it is over already."""
        with self._lock:
            if self.holds(entry) and entry.state is not State.LIFTING:
                entry.state = State.LIFTING
                self._order(Verb.UNBAN, entry)

    def renew(self, entry: Entry) -> None:
        """Have a ban that does not seem to be in force carried out once more."""
        self._order(Verb.RENEW, entry)

    def holds(self, entry: Entry) -> bool:
        """Tell whether `entry` is still the one that counts for its address."""
        return self._entries.get((entry.ban.jail, entry.ban.ip)) is entry

    def get(self, jail: str, ip: Address) -> Entry | None:
        """Return the entry of an address in a section, or None."""
        return self._entries.get((jail, ip))

    def remove(self, entry: Entry) -> None:
        """Forget a ban: the firewall has let go of it."""
        with self._lock:
            if self.holds(entry):
                del self._entries[entry.ban.jail, entry.ban.ip]

    def of(self, jail: str) -> list[Entry]:
        """Return the entries of a section, in the order they were decided."""
        with self._lock:
            return [entry for (name, _), entry in self._entries.items() if name == jail]

    def jails(self) -> set[str]:
        """Return the names of the sections that have bans."""
        with self._lock:
            return {name for name, _ in self._entries}

    def states(self) -> Counter[State]:
        """Count the entries by state."""
        with self._lock:
            return Counter(entry.state for entry in self._entries.values())

