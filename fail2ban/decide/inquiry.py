# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes time about failures, on a thread of its own: no reader waits for it."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable

from fail2ban.records import Id

log = logging.getLogger(__name__)

#: Questions of one section that wait; more are dropped.
CAPACITY = 1000

#: Of them about one id, unless more failures are needed for a ban: nobody
#: keeps others from being heard.
SHARE = 20


class Inquiry:
    """Does one piece of work after the other; any thread may hand one in.

    Args:
        jail: for messages.

    Attributes:
        dropped: pieces of work that were not done because too many waited.
    """

    def __init__(self, jail: str) -> None:
        self.dropped = 0
        self._jail = jail
        self._queue: deque[tuple[Id | None, Callable[[], None]]] = deque()
        self._waiting: Counter[Id] = Counter()
        self._changed = threading.Condition()  # guards all of this
        self._thread: threading.Thread | None = None
        self._full = self._closed = False

    def put(self, id: Id | None, work: Callable[[], None], share: int = SHARE) -> bool:
        """Have `work` done, soon; return False if it is dropped: too much waits already.

        Args:
            id: whom it is about; None: nobody, then it is never dropped.
            share: how much may wait about one id.
        """
        with self._changed:
            if self._closed:
                return True  # it was not dropped: the next run of the daemon does it
            if id is not None and self._is_full(id, share):
                self.dropped += 1
                return False
            self._queue.append((id, work))
            if id is not None:
                self._waiting[id] += 1
            self._changed.notify()
            self._start()
            return True

    def close(self) -> None:
        """Drop what waits. Does not wait for what is being done."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify()

    @property
    def closed(self) -> bool:
        """Whether what is being done is for nobody any more."""
        return self._closed

    def _is_full(self, id: Id, share: int) -> bool:
        if len(self._queue) < CAPACITY:
            return self._waiting[id] >= share
        if not self._full:
            text = "[%s] %d failures wait for ignorecommand or ignoreip: more are not counted"
            log.warning(text, self._jail, CAPACITY)
        self._full = True
        return True

    def _start(self) -> None:
        if self._thread is None:
            # A daemon thread: the end must not wait for a command.
            name = f"inquiry/{self._jail}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
        elif not self._thread.is_alive():
            # A bug has ended it; end the reader as well, which the daemon notices.
            raise RuntimeError("the thread that asks ignorecommand has died")

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._queue and not self._closed:
                self._full = False
                self._changed.wait()
            if self._closed:
                return None
            id, work = self._queue.popleft()
            if id is not None:
                self._waiting[id] -= 1
                if not self._waiting[id]:
                    del self._waiting[id]
            return work
