# SPDX-License-Identifier: GPL-2.0-or-later
"""Lengths of time as a configuration tree writes them: `10m`, `1y-6mo`, `10*60`.

A number with a unit stands for a product, numbers side by side for their sum, and
what comes of that is plain arithmetic.

Source: jail-conf.md sections 5.3 and 15.
"""

from __future__ import annotations

import re

from fail2ban import arithmetic
from fail2ban.config.values import UNITS, quoted

#: Seconds of 1000 years; nobody waits for the end of what is longer.
LONGEST = 1000.0 * UNITS["year"]

# An operand is a number with or without a unit; anything else an operator can be
# made of stands alone.
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)\s*(?P<unit>[a-z]+)?"
    r"|(?P<operator>\*\*|//|<<|>>|[-+*/%()]))"
)
_EXPECTED = "expected seconds, or numbers with the units s, m, h, d, w, mo, y as in 1h30m"


def seconds(text: str) -> float:
    """Convert a length of time to seconds, cut to 1000 years; it may be negative.

    "600", "1d12h", "1h 30" (3630), "10*60", "600 # a comment", "-1". A number without
    unit means seconds, wherever it stands.

    Raises:
        ValueError: it is none.
    """
    plain = " ".join(line.partition("#")[0] for line in text.splitlines()).strip().lower()
    if not plain:
        raise ValueError(f"{quoted(text)} is not a duration; {_EXPECTED}")
    try:
        found = float(arithmetic.number(_expression(plain, text)))
    except arithmetic.ArithmeticProblem:
        raise ValueError(f"{quoted(text)} is not a duration; {_EXPECTED}") from None
    return max(-LONGEST, min(found, LONGEST))


def duration(text: str) -> float:
    """Convert a length of time that is not negative, in seconds."""
    found = seconds(text)
    if found < 0:
        raise ValueError(f"{quoted(text)} is negative; expected 0 or a duration as 10m")
    return found


def positive_duration(text: str) -> float:
    """Convert a length of time that is above nothing, in seconds."""
    found = seconds(text)
    if found <= 0:
        raise ValueError(f"{quoted(text)} is not above 0; expected a duration as 600 or 10m")
    return found


def ban_duration(text: str) -> float | None:
    """Convert the length of a ban to whole seconds; any negative one is None, for ever."""
    found = seconds(text)
    return None if found < 0 else float(int(found))


def _expression(plain: str, text: str) -> str:
    """Write a product for each number with a unit, and `+` between two that touch."""
    parts: list[str] = []
    end, before = 0, None
    while end < len(plain):
        token = _TOKEN.match(plain, end)
        if token is None:
            raise ValueError(f"{quoted(text)} is not a duration; {_EXPECTED}")
        if before and before["number"] and token["number"] and (before["unit"] or token["unit"]):
            parts.append("+")
        parts.append(_operand(token, text) or token["operator"])
        end, before = token.end(), token
    # Blanks keep apart what is not to become one number.
    return " ".join(parts)


def _operand(token: re.Match[str], text: str) -> str:
    """Return the product a number stands for; empty for an operator.

    It has no parentheses: `1h30m*2` doubles the minutes alone.
    """
    if token["number"] is None:
        return ""
    # Older trees pad with zeros, which arithmetic takes for a number of another base.
    number = token["number"].lstrip("0_") or "0"
    number = f"0{number}" if number.startswith(".") else number
    if not token["unit"]:
        return number
    if token["unit"] not in UNITS:
        raise ValueError(f"{quoted(text)} is not a duration; {_EXPECTED}, not {token['unit']!r}")
    return f"{number}*{UNITS[token['unit']]}"
