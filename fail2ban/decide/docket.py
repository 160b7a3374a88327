# SPDX-License-Identifier: GPL-2.0-or-later
"""What has changed in one section since it was last stored.

How far a log was read and what came of it must be stored together (promise D2).
While a poll of the log goes on, changes are only collected; at its end they are
saved with the place that it has reached. What comes of a line later, because a
name server or a command had to be asked, is saved at once if no poll is under
way, for then everything that is in memory belongs to places that are stored.

Bans alone may be saved before the lines that led to them: when these come again,
they find the ban decided, and count as they did.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping

from fail2ban.decide.bans import Bans
from fail2ban.decide.history import History
from fail2ban.decide.tracker import Tracker
from fail2ban.ledger import Batch, Deferred
from fail2ban.records import Id


class Docket:
    """Collects the changes of one section and saves them as batches.

    Whoever changes what is counted does so within a `with`; any thread may.

    Args:
        jail: name of the section.
    """

    def __init__(self, jail: str, tracker: Tracker, bans: Bans, history: History) -> None:
        self._jail, self._tracker, self._bans, self._history = jail, tracker, bans, history
        self._lock = threading.RLock()  # guards all of the following
        self._reading = self._closed = False
        self._banned: set[Id] = set()
        self._deferred: dict[int, Deferred | None] = {}
        self._waiting: dict[int, Deferred] = {}
        self._numbers = itertools.count(1)
        self._marks: Mapping[str, str] = {}
        self._moved: dict[str, str | None] = {}

    def load(self, marks: Mapping[str, str], deferred: Mapping[int, Deferred]) -> None:
        """Begin where an earlier run has ended."""
        with self._lock:
            self._marks = marks
            self._waiting |= deferred
            self._numbers = itertools.count(max(deferred, default=0) + 1)

    def begin(self) -> None:
        """Note that lines are being read: until `done` nothing is saved."""
        with self._lock:
            self._reading = True

    def done(self, marks: Mapping[str, str]) -> None:
        """Save what has changed: all lines up to `marks` are dealt with."""
        with self._lock:
            self._reading = False
            if marks is not self._marks:
                self._move(marks)
            self._save()

    def __enter__(self) -> None:
        """Let nothing be saved in the middle of a change, but soon after it."""
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        try:
            if not self._reading and error[0] is None:
                self._save()
        finally:
            self._lock.release()

    def renew(self) -> None:
        """Save everything once more, as soon as no poll is under way; any thread."""
        with self:
            self._moved |= self._marks
            self._deferred |= self._waiting
            self._tracker.touch()
            self._banned.update(self._history.ids(self._jail))
            self._banned.update(entry.ban.id for entry in self._bans.of(self._jail))

    def save_bans(self) -> None:
        """Save how bans stand, also while a poll is under way or has been broken off."""
        with self._lock:
            batch, banned, self._banned = Batch(), self._banned, set()
            self._write(batch, banned)

    def close(self) -> None:
        """Save nothing more: what is stored is the business of a later run."""
        with self._lock:
            self._closed = True

    def waiting(self) -> list[tuple[int, Deferred]]:
        """Return the failures that are deferred at present, with their numbers."""
        with self._lock:
            return list(self._waiting.items())

    # Within a change ------------------------------------------------------------

    def banned(self, id: Id) -> None:
        """Note that a ban of an id has changed, or how many it had."""
        self._banned.add(id)

    def defer(self, deferred: Deferred) -> int:
        """Note a failure of which something must be found out; return its number."""
        number = next(self._numbers)
        self._waiting[number] = self._deferred[number] = deferred
        return number

    def settle(self, number: int) -> Deferred | None:
        """Note that it was found out; return what was noted, None if it was settled before.

        After `close` a later run finds out.
        """
        if self._closed:
            return None
        deferred = self._waiting.pop(number, None)
        if deferred is not None:
            self._deferred[number] = None
        return deferred

    # Saving -----------------------------------------------------------------------

    def _move(self, marks: Mapping[str, str]) -> None:
        for key in self._marks.keys() - marks.keys():
            self._moved[key] = None
        for key, mark in marks.items():
            if self._marks.get(key) != mark:
                self._moved[key] = mark
        self._marks = marks

    def _save(self) -> None:
        jail, batch = self._jail, Batch()
        batch.marks = {(jail, key): mark for key, mark in self._moved.items()}
        batch.suspects = {(jail, id): one for id, one in self._tracker.changed().items()}
        batch.deferred = {(jail, number): what for number, what in self._deferred.items()}
        self._write(batch, self._banned)
        self._moved, self._deferred, self._banned = {}, {}, set()

    def _write(self, batch: Batch, banned: set[Id]) -> None:
        """Save a batch together with the bans of some ids."""
        jail = self._jail
        batch.records = {(jail, id): self._history.record(jail, id) for id in banned}
        if batch and not self._closed:
            self._bans.write(batch, jail, banned)
