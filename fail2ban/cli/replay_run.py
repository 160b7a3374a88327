# SPDX-License-Identifier: GPL-2.0-or-later
"""Old lines in the order of their times, through filters and judges.

The time is that of the lines: it goes forward with them, and stands where they fall
back. Where timestamps have no year it is the one that puts them before the last
change of the file; a copy may be younger than its lines, and where they fall back by
half a year they go on in the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter

from fail2ban.cli.regex_sources import LogError
from fail2ban.cli.replay_court import Trial
from fail2ban.cli.replay_logs import OldLog
from fail2ban.cli.replay_tally import JailTally, LogTally
from fail2ban.detect.budget import OutOfTime, ticking
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.match import Line, Match, Matcher
from fail2ban.records import Failure, Id, JailSettings

#: Lines in which we look for the first timestamp of a file.
_HEAD = 1000
_DAY = 86400.0
_MONTH, _HALF_YEAR = 31 * _DAY, 183 * _DAY

#: Returns the addresses of a host name; none if it has none.
Resolve = Callable[[str], Iterable[Id]]
When = Callable[[str, float], float | None]


class Dating:
    """The times of the lines of one file.

    Args:
        when: finds a timestamp, see `Matcher`.
        changed: when the file was written last, seconds since the epoch.

    Attributes:
        now: the latest time so far; None before the first.
    """

    def __init__(self, when: When, changed: float) -> None:
        self.now: float | None = None
        self._when, self._limit = when, changed

    def date(self, text: str) -> float | None:
        """Return when it was when a line was written; None: before the first timestamp."""
        stamp = self._when(text, self._limit)
        # What is after the last change of the file is a mistake, or somebody's lie.
        if stamp is not None and stamp <= self._limit + _DAY:
            if self.now is not None and stamp < self.now - _HALF_YEAR:
                stamp = self._next_year(text, stamp)
            self.now = stamp if self.now is None else max(self.now, stamp)
        return self.now

    def _next_year(self, text: str, stamp: float) -> float:
        """Return a timestamp that has fallen back by a year, in the year that has begun."""
        assert self.now is not None
        later = self._when(text, self.now + _HALF_YEAR)
        if later is None or not self.now - _DAY <= later <= self.now + _MONTH:
            return stamp  # it says which year it is of, or is wrong
        self._limit = self.now + _HALF_YEAR
        return later


class Case:
    """One section: its filter, and what comes of its lines.

    Args:
        resolve: None: host names in lines are not looked up, and such failures do
            not count.

    Attributes:
        tally: what was counted so far.
    """

    def __init__(
        self, settings: JailSettings, filter: Matcher, trial: Trial, resolve: Resolve | None
    ) -> None:
        self.settings, self.tally = settings, JailTally(settings.name)
        self.filter = filter
        self._trial, self._resolve = trial, resolve

    def take(self, text: str) -> None:
        """Deal with a line that is written now."""
        self.tally.lines += 1
        try:
            # Not `live`: its timestamp is to be believed.
            found = self.filter.match(Line(text, live=False), self._trial.now)
        except OutOfTime:
            self.tally.given_up += 1
            return
        if found is not None:
            self._blame(found)

    def _blame(self, match: Match) -> None:
        if match.time is None:
            self.tally.undated += 1
            return
        for host in self._whom(match):
            self._trial.hear(
                Failure(self.settings.name, host, match.time, match.lines, match.fid, match.groups)
            )

    def _whom(self, match: Match) -> tuple[Id, ...]:
        usedns = self.settings.filter.usedns
        if not match.is_name or usedns == "raw":
            return (match.host,)
        if usedns == "no" or self._resolve is None:
            self.tally.names += 1
            return ()
        return tuple(self._resolve(str(match.host)))


class Stream:
    """One file for one section. A file that breaks off counts as far as it goes.

    Attributes:
        first: the first timestamp of the file; if there is none, its last change.
        tally: what was read so far.
    """

    def __init__(self, log: OldLog, case: Case, advance: Callable[[int], None]) -> None:
        self.log, self.case = log, case
        self.tally = LogTally(log.name)
        self._encoding, self._advance = Encoding(case.settings.encoding), advance
        self.first = self._first()

    def lines(self) -> Iterator[tuple[float, Stream, str | None]]:
        """Yield when it was, ourselves, and the line; the first of all stands for no line.

        The file is opened when its time has come: of a hundred rotated ones only
        one is open.
        """
        yield self.first, self, None
        dating, tally = self._dating(), self.tally
        try:
            for text in self.log.lines(self._encoding, self._advance):
                moment = dating.date(text)
                tally.lines += 1
                yield (self.first if moment is None else moment), self, text
        except LogError as error:
            tally.problem = str(error).removeprefix(f"cannot read {self.log.name}: ")
        if dating.now is not None:
            tally.first, tally.last = self.first, dating.now

    def _first(self) -> float:
        dating = self._dating()
        try:
            for text in islice(self.log.lines(self._encoding), _HEAD):
                if (moment := dating.date(text)) is not None:
                    return moment
        except LogError:
            pass  # it is told where the lines are counted
        return self.log.changed

    def _dating(self) -> Dating:
        return Dating(self.case.filter.when, self.log.changed)


def run(streams: Iterable[Stream], trial: Trial) -> None:
    """Take in the lines of all files, oldest first; on the main thread."""
    # Of lines of the same second those of the older file come first.
    ordered = sorted(streams, key=lambda stream: (stream.first, stream.log.changed))
    for stream in ordered:
        stream.case.tally.logs.append(stream.tally)
    merged = heapq.merge(*(stream.lines() for stream in ordered), key=itemgetter(0))
    with ticking():
        for moment, stream, text in merged:
            trial.advance(moment)
            if text is not None:
                stream.case.take(text)
