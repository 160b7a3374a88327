# SPDX-License-Identifier: GPL-2.0-or-later
"""One line -> whom it blames and when it happened, or None.

Nothing is cut out of the line; the patterns see it whole. The timestamp is
only looked for when a pattern has matched, since most lines are innocent.

Source: fail2ban-conf-0.6.md sections 5, 11 and 12 (defects 6, 20, 21 and 24).
"""

from __future__ import annotations

import locale as system_locale
import re
from collections.abc import Iterable, Mapping

from fail2ban.detect import dates
from fail2ban.detect.budget import Allowance, OutOfTime, limited
from fail2ban.detect.compiled import Cache
from fail2ban.detect.dating import Dating
from fail2ban.detect.directives import C_NAMES, Names, names_of
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.factors import Cut
from fail2ban.detect.failregex import Failregex, Report, compile_failregex, compile_regex
from fail2ban.detect.match import Line, Match
from fail2ban.detect.prefilter import Prefilter, prefilter
from fail2ban.detect.sieve import Sieve
from fail2ban.errors import ConfigError
from fail2ban.records import FilterSettings, Origin, Problem, Sourced


class Filter:
    """The patterns of one section. Used on one thread at a time.

    Args:
        locale: whose names of days and months may stand in timestamps, besides
            the English ones; "" for the environment's.
        cache: keeps what is compiled for the sieve.

    Attributes:
        problems: what the user should know although the filter works.
        dating: of lines that blame somebody; no others are asked for their time.
        sieve: see `Matcher`.

    Raises:
        ConfigError: something cannot be used; holds all that was found wrong.
    """

    def __init__(
        self, settings: FilterSettings, locale: str = "", cache: Cache | None = None
    ) -> None:
        found: list[Problem] = []
        section, report = settings.section, found.append
        self.dating = Dating()
        self._allowance = Allowance()
        self._failregex = compile_failregex(settings.failregex, section, report)
        self._numbers = tuple(range(len(self._failregex)))
        self._ignoreregex = _compile_all(settings.ignoreregex, section, "ignoreregex", report)
        self._dates = _dates(settings, locale, report)
        if not settings.failregex:
            text = "there is none; expected at least one expression"
            report(Problem(_file(settings), section, "failregex", text))
        found.sort(key=lambda problem: problem.origin.line)
        if any(problem.severity == "error" for problem in found):
            raise ConfigError(found)
        self.problems = tuple(found)
        self._cache = cache
        self.sieve = Sieve(self._prepare)

    def match(self, line: Line, now: float) -> Match | None:
        """Return whom a line blames, see `Matcher`."""
        numbers, named = self._numbers, line.named
        if named is not None and line.passage and line.passage.names is self.sieve:
            if not named:
                return None
            numbers = named
        try:
            found = limited(self._allowance.seconds, self._match, numbers, line, now)
        except OutOfTime:
            self._allowance.exceeded()
            raise
        if found:
            self._note(line, found.time, now)
        return found

    def when(self, line: str, now: float) -> float | None:
        """Return what the timestamp of a line says, see `Matcher`."""
        try:
            return limited(self._allowance.seconds, self._dates.peek, line, now)
        except OutOfTime:
            self._allowance.exceeded()
            return None

    def memory(self) -> Mapping[str, str]:
        """Return nothing: each line is judged by itself."""
        return {}

    def recall(self, texts: Mapping[str, str]) -> None:
        """Do nothing, see `memory`."""

    def _prepare(self, encoding: Encoding) -> Prefilter | None:
        """Return what finds the lines that a failregex may match."""
        patterns = [one.regex for one in self._failregex]
        return prefilter(patterns, Cut.NOTHING, encoding, cache=self._cache)

    def _match(self, numbers: Iterable[int], line: Line, now: float) -> Match | None:
        text = line.text
        for number in numbers:
            failregex = self._failregex[number]
            if found := failregex.regex.search(text):
                return self._judge(failregex, found, line, now)
        return None

    def _judge(
        self, failregex: Failregex, found: re.Match[str], line: Line, now: float
    ) -> Match | None:
        text, time = line.text, line.time
        for ignoreregex in self._ignoreregex:
            if ignoreregex.search(text):
                return None
        host = failregex.host(found)
        if host is None:
            return None
        if time is None:
            time = self._dates.find(text, now)
        return Match(host, time, (line.stamp + text,), isinstance(host, str))

    def _note(self, line: Line, time: float | None, now: float) -> None:
        """Notice when a line says that it was written."""
        if time is None:
            self.dating.undated += 1
            return
        self.dating.dated += 1
        if line.time is None and line.live:
            self.dating.offset = now - time


def _compile_all(
    sources: tuple[Sourced, ...], section: str, option: str, report: Report
) -> list[re.Pattern[str]]:
    compiled = (compile_regex(source, section, option, report) for source in sources)
    return [regex for regex in compiled if regex]


def _dates(settings: FilterSettings, locale: str, report: Report) -> dates.Dates:
    """Return what finds the timestamps; after an error was reported, anything."""
    names = _names(settings, locale, report)
    regex, pattern = settings.timeregex, settings.timepattern
    if regex and pattern:
        return _classic_dates(regex, pattern, names, settings.section, report)
    if lonely := regex or pattern:
        option, other = ("timeregex", "timepattern") if regex else ("timepattern", "timeregex")
        text = f"{other} is missing; expected both, or neither to recognise the usual formats"
        report(Problem(lonely.origin, settings.section, option, text))
    return dates.UsualDates(names)


def _classic_dates(
    timeregex: Sourced, timepattern: Sourced, names: Names, section: str, report: Report
) -> dates.Dates:
    regex = compile_regex(timeregex, section, "timeregex", report)
    try:
        if not timepattern.text.strip():
            raise ValueError("it is empty; expected a format such as '%b %d %H:%M:%S', or tai64n")
        classic = dates.ClassicDates(regex or _NEVER, timepattern.text, names, section)
    except ValueError as error:
        report(Problem(timepattern.origin, section, "timepattern", str(error)))
        return dates.UsualDates(names)
    return classic


_NEVER = re.compile("(?!)")


def _names(settings: FilterSettings, locale: str, report: Report) -> Names:
    """Return the names of the locale; where there is none, the English ones.

    A locale that the configuration asks for must exist. The environment's may
    be missing: `ssh` passes on the one of the administrator's desk.
    """
    try:
        return names_of(locale)
    except system_locale.Error:
        pass
    if locale:
        text = f"this system has no locale {locale!r}; expected one that `locale -a` lists"
        report(Problem(_file(settings), "DEFAULT", "locale", text))
    else:
        text = (
            "this system lacks the locale that LC_ALL, LC_TIME or LANG name, so months and days"
            " are only known by their English names; set `locale` to one that `locale -a` lists"
        )
        report(Problem(_file(settings), "DEFAULT", "locale", text, "warning"))
    return C_NAMES


def _file(settings: FilterSettings) -> Origin:
    """Return the file of a section, for what is missing there."""
    sources = (*settings.failregex, settings.timeregex, settings.timepattern)
    return Origin(next((source.origin.file for source in sources if source), "configuration"))
