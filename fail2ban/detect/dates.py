# SPDX-License-Identifier: GPL-2.0-or-later
"""The timestamp of a line -> seconds since the epoch.

A format is text with directives (`%d`, `%H`, ...). A table says for each
directive what it looks like and what it tells about the moment; so a format is
translated once into a regular expression whose groups are read one by one. The
formats of `strptime` and the usual formats share that table.

Sources: fail2ban-conf-0.6.md sections 6 and 12 (defects 8 and 9); jail-conf.md
section 8 for the usual formats and their directives.
"""

from __future__ import annotations

import calendar
import locale
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import count
from typing import Protocol

log = logging.getLogger(__name__)

Parts = Mapping[str, int]  # what a text tells: {"month": 6, "day": 21, "hour": 16}
Reader = Callable[[str], Parts]

_DAY = 86400.0
#: Seconds that a clock without a date may be ahead of ours before it means yesterday.
_SKEW = 60.0
#: A year before this one is what programs write that know none.
_FIRST_YEAR = 2000


class Dates(Protocol):
    """Finds the timestamp of a line. Used on one thread at a time."""

    def find(self, line: str, now: float) -> float | None:
        """Return seconds since the epoch; None where the line has no timestamp."""


# From parts to a moment ------------------------------------------------------


def moment(parts: Parts, now: float) -> float:
    """Return the moment, in seconds since the epoch, that `parts` describe.

    Without a year it is the latest such moment at most a day after `now`,
    since clocks differ and January follows December. Without any date it is
    the latest at most a minute after `now`. Without a zone it is local time.

    Raises:
        ValueError: there is no such moment, as in "Feb 30".
    """
    if "epoch" in parts:
        return parts["epoch"] + parts.get("microsecond", 0) / 1e6
    try:
        if (year := parts.get("year", 0)) >= _FIRST_YEAR:
            return _at(_date(parts, year), parts, now)
        return _latest(parts, now)
    except OverflowError as error:
        raise ValueError(f"no such moment: {error}") from error


def _latest(parts: Parts, now: float) -> float:
    today = datetime.fromtimestamp(now).date()
    if parts.keys() & {"month", "day", "yearday", "week", "isoweek"}:
        # Feb 29 may be eight years back: 2100 is no leap year.
        days = _anniversaries(parts, range(today.year + 1, today.year - 9, -1))
        limit = now + _DAY
    else:
        days = (today + timedelta(days) for days in (1, 0, -1))
        limit = now + _SKEW
    for day in days:
        if (result := _at(day, parts, now)) <= limit:
            return result
    raise ValueError("no such day in any year")


def _anniversaries(parts: Parts, years: Iterable[int]) -> Iterator[date]:
    for year in years:
        try:
            yield _date(parts, year)
        except ValueError:
            continue


def _date(parts: Parts, year: int) -> date:
    if "isoweek" in parts:
        return date.fromisocalendar(year, parts["isoweek"], parts.get("weekday", 0) + 1)
    if "yearday" in parts:
        return _in_year(year, parts["yearday"] - 1)
    if "week" in parts and "weekday" in parts:
        return _in_year(year, _days_into_year(year, parts))
    return date(year, parts.get("month", 1), parts.get("day", 1))


def _days_into_year(year: int, parts: Parts) -> int:
    """Count the days from January 1 to a weekday of a week.

    Week 1 starts with the first `weekstart` (0 Monday, 6 Sunday) of the year.
    """
    start = parts["weekstart"]
    first = (start - date(year, 1, 1).weekday()) % 7
    return first + 7 * (parts["week"] - 1) + (parts["weekday"] - start) % 7


def _in_year(year: int, days: int) -> date:
    day = date(year, 1, 1) + timedelta(days)
    if day.year != year:
        raise ValueError(f"{year} has no such day")
    return day


def _at(day: date, parts: Parts, now: float) -> float:
    """Return the moment of a day at the time of `parts`."""
    hour = parts.get("hour", parts.get("hour12", 0) % 12 + 12 * parts.get("half", 0))
    naive = datetime(day.year, day.month, day.day, hour, parts.get("minute", 0))
    seconds = parts.get("second", 0) + parts.get("microsecond", 0) / 1e6
    if "offset" in parts:
        return calendar.timegm(naive.timetuple()) - parts["offset"] + seconds
    # When the clock is set back an hour comes twice: a live log means the near one.
    both = (naive.replace(fold=fold).timestamp() + seconds for fold in (0, 1))
    return min(both, key=lambda at: abs(at - now))


# Directives ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Names:
    """What days and months are called, in lower case.

    Attributes:
        months, short_months: name -> 1 to 12.
        weekdays, short_weekdays: name -> 0 for Monday to 6.
        halves: "am" -> 0, "pm" -> 1.
        formats: "c", "x" and "X" -> the formats they stand for.
    """

    months: dict[str, int]
    short_months: dict[str, int]
    weekdays: dict[str, int]
    short_weekdays: dict[str, int]
    halves: dict[str, int]
    formats: dict[str, tuple[str, ...]]


_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()

C_NAMES = Names(
    months={name: number for number, name in enumerate(_MONTHS, 1)},
    short_months={name[:3]: number for number, name in enumerate(_MONTHS, 1)},
    weekdays={name: number for number, name in enumerate(_WEEKDAYS)},
    short_weekdays={name[:3]: number for number, name in enumerate(_WEEKDAYS)},
    halves={"am": 0, "pm": 1},
    formats={"c": ("%a %b %e %H:%M:%S %Y",), "x": ("%m/%d/%y",), "X": ("%H:%M:%S",)},
)

_SUNDAY_FIRST = (6, 0, 1, 2, 3, 4, 5)  # the system's order of days, in our numbers
_process_locale = threading.Lock()


def names_of(name: str) -> Names:
    """Return the names of a locale besides the English ones; "": the environment's.

    Raises:
        locale.Error: this system has no such locale.
    """
    with _borrowed_locale(name):
        return Names(
            months=_named("MON_", range(1, 13)) | C_NAMES.months,
            short_months=_named("ABMON_", range(1, 13)) | C_NAMES.short_months,
            weekdays=_named("DAY_", _SUNDAY_FIRST) | C_NAMES.weekdays,
            short_weekdays=_named("ABDAY_", _SUNDAY_FIRST) | C_NAMES.short_weekdays,
            halves=_halves() | C_NAMES.halves,
            formats={
                letter: (_plain(locale.nl_langinfo(item)), *C_NAMES.formats[letter])
                for letter, item in (
                    ("c", locale.D_T_FMT),
                    ("x", locale.D_FMT),
                    ("X", locale.T_FMT),
                )
            },
        )


@contextmanager
def _borrowed_locale(name: str) -> Iterator[None]:
    """Set the process's locale for a moment; no other way leads to its names."""
    with _process_locale:
        saved = [(part, locale.setlocale(part)) for part in (locale.LC_TIME, locale.LC_CTYPE)]
        try:
            # LC_CTYPE says how the names of LC_TIME are encoded.
            locale.setlocale(locale.LC_CTYPE, locale.setlocale(locale.LC_TIME, name))
            yield
        finally:
            for part, former in saved:
                locale.setlocale(part, former)


def _named(prefix: str, numbers: Iterable[int]) -> dict[str, int]:
    items = (getattr(locale, f"{prefix}{i}") for i in count(1))
    return {
        locale.nl_langinfo(item).lower(): number
        for number, item in zip(numbers, items, strict=False)
    }


def _halves() -> dict[str, int]:
    texts = (locale.nl_langinfo(item) for item in (locale.AM_STR, locale.PM_STR))
    return {text.lower(): half for half, text in enumerate(texts) if text}


def _plain(strftime: str) -> str:
    """Drop what `strftime` knows beyond `strptime`: flags and alternative digits."""
    return re.sub(r"%[-_0^#EO]+(?=[A-Za-z])", "%", strftime)


#: Hours east of Greenwich. Names with several meanings are left out, or have
#: the one that logs of Unix systems mean most. Source: RFC 822 section 5.1 for
#: the American ones, the IANA time zone database for the others.
_ZONES = {
    name: round(float(hours) * 3600)
    for name, hours in (
        item.split("=")
        for item in (
            "Z=0 UT=0 UTC=0 GMT=0 WET=0 WEST=1 BST=1 CET=1 CEST=2 MET=1 MEST=2 EET=2 EEST=3"
            " SAST=2 CAT=2 WAT=1 EAT=3 MSK=3 MSD=4 TRT=3 PKT=5 NPT=5.75 WIB=7 WITA=8 WIT=9"
            " ICT=7 HKT=8 SGT=8 PHT=8 AWST=8 JST=9 KST=9 ACST=9.5 ACDT=10.5 AEST=10 AEDT=11"
            " NZST=12 NZDT=13 NST=-3.5 NDT=-2.5 AST=-4 ADT=-3 EST=-5 EDT=-4 CST=-6 CDT=-5"
            " MST=-7 MDT=-6 PST=-8 PDT=-7 AKST=-9 AKDT=-8 HST=-10 BRT=-3 ART=-3 CLT=-4 CLST=-3"
        ).split()
    )
}


def _zones() -> dict[str, int]:
    """Return abbreviation -> seconds east of Greenwich; the local names win."""
    local = dict(zip(time.tzname, (-time.timezone, -time.altzone), strict=True))
    return _ZONES | {name: offset for name, offset in local.items() if name.isalpha()}


@dataclass(frozen=True, slots=True)
class Token:
    """One directive: how its text looks, and what that text tells."""

    regex: str
    read: Reader


def _read_number(part: str, text: str) -> Parts:
    return {part: int(text)}


def _number(part: str, regex: str) -> Token:
    return Token(regex, partial(_read_number, part))


def _word(part: str, numbers: Mapping[str, int], flags: str = "i") -> Token:
    longest_first = sorted(numbers, key=len, reverse=True)
    regex = "|".join(re.escape(name) for name in longest_first)
    by_name = {name.lower(): number for name, number in numbers.items()}
    return Token(f"(?{flags}:{regex})", lambda text: {part: by_name[text.lower()]})


def _read_fraction(text: str) -> Parts:
    return {"microsecond": int(text.ljust(6, "0")[:6])}


def _read_offset(text: str) -> Parts:
    """Read "Z", "UTC", "+02", "+0200", "+02:00" or "+02:00:00"."""
    if text[0] not in "+-":
        return {"offset": 0}
    digits = text[1:].replace(":", "").ljust(6, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return {"offset": -seconds if text[0] == "-" else seconds}


def _read_epoch(text: str) -> Parts:
    seconds, _, fraction = text.partition(".")
    return {"epoch": int(seconds), **_read_fraction(fraction or "0")}


def _read_tai64(text: str) -> Parts:
    """Read the label that daemontools' `multilog` and `tai64n` write.

    They add 2^62 and 10 s to the system's clock, and know of no leap second
    since 1972; so what leads back is 10 s, in every year, and not the 37 s by
    which TAI is ahead of UTC since 2017.

    Raises:
        ValueError: the moment is before 1970.
    """
    if (seconds := int(text[1:17], 16) - 2**62 - 10) < 0:
        raise ValueError(f"{text} is before 1970")
    return {"epoch": seconds, "microsecond": int(text[17:25] or "0", 16) // 1000}


_FIXED_TOKENS = {
    "Y": _number("year", "[0-9]{4}"),
    "ExY": _number("year", "20[0-9]{2}"),
    # POSIX: 69 to 99 are of the last century, thus no year at all.
    "y": Token("[0-9]{2}", lambda text: {"year": (int(text) - 69) % 100 + 1969}),
    "Exy": Token("[0-9]{2}", lambda text: {"year": 2000 + int(text)}),
    "m": _number("month", "1[0-2]|0?[1-9]"),
    "Exm": _number("month", "0[1-9]|1[0-2]"),
    "d": _number("day", "3[01]|[12][0-9]|[0 ]?[1-9]"),
    "Exd": _number("day", "3[01]|[12][0-9]|0[1-9]"),
    "j": _number("yearday", "[0-9]{1,3}"),
    "H": _number("hour", "2[0-3]|[01]?[0-9]"),
    "k": _number("hour", " ?(?:2[0-3]|[01]?[0-9])"),
    "ExH": _number("hour", "2[0-3]|[01][0-9]"),
    "I": _number("hour12", "1[0-2]|0?[1-9]"),
    "l": _number("hour12", " ?(?:1[0-2]|0?[1-9])"),
    "M": _number("minute", "[0-5]?[0-9]"),
    "ExM": _number("minute", "[0-5][0-9]"),
    "S": _number("second", "6[01]|[0-5]?[0-9]"),
    "ExS": _number("second", "6[01]|[0-5][0-9]"),
    "f": Token("[0-9]{1,9}", _read_fraction),
    "w": Token("[0-6]", lambda text: {"weekday": (int(text) - 1) % 7}),
    "u": Token("[1-7]", lambda text: {"weekday": int(text) - 1}),
    "U": Token("5[0-3]|[0-4]?[0-9]", lambda text: {"week": int(text), "weekstart": 6}),
    "W": Token("5[0-3]|[0-4]?[0-9]", lambda text: {"week": int(text), "weekstart": 0}),
    "V": _number("isoweek", "5[0-3]|[0-4]?[0-9]"),
    "G": _number("year", "[0-9]{4}"),
    "s": Token("[0-9]{1,11}", _read_epoch),
    "z": Token(
        r"Z|UTC|GMT|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?[0-5][0-9])?)?", _read_offset
    ),
    # Ten digits that start so are a moment from 2001 to 2065.
    "EPOCH": Token(r"[12][0-9]{9}(?:\.[0-9]{1,9})?", _read_epoch),
    "TAI64N": Token("@[0-9a-fA-F]{16}(?:[0-9a-fA-F]{8})?", _read_tai64),
}
_SHORTHANDS = {
    "T": ("%H:%M:%S",),
    "R": ("%H:%M",),
    "D": ("%m/%d/%y",),
    "F": ("%Y-%m-%d",),
    "r": ("%I:%M:%S %p",),
    "e": ("%d",),
    "h": ("%b",),
    "n": (r" ",),
    "t": (r" ",),
}


def _tokens(names: Names) -> dict[str, Token]:
    return {
        **_FIXED_TOKENS,
        "b": _word("month", names.short_months),
        "B": _word("month", names.months),
        "a": _word("weekday", names.short_weekdays),
        "A": _word("weekday", names.weekdays),
        "p": _word("half", names.halves),
        # "MET" may be a zone; "met", more often, is a word.
        "Z": _word("offset", _zones(), flags=""),
    }


class _Translator:
    """Turns directives into groups, and remembers how to read them.

    Args:
        prefix: starts the name of each group, so that several patterns can
            become one.
    """

    def __init__(self, names: Names, prefix: str = "_") -> None:
        self.readers: dict[str, Reader] = {}
        self._prefix = prefix
        self._tokens = _tokens(names)
        self._shorthands = {**_SHORTHANDS, **names.formats}

    def regex(self, pattern: str) -> str:
        """Translate a regular expression with directives.

        Raises:
            ValueError: a directive is unknown.
        """
        return _DIRECTIVE.sub(self._expand, pattern)

    def strptime_regex(self, template: str) -> str:
        """Translate a format of `strptime`; a blank fits any white space.

        Raises:
            ValueError: a directive is unknown.
        """
        pieces = _STRPTIME_PIECE.finditer(template)
        return self.regex("".join(_quote(piece) for piece in pieces))

    def _expand(self, directive: re.Match[str]) -> str:
        name = directive[1] or directive[2]
        if name == "%":
            return "%"
        if formats := self._shorthands.get(name):
            return f"(?:{'|'.join(map(self.strptime_regex, formats))})"
        if name not in self._tokens:
            known = ", ".join(f"%{letter}" for letter in sorted({*self._tokens} | {*_SHORTHANDS}))
            raise ValueError(f"{directive[0]!r} is no directive; expected one of {known}")
        group = f"{self._prefix}{len(self.readers)}"
        self.readers[group] = self._tokens[name].read
        return f"(?P<{group}>{self._tokens[name].regex})"


_DIRECTIVE = re.compile(r"%(Ex[A-Za-z]|.|$)|\{(EPOCH|TAI64N)\}", re.DOTALL)
_STRPTIME_PIECE = re.compile(
    r"(?P<directive>%(?:Ex[A-Za-z]|.|$))|(?P<blank>\s+)|[^%\s]+", re.DOTALL
)


def _quote(piece: re.Match[str]) -> str:
    if piece["blank"]:
        return r"\s+"
    return piece["directive"] or re.escape(piece[0])


def _parts(found: re.Match[str], readers: Mapping[str, Reader]) -> Parts:
    parts: dict[str, int] = {}
    for group, read in readers.items():
        if text := found[group]:
            parts |= read(text)
    return parts


# Finding the timestamp -------------------------------------------------------


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
        translator = _Translator(names)
        if timepattern.strip().lower() == "tai64n":
            regex = translator.regex(r"{TAI64N}(?![0-9a-f]).*")
        else:
            regex = translator.strptime_regex(timepattern)
        self.unfit = 0
        self._pattern, self._section = timepattern, section
        self._search = timeregex.search
        self._fit = re.compile(regex, re.IGNORECASE | re.DOTALL)
        self._readers = translator.readers
        self._cache = _Cache()

    def find(self, line: str, now: float) -> float | None:
        """Return seconds since the epoch; None where the line has no timestamp."""
        found = self._search(line)
        if not found:
            return None
        text = found[0]
        try:
            return self._cache.get(text, now, lambda: self._convert(text, now))
        except ValueError as error:
            self._report(error)
            return None

    def _convert(self, text: str, now: float) -> float:
        found = self._fit.fullmatch(text)
        if not found:
            raise ValueError(f"time data {text!r} does not match format {self._pattern!r}")
        try:
            return moment(_parts(found, self._readers), now)
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
        self._readers: dict[str, Mapping[str, Reader]] = {}
        regexes = []
        for number, (first, pattern) in enumerate(USUAL_FORMATS):
            translator = _Translator(names, f"_{number}_")
            regexes.append(f"(?={first})(?P<T{number}>{translator.regex(pattern)})")
            self._readers[f"T{number}"] = translator.readers
        # The two tests in front spare most places of a line all the others.
        self._search = re.compile(rf"(?<!\w)(?=[\w@+<-])(?:{'|'.join(regexes)})(?!\w)").search
        self._cache = _Cache()

    def find(self, line: str, now: float) -> float | None:
        """Return seconds since the epoch; None where the line has no timestamp."""
        found = self._search(line)
        if not found or not found.lastgroup:
            return None
        readers = self._readers[found.lastgroup]
        try:
            return self._cache.get(found[0], now, lambda: moment(_parts(found, readers), now))
        except ValueError:
            # It only looks like one, as "Feb 30 12:00:00" does.
            return None


class _Cache:
    """Remembers the moments of texts for as long as `now` is in the same second."""

    _SIZE = 256

    def __init__(self) -> None:
        self._second = 0
        self._moments: dict[str, float] = {}

    def get(self, text: str, now: float, convert: Callable[[], float]) -> float:
        """Return what `convert` returned, or now returns, for `text`."""
        if int(now) != self._second or len(self._moments) >= self._SIZE:
            self._second = int(now)
            self._moments.clear()
        if (known := self._moments.get(text)) is None:
            known = self._moments[text] = convert()
        return known
