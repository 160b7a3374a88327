# SPDX-License-Identifier: GPL-2.0-or-later
"""How bans grow longer, in both languages.

Source: jail-conf.md section 5.5.
"""

from __future__ import annotations

import random
import re

from fail2ban import arithmetic as formulas
from fail2ban.config import arithmetic
from fail2ban.config.common import Source
from fail2ban.config.options import Option
from fail2ban.config.values import quoted
from fail2ban.records import GrowthSettings

# Bans that a formula is tried with before it is trusted.
_TRIED = (1, 2)


def _factor(text: str) -> float:
    if not text:
        return 1.0
    try:
        found = float(formulas.number(text))
    except ValueError:
        raise ValueError(f"{quoted(text)} is no factor; expected a number as 1.5") from None
    if found <= 0:
        raise ValueError(f"{quoted(text)} is not above 0; expected a number as 1.5")
    return found


def _formula(text: str) -> str:
    """Check a formula, and that it has a result at all."""
    if text:
        formula = formulas.formula(text)
        for count in _TRIED:
            formula(600, count, 1.0, random.Random(0))
    return text


def _multipliers(text: str) -> tuple[float, ...]:
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if wrong := [word for word in words if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", word)]:
        expected = "expected numbers with blanks between them, as 1 2 4 8"
        raise ValueError(f"{quoted(wrong[0])} is no number; {expected}")
    return tuple(float(word) for word in words)


def _limit(text: str) -> float | None:
    return arithmetic.ban_duration(text) if text else None


def _jitter(text: str) -> float:
    return arithmetic.duration(text) if text else 0.0


FACTOR = Option("bantime.factor", _factor, 1.0)
FORMULA = Option("bantime.formula", _formula, "")
MULTIPLIERS: Option[tuple[float, ...]] = Option("bantime.multipliers", _multipliers, ())
MAXTIME: Option[float | None] = Option("bantime.maxtime", _limit, None, shown="none")
RNDTIME = Option("bantime.rndtime", _jitter, 0.0)
#: All but those that say yes or no, for which each language has its own words.
OPTIONS: tuple[Option[object], ...] = (FACTOR, FORMULA, MULTIPLIERS, MAXTIME, RNDTIME)


def growth_settings(source: Source, all_jails: bool) -> GrowthSettings:
    """Return how the bans of a section grow, if they do.

    Args:
        all_jails: count the bans of all sections.
    """
    return GrowthSettings(
        factor=source.get(FACTOR),
        formula=source.get(FORMULA),
        multipliers=source.get(MULTIPLIERS),
        longest=source.get(MAXTIME),
        jitter=source.get(RNDTIME),
        all_jails=all_jails,
    )
