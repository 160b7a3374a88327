# SPDX-License-Identifier: GPL-2.0-or-later
"""Call things when their time has come: one thread, no scanning.

A ban ends at a time of day; a pause lasts so many seconds, whatever somebody
does to the clock in the meantime. So there is a heap for each.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any, TypeVarTuple

T = TypeVarTuple("T")

#: What the timer calls, on its thread.
Action = Callable[..., object]

#: Longest sleep in seconds. The wall clock may be set, or the machine suspended.
LONGEST_SLEEP = 30.0


class _Heap:
    """Actions by the time they are due on one clock; not safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        # Due, number, action and what it is called with: flat, for there may be many.
        self._items: list[tuple[Any, ...]] = []
        self._numbers = itertools.count()  # equal times run in the order of asking

    def push(self, due: float, action: Action, what: tuple[object, ...] = ()) -> None:
        heapq.heappush(self._items, (due, next(self._numbers), action, *what))

    def pop(self) -> tuple[Any, ...] | None:
        if self._items and self._items[0][0] <= self.clock():
            return heapq.heappop(self._items)
        return None

    def begins_with(self, due: float) -> bool:
        return bool(self._items[0][0] == due)

    def until_next(self) -> float:
        return self._items[0][0] - self.clock() if self._items else LONGEST_SLEEP

    def __len__(self) -> int:
        return len(self._items)


class Timer:
    """Calls actions at a time of day or after a pause.

    Actions run on the timer's thread. They may only work in memory and put
    orders into queues, so that none is late because of another.

    Args:
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._times, self._pauses = _Heap(clock), _Heap(ticks)
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Return how many actions wait."""
        with self._changed:
            return len(self._times) + len(self._pauses)

    def at(self, due: float, action: Callable[[*T], object], *what: *T) -> None:
        """Call `action` with `what` once, at `due` seconds since the epoch; any thread."""
        with self._changed:
            self._times.push(due, action, what)
            if self._times.begins_with(due):
                self._changed.notify()

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` once, when so many seconds have passed; any thread."""
        with self._changed:
            due = self._pauses.clock() + seconds
            self._pauses.push(due, action)
            if self._pauses.begins_with(due):
                self._changed.notify()

    def step(self) -> float:
        """Call what is due; return the seconds until there is more to do."""
        while (item := self._pop()) is not None:
            _, _, action, *what = item
            action(*what)
        with self._changed:
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

    def _pop(self) -> tuple[Any, ...] | None:
        with self._changed:
            return self._times.pop() or self._pauses.pop()

    def _until_next(self) -> float:
        soonest = min(self._times.until_next(), self._pauses.until_next())
        return min(LONGEST_SLEEP, max(0.0, soonest))
