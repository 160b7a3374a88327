# SPDX-License-Identifier: GPL-2.0-or-later
"""What the peer and we make of lines, in one shape that can be compared.

Source: samples.md section 5, jail-conf.md sections 7.4 and 7.7.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fail2ban.detect import budget
from fail2ban.detect.budget import OutOfTime
from fail2ban.detect.match import Line, Match
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.records import Capture, FilterSettings
from tests.compat.corpora import Feed
from tests.compat.oracle import JOURNAL_DATE
from tests.compat.peer import NOW

#: Marks of the peer's own on the way to a failure; they say nothing about it.
_MARKS = {"mlfpending", "mlfgained", "mlfforget", "content"}


@dataclass(frozen=True)
class Answer:
    """A failure.

    Attributes:
        id, ip: whom to count and whom to blame.
        time: seconds since the epoch; None where nothing tells it.
        lines: the evidence.
        groups: what the patterns captured, by lower-case name.
    """

    id: str
    ip: str
    time: float | None
    lines: tuple[str, ...]
    groups: Mapping[str, Capture]


#: What a line came to: a failure, none, or nothing in the time allowed.
Outcome = Answer | None | OutOfTime
SLOW = OutOfTime()


def of_peer(found: Sequence[tuple[int, Any]]) -> dict[int, Outcome]:
    """Return what the oracle answered, by number of the line; innocent lines are left out."""
    answers = {number: SLOW if got is None else _of_peer(got) for number, got in found}
    return {number: answer for number, answer in answers.items() if answer is not None}


def _of_peer(failures: Iterable[Mapping[str, Any]]) -> Answer | None:
    for failure in failures:
        # What has no id yet, or is no failure, is kept for later lines only.
        if failure["fid"] is None or failure["nofail"]:
            continue
        groups = failure["groups"]
        named = (groups.get(name) for name in ("ip4", "ip6", "dns"))
        host = next((text for text in named if text), failure["fid"])
        return Answer(
            address(failure["fid"]),
            address(host) if "cidr" not in groups else failure["fid"],
            failure["time"],
            tuple(failure["lines"]),
            _groups(groups),
        )
    return None


def ours(settings: FilterSettings, feeds: Sequence[Feed]) -> dict[int, Outcome]:
    """Give lines to a filter of ours; innocent lines are left out, as in `of_peer`."""
    budget.install()
    matcher = TaggedFilter(settings, doubting=False)
    outcomes = ((number, _ours(matcher, feed)) for number, feed in enumerate(feeds))
    return {number: outcome for number, outcome in outcomes if outcome is not None}


def _ours(matcher: TaggedFilter, feed: Feed) -> Outcome:
    try:
        stamp = "" if feed.time is None else JOURNAL_DATE
        match = matcher.match(Line(feed.text, feed.time, stamp), NOW)
    except OutOfTime:
        return SLOW
    return _answer(match) if match else None


def _answer(match: Match) -> Answer:
    host = str(match.host)
    found = host if match.fid is None else str(match.fid)
    return Answer(found, host, match.time, match.lines, _groups(match.groups))


def of_reference(case: Mapping[str, Any]) -> tuple[object, ...] | None:
    """Return the `essence` of what the corpus says of a case; a daemon stops at the first."""
    for failure in case["reference"]:
        if failure["fid"] is not None and not failure["nofail"]:
            return address(failure["fid"]), failure["time"], failure["attempts"]
    return None


def essence(outcome: Outcome) -> tuple[object, ...] | None:
    """Return id, time and number of lines of a failure."""
    if not isinstance(outcome, Answer):
        return None
    return outcome.id, outcome.time, len(outcome.lines)


def _groups(groups: Mapping[str, Any]) -> dict[str, Capture]:
    return {
        name.lower(): tuple(text) if isinstance(text, list) else text
        for name, text in groups.items()
        if name not in _MARKS and not name.startswith("skiplines")
    }


def address(text: str) -> str:
    """Return the usual form of an address; any other text as it is."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return text
