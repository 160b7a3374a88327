# SPDX-License-Identifier: GPL-2.0-or-later
"""A thread for the commands of actions that only tell.

To look up an owner or to hand over a mail may take long. Nobody's ban waits
for it: such commands run one after the other, but apart from those that ban.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Something to do; it deals with its own errors.
Job = Callable[[], object]
#: Takes a job; returns at once, unless it does the job itself.
Aside = Callable[[Job], None]

#: Commands that wait; more are dropped.
CAPACITY = 1000
#: Seconds that the end waits for what is left.
PATIENCE = 20.0


def at_once(job: Job) -> None:
    """Do a job on the spot, as tests and tools want it."""
    job()


class Teller:
    """Does jobs in the order in which they come.

    Args:
        ticks: seconds that only go forward.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._dropping = False
        self._ended = threading.Event()

    def __call__(self, job: Job) -> None:
        """Have a job done; any thread."""
        if self._jobs.qsize() < CAPACITY:
            self._jobs.put(job)
        elif not self._dropping:
            self._dropping = True
            log.error("%d commands that tell of bans wait already: more are left out", CAPACITY)

    def run(self) -> None:
        """Do jobs until `finish`: the thread's body."""
        try:
            while (job := self._jobs.get()) is not None:
                job()
                if self._jobs.empty():
                    self._dropping = False
        finally:
            self._ended.set()

    def finish(self, seconds: float = PATIENCE) -> None:
        """Wait until everything is done, but not longer than so many seconds."""
        self._jobs.put(None)
        if not self._ended.wait(seconds):
            left = self._jobs.qsize()
            log.error("commands that tell of bans take too long: %d are left out", left)
