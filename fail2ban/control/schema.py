# SPDX-License-Identifier: GPL-2.0-or-later
"""What the answers look like that programs read: a promise, see fail2ban-protocol(7).

A name that is here stays, with its meaning; later versions of the same schema only
add names. A change that could break a reader gets a new number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fail2ban.control import health

#: The number of this schema; a client asks for it.
VERSION = 1

#: A type, None, a list of one shape for all items, a dict of the shapes of named parts, or
#: a tuple of alternatives. `float` includes whole numbers, `object` is anything.
Shape = Any

_NUMBERS = {"now": int, "total": int}
JAIL: dict[str, Shape] = {
    "name": str,
    "backend": str,
    "sources": [str],
    "idle": bool,
    "dryrun": bool,
    "failed": _NUMBERS,
    "banned": {**_NUMBERS, "wanted": int, "applied": int, "failed": int},
}
BAN: dict[str, Shape] = {
    "jail": str,
    "dryrun": bool,
    "id": str,
    "start": float,
    "end": (float, None),
    "count": int,
    "failures": int,
    "restored": bool,
    "state": str,
    "error": str,
}
EVENT: dict[str, Shape] = {
    "time": float,
    "kind": str,
    "jail": str,
    "id": (str, None),
    "facts": dict,
}
CHECK: Shape = (
    {"jail": str, "verdict": str},
    {
        "jail": str,
        "verdict": str,
        "ignored": (str, None),
        "entry": str,
        "failures": int,
        "maxretry": int,
        "findtime": float,
        "until": (float, None),
        "dryrun": bool,
    },
)
_WHY = {"id": str, "now": float, "events": [EVENT], "bans": [BAN]}
_STATS = {"jails": [JAIL]}

#: Question -> its answer, without the number of the schema. Capitals stand for any word.
SHAPES: dict[str, Shape] = {
    "ping": {"reply": str},
    "version": {"version": str},
    "echo WORD": {"words": [str]},
    "status": {"version": str, "jails": [JAIL], "health": health.SHAPES["health"]},
    "status JAIL": {"jail": {**JAIL, "bans": [BAN]}},
    "status JAIL short": {"jail": JAIL},
    "status --all": {"jails": [{**JAIL, "bans": [BAN]}]},
    "status --all short": _STATS,
    "stats": _STATS,
    "statistic": _STATS,
    "statistics": _STATS,
    "banned": {"bans": [BAN]},
    "banned ID": {"ids": [{"id": str, "jails": [str], "dryrun": [str]}]},
    "get OPTION": {"option": str, "value": object},
    "get JAIL OPTION": {"jail": str, "option": str, "value": object},
    "why ID": _WHY,
    "why-not ID": {**_WHY, "checks": [CHECK]},
    "server-status": {"result": str},
    **health.SHAPES,
}
#: The lines that follow the answer to `watch`.
LINES: Shape = (EVENT, {"lost": int})
#: What the client prints when the daemon refuses.
REFUSAL: dict[str, Shape] = {"error": str, "kind": str}


def versioned(answer: Mapping[str, object]) -> dict[str, object]:
    """Return an answer with the number of its schema."""
    return {"schema": VERSION, **answer}


def deviations(
    value: object, shape: Shape, where: str = "answer", strict: bool = True
) -> list[str]:
    """Say how a value, as JSON has it, differs from a shape; an empty list: not at all.

    Args:
        strict: names that the shape does not tell of count, too; a reader passes over them.
    """
    if isinstance(shape, tuple):
        tried = [deviations(value, one, where, strict) for one in shape]
        return [] if [] in tried else min(tried, key=len)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list: {value!r}"]
        each = (deviations(item, shape[0], f"{where}[]", strict) for item in value)
        return [text for texts in each for text in texts]
    if isinstance(shape, dict):
        return _of_parts(value, shape, where, strict)
    return [] if _is(value, shape) else [f"{where} is no {shape}: {value!r}"]


def _of_parts(value: object, shape: Mapping[str, Shape], where: str, strict: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is no object: {value!r}"]
    wrong = [f"{where}.{name} is missing" for name in shape.keys() - value.keys()]
    if strict:
        wrong += [f"{where}.{name} is not told of" for name in value.keys() - shape.keys()]
    for name in shape.keys() & value.keys():
        wrong += deviations(value[name], shape[name], f"{where}.{name}", strict)
    return wrong


def _is(value: object, kind: type | None) -> bool:
    if kind is None or kind is object:
        return kind is object or value is None
    if kind in (int, float):
        return type(value) is int or type(value) is kind
    return isinstance(value, kind)
