# SPDX-License-Identifier: GPL-2.0-or-later
"""How lengths of time are distributed."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

#: Upper bounds in seconds of what is counted together; what takes longer is last.
BOUNDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram has counted so far.

    Attributes:
        counts: how many lie between a bound and the one before, for each of
            `BOUNDS`, and how many beyond the last.
        sum: of all, in seconds.
    """

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    sum: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def cumulative(self) -> tuple[int, ...]:
        """Return how many are not longer than each of `BOUNDS`, and how many there are."""
        return tuple(accumulate(self.counts))

    def quantile(self, share: float) -> float | None:
        """Return a bound that this share of all does not exceed.

        None: there is none, or they are longer than the last bound.
        """
        wanted = share * self.count
        if not wanted:
            return None
        return next(
            (b for b, n in zip(BOUNDS, self.cumulative(), strict=False) if n >= wanted), None
        )


class Histogram:
    """Counts lengths of time; not safe for threads."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one; a negative one, of a clock that was set, as nothing."""
        seconds = max(0.0, seconds)
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def read(self) -> Distribution:
        """Return what was counted so far."""
        return Distribution(tuple(self._counts), self._sum)
