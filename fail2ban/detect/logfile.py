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
from functools import partial

from fail2ban.detect.copies import CHUNK, Recovery
from fail2ban.detect.encoding import UTF8, Encoding
from fail2ban.detect.lines import LINE_LIMIT, LineSplitter
from fail2ban.detect.position import (
    HEAD_SIZE,
    TAIL_SIZE,
    Ident,
    Position,
    first_line,
    ident_of,
    open_regular,
)
from fail2ban.detect.seek import Since, first_at

log = logging.getLogger(__name__)

#: Chunks of one file that one poll reads, so that a backlog delays no other log.
SHARE = 16
#: Seconds between two complaints about the encoding of one file.
DAY = 86400.0


class LogFile:
    """A file as a source of whole lines, each yielded once.

    Attributes:
        path: where it was seen last.
        ident: which file it is, whatever its name.
        here: how far it was read.
        lines: what cuts its bytes into lines; holds the half one.
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
        self._fd: int | None = open_regular(path)
        self.ident = ident_of(os.fstat(self._fd))
        self.here = Position()
        self.lines = LineSplitter(encoding)
        self.backlog = False
        self.undecided = False
        self.live = False
        self.grown = now
        self.vanished: float | None = None
        self.copied: tuple[Ident, int] | None = None
        self.lost: tuple[Position, int] | None = None
        self._recovery: Recovery | None = None
        self._rested: tuple[int, int] | None = None  # size and time when it was closed
        self._complained: float | None = None  # when about its encoding

    # Reading -----------------------------------------------------------------

    def poll(self, now: float) -> Iterator[str]:
        """Yield the lines that were completed since the last call.

        At most `SHARE` chunks are read; `backlog` tells whether that was all.

        Args:
            now: the caller's clock, in seconds.

        Raises:
            OSError: the file cannot be read.
        """
        self.backlog = False
        for _ in range(SHARE):
            data = self._next(now)
            if not data:
                return
            self.grown = now
            yield from self._split(data, now)
        self.backlog = True

    def finish(self) -> Iterator[str]:
        """Close the file; yield its last line if that has no newline."""
        self.close()
        return self.lines.finish()

    def close(self) -> None:
        if self._recovery:
            self._recovery.close()
        self.suspend()

    def recode(self, encoding: Encoding) -> None:
        """Read on in another encoding."""
        self.lines.encoding = encoding

    def _split(self, data: bytes, now: float) -> Iterator[str]:
        if not self.lines.encoding.is_settled:
            self.lines.encoding = self.lines.encoding.settle(self.here.head)
        overlong, undecodable = self.lines.overlong, self.lines.undecodable
        yield from self.lines.feed(data)
        if overlong == 0 and self.lines.overlong:
            log.warning(
                "%s: a line is longer than %d bytes; what exceeds that is left out of"
                " this line and others to come",
                self.path,
                LINE_LIMIT,
            )
        if self.lines.undecodable > undecodable:
            self._complain(now)

    def _complain(self, now: float) -> None:
        if self._complained is not None and now - self._complained < DAY:
            return
        self._complained = now
        log.warning(
            "%s: there are bytes that are not %s; each reads as \N{REPLACEMENT CHARACTER}"
            " (logencoding says how a log is written)",
            self.path,
            self.lines.encoding.name,
        )

    def _next(self, now: float) -> bytes:
        """Return the bytes after those we have had, b"" if there are none yet."""
        if self._recovery is None:
            data = self._read_on()
            if data is not None:
                return data
            log.info("%s was truncated", self.path)
            self._recovery = Recovery(self.path, now)
        data = self._recovery.read(self.here, now)
        if data is None:
            self._start_over(self._recovery)
            return self._read_on() or b""
        self.here = self.here.after(data, self.here.written)
        return data

    def _read_on(self) -> bytes | None:
        """Read what was appended; None when the file was truncated."""
        if self._fd is None:
            return b""
        # The time comes first: it must not be that of a later truncation.
        written = os.fstat(self._fd).st_mtime_ns
        tail = self.here.tail
        data = os.pread(self._fd, len(tail) + CHUNK, self.here.offset - len(tail))
        if not data.startswith(tail):
            return None
        data = data[len(tail) :]
        if data:
            self.here = self.here.after(data, written)
        return data

    def _start_over(self, recovery: Recovery) -> None:
        """Go to the start of the truncated file."""
        self._recovery = None
        if recovery.found:
            # The writer may have been in the middle of a line.
            self.copied = recovery.copy
            self.lines.resume()
        else:
            log.warning(
                "%s was truncated and no copy of it was found beside it:"
                " lines written just before may be lost",
                self.path,
            )
            self.lost = self.here, self.line_start
            self.lines.drop()
        self.here = Position()

    # Resting: a file that does not grow needs no descriptor -------------------

    @property
    def is_open(self) -> bool:
        return self._fd is not None

    @property
    def is_recovering(self) -> bool:
        """Whether the rest of a truncated file is being sought or read."""
        return self._recovery is not None

    def rest(self) -> bool:
        """Close the descriptor and keep the position, unless there is something to read.

        Raises:
            OSError: the file cannot be examined.
        """
        if self._fd is None or self.backlog or self._recovery:
            return False
        status = os.fstat(self._fd)
        if not self.undecided and status.st_size != self.here.offset:
            return False
        self.suspend()
        self._rested = status.st_size, status.st_mtime_ns
        return True

    def suspend(self) -> None:
        """Close the descriptor; the file is worth opening again at any time."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._rested = None, None

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
        self.path, self._fd = path, fd

    # Comparing, to know a copy by its text -----------------------------------

    def start_at(self, offset: int) -> None:
        """Count everything before `offset` as read; nothing, if the file is shorter now."""
        if self._fd is not None:
            here = Position.at(self._fd, offset)
            self.here = here if len(here.tail) == min(offset, TAIL_SIZE) else Position()

    def start_at_line(self, offset: int) -> None:
        """Count every line before `offset` as read; one without an end is not."""
        if self._fd is None:
            return
        encoding = self._settled(self._fd)
        begin = max(0, offset - LINE_LIMIT)
        begin -= begin % encoding.width
        half = encoding.split(os.pread(self._fd, offset - begin, begin))[-1]
        # A line that is too long has no beginning here.
        self.start_at(offset - len(half) if len(half) < offset - begin or begin == 0 else offset)

    def start_since(self, size: int, since: Since) -> None:
        """Count lines among the first `size` bytes as read that are too old to matter."""
        if self._fd is not None:
            read, encoding = partial(os.pread, self._fd), self._settled(self._fd)
            self.start_at(first_at(read, size, since.moment(), since.when, encoding))

    def _settled(self, fd: int) -> Encoding:
        return self.lines.encoding.settle(os.pread(fd, HEAD_SIZE, 0))

    @property
    def line_start(self) -> int:
        """The offset at which the line begins that is not complete yet."""
        return max(0, self.here.offset - self.lines.pending)

    def may_be_copied_to(self, other: LogFile) -> bool:
        """Tell whether `other` may be a copy of this file, finished or in the making."""
        if self._fd is None or other._fd is None:
            return False
        head = first_line(os.pread(other._fd, HEAD_SIZE, 0))
        # Either may be the beginning of a first line.
        if not (head.startswith(self.here.head) or self.here.head.startswith(head)):
            return False
        size = os.fstat(other._fd).st_size
        begin = max(0, size - TAIL_SIZE)
        end = os.pread(other._fd, size - begin, begin)
        # Compare first: a truncation in between shows in what follows.
        return os.pread(self._fd, len(end), begin) == end or not self._is_intact(self._fd)

    def is_continued_by(self, other: LogFile) -> bool:
        """Tell whether `other` is this file written anew, as editors do.

        Then it begins with everything that we have read here, and this file is
        gone. After a rotation it is still there under another name.
        """
        if self._fd is None or other._fd is None or os.fstat(self._fd).st_nlink > 0:
            return False
        return self.here.fits(other._fd)

    def read_in(self, other: LogFile) -> int | None:
        """Return how much of `other`, once our copy, was read here; None: it was none."""
        if self.copied and self.copied[0] == other.ident:
            return self.copied[1]
        if self.lost and other._fd is not None and self.lost[0].fits(other._fd):
            return self.lost[1]
        return None

    def _is_intact(self, fd: int) -> bool:
        tail = self.here.tail
        at = self.here.offset - len(tail)
        return self._recovery is None and os.pread(fd, len(tail), at) == tail
