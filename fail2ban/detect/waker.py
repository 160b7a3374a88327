# SPDX-License-Identifier: GPL-2.0-or-later
"""Shorten the wait between two polls when a log has changed.

Polling is the guarantee; what happens here only makes it quicker. So whatever
inotify cannot do (a network file system, a limit of this system) costs time,
never a line.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator

from inotify_simple import flags

from fail2ban.detect.mounts import is_local
from fail2ban.detect.watches import Watches

#: Seconds between two polls that changes are a reason for.
APART = 0.002

_OF_FILE = flags.MODIFY | flags.ATTRIB | flags.MOVE_SELF | flags.DELETE_SELF
_OF_ANCESTOR = flags.MOVE_SELF | flags.DELETE_SELF | flags.ONLYDIR
_OF_DIRECTORY = _OF_ANCESTOR | flags.CREATE | flags.MOVED_TO


class Waker:
    """Waits for one reader.

    Belongs to the reader's thread; only `wake` may be called on another.

    Args:
        watches: what tells of changes.

    Attributes:
        suffices: whatever happens to what is watched ends the wait: polling is needed
            for the rest of this world only, as for who writes through mmap(2). Never where
            something is waited for that is not there, not ours to read, reached through a
            symbolic link, or on a network.
    """

    def __init__(self, watches: Watches) -> None:
        self.suffices = False
        self._watches = watches
        self._watched: set[int] = set()
        self._woken = threading.Event()
        self._returned = -APART

    def watch(self, paths: Iterable[str]) -> None:
        """Watch these files, and their directories for such as appear.

        To be called anew when a path leads to another file. What changes before
        this call is not noticed, so poll once after it.
        """
        add, wanted = self._watches.add, list(paths)
        ancestors = {one for path in wanted for one in _ancestors(path)}
        watched = {add(self, ancestor, _OF_ANCESTOR) for ancestor in ancestors}
        for path in wanted:
            # The directory first: a file that appears in between is not missed.
            watched.add(add(self, os.path.dirname(path) or ".", _OF_DIRECTORY))
            watched.add(add(self, path, _OF_FILE))
        kept = {watch for watch in watched if watch is not None}
        self._watches.drop(self, self._watched - kept)
        self._watched = kept
        # Asked last: what was there when its watch began may be gone by now.
        all_there = None not in watched and self._watches.tells_of_mounts
        self.suffices = all_there and all(map(_is_sure, wanted))

    def wait(self, seconds: float) -> None:
        """Return after that time, or as soon as something changed or `wake` was called.

        A change since the last call counts, so none falls between poll and wait. A burst
        is one reason to poll, not many: after a lone line we return at once, and of a log
        that is written to all the time what comes within `APART` is polled together.
        """
        if self._woken.wait(seconds):
            if (early := self._returned + APART - time.monotonic()) > 0:
                time.sleep(early)
            self._woken.clear()
            self._returned = time.monotonic()

    def wake(self) -> None:
        """End the wait, or the next one if there is none. May be called on any thread."""
        self._woken.set()

    def close(self) -> None:
        """Watch nothing more."""
        self._watches.leave(self)


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
