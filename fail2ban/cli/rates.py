# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast counters grow, from looks at them that are some time apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

#: Seconds over which the slower of the two rates is taken.
MINUTE = 60.0


class Rate(NamedTuple):
    """Growth of a counter.

    Attributes:
        second: for each second, between the last two looks.
        minute: for each minute, over the last one; less if we have looked for less.
    """

    second: float
    minute: float


NONE = Rate(0.0, 0.0)


class Rates:
    """Remembers the looks of the last minute."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def look(self, now: float, counters: Mapping[str, float]) -> None:
        """Note how the counters stand.

        Args:
            now: seconds of a clock that only goes forward.
        """
        self._looks.append((now, dict(counters)))
        # One look is kept from before the minute, so that it is a whole one.
        while len(self._looks) > 2 and self._looks[1][0] <= now - MINUTE:
            self._looks.popleft()

    def of(self, counter: str) -> Rate:
        """Return how fast a counter grows; one that began anew stands still."""
        if len(self._looks) < 2:
            return NONE
        last, before, first = self._looks[-1], self._looks[-2], self._looks[0]
        minute = _growth(first, last, counter) * min(MINUTE, last[0] - first[0])
        return Rate(_growth(before, last, counter), minute)


def _growth(
    first: tuple[float, dict[str, float]], last: tuple[float, dict[str, float]], counter: str
) -> float:
    seconds = last[0] - first[0]
    more = last[1].get(counter, 0.0) - first[1].get(counter, 0.0)
    return max(0.0, more) / seconds if seconds > 0 and counter in first[1] else 0.0
