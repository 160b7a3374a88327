# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes as they arrive -> blocks of whole lines."""

from __future__ import annotations

from collections.abc import Iterator

from fail2ban.detect.encoding import UTF8, Encoding

#: Bytes of one line that are kept; no line that matters is as long.
LINE_LIMIT = 64 * 1024

#: What may not be part of the text of a line.
_UNUSUAL = "\0\r\ufeff"
#: First bytes of a line that may not be part of its text, or its only one.
_EDGES = (b"", b"\0", b"\xef")
_RETURN = ord("\r")


class Block:
    """Whole lines that were read at once, as they stand in the log.

    Its iterator yields the text of each. Only a newline ends a line: the other line
    ends of Unicode can be written into a log by an attacker.

    Attributes:
        data: the bytes, with every line's end.
        encoding: of the bytes.
        count: how many lines there are.
    """

    __slots__ = ("count", "data", "encoding")

    def __init__(self, data: bytes, encoding: Encoding = UTF8) -> None:
        self.data, self.encoding = data, encoding
        self.count = encoding.count(data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._usual() or map(self._text, self.encoding.split(self.data)[:-1]))

    def behind(self, begin: int) -> Block:
        """Return the lines from an offset on."""
        return Block(self.data[begin:], self.encoding) if begin else self

    def begin_of(self, end: int) -> int:
        """Return where the line begins that ends before the offset `end`.

        Of an encoding whose units are bytes.
        """
        return self.data.rfind(self.encoding.newline, 0, end - 1) + 1

    def text(self, begin: int, end: int) -> str:
        """Return the text of a line, given where it begins and where the next one does."""
        line = self.data[begin : end - len(self.encoding.newline)]
        # Most lines need no closer look.
        if self.encoding.is_utf8 and len(line) <= LINE_LIMIT and line[:1] not in _EDGES:
            if line[-1] != _RETURN:
                try:
                    return line.decode()
                except UnicodeDecodeError:
                    pass
        return self._text(line)

    def _usual(self) -> list[str] | None:
        """Return the texts of all lines at once, if none of them needs a closer look."""
        if not (self.data and self.encoding.is_utf8) or self.has_overlong():
            return None
        try:
            text = self.data[:-1].decode()
        except UnicodeDecodeError:
            return None
        if any(character in text for character in _UNUSUAL):
            return None
        return text.split("\n")

    def _text(self, line: bytes) -> str:
        line = self.encoding.without_nuls(line)
        return self.encoding.text(line[:LINE_LIMIT])[0]

    def has_overlong(self) -> bool:
        """Tell whether one of the lines is longer than `LINE_LIMIT`."""
        if self.encoding.width > 1:
            return any(map(self._exceeds, self.encoding.split(self.data)))
        data, newline, begin = self.data, self.encoding.newline, 0
        while len(data) - begin > LINE_LIMIT:
            # The last end that a line of the longest length could have.
            end = data.rfind(newline, begin, begin + LINE_LIMIT + 1)
            if end < 0:
                end = data.find(newline, begin)
                if self._exceeds(data[begin:end]):
                    return True
            begin = end + 1
        return False

    def _exceeds(self, line: bytes) -> bool:
        # The carriage return before a newline does not count.
        return len(line) > LINE_LIMIT and bool(self.encoding.text(line[LINE_LIMIT:])[0])

    def is_decodable(self) -> bool:
        """Tell whether all bytes are of the encoding."""
        return self.data.isascii() or self.encoding.text(self.data)[1]


class LineSplitter:
    """Cut a stream of bytes behind its newlines, whatever the pieces it comes in.

    Holds at most `LINE_LIMIT` bytes and a piece.

    Attributes:
        encoding: of the bytes; may be replaced.
        overlong: blocks so far with a line longer than `LINE_LIMIT`.
        undecodable: blocks so far with bytes that are not of the encoding.
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

    def feed(self, data: bytes) -> Block:
        """Return the lines that `data` completes.

        NULs before a line are left out: a file that is truncated under a
        writer without O_APPEND starts with as many as it was long.
        """
        self.unended += len(data)
        if self._skip_nuls:
            data = self.encoding.without_nuls(data)
            self._skip_nuls = not data
        data = self._half + data
        end = self.encoding.end_of_lines(data)
        whole, half = data[:end], data[end:]
        if whole:
            self.unended = len(half)
        self._half = self._shortened(self.encoding.without_nuls(half))
        return self._block(whole)

    def resume(self) -> None:
        """Expect the rest of the half line at the start of a truncated file."""
        self._skip_nuls = True

    def drop(self) -> None:
        """Forget the half line: its rest will never come."""
        self._half, self.unended = b"", 0
        self._skip_nuls = True

    def finish(self) -> Block:
        """Return the half line, if there is one, as a line: its writer is gone."""
        half, self._half, self.unended = self._half, b"", 0
        return self._block(half + self.encoding.newline if half else b"")

    def _shortened(self, half: bytes) -> bytes:
        # A unit more than the limit tells an overlong line from a full one; a
        # part of a unit waits for the rest of it.
        width = self.encoding.width
        if len(half) <= LINE_LIMIT + width:
            return half
        return half[: LINE_LIMIT + width] + half[len(half) - len(half) % width :]

    def _block(self, whole: bytes) -> Block:
        block = Block(whole, self.encoding)
        if block.has_overlong():
            self.overlong += 1
        elif not block.is_decodable():
            self.undecodable += 1
        return block
