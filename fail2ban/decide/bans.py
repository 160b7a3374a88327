# SPDX-License-Identifier: GPL-2.0-or-later
"""The bans in force, and how far each of them has come.

A ban is *wanted* from the moment it is decided, *applied* once all commands
that enforce it have succeeded, *failed* while one has not, and *lifting* from
the moment it is over until everything has let go of it. Only an applied ban is
ever reported as done (promise F1), and only when it would outlive the process
(promise S1). What is stored of a ban changes here, too: nobody else knows how it
stands.
"""

from __future__ import annotations

import enum
import functools
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import filterfalse
from operator import attrgetter, not_

from fail2ban.decide.timer import Timer
from fail2ban.ledger import Batch, Ledger
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
        inherited: the action may hold the id by an earlier command: that of the ban
            before, which is still being lifted, or one that was killed or whose check
            failed. It lets go of the id before the next, which may not be repeatable.
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

    `Bans` changes `ban`, `lifting` and `durable`, the judge `complained_at`; all
    else is the runner's.

    Attributes:
        parts: what has become of it, by the name of each action that enforces.
        untold: the names of the actions that only tell, and have not yet been
            run; None before the ban was first tried.
        lifting: it is over.
        durable: it outlives the process.
        reached: how far it came before that.
        announced: the ban was reported as done once; then it is a re-ban.
        applied_at: when it was last reported as done, seconds since the epoch.
        complained_at: when it was last noticed that the id gets through.
    """

    ban: Ban
    parts: dict[str, Part] = field(default_factory=dict)
    untold: frozenset[str] | None = None
    lifting: bool = False
    durable: bool = False
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
        part = self.parts.get(action)
        if part is None:
            part = self.parts[action] = Part()
        return part


class Verb(enum.Enum):
    """What the runner is asked to do with an entry."""

    BAN = "ban"
    UNBAN = "unban"
    RENEW = "ban again"
    PROLONG = "prolong"
    TELL = "tell what is durable now"


_lifting, _reached = attrgetter("lifting"), attrgetter("reached")

#: Puts an order into the runner's queue; returns at once.
Order = Callable[[Verb, Entry], None]


class Bans:
    """The table of bans, one for each section and id.

    Any thread may call; the lock is held for memory work only. What changes
    the firewall is ordered, in the order it was decided (promise F2).

    Args:
        timer: calls us when a ban has come to its end.
        order: hands an entry to the runner.
        ledger: makes bans durable; None: nobody does, and nobody waits for it.
    """

    def __init__(self, timer: Timer, order: Order, ledger: Ledger | None = None) -> None:
        self._timer, self._order, self._ledger = timer, order, ledger
        self._entries: defaultdict[str, dict[Id, Entry]] = defaultdict(dict)
        self._totals: Counter[str] = Counter()
        self._at_end = self._expire  # one for the timer, not one for each ban
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
        entry.durable = restored or self._ledger is None
        with self._lock:
            known = self._entries[ticket.jail].get(ticket.id)
            if known is not None:
                if not known.lifting:
                    return None
                entry.parts = _inherited(known)
            self._entries[ticket.jail][ticket.id] = entry
            self._totals[ticket.jail] += 1
            self._order(Verb.BAN, entry)
        self._await_end(entry)
        return entry

    def restore(
        self, bans: Iterable[Ban], order: Callable[[list[Entry]], None], over: Iterable[Ban] = ()
    ) -> None:
        """Take over bans of an earlier run with one order; one known already stays.

        Args:
            bans: in force, of one section.
            order: puts one for them all into the runner's queue; returns at once.
            over: those whose end has come, but that the firewall may still hold.
        """
        entries = [Entry(_restored(ban), durable=True) for ban in bans]
        ended = [Entry(_restored(ban), durable=True, lifting=True) for ban in over]
        with self._lock:
            fresh = [entry for entry in entries + ended if self._put(entry)]
            order(fresh)
        for entry in fresh:
            self._await_end(entry)

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
            entry.ban = replace(entry.ban, end=end, prolonged=True)
            self._order(Verb.PROLONG, entry)
        return True

    def lift(self, entry: Entry) -> None:
        """End a ban now, unless it is over already."""
        with self._lock:
            self._lift(entry)
            self._save([entry])

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
            self._save(entries)
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
        """Forget a ban: everything has let go of it.

        One that is not over stays in the store: the daemon ends, or the section
        does, and it is to be in force again when they are back.
        """
        with self._lock:
            if self.holds(entry):
                del self._entries[entry.ban.jail][entry.ban.id]
                if entry.lifting:
                    self._save([entry])

    def write(self, batch: Batch, jail: str, ids: Iterable[Id]) -> None:
        """Save a batch together with how the bans of some ids of a section stand."""
        if self._ledger is None:
            return
        with self._lock:
            entries = [entry for id in ids if (entry := self._add_row(batch, jail, id))]
            if new := [entry for entry in entries if not entry.durable]:
                batch.done.append(functools.partial(self._note_durable, new))
            if batch:
                self._ledger.save(batch)

    def of(self, jail: str) -> list[Entry]:
        """Return the entries of a section, in the order they were decided."""
        with self._lock:
            return list(self._entries[jail].values())

    def count(self, jail: str) -> int:
        """Return how many bans of a section are not over."""
        return sum(map(not_, map(_lifting, self.of(jail))))

    def total(self, jail: str) -> int:
        """Return how many bans of a section were ever decided."""
        return self._totals[jail]

    def recount(self, jail: str) -> None:
        """Have `total` begin again with the bans of a section that are in force."""
        with self._lock:
            entries = self._entries[jail].values()
            self._totals[jail] = sum(map(not_, map(_lifting, entries)))

    def jails(self) -> set[str]:
        """Return the names of the sections that have bans."""
        with self._lock:
            return {name for name, entries in self._entries.items() if entries}

    def states(self) -> Counter[State]:
        """Count the entries by state."""
        counts: Counter[State] = Counter()
        for jail in self.jails():
            counts.update(self.tally(jail))
        return +counts

    def tally(self, jail: str) -> dict[State, int]:
        """Count the entries of a section by state; in little time, also if they are many."""
        entries = self.of(jail)
        reached = list(map(_reached, filterfalse(_lifting, entries)))
        counts = {state: reached.count(state) for state in State}
        return {**counts, State.LIFTING: len(entries) - len(reached)}

    def _expire(self, entry: Entry, due: float) -> None:
        """The end that a ban had when this was asked for has come.

        One that was extended waits for its new end, however often that was: it
        has one place on the timer.
        """
        with self._lock:
            end = entry.ban.end
            if end == due:
                return self._lift(entry)  # its row says as much already
            waits = end is not None and self.holds(entry)
        if waits:
            self._await_end(entry)

    def _await_end(self, entry: Entry) -> None:
        if (end := entry.ban.end) is not None and not entry.lifting:
            self._timer.at(end, self._at_end, entry, end)

    def _put(self, entry: Entry) -> bool:
        """Add a ban of an earlier run; tell whether its id was free."""
        entries, id = self._entries[entry.ban.jail], entry.ban.id
        if id in entries:
            return False
        entries[id] = entry
        self._totals[entry.ban.jail] += not entry.lifting
        return True

    def _save(self, entries: Sequence[Entry]) -> None:
        """Store how some bans stand; one that is decided is stored by its section."""
        if self._ledger is None or not entries:
            return
        batch = Batch()
        for entry in entries:
            self._add_row(batch, entry.ban.jail, entry.ban.id)
        self._ledger.save(batch)

    def _add_row(self, batch: Batch, jail: str, id: Id) -> Entry | None:
        entry = self._entries[jail].get(id)
        batch.bans[jail, id] = None if entry is None else _row(entry)
        return entry

    def _note_durable(self, entries: Iterable[Entry]) -> None:
        """Have those told that are in force already; on the store's thread."""
        for entry in entries:
            if not entry.durable:
                entry.durable = True
                self._order(Verb.TELL, entry)

    def _lift(self, entry: Entry) -> None:
        if self.holds(entry) and not entry.lifting:
            entry.lifting = True
            self._order(Verb.UNBAN, entry)


def _restored(ban: Ban) -> Ban:
    return ban if ban.restored else replace(ban, restored=True)


def _row(entry: Entry) -> Ban:
    """Return a ban as it is stored: the end of one that is being lifted has come."""
    return replace(entry.ban, end=entry.ban.start) if entry.lifting else entry.ban


def _inherited(known: Entry) -> dict[str, Part]:
    """Return the parts of a ban that follows one which is still being lifted."""
    # A copy: the runner works on them.
    held = [name for name, part in list(known.parts.items()) if part.holds]
    return {name: Part(inherited=True) for name in held}
