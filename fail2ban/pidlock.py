# SPDX-License-Identifier: GPL-2.0-or-later
"""One instance at a time: a PID file that its owner holds with `flock`.

That the file exists says nothing, and neither does the number in it: its
process may be dead, and the number may belong to another program by now. So the
running daemon also keeps a kernel lock on the file, which ends with the process
whatever kills it. Who can take that lock has found a leftover and breaks it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator

import lockfile
from lockfile.pidlockfile import PIDLockFile

from fail2ban.errors import LockError

#: Seconds to wait for another process that is looking at the PID file.
PATIENCE = 2.0


class PidLock(PIDLockFile):  # type: ignore[misc]  # lockfile has no types
    """`lockfile`'s PID file, never waited for, broken only if its owner is dead.

    Attributes:
        unclean: the last owner did not remove the file: it was killed.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, threaded=False, timeout=-1)
        self.unclean = False
        self._held: int | None = None

    def acquire(self, timeout: float | None = None) -> None:
        """Take the lock for this process.

        Raises:
            LockError: another instance runs, or the file cannot be written.
        """
        try:
            with _guard(self.path):
                self._break_if_dead()
                super().acquire(timeout=-1)
                self._held = os.open(self.path, os.O_RDONLY)
                # Waits at the most for somebody who is just looking.
                fcntl.flock(self._held, fcntl.LOCK_EX)
        except (OSError, lockfile.Error) as error:
            raise LockError(f"cannot write the PID file {self.path}: {error}") from error

    def release(self) -> None:
        """Remove the file, unless somebody else replaced it by his own."""
        if self._held is None:
            return
        with contextlib.suppress(FileNotFoundError), _guard(self.path):
            if os.path.samestat(os.stat(self.path), os.fstat(self._held)):
                os.unlink(self.path)
        os.close(self._held)
        self._held = None

    def _break_if_dead(self) -> None:
        if not os.path.lexists(self.path):
            return
        if is_held(self.path):
            raise LockError(f"Fail2Ban already running with PID {read_pid(self.path) or '?'}")
        self.unclean = True
        os.unlink(self.path)


def check_free(path: str) -> None:
    """Find out before detaching whether the lock could be taken.

    The last level of its folder is made if it is missing: /run is empty after a boot.

    Raises:
        LockError: another instance runs, or the folder cannot be written.
    """
    if is_held(path):
        raise LockError(f"Fail2Ban already running with PID {read_pid(path) or '?'}")
    folder = os.path.dirname(os.path.abspath(path))
    with contextlib.suppress(OSError):
        os.mkdir(folder, 0o755)
    if not os.path.isdir(folder):
        raise LockError(f"cannot write the PID file {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise LockError(f"cannot write the PID file {path}: no permission to write to {folder}")


def is_held(path: str) -> bool:
    """Tell whether a living process holds the PID file.

    Raises:
        LockError: the file is there but cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LockError(f"cannot read the PID file {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise LockError(f"cannot lock the PID file {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return False


def read_pid(path: str) -> int | None:
    """Return the number in a PID file, or None if there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.readline(32).strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def kill(path: str) -> int:
    """End the running instance, wait until it is gone, return its PID.

    It waits as long as the instance lives: lifting many bans takes its time.

    Raises:
        LockError: none runs, or it cannot be told to end.
    """
    if not is_held(path):
        raise LockError("No running Fail2Ban found")
    pid = read_pid(path)
    if pid is None:
        raise LockError(f"the PID file {path} is held, but there is no PID in it")
    try:
        _end(pid)
    except OSError as error:
        raise LockError(f"cannot end the process {pid}: {error.strerror}") from error
    return pid


def _end(pid: int) -> None:
    """Send SIGTERM and wait for the end, of this process and no later one."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended = select.poll()
        ended.register(process, select.POLLIN)
        ended.poll()
    finally:
        os.close(process)


@contextlib.contextmanager
def _guard(path: str) -> Iterator[None]:
    """Let one process at a time look at the PID file and change it.

    The lock is on the folder, so that it leaves nothing behind. Anybody may lock
    a folder, so we do not wait for ever: then only two instances that start at
    the same moment could get into each other's way.
    """
    descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        _lock_within(descriptor, PATIENCE)
        yield
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
