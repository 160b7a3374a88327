# SPDX-License-Identifier: GPL-2.0-or-later
"""Write durations and moments for people to read.

Source: jail-conf.md section 5.3; that a year is shown as 365 days, and a
month not at all, was seen in a log.
"""

from __future__ import annotations

import time

MINUTE, HOUR, DAY, WEEK, YEAR = 60, 3600, 86400, 7 * 86400, 365 * 86400

_UNITS = ((YEAR, "y"), (WEEK, "w"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1, "s"))

#: From so many seconds on the length is rounded to steps of so many.
_STEPS = ((YEAR, DAY), (WEEK, HOUR), (DAY, MINUTE), (HOUR - 5, 10))


def duration(seconds: float) -> str:
    """Write a length as "1y 3w 4d" or "59m 54s", rounded to what matters.

    A negative one gets a sign before it.
    """
    if seconds < 0:
        return f"-{duration(-seconds)}"
    step = next((step for least, step in _STEPS if seconds >= least), 1)
    left, words = int(seconds / step + 0.5) * step, []
    for unit, letter in _UNITS:
        count, left = divmod(left, unit)
        if count:
            words.append(f"{count}{letter}")
    return " ".join(words) or "0"


def moment(seconds: float) -> str:
    """Write a time of day, in seconds since the epoch, as "2026-01-31 23:59:59" local time.

    One that no calendar reaches is written as the number it is.
    """
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"
