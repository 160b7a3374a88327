# SPDX-License-Identifier: GPL-2.0-or-later
"""Directives of `datepattern`, where they are not those of the classic language.

Source: jail-conf.md sections 8.3 to 8.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fail2ban.detect.directives import (
    C_NAMES,
    Token,
    all_zones,
    classic_tokens,
    number_token,
    plain_zones,
    read_epoch,
    read_offset,
    word_token,
)
from fail2ban.detect.moments import Parts
from fail2ban.zones import offset

#: Directives that are words: with one of them case does not matter in a `datepattern`.
WORDS = frozenset("aAbBp")


def _read_century(text: str) -> Parts:
    return {"year": 2000 + int(text)}


def _ignore(text: str) -> Parts:
    return {}


def _read_zone(text: str) -> Parts:
    seconds = all_zones().get(text, offset(text))
    if seconds is None:
        raise ValueError(f"unknown time zone {text!r}")
    return {"offset": seconds}


def _read_long_epoch(text: str) -> Parts:
    """Read seconds (10 or 11 digits), milliseconds (13) or microseconds (16)."""
    whole, _, fraction = text.partition(".")
    if len(whole) < 13:
        return {"epoch": int(whole)}
    digits = whole if len(whole) > 15 else whole + fraction[:3].ljust(3, "0")
    seconds, microseconds = divmod(int(digits), 1_000_000)
    return {"epoch": seconds, "microsecond": microseconds}


def _read_plain_tai64(text: str) -> Parts:
    """Read the seconds as those of Unix, thus 10 too many in what daemontools writes.

    So the tree has always been read; jail-conf.md section 8.4 says it surprises.
    """
    return {"epoch": int(text[2:17], 16)}


_HOURS = "[01]?[0-9]|2[0-3]"
_TREE_TOKENS = {
    "y": Token("[0-9]{2}", _read_century),
    "Exy": Token("[0-9]{2}", _read_century),
    "m": number_token("month", "0?[1-9]|1[0-2]"),
    "d": number_token("day", "[12][0-9]|[0 ]?[1-9]|3[01]"),
    "j": number_token(
        "yearday", "36[0-6]|3[0-5][0-9]|[12][0-9][0-9]|0?[1-9][0-9]|0{0,2}[1-9](?![0-9])"
    ),
    "H": number_token("hour", _HOURS),
    "k": number_token("hour", f" ?(?:{_HOURS})"),
    "Exk": number_token("hour", f" ?(?:{_HOURS})"),
    "Exl": number_token("hour12", " ?(?:1[0-2]|0?[1-9])"),
    "S": number_token("second", "[0-5]?[0-9]|6[01]"),
    # More digits than these, or their value, have never counted.
    "f": Token("[0-9]{1,6}", _ignore),
    "z": Token("Z|UTC|GMT|[+-][01][0-9](?::?[0-9]{2})?", read_offset),
    "EPOCH": Token(r"[0-9]{10,11}\b(?:\.[0-9]{3,6})?", read_epoch),
    "LEPOCH": Token(
        r"[0-9]{10,11}(?:[0-9]{3}(?:\.[0-9]{1,6}|[0-9]{3})?)?(?![0-9])", _read_long_epoch
    ),
    "TAI64N": Token("@[0-9a-f]{24}", _read_plain_tai64),
}


@cache
def tree_tokens(last_year: int) -> Mapping[str, Token]:
    """Return the directives of `datepattern`, with the names of zones that hold now.

    Args:
        last_year: `%ExY` means a year from 2000 to the end of its decade.
    """
    zones = plain_zones()
    decades = "|".join(map(str, range(200, last_year // 10 + 1)))
    any_zone = "|".join(sorted(all_zones(), key=len, reverse=True))
    return {
        **classic_tokens(C_NAMES),
        **_TREE_TOKENS,
        "ExY": number_token("year", f"(?:{decades})[0-9]"),
        "Z": word_token("offset", zones, flags="-i"),
        "ExZ": Token(f"(?-i:{any_zone})", _read_zone),
        "Exz": Token(
            f"(?-i:(?:{any_zone})?[+-][01][0-9](?::?[0-9]{{2}})?|(?:{any_zone}))", _read_zone
        ),
    }
