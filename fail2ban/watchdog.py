# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives signs of life only while the daemon really works.

The service manager kills who is silent for too long, and starts him again. A timer
asks the main thread for a step now and then; so both are alive where a step is made.
The threads that work off a queue are asked to answer from there: who is stuck in one
piece of work does not. A thread that dies is another matter: that ends the daemon.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

#: Puts something to call into a worker's queue; must return at once.
Ask = Callable[[Callable[[], None]], object]


class Pulse:
    """The progress of one worker.

    A long queue is no reason to be killed, as long as it gets shorter: each piece of
    work that begins or ends is a beat.

    Args:
        patience: gives the seconds after which a worker that was asked, and has
            neither answered nor made progress, is stuck.
    """

    def __init__(
        self, name: str, ask: Ask, patience: Callable[[], float], ticks: Callable[[], float]
    ) -> None:
        self.name = name
        self.stuck = False
        self._ask, self._patience, self._ticks = ask, patience, ticks
        self._asked = False
        self._last = ticks()

    def beat(self) -> None:
        """Note progress; any thread."""
        self._last = self._ticks()

    def around(self, work: Callable[P, T]) -> Callable[P, T]:
        """Return the same work, whose beginning and end are beats."""

        def noted(*words: P.args, **named: P.kwargs) -> T:
            self.beat()
            try:
                return work(*words, **named)
            finally:
                self.beat()

        return noted

    def look(self) -> float:
        """Ask if no question is open; return for how many seconds too long it has been."""
        if not self._asked:
            self._asked = True
            self.beat()
            self._ask(self._answer)
        return self._ticks() - self._last - self._patience()

    def _answer(self) -> None:
        """Take the answer, on the worker's thread."""
        self.beat()
        self._asked = False


class Watchdog:
    """Feeds the service manager's watchdog as long as nobody is stuck.

    Args:
        feed: gives one sign of life.
        ticks: seconds that only go forward.
    """

    def __init__(self, feed: Callable[[], object], ticks: Callable[[], float]) -> None:
        self._feed, self._ticks = feed, ticks
        self._pulses: list[Pulse] = []

    def watch(self, name: str, ask: Ask, patience: Callable[[], float]) -> Pulse:
        """Watch one more worker; see `Pulse`. Before the first step."""
        pulse = Pulse(name, ask, patience, self._ticks)
        self._pulses.append(pulse)
        return pulse

    def step(self) -> None:
        """Ask everybody, and give a sign of life if nobody is stuck; on the main thread."""
        for pulse in self._pulses:
            late = pulse.look()
            if pulse.stuck != (late > 0):
                pulse.stuck = not pulse.stuck
                _tell(pulse)
        if not any(pulse.stuck for pulse in self._pulses):
            self._feed()


def _tell(pulse: Pulse) -> None:
    if pulse.stuck:
        log.critical("%s is stuck: if it stays so, the service manager ends us", pulse.name)
    else:
        log.warning("%s works again", pulse.name)
