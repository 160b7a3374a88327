# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes as they arrive -> whole lines of text."""

from __future__ import annotations

from collections.abc import Iterator

#: Bytes of one line that are kept; no line that matters is as long.
LINE_LIMIT = 64 * 1024


class LineSplitter:
    """Cut a stream of bytes at its newlines, whatever the pieces it comes in.

    Only b"\\n" ends a line: the other line ends of Unicode can be written into
    a log by an attacker. Holds at most `LINE_LIMIT` bytes and a piece.

    Attributes:
        overlong: lines so far that were longer than `LINE_LIMIT`.
    """

    def __init__(self) -> None:
        self.overlong = 0
        self._half = b""
        self._skip_nuls = True

    @property
    def pending(self) -> int:
        """How many bytes of a line that has no end yet are kept."""
        return len(self._half)

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that `data` completes.

        NULs before a line are left out: a file that is truncated under a
        writer without O_APPEND starts with as many as it was long.
        """
        if self._skip_nuls:
            data = data.lstrip(b"\0")
            self._skip_nuls = not data
        *whole, half = (self._half + data).split(b"\n")
        # One byte more than the limit tells an overlong line from a full one.
        self._half = half.lstrip(b"\0")[: LINE_LIMIT + 1]
        return map(self._text, whole)

    def resume(self) -> None:
        """Expect the rest of the half line at the start of a truncated file."""
        self._skip_nuls = True

    def drop(self) -> None:
        """Forget the half line: its rest will never come."""
        self._half = b""
        self._skip_nuls = True

    def finish(self) -> Iterator[str]:
        """Yield the half line, if there is one, as a line: its writer is gone."""
        half, self._half = self._half, b""
        return map(self._text, [half] if half else [])

    def _text(self, line: bytes) -> str:
        line = line.lstrip(b"\0").removesuffix(b"\r")
        if len(line) > LINE_LIMIT:
            self.overlong += 1
            line = line[:LINE_LIMIT]
        return line.decode("utf-8", "replace")
