# SPDX-License-Identifier: GPL-2.0-or-later
"""How well the timestamps of a section's lines are understood, and agree with our clock."""

from __future__ import annotations

import statistics
from collections import deque

#: Samples of which the median is taken.
SAMPLES = 31


class Dating:
    """What is noticed about timestamps; the reader asks, others may look at any time.

    Attributes:
        dated, undated: lines so far in which a timestamp was looked for, and found or not.
        offset: our clock less the timestamp of the last new line that had one, in
            seconds; None: there was none since the last sample.
    """

    def __init__(self) -> None:
        self.dated = self.undated = 0
        self.offset: float | None = None
        self._samples: deque[float] = deque(maxlen=SAMPLES)

    def sample(self) -> None:
        """Take the last line into account; called after each chunk of lines."""
        if self.offset is not None:
            self._samples.append(self.offset)
            self.offset = None

    @property
    def skew(self) -> float | None:
        """Seconds by which timestamps are behind our clock, as a rule; None: nobody knows."""
        samples = self._samples.copy()
        return statistics.median(samples) if samples else None
