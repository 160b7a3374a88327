# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes as they arrive -> whole lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from fail2ban.detect.encoding import UTF8, Encoding

#: Bytes of one line that are kept; no line that matters is as long.
LINE_LIMIT = 64 * 1024

#: What may not be part of the text of a line.
_UNUSUAL = "\0\r\ufeff"


class LineSplitter:
    """Cut a stream of bytes at its newlines, whatever the pieces it comes in.

    Only a newline ends a line: the other line ends of Unicode can be written
    into a log by an attacker. Holds at most `LINE_LIMIT` bytes and a piece.

    Attributes:
        encoding: of the bytes; may be replaced.
        overlong: lines so far that were longer than `LINE_LIMIT`.
        undecodable: lines so far with bytes that are not of the encoding.
        unended: bytes since the last line end, also those that are not kept.
    """

    def __init__(self, encoding: Encoding = UTF8) -> None:
        self.encoding = encoding
        self.overlong = 0
        self.undecodable = 0
        self.unended = 0
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
        self.unended += len(data)
        if self._skip_nuls:
            data = self.encoding.without_nuls(data)
            self._skip_nuls = not data
        *whole, half = self.encoding.split(self._half + data)
        if whole:
            self.unended = len(half)
        self._half = self._shortened(self.encoding.without_nuls(half))
        return iter(self._usual(whole) or map(self._text, whole))

    def resume(self) -> None:
        """Expect the rest of the half line at the start of a truncated file."""
        self._skip_nuls = True

    def drop(self) -> None:
        """Forget the half line: its rest will never come."""
        self._half, self.unended = b"", 0
        self._skip_nuls = True

    def finish(self) -> Iterator[str]:
        """Yield the half line, if there is one, as a line: its writer is gone."""
        half, self._half, self.unended = self._half, b"", 0
        return map(self._text, [half] if half else [])

    def _shortened(self, half: bytes) -> bytes:
        # A unit more than the limit tells an overlong line from a full one; a
        # part of a unit waits for the rest of it.
        width = self.encoding.width
        if len(half) <= LINE_LIMIT + width:
            return half
        return half[: LINE_LIMIT + width] + half[len(half) - len(half) % width :]

    def _usual(self, whole: list[bytes]) -> list[str] | None:
        """Return the texts of all lines at once, if none of them needs a closer look."""
        if not whole or self.encoding.name != UTF8.name or max(map(len, whole)) > LINE_LIMIT:
            return None
        try:
            text = b"\n".join(whole).decode()
        except UnicodeDecodeError:
            return None
        if any(character in text for character in _UNUSUAL):
            return None
        return text.split("\n")

    def _text(self, line: bytes) -> str:
        line = self.encoding.without_nuls(line)
        text, whole = self.encoding.text(line[:LINE_LIMIT])
        # The carriage return before a newline does not count.
        if len(line) > LINE_LIMIT and self.encoding.text(line[LINE_LIMIT:])[0]:
            self.overlong += 1
        elif not whole:
            self.undecodable += 1
        return text
