# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that only the main thread can do, handed over by the others.

Only there can a search be interrupted (see `budget.py`), so readers have their
lines matched there. They wait meanwhile: no two searches could run at a time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from fail2ban.errors import Fail2BanError

T = TypeVar("T")

#: Seconds between two looks at a condition that nobody tells us about.
LOOK = 0.005


class Closed(Fail2BanError):
    """The main thread does no more work for others."""


class MainThread:
    """Takes work from any thread and does it on the main thread.

    Args:
        wake: makes the main thread call `serve` soon; called on the thread that
            asks. None: nobody will ever serve, so everybody does his own work
            (in tests and tools).
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._wake = wake
        self._waiting: deque[_Call[object]] = deque()
        self._changed = threading.Condition()  # guards the above and `_closed`
        self._closed = False

    def call(self, work: Callable[[], T]) -> T:
        """Have `work` done on the main thread; return what it returns.

        Raises:
            Closed: it was not done and will not be.
            BaseException: whatever `work` raises.
        """
        if self._wake is None or threading.current_thread() is threading.main_thread():
            return work()
        call: _Call[T] = _Call(work)
        with self._changed:
            if self._closed:
                raise Closed("the main thread has ended its service")
            self._waiting.append(call)  # type: ignore[arg-type]
            self._changed.notify_all()
        self._wake()
        return call.wait()

    def serve(self) -> None:
        """Do what waits at the moment; on the main thread.

        What is asked for meanwhile is left for the next time, so that the
        caller gets round to other things.
        """
        for _ in range(len(self._waiting)):
            self._waiting.popleft().run()

    def serve_while(self, condition: Callable[[], bool]) -> None:
        """Do what is asked for as long as `condition` holds; on the main thread."""
        while condition():
            with self._changed:
                if not self._waiting:
                    self._changed.wait(LOOK)
            self.serve()

    def join(self, thread: threading.Thread) -> None:
        """Wait for the end of a thread that may need us; on the main thread."""
        self.serve_while(thread.is_alive)
        thread.join()

    def close(self) -> None:
        """Refuse all work from now on, also what waits."""
        with self._changed:
            self._closed = True
            while self._waiting:
                self._waiting.popleft().refuse()


class _Call(Generic[T]):
    """One piece of work, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:
            self._error = error
        self._done.set()

    def refuse(self) -> None:
        self._error = Closed("the main thread has ended its service")
        self._done.set()

    def wait(self) -> T:
        self._done.wait()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds us: no cycle is to be left
        return self._result[0]
