# SPDX-License-Identifier: GPL-2.0-or-later
"""A section's logs as one source of lines, whatever rotation does to them.

Files are known by their inode. When a path leads to another file than before
(rotation by rename, a link set anew), the old one *drains*: it is read before
the new one until it has rested for `GRACE` seconds, for its writer keeps it
open until told to reopen. A path that leads nowhere is waited for, and its
last file is read on.

Under a wildcard a rotation shows twice: a renamed file is one that we follow
already; a copy is recognised by its text and only its unread rest is read.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from fail2ban.detect.beginnings import Beginnings
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.lines import Block
from fail2ban.detect.logfile import SHARE, LogFile
from fail2ban.detect.logstate import LogState, Tallies
from fail2ban.detect.marks import parse_all
from fail2ban.detect.match import Line, Tally
from fail2ban.detect.paths import INTERVAL, Found, Paths, Troubles, watchable
from fail2ban.detect.position import Ident
from fail2ban.detect.remains import Remains
from fail2ban.detect.seek import Since
from fail2ban.detect.sieve import Sieve

#: Seconds without growth after which a file that lost its path is let go.
GRACE = 30.0
#: Files found by wildcards that one section has open; those that rest are closed.
MAX_OPEN = 64


class Logs:
    """The logs of one section; a `Source`.

    Belongs to the reader's thread; only `repattern` and `states` may be called on
    another.

    Args:
        patterns: paths or wildcards.
        clock: seconds, never back.
        tails: those of `patterns` whose files are read from their present end
            on; such as appear later are read whole.
        encoding: of all files, a codec of Python; empty for UTF-8.
        since: from when on lines matter that are there already: older ones are
            left out, most of them. None: all do.
        marks: those that an earlier run has left; others' are not looked at.
        wall: seconds since the epoch.
        sieve: picks the lines that are worth a look; None: all are.

    Attributes:
        lines: that were read so far, also those that were not picked.
        revision: changes when other files are followed, or under other paths.
        notifies: False, see `Source`.

    Raises:
        ValueError: there is no such encoding.
    """

    notifies = False

    def __init__(
        self,
        patterns: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
        tails: Iterable[str] = (),
        encoding: str = "",
        since: Since | None = None,
        marks: Mapping[str, str] = MappingProxyType({}),
        wall: Callable[[], float] = time.time,
        sieve: Sieve | None = None,
    ) -> None:
        self.revision = self.lines = 0
        self._clock = clock
        self._troubles = Troubles()
        patterns = tuple(patterns)
        self._beginnings = Beginnings(
            patterns, tails, since, parse_all(marks), self._troubles, wall
        )
        self._paths = Paths(patterns, self._troubles, self._beginnings.earlier.last())
        self._encoding = Encoding(encoding)
        self._sieve = Sieve()
        self.use(sieve or Sieve())
        self._wanted = self._paths.patterns, frozenset(tails), self._encoding
        self._changed = False
        self._files: dict[Ident, LogFile] = {}
        self._remains: list[Remains] = []
        self._tallies = Tallies()
        self._marks: dict[str, str] = {}
        self._crowded = False  # a file waits to be opened
        self._has_room = True
        self._live = False  # the end of what was there at the start was reached

    def repattern(
        self, patterns: Iterable[str], tails: Iterable[str] = (), encoding: str = ""
    ) -> None:
        """Follow other paths from the next poll on; what stays keeps its position.

        Raises:
            ValueError: there is no such encoding.
        """
        self._wanted = tuple(patterns), frozenset(tails), Encoding(encoding)
        self._changed = True

    def use(self, sieve: Sieve) -> None:
        """Pick lines with another sieve from the next one on; while nobody polls."""
        self._sieve.give_way(sieve)
        self._sieve = sieve
        sieve.settle(self._encoding)

    def poll(self) -> Iterator[Line]:
        """Yield the lines that were completed since the last call.

        A log that cannot be read is reported once and does not stop the others.
        A long backlog is spread over several calls, see `due`. What was not
        taken from the iterator is lost, so take all or come back to it.
        """
        now = self._clock()
        self._look(now)
        yield from self._read_remains(now)
        # Draining files first: what follows in their place is younger.
        ages = sorted(self._files.values(), key=lambda file: file.vanished is None)
        share = max(1, SHARE // max(1, sum(file.backlog for file in ages)))
        for file in ages if not self._remains else ():
            yield from self._read(file, now, share)
            if file.vanished is not None and file.backlog:
                break
        yield from self._let_go(now)
        self._make_room()
        self._live = self._live or (not self._remains and self.due() > 0)

    def marks(self) -> Mapping[str, str]:
        """Return how far the lines reach that were yielded, by file.

        Holds when all was taken that `poll` yields. It is the same object as long as
        nothing changes.
        """
        marks = dict(self._beginnings.earlier.texts())
        marks |= ((mark.key, mark.text()) for mark in map(Remains.mark, self._remains))
        marks |= (file.mark() for file in self._files.values() if not file.undecided)
        if marks != self._marks:
            self._marks = marks
        return self._marks

    def states(self) -> list[LogState]:
        """Return how each log is getting on; any thread."""
        return self._tallies.states(list(self._files.values()))

    def due(self) -> float:
        """Return in how many seconds `poll` has work even if nothing changes."""
        files = self._files.values()
        sources: list[LogFile | Remains] = [*files, *self._remains]
        if (self._crowded and self._has_room) or any(one.backlog for one in sources):
            return 0.0
        later = self._crowded or self._paths.stale or any(file.is_recovering for file in files)
        if later or self._remains:
            return INTERVAL
        return float("inf")

    def paths(self) -> list[str]:
        """Return the paths whose changes are of interest, for the waker.

        Each is a file, present or expected; a wildcard stands for its directory.
        """
        present = {file.path for file in self._files.values() if file.vanished is None}
        return sorted(present.union(map(watchable, self._paths.patterns)))

    def close(self) -> None:
        """Close all files. Half lines are left: the logs go on without us."""
        followed: list[LogFile | Remains] = [*self._files.values(), *self._remains]
        for one in followed:
            one.close()
        self._files.clear()
        self._remains.clear()

    # Which files are there ---------------------------------------------------

    def _look(self, now: float) -> None:
        if changed := self._changed:
            self._change()
        visible = self._paths.look(now)
        self._beginnings.look(visible, self._files)
        self._crowded = False
        for ident, (path, status) in sorted(visible.items(), key=_age):
            self._follow(ident, path, status, now)
        self._sort_out(visible, now)
        if changed:
            self._drop_unwanted()
        self._remains += self._beginnings.find(
            self._files, visible, self._paths, self._encoding, now, self._suspend
        )
        self._troubles.forget_others({*self._files, *self._paths.names()})

    def _change(self) -> None:
        self._changed = False
        patterns, tails, encoding = self._wanted
        self._paths.change(patterns)
        self._beginnings.change(patterns, tails)
        if encoding.name != self._encoding.name:
            self._encoding = encoding
            self._sieve.settle(encoding)
            for file in self._files.values():
                file.recode(encoding)
        self.revision += 1

    def _follow(self, ident: Ident, path: str, status: os.stat_result, now: float) -> None:
        """Open a file that is new, or has changed after it was closed."""
        file = self._files.get(ident)
        if file is None or (not file.is_open and file.has_changed(status)):
            if ident not in self._paths.expected and self._is_crowded():
                return
            try:
                self._open(file, path, now)
            except OSError as error:
                text = "cannot read %s: %s"
                self._troubles.start(path, logging.WARNING, text, path, error.strerror)
                return
        self._troubles.end(path, path)

    def _open(self, file: LogFile | None, path: str, now: float) -> None:
        if file:
            file.reopen(path)
            return
        file = LogFile(path, now, self._encoding)
        file.undecided = True
        if file.ident not in self._files:
            self._files[file.ident] = file
            self.revision += 1
        else:
            file.close()  # the path has just changed; the next look will tell

    def _is_crowded(self) -> bool:
        """Tell whether a file that a wildcard has found must wait for room."""
        self._crowded = self._crowded or len(self._by_wildcard()) >= MAX_OPEN
        return self._crowded

    def _by_wildcard(self) -> list[LogFile]:
        expected = self._paths.expected
        return [
            file for file in self._files.values() if file.is_open and file.ident not in expected
        ]

    def _sort_out(self, visible: Found, now: float) -> None:
        """Note which files have another path now, and which have none."""
        for ident, file in self._files.items():
            before = file.path, file.vanished
            if ident in visible:
                file.path, file.vanished = visible[ident][0], None
            elif ident in self._paths.kept:
                file.vanished = None
            elif file.vanished is None:
                file.vanished = now
            self.revision += before != (file.path, file.vanished)

    def _drop_unwanted(self) -> None:
        for ident, file in list(self._files.items()):
            if file.vanished is not None and not self._paths.wants(file.path):
                file.close()
                del self._files[ident]

    # Reading and letting go --------------------------------------------------

    def _read_remains(self, now: float) -> Iterator[Line]:
        for one in self._remains:
            for block in one.poll(now):
                yield from self._pick(block, live=False)
        self._remains = [one for one in self._remains if not one.is_over]

    def _read(self, file: LogFile, now: float, share: int) -> Iterator[Line]:
        if file.undecided:
            return
        live, tally = self._live or file.live, self._tallies.of(file.path)
        try:
            for block in file.poll(now, share):
                tally.lines += block.count
                yield from self._pick(block, live, tally)
        except OSError as error:
            self._suspend(file, error)
        else:
            if file.is_open:
                self._troubles.end(file.ident, file.path)

    def _pick(self, block: Block, live: bool, tally: Tally | None = None) -> Iterator[Line]:
        self.lines += block.count
        return self._sieve.pick(block, live, tally)

    def _suspend(self, file: LogFile, error: OSError) -> None:
        text = "cannot read %s: %s"
        self._troubles.start(file.ident, logging.WARNING, text, file.path, error.strerror)
        file.suspend()

    def _let_go(self, now: float) -> Iterator[Line]:
        for ident, file in list(self._files.items()):
            if file.vanished is None or file.backlog or file.is_recovering:
                continue
            if now - max(file.grown, file.vanished) >= GRACE:
                del self._files[ident]
                self.revision += 1
                self._tallies.keep(self._files.values())
                yield from self._pick(file.finish(), self._live)

    def _make_room(self) -> None:
        """Close files that rest, if wildcards have found too many."""
        open_files = sorted(self._by_wildcard(), key=lambda file: file.grown)
        self._has_room = len(open_files) < MAX_OPEN
        if self._has_room:
            return
        for file in open_files[: len(open_files) // 2 + 1]:
            if file.vanished is None:
                try:
                    self._has_room |= file.rest()
                except OSError as error:
                    self._suspend(file, error)


def _age(found: tuple[Ident, tuple[str, os.stat_result]]) -> tuple[int, str]:
    """Order files by their last modification: older generations come first."""
    path, status = found[1]
    return status.st_mtime_ns, path
