# SPDX-License-Identifier: GPL-2.0-or-later
"""inotify, once for all sections.

The kernel allows a user few instances of it (128 by default), and other programs need
some, too. So there is one, with a thread that reads it and wakes those concerned. What
several sections watch is one watch.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from inotify_simple import Event, INotify, flags

from fail2ban.detect.guard import Guard, unguarded
from fail2ban.detect.mounts import MOUNTS

log = logging.getLogger(__name__)

#: What a path may be without our minding: it is waited for.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)
#: What an administrator can raise.
_LIMITS = {errno.EMFILE: "max_user_instances", errno.ENOSPC: "max_user_watches"}


class Sleeper(Protocol):
    """Who is woken by what happens to what it watches."""

    def wake(self) -> None: ...


class Watches:
    """What all sections watch; opened with the first watch, and closed with the last sleeper.

    Every method may be called on any thread.

    Args:
        guard: runs the thread's body.
        mounts: a file of the kernel that tells when something is mounted over a log;
            that wakes everybody.
    """

    def __init__(self, guard: Guard = unguarded, mounts: str = MOUNTS) -> None:
        self._guard, self._mounts = guard, mounts
        self._lock = threading.Lock()  # guards all of the following
        self._instance: _Instance | None = None
        self._sleepers: set[Sleeper] = set()
        self._wanted: dict[int, dict[Sleeper, int]] = {}  # watch -> who is woken by what
        self._adding = 0  # how many calls of `add` are at work
        self._unwanted: set[int] = set()  # watches to be given back
        self._said: set[int | None] = set()

    @property
    def tells_of_mounts(self) -> bool:
        """Whether sleepers are woken when something is mounted."""
        with self._lock:
            return self._instance is not None and self._instance.mounts is not None

    def add(self, sleeper: Sleeper, path: str, mask: int) -> int | None:
        """Have a sleeper woken by some of the events of a path; return the watch.

        What happens before it returns may wake nobody. None: there is nothing at the
        path, or it cannot be watched, which is said once.
        """
        watch = instance = trouble = None
        try:
            instance = self._begin(sleeper)
            # Not within the lock: a path on a network may take for ever. Who watches it
            # already goes on to.
            watch = int(instance.inotify.add_watch(path, mask | flags.MASK_ADD))
        except OSError as error:
            trouble = error
        with self._lock:
            self._adding -= 1
            if watch is not None and instance is self._instance:
                wanted = self._wanted.setdefault(watch, {})
                wanted[sleeper] = wanted.get(sleeper, 0) | mask
            self._clear_up()
        if trouble and trouble.errno not in _ABSENT:
            self._say(trouble)
        return watch

    def _begin(self, sleeper: Sleeper) -> _Instance:
        with self._lock:
            self._adding += 1
            self._sleepers.add(sleeper)
            self._instance = self._instance or self._open()
            return self._instance

    def drop(self, sleeper: Sleeper, watches: Iterable[int]) -> None:
        """Wake a sleeper no more for some watches."""
        with self._lock:
            for watch in watches:
                self._drop(sleeper, watch)

    def leave(self, sleeper: Sleeper) -> None:
        """Wake a sleeper no more."""
        with self._lock:
            self._sleepers.discard(sleeper)
            for watch in [one for one, wanted in self._wanted.items() if sleeper in wanted]:
                self._drop(sleeper, watch)
            if not self._sleepers and self._instance is not None:
                self._instance.end()
                self._instance = None
                self._unwanted.clear()

    def _drop(self, sleeper: Sleeper, watch: int) -> None:
        wanted = self._wanted.get(watch)
        if wanted is None:
            return  # the kernel drops the watch of a deleted file by itself
        wanted.pop(sleeper, None)
        if not wanted:
            del self._wanted[watch]
            self._unwanted.add(watch)
            self._clear_up()

    def _clear_up(self) -> None:
        """Give back what nobody watches; not while somebody may just get the same watch."""
        if self._adding or self._instance is None:
            return
        for watch in self._unwanted - self._wanted.keys():
            with contextlib.suppress(OSError):  # the file is gone, and so is its watch
                self._instance.inotify.rm_watch(watch)
        self._unwanted.clear()

    def _open(self) -> _Instance:
        instance = _Instance(self._mounts)
        name = "inotify"
        body = threading.Thread(
            target=self._guard,
            args=(name, lambda: instance.run(self._tell)),
            name=name,
            daemon=True,
        )
        body.start()
        return instance

    def _tell(self, instance: _Instance, events: Sequence[Event], is_lost: bool) -> None:
        """Wake those whom some events concern, or everybody; on the thread."""
        with self._lock:
            if instance is not self._instance:
                return
            concerned = dict.fromkeys(self._sleepers) if is_lost else {}
            for watch, mask, _, _ in events:
                for sleeper, wanted in self._wanted.get(watch, {}).items():
                    if mask & (wanted | _ALWAYS):
                        concerned[sleeper] = None
                if mask & flags.IGNORED:
                    self._wanted.pop(watch, None)
        for sleeper in concerned:
            sleeper.wake()

    def _say(self, error: OSError) -> None:
        with self._lock:
            was_said = error.errno in self._said
            self._said.add(error.errno)
        if was_said:
            return
        limit = _LIMITS.get(error.errno or 0)
        hint = f", see fs.inotify.{limit}" if limit else ""
        text = "inotify is not fully available (%s%s): what it does not tell of is only polled"
        log.info(text, error.strerror, hint)


#: These come without being asked for.
_ALWAYS = flags.IGNORED | flags.UNMOUNT


class _Instance:
    """An instance of inotify; `run` reads it until it is ended.

    Attributes:
        mounts: of the file that tells of mounts; None: there is none.

    Raises:
        OSError: there is no room for one more.
    """

    def __init__(self, mounts: str) -> None:
        self.inotify = INotify(nonblocking=True)
        try:
            self._ending = os.eventfd(0)
        except OSError:
            self.inotify.close()
            raise
        self.mounts = _opened(mounts)

    def run(self, tell: Callable[[_Instance, Sequence[Event], bool], None]) -> None:
        """Tell of what happens, and whether some of it is lost; on a thread of its own."""
        poll = select.poll()
        poll.register(self._ending, select.POLLIN)
        poll.register(self.inotify.fileno(), select.POLLIN)
        if self.mounts is not None:
            poll.register(self.mounts, select.POLLPRI)
        while self._ending not in (ready := [descriptor for descriptor, _ in poll.poll()]):
            events = self.inotify.read(timeout=0)
            has_overflown = any(mask & flags.Q_OVERFLOW for _, mask, _, _ in events)
            tell(self, events, has_overflown or self.mounts in ready)
        self.inotify.close()
        os.close(self._ending)
        if self.mounts is not None:
            os.close(self.mounts)

    def end(self) -> None:
        """Have `run` return; on any thread."""
        os.eventfd_write(self._ending, 1)


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
