# SPDX-License-Identifier: GPL-2.0-or-later
"""The bans in force, and how far each of them has come.

A ban is *wanted* from the moment it is decided, *applied* once all commands
that enforce it have succeeded, *failed* while one has not, and *lifting* from
the moment it is over until everything has let go of it. Only an applied ban is
ever reported as done (promise F1).
"""

from __future__ import annotations

import enum
import functools
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fail2ban.decide.timer import Timer
from fail2ban.records import Ban, Id, Ticket


class State(enum.Enum):
    """How far a ban has come."""

    WANTED = "wanted"
    APPLIED = "applied"
    FAILED = "failed"
    LIFTING = "lifting"


@dataclass(eq=False, slots=True)
class Part:
    """What one action has made of a ban; the runner's alone.

    Attributes:
        state: never LIFTING.
        touched: a ban command has run, whatever came of it, so that the action
            may hold the id.
        inherited: the action may hold the id for the ban before, which is still
            being lifted.
        retrying: another attempt is due already.
        repaired: everything was set up anew because of this part once.
        done: it was applied once; then it is a re-ban.
        attempts: commands that failed in a row.
        error: the last failure; empty when there is none.
    """

    state: State = State.WANTED
    touched: bool = False
    inherited: bool = False
    retrying: bool = False
    repaired: bool = False
    done: bool = False
    attempts: int = 0
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether the action may keep the id out."""
        return self.touched or self.inherited

    def reset(self) -> None:
        """Note that the action holds nobody any more."""
        self.state, self.touched, self.inherited, self.error = State.WANTED, False, False, ""


@dataclass(eq=False, slots=True)
class Entry:
    """A ban and its state.

    `Bans` changes `ban` and `lifting`, the judge `complained_at`; all else is
    the runner's.

    Attributes:
        parts: what has become of it, by the name of each action that enforces.
        untold: the names of the actions that only tell, and have not yet been
            run; None before the ban was first tried.
        lifting: it is over.
        reached: how far it came before that.
        announced: the ban was reported as done once; then it is a re-ban.
        applied_at: when it was last reported as done, seconds since the epoch.
        complained_at: when it was last noticed that the id gets through.
    """

    ban: Ban
    parts: dict[str, Part] = field(default_factory=dict)
    untold: set[str] | None = None
    lifting: bool = False
    reached: State = State.WANTED
    announced: bool = False
    applied_at: float = 0.0
    complained_at: float = 0.0

    @property
    def state(self) -> State:
        """How far the ban has come, all its actions taken together."""
        return State.LIFTING if self.lifting else self.reached

    @state.setter
    def state(self, state: State) -> None:
        # Apart from `lifting`, which another thread sets: neither may undo the other.
        self.reached = state

    @property
    def error(self) -> str:
        """The failure that keeps the ban from being in force; empty if there is none."""
        return next((part.error for part in list(self.parts.values()) if part.error), "")

    def part(self, action: str) -> Part:
        """Return the part of an action, a new one if it had none."""
        return self.parts.setdefault(action, Part())


class Verb(enum.Enum):
    """What the runner is asked to do with an entry."""

    BAN = "ban"
    UNBAN = "unban"
    RENEW = "ban again"
    PROLONG = "prolong"


#: Puts an order into the runner's queue; returns at once.
Order = Callable[[Verb, Entry], None]


class Bans:
    """The table of bans, one for each section and id.

    Any thread may call; the lock is held for memory work only. What changes
    the firewall is ordered, in the order it was decided (promise F2).

    Args:
        timer: calls us when a ban has come to its end.
        order: hands an entry to the runner.
    """

    def __init__(self, timer: Timer, order: Order) -> None:
        self._timer, self._order = timer, order
        self._entries: defaultdict[str, dict[Id, Entry]] = defaultdict(dict)
        self._totals: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ban(
        self,
        ticket: Ticket,
        bantime: float | None,
        now: float,
        count: int = 1,
        restored: bool = False,
    ) -> Entry | None:
        """Decide a ban of `bantime` seconds (None: for ever) from `now` on.

        Return None if the id is in the section's list already. One that is
        being lifted is not: its new ban is carried out after the unban.

        Args:
            count: how often the id has been banned, this time included.
            restored: an earlier run of the daemon decided it, at `now`.
        """
        end = None if bantime is None else now + bantime
        entry = Entry(Ban(now, end, ticket, count, restored))
        with self._lock:
            known = self._entries[ticket.jail].get(ticket.id)
            if known is not None:
                if not known.lifting:
                    return None
                entry.parts = _inherited(known)
            self._entries[ticket.jail][ticket.id] = entry
            self._totals[ticket.jail] += 1
            self._order(Verb.BAN, entry)
        if end is not None:
            self._timer.at(end, functools.partial(self._expire, entry, end))
        return entry

    def extend(self, entry: Entry, end: float | None) -> bool:
        """Let a ban in force last until `end`, in seconds since the epoch; None: for ever.

        An end that is not later changes nothing; tell whether it was.
        """
        with self._lock:
            old = entry.ban.end
            if not self.holds(entry) or entry.lifting or old is None:
                return False
            if end is not None and end <= old:
                return False
            entry.ban = replace(entry.ban, end=end)
            self._order(Verb.PROLONG, entry)
        return True

    def lift(self, entry: Entry) -> None:
        """End a ban now, unless it is over already."""
        with self._lock:
            self._lift(entry)

    def end_all(self, jail: str, order: Callable[[list[Entry]], None]) -> int:
        """End all bans of a section with one order; return how many they were.

        Args:
            order: puts one for them all into the runner's queue; returns at once.
        """
        with self._lock:
            entries = [entry for entry in self._entries[jail].values() if not entry.lifting]
            for entry in entries:
                entry.lifting = True
            order(entries)
            return len(entries)

    def renew(self, entry: Entry) -> None:
        """Have a ban that does not seem to be in force carried out once more."""
        self._order(Verb.RENEW, entry)

    def holds(self, entry: Entry) -> bool:
        """Tell whether `entry` is still the one that counts for its id."""
        return self.get(entry.ban.jail, entry.ban.id) is entry

    def get(self, jail: str, id: Id) -> Entry | None:
        """Return the entry of an id in a section, or None."""
        entries = self._entries.get(jail)
        return None if entries is None else entries.get(id)

    def remove(self, entry: Entry) -> None:
        """Forget a ban: everything has let go of it."""
        with self._lock:
            if self.holds(entry):
                del self._entries[entry.ban.jail][entry.ban.id]

    def of(self, jail: str) -> list[Entry]:
        """Return the entries of a section, in the order they were decided."""
        with self._lock:
            return list(self._entries[jail].values())

    def count(self, jail: str) -> int:
        """Return how many bans of a section are not over."""
        return sum(not entry.lifting for entry in self.of(jail))

    def total(self, jail: str) -> int:
        """Return how many bans of a section were ever decided."""
        return self._totals[jail]

    def jails(self) -> set[str]:
        """Return the names of the sections that have bans."""
        with self._lock:
            return {name for name, entries in self._entries.items() if entries}

    def states(self) -> Counter[State]:
        """Count the entries by state."""
        with self._lock:
            return Counter(
                entry.state for entries in self._entries.values() for entry in entries.values()
            )

    def _expire(self, entry: Entry, due: float) -> None:
        """The end that a ban had when this was asked for has come.

        One that was extended waits for its new end, however often that was: it
        has one place on the timer.
        """
        with self._lock:
            end = entry.ban.end
            if end == due:
                return self._lift(entry)
            waits = end is not None and self.holds(entry)
        if waits and end is not None:
            self._timer.at(end, functools.partial(self._expire, entry, end))

    def _lift(self, entry: Entry) -> None:
        if self.holds(entry) and not entry.lifting:
            entry.lifting = True
            self._order(Verb.UNBAN, entry)


def _inherited(known: Entry) -> dict[str, Part]:
    """Return the parts of a ban that follows one which is still being lifted."""
    # A copy: the runner works on them.
    held = [name for name, part in list(known.parts.items()) if part.holds]
    return {name: Part(inherited=True) for name in held}
