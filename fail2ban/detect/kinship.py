# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold the same text: copies of a log, finished or in the making.

All of these may raise OSError, when one of the files cannot be read. What is closed
is like nothing.
"""

from __future__ import annotations

import os

from fail2ban.detect.logfile import LogFile
from fail2ban.detect.position import HEAD_SIZE, TAIL_SIZE, Position, first_line


def holds(file: LogFile, position: Position) -> bool:
    """Tell whether it has the text that another file had up to a position."""
    return file.fd is not None and position.fits(file.fd)


def may_be_copied(file: LogFile, other: LogFile) -> bool:
    """Tell whether `other` may be a copy of `file`."""
    if file.fd is None or other.fd is None:
        return False
    head, ours = first_line(os.pread(other.fd, HEAD_SIZE, 0)), file.track.here.head
    # Either may be the beginning of a first line.
    if not (head.startswith(ours) or ours.startswith(head)):
        return False
    size = os.fstat(other.fd).st_size
    begin = max(0, size - TAIL_SIZE)
    end = os.pread(other.fd, size - begin, begin)
    # Compare first: a truncation in between shows in what follows.
    return os.pread(file.fd, len(end), begin) == end or not _is_intact(file, file.fd)


def is_continued(file: LogFile, other: LogFile) -> bool:
    """Tell whether `other` is `file` written anew, as editors do.

    Then it begins with everything that we have read here, and `file` is gone. After
    a rotation it is still there under another name.
    """
    if file.fd is None or os.fstat(file.fd).st_nlink > 0:
        return False
    return holds(other, file.track.here)


def read_in(file: LogFile, other: LogFile) -> int | None:
    """Return how much of `other`, once a copy of `file`, was read there; None: it was none."""
    if file.copied and file.copied[0] == other.ident:
        return file.copied[1]
    if file.lost and holds(other, file.lost[0]):
        return file.lost[1]
    return None


def _is_intact(file: LogFile, fd: int) -> bool:
    here = file.track.here
    at = here.offset - len(here.tail)
    return not file.is_recovering and os.pread(fd, len(here.tail), at) == here.tail
