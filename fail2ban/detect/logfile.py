# SPDX-License-Identifier: GPL-2.0-or-later
"""Follow one file: appended lines, half lines, truncation in place.

A `LogFile` is an inode, not a path; renaming does not concern it (`logs.py`
deals with paths). Before every read it looks at the bytes that it read last:
when they are not there any more, the file was truncated, and has perhaps grown
again. What we had not read by then is sought in the copy that the rotation
made (`copies.py`); then the file is read from its start.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace

from fail2ban.detect.copies import CHUNK, Recovery
from fail2ban.detect.encoding import UTF8, Encoding
from fail2ban.detect.lines import LINE_LIMIT, Block
from fail2ban.detect.marks import Mark
from fail2ban.detect.position import (
    HEAD_SIZE,
    TAIL_SIZE,
    Ident,
    Position,
    ident_of,
    open_regular,
)
from fail2ban.detect.seek import Since, first_at
from fail2ban.detect.track import Track

log = logging.getLogger(__name__)

# The C library gives the memory of a chunk back to the kernel, which clears the same pages
# for the next one: that takes as long as all else that is done with innocent lines. Once a
# larger piece has come and gone it keeps as much (mallopt(3), "dynamic mmap threshold").
bytes(4 * CHUNK)

#: Chunks of one file that one poll reads: a backlog delays no other log, and what
#: has been read so far comes into force.
SHARE = 4


class LogFile:
    """A file as a source of whole lines, each yielded once.

    Attributes:
        path: where it was seen last.
        ident: which file it is, whatever its name.
        fd: None while it is closed.
        track: how far it was read, and what its bytes become.
        backlog: the last poll left something to read.
        undecided: it may be a copy of another log; not read until that is clear.
        live: what it holds was written while we were watching.
        grown: when it last had something to read, or was opened.
        vanished: since when it is at no wanted path; None: it is at one.
        copied: the file from which this one's rest was read, and how far.
        lost: where we were when a truncation took what we had not read, and
            the offset at which the line there began.
    """

    def __init__(self, path: str, now: float, encoding: Encoding = UTF8) -> None:
        """Open the file at `path` to read it from its start.

        Raises:
            OSError: it cannot be opened, or is not a regular file.
        """
        self.path = path
        self.fd: int | None = open_regular(path)
        self.ident = ident_of(os.fstat(self.fd))
        self.track = Track(encoding)
        self.backlog = False
        self.undecided = False
        self.live = False
        self.grown = now
        self.vanished: float | None = None
        self.copied: tuple[Ident, int] | None = None
        self.lost: tuple[Position, int] | None = None
        self._recovery: Recovery | None = None
        self._rested: tuple[int, int] | None = None  # size and time when it was closed
        self._mark: tuple[Mark, str] | None = None

    # Reading -----------------------------------------------------------------

    def poll(self, now: float, share: int = SHARE) -> Iterator[Block]:
        """Yield the lines that were completed since the last call, a block at a time.

        `backlog` tells afterwards whether that was all.

        Args:
            now: the caller's clock, in seconds.
            share: how many chunks are read at most.

        Raises:
            OSError: the file cannot be read.
        """
        self.backlog = False
        for _ in range(share):
            data, written = self._next(now)
            if not data:
                return
            self.grown = now
            yield self.track.take(data, written, self.path, now)
        self.backlog = True

    def finish(self) -> Block:
        """Close the file; return its last line if that has no newline."""
        self.close()
        return self.track.lines.finish()

    def close(self) -> None:
        if self._recovery:
            self._recovery.close()
        self.suspend()

    def recode(self, encoding: Encoding) -> None:
        """Read on in another encoding."""
        self.track.lines.encoding = encoding

    def _next(self, now: float) -> tuple[bytes, int]:
        """Return the bytes after those we have had, and a time at which they were there.

        There are none if nothing has come yet.
        """
        if self._recovery is None:
            if (read := self._read_on()) is not None:
                return read
            log.info("%s was truncated", self.path)
            self._recovery = Recovery(self.path, now)
        here = self.track.here
        data = self._recovery.read(here, now)
        if data is None:
            self._start_over(self._recovery)
            return self._read_on() or (b"", 0)
        return data, here.written

    def _read_on(self) -> tuple[bytes, int] | None:
        """Read what was appended; None when the file was truncated."""
        if self.fd is None:
            return b"", 0
        # The time comes first: it must not be that of a later truncation.
        written = os.fstat(self.fd).st_mtime_ns
        here = self.track.here
        data = os.pread(self.fd, CHUNK, here.offset)
        # Afterwards: what was there before a truncation is no worse for it.
        tail = os.pread(self.fd, len(here.tail), here.offset - len(here.tail))
        return (data, written) if tail == here.tail else None

    def _start_over(self, recovery: Recovery) -> None:
        """Go to the start of the truncated file."""
        self._recovery = None
        if recovery.found:
            # The writer may have been in the middle of a line.
            self.copied = recovery.copy
        else:
            log.warning(
                "%s was truncated and no copy of it was found beside it:"
                " lines written just before may be lost",
                self.path,
            )
            self.lost = self.track.here, self.track.line_start
        self.track.start_over(joined=recovery.found)

    # Going on where an earlier run was ----------------------------------------

    def resume(self, mark: Mark, now: float) -> None:
        """Go on at a mark; what is not there any more is sought as after a truncation.

        Raises:
            OSError: the file cannot be read.
        """
        if self.fd is None:
            return
        if not mark.begun.is_in(self.fd):
            log.info("%s was truncated or replaced while nobody was reading it", self.path)
            self._recovery = Recovery(self.path, now)
        self.track.go(mark.begun)
        self.copied, self.lost = mark.copied, mark.lost

    def mark(self) -> tuple[str, str]:
        """Return how far it was read, as a key and a text."""
        known = self._mark[0] if self._mark else None
        if known is None or known.path != self.path:
            real = os.path.realpath(self.path)
            target = real if real != os.path.abspath(self.path) else ""
            known = Mark(self.path, self.ident, self.track.begun, target)
        mark = replace(
            known,
            begun=self.track.begun,
            left=self.vanished is not None,
            copied=self.copied,
            lost=self.lost,
        )
        if self._mark is None or mark != self._mark[0]:
            self._mark = mark, mark.text()
        return mark.key, self._mark[1]

    # Resting: a file that does not grow needs no descriptor -------------------

    @property
    def is_open(self) -> bool:
        return self.fd is not None

    @property
    def is_recovering(self) -> bool:
        """Whether the rest of a truncated file is being sought or read."""
        return self._recovery is not None

    def rest(self) -> bool:
        """Close the descriptor and keep the position, unless there is something to read.

        Raises:
            OSError: the file cannot be examined.
        """
        if self.fd is None or self.backlog or self._recovery:
            return False
        status = os.fstat(self.fd)
        if not self.undecided and status.st_size != self.track.here.offset:
            return False
        self.suspend()
        self._rested = status.st_size, status.st_mtime_ns
        return True

    def suspend(self) -> None:
        """Close the descriptor; the file is worth opening again at any time."""
        if self.fd is not None:
            os.close(self.fd)
        self.fd, self._rested = None, None

    def has_changed(self, status: os.stat_result) -> bool:
        """Tell whether a file without a descriptor is worth opening."""
        return self._rested != (status.st_size, status.st_mtime_ns)

    def reopen(self, path: str) -> None:
        """Open the file again, if it is still the same that is at `path`.

        Raises:
            OSError: it cannot be opened.
        """
        fd = open_regular(path)
        if ident_of(os.fstat(fd)) != self.ident:
            os.close(fd)
            return
        self.path, self.fd = path, fd

    # Where to begin -----------------------------------------------------------

    def start_at(self, offset: int) -> None:
        """Count everything before `offset` as read; nothing, if the file is shorter now."""
        if self.fd is not None:
            here = Position.at(self.fd, offset)
            self.track.go(here if len(here.tail) == min(offset, TAIL_SIZE) else Position())

    def start_at_line(self, offset: int) -> None:
        """Count every line before `offset` as read; one without an end is not."""
        if self.fd is None:
            return
        encoding = self._settled(self.fd)
        begin = max(0, offset - LINE_LIMIT)
        begin -= begin % encoding.width
        half = encoding.split(os.pread(self.fd, offset - begin, begin))[-1]
        # A line that is too long has no beginning here.
        self.start_at(offset - len(half) if len(half) < offset - begin or begin == 0 else offset)

    def start_since(self, size: int, since: Since) -> None:
        """Count lines among the first `size` bytes as read that are too old to matter.

        What was read before stays read.
        """
        if self.fd is None or self.is_recovering:
            return
        fd, begin, encoding = self.fd, self.track.here.offset, self._settled(self.fd)

        def read(count: int, offset: int) -> bytes:
            return os.pread(fd, count, begin + offset)

        length, moment = size - begin, since.moment()
        at = first_at(read, length, moment, since.when, encoding, since.at_once)
        if at or not begin:
            self.start_at(begin + at)

    def _settled(self, fd: int) -> Encoding:
        return self.track.lines.encoding.settle(os.pread(fd, HEAD_SIZE, 0))
