# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of one section, filter or action of a tree, converted and recorded.

What cannot be fetched raises ConfigError: its jail is left out. What can be fetched
but makes no sense is reported, and costs its default.

Source: jail-conf.md sections 3 and 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol, TypeVar

from fail2ban.config.ini import Value
from fail2ban.config.interpolation import Place
from fail2ban.config.loaded import Effective
from fail2ban.config.options import BUILT_IN, Findings, Option
from fail2ban.config.trees import Fetch
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import Origin, Problem, Sourced

COMMAND_LINE = Origin("command line")

_TRUE = frozenset({"1", "on", "true", "yes"})
_FALSE = frozenset({"0", "off", "false", "no", "none"})

T = TypeVar("T")


class Source(Protocol):
    """Where options come from: a `Fetch`, a `Definition`, or one of these."""

    def get(self, option: str) -> Value | None: ...


class Above:
    """The command line above a section.

    Args:
        fetch: the section; None: it cannot be read.
        given: option -> its text and the flag that gave it.
    """

    def __init__(self, fetch: Fetch | None, given: Mapping[str, tuple[str, str]]) -> None:
        self._fetch, self._given = fetch, given

    def get(self, option: str) -> Value | None:
        if said := self._said(option):
            return said.value
        return self._fetch.get(option) if self._fetch else None

    def place(self, option: str) -> Place | None:
        """Return where the option is written, see `Fetch.place`."""
        return self._said(option) or (self._fetch.place(option) if self._fetch else None)

    def _said(self, option: str) -> Place | None:
        if option not in self._given:
            return None
        text, flag = self._given[option]
        return Place("", flag, Value(((text, 0),), COMMAND_LINE), literal=True)


def between(fetch: Fetch, given: Mapping[str, tuple[str, str]]) -> Above:
    """Return a section with the command line above [DEFAULT], but below its own options."""
    own = set(fetch.options())
    return Above(fetch, {name: said for name, said in given.items() if name not in own})


class Options:
    """Options that are fetched, converted and recorded.

    Args:
        source: where they come from.
        section, header: for messages about what is written nowhere.
        findings: gets what is wrong.
        part: see `Effective`.

    Attributes:
        effective: every value that was asked for, in this order.
    """

    def __init__(
        self, source: Source, section: str, header: Origin, findings: Findings, part: str = ""
    ) -> None:
        self.section, self.header = section, header
        self.effective: dict[str, Effective] = {}
        self._source, self._part = source, part
        self._findings = findings

    def value(self, name: str, default: str = "") -> Value | None:
        """Return an option as it is written, every substitution done; None: nowhere.

        Raises:
            ConfigError: it cannot be made.
        """
        value = self._source.get(name)
        text, origin = (value.text, value.origin) if value else (default, BUILT_IN)
        self.effective[name] = Effective(self.section, self._part, name, text, origin)
        return value

    def says(self, name: str) -> bool:
        """Whether an option is written at all."""
        return self._source.get(name) is not None

    def get(self, option: Option[T]) -> T:
        """Return an option's value, its default if it is missing or wrong."""
        return self.get_or(option, option.default)

    def get_or(self, option: Option[T], wrong: T) -> T:
        """Return an option's value, its default if it is missing, `wrong` if it is that."""
        value = self.value(option.name, option.shown or spelled(option.default))
        if value is None:
            return option.default
        try:
            return option.parse(value.text.strip())
        except ValueError as error:
            instead = option.shown if wrong == option.default else ""
            instead = instead or spelled(wrong) or "none"
            self.report(option.name, str(error), f"using {instead} instead")
            return wrong

    def truth(self, name: str, default: bool) -> bool:
        """Return whether an option says `1 on true yes`; what is no such word means no."""
        value = self.value(name, spelled(default))
        if value is None:
            return default
        word = value.text.strip().lower()
        if word and word not in _TRUE | _FALSE:
            text = f"{quoted(word)} is neither yes nor no; expected true or false"
            self.report(name, text, "it means false", severity="warning")
        return word in _TRUE

    def text(self, name: str) -> str:
        """Return an option's text, empty if it is missing."""
        value = self.value(name)
        return value.text.strip() if value else ""

    def lines(self, name: str) -> tuple[Sourced, ...]:
        """Return the lines of an option that are not empty, each with its own place."""
        value = self.value(name)
        if value is None:
            return ()
        return tuple(Sourced(text, value.place(at)) for text, at in value.lines if text.strip())

    def report(
        self,
        name: str,
        text: str,
        consequence: str = "",
        *,
        line: int | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Report something about an option where it is written, or at the header.

        Args:
            line: of the text, counted from 0.
        """
        self.note(replace(self.problem(name, text, line), severity=severity), consequence)

    def note(self, problem: Problem, consequence: str = "") -> None:
        """Report a problem that `problem` has made."""
        # Whoever stands at the terminal is asked to say it again.
        self._findings.add(problem, consequence if problem.origin != COMMAND_LINE else "")

    def problem(self, name: str, text: str, line: int | None = None) -> Problem:
        """Make an error about an option; see `report`.

        What all jails fall back to is reported once, with its own section.
        """
        value = self._source.get(name)
        if value is None:
            return Problem(self.header, self.section, name, text)
        at = value.origin if line is None else value.place(_number(value, line))
        place = self._source.place(name) if isinstance(self._source, Above) else None
        if place is None:
            return Problem(at, self.section, name, text)
        return Problem(at, place.section, place.option, text)

    def refuse(self, name: str, text: str, line: int | None = None) -> ConfigError:
        """Make the error that leaves the jail out."""
        return ConfigError([self.problem(name, text, line)])


def _number(value: Value, line: int) -> int:
    return value.lines[min(line, len(value.lines) - 1)][1]


def spelled(value: object) -> str:
    """Write a default as a configuration would."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.15g}"
    return str(value)
