# SPDX-License-Identifier: GPL-2.0-or-later
"""What `journalctl --output=export` writes -> entries.

It takes journalctl half the time that JSON does, and us less than that to read. A field
is a line `NAME=text`, or if its value is not all printable, a line `NAME`, the length of
the value in eight bytes and the value; a blank line ends an entry. So a value can look
like anything, also like the end of an entry and the beginning of another.

Source: systemd's Journal Export Formats, https://systemd.io/JOURNAL_EXPORT_FORMATS/
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: The values of the fields by name; a tuple where one occurs more than once.
Entry = Mapping[str, str | tuple[str, ...]]

_NAME = re.compile(rb"[A-Z0-9_]+")
#: Bytes that tell the length of a value.
_LENGTH = 8
#: Bytes of something unintelligible that a message shows.
_SHOWN = 100


class Export:
    """Cuts a stream into entries, whatever the pieces it comes in.

    Holds at most an entry of `limit` bytes and a piece.

    Args:
        limit: bytes of an entry's fields; a longer one is left out.

    Attributes:
        dropped: entries that were left out so far.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._rest = b""
        self._walk: _Walk | None = None  # through an entry that is not all text, or is too long

    def feed(self, data: bytes) -> list[Entry]:
        """Return the entries that some more bytes complete.

        Raises:
            ValueError: these are no entries; there is nothing to be done with the rest.
        """
        entries: list[Entry] = []
        data = self._rest + data
        while True:
            if self._walk is None:
                data = self._plain(data, entries)
            if self._walk is None:
                break
            data = self._walk.on(data)
            if not self._walk.ended:
                break
            if self._walk.is_too_long:
                self.dropped += 1
            else:
                entries.append(self._walk.entry())
            self._walk = None
        self._rest = data
        return entries

    def _plain(self, data: bytes, entries: list[Entry]) -> bytes:
        """Take entries that are all text, as most are; return what begins with another."""
        *whole, rest = data.split(b"\n\n")
        begin = 0
        for text in whole:
            entry = _all_text(text) if len(text) < self._limit else None
            if entry is None:
                self._walk = _Walk(self._limit)
                return data[begin:]
            entries.append(entry)
            begin += len(text) + 2
        if len(rest) > self._limit:
            self._walk = _Walk(self._limit)
        return rest


def _all_text(data: bytes) -> Entry | None:
    """Return an entry with a line for each field; None if it is another."""
    try:
        lines = data.decode().split("\n")
        entry = dict([line.split("=", 1) for line in lines])
    except ValueError:  # a line with a name alone, or no text
        return None
    return entry if len(entry) == len(lines) else None


class _Walk:
    """Goes through one entry field by field.

    Attributes:
        ended: it was the whole entry.
    """

    def __init__(self, limit: int) -> None:
        self.ended = False
        self._limit = limit
        self._fields: dict[str, list[str]] = {}
        self._size = 0
        self._skip = 0  # bytes to come of a value that is too long

    @property
    def is_too_long(self) -> bool:
        return self._size > self._limit

    def entry(self) -> Entry:
        """Return the fields."""
        return {
            name: values[0] if len(values) == 1 else tuple(values)
            for name, values in self._fields.items()
        }

    def on(self, data: bytes) -> bytes:
        """Go on as far as possible; return what is left.

        Raises:
            ValueError: this is no entry.
        """
        at, self._skip = self._skip, 0
        while at < len(data) and not self.ended:
            end = self._take(data, at)
            if end is None:
                # Of a line that is too long nothing matters but its end, which is to come.
                is_line = data.find(b"\n", at) < 0
                return data[at : at + self._limit + 1] if is_line else data[at:]
            at = end + 1
        self._skip = max(0, at - len(data))
        return data[at:]

    def _take(self, data: bytes, at: int) -> int | None:
        """Take a field; return where its last newline is or will be; None: not known yet."""
        end = data.find(b"\n", at)
        if end <= at:
            self.ended = end == at
            return end if self.ended else None
        name, is_text, value = data[at:end].partition(b"=")
        if not _NAME.fullmatch(name):
            raise ValueError(f"this is no field: {data[at : at + _SHOWN]!r}")
        if not is_text:
            begin = end + 1 + _LENGTH
            if len(data) < begin:
                return None
            end = begin + int.from_bytes(data[end + 1 : begin], "little")
            if len(data) <= end and self._size + end + 1 - at <= self._limit:
                return None
            value = data[begin:end]
        self._size += end + 1 - at
        if not self.is_too_long:
            self._fields.setdefault(name.decode(), []).append(value.decode("utf-8", "replace"))
        return end
