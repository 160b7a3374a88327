# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that an earlier run has read, and how they are found again.

A file is known by its inode and by the text before the place that was reached. Its
log may have been rotated while nobody was reading: then it has another name now, or
only a copy is left of it. A log that is not there at all may yet come, so its place
is kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

from fail2ban.detect.copies import siblings
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.kinship import holds
from fail2ban.detect.linetimes import TOLERANCE
from fail2ban.detect.logfile import LogFile
from fail2ban.detect.marks import Mark
from fail2ban.detect.paths import Found, leads_to
from fail2ban.detect.position import Ident, ident_of, open_regular
from fail2ban.detect.remains import Remains
from fail2ban.detect.seek import Since

#: Seconds after which nobody waits any more for a file that a wildcard has found.
LIFETIME = 86400.0

Files = dict[Ident, LogFile]


class Earlier:
    """The marks of an earlier run whose files are not followed yet.

    Args:
        marks: see `marks.parse_all`.
        since: lines before that moment do not matter; None: all do.
        wall: seconds since the epoch.
    """

    def __init__(
        self, marks: Iterable[Mark], since: Since | None, wall: Callable[[], float] = time.time
    ) -> None:
        self._marks = {mark.key: mark for mark in marks}
        self._texts = {key: mark.text() for key, mark in self._marks.items()}
        self._since, self._wall = since, wall
        self._sought: set[str] = set()  # has been sought under other names
        self._resumed: set[Ident] = set()
        self._begin: float | None = None

    def __bool__(self) -> bool:
        return bool(self._marks)

    def texts(self) -> dict[str, str]:
        """Return the marks that wait for their files, by key."""
        return self._texts

    def last(self) -> dict[str, Ident]:
        """Return what each path led to when the earlier run ended."""
        return {mark.path: mark.ident for mark in self._marks.values() if not mark.left}

    def knew(self, pattern: str) -> bool:
        """Tell whether a path or wildcard led to anything in the earlier run."""
        return any(leads_to(pattern, mark.path) for mark in self._marks.values())

    def forget(self, patterns: Iterable[str], now: float) -> None:
        """Drop what nobody wants, and what was only of a wildcard and has not come for long."""
        self._begin = now if self._begin is None else self._begin
        plain = frozenset(patterns)
        wild = plain if now - self._begin < LIFETIME else ()
        for mark in list(self._marks.values()):
            if mark.path not in plain and not any(leads_to(one, mark.path) for one in wild):
                self._drop(mark)

    def resume(self, file: LogFile, now: float) -> bool:
        """Go on in a file that has just been opened, if it has a mark; tell whether it has.

        Raises:
            OSError: it cannot be read.
        """
        if file.fd is None:
            return False
        marks = [mark for mark in self._marks.values() if mark.ident == file.ident]
        at_its_place = (mark for mark in marks if mark.path == file.path and not mark.left)
        # Of a file that is elsewhere, or had gone, only the inode's number may be the same.
        moved = (mark for mark in marks if mark.begun.is_in(file.fd))
        mark = next(at_its_place, None) or next(moved, None)
        if mark is None:
            return False
        self._give(mark, file, now)
        self._resumed.add(file.ident)
        return True

    def unsettled(self, files: Files, visible: Found) -> list[Mark]:
        """Return what is worth a call of `settle`: files that are not where they were."""
        if not self._marks:
            return []
        present = {file.path for file in files.values() if file.vanished is None}
        return [
            mark
            for mark in self._marks.values()
            # It may be there, and wait to be opened.
            if (mark.ident not in visible or mark.ident in files)
            and (mark.path in present or mark.key not in self._sought)
        ]

    def settle(self, mark: Mark, files: Files, encoding: Encoding, now: float) -> Remains | None:
        """Find a file; it is added to `files`, or returned if only a copy may be left of it.

        It goes on waiting if there is nothing at its place.

        Raises:
            OSError: something cannot be read.
        """
        self._sought.add(mark.key)
        if path := _find(mark):
            self._follow(mark, LogFile(path, now, encoding), files)
        elif heir := next((file for file in files.values() if _inherits(file, mark)), None):
            self._give(mark, heir, now)
        elif present := next((file for file in files.values() if _is_at(file, mark.path)), None):
            self._drop(mark)
            if mark.begun.is_known:
                expected = not mark.left and present.ident not in self._resumed
                return Remains(mark, encoding, now, expected)
        return None

    def _follow(self, mark: Mark, file: LogFile, files: Files) -> None:
        """Read a file under its other name, for its writer may still have it open."""
        now = file.grown
        if known := files.get(file.ident):
            file.close()
            if known.undecided:
                self._give(mark, known, now)
            else:
                self._drop(mark)  # it was begun without us
            return
        file.path, file.vanished = mark.path, now
        files[file.ident] = file
        self._give(mark, file, now)

    def _give(self, mark: Mark, file: LogFile, now: float) -> None:
        """Have a file read on at a mark."""
        file.resume(mark, now)
        if self._since and file.fd is not None:
            file.start_since(os.fstat(file.fd).st_size, self._since)
        # After a short break, what was written meanwhile is as good as new.
        file.live = abs(self._wall() - mark.begun.written / 1e9) < TOLERANCE
        file.undecided = False
        self._drop(mark)

    def _drop(self, mark: Mark) -> None:
        del self._marks[mark.key], self._texts[mark.key]


def _is_at(file: LogFile, path: str) -> bool:
    return file.path == path and file.vanished is None


def _inherits(file: LogFile, mark: Mark) -> bool:
    """Tell whether a file is the text of another written anew, as editors do."""
    return file.undecided and holds(file, mark.begun)


def _find(mark: Mark) -> str | None:
    """Return where the file is now, if that is anywhere near its place."""
    for path in _places(mark):
        try:
            fd = open_regular(path)
        except OSError:
            continue  # it was renamed meanwhile, or is no file
        try:
            if ident_of(os.fstat(fd))[1] == mark.ident[1] and mark.begun.is_in(fd):
                return path
        finally:
            os.close(fd)
    return None


def _places(mark: Mark) -> Iterator[str]:
    # A device may have another number after a reboot; an inode keeps its own.
    for name in filter(None, (mark.target, mark.path)):
        yield name
        for (_, inode), (_, path) in siblings(name):
            if inode == mark.ident[1]:
                yield path
