# SPDX-License-Identifier: GPL-2.0-or-later
"""The timestamp of a line -> seconds since the epoch.

Sources: fail2ban-conf-0.6.md section 6; jail-conf.md section 8.2 for the usual formats.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from fail2ban.detect.budget import unlimited
from fail2ban.detect.directives import (
    C_NAMES,
    LocalZone,
    Names,
    Reader,
    Translator,
    local_zone,
    read_parts,
)
from fail2ban.detect.moments import moment

log = logging.getLogger(__name__)


class Dates(Protocol):
    """Finds the timestamp of a line. Used on one thread at a time."""

    def find(self, line: str, now: float) -> float | None:
        """Return seconds since the epoch; None where the line has no timestamp."""

    def peek(self, line: str, now: float) -> float | None:
        """Return the same of a line that need not be a failure, and report nothing."""


class ClassicDates:
    """Finds the timestamp as `timeregex` and `timepattern` say.

    A text that `timeregex` finds but `timepattern` does not fit is reported
    once; more of them are only counted, as `unfit`.

    Args:
        timeregex: the first match, all of it, is the timestamp.
        timepattern: a format of `strptime`, or "tai64n" in any case.
        section: for log messages.

    Raises:
        ValueError: `timepattern` has an unknown directive.
    """

    def __init__(
        self, timeregex: re.Pattern[str], timepattern: str, names: Names, section: str
    ) -> None:
        translator = Translator(names)
        if timepattern.strip().lower() == "tai64n":
            regex = translator.regex(r"{TAI64N}(?![0-9a-f]).*")
        else:
            regex = translator.strptime_regex(timepattern)
        self.unfit = 0
        self._pattern, self._section = timepattern, section
        self._search = timeregex.search
        self._fit = re.compile(regex, re.IGNORECASE | re.DOTALL)
        self._readers = translator.readers
        self._moments = Moments[str]()

    def find(self, line: str, now: float) -> float | None:
        """Return seconds since the epoch; None where the line has no timestamp."""
        try:
            return self._find(line, now)
        except ValueError as error:
            with unlimited():
                self._report(error)
            return None

    def peek(self, line: str, now: float) -> float | None:
        """Return what `find` does, and report nothing."""
        try:
            return self._find(line, now)
        except ValueError:
            return None

    def _find(self, line: str, now: float) -> float | None:
        found = self._search(line)
        if not found:
            return None
        text, known = found[0], self._moments.known(now)
        if text not in known:
            known[text] = self._convert(text, now)
        return known[text]

    def _convert(self, text: str, now: float) -> float:
        found = self._fit.fullmatch(text)
        if not found:
            raise ValueError(f"time data {text!r} does not match format {self._pattern!r}")
        try:
            return moment(read_parts(found, self._readers), now)
        except ValueError as error:
            raise ValueError(f"time data {text!r}: {error}") from error

    def _report(self, error: ValueError) -> None:
        self.unfit += 1
        if self.unfit == 1:
            log.error("[%s] %s", self._section, error)
            log.error(
                "[%s] Please check timeregex, timepattern and locale; such lines are not counted"
                " as failures",
                self._section,
            )


_LINE_BEGIN = r"(?:^|(?<=^\W)|(?<=^\W\W))"
_DIGIT, _LETTER = "[0-9]", r"[^\W0-9]"
#: What it starts with, for speed, and the format. At one place of a line the
#: earlier wins. Source: jail-conf.md section 8.2.
USUAL_FORMATS = (
    (_DIGIT, r"(?:%ExY-%m-%d|%ExY/%m/%d|%ExY\.%m\.%d)(?:[Tt]|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?"),
    (_LETTER, r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?"),
    (_LETTER, r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?"),
    (_DIGIT, r"(?:%d-%m-|%d/%m/)(?:%ExY|%Exy) %k:%M:%S"),
    (_DIGIT, r"(?:%d-%b-|%d/%b/)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?"),
    (_DIGIT, r"%m/%d/%ExY:%H:%M:%S"),
    (_DIGIT, r"%m-%d-%ExY %k:%M:%S(?:\.%f)?"),
    (_DIGIT, rf"(?:{_LINE_BEGIN}|(?<=\[)|(?<=\baudit\()){{EPOCH}}(?=[]\s:,)]|$)"),
    (_DIGIT, rf"{_LINE_BEGIN}%H:%M:%S(?!:[0-9A-Fa-f])"),  # nor a MAC address
    ("<", r"^<%m/%d/%Exy@%H:%M:%S>"),
    (_DIGIT, r"%Exy%Exm%Exd  ?%H:%M:%S"),
    (_LETTER, r"%b %d, %ExY %I:%M:%S %p"),
    (_LETTER, r"^%b-%d-%Exy %k:%M:%S"),
    (_DIGIT, r"%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?"),
    (_LETTER, r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?"),
    (rf"{_LETTER}|[+-]", r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?"),
    ("@", r"{TAI64N}"),
)


class UsualDates:
    """Recognises the usual formats by itself.

    The leftmost timestamp of a line counts: what the attacker writes stands,
    in most formats, further right. One expression holds all formats, so the
    answer for a line never depends on the lines before it.
    """

    def __init__(self, names: Names = C_NAMES) -> None:
        self._regex, self._readers = _usual(names, local_zone())
        self._search = _unnamed(self._regex).search
        self._moments = Moments[str]()

    def find(self, line: str, now: float) -> float | None:
        """Return seconds since the epoch; None where the line has no timestamp."""
        found = self._search(line)
        if not found:
            return None
        text, known = found[0], self._moments.known(now)
        if text not in known:
            try:
                known[text] = self._convert(line, now)
            except ValueError:
                # It only looks like one, as "Feb 30 12:00:00" does.
                return None
        return known[text]

    peek = find  # it reports nothing

    def _convert(self, line: str, now: float) -> float:
        found = self._regex.search(line)
        assert found and found.lastgroup
        return moment(read_parts(found, self._readers[found.lastgroup]), now)


@lru_cache(maxsize=8)
def _usual(
    names: Names, local: LocalZone
) -> tuple[re.Pattern[str], Mapping[str, Mapping[str, Reader]]]:
    """Return the expression that holds all usual formats, and how each group of it is read.

    All sections share it.
    """
    regexes, readers = [], {}
    for number, (first, pattern) in enumerate(USUAL_FORMATS):
        translator = Translator(names, f"_{number}_")
        regexes.append(f"(?={first})(?P<T{number}>{translator.regex(pattern)})")
        readers[f"T{number}"] = translator.readers
    # The two tests in front spare most places of a line all the others.
    return re.compile(rf"(?<!\w)(?=[\w@+<-])(?:{'|'.join(regexes)})(?!\w)"), readers


_NAME = re.compile(r"\(\?P<\w+>")


@lru_cache(maxsize=8)
def _unnamed(regex: re.Pattern[str]) -> re.Pattern[str]:
    """Return what matches the same texts and captures nothing.

    To note what each of so many groups has captured takes a third of a search.
    """
    return re.compile(_NAME.sub("(?:", regex.pattern), regex.flags)


Key = TypeVar("Key", bound=Hashable)


class Moments(Generic[Key]):
    """Remembers the moments of texts for as long as `now` is in the same second.

    It may be interrupted anywhere: what it remembers is never of another second.
    """

    _SIZE = 256

    def __init__(self) -> None:
        self._second = 0
        self._moments: dict[Key, float] = {}

    def known(self, now: float) -> dict[Key, float]:
        """Return the moments that are known by now, for the caller to add one to."""
        if int(now) != self._second or len(self._moments) >= self._SIZE:
            self._moments.clear()
            self._second = int(now)
        return self._moments
