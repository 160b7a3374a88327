# SPDX-License-Identifier: GPL-2.0-or-later
"""Call things when their time has come: one thread, one heap, no scanning."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

#: What the timer calls, with the time of the call in seconds since the epoch.
Action = Callable[[float], None]

#: Longest sleep in seconds. The wall clock may be set, or the machine suspended.
LONGEST_SLEEP = 30.0


class Timer:
    """A heap of actions by the time they are due.

    Actions run on the timer's thread. They may only work in memory and put
    orders into queues, so that none is late because of another.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()  # equal times run in the order of asking
        self._changed = threading.Condition()

    def at(self, due: float, action: Action) -> None:
        """Call `action` once, at `due` seconds since the epoch; any thread."""
        with self._changed:
            heapq.heappush(self._heap, (due, next(self._numbers), action))
            if self._heap[0][0] == due:
                self._changed.notify()

    def step(self) -> float:
        """Call what is due; return the seconds until there is more to do."""
        while (action := self._pop()) is not None:
            action(self._clock())
        return self._until_next()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set and `wake` was called."""
        while not stop.is_set():
            self.step()
            with self._changed:
                # Asked again under the lock: `at` or `wake` may have come between.
                seconds = self._until_next()
                if not stop.is_set() and seconds > 0:
                    self._changed.wait(seconds)

    def wake(self) -> None:
        """Let `run` look at its stop event; any thread."""
        with self._changed:
            self._changed.notify()

    def _pop(self) -> Action | None:
        with self._changed:
            if self._heap and self._heap[0][0] <= self._clock():
                return heapq.heappop(self._heap)[2]
            return None

    def _until_next(self) -> float:
        if not self._heap:
            return LONGEST_SLEEP
        return min(LONGEST_SLEEP, max(0.0, self._heap[0][0] - self._clock()))
