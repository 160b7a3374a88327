# SPDX-License-Identifier: GPL-2.0-or-later
"""How bans of a jail of the tree grow longer.

Source: jail-conf.md section 5.5.
"""

from __future__ import annotations

import random
import re

from fail2ban import arithmetic as formulas
from fail2ban.config import arithmetic
from fail2ban.config.options import Option
from fail2ban.config.tree_options import Options
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
MAXTIME: Option[float | None] = Option("bantime.maxtime", _limit, None)
RNDTIME = Option("bantime.rndtime", _jitter, 0.0)


def growth_settings(options: Options) -> GrowthSettings | None:
    """Return how bans grow; None: they do not.

    Raises:
        ConfigError: an option cannot be made.
    """
    grows = options.truth("bantime.increment", False)
    growth = GrowthSettings(
        factor=options.get(FACTOR),
        formula=options.get(FORMULA),
        multipliers=options.get(MULTIPLIERS),
        longest=options.get(MAXTIME),
        jitter=options.get(RNDTIME),
        all_jails=options.truth("bantime.overalljails", False),
    )
    return growth if grows else None
