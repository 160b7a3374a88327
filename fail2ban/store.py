# SPDX-License-Identifier: GPL-2.0-or-later
"""What outlives the process: one thread that writes SQLite.

Nobody waits for it: what is to be written is merged into one pending batch, and
the thread writes all of that in one transaction. When that fails, the batch
stays, later ones are merged into it, and it is tried again.

Source: jail-conf.md sections 10.2 to 10.5.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fail2ban import database
from fail2ban.errors import StoreError
from fail2ban.ledger import Batch, Record, Remembered
from fail2ban.levels import NOTICE
from fail2ban.queries import Queries
from fail2ban.records import Id, StoreSettings
from fail2ban.storekeeper import Storekeeper
from fail2ban.storequestion import Question

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two purges.
PURGE_INTERVAL = 3600.0

#: Seconds before what could not be written is tried again: doubled each time.
RETRY_FIRST, RETRY_LONGEST = 1.0, 60.0

#: After a transaction the next one waits so many times as long as it took, at most so many
#: seconds, unless it is about a ban: in a flood, what changes meanwhile is written together.
#: How far a log was read is written with what was found there, so what is lost by a sudden
#: end is read again.
REST, LONGEST_REST = 2.0, 0.1

#: Events that wait to be written, at the most; then the oldest are dropped.
EVENTS = 10_000

# What will be over one day; any other error is a bug of ours.
_PASSING = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    )
)


@dataclass(frozen=True)
class StoreHealth:
    """How the store is.

    Attributes:
        file: the database; empty: it is in memory, and ends with us.
        bytes: its size.
        pending: changes that are not written yet.
        failing: why they cannot be; empty: they can.
        commits: how many transactions were written.
        last_commit: when the last one was, seconds since the epoch; 0: none.
        last_commit_seconds: how long it took.
    """

    file: str = ""
    bytes: int = 0
    pending: int = 0
    failing: str = ""
    commits: int = 0
    last_commit: float = 0.0
    last_commit_seconds: float = 0.0


class Store:
    """Makes batches durable, and remembers.

    `open` is called on the main thread, after detaching: locks and SQLite do not
    outlive a fork. From then on until `run` that thread alone may use the store,
    except for `save`; afterwards any thread may.

    Args:
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
        renewed: called on the store's thread when what was stored is lost and a new
            database is begun: what is in force is to be saved once more.
    """

    def __init__(
        self,
        settings: StoreSettings,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        renewed: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock, self._ticks = clock, ticks
        # A leaf: nothing else is locked, nor waited for, under it.
        self._changed = threading.Condition(threading.Lock())
        self._pending = Batch()
        self._questions: list[Question[Any]] = []
        self._finishing = self._closed = False
        # What follows is the business of the thread that uses the database.
        self._keeper = Storekeeper(settings, clock, renewed)
        self._thread: int | None = None
        self._unwritten = Batch()
        self._failures, self._retry_at = 0, 0.0
        self._purge_at = self._rests_until = 0.0
        self._health = StoreHealth()

    # The main thread ----------------------------------------------------------

    def open(self) -> None:
        """Open the database, or go on without one; what is wrong is told."""
        self._keeper.open()
        self._purge_at = self._ticks() + PURGE_INTERVAL
        self._measure()

    def configure(self, settings: StoreSettings) -> None:
        """Take over other limits; the file stays the same until the next start."""
        self._keeper.configure(settings)

    # Any thread ---------------------------------------------------------------

    def save(self, batch: Batch) -> None:
        """Have a batch written soon, as a whole; returns at once.

        What is saved later is never written before it. Once the store is closed
        nothing is written any more, and `done` is called here.
        """
        with self._changed:
            closed = self._closed
            if not closed:
                wakes = not self._pending or _hurries(batch)
                _merge(self._pending, batch)
                if wakes:
                    self._changed.notify()
        if closed:
            _call(batch.done)

    def ask(self, work: Callable[[Queries], T], timeout: float | None = None) -> T:
        """Return what `work` finds on the store's thread, after all saved so far.

        What cannot be written at the moment is not found. Before `run`, and on the
        store's thread, it is looked up here and now.

        Args:
            timeout: seconds to wait; None: as long as it takes.

        Raises:
            StoreError: there is no answer in time, or the database cannot be read.
        """
        question = Question(work)
        with self._changed:
            if self._closed:
                raise StoreError("the database is closed")
            waits = self._thread not in (None, threading.get_ident())
            if waits:
                self._questions.append(question)
                self._changed.notify()
        if not waits:
            self._answer_here(question)
        return question.wait(timeout)

    def load(self, jail: str, timeout: float | None = None) -> Remembered:
        """Return what there is of one section; from now on it is known to exist.

        Args:
            timeout: see `ask`.

        Raises:
            StoreError: see `ask`.
        """

        def work(queries: Queries) -> Remembered:
            self._keeper.present.add(jail)
            return queries.load(jail)

        return self.ask(work, timeout)

    def records(self) -> Iterator[tuple[str, Id, Record]]:
        """Return the earlier bans of all sections: section, id, and how many.

        Raises:
            StoreError: see `ask`.
        """
        return iter(self.ask(lambda queries: list(queries.records())))

    def health(self) -> StoreHealth:
        """Return how the store is."""
        with self._changed:
            pending = _size(self._pending) + _size(self._unwritten)
        return replace(self._health, pending=pending)

    def wake(self) -> None:
        """Let `run` look at its stop event."""
        with self._changed:
            self._changed.notify()

    def finish(self) -> None:
        """Let `run` come to its end when everything saved so far is written."""
        with self._changed:
            self._finishing = True
            self._changed.notify()

    # The thread ---------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Serve until `finish`, or until `stop` is set and `wake` was called."""
        with self._changed:
            self._thread = threading.get_ident()
        try:
            while not (self._finishing or stop.is_set()):
                self._wait(stop, self.step())
            self._retry_at = 0.0
            self.step()
            if left := _size(self._unwritten):
                log.error("the end has come: %d change(s) could not be written and are lost", left)
        finally:
            self.close()

    def step(self) -> float:
        """Write and answer what waits; return the seconds until there is more to do."""
        questions = self._take()
        self._commit()
        for question in questions:
            question.answer(self._keeper.read)
        if self._ticks() >= self._purge_at:
            self._purge_at = self._ticks() + PURGE_INTERVAL
            self._keeper.tidy()
        due = self._purge_at
        if self._unwritten:
            due = min(due, self._retry_at)
        return max(0.0, due - self._ticks())

    def close(self) -> None:
        """Close the database; where there was no `run`, the main thread may."""
        with self._changed:
            self._closed = True
            questions, self._questions = self._questions, []
            done, self._pending.done = self._pending.done, []
        for question in questions:
            question.refuse(StoreError("the database is closed"))
        _call(done)
        self._keeper.close()

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        with self._changed:
            if not self._pending and not self._is_urgent(stop) and seconds > 0:
                self._changed.wait(seconds)
            rest = self._rests_until - self._ticks()
            if self._pending and not self._is_urgent(stop) and rest > 0:
                self._changed.wait(rest)

    def _is_urgent(self, stop: threading.Event) -> bool:
        return bool(self._questions or self._finishing or stop.is_set() or _hurries(self._pending))

    def _take(self) -> list[Question[Any]]:
        with self._changed:
            taken, self._pending = self._pending, Batch()
            questions, self._questions = self._questions, []
            _merge(self._unwritten, taken)
        return questions

    # Writing ------------------------------------------------------------------

    def _commit(self) -> None:
        """Write what waits, if it is time, and call those who wait for that."""
        done, self._unwritten.done = self._unwritten.done, []
        if self._unwritten and (not self._failures or self._ticks() >= self._retry_at):
            begin = self._ticks()
            try:
                self._keeper.write(self._unwritten)
            except (StoreError, sqlite3.Error) as error:
                self._failed(error)
            else:
                self._succeeded(self._ticks() - begin)
        _call(done)

    def _failed(self, error: StoreError | sqlite3.Error) -> None:
        if isinstance(error, sqlite3.Error) and not _passes(error):
            raise error
        if not self._failures:
            log.error(
                "cannot write to the database %s: %s; what happens from now on is forgotten"
                " if the daemon ends before this works again, which is tried on and on",
                self._keeper.file or "in memory",
                error,
            )
        self._keeper.slim(self._unwritten)
        self._failures += 1
        pause = RETRY_FIRST * 2.0 ** min(self._failures - 1, 10)
        self._retry_at = self._ticks() + min(pause, RETRY_LONGEST)
        self._health = replace(self._health, file=self._keeper.file, failing=str(error))

    def _succeeded(self, seconds: float) -> None:
        if self._failures:
            text = "the database %s can be written again, and %d change(s) were"
            log.log(NOTICE, text, self._keeper.file, _size(self._unwritten))
        self._failures = 0
        self._rests_until = self._ticks() + min(LONGEST_REST, REST * seconds)
        self._unwritten = Batch()
        self._health = replace(
            self._health,
            failing="",
            commits=self._health.commits + 1,
            last_commit=self._clock(),
            last_commit_seconds=seconds,
        )
        self._measure()

    # Answering ----------------------------------------------------------------

    def _answer_here(self, question: Question[T]) -> None:
        if self._thread is None:
            self._take()
            self._commit()
        question.answer(self._keeper.read)

    def _measure(self) -> None:
        try:
            size = self._keeper.bytes()
        except sqlite3.Error:
            size = 0  # the next write tells what is wrong
        self._health = replace(self._health, file=self._keeper.file, bytes=size)


def _merge(batch: Batch, later: Batch) -> None:
    batch.merge(later)
    if len(batch.events) > 2 * EVENTS:
        del batch.events[:-EVENTS]


def _hurries(batch: Batch) -> bool:
    """Tell whether somebody waits for a batch, or a ban would not outlive us."""
    return bool(batch.bans or batch.records or batch.done)


def _size(batch: Batch) -> int:
    counts = len(batch.marks), len(batch.suspects), len(batch.deferred), len(batch.bans)
    return sum(counts) + len(batch.records) + len(batch.events)


def _call(done: list[Callable[[], object]]) -> None:
    for call in done:
        call()


def _passes(error: sqlite3.Error) -> bool:
    return database.code(error) in _PASSING
