# SPDX-License-Identifier: GPL-2.0-or-later
"""Where we differ from the peer on purpose, one by one, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fail2ban.detect.budget import OutOfTime
from tests.compat.answers import Answer, Outcome, address
from tests.compat.corpora import Feed
from tests.compat.peer import NOW

_VARIANTS = (
    "an argument stands before the variants of its option, too, so that `blocktype=RETURN` lets"
    " IPv6 through; this version of the peer went on to reject it, later ones do as we do"
)
_KNOWN = (
    "jail.conf passes `<known/chain>`, the action's own default, which the peer finds only"
    " while it fills in commands; these are equal"
)
#: Jail, or "*" for any, and "option" or "command family" -> why it differs.
OPTIONS: dict[tuple[str, str], str] = {
    ("*", "chain"): _KNOWN,
    ("pass2allow-ftp", "actionban inet6"): _VARIANTS,
    ("pass2allow-ftp", "actionunban inet6"): _VARIANTS,
}

#: Action and "command family" -> why it differs.
ACTIONS: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Failures:
    """A kind of line of which something else becomes here.

    Attributes:
        explains: whether a line, what the peer makes of it and what we do is of this kind.
        always: there are such lines, however fast the machine is.
    """

    reason: str
    explains: Callable[[Feed, Outcome, Outcome], bool]
    always: bool = True


_WHO = ("ip4", "ip6", "dns")
#: Lines for which a pattern of this version takes seconds, or for ever.
_SLOW = ("Disconnected: a: a: a: a: a: a: a:", "Authentication failed: 0:0:0:0:0:0:")


def _is_slow(feed: Feed, theirs: Outcome, ours: Outcome) -> bool:
    gave_up = isinstance(theirs, OutOfTime) or isinstance(ours, OutOfTime)
    return gave_up and any(text in feed.text for text in _SLOW)


def _has_two_addresses(feed: Feed, theirs: Outcome, ours: Outcome) -> bool:
    """Whether the peer blames an address of an earlier line, and we that of this one."""
    if not isinstance(theirs, Answer) or not isinstance(ours, Answer):
        return False
    groups = {name: text for name, text in theirs.groups.items() if ours.groups.get(name) == text}
    dropped = theirs.groups.keys() - groups.keys()
    named = [ours.groups[name] for name in _WHO if name in ours.groups]
    same = replace(theirs, id=ours.id, ip=ours.ip, groups=groups) == ours
    return (
        same
        and "mlfid" in groups
        and dropped <= {*_WHO}
        and [address(str(text)) for text in named] == [ours.ip]
    )


def _has_a_date_before_it(feed: Feed, theirs: Outcome, ours: Outcome) -> bool:
    """Whether the peer put the timestamp of an earlier line before the evidence."""
    if not isinstance(theirs, Answer) or not isinstance(ours, Answer):
        return False
    (*before, last), (*our_before, our_last) = theirs.lines, ours.lines
    same = replace(theirs, lines=ours.lines) == ours and before == our_before
    return same and our_last == feed.text and last.endswith(feed.text)


def _has_a_date_from_the_future(feed: Feed, theirs: Outcome, ours: Outcome) -> bool:
    if not isinstance(theirs, Answer) or not isinstance(ours, Answer):
        return False
    ahead = theirs.time is not None and theirs.time >= NOW + 60 and ours.time is None
    same = replace(theirs, time=None, lines=ours.lines) == ours
    return ahead and same and theirs.lines[-1].endswith(feed.text) and feed.time is None


FAILURES = (
    Failures(
        "a filter of the peer has a pattern that backtracks without end (GHSA-33wh-ccjc-p397):"
        " we give such a line up after half a second",
        _is_slow,
        always=False,
    ),
    Failures(
        "two connections had the same process number: the peer goes on to blame the address"
        " of the first, if that is IPv4 or a name and the second is not, and keeps it among"
        " what was captured",
        _has_two_addresses,
    ),
    Failures(
        "a line without timestamp counts for the time of the one before it: the peer also"
        " writes that timestamp in front of it, in what it shows as evidence",
        _has_a_date_before_it,
    ),
    Failures(
        "the timestamp of the line before is years ahead of the clock, which stands: to the peer"
        " it is less than a minute old, so that it holds for a line without one; to us it is not",
        _has_a_date_from_the_future,
    ),
)
