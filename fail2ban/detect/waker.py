# SPDX-License-Identifier: GPL-2.0-or-later
"""Shorten the wait between two polls when a log has changed.

Polling is the guarantee; what happens here only makes it quicker. So whatever
inotify cannot do (a network file system, a limit of this system) costs time,
never a line.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import stat
import threading
from collections.abc import Iterable, Iterator

from inotify_simple import INotify, flags

from fail2ban.detect.mounts import MOUNTS, is_local

log = logging.getLogger(__name__)

_OF_FILE = flags.MODIFY | flags.ATTRIB | flags.MOVE_SELF | flags.DELETE_SELF
_OF_ANCESTOR = flags.MOVE_SELF | flags.DELETE_SELF | flags.ONLYDIR
_OF_DIRECTORY = _OF_ANCESTOR | flags.CREATE | flags.MOVED_TO
#: What a path may be without our minding: it is waited for.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)


class Waker:
    """Waits for one reader.

    Belongs to the reader's thread; only `wake` may be called on another.

    Args:
        mounts: a file of the kernel that tells when something is mounted over a log.

    Attributes:
        suffices: whatever happens to what is watched ends the wait: polling is needed
            for the rest of this world only, as for who writes through mmap(2). Never where
            something is waited for that is not there, not ours to read, reached through a
            symbolic link, or on a network.
    """

    def __init__(self, mounts: str = MOUNTS) -> None:
        self._lock = threading.Lock()  # guards the pipe against a late `wake`
        self._wakeups, self._wake = os.pipe()
        os.set_blocking(self._wakeups, False)
        os.set_blocking(self._wake, False)
        self._poll = select.poll()
        self._poll.register(self._wakeups, select.POLLIN)
        self._watched: set[int] = set()
        self._degraded = self.suffices = False
        self._closed = False
        self._inotify = self._start()
        self._mounts = _opened(mounts)
        if self._mounts is not None:
            self._poll.register(self._mounts, select.POLLPRI)

    def watch(self, paths: Iterable[str]) -> None:
        """Watch these files, and their directories for such as appear.

        To be called anew when a path leads to another file. What changes before
        this call is not noticed, so poll once after it.
        """
        if self._inotify is None:
            return
        kept: set[int] = set()
        wanted = list(paths)
        # What is watched twice is watched as it was said last.
        for ancestor in sorted({one for path in wanted for one in _ancestors(path)}):
            kept |= self._add(self._inotify, ancestor, _OF_ANCESTOR)
        watched = self._mounts is not None
        for path in wanted:
            # The directory first: a file that appears in between is not missed.
            folder = self._add(self._inotify, os.path.dirname(path) or ".", _OF_DIRECTORY)
            file = self._add(self._inotify, path, _OF_FILE)
            watched = watched and bool(folder and file)
            kept |= folder | file
        for descriptor in self._watched - kept:
            # The kernel drops the watch of a deleted file by itself.
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(descriptor)
        self._watched = kept
        # Asked last: what was there when its watch began may be gone by now.
        self.suffices = watched and not self._degraded and all(map(_is_sure, wanted))

    def wait(self, seconds: float) -> None:
        """Return after that time, or as soon as something changed or `wake` was called.

        A change since the last call counts, so none falls between poll and wait.
        """
        if not self._poll.poll(seconds * 1000):
            return
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeups, 4096)
        if self._inotify is not None:
            # A burst is one reason to poll, not many.
            self._inotify.read(timeout=0)

    def wake(self) -> None:
        """End the wait, or the next one if there is none. May be called on any thread."""
        with self._lock:
            if not self._closed:
                # A full pipe wakes as well as one byte more.
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake, b"!")

    def close(self) -> None:
        """Give all descriptors back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._wake)
            os.close(self._wakeups)
        if self._inotify is not None:
            self._inotify.close()
        if self._mounts is not None:
            os.close(self._mounts)

    def _start(self) -> INotify | None:
        try:
            inotify = INotify(nonblocking=True)
        except OSError as error:
            self._degrade(error)
            return None
        self._poll.register(inotify.fileno(), select.POLLIN)
        return inotify

    def _add(self, inotify: INotify, path: str, mask: int) -> set[int]:
        """Watch one path; return its watch, none if there cannot be one."""
        try:
            return {inotify.add_watch(path, mask)}
        except OSError as error:
            if error.errno not in _ABSENT:
                self._degrade(error)
            return set()

    def _degrade(self, error: OSError) -> None:
        if not self._degraded:
            log.info("inotify is not fully available (%s): logs are only polled", error.strerror)
        self._degraded = True


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _ancestors(path: str) -> Iterator[str]:
    """Yield the directories above that of a file, without the root."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(path)))
    while folder != os.sep:
        yield folder
        folder = os.path.dirname(folder)


def _is_sure(path: str) -> bool:
    """Tell whether nothing can happen to a file that inotify does not tell of."""
    try:
        real, status = os.path.realpath(path, strict=True), os.stat(path)
    except OSError:
        return False
    is_itself = real == os.path.abspath(path) and stat.S_ISREG(status.st_mode)
    return is_itself and is_local(real)
