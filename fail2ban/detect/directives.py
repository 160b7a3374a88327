# SPDX-License-Identifier: GPL-2.0-or-later
"""Formats of timestamps: what each directive looks like, and what it tells.

A format is text with directives (`%d`, `%H`, ...). One table holds what they
look like and how they are read; so a format is translated once into a regular
expression whose groups are read one by one. The formats of `strptime` and the
usual formats share that table.

The formats of `datepattern` have a table that starts from it, see `treetokens`.

Sources: fail2ban-conf-0.6.md sections 6 and 12 (defect 9); jail-conf.md section 8.3.
"""

from __future__ import annotations

import locale
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count

from fail2ban.detect.moments import Parts
from fail2ban.zones import ABBREVIATIONS

Reader = Callable[[str], Parts]


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """What days and months are called, in lower case; equal to itself only.

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


#: What says which locale is the environment's, see setlocale(3).
_LOCALE_VARIABLES = ("LC_ALL", "LC_TIME", "LANG")


def names_of(name: str) -> Names:
    """Return the names of a locale besides the English ones; "": the environment's.

    All sections that ask for one locale share one object, and so what is made of it.

    Raises:
        locale.Error: this system has no such locale.
    """
    return _names_of(name, () if name else tuple(map(os.environ.get, _LOCALE_VARIABLES)))


@lru_cache(maxsize=8)
def _names_of(name: str, environment: tuple[str | None, ...]) -> Names:
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


#: Names of the local time, and seconds west of Greenwich: as usual, and in summer.
LocalZone = tuple[tuple[str, str], int, int]


def local_zone() -> LocalZone:
    """Return what `all_zones` depends on."""
    return time.tzname, time.timezone, time.altzone


def all_zones() -> dict[str, int]:
    """Return abbreviation -> seconds east of Greenwich; the local names win."""
    tznames, usual, summer = local_zone()
    local = dict(zip(tznames, (-usual, -summer), strict=True))
    return ABBREVIATIONS | {name: offset for name, offset in local.items() if name.isalpha()}


def plain_zones() -> dict[str, int]:
    """Return those that logs use: a single letter may mean anything, except Z."""
    return {name: offset for name, offset in all_zones().items() if len(name) > 1 or name == "Z"}


@dataclass(frozen=True, slots=True)
class Token:
    """One directive: how its text looks, and what that text tells."""

    regex: str
    read: Reader


def _read_number(part: str, text: str) -> Parts:
    return {part: int(text)}


def number_token(part: str, regex: str) -> Token:
    """Return the directive whose text is the number that a part of the date is."""
    return Token(regex, partial(_read_number, part))


def word_token(part: str, numbers: Mapping[str, int], flags: str = "i") -> Token:
    """Return the directive whose text is a name; by `flags` in any case."""
    longest_first = sorted(numbers, key=len, reverse=True)
    regex = "|".join(re.escape(name) for name in longest_first)
    by_name = {name.lower(): number for name, number in numbers.items()}
    return Token(f"(?{flags}:{regex})", partial(_read_word, part, by_name))


def _read_word(part: str, by_name: Mapping[str, int], text: str) -> Parts:
    """Read a name in any case.

    Raises:
        ValueError: it only looks like one, as "\u017fep" does to `re`.
    """
    if (number := by_name.get(text.lower())) is None:
        raise ValueError(f"unknown name {text!r}")
    return {part: number}


def _read_fraction(text: str) -> Parts:
    return {"microsecond": int(text.ljust(6, "0")[:6])}


def read_offset(text: str) -> Parts:
    """Read "Z", "UTC", "+02", "+0200", "+02:00" or "+02:00:00"."""
    if text[0] not in "+-":
        return {"offset": 0}
    digits = text[1:].replace(":", "").ljust(6, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return {"offset": -seconds if text[0] == "-" else seconds}


def read_epoch(text: str) -> Parts:
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
    "Y": number_token("year", "[0-9]{4}"),
    "ExY": number_token("year", "20[0-9]{2}"),
    # POSIX: 69 to 99 are of the last century, thus no year at all.
    "y": Token("[0-9]{2}", lambda text: {"year": (int(text) - 69) % 100 + 1969}),
    "Exy": Token("[0-9]{2}", lambda text: {"year": 2000 + int(text)}),
    "m": number_token("month", "1[0-2]|0?[1-9]"),
    "Exm": number_token("month", "0[1-9]|1[0-2]"),
    "d": number_token("day", "3[01]|[12][0-9]|[0 ]?[1-9]"),
    "Exd": number_token("day", "3[01]|[12][0-9]|0[1-9]"),
    "j": number_token("yearday", "[0-9]{1,3}"),
    "H": number_token("hour", "2[0-3]|[01]?[0-9]"),
    "k": number_token("hour", " ?(?:2[0-3]|[01]?[0-9])"),
    "ExH": number_token("hour", "2[0-3]|[01][0-9]"),
    "I": number_token("hour12", "1[0-2]|0?[1-9]"),
    "l": number_token("hour12", " ?(?:1[0-2]|0?[1-9])"),
    "M": number_token("minute", "[0-5]?[0-9]"),
    "ExM": number_token("minute", "[0-5][0-9]"),
    "S": number_token("second", "6[01]|[0-5]?[0-9]"),
    "ExS": number_token("second", "6[01]|[0-5][0-9]"),
    "f": Token("[0-9]{1,9}", _read_fraction),
    "w": Token("[0-6]", lambda text: {"weekday": (int(text) - 1) % 7}),
    "u": Token("[1-7]", lambda text: {"weekday": int(text) - 1}),
    "U": Token("5[0-3]|[0-4]?[0-9]", lambda text: {"week": int(text), "weekstart": 6}),
    "W": Token("5[0-3]|[0-4]?[0-9]", lambda text: {"week": int(text), "weekstart": 0}),
    "V": number_token("isoweek", "5[0-3]|[0-4]?[0-9]"),
    "G": number_token("year", "[0-9]{4}"),
    "s": Token("[0-9]{1,11}", read_epoch),
    "z": Token(
        r"Z|UTC|GMT|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?[0-5][0-9])?)?", read_offset
    ),
    # Ten digits that start so are a moment from 2001 to 2065.
    "EPOCH": Token(r"[12][0-9]{9}(?:\.[0-9]{1,9})?", read_epoch),
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


def classic_tokens(names: Names) -> Mapping[str, Token]:
    """Return the directives of `timepattern` and of the usual formats."""
    return _classic_tokens(names, local_zone())


@lru_cache(maxsize=8)  # each section asks for them, and once for each usual format
def _classic_tokens(names: Names, local: LocalZone) -> Mapping[str, Token]:
    zones = plain_zones()
    return {
        **_FIXED_TOKENS,
        "b": word_token("month", names.short_months),
        "B": word_token("month", names.months),
        "a": word_token("weekday", names.short_weekdays),
        "A": word_token("weekday", names.weekdays),
        "p": word_token("half", names.halves),
        # "MET" may be a zone; "met", more often, is a word.
        "Z": word_token("offset", zones, flags=""),
    }


class Translator:
    """Turns directives into groups, and remembers how to read them.

    Args:
        prefix: starts the name of each group, so that several patterns can
            become one.
        tokens: by name; None: those of the classic language.

    Attributes:
        used: the names of the directives that were translated.
    """

    def __init__(
        self, names: Names, prefix: str = "_", tokens: Mapping[str, Token] | None = None
    ) -> None:
        self.readers: dict[str, Reader] = {}
        self.used: set[str] = set()
        self._prefix = prefix
        self._tokens = classic_tokens(names) if tokens is None else tokens
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
            raise ValueError(f"{directive[0]!r} is no directive; expected one of {self._known()}")
        self.used.add(name)
        group = f"{self._prefix}{len(self.readers)}"
        self.readers[group] = self._tokens[name].read
        return f"(?P<{group}>{self._tokens[name].regex})"

    def _known(self) -> str:
        keywords = ("EPOCH", "LEPOCH", "TAI64N")
        names = sorted({*self._tokens, *self._shorthands} - {*keywords})
        return ", ".join(f"%{name}" for name in names)


_DIRECTIVE = re.compile(r"%(Ex[A-Za-z]|.|$)|\{(L?EPOCH|TAI64N)\}", re.DOTALL)
_STRPTIME_PIECE = re.compile(
    r"(?P<directive>%(?:Ex[A-Za-z]|.|$))|(?P<blank>\s+)|[^%\s]+", re.DOTALL
)


def _quote(piece: re.Match[str]) -> str:
    if piece["blank"]:
        return r"\s+"
    return piece["directive"] or re.escape(piece[0])


def read_parts(found: re.Match[str], readers: Mapping[str, Reader]) -> Parts:
    parts: dict[str, int] = {}
    for group, read in readers.items():
        if text := found[group]:
            parts |= read(text)
    return parts
