# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a ban lasts, and how much a failure counts of one who was banned before.

Source: jail-conf.md section 5.5.
"""

from __future__ import annotations

import logging
import math
import random

from fail2ban import arithmetic
from fail2ban.records import GrowthSettings

log = logging.getLogger(__name__)

#: Earlier bans that make a difference: bans double, and nobody waits for ever.
MOST = 20


def attempts(bans: int, maxretry: int) -> int:
    """Return how often a failure counts after so many bans."""
    return min((1 << min(bans, MOST)) // 2 + 1, maxretry) if bans > 0 else 1


class BanTimes:
    """The length of the bans of one section. Any thread.

    Args:
        jail: for messages.
        base: seconds of the first ban; None: for ever, and nothing grows then.
        growth: None: all bans are as long as the first.
        rng: what a formula and the jitter draw from.
    """

    def __init__(
        self,
        jail: str,
        base: float | None,
        growth: GrowthSettings | None,
        rng: random.Random,
    ) -> None:
        self._jail, self._base, self._growth, self._rng = jail, base, growth, rng
        self._told = False
        self._formula = self._compile(growth.formula) if growth and growth.formula else None

    def seconds(self, bans: int) -> float | None:
        """Return the length of the ban that follows so many others; None: for ever."""
        growth, base = self._growth, self._base
        if growth is None or base is None or base <= 0 or bans < 1:
            return base
        seconds = self._grown(growth, base, bans)
        if growth.longest is not None:
            seconds = min(seconds, growth.longest)
        return float(int(seconds + self._rng.uniform(0, max(0.0, growth.jitter))))

    def _grown(self, growth: GrowthSettings, base: float, bans: int) -> float:
        if growth.multipliers:
            multiplier = growth.multipliers[min(bans, len(growth.multipliers) - 1)]
            return self._usable(base * growth.factor * multiplier, base)
        if not growth.formula:
            doubled = base * (1 << min(bans, MOST)) * growth.factor
            return max(base, self._usable(doubled, base))
        if self._formula is None:
            return base
        try:
            result = self._formula(base, bans, growth.factor, self._rng)
        except (ValueError, ArithmeticError) as error:
            self._tell(str(error))
            return base
        return max(base, self._usable(result, base))

    def _usable(self, seconds: float, base: float) -> float:
        if math.isfinite(seconds):
            return seconds
        self._tell(f"the result is {seconds}")
        return base

    def _compile(self, text: str) -> arithmetic.Formula | None:
        try:
            return arithmetic.formula(text)
        except ValueError as error:
            self._tell(str(error))
            return None

    def _tell(self, reason: str) -> None:
        """Say once that the usual ban time stands in."""
        if not self._told:
            log.error(
                "[%s] the length of a ban cannot be computed as the section says,"
                " the usual one is taken: %s",
                self._jail,
                reason,
            )
        self._told = True
