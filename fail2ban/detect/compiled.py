# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that Hyperscan looks for, compiled, and a folder that keeps what took long to make.

A file of the folder begins with a checksum, since Hyperscan believes what it is given:
who can write there could make it crash. So the folder must be ours alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fail2ban.errors import Fail2BanError

if TYPE_CHECKING:
    import hyperscan

log = logging.getLogger(__name__)

_FORMAT = b"fail2ban-compiled-1\n"
_SUFFIX = ".compiled"
_CHECKSUM = 32
#: Nothing of ours is as large; what is, is damaged.
_LARGEST = 64 * 1024 * 1024
#: Files that are kept, and for how many seconds after their last use.
_MOST, _OLDEST = 1000, 60 * 86400.0
#: Seconds after which a use is noted again.
_NOTED = 86400.0


class Cache:
    """A folder that keeps bytes by key. Used on any thread.

    What cannot be read or written is said once, and everything works without.

    Args:
        folder: made, with its parents, if it is missing. It must belong to us and be
            writable for nobody else.
        clock: seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        self._usable = True
        self._purged = False

    def read(self, key: str) -> bytes | None:
        """Return what was written under a key; None for nothing, or nothing that is whole."""
        with self._opened() as folder:
            if folder is None:
                return None
            try:
                content = self._content(folder, key + _SUFFIX)
            except FileNotFoundError:
                return None
            except OSError as error:
                log.info("Cannot read %s: %s", self._folder / (key + _SUFFIX), error)
                return None
        begin = len(_FORMAT) + _CHECKSUM
        data = content[begin:]
        if content[:begin] == _FORMAT + _checksum(key, data):
            return data
        log.info("%s is damaged, and is made anew", self._folder / (key + _SUFFIX))
        return None

    def _content(self, folder: int, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
                raise PermissionError("it is not ours alone")
            now = self._clock()
            if now - status.st_mtime > _NOTED:
                os.utime(file.fileno(), (now, now))
            return file.read(_LARGEST)

    def write(self, key: str, data: bytes) -> None:
        """Keep something under a key."""
        with self._opened() as folder:
            if folder is None:
                return
            try:
                self._replace(folder, key + _SUFFIX, _FORMAT + _checksum(key, data) + data)
                if not self._purged:
                    self._purged = True
                    self._purge(folder)
            except OSError as error:
                self._give_up(str(error))

    def _replace(self, folder: int, name: str, content: bytes) -> None:
        """Write a file so that it is there whole or not at all."""
        part = f"{name}.{os.getpid()}.{os.urandom(4).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(part, flags, 0o600, dir_fd=folder), "wb") as file:
                file.write(content)
            os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=folder)
            raise

    def _purge(self, folder: int) -> None:
        """Remove what has not been used for long, and the oldest of too many."""
        used = {}
        for name in os.listdir(folder):
            if _SUFFIX in name:  # also parts that nobody finishes any more
                with contextlib.suppress(FileNotFoundError):
                    used[name] = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
        now = self._clock()
        newest = sorted(used, key=lambda name: used[name], reverse=True)
        for number, name in enumerate(newest):
            limit = _OLDEST if name.endswith(_SUFFIX) else _NOTED
            if number >= _MOST or now - used[name] > limit:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """Give the folder, opened; None if it cannot be used."""
        folder = self._open() if self._usable else None
        try:
            yield folder
        finally:
            if folder is not None:
                os.close(folder)

    def _open(self) -> int | None:
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(mode=0o700)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folder = os.open(self._folder, flags)
        except OSError as error:
            self._give_up(str(error))
            return None
        if _is_ours(os.fstat(folder)):
            return folder
        os.close(folder)
        self._give_up("it must belong to us and be writable for nobody else")
        return None

    def _give_up(self, reason: str) -> None:
        self._usable = False
        log.info(
            "Compiled patterns are not kept in %s: %s; each start compiles them anew",
            self._folder,
            reason,
        )


def _is_ours(status: os.stat_result) -> bool:
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.geteuid() and not others


def _checksum(key: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM, person=key[:16].encode()).digest()


#: Number of the text, begin (always 0), end, flags (0), and None.
Report = Callable[[int, int, int, int, object], None]


class Uncompiled(Fail2BanError):
    """There is nothing that Hyperscan could look for, or it cannot."""


class Compiled:
    """Texts that Hyperscan looks for. Used on one thread at a time.

    Args:
        database: of Hyperscan.

    Attributes:
        size: bytes of the database.
    """

    def __init__(self, database: hyperscan.Database) -> None:
        import hyperscan

        self._database = database
        self._scratch = hyperscan.Scratch(database)
        self.size = database.size()

    def scan(self, block: bytes, report: Report) -> None:
        """Call `report` for each place where one ends, from begin to end.

        The interpreter's lock is free meanwhile, but not while `report` runs.
        """
        self._database.scan(block, match_event_handler=report, scratch=self._scratch)

    def dumped(self) -> bytes:
        """Return what `loaded` understands."""
        import hyperscan

        return hyperscan.dumpb(self._database)


def compiled(literals: Sequence[tuple[bytes, bool]]) -> Compiled:
    """Compile bytes to look for, each with whether case is ignored.

    Only literals: the Vectorscan 5.4.12 in the wheels of today overlooks matches of regular
    expressions now and then (its issues 358 and 382: two characters that end a vector).

    Raises:
        ImportError: the package `hyperscan` is missing.
        Uncompiled: Hyperscan cannot do it; says why.
    """
    # Costs 12 ms and 2 MB, which a program that only asks the daemon saves.
    import hyperscan

    database = hyperscan.Database()
    try:
        database.compile(
            expressions=[text for text, _ in literals],
            ids=list(range(len(literals))),
            flags=[hyperscan.HS_FLAG_CASELESS if caseless else 0 for _, caseless in literals],
            literal=True,
        )
        return Compiled(database)
    except (hyperscan.error, MemoryError) as error:
        raise Uncompiled(f"Hyperscan says: {error or 'out of memory'}") from error


def loaded(data: bytes) -> Compiled:
    """Return what was dumped by the same `engine`.

    Raises:
        ImportError: the package `hyperscan` is missing.
        Uncompiled: Hyperscan refuses it.
    """
    import hyperscan

    try:
        return Compiled(hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK))
    except (hyperscan.error, MemoryError) as error:
        raise Uncompiled(f"Hyperscan says: {error or 'out of memory'}") from error


@lru_cache(maxsize=1)
def engine() -> str:
    """Return what decides which databases can be loaded: version and kind of processor.

    Raises:
        ImportError: the package `hyperscan` is missing.
        Uncompiled: it does not work.
    """
    import hyperscan

    said = compiled([(b"a", False)])._database.info()
    version = getattr(hyperscan, "__version__", "")
    return f"{version} {platform.machine()} {said!r}"
