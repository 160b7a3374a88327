# SPDX-License-Identifier: GPL-2.0-or-later
"""How the bytes of a log are text, and where its lines end.

Source: jail-conf.md sections 5.4 (logencoding) and 6.
"""

from __future__ import annotations

import codecs
import functools
import importlib

#: Codecs that say by their first bytes which of two they are; little-endian if
#: they do not.
_MARKED = {
    "utf-16": ((codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF16_LE, "utf-16-le")),
    "utf-32": ((codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF32_LE, "utf-32-le")),
}
_MARK = "\ufeff"
_ASCII = "".join(map(chr, range(128)))


class Encoding:
    """A codec of Python, as far as the lines of a log are concerned.

    Attributes:
        name: of the codec.
        width: bytes of a unit; a line end begins at a multiple of it.
        newline: the bytes of a line end.
        is_utf8: it is UTF-8.
        is_settled: False: `settle` must see the first bytes of a file before.

    Args:
        name: of the codec; empty for UTF-8.

    Raises:
        ValueError: there is no such codec, or it is not one of text.
    """

    def __init__(self, name: str = "") -> None:
        try:
            self.name = codecs.lookup(name or "utf-8").name
            marked = _MARKED.get(self.name)
            self._codec = marked[-1][1] if marked else self.name.removesuffix("-sig")
            self.newline = "\n".encode(self._codec)
            self._return = "\r".encode(self._codec)
            bytes(range(256)).decode(self._codec, "replace")
        except (LookupError, UnicodeError, ValueError):
            text = f"{name!r} is no encoding; expected one that Python knows, such as utf-8"
            raise ValueError(f"{text} or iso-8859-1") from None
        self.is_settled = not marked
        self.width = len(self.newline)
        self.is_utf8 = self._codec == "utf-8"

    @functools.cached_property
    def keeps_ascii(self) -> bool:
        """Whether the bytes 0 to 127 are ASCII wherever they stand, and no others are."""
        if self.is_utf8 or self.name == "ascii":
            return True
        try:
            # The codecs of one byte a character are tables.
            module = importlib.import_module(f"encodings.{self.name.replace('-', '_')}")
        except ImportError:
            return False
        table = getattr(module, "decoding_table", None)
        if not isinstance(table, str):
            return False
        return table[:128] == _ASCII and not set(_ASCII) & set(table[128:])

    def settle(self, head: bytes) -> Encoding:
        """Return what a file with these first bytes is written in."""
        for mark, name in _MARKED.get(self.name, ()):
            if head.startswith(mark):
                return Encoding(name)
        return self if self.is_settled else Encoding(self._codec)

    def count(self, data: bytes) -> int:
        """Return how many line ends there are."""
        if self.width > 1:
            return len(self.split(data)) - 1
        # `count` looks at each byte; this goes from one line end to the next, three times
        # as fast, and would else take half of the time that an innocent line takes.
        return len(data) - len(data.replace(self.newline, b""))

    def end_of_lines(self, data: bytes) -> int:
        """Return the offset behind the last line end; 0 if there is none."""
        at = data.rfind(self.newline)
        # The byte of a newline may be half of another character.
        while at >= 0 and at % self.width:
            at = data.rfind(self.newline, 0, at + self.width - 1)
        return at + self.width if at >= 0 else 0

    def split(self, data: bytes) -> list[bytes]:
        """Cut at the line ends; what follows the last one comes last."""
        if self.width == 1:
            return data.split(self.newline)
        parts, start, at = [], 0, data.find(self.newline)
        while at >= 0:
            # The byte of a newline may be half of another character.
            if at % self.width == 0:
                parts.append(data[start:at])
                start = at + self.width
            at = data.find(self.newline, at + 1)
        return [*parts, data[start:]]

    def without_nuls(self, data: bytes) -> bytes:
        """Leave NUL characters at the beginning out."""
        rest = data.lstrip(b"\0")
        nuls = len(data) - len(rest)
        return data[nuls - nuls % self.width :] if self.width > 1 else rest

    def text(self, line: bytes) -> tuple[str, bool]:
        """Return the text of a line, and whether all bytes could be decoded."""
        line = line.removesuffix(self._return)
        try:
            return line.decode(self._codec).removeprefix(_MARK), True
        except UnicodeError:
            return line.decode(self._codec, "replace").removeprefix(_MARK), False


UTF8 = Encoding()
