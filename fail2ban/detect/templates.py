# SPDX-License-Identifier: GPL-2.0-or-later
"""A `datepattern` -> templates, each one regular expression and how it is read.

A pattern is a regular expression with directives, perhaps with a keyword around
it; `{DATE}` and the like stand for all usual formats and make several templates.

Source: jail-conf.md sections 8.2, 8.3 and 8.5; how names are spelled: section 14.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from fail2ban.detect.dates import Moments
from fail2ban.detect.directives import C_NAMES, Reader, Translator
from fail2ban.detect.moments import moment
from fail2ban.detect.treetokens import WORDS, tree_tokens

LINE_BEGIN = "{^LN-BEG}"
#: The usual formats, in order.
USUAL = (
    r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?",
    r"%m/%d/%ExY:%H:%M:%S",
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    r"EPOCH",
    r"{^LN-BEG}%H:%M:%S",
    r"^<%m/%d/%Exy@%H:%M:%S>",
    r"%Exy%Exm%Exd  ?%H:%M:%S",
    r"%b %d, %ExY %I:%M:%S %p",
    r"^%b-%d-%Exy %k:%M:%S",
    r"%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"TAI64N",
)
_ANYWHERE = tuple(text for text in USUAL if not text.startswith(("^", LINE_BEGIN)))
_ANCHORED = tuple(text for text in USUAL if text not in _ANYWHERE)
_ISO = (USUAL[0], USUAL[13])
_USUAL_WEIGHT, _LINE_BEGIN_WEIGHT = 1.0, 100.0

#: Not within a word; so a number does not start or end among other digits.
_BOUNDARY = r"(?!\B\w)"
_EPOCH_PLACE = r"(?:^|(?<=^\[)|(?<=\baudit\())"


class Pattern(NamedTuple):
    """What one template is made of: the text that section 8.5 describes, and its weight."""

    text: str
    weight: float = 1.0


def _at_line_begin() -> Iterator[Pattern]:
    for text in _ANYWHERE:
        yield Pattern(LINE_BEGIN + text, _LINE_BEGIN_WEIGHT)


#: Recognised without a `datepattern`.
DEFAULTS = (*_at_line_begin(), *(Pattern(text, _USUAL_WEIGHT) for text in USUAL))
_ONLY_AT_LINE_BEGIN = (*_at_line_begin(), *(Pattern(text) for text in _ANCHORED))


def expand(text: str) -> tuple[Pattern, ...]:
    """Return the templates that one `datepattern` stands for, in order."""
    text = text.strip()
    keyword = text.upper()
    if keyword == "{DEFAULT}":
        return DEFAULTS
    if keyword == LINE_BEGIN:
        return _ONLY_AT_LINE_BEGIN
    if keyword.endswith("ISO8601") and keyword[:-7] in ("", "^", LINE_BEGIN):
        begin = tuple(Pattern(LINE_BEGIN + iso, _LINE_BEGIN_WEIGHT) for iso in _ISO)
        return begin if keyword[:-7] else (*begin, *map(Pattern, _ISO))
    if keyword == "{DATE}":
        return tuple(map(Pattern, USUAL))
    if "{DATE}" in keyword:
        pieces = _DATE.split(text)
        return tuple(Pattern(_inner(usual).join(pieces)) for usual in USUAL)
    return (Pattern(text),)


def means_iso(text: str) -> bool:
    """Say whether a `datepattern` is the keyword that only the old manual knows."""
    return text.strip().upper() in ("ISO8601", "^ISO8601", f"{LINE_BEGIN}ISO8601")


_DATE = re.compile(r"\{DATE\}", re.IGNORECASE)
_KEYWORD = re.compile(r"(\^|\{\^LN-BEG\})?(L?EPOCH|TAI64N)", re.IGNORECASE)
_PREFIX = re.compile(
    r"(?P<place>\{\^LN-BEG\})?(?P<free>\{UNB\}|\*\*)?(?P<begin>\^)?", re.IGNORECASE
)
_INNER_KEYWORD = re.compile(r"\{(?:L?EPOCH|TAI64N)\}", re.IGNORECASE)
_FLAGS = re.compile(r"\(\?[aiLmsux]+\)")


def _inner(usual: str) -> str:
    """Return a usual format as it stands within a pattern: what is around it says where."""
    if _KEYWORD.fullmatch(usual):
        return f"{{{usual}}}"
    return usual.removeprefix(LINE_BEGIN).removeprefix("^")


# One template --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """A compiled pattern, shared by all sections that have it.

    Attributes:
        name: the pattern with its directives spelled out.
        regex: what it was translated into.
        find: looks at a line, returns the match.
        cut: the group that is cut out of the line.
        groups: those that tell something, or what `Match.group` takes for nothing.
        readers: for each of `groups`.
    """

    name: str
    regex: str
    find: Callable[[str], re.Match[str] | None]
    cut: int | str
    groups: tuple[str, ...]
    readers: tuple[Reader, ...]


@lru_cache(maxsize=1024)
def form_of(text: str, last_year: int) -> Form:
    """Compile a pattern.

    Args:
        last_year: `%ExY` is a year from 2000 to the end of its decade.

    Raises:
        ValueError: a directive is unknown, or it is no regular expression.
    """
    flags = _FLAGS.match(text)
    front, body, back = _frame(text[flags.end() :] if flags else text)
    translator = Translator(C_NAMES, tokens=tree_tokens(last_year))
    body = translator.regex(_INNER_KEYWORD.sub(lambda keyword: keyword[0].upper(), body))
    options = re.IGNORECASE if WORDS & translator.used else re.NOFLAG
    start = flags[0] if flags else ""
    cut = _first_unnamed(_compile(f"{start}{body}", options))
    # A group around it all would shift the numbers of the user's own.
    whole = "(?:" if cut else "(?P<_all>"
    regex = _compile(f"{start}{front}{whole}{body}){back}", options)
    return Form(
        _spelled(text),
        regex.pattern,
        # "^" would be tried at every place of the line.
        regex.match if front.startswith("^") else regex.search,
        cut or "_all",
        tuple(translator.readers),
        tuple(translator.readers.values()),
    )


def _frame(text: str) -> tuple[str, str, str]:
    """Return what must stand before the date, its pattern, and what must follow."""
    if keyword := _KEYWORD.fullmatch(text):
        place, name = keyword.groups()
        body = f"{{{name.upper()}}}"
        if place:
            return r"^\W{0,2}", body, _BOUNDARY
        return "", body if name.upper() == "TAI64N" else _EPOCH_PLACE + body, _BOUNDARY
    prefix = _PREFIX.match(text)
    assert prefix  # it fits the empty text, too
    unbound = (prefix["free"] or "").upper() == "{UNB}"
    front = "" if prefix["free"] else _BOUNDARY
    if prefix["begin"]:
        front = "^"
    elif prefix["place"]:
        front = r"^\W{0,2}"
    body = text[prefix.end() :]
    if body.endswith("**"):
        return front, body[:-2], ""
    return front, body, "" if unbound else _BOUNDARY


def _compile(regex: str, flags: re.RegexFlag) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(regex, flags)
        except (re.error, OverflowError, RecursionError) as error:
            reason = getattr(error, "msg", str(error))
            raise ValueError(f"no regular expression: {reason}") from error


def _first_unnamed(regex: re.Pattern[str]) -> int:
    """Return the number of the first group without a name; 0 for none."""
    named = set(regex.groupindex.values())
    return next((number for number in range(1, regex.groups + 1) if number not in named), 0)


_SPELLINGS = {
    "Y": "Year", "y": "Year2", "m": "Month", "b": "MON", "B": "MONTH", "d": "Day", "j": "Yearday",
    "a": "DAY", "A": "DAYNAME", "w": "Weekday", "U": "Yearweek", "W": "Yearweek", "H": "24hour",
    "I": "12hour", "M": "Minute", "S": "Second", "f": "Microseconds", "p": "AMPM",
    "z": "Zone offset", "Z": "Zone name", "%": "%",
}  # fmt: skip


def _spelled(text: str) -> str:
    """Write a pattern for people: `%ExY-%m` as "ExYear-Month", `^EPOCH` at its place."""
    if keyword := _KEYWORD.fullmatch(text):
        place, name = keyword.groups()
        spelled = {"EPOCH": "Epoch", "LEPOCH": "LongEpoch"}.get(name.upper(), "TAI64N")
        return (LINE_BEGIN if place else "") + spelled
    text = re.sub(r"(?i)^\{\^LN-BEG\}(?=\^)|^\{UNB\}", "", text)
    return re.sub(r"%(Ex)?(.)", lambda found: _spell(found[0], found[1] or "", found[2]), text)


def _spell(directive: str, extended: str, letter: str) -> str:
    return extended + _SPELLINGS[letter] if letter in _SPELLINGS else directive


class Template:
    """One form as one section has learned to use it.

    Attributes:
        hits: how many lines had it.
        place: where in the line it was last.
        used: when it was last, seconds since the epoch.
    """

    __slots__ = ("_moments", "form", "hits", "pattern", "place", "used")

    def __init__(self, pattern: Pattern, last_year: int) -> None:
        self.pattern = pattern
        self.hits, self.place, self.used = 0, 0, 0.0
        self.form = form_of(pattern.text, last_year)
        self._moments = Moments[str | tuple[str | None, ...]]()

    @property
    def name(self) -> str:
        return self.form.name

    @property
    def weight(self) -> float:
        return self.hits * self.pattern.weight / max(1, self.place)

    def moment(self, found: re.Match[str], now: float, zone: int | None) -> float | None:
        """Return seconds since the epoch; None where the form tells nothing.

        Raises:
            ValueError: there is no such moment.
        """
        groups = self.form.groups
        if not groups:
            return None
        key, known = found.group(*groups), self._moments.known(now)
        if key not in known:
            known[key] = self._read(key, now, zone)
        return known[key]

    def _read(self, key: str | tuple[str | None, ...], now: float, zone: int | None) -> float:
        texts = (key,) if isinstance(key, str) else key
        parts: dict[str, int] = {} if zone is None else {"offset": zone}
        for text, read in zip(texts, self.form.readers, strict=True):
            if text:
                parts |= read(text)
        return moment(parts, now, first_year=1)
