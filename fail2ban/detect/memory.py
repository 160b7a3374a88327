# SPDX-License-Identifier: GPL-2.0-or-later
"""What a filter remembers of earlier lines, as texts that outlive the process.

Each is kept under a key of its own, so that only what has changed is written again.
The texts come back from a file: whatever they hold is taken as it is or left out, and
can change no more than which lines belong together.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from fail2ban.records import Capture
from fail2ban.text import printable

log = logging.getLogger(__name__)

T = TypeVar("T")

#: What the keys of a filter's memory begin with.
PREFIX = "filter:"
#: The keys of what there is once, and what those of connections begin with.
LINES, LAST, DATES = f"{PREFIX}lines", f"{PREFIX}last", f"{PREFIX}dates"
CONNECTION = f"{PREFIX}connection:"


def key_of(id: str) -> str:
    """Return the key of a connection, whose id an attacker may have chosen."""
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16)
    return CONNECTION + digest.hexdigest()


#: `json.dumps` would make one for each text.
_encoder = json.JSONEncoder(separators=(",", ":"))


def dumped(value: object) -> str:
    """Return plain data as a text."""
    return _encoder.encode(value)


def read(section: str, text: str, use: Callable[[Any], T]) -> T | None:
    """Return what `use` makes of the data in a text; None, with a warning, if it cannot.

    Args:
        use: raises ValueError, or what goes wrong by itself, for data of other shape.
    """
    try:
        return use(json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        what = printable(repr(text[:100]))
        log.warning("[%s] what was remembered of earlier lines is left out: %s", section, what)
        return None


def newest(texts: tuple[str, ...], size: int) -> Iterator[str]:
    """Yield the last texts, in order, that have so many characters together."""
    at = len(texts)
    while at and (size := size - len(texts[at - 1])) >= 0:
        at -= 1
    yield from texts[at:]


# Data -> what was meant; each raises ValueError for anything else.


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return tuple(map(text, value))


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise ValueError("no number")
    return value


def captures(value: Any) -> Mapping[str, Capture]:
    if not isinstance(value, dict):
        raise ValueError("no groups")
    return {name: texts(one) if isinstance(one, list) else text(one) for name, one in value.items()}
