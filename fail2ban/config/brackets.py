# SPDX-License-Identifier: GPL-2.0-or-later
"""Read what stands in `filter = name[opt=value]` and `action = one[...] two[...]`.

Source: jail-conf.md sections 5.2 and 15.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fail2ban.config.values import quoted

_BLANKS = re.compile(r"\s*")
_NAME = re.compile(r"[^\s\[\]]+")
_GAP = re.compile(r"\s*\[")
_OPTION = re.compile(r"\s*([\w.-]+(?:\?[\w.-]+=[\w.:-]+)?)\s*=\s*")
_VALUE = re.compile(r"\"([^\"]*)\"|'([^']*)'|((?:[^,\]\"'][^,\]]*)?)")
_END = re.compile(r"\s*([,\]])")


class BracketError(ValueError):
    """An element cannot be read.

    Attributes:
        line: of the text it was found in, counted from 0.
    """

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True)
class Element:
    """One filter or action, and the options it is given.

    Attributes:
        options: name as it is written -> value.
        line: of the text where its name stands, counted from 0.
        remarks: what is odd about it, but clear.
    """

    name: str
    options: dict[str, str] = field(default_factory=dict)
    line: int = 0
    remarks: tuple[str, ...] = ()


def elements(text: str) -> list[Element]:
    """Read any number of elements, separated by blanks or lines.

    Raises:
        BracketError: one of them cannot be read.
    """
    return list(_Reading(text).elements())


def element(text: str) -> Element:
    """Read exactly one element.

    Raises:
        BracketError: there is none, or more.
    """
    found = elements(text)
    if not found:
        raise BracketError("'' names nothing; expected a name, or name[option=value]", 0)
    if len(found) > 1:
        second = found[1]
        text = f"{quoted(second.name)} follows {quoted(found[0].name)}; expected one name only"
        raise BracketError(text, second.line)
    return found[0]


class _Reading:
    """A text, and how far it was read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def elements(self) -> Iterator[Element]:
        while self._take(_BLANKS) is not None and self._at < len(self._text):
            line = self._line()
            name = self._take(_NAME)
            if name is None:
                raise self._error("expected a name before it")
            remarks = self._remarks(name[0])
            yield Element(name[0], self._groups(name[0]), line, remarks)

    def _remarks(self, name: str) -> tuple[str, ...]:
        """Take note of blanks before a bracket, which no name can begin with."""
        gap = _GAP.match(self._text, self._at)
        if gap is None or gap.end() == self._at + 1:
            return ()
        return (f"there is a blank before the bracket of {quoted(name)}; expected '{name}['",)

    def _groups(self, name: str) -> dict[str, str]:
        options: dict[str, str] = {}
        while self._take(_GAP):
            self._group(name, options)
        return options

    def _group(self, name: str, options: dict[str, str]) -> None:
        """Read up to the bracket that ends a group."""
        while True:
            if end := self._take(_END):
                if end[1] == "]":
                    return
                continue
            option = self._take(_OPTION)
            if option is None:
                raise self._error(f"expected 'option=value' or ']' in the brackets of {name!r}")
            options[option[1]] = self._value(option[1])

    def _value(self, option: str) -> str:
        start = self._at
        value = self._take(_VALUE)
        if value is None or not _END.match(self._text, self._at):
            self._at = start
            expected = "a text, or one in quotes that are closed, and ',' or ']' behind it"
            raise self._error(f"expected as value of {option!r} {expected}")
        return next(one for one in value.groups() if one is not None).strip()

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at)

    def _error(self, expected: str) -> BracketError:
        rest = self._text[self._at :].partition("\n")[0]
        return BracketError(f"cannot read {quoted(rest)}; {expected}", self._line())
