# SPDX-License-Identifier: GPL-2.0-or-later
"""How long to wait before something that failed is tried again."""

from __future__ import annotations

#: Seconds before a failed command is tried again: doubled each time, up to a limit.
RETRY_FIRST, RETRY_LONGEST = 1.0, 600.0

#: Failed bans that are tried again together: if they took too long, fewer may not.
RETRY_MOST = 1000

#: Seconds between two attempts to set up at the most.
START_LONGEST = 60.0

#: Longest pause in seconds between two repairs that did not help.
REPAIR_LONGEST = 3600.0


def growing_pause(first: float, failures: int, longest: float) -> float:
    """Return the seconds to wait after `failures` failures in a row, from 1."""
    return min(first * 2.0 ** min(failures - 1, 30), longest)
