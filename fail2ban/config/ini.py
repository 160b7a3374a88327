# SPDX-License-Identifier: GPL-2.0-or-later
"""Read an INI file and remember where every line of it stood.

The languages we read share one shape and differ in their rules, so the rules
are a table, `Dialect`. Nothing here knows what an option means.

Source: fail2ban-conf-0.6.md section 1, jail-conf.md section 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fail2ban.config.values import quoted
from fail2ban.records import Origin, Problem

_LINE_END = re.compile(r"\r\n|\n|\r")
_HEADER = re.compile(r"\[([^]]+)]")


@dataclass(frozen=True)
class Dialect:
    """What distinguishes one INI language from another.

    Attributes:
        separators: the characters that may end an option's name.
        comment: matches, at its start, a line that is a comment as a whole.
        inline: matches, at its start, a text with a comment in it; group 1 is
            what stays.
        inline_everywhere: look for `inline` in the whole of every line, not
            only behind the separator.
        deeper: a continuation is indented deeper than its option; otherwise
            every indented line is one, and only an option can be continued.
        keep_blank: a blank line inside a value is a line of the value.
        strict: to write an option or a section twice is worth a warning; the
            last value wins and the sections merge either way.
        quoted_empty: `""` behind the separator is the empty text.
    """

    separators: str
    comment: re.Pattern[str]
    inline: re.Pattern[str]
    inline_everywhere: bool = False
    deeper: bool = False
    keep_blank: bool = False
    strict: bool = False
    quoted_empty: bool = False


#: The single file of Fail2Ban 0.6. Of several `;` in a line only the first can
#: start a comment, and only in the line that names the option.
CLASSIC = Dialect(
    separators="=:",
    comment=re.compile(r"[#;]|rem(?:\s|$)", re.IGNORECASE),
    inline=re.compile(r"([^;]*\s);"),
    quoted_empty=True,
)


#: The files of a configuration tree. `rem` comments are from the days of Python 2,
#: whose parser passed over such lines; an option may be called `rem` since.
TREE = Dialect(
    separators="=:",
    comment=re.compile(r"\s*[#;]|rem(?:\s*$|\s+[^\s=:])", re.IGNORECASE),
    inline=re.compile(r"(.*?\s);"),
    inline_everywhere=True,
    deeper=True,
    keep_blank=True,
    strict=True,
)


@dataclass(frozen=True)
class Value:
    """The text of an option, by physical line.

    Attributes:
        lines: text and line number of each; at least one.
        origin: the line that names the option.
    """

    lines: tuple[tuple[str, int], ...]
    origin: Origin

    @cached_property
    def text(self) -> str:
        return "\n".join([text for text, _ in self.lines])

    def place(self, number: int) -> Origin:
        """Return the origin of the line with this number."""
        return Origin(self.origin.file, number)


@dataclass(frozen=True)
class Section:
    """What stands under one or more headers of the same name.

    Attributes:
        origin: the first of these headers.
        options: lower-case name -> value, in the order of the file.
    """

    name: str
    origin: Origin
    options: Mapping[str, Value]


@dataclass(frozen=True)
class Ini:
    """A file that was read.

    Attributes:
        sections: name -> section, in the order of the file.
        problems: the lines that could not be read, and warnings; `section` of
            each is where it stands, empty before the first header.
    """

    file: str
    sections: Mapping[str, Section]
    problems: list[Problem]


def read(text: str, file: str, dialect: Dialect) -> Ini:
    """Read `text`; `file` is its name for messages. Never raises.

    A continued option whose first line is empty starts with its second.
    """
    reading = _Reading(file, dialect)
    for number, line in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), start=1):
        reading.feed(line, number)
    return reading.result()


@dataclass
class _Open:
    """The option that the next line may continue.

    Attributes:
        section: where it stands.
        name: its name; empty for a line that made no sense, so that what
            continues it is not reported once more.
        indent: of the line that names it.
        lines: its value so far.
    """

    section: str
    name: str
    number: int
    indent: int
    lines: list[tuple[str, int]]


class _Reading:
    """A file while it is being read."""

    def __init__(self, file: str, dialect: Dialect) -> None:
        self.file, self.dialect = file, dialect
        self.sections: dict[str, Section] = {}
        self.options: dict[str, dict[str, Value]] = {}
        self.problems: list[Problem] = []
        self.section = ""
        self.open: _Open | None = None

    def feed(self, line: str, number: int) -> None:
        if self.dialect.comment.match(line):
            return
        if self.dialect.inline_everywhere:
            line = self._without_comment(line)
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            self._blank(number)
        elif "\0" in line:
            self._refuse(line, number, "holds a NUL byte; expected text in UTF-8 or Latin-1")
        elif self.open and indent > (self.open.indent if self.dialect.deeper else 0):
            self.open.lines.append((line.strip(), number))
        elif indent and not self.dialect.deeper:
            self._refuse(line, number, "is indented, but there is no option that it could continue")
        else:
            self._start(line.strip(), number, indent)

    def result(self) -> Ini:
        self._close()
        if headless := self.sections.pop("", None):
            text = "the file starts without a section; expected '[DEFAULT]' or another '[name]'"
            self.problems.append(Problem(headless.origin, "", "", f"{text} above this line"))
        self.problems.sort(key=lambda problem: problem.origin.line)
        return Ini(self.file, self.sections, self.problems)

    def _start(self, line: str, number: int, indent: int) -> None:
        self._close()
        if header := _HEADER.match(line):
            self._header(header[1], number)
            return
        cut = next((at for at, char in enumerate(line) if char in self.dialect.separators), 0)
        if cut:
            name = line[:cut].rstrip().lower()
            lines = [(self._first(line[cut + 1 :]), number)]
            self.open = _Open(self.section, name, number, indent, lines)
        else:
            expected = "expected '[section]', 'option = value' or an indented line that continues"
            self._refuse(line, number, f"fits nothing; {expected} an option")

    def _header(self, name: str, number: int) -> None:
        origin = Origin(self.file, number)
        if self.dialect.strict and name in self.sections:
            first = self.sections[name].origin
            text = f"the section is already in line {first.line}; both count as one"
            self.problems.append(Problem(origin, name, "", text, "warning"))
        self.section = name
        self._keep_section(name, origin)

    def _first(self, text: str) -> str:
        text = self._without_comment(text).strip()
        return "" if self.dialect.quoted_empty and text == '""' else text

    def _without_comment(self, text: str) -> str:
        found = self.dialect.inline.match(text)
        return found[1] if found else text

    def _blank(self, number: int) -> None:
        if self.open and self.dialect.keep_blank:
            self.open.lines.append(("", number))

    def _refuse(self, line: str, number: int, why: str) -> None:
        self._close()
        text = f"{quoted(line.strip())} {why}"
        self.problems.append(Problem(Origin(self.file, number), self.section, "", text))
        self.open = _Open(self.section, "", number, 0, [])

    def _close(self) -> None:
        """Keep the option that has come to its end, if there is one."""
        option, self.open = self.open, None
        if option and option.name:
            lines = option.lines
            while len(lines) > 1 and not lines[-1][0]:
                lines.pop()
            if len(lines) > 1 and not lines[0][0]:
                del lines[0]
            value = Value(tuple(lines), Origin(self.file, option.number))
            self._keep_option(option.section, option.name, value)

    def _keep_option(self, section: str, name: str, value: Value) -> None:
        self._keep_section(section, value.origin)
        options = self.options[section]
        if self.dialect.strict and name in options:
            first = options[name].origin.line
            text = f"the option is already in line {first}; this value is used"
            self.problems.append(Problem(value.origin, section, name, text, "warning"))
        options[name] = value

    def _keep_section(self, name: str, origin: Origin) -> None:
        if name not in self.sections:
            self.options[name] = {}
            self.sections[name] = Section(name, origin, self.options[name])
