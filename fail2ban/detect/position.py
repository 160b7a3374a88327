# SPDX-License-Identifier: GPL-2.0-or-later
"""A place in a file, and how to know it again.

An offset alone says nothing about a file that was truncated and has grown
again, or about a copy of it. The bytes before the offset do.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

Ident = tuple[int, int]

HEAD_SIZE = 256
TAIL_SIZE = 64


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read.

    Attributes:
        offset: bytes that were read.
        head: the file's first line, at most `HEAD_SIZE` bytes of what was read; at
            offset 0 what is known of it.
        tail: the last `TAIL_SIZE` bytes before the offset, or all there are.
        written: a modification time at which the file had them, nanoseconds.
    """

    offset: int = 0
    head: bytes = b""
    tail: bytes = b""
    written: int = 0

    @classmethod
    def at(cls, fd: int, offset: int) -> Position:
        """Return the position in an open file as if everything before was read."""
        begin = max(0, offset - TAIL_SIZE)
        return cls(
            offset,
            first_line(os.pread(fd, min(offset, HEAD_SIZE), 0)),
            os.pread(fd, offset - begin, begin),
            os.fstat(fd).st_mtime_ns,
        )

    def after(self, data: bytes, written: int) -> Position:
        """Return the position after `data`, the bytes that follow this one."""
        head = self.head
        if not is_whole(head):
            # Of a first line that is not complete, `before` has kept the beginning.
            head = first_line(head[: self.offset] + data[:HEAD_SIZE])
        tail = (self.tail + data[-TAIL_SIZE:])[-TAIL_SIZE:]
        return Position(self.offset + len(data), head, tail, written)

    def before(self, half: int, data: bytes) -> Position:
        """Return the position so many bytes back.

        Args:
            data: the bytes before this one, as many as are known.
        """
        end = len(data) - half
        tail = data[max(0, end - TAIL_SIZE) : end]
        return Position(self.offset - half, self.head, tail, self.written)

    def is_in(self, fd: int) -> bool:
        """Tell whether a file holds the text that is known up to here, be it ever so little.

        Raises:
            OSError: it cannot be read.
        """
        if os.pread(fd, len(self.head), 0) != self.head:
            return False
        return os.pread(fd, len(self.tail), self.offset - len(self.tail)) == self.tail

    def fits(self, fd: int) -> bool:
        """Tell whether another file holds the same text up to here.

        Too little text proves nothing, so a short one never fits.

        Raises:
            OSError: it cannot be read.
        """
        return len(self.tail) == TAIL_SIZE and self.is_in(fd)

    @property
    def is_known(self) -> bool:
        """Whether there is any text to know it by."""
        return bool(self.head or self.tail)


def first_line(data: bytes) -> bytes:
    """Return the first line with its end, cut to `HEAD_SIZE` bytes."""
    return data[: data.find(b"\n", 0, HEAD_SIZE) + 1] or data[:HEAD_SIZE]


def is_whole(head: bytes) -> bool:
    """Tell whether more data cannot change a result of `first_line`."""
    return len(head) == HEAD_SIZE or head.endswith(b"\n")


def ident_of(status: os.stat_result) -> Ident:
    """Return what stays the same when a file is renamed: device and inode."""
    return status.st_dev, status.st_ino


def open_regular(path: str) -> int:
    """Open a file for reading, without ever waiting; return its descriptor.

    Raises:
        OSError: it cannot be opened, or is a FIFO, device or directory.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", path)
