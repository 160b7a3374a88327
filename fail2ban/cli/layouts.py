# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists and trees of answers as lines of text.

Source: jail-conf.md sections 12.3 and 12.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.text import printable

#: Name -> value, in order.
Pairs = list[tuple[str, object]]

_EACH_JAIL = "Status for the jails"
_JAIL_INDENT = "   "


class NotLaidOut(Exception):
    """An answer has a shape that there is no layout for."""


def flat(value: object, raw: bool = False) -> str:
    """Return a value as Python writes it, texts bare, on one line unless `raw`."""
    text = value if isinstance(value, str) else repr(value)
    return text if raw else printable(text)


def items(value: object) -> list[str]:
    """Return the texts of a list."""
    if not isinstance(value, list):
        raise NotLaidOut
    return [flat(item) for item in value]


def pairs(value: object) -> Pairs:
    """Return the pairs that a list, or an object of JSON, is made of."""
    if isinstance(value, dict):
        return [(flat(name), item) for name, item in value.items()]
    if not isinstance(value, list):
        raise NotLaidOut
    return [_pair(item) for item in value]


def _pair(item: object) -> tuple[str, object]:
    match item:
        case [str(name), value]:
            return printable(name), value
    raise NotLaidOut


def branches(texts: Sequence[str]) -> list[str]:
    """Return texts as leaves of a tree."""
    return [mark + text for mark, text in zip(_marks(len(texts)), texts, strict=True)]


def status_lines(status: Pairs, indent: str = "") -> list[str]:
    """Return the tree of a status: groups of values, or values."""
    lines = []
    for mark, (name, value) in zip(_marks(len(status)), status, strict=True):
        if name == _EACH_JAIL:
            lines += [f"{indent}{mark}{name}:", *_jails(pairs(value), indent + _JAIL_INDENT)]
        elif _is_group(value):
            lines.append(f"{indent}{mark}{name}")
            lines += status_lines(pairs(value), indent + _under(mark))
        else:
            lines.append(f"{indent}{mark}{name}:\t{_leaf(value)}")
    return lines


def _jails(jails: Pairs, indent: str) -> list[str]:
    lines = []
    for mark, (name, status) in zip(_marks(len(jails)), jails, strict=True):
        lines.append(f"{indent}{mark}Jail: {name}")
        lines += status_lines(pairs(status), indent + _under(mark))
    return lines


def _marks(count: int) -> list[str]:
    """Return what stands before each of so many entries."""
    return ["|- "] * (count - 1) + ["`- "] * (count > 0)


def _under(mark: str) -> str:
    """Return what stands before the lines below an entry."""
    return "|  " if mark.startswith("|") else "   "


def _is_group(value: object) -> bool:
    """Tell pairs from a list of texts."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def _leaf(value: object) -> str:
    return " ".join(items(value)) if isinstance(value, list) else flat(value)
