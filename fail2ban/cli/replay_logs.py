# SPDX-License-Identifier: GPL-2.0-or-later
"""Old logs as they lie about: rotated, compressed, or coming down a pipe."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import IO, cast

from fail2ban.cli.regex_sources import LogError
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.lines import LineSplitter

#: Stands for standard input.
STDIN = "-"
#: Bytes that are read at once.
_CHUNK = 256 * 1024
#: The beginning of the year 2000, in seconds since the epoch.
_OLDEST = 946684800.0

_COMPRESSED = re.compile(r"\.(?:gz|bz2|xz|lzma|zst)")
_ROTATED = re.compile(r"[.-](?:\d{1,4}|\d{8}(?:-\d+)?|\d{4}-\d\d-\d\d|old|bak)")

#: What a compressed file begins with, and what reads it.
_READERS: tuple[tuple[bytes, Callable[[IO[bytes]], IO[bytes]]], ...] = (
    (b"\x1f\x8b", lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file))),
    (b"BZh", lambda file: cast(IO[bytes], bz2.BZ2File(file))),
    (b"\xfd7zXZ\x00", lambda file: cast(IO[bytes], lzma.LZMAFile(file))),
    (b"\x5d\x00\x00", lambda file: cast(IO[bytes], lzma.LZMAFile(file))),
)
_ZSTD = b"\x28\xb5\x2f\xfd"


def unrotated(name: str) -> str:
    """Return the name that a log had before it was rotated, without its folder."""
    name = os.path.basename(name)
    name = _without(_COMPRESSED, name)
    return _without(_ROTATED, name)


def fits(file: str, pattern: str) -> bool:
    """Tell whether a file bears the name of a log, perhaps of a rotated one.

    Args:
        pattern: a path or wildcard of a section; folders make no difference.
    """
    wanted = os.path.basename(pattern)
    return any(fnmatchcase(name, wanted) for name in (os.path.basename(file), unrotated(file)))


def _without(suffix: re.Pattern[str], name: str) -> str:
    found = re.fullmatch(f"(.+?)(?:{suffix.pattern})", name)
    return found[1] if found else name


class OldLog:
    """One file, which may be read several times. Used on one thread.

    A pipe can be read but once, so what comes down one is copied to a nameless
    temporary file.

    Attributes:
        name: as the user gave it.
        size: bytes of the file itself.
        changed: when it was written last, seconds since the epoch; now, if its time
            is older than any log.
        ident: the same for the same file under another name.

    Raises:
        LogError: it cannot be read.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._copy: IO[bytes] | None = None
        try:
            status = os.fstat(0) if name == STDIN else os.stat(name)
            if stat.S_ISDIR(status.st_mode):
                raise LogError(f"cannot read {name}: it is a folder; expected the files in it")
            if name == STDIN or not stat.S_ISREG(status.st_mode):
                self._copy = _copied(name)
                status = os.fstat(self._copy.fileno())
            with self._open() as file:
                _unpacked(file, name)  # tells early what cannot be read
        except OSError as error:
            raise LogError(f"cannot read {name}: {error.strerror}") from error
        self.size = status.st_size
        # Some archives bring their files back without their times.
        self.changed = status.st_mtime if status.st_mtime > _OLDEST else time.time()
        self.ident = status.st_dev, status.st_ino

    def lines(
        self, encoding: Encoding, advance: Callable[[int], None] = lambda size: None
    ) -> Iterator[str]:
        """Yield the lines, unpacked; a last one without an end counts.

        Args:
            advance: told how many bytes of the file itself were read.

        Raises:
            LogError: it cannot be read, or not to its end.
        """
        try:
            with self._open() as file, _unpacked(file, self.name) as unpacked:
                yield from _split(unpacked, file, encoding, advance)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LogError(f"cannot read {self.name}: {reason}") from error

    def _open(self) -> IO[bytes]:
        if self._copy is None:
            return open(self.name, "rb")
        # One of its own: the same log may be read by several sections in turn.
        return open(f"/proc/self/fd/{self._copy.fileno()}", "rb")


def _copied(name: str) -> IO[bytes]:
    copy = tempfile.TemporaryFile()
    with open(0 if name == STDIN else name, "rb", closefd=name != STDIN) as source:
        shutil.copyfileobj(source, copy, _CHUNK)
    copy.flush()
    return copy


def _unpacked(file: IO[bytes], name: str) -> IO[bytes]:
    head = file.read(6)
    file.seek(0)
    if head.startswith(_ZSTD):
        text = "it is packed by zstd; expected one that is unpacked, as by zstd -dc"
        raise LogError(f"cannot read {name}: {text} {name} | fail2ban-client replay -")
    return next((reader(file) for magic, reader in _READERS if head.startswith(magic)), file)


def _split(
    unpacked: IO[bytes], file: IO[bytes], encoding: Encoding, advance: Callable[[int], None]
) -> Iterator[str]:
    told = 0
    data = unpacked.read(_CHUNK)
    splitter = LineSplitter(encoding.settle(data[:4]))
    while data:
        advance(file.tell() - told)
        told = file.tell()
        yield from splitter.feed(data)
        data = unpacked.read(_CHUNK)
    yield from splitter.finish()
