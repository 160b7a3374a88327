# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of one section: found, expanded and converted, whatever the language.

What is wrong is reported and costs as little as possible: a bad value its
default, a text that cannot be expanded its section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fail2ban.config import values
from fail2ban.config.ini import Section, Value
from fail2ban.config.interpolation import InterpolationError, Layer, Place, Scope
from fail2ban.config.loaded import Effective
from fail2ban.records import Network, Origin, Problem, Sourced

#: The section whose options stand in for those that others lack.
DEFAULT = "DEFAULT"
#: Where a value stands that is written nowhere.
BUILT_IN = Origin("built-in")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Option(Generic[T_co]):
    """An option, declared once.

    Attributes:
        name: as the user writes it.
        parse: text without blanks around it -> value; ValueError says what is wrong.
        default: when it is not given, or wrong.
        alias: another name; of two in one section `name` wins.
        vital: no default would be right when it cannot be expanded.
        shown: how messages write the default, where that says more.
    """

    name: str
    parse: Callable[[str], T_co]
    default: T_co
    alias: str = ""
    vital: bool = False
    shown: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, self.alias) if self.alias else (self.name,)


class Findings:
    """The problems, each once, with all that follows from it.

    A mistake in [DEFAULT] is met again in every section that falls back to it.
    """

    def __init__(self) -> None:
        self._found: dict[Problem, list[str]] = {}

    def add(self, problem: Problem, consequence: str = "") -> None:
        consequences = self._found.setdefault(problem, [])
        if consequence and consequence not in consequences:
            consequences.append(consequence)

    def problems(self) -> list[Problem]:
        return [
            replace(problem, text=f"{problem.text}; {', '.join(follows)}") if follows else problem
            for problem, follows in self._found.items()
        ]


def _spelled(default: object) -> str:
    """Name a default as the user would write it."""
    match default:
        case None:
            return "a permanent ban"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:.15g}"
        case tuple():
            return " ".join(map(str, default))
    return str(default)


def _shown(option: Option[T], default: T) -> str:
    """Name what holds where nothing is written, as the user would write it."""
    return option.shown if option.shown and default == option.default else _spelled(default)


def _instead(option: Option[T], default: T) -> str:
    return _shown(option, default) or "an empty text"


class Reader:
    """The options of one section, expanded and converted.

    Attributes:
        broken: the section cannot be used.
        effective: every value that was asked for, in this order.
    """

    def __init__(self, section: Section, layers: list[Layer], findings: Findings) -> None:
        self.section = section
        self.broken = False
        self.effective: dict[str, Effective] = {}
        self._failed: set[str] = set()
        self._scope = Scope(layers)
        self._findings = findings

    def get(self, option: Option[T]) -> T:
        return self.get_or(option, option.default)

    def get_or(self, option: Option[T], default: T) -> T:
        """Return the value of an option, `default` if it is missing or wrong."""
        place = self._scope.find(*option.names)
        value = self._expand(place, option, default)
        if place is None or value is None:
            return default
        try:
            return option.parse(value.text.strip())
        except ValueError as error:
            # Whoever stands at the terminal is asked to say it again.
            instead = f"using {_instead(option, default)} instead" if value.origin.line else ""
            self._findings.add(place.problem(str(error)), instead)
            return default

    def lines(self, option: Option[str]) -> tuple[Sourced, ...]:
        """Return what a list says, one entry a line, each with its own place.

        Blank lines, and indented lines that start with `#`, are no entries.
        """
        place = self._scope.find(*option.names)
        value = self._expand(place and _without_comments(place), option, option.default)
        if value is None:
            return ()
        return tuple(Sourced(text, value.place(number)) for text, number in _entries(value))

    def addresses(self, option: Option[str]) -> tuple[Network, ...]:
        """Return the addresses and networks of a list; bad entries are left out."""
        place = self._scope.find(*option.names)
        found = [
            self._address(word, replace(place.problem(""), origin=entry.origin))
            for entry in self.lines(option)
            for word in re.split(r"[\s,]+", entry.text)
            if place and word
        ]
        return tuple(network for network in found if network is not None)

    def refuse(self, option: Option[str], text: str, *others: Option[str]) -> None:
        """Report what makes the section useless, at the option or at its header.

        Nothing is said twice: not if the option, or one of `others` that the text is
        about, could not even be expanded.
        """
        if self._failed.isdisjoint(one.name for one in (option, *others)):
            place = self._scope.find(*option.names)
            header = Problem(self.section.origin, self.section.name, option.name, text)
            self.leave_out(place.problem(text) if place else header)

    def report(self, option: Option[str], line: int, text: str, consequence: str) -> None:
        """Report a line of an option, as `lines` counts them, that costs no more than itself."""
        place = self._scope.find(*option.names)
        if place is not None:
            origin = self.lines(option)[line].origin
            self._findings.add(replace(place.problem(text), origin=origin), consequence)

    def leave_out(self, problem: Problem) -> None:
        self.broken = True
        whole = self.section.name == DEFAULT
        consequence = "nothing can run" if whole else f"[{self.section.name}] is left out"
        self._findings.add(problem, consequence)

    def _expand(self, place: Place | None, option: Option[T], default: T) -> Value | None:
        self._record(option, _shown(option, default), BUILT_IN)
        try:
            value = self._scope.expand(place) if place else None
            if value is not None:
                self._record(option, value.text, value.origin)
            return value
        except InterpolationError as error:
            self._failed.add(option.name)
            if self.section.name == DEFAULT and not option.vital:
                self._findings.add(error.problem, f"using {_instead(option, default)} instead")
            else:
                self.leave_out(error.problem)
            return None

    def _record(self, option: Option[T], text: str, origin: Origin) -> None:
        section = "" if self.section.name == DEFAULT else self.section.name
        self.effective[option.name] = Effective(section, "", option.name, text, origin)

    def _address(self, word: str, here: Problem) -> Network | None:
        try:
            network = values.network(word)
        except ValueError as error:
            self._findings.add(replace(here, text=str(error)), "this entry is left out")
            return None
        if values.is_mask(word):
            text = f"{values.quoted(word)} has a mask; the usual form is {str(network)!r}"
            self._findings.add(replace(here, text=text, severity="warning"))
        return network


def _entries(value: Value) -> Iterable[tuple[str, int]]:
    """Return the lines of a list.

    Only an indented line can be a comment: a pattern may well start with `#`
    where 0.6 expected the one and only pattern.
    """
    first = value.lines[0]
    for line in value.lines:
        comment = line[0].startswith("#") and (line is not first or _is_indented(value))
        if line[0] and not comment:
            yield line


def _is_indented(value: Value) -> bool:
    return value.lines[0][1] != value.origin.line


def _without_comments(place: Place) -> Place:
    """Leave comments out before expansion: a `%` in them means nothing."""
    kept = tuple(_entries(place.value)) or (("", place.value.origin.line),)
    return replace(place, value=replace(place.value, lines=kept))
