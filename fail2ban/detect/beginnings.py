# SPDX-License-Identifier: GPL-2.0-or-later
"""Where to begin in the files of a section.

In the order of what is asked: where an earlier run was; at the present end of a
tail; behind what was read of it in another log, if it is a copy; at the first line
that is young enough, of what is there at the start; else with the first line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable

from fail2ban.detect.earlier import Earlier, Files
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.kinship import is_continued, may_be_copied, read_in
from fail2ban.detect.logfile import LogFile
from fail2ban.detect.marks import Mark
from fail2ban.detect.paths import FirstLook, Found, Paths, Troubles
from fail2ban.detect.position import Ident
from fail2ban.detect.remains import Remains
from fail2ban.detect.seek import Since

#: Told of a file that cannot be read.
Fail = Callable[[LogFile, OSError], None]


class Beginnings:
    """Finds the place of each file of one section that is not read yet.

    Args:
        patterns, tails, since: see `Logs`.
        marks: how far an earlier run has read.
        troubles: what was complained about.
        wall: seconds since the epoch.

    Attributes:
        earlier: what the earlier run has read and is not found yet.
    """

    def __init__(
        self,
        patterns: Iterable[str],
        tails: Iterable[str],
        since: Since | None,
        marks: Iterable[Mark],
        troubles: Troubles,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.earlier = Earlier(marks, since, wall)
        self._since, self._troubles = since, troubles
        self._present = FirstLook(patterns)
        # What has appeared under a tail since the earlier run is not to be left out.
        self._tails = FirstLook(tails, self.earlier.knew)

    def look(self, visible: Found, known: Container[Ident]) -> None:
        """Note what the first look at new patterns has found."""
        self._present.look(visible, known)
        self._tails.look(visible, known)

    def change(self, patterns: Iterable[str], tails: Iterable[str]) -> None:
        """Care for other patterns from the next look on."""
        self._present.change(frozenset(patterns))
        self._tails.change(frozenset(tails))

    def find(
        self, files: Files, visible: Found, paths: Paths, encoding: Encoding, now: float, fail: Fail
    ) -> list[Remains]:
        """Find the places of files that are not decided yet; return what is left of others.

        A file stays undecided as long as it may be a copy in the making.

        Args:
            files: those that are followed; such as have been renamed are added.
            visible: what is at the wanted paths.
            fail: called for a file that cannot be read.
        """
        self.earlier.forget(paths.patterns, now)
        for file in _undecided(files):
            _try(file, lambda file: self._resume(file, now), fail)
        remains = self._settle(files, visible, encoding, now) if self.earlier else []
        for file in _undecided(files):
            _try(file, lambda file: self._decide(file, files, paths.expected), fail)
        return remains

    def _resume(self, file: LogFile, now: float) -> None:
        if self.earlier.resume(file, now):
            self._forget(file)

    def _settle(
        self, files: Files, visible: Found, encoding: Encoding, now: float
    ) -> list[Remains]:
        found = []
        for mark in self.earlier.unsettled(files, visible):
            try:
                found.append(self.earlier.settle(mark, files, encoding, now))
            except OSError as error:
                text = "cannot go on with %s where it was left: %s"
                self._troubles.start(mark.path, logging.WARNING, text, mark.path, error.strerror)
        for file in files.values():
            if not file.undecided:
                self._forget(file)
        return [remains for remains in found if remains]

    def _decide(self, file: LogFile, files: Files, expected: Container[Ident]) -> None:
        """Find out where to begin: a copy of a log that we follow is not read twice.

        Args:
            expected: those that were asked for by their own paths, so are no copies.

        Raises:
            OSError: it cannot be read.
        """
        others = [other for other in files.values() if not other.undecided]
        if (end := self._tails.sizes.get(file.ident)) is not None:
            file.start_at_line(end)
            file.live = True
        elif start := next(filter(None, (read_in(other, file) for other in others)), None):
            file.start_at(start)
        elif file.ident not in expected and any(may_be_copied(other, file) for other in others):
            return
        else:
            self._begin(file, others)
        file.undecided = False
        self._forget(file)

    def _begin(self, file: LogFile, others: list[LogFile]) -> None:
        """Begin a file of its own, unless an editor has written an old one anew."""
        same = (other.track.line_start for other in others if is_continued(other, file))
        size = self._present.sizes.get(file.ident)
        if (start := next(same, None)) is None and size is not None and self._since:
            file.start_since(size, self._since)
        else:
            file.start_at(start or 0)

    def _forget(self, file: LogFile) -> None:
        for look in (self._present, self._tails):
            look.sizes.pop(file.ident, None)


def _undecided(files: Files) -> list[LogFile]:
    return [file for file in files.values() if file.undecided and file.is_open]


def _try(file: LogFile, step: Callable[[LogFile], None], fail: Fail) -> None:
    try:
        step(file)
    except OSError as error:
        fail(file, error)
