# SPDX-License-Identifier: GPL-2.0-or-later
"""What our filters make of the samples, compared with what upstream's testers say of them.

Source: samples.md sections 2 to 5, corpora/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fail2ban.detect.addresses import parse_address
from fail2ban.detect.budget import OutOfTime
from fail2ban.detect.match import Line, Match
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.records import Capture
from tests.compat.peer import NOW

Case = Mapping[str, Any]
#: Texts that a case may demand of what the patterns captured.
_TEXTS = ("user", "ip4", "ip6", "dns")


def replay(cases: Iterable[Case], make: Callable[[Case], TaggedFilter]) -> dict[str, str]:
    """Give each case's line to the object of its instance, in order; return what is wrong by id.

    Args:
        make: makes the filter of a case.
    """
    filters: dict[str, TaggedFilter] = {}
    wrong = {}
    for case in cases:
        matcher = filters.get(case["instance"]) or make(case)
        filters[case["instance"]] = matcher
        if difference := _difference(case, _given(matcher, case, case["lines"][-1])):
            wrong[case["id"]] = difference
    return wrong


def alone(cases: Iterable[Case], make: Callable[[Case], TaggedFilter]) -> dict[str, str]:
    """Give all lines that a case needs to an object of its own; return what is wrong by id."""
    wrong = {}
    for case in cases:
        matcher = make(case)
        *before, last = case["lines"]
        for text in before:
            _given(matcher, case, text)
        if difference := _difference(case, _given(matcher, case, last)):
            wrong[case["id"]] = difference
    return wrong


def _given(matcher: TaggedFilter, case: Case, text: str) -> Match | None:
    """Return the one failure that a line is.

    All patterns are tried: two that match the same line would count it twice.
    """
    known = NOW if case["feed"] == "journal" else None
    try:
        hits = matcher.examine(Line(text, known), NOW).hits
    except OutOfTime:
        return None
    matches = [hit.match for hit in hits if hit.verdict == "failure"]
    assert len(matches) < 2, (case["id"], matches)
    return matches[0] if matches else None


def _difference(case: Case, match: Match | None) -> str:
    expect = case["expect"]
    if not match or not expect["match"]:
        return "" if bool(match) == expect["match"] else f"match: {bool(match)}"
    found = match.host if match.fid is None else match.fid
    host = expect["host"] and str(parse_address(expect["host"]) or expect["host"])
    pairs: list[tuple[str, object, object]] = [
        ("host", str(found), host),
        ("time", match.time, case["time_epoch"]),
        ("attempts", len(match.lines), expect.get("attempts")),
        ("users", set(_users(match)), expect.get("users") and set(expect["users"])),
    ]
    pairs = [pair for pair in pairs if pair[2] is not None]
    pairs += [(name, match.groups.get(name), expect[name]) for name in _TEXTS if name in expect]
    return "; ".join(f"{name}: {is_!r}" for name, is_, right in pairs if is_ != right)


def _users(match: Match) -> Capture:
    return match.groups.get("users", ())
