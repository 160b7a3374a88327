# SPDX-License-Identifier: GPL-2.0-or-later
"""One line -> whom it blames, by the patterns of a filter.d.

The patterns see the line without its timestamp. Finding out what they see changes
nothing that lasts, so a line can be given up at any moment; what is remembered
(lines, connections, the last timestamp) changes after that. Only the lines that
were searched together with it are forgotten then: they may be what takes so long,
and would make us give up every line to come.

Source: jail-conf.md sections 7 and 8.6, and items 2, 10, 11 and 12 of section 16.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVarTuple

from fail2ban.detect import memory
from fail2ban.detect.budget import Allowance, OutOfTime, limited
from fail2ban.detect.compiled import Cache
from fail2ban.detect.connections import Connections, Outcome, Verdict
from fail2ban.detect.dating import Dating
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.identity import NoAddress
from fail2ban.detect.linebuffer import LineBuffer
from fail2ban.detect.linetimes import LineTimes
from fail2ban.detect.match import Line, Match, Passage, Unfinished
from fail2ban.detect.prefilter import Prefilter, prefilter
from fail2ban.detect.sieve import Sieve
from fail2ban.detect.stamps import Stamp, StampFinder
from fail2ban.detect.tagpatterns import Found, Patterns, Sight
from fail2ban.errors import ConfigError
from fail2ban.records import FilterSettings, Problem

log = logging.getLogger(__name__)

#: Lines that were put aside which are looked at before others have their turn.
MANY = 1000


class Hit(NamedTuple):
    """A failregex that matched a line.

    Attributes:
        number: which, counted from 0.
        verdict: what it comes to; only a "failure" counts.
        match: what it says; None where it names nobody.
    """

    number: int
    verdict: Verdict
    match: Match | None


class Examination(NamedTuple):
    """All that was found out about a line, for whoever tests patterns.

    Attributes:
        stamp: its timestamp; None where none was found, or looked for.
        sight: what the patterns saw.
        hits: the failregex that matched, in their order. Only the first changes
            what is remembered; the others are judged as if they stood alone.
    """

    stamp: Stamp | None
    sight: Sight
    hits: tuple[Hit, ...] = ()


#: How a line is looked at.
Args = TypeVarTuple("Args")
#: Finds out about a line what changes nothing that lasts.
_Look = Callable[[Line, float, *Args], tuple[Stamp | None, Sight]]
#: What a failregex comes to on a line that its log has surely written.
_TELLING: tuple[Verdict, ...] = ("failure", "pending")


class _Undated(NamedTuple):
    """A line without a timestamp, while one is looked for before it.

    Attributes:
        stamp, sight: what was found out about it.
        earlier: the lines that were passed over before it, the last first.
    """

    line: Line
    stamp: Stamp | None
    sight: Sight
    earlier: Iterator[str]


class TaggedFilter:
    """The patterns of one section. Used on one thread at a time.

    A pattern that cannot be used is a problem of severity "error", and the others
    work without it.

    Args:
        doubting: doubt the timestamps of lines that are new, see `LineTimes`.
            False: take them as they are, for whoever reads samples.
        cache: keeps what is compiled for the sieve.

    Attributes:
        problems: what the user should know although the filter works.
        patterns: in the order that numbers of an `Examination` speak of.
        stamps: what finds the timestamps.
        dating: what is noticed about them.
        sieve: see `Matcher`.

    Raises:
        ConfigError: nothing usable is left; holds all that was found wrong.
    """

    def __init__(
        self, settings: FilterSettings, doubting: bool = True, cache: Cache | None = None
    ) -> None:
        self._section, self._usedns = settings.section, settings.usedns
        found: list[Problem] = []
        self.stamps = _finder(settings, found.append)
        self._peeking: StampFinder | None = None
        self._settings = settings
        try:
            self.patterns = Patterns(settings)
        except ConfigError as error:
            raise ConfigError([*error.problems, *found]) from error
        self.problems = (*self.patterns.problems, *found)
        self._allowance = Allowance()
        self.dating = Dating()
        self._buffer = LineBuffer(settings.maxlines, settings.section)
        self._connections = Connections(settings.usedns, settings.section)
        self._times = LineTimes(settings.section, doubting)
        self._undated: _Undated | None = None
        self._warned = False
        self._cache = cache
        self._farewells = self.patterns.farewells if self.stamps.keep_words else frozenset()
        self.sieve = Sieve(self._prepare, self._farewells)

    def match(self, line: Line, now: float) -> Match | None:
        """Return whom a line blames, see `Matcher`."""
        named = None
        if (passage := line.passage) is not None:
            if passage.aside and passage.aside[0][1] < line.end:
                raise Unfinished(self._put_aside(passage, line))
            if passage.names is self.sieve:
                named = line.named
        if named is not None and self._says_nothing(named, line.text):
            if line.closes:
                self._witness(line, now)
            return None
        stamp, sight = self._take_in(line, now, False, named)
        outcome = (
            self._outcome(self._connections, sight.found[0], sight, now) if sight.found else None
        )
        verdict = outcome.verdict if outcome else "nobody"
        self._learn(line, stamp, verdict, now)
        return self._match(outcome, line, stamp, now) if outcome and verdict == "failure" else None

    def _says_nothing(self, named: tuple[int, ...], text: str) -> bool:
        """Tell whether it makes no difference if some failregex, and no others, match."""
        if not named:
            return True
        if not self._farewells.issuperset(named):
            return False
        return not self._connections.may_know(text.encode(errors="replace"))

    def _put_aside(self, passage: Passage, line: Line) -> Line | None:
        """Return the first line that was put aside, comes before another, and matters.

        None: there is none, or there are more of them to look at; those that do not
        matter are dropped.
        """
        aside, data, may_know = passage.aside, passage.block.data, self._connections.may_know
        ours = passage.names is self.sieve
        for _ in range(MANY):
            if not aside or aside[0][1] >= line.end:
                break
            begin, end, named = aside.popleft()
            if not ours or may_know(data[begin:end]):
                return passage.line(line, begin, end, named)
        return None

    def when(self, line: str, now: float) -> float | None:
        """Return what the timestamp of a line says, see `Matcher`."""
        # What is learned from a few old lines is kept apart.
        finder = self._peeking = self._peeking or _finder(self._settings, _ignore)
        try:
            stamp = limited(self._allowance.seconds, finder.find, line, now)
        except OutOfTime:
            self._allowance.exceeded()
            return None
        if stamp is None:
            return None
        finder.learn(stamp, now)
        return stamp.time

    def memory(self) -> Mapping[str, str]:
        """Return what later lines depend on, see `Matcher`."""
        last = self._times.last
        once = {
            memory.LINES: self._buffer.memory(),
            memory.LAST: "" if last is None else memory.dumped(last),
            memory.DATES: self.stamps.memory(),
        }
        return {key: text for key, text in once.items() if text} | self._connections.memory()

    def recall(self, texts: Mapping[str, str]) -> None:
        """Know what an earlier filter knew, see `Matcher`."""
        if lines := texts.get(memory.LINES):
            self._buffer.recall(lines)
        if text := texts.get(memory.LAST):
            if (last := memory.read(self._section, text, memory.number)) is not None:
                self._times.note(last)
        if dates := texts.get(memory.DATES):
            self.stamps.recall(dates)
        connections = memory.CONNECTION
        self._connections.recall(
            {key: text for key, text in texts.items() if key.startswith(connections)}
        )

    def _prepare(self, encoding: Encoding) -> Prefilter | None:
        """Return what finds the lines that a failregex may match."""
        if self._settings.maxlines > 1:
            return None  # a match may begin, or be ended, by any line
        patterns = [pattern.regex for pattern in self.patterns.failregex]
        return prefilter(patterns, self.stamps.cut, encoding, self.patterns.prefix, self._cache)

    def examine(
        self, line: Line, now: float, every: bool = True, named: Sequence[int] | None = None
    ) -> Examination:
        """Find out all about a line, and remember what lines after it need.

        Args:
            now: seconds since the epoch.
            every: try all failregex; the daemon stops at the first that matches.
            named: those that may match, in order; None: any may.

        Raises:
            OutOfTime: see `Matcher`; says which pattern took too long.
            Unfinished: see `Matcher`; only for a line of a `Passage`.
        """
        stamp, sight = self._take_in(line, now, every, named)
        hits = tuple(self._hits(line, stamp, sight, now))
        self._learn(line, stamp, hits[0].verdict if hits else "nobody", now)
        return Examination(stamp, sight, hits)

    def _take_in(
        self, line: Line, now: float, every: bool, named: Sequence[int] | None
    ) -> tuple[Stamp | None, Sight]:
        """Find out what a line says, and take note of it; what it comes to is not asked."""
        stamp, sight = self._seen(line, now, self._look, every, named)
        self._note(line, stamp, now)
        if sight.reached:
            self._buffer.keep(sight.others)
        return stamp, sight

    def _seen(
        self, line: Line, now: float, look: _Look[*Args], *how: *Args
    ) -> tuple[Stamp | None, Sight]:
        """Return what `look` finds out about a line once those before it are known."""
        if self._undated is None or self._undated.line is not line:
            self.patterns.trying = None
            try:
                stamp, sight = limited(self._allowance.seconds, look, line, now, *how)
            except OutOfTime as error:
                self._allowance.exceeded()
                self._buffer.keep(())
                raise OutOfTime(self._blame()) from error
            if line.passage is None or not self.stamps.expects or _time(stamp) is not None:
                return stamp, sight
            self._undated = _Undated(line, stamp, sight, line.passage.before(line.end))
        self._look_back(self._undated, now)
        _, stamp, sight, _ = self._undated
        self._undated = None
        return stamp, sight

    def _look(
        self, line: Line, now: float, every: bool, named: Sequence[int] | None
    ) -> tuple[Stamp | None, Sight]:
        stamp = self.stamps.find(line.text, now) if line.time is None else None
        text = line.text[: stamp.start] + line.text[stamp.end :] if stamp else line.text
        return stamp, self.patterns.look(text, line.stamp + line.text, self._buffer, every, named)

    # Timestamps ---------------------------------------------------------------

    def _witness(self, line: Line, now: float) -> None:
        """Take note of the timestamp of a line that no pattern matches."""
        stamp, _ = self._seen(line, now, self._glance)
        self._note(line, stamp, now)
        self._learn(line, stamp, "nobody", now)

    def _learn(self, line: Line, stamp: Stamp | None, verdict: Verdict, now: float) -> None:
        """Learn from the timestamp of a line that its log has surely written, or the last."""
        if stamp and (verdict in _TELLING or line.closes):
            self.stamps.learn(stamp, now)

    def _glance(self, line: Line, now: float) -> tuple[Stamp | None, Sight]:
        return self.stamps.find(line.text, now), Sight(line.text)

    def _note(self, line: Line, stamp: Stamp | None, now: float) -> None:
        """Take note of the timestamp of a line, for those after it."""
        if (time := _time(stamp)) is not None:
            self._note_time(line, time, now)
        if line.time is None:
            self.dating.dated += stamp is not None
            self.dating.undated += stamp is None
        if line.passage is not None:
            line.passage.seen = max(line.passage.seen, line.end)

    def _note_time(self, line: Line, time: float, now: float) -> None:
        self._times.note(time)
        if line.live:
            self.dating.offset = now - time

    def _look_back(self, undated: _Undated, now: float) -> None:
        """Take note of the last timestamp among the lines before one without, a line a call.

        There may be thousands of them.
        """
        if (text := next(undated.earlier, None)) is None:
            return
        try:
            stamp = limited(self._allowance.seconds, self.stamps.find, text, now)
        except OutOfTime:
            self._allowance.exceeded()
            stamp = None
        if (time := _time(stamp)) is None:
            raise Unfinished
        self.dating.dated += 1
        self._note_time(undated.line, time, now)

    def _blame(self) -> str:
        """Say what took too long."""
        if pattern := self.patterns.trying:
            origin, option = pattern.source.origin, pattern.option
            return f"[{self._section}] {option} at {origin} takes too long for a line"
        return f"[{self._section}] looking for the timestamp of a line takes too long"

    def _hits(self, line: Line, stamp: Stamp | None, sight: Sight, now: float) -> Iterator[Hit]:
        """Judge what matched; only the first changes what is known of connections."""
        connections = self._connections
        for found in sight.found:
            outcome = self._outcome(connections, found, sight, now)
            if outcome is None:
                yield Hit(found.number, "nobody", None)
            else:
                match = self._match(outcome, line, stamp, now)
                yield Hit(found.number, outcome.verdict, match)
            connections = Connections(self._usedns)

    def _outcome(
        self, connections: Connections, found: Found, sight: Sight, now: float
    ) -> Outcome | None:
        """Return what a match comes to; None where what it names cannot be an address."""
        lines = tuple([line.shown for line in sight.taken])
        try:
            return connections.add(self.patterns.captured(sight.prefix, found), lines, now)
        except NoAddress as error:
            self._warn_of(error, found)
            return None

    def _warn_of(self, error: NoAddress, found: Found) -> None:
        if not self._warned:
            origin = self.patterns.failregex[found.number].source.origin
            text = "[%s] failregex at %s: %s; such lines blame nobody"
            log.warning(text, self._section, origin, error)
        self._warned = True

    def _match(self, outcome: Outcome, line: Line, stamp: Stamp | None, now: float) -> Match | None:
        if not (identity := outcome.identity):
            return None
        dated = stamp is None or stamp.time is not None
        time = self._times.settle(line, stamp.time if stamp else None, dated, now)
        host, is_name, fid = identity
        return Match(host, time, outcome.lines, is_name, fid, outcome.groups)


def _finder(settings: FilterSettings, report: Callable[[Problem], None]) -> StampFinder:
    return StampFinder(settings.datepattern, settings.section, settings.logtimezone, report)


def _time(stamp: Stamp | None) -> float | None:
    return stamp.time if stamp else None


def _ignore(problem: Problem) -> None:
    """Do without a report: there has been the same one before."""
