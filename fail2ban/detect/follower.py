# SPDX-License-Identifier: GPL-2.0-or-later
"""One `journalctl` that follows a journal for all sections that read it."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fail2ban.detect.entries import Point, Said, point_of, said_by
from fail2ban.detect.export import Entry
from fail2ban.detect.guard import Guard
from fail2ban.detect.journalctl import ENTRY_LIMIT, Journalctl, beginning, files_of, form, options
from fail2ban.detect.position import Ident
from fail2ban.detect.terms import Wanted, union
from fail2ban.records import JournalSettings

log = logging.getLogger(__name__)

#: Seconds between two attempts to read the journal: at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Characters of a value by which it is remembered who wants such entries.
LONGEST = 200
#: Seconds for which journalctl must run until we believe that it works.
STEADY = 5.0


class Reading(Protocol):
    """A section that reads the journal, see `journal.JournalSource`."""

    jail: str
    wanted: Wanted
    point: Point | None
    waiting: bool

    def skips(self, point: Point) -> bool: ...

    def offer(self, said: Sequence[Said]) -> int: ...


#: Returns which sections want an entry.
Takers = Callable[[Entry], Sequence[Reading]]


class Follower:
    """Runs `journalctl` on a thread of its own, again whenever it ends.

    Every method may be called on any thread.

    Args:
        settings: which journal; without matches.
        program: of systemd.
    """

    def __init__(self, settings: JournalSettings, guard: Guard, program: str) -> None:
        self._settings, self._guard, self._program = settings, guard, program
        self._changed = threading.Condition()  # guards all of the following
        self._sources: list[Reading] = []
        self._thread: threading.Thread | None = None
        self._run: Journalctl | None = None
        self._again = False  # do not pause before the next start
        self._closed = False
        self._position: Point | None = None  # the last entry that was handed out
        self._files: dict[Ident, str] = {}
        # Of the follower's thread:
        self._pause = 0.0
        self._trouble = ""  # what keeps us from reading; has been said
        self._cursor_fails = False
        self._said: set[str] = set()
        self._takers: Takers = _takers(())

    # Sections --------------------------------------------------------------------

    def add(self, source: Reading) -> None:
        """Serve one more section, from the next start on."""
        with self._changed:
            self._sources.append(source)

    def remove(self, source: Reading) -> None:
        """Serve one section less; end with the last."""
        with self._changed:
            self._sources.remove(source)
            if not self._sources:
                self._interrupt()

    def rematch(self, source: Reading, wanted: Wanted) -> None:
        """Let a section want something else from the present place on."""
        with self._changed:
            source.point = source.point or self._position
            source.wanted = wanted
            source.waiting = True
        self.restart()

    def restart(self) -> None:
        """Start, or start again at once, so that the waiting sections are served."""
        with self._changed:
            if self._closed or not any(source.waiting for source in self._sources):
                return
            self._interrupt()
            if self._thread is None:
                name = "journal"
                body = functools.partial(self._guard, name, self._follow)
                self._thread = threading.Thread(target=body, name=name, daemon=True)
                self._thread.start()

    def look(self) -> None:
        """Start again if the settings name files, and these are others now."""
        if not self._settings.files:
            return
        with self._changed:
            if self._thread and files_of(self._settings, frozenset()).keys() - self._files.keys():
                self._interrupt()

    def close(self) -> None:
        """End for good."""
        with self._changed:
            self._closed = True
            self._interrupt()
            thread = self._thread
        if thread is not None:
            thread.join(STEADY)

    def _interrupt(self) -> None:
        self._again = True
        if self._run is not None:
            self._run.kill()
        self._changed.notify_all()

    # The thread --------------------------------------------------------------------

    def _follow(self) -> None:
        while self._wait():
            try:
                run = self._start()
            except OSError as error:
                self._failed(f"{self._program} cannot be run: {error.strerror}")
                continue
            if run is None:
                if self._settings.files and not self._files:
                    self._failed(f"no file matches {', '.join(self._settings.files)}")
                continue
            self._read(run)
            reason = run.end()
            if not run.was_killed:
                self._failed(reason)

    def _wait(self) -> bool:
        """Wait until journalctl is to run; tell whether it ever is."""
        with self._changed:
            self._run = None
            if not self._again and self._pause:
                self._changed.wait(self._pause)
            while not self._sources and not self._closed:
                self._changed.wait()
            self._again = False
            return not self._closed

    def _start(self) -> Journalctl | None:
        """Start journalctl where the hindmost section wants to go on."""
        with self._changed:
            self._files = files_of(self._settings, frozenset(self._files))
            if self._closed or not self._sources or (self._settings.files and not self._files):
                return None
            self._again = False
            self._takers = _takers(self._sources)
            self._run = Journalctl(self._words(beginning(self._begin())))
            self._run.patience = STEADY if self._trouble else None
            return self._run

    def _words(self, begin: str) -> list[str]:
        all_wanted = [source.wanted for source in self._sources]
        return [
            self._program,
            *form(all_wanted),
            *("--follow", "--no-tail", begin),
            *options(self._settings, list(self._files.values())),
            *union(all_wanted),
        ]

    def _begin(self) -> Point:
        """Place all sections; return the place of the hindmost."""
        for source in self._sources:
            source.waiting = False
            source.point = source.point or self._position
        points = [source.point for source in self._sources if source.point]
        # Of the same time, one that knows no entry comes before it.
        begin = min(points, key=lambda point: (point.time, point.cursor != ""))
        if self._cursor_fails:
            return begin._replace(cursor="")
        for source in self._sources:
            if source.point == begin:
                source.point = None  # it begins here: nothing to skip
        self._position = begin
        return begin

    def _read(self, run: Journalctl) -> None:
        start, count = time.monotonic(), 0
        for entries in run.read():
            if self._trouble and time.monotonic() - start >= STEADY:
                self._works(run)
            if run.dropped:
                self._say_once(f"entries that are longer than {ENTRY_LIMIT} bytes are left out")
            if run.was_killed:
                return
            self._hand_out(entries)
            count += len(entries)
        # A cursor that leads nowhere any more ends it at once.
        self._cursor_fails = count == 0 and not run.was_killed and not self._cursor_fails

    def _hand_out(self, entries: Sequence[Entry]) -> None:
        """Offer each section what it wants of some entries, and note how far all are."""
        if not entries:
            return
        with self._changed:
            begins = {
                source: _begin(source, entries) for source in self._sources if not source.waiting
            }
        served = []
        for source, said in self._shares(begins, entries).items():
            taken = source.offer(said)
            if taken == len(said):
                served.append(source)
            else:
                begin = begins[source]
                before = point_of(entries[begin - 1]) if begin else self._position
                self._leave_behind(source, said[taken - 1].point if taken else before)
        with self._changed:
            self._position = point_of(entries[-1])
            for source in served:
                if source.waiting:  # it has come to want something else, but had this
                    source.point = self._position

    def _shares(
        self, begins: Mapping[Reading, int], entries: Sequence[Entry]
    ) -> dict[Reading, list[Said]]:
        """Return what each section is to have of some entries, from where it begins."""
        shares: dict[Reading, list[Said]] = {source: [] for source in begins}
        for number, entry in enumerate(entries):
            if takers := self._takers(entry):
                said = said_by(entry)
                for source in takers:
                    if number >= begins.get(source, len(entries)):
                        shares[source].append(said)
        return shares

    def _leave_behind(self, source: Reading, after: Point | None) -> None:
        log.warning(
            "[%s] does not keep up with the journal; the others go on, it will follow",
            source.jail,
        )
        with self._changed:
            source.point, source.waiting = after, True

    # Troubles ------------------------------------------------------------------------

    def _failed(self, reason: str) -> None:
        """Say that the journal cannot be read, and wait longer than the last time."""
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        if not self._trouble:
            log.error("[%s] the journal cannot be read: %s; still trying", self._jails(), reason)
        self._trouble = reason

    def _works(self, run: Journalctl) -> None:
        """Note that journalctl runs for some time now."""
        log.info("[%s] the journal can be read now", self._jails())
        self._trouble, self._pause, run.patience = "", 0.0, None

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("[%s] the journal: %s", self._jails(), text)

    def _jails(self) -> str:
        with self._changed:
            names = [source.jail for source in self._sources]
        return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _begin(source: Reading, entries: Sequence[Entry]) -> int:
    """Return how many of some entries come before the place where a section goes on."""
    numbered = enumerate(entries)
    return next((n for n, one in numbered if not source.skips(point_of(one))), len(entries))


def _takers(sources: Sequence[Reading]) -> Takers:
    """Return what says which sections want an entry.

    Few values are different in what decides, such as names of units, and so an entry
    is not held against what everybody wants.
    """
    wanted = [(source, source.wanted) for source in sources]
    fields = sorted({field for _, one in wanted for field in one.fields})

    def decide(*values: str | tuple[str, ...]) -> Sequence[Reading]:
        entry = dict(zip(fields, values, strict=True))
        return [source for source, one in wanted if one.fits(entry)]

    remembered = functools.lru_cache(maxsize=1000)(decide)

    def takers(entry: Entry) -> Sequence[Reading]:
        values = [entry.get(field, ()) for field in fields]
        # Not at what length anybody writes: memory is ours.
        is_short = all(not one or isinstance(one, str) and len(one) <= LONGEST for one in values)
        return remembered(*values) if is_short else decide(*values)

    return takers
