# SPDX-License-Identifier: GPL-2.0-or-later
"""The database's place in the file system.

The file holds who is banned: whoever can write to it can ban and unban. So it is
its owner's alone, and one daemon's at a time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import time

from fail2ban.errors import StoreError

log = logging.getLogger(__name__)

#: What SQLite keeps beside a database.
COMPANIONS = ("-wal", "-shm", "-journal")


def prepare(path: str) -> str:
    """Make the folder of a database if only its last level is missing; look at the file.

    Returns:
        The path without symbolic links, so that all that belongs to the database
        lies beside it.

    Raises:
        StoreError: there can be no database; says what would be right.
    """
    try:
        real = os.path.realpath(path)
        _make_folder(os.path.dirname(real))
        status = os.stat(real)
    except FileNotFoundError:
        return real
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            return os.path.abspath(path)  # is set aside like any other thing in the way
        raise StoreError(f"cannot use the database {path}: {_reason(error)}") from error
    if status.st_uid not in (0, os.geteuid()):
        raise StoreError(
            f"the database {real} belongs to the user {status.st_uid}, who could ban and"
            f" unban with it; expected the user {os.geteuid()}, see 'chown'"
        )
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o022:
        log.warning("others may write to the database %s; 'chmod 600' would be right", real)
    return real


def _make_folder(folder: str) -> None:
    """Make a folder that is missing.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    except OSError as error:
        text = f"there is no folder {folder} for the database, and it cannot be made"
        raise StoreError(f"{text}: {_reason(error)}") from error


def create(path: str) -> None:
    """Make an empty file that only we can read, unless there is something already.

    Raises:
        StoreError: that is not possible.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError(f"cannot make the database {path}: {_reason(error)}") from error


def set_aside(path: str, now: float) -> str:
    """Rename a database and what belongs to it; return where it is now.

    Raises:
        StoreError: it cannot be renamed.
    """
    aside = free_name(path, now)
    try:
        os.rename(path, aside)
        for end in COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(path + end, aside + end)
    except OSError as error:
        raise StoreError(f"cannot set the database {path} aside: {_reason(error)}") from error
    return aside


def put_in_place(copy: str, path: str, now: float) -> None:
    """Rename a copy to the path it is meant for; what is there now is set aside, and told.

    What lies beside the path belongs to the database that was copied.

    Raises:
        StoreError: that is not possible; the copy is gone.
    """
    try:
        if os.path.lexists(path):
            aside = free_name(path, now)
            os.rename(path, aside)
            log.error("what was put in its place is now %s; stop the daemon to replace it", aside)
        os.rename(copy, path)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)
        raise StoreError(f"cannot write the database {path} again: {_reason(error)}") from error


def free_name(path: str, now: float) -> str:
    """Return a path beside `path`, with the time in UTC, where there is nothing yet.

    Source: jail-conf.md section 10.5.
    """
    first = name = f"{path}.{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    number = 0
    while os.path.lexists(name):
        number += 1
        name = f"{first}.{number}"
    return name


def place(path: str) -> tuple[int, int] | None:
    """Return which file a path leads to now; None: to none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Lock:
    """Says that a database is in use; it ends with the process, whatever kills it.

    The lock is on a file of its own: SQLite's locks on the database would be lost
    as soon as any part of this process closed that file.
    """

    def __init__(self, path: str) -> None:
        self._path = f"{path}.lock"
        self._held: int | None = None

    def acquire(self) -> None:
        """Take the lock, without waiting.

        Raises:
            StoreError: another daemon has it, or it cannot be made.
        """
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise StoreError(f"cannot make the lock {self._path}: {_reason(error)}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            taken = isinstance(error, BlockingIOError)
            reason = "another daemon uses its database" if taken else _reason(error)
            raise StoreError(f"cannot take the lock {self._path}: {reason}") from error
        self._held = descriptor

    def release(self) -> None:
        """Let go of it; the file stays, since somebody may be waiting to lock it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
