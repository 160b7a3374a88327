# SPDX-License-Identifier: GPL-2.0-or-later
"""Read from a rotation's copy what a truncated log does not have any more.

"copytruncate" copies the log, then sets its size to 0. What was written since
our last look is only in the copy then, which may be compressed by now.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from typing import Literal

from fail2ban.detect.position import Ident, Position, ident_of, open_regular

#: Bytes read at once.
CHUNK = 256 * 1024
#: Seconds that a copy has to appear, or its compression to get on.
PATIENCE = 3.0
#: Siblings looked at, the newest first.
CANDIDATES = 32
#: Suffixes that we do not read; `gzip` is all that rotations use by default.
UNREADABLE = (".xz", ".bz2", ".zst", ".lz4", ".Z")
#: Some tools keep a modification time only to the second.
_SLACK_NS = 2_000_000_000
_BROKEN = (OSError, EOFError, zlib.error)


class Recovery:
    """The search for one truncated log's copy, and the reading of its rest.

    Attributes:
        found: nothing is lost: the copy was read to its end.
        copy: which file it was, unless compressed, and how long; None if not found.
    """

    def __init__(self, path: str, now: float) -> None:
        self.found = False
        self.copy: tuple[Ident, int] | None = None
        self._path = path
        self._source: _Copy | None = None
        self._progress = now  # when there was something to hope for
        self._unfinished = 0

    def read(self, here: Position, now: float) -> bytes | None:
        """Return the bytes that follow `here` in the copy.

        Args:
            here: where the log was, then where earlier calls have led.
            now: the caller's clock, in seconds.

        Returns:
            b"" when it is worth asking again later; None when it is over.
        """
        if self._source is None:
            self._find(here, now)
        if self.found:
            return None
        try:
            data = self._source.read() if self._source else None
        except _BROKEN:
            # Its compression has not come to the end; open it again later.
            self.close()
            data = None
        if data is None:
            # A clock that was set back must not make us wait for it.
            return b"" if abs(now - self._progress) < PATIENCE else None
        if data:
            self._progress = now
            return data
        self._end()
        return None

    def close(self) -> None:
        if self._source:
            self._source.close()
        self._source = None

    def _end(self) -> None:
        self.found = True
        if self._source:
            self.copy = self._source.extent()
        self.close()

    def _find(self, here: Position, now: float) -> None:
        """Look at all candidates; sets `_source`, or `found` if nothing is left to read."""
        unfinished, shorter = 0, None
        for copy in _candidates(self._path, here.written):
            verdict = copy.compare(here)
            if verdict == "same":
                self._source = copy
                break
            if verdict == "unfinished":
                unfinished += copy.extent()[1]
            if verdict == "shorter" and shorter is None:
                shorter = copy.extent()
            copy.close()
        if unfinished != self._unfinished:
            self._unfinished, self._progress = unfinished, now
        if shorter and not unfinished and not self._source:
            # We have read what came between the copying and the truncation.
            self.found, self.copy = True, shorter


class _Copy:
    """A file that may be a copy, plain or compressed, read from its start."""

    def __init__(self, path: str) -> None:
        self._raw = os.fdopen(open_regular(path), "rb")
        self._data: io.BufferedReader | gzip.GzipFile = self._raw
        if path.endswith(".gz"):
            self._data = gzip.GzipFile(fileobj=self._raw)

    def compare(self, here: Position) -> Literal["same", "shorter", "other", "unfinished"]:
        """Compare the text up to `here` and go there."""
        try:
            if self._data.read(len(here.head)) != here.head:
                return "other"
            self._data.seek(here.offset - len(here.tail))
            tail = self._data.read(len(here.tail))
        except _BROKEN:
            return "unfinished"
        if tail == here.tail:
            return "same"
        return "shorter" if len(tail) < len(here.tail) else "other"

    def read(self) -> bytes:
        # `read` would lose what precedes the end of an unfinished compression.
        return self._data.read1(CHUNK)

    def extent(self) -> tuple[Ident, int]:
        """Return which file it is, and its size in bytes."""
        status = os.fstat(self._raw.fileno())
        return ident_of(status), status.st_size

    def close(self) -> None:
        self._data.close()
        self._raw.close()


def _candidates(path: str, written: int) -> Iterator[_Copy]:
    """Open the files that may be copies of `path`, the newest first.

    A copy cannot be older than what we have read of the original; this keeps
    earlier generations out, whose first lines may be the same.
    """
    found: dict[Ident, tuple[int, str]] = {}
    for name in {path, os.path.realpath(path)}:
        found.update(siblings(name, written - _SLACK_NS))
    for _, sibling in sorted(found.values(), reverse=True)[:CANDIDATES]:
        try:
            copy = _Copy(sibling)
        except OSError:
            continue  # renamed or compressed meanwhile: there will be another look
        yield copy


def siblings(path: str, oldest: int = 0) -> Iterator[tuple[Ident, tuple[int, str]]]:
    """Yield what lies beside `path` and starts with its name: identity, time, path."""
    directory, name = os.path.split(path)
    with contextlib.suppress(OSError), os.scandir(directory or ".") as entries:
        # What vanishes under our eyes is found at the next look.
        for entry in entries:
            if entry.name.startswith(name) and entry.name != name and _is_readable(entry):
                status = entry.stat()
                if status.st_mtime_ns >= oldest:
                    yield ident_of(status), (status.st_mtime_ns, entry.path)


def _is_readable(entry: os.DirEntry[str]) -> bool:
    # The link of a log under a second name is no copy, so links do not count.
    return entry.is_file(follow_symlinks=False) and not entry.name.endswith(UNREADABLE)
