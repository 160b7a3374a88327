# SPDX-License-Identifier: GPL-2.0-or-later
"""Give lines to a filter and count what comes of them.

A line counts as what the daemon makes of it: the first failregex that matches
decides. Hits of the others are counted, too, where each sees one line.

Source: jail-conf.md section 14.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from fail2ban.cli.regex_kept import Kept
from fail2ban.decide.hosts import Addresses, look_up
from fail2ban.detect.budget import OutOfTime, ticking
from fail2ban.detect.linebuffer import Seen
from fail2ban.detect.match import Line, Match
from fail2ban.detect.names import MAX_ADDRESSES, is_host_name
from fail2ban.detect.tagged import Examination, Hit, TaggedFilter
from fail2ban.records import Id
from fail2ban.text import printable

Kind = Literal["matched", "ignored", "missed"]

#: Complaints about lines that take too long that are printed.
_COMPLAINTS = 5
#: Lines of which is told what prefregex captured.
_PREFIXES = 20
#: Lines that wait at most until it is known what they are.
_PATIENCE = 1000


@dataclass(frozen=True)
class Failure:
    """Somebody whom a line blames.

    Attributes:
        ip: whom; `match.host` may still be a name.
        match: what the line says.
    """

    ip: Id
    match: Match
    _found: Examination
    _hit: Hit

    @property
    def groups(self) -> dict[str, object]:
        """What the patterns captured, in their order, with what captured nothing."""
        return _groups(self._found, self._hit, self.match)

    @property
    def id(self) -> Id:
        return self.ip if self.match.fid is None else self.match.fid


@dataclass
class Tally:
    """What was counted.

    Attributes:
        kept: the lines of each kind.
        hits, hit_lists: how often each failregex matched, and whom that blamed when.
        ignoring: how often each ignoreregex matched.
        prefixes, prefix_list: the same of prefregex, and what it captured at first.
        given_up: missed lines that took too long.
        seconds: how long it took.
    """

    kept: dict[Kind, Kept]
    hits: list[int]
    hit_lists: list[Kept]
    ignoring: list[int]
    prefixes: int = 0
    prefix_list: list[str] = field(default_factory=list)
    given_up: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(kept.count for kept in self.kept.values())


@dataclass(frozen=True)
class Wishes:
    """How to run.

    Attributes:
        every: try every failregex.
        listing: keep whom each hit blames.
        limits: of the lines of each kind that are kept, see `Kept`.
        maxlines: that patterns see at a time.
    """

    every: bool
    listing: bool
    limits: dict[Kind, int | None]
    maxlines: int = 1


@dataclass
class _Waiting:
    """A line whose fate may still change: lines after it may complete a match."""

    text: str
    kind: Kind
    seen: Seen | None


class Run:
    """One pass over a log; on the main thread, where patterns can be interrupted.

    Args:
        failed: called with each failure.
        left: called with each line that is no failure.
        look_up: the addresses of a host name.
        clock: seconds since the epoch.

    Attributes:
        tally: what was counted so far.
    """

    def __init__(
        self,
        filter: TaggedFilter,
        wishes: Wishes,
        failed: Callable[[Failure], None] = lambda failure: None,
        left: Callable[[Line], None] = lambda line: None,
        look_up: Callable[[str], Addresses] = look_up,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._filter, self._wishes, self._clock = filter, wishes, clock
        self._failed, self._left = failed, left
        self._addresses = functools.lru_cache(maxsize=1000)(functools.partial(resolve, look_up))
        patterns, ignoring = filter.patterns.failregex, filter.patterns.ignoreregex
        listed = None if wishes.listing else 0
        self.tally = Tally(
            {kind: Kept(limit) for kind, limit in wishes.limits.items()},
            [0] * len(patterns),
            [Kept(listed) for _ in patterns],
            [0] * len(ignoring),
        )
        self._waiting: deque[_Waiting] = deque()

    def run(self, lines: Iterable[Line]) -> Tally:
        """Take in all lines; return what was counted."""
        start = time.monotonic()
        with ticking():
            for line in lines:
                self._take(line)
        self._settle(0)
        self.tally.seconds = time.monotonic() - start
        return self.tally

    def _take(self, line: Line) -> None:
        now = self._clock()
        every = self._wishes.every and self._wishes.maxlines == 1
        try:
            found = self._filter.examine(line, now, every)
        except OutOfTime as error:
            self._give_up(line, error)
            return
        self._note(found)
        failures = [self._failures(found, hit) for hit in found.hits]
        for hit, whom in zip(found.hits, failures, strict=True):
            self._count(hit, whom, found, now)
        kind = self._kind(found, failures)
        self._add(line, kind, found)
        if kind == "matched" and found.hits[0].verdict == "failure":
            for failure in failures[0]:
                self._failed(failure)
        elif kind != "matched":
            self._left(line)

    # What a line comes to --------------------------------------------------------

    def _kind(self, found: Examination, failures: list[list[Failure]]) -> Kind:
        if found.sight.ignored is not None:
            return "ignored"
        if not found.hits:
            return "missed"
        verdict = found.hits[0].verdict
        if verdict == "nofail":
            return "ignored"
        return "matched" if verdict == "pending" or failures[0] else "missed"

    def _failures(self, found: Examination, hit: Hit) -> list[Failure]:
        """Return whom a hit blames; of a host name all its addresses."""
        match = hit.match
        if not match or hit.verdict == "pending":
            return []
        hosts: Iterable[Id] = (match.host,)
        if match.is_name:
            hosts = self._addresses(str(match.host))
        return [Failure(ip, match, found, hit) for ip in hosts]

    def _count(self, hit: Hit, whom: list[Failure], found: Examination, now: float) -> None:
        unknown = hit.verdict in ("pending", "nofail") and not hit.match
        if not whom and not unknown:
            return
        self.tally.hits[hit.number] += 1
        if not self._wishes.listing:
            return
        stamp = found.stamp.time if found.stamp else None
        said = [(failure.id, failure.match.time) for failure in whom] or [("None", stamp)]
        for id, moment in said:
            self.tally.hit_lists[hit.number].add(_whom(id, now if moment is None else moment))

    def _note(self, found: Examination) -> None:
        """Count what does not depend on a failregex."""
        sight = found.sight
        if sight.ignored is not None:
            self.tally.ignoring[sight.ignored] += 1
        if sight.prefix:
            self.tally.prefixes += 1
            if self._wishes.listing and self.tally.prefixes <= _PREFIXES + 1:
                shown = printable(str(sight.prefix.groupdict()))
                self.tally.prefix_list.append("..." if self.tally.prefixes > _PREFIXES else shown)

    def _give_up(self, line: Line, error: OutOfTime) -> None:
        self.tally.given_up += 1
        if self.tally.given_up <= _COMPLAINTS:
            text = printable(line.text[:100])
            print(f"WARNING: a line is given up: {error}: {text}", file=sys.stderr)
        self._waiting.append(_Waiting(line.stamp + line.text, "missed", None))
        self._settle(self._wishes.maxlines - 1)
        self._left(line)

    # Lines whose fate may still change -------------------------------------------

    def _add(self, line: Line, kind: Kind, found: Examination) -> None:
        shown = line.stamp + line.text
        taken, others = found.sight.taken, found.sight.others
        if kind != "missed":
            for waiting in self._waiting:
                if any(waiting.seen is seen for seen in taken):
                    waiting.kind = kind
            # It may be that only lines before this one are part of the match.
            if taken and taken[-1].shown != shown:
                kind = "missed"
        seen = others[-1] if others and others[-1].shown == shown else None
        self._waiting.append(_Waiting(shown, kind, seen if kind == "missed" else None))
        self._settle(self._wishes.maxlines - 1)

    def _settle(self, size: int) -> None:
        """Count the oldest waiting lines, until at most `size` can still be matched."""
        waiting = self._waiting
        reached = sum(one.seen is not None for one in waiting)
        while waiting and (reached > size or waiting[0].seen is None or len(waiting) > _PATIENCE):
            oldest = waiting.popleft()
            reached -= oldest.seen is not None
            self.tally.kept[oldest.kind].add(printable(oldest.text))


def resolve(look_up: Callable[[str], Addresses], name: str) -> tuple[Id, ...]:
    """Return the addresses of a name, IPv4 first; none if it has none."""
    if not is_host_name(name) and name != "localhost":
        return ()
    try:
        found = look_up(name)
    except (OSError, UnicodeError):
        return ()
    return tuple(sorted(found, key=lambda ip: (ip.version, int(ip))))[:MAX_ADDRESSES]


def _whom(id: Id, moment: float) -> str:
    date = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(moment))
    return f"{printable(str(id))}  {date}"


#: Groups that say what a line is, not what stands in it.
_INNER = re.compile(r"content|mlfforget|mlfgained|skiplines[0-9]+")


def _groups(found: Examination, hit: Hit, match: Match) -> dict[str, object]:
    """Return what is known of a failure, in the order of the patterns, by their names."""
    known: dict[str, object] = {**match.groups}
    if "users" in known:
        known["users"] = set(match.groups["users"])
    texts: dict[str, object] = {}
    own = next(one.match for one in found.sight.found if one.number == hit.number)
    for pattern in (found.sight.prefix, own):
        for name, text in pattern.groupdict().items() if pattern else ():
            if not _INNER.fullmatch(name.lower()):
                texts[name] = known.get(name.lower(), text)
    named = {name.lower() for name in texts}
    return texts | {name: text for name, text in known.items() if name not in named}
