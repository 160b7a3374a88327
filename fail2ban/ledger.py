# SPDX-License-Identifier: GPL-2.0-or-later
"""What outlives the process, in the shape in which it travels to the store.

A *batch* is what belongs together: how far a section has read, and all that came
of what it has read up to there. It is written as a whole or not at all, so that
after any end of the process a line either counts for its whole or is read again
(promises D2 and S1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fail2ban.events import Event
from fail2ban.records import Ban, Failure, Id


class Suspect(NamedTuple):
    """What an id did so far that does not yet suffice for a ban.

    Attributes:
        times: of its failures in ascending order, seconds since the epoch, each as
            often as it counts.
        lines: the newest of their lines, oldest first: when, and what was written.
    """

    times: tuple[float, ...]
    lines: tuple[tuple[float, tuple[str, ...]], ...] = ()


class Deferred(NamedTuple):
    """A failure of which is still being found out whether and for whom it counts.

    Attributes:
        failure: where `named`, its `ip` is a host name that is to be resolved.
        heard: when it was heard, seconds since the epoch.
    """

    failure: Failure
    named: bool
    heard: float


class Record(NamedTuple):
    """The earlier bans of an id in one section.

    Attributes:
        bans: how many there were.
        last: when the last one was decided, seconds since the epoch.
        until: when they are forgotten; None: never.
    """

    bans: int
    last: float
    until: float | None


@dataclass(slots=True)
class Batch:
    """Changes that are written in one transaction.

    Of one key the last word counts; None means that there is nothing any more.

    Attributes:
        marks: how far a section has read, by section and a key of its source's own:
            a text that only the source understands.
        suspects: by section and id.
        deferred: by section and a number that is unique there.
        bans: those in force or being lifted (then their end has come), by section and id.
        records: earlier bans, by section and id.
        events: what happened, oldest first; may be dropped when there is no room.
        done: called on the store's thread when all this is durable, or when the
            store has given up on making it so; each must return at once.
    """

    marks: dict[tuple[str, str], str | None] = field(default_factory=dict)
    suspects: dict[tuple[str, Id], Suspect | None] = field(default_factory=dict)
    deferred: dict[tuple[str, int], Deferred | None] = field(default_factory=dict)
    bans: dict[tuple[str, Id], Ban | None] = field(default_factory=dict)
    records: dict[tuple[str, Id], Record | None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    done: list[Callable[[], object]] = field(default_factory=list)

    def merge(self, later: Batch) -> None:
        """Take over what has changed later."""
        if later.has_changes():
            self.marks |= later.marks
            self.suspects |= later.suspects
            self.deferred |= later.deferred
            self.bans |= later.bans
            self.records |= later.records
        self.events += later.events
        self.done += later.done

    def has_changes(self) -> bool:
        """Whether there is more than events."""
        return bool(self.marks or self.suspects or self.deferred or self.bans or self.records)

    def __bool__(self) -> bool:
        """Whether there is anything to write or to call."""
        return self.has_changes() or bool(self.events) or bool(self.done)


@dataclass(frozen=True)
class Remembered:
    """What an earlier run has left of one section; see `Batch`.

    Attributes:
        bans: all that are stored, also those whose end has come meanwhile: a
            firewall that outlived the daemon may still hold them.
        unknown: whose ban's length is not known; it is that of the section.
    """

    marks: Mapping[str, str] = field(default_factory=dict)
    suspects: Mapping[Id, Suspect] = field(default_factory=dict)
    deferred: Mapping[int, Deferred] = field(default_factory=dict)
    bans: tuple[Ban, ...] = ()
    unknown: frozenset[Id] = frozenset()


class Ledger(Protocol):
    """Makes batches durable."""

    def save(self, batch: Batch) -> None:
        """Have a batch written soon, as a whole; any thread, returns at once.

        What is saved later is never written before it.
        """
