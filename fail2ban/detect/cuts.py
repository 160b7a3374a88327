# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the timestamps of a format may stand in a line: what `factors.Cut` each allows.

A format is looked at as `templates` wrote it: something in front, a group that is cut
out, something behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from fail2ban.detect.factors import FRONT, Cut, parsed

#: From the most that can be said to the least.
_ORDER = (Cut.NOTHING, Cut.FRONT, Cut.BRACKET, Cut.WORDS, Cut.ANYWHERE)


def common(formats: Iterable[tuple[str, int | str]]) -> Cut:
    """Return what can be said of the cuts of all formats together.

    Args:
        formats: the regular expression of each, and the group that is cut out.
    """
    allowed = set(_ORDER)
    for regex, group in formats:
        allowed &= cuts_of(regex, group)
        if len(allowed) == 1:
            break
    return min(allowed, key=_ORDER.index)


@lru_cache(maxsize=1024)
def cuts_of(regex: str, group: int | str) -> frozenset[Cut]:
    """Return what can be said of the cuts of a format; `Cut.ANYWHERE` always can."""
    if parts := _parts(regex, group):
        return frozenset(_cuts(*parts))
    # Within something else it may be cut out anywhere, or not take part at all.
    return frozenset({Cut.ANYWHERE})


def _parts(regex: str, group: int | str) -> tuple[Any, Any, Any] | None:
    """Return what stands before a group, in it and behind it; None: it is within another."""
    nodes = parsed(regex)
    number = nodes.state.groupdict.get(group, group)
    for index, (op, value) in enumerate(nodes):
        if op.name == "SUBPATTERN" and value[0] == number:
            return nodes[:index], value[3], nodes[index + 1 :]
    return None


def _cuts(front: Any, date: Any, back: Any) -> Iterator[Cut]:
    yield Cut.ANYWHERE
    most = FRONT + 1
    if len(front) and str(front[0]) == _BEGIN:
        most = front.getwidth()[1]
    if most <= FRONT:
        yield from (Cut.FRONT, Cut.BRACKET)
    if str(front[-1:]) == _BRACKET:
        yield Cut.BRACKET
    if not most or not date.getwidth()[1]:
        yield from _ORDER
    elif _ends_apart(front) or _is_no_word(back[:1]) or _ends_word(date, back):
        yield Cut.WORDS


def keep_words(formats: Iterable[tuple[str, int | str]]) -> bool:
    """Tell whether each word of what the patterns see is a whole word of the line.

    So it is unless a timestamp may stand right before or behind a letter or a digit, or
    between two of them, as "[12:00]" does in "a[12:00]b".

    Args:
        formats: as for `common`.
    """
    return all(
        Cut.WORDS in cuts_of(regex, group) and _keeps_words(regex, group)
        for regex, group in formats
    )


@lru_cache(maxsize=1024)
def _keeps_words(regex: str, group: int | str) -> bool:
    if not (parts := _parts(regex, group)):
        return False
    front, date, back = parts
    return _begins_apart(front, date) and _is_apart(back[:1])


def _begins_apart(front: Any, date: Any) -> bool:
    """Tell whether no letter or digit stands right before a date."""
    if _ends_apart(front) or _is_apart(front[-1:]):
        return True
    while len(date) and date[0][0].name == "SUBPATTERN":
        date = date[0][1][3]
    return _is_no_word(date[:1]) or str(date[:1]) == _EPOCH_PLACE


def _ends_apart(front: Any) -> bool:
    """Tell whether what stands before a date never ends in a letter or a digit."""
    return str(front) in _LINE_BEGINS or _is_no_word(front[-1:])


def _is_apart(nodes: Any) -> bool:
    """Tell whether these are something between a word and another."""
    return _is_no_word(nodes) or str(nodes) == f"[{_BOUNDARY}]"


def _is_no_word(nodes: Any) -> bool:
    """Tell whether these are a certain character that is not part of a word."""
    return any(op.name == "LITERAL" and value < 128 and not _is_word(value) for op, value in nodes)


def _ends_word(date: Any, back: Any) -> bool:
    """Tell whether a date ends in a word, behind which it does not go on."""
    ends = bool(date.getwidth()[0]) and _ends_in_word(date)
    return ends and len(back) > 0 and str(back[0]) == _BOUNDARY


_BEGIN, _BRACKET = str(parsed("^")[0]), str(parsed(r"\["))
#: As `templates` puts it behind a date: after a letter or a digit comes no other.
_BOUNDARY = str(parsed(r"(?!\B\w)")[0])
#: As `templates` puts them before a date.
_LINE_BEGINS = tuple(str(parsed(front)) for front in ("^", r"^\W{0,2}"))
_EPOCH_PLACE = str(parsed(r"(?:^|(?<=^\[)|(?<=\baudit\())"))
_TAKE_NOTHING = ("AT", "ASSERT", "ASSERT_NOT")


def _ends_in_word(nodes: Any) -> bool:
    """Tell whether whatever some nodes take, if anything, ends in a word character."""
    for index in range(len(nodes) - 1, -1, -1):
        op, value = nodes[index]
        if op.name in _TAKE_NOTHING:
            continue
        if not _node_ends_in_word(op.name, value):
            return False
        if nodes[index : index + 1].getwidth()[0]:
            return True
    return True


def _node_ends_in_word(op: str, value: Any) -> bool:
    if op == "LITERAL":
        return _is_word(value)
    if op == "IN":
        return all(_member_is_word(kind.name, member) for kind, member in value)
    if op == "SUBPATTERN":
        return _ends_in_word(value[3])
    if op == "BRANCH":
        return all(map(_ends_in_word, value[1]))
    if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _ends_in_word(value[2])
    return False


def _member_is_word(kind: str, member: Any) -> bool:
    if kind == "LITERAL":
        return _is_word(member)
    if kind == "RANGE":
        return all(map(_is_word, range(member[0], min(member[1], 128) + 1)))
    return kind == "CATEGORY" and member.name in ("CATEGORY_DIGIT", "CATEGORY_WORD")


def _is_word(code: int) -> bool:
    return code < 128 and (chr(code).isalnum() or chr(code) == "_")
