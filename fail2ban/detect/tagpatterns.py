# SPDX-License-Identifier: GPL-2.0-or-later
"""The patterns of a filter.d together, and what they see in a line.

Source: jail-conf.md sections 7.2, 7.3 and 16 (item 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fail2ban.detect.groups import Groups, certain, together
from fail2ban.detect.linebuffer import LineBuffer, Seen, window
from fail2ban.detect.regextags import compile_tagged, names_somebody, target
from fail2ban.errors import ConfigError
from fail2ban.records import Capture, FilterSettings, Problem, Sourced


class Pattern(NamedTuple):
    """One compiled pattern and where it comes from."""

    option: str
    source: Sourced
    regex: re.Pattern[str]
    groups: Groups


class Found(NamedTuple):
    """A failregex that matched.

    Attributes:
        number: which, counted from 0.
    """

    number: int
    match: re.Match[str]


class Sight(NamedTuple):
    """What the patterns see in a line.

    Attributes:
        text: what they looked at, of several lines if they see several.
        prefix: where prefregex matched; None where there is none.
        reached: failregex were tried.
        ignored: the ignoreregex that matched, counted from 0.
        found: the failregex that matched, in order; none where one is ignored.
        taken: the lines that the first of them takes; those of an ignored one, too.
        others: the lines that are left for later.
    """

    text: str
    prefix: re.Match[str] | None = None
    reached: bool = False
    ignored: int | None = None
    found: tuple[Found, ...] = ()
    taken: tuple[Seen, ...] = ()
    others: tuple[Seen, ...] = ()


def _is_farewell(pattern: Pattern) -> bool:
    marks = certain(pattern.regex)
    return "mlfforget" in marks and bool(marks & {"mlfgained", "nofail"})


class Patterns:
    """The patterns of one section. Used on one thread at a time.

    A failregex that cannot be used is reported, and the others work without it.

    Attributes:
        trying: the pattern that is searched for at the moment, or was last.
        farewells: the failregex that are no failures and end a connection, as a login
            that succeeds: they only matter to a connection that is known.

    Raises:
        ConfigError: no failregex is left, or prefregex cannot be used.
    """

    def __init__(self, settings: FilterSettings) -> None:
        self.trying: Pattern | None = None
        found: list[Problem] = []
        self._multiline = settings.maxlines > 1
        self._settings, self._report = settings, found.append
        prefix = self._compile("prefregex", [settings.prefregex] if settings.prefregex else [])
        self._prefix = prefix[0] if prefix else None
        self._has_content = bool(prefix) and "content" in prefix[0].regex.groupindex
        self.failregex = tuple(
            pattern
            for pattern in self._compile("failregex", settings.failregex)
            if self._names_somebody(pattern)
        )
        self.ignoreregex = self._compile("ignoreregex", settings.ignoreregex)
        self.farewells = self._farewells()
        self.problems = tuple(found)
        self._check()

    def _farewells(self) -> frozenset[int]:
        of_parts = ("mlfid", "tuple")  # such an id does not stand in the line as it is
        for pattern in (*self.failregex, *([self._prefix] if self._prefix else ())):
            if any(target(name.lower()) == of_parts for name in pattern.regex.groupindex):
                return frozenset()
        return frozenset(
            number for number, pattern in enumerate(self.failregex) if _is_farewell(pattern)
        )

    def _compile(self, option: str, sources: Iterable[Sourced]) -> tuple[Pattern, ...]:
        section, usedns = self._settings.section, self._settings.usedns
        patterns = []
        for source in sources:
            regex = compile_tagged(source, section, option, self._report, usedns, self._multiline)
            if regex:
                patterns.append(Pattern(option, source, regex, Groups(regex)))
                self._warn_of_empty(patterns[-1])
        return tuple(patterns)

    def _names_somebody(self, pattern: Pattern) -> bool:
        if names_somebody(pattern.regex) or (self._prefix and names_somebody(self._prefix.regex)):
            return True
        text = (
            f"{pattern.source.text!r} does not say whom to blame; expected <HOST> or another tag"
            " for an address, <F-ID> or <F-MLFID> in it or in prefregex"
        )
        self._report(Problem(pattern.source.origin, self._settings.section, "failregex", text))
        return False

    def _warn_of_empty(self, pattern: Pattern) -> None:
        texts = ("", "\x00")  # an expression for empty lines does not match the second
        if pattern.option != "prefregex" and all(pattern.regex.search(text) for text in texts):
            text = f"{pattern.source.text!r} matches every line, whatever stands in it"
            section = self._settings.section
            problem = Problem(pattern.source.origin, section, pattern.option, text, "warning")
            self._report(problem)

    def _check(self) -> None:
        """Refuse to work without what decides.

        Without its prefregex a filter would take for failures what are none. A
        filter in which no failregex is written finds none, as it says.
        """
        settings = self._settings
        none_works = settings.failregex and not self.failregex
        if none_works or (settings.prefregex and not self._prefix):
            raise ConfigError(self.problems)

    @property
    def prefix(self) -> re.Pattern[str] | None:
        """What must match before any failregex is tried."""
        return self._prefix.regex if self._prefix else None

    def look(
        self,
        text: str,
        shown: str,
        buffer: LineBuffer,
        every: bool = False,
        named: Sequence[int] | None = None,
    ) -> Sight:
        """Find out what a line says, together with those of `buffer`; change nothing.

        Args:
            text: the line without its timestamp.
            shown: the line for evidence.
            every: try all failregex, not only until one matches.
            named: the failregex that may match, in order; None: any may.
        """
        if self.ignoreregex and len(self.ignoreregex) < len(self.failregex) - 2:
            # They are fewer, so asking them first is cheap.
            if (number := self._ignoring(f"{text}\n")) is not None:
                return Sight(text, ignored=number)
        prefix = None
        if self._prefix:
            prefix = self._search(self._prefix, f"{text}\n")
            if not prefix:
                return Sight(text)
            text = (prefix["content"] if self._has_content else "") or text
        numbers = range(len(self.failregex)) if named is None else named
        return self._fail(prefix, Seen(text, shown), buffer, every, numbers)

    def captured(self, prefix: re.Match[str] | None, found: Found) -> dict[str, Capture]:
        """Return what prefregex and a failregex captured, by lower-case name.

        The later overrides the earlier, also with an empty text.
        """
        groups = self.failregex[found.number].groups
        texts, varied = groups.of(found.match), groups.varied
        if prefix and self._prefix:
            texts = {**self._prefix.groups.of(prefix), **texts}
            varied = varied or self._prefix.groups.varied
        return together(texts) if varied else dict(texts)

    def _fail(
        self,
        prefix: re.Match[str] | None,
        seen: Seen,
        buffer: LineBuffer,
        every: bool,
        numbers: Sequence[int],
    ) -> Sight:
        """Try the failregex, and the ignoreregex on what the first of them takes."""
        view = buffer.with_line(seen)
        found: list[Found] = []
        taken: tuple[Seen, ...] = ()
        others, text = view.lines, view.text
        for number in numbers:
            if not (match := self._search(self.failregex[number], text)):
                continue
            found.append(Found(number, match))
            if len(found) > 1:
                continue
            taken, others = view.split(match)
            if self.ignoreregex:
                if (ignored := self._ignoring(window(*taken).text)) is not None:
                    return Sight(view.text, prefix, True, ignored, (), taken, others)
            if not every:
                break
            if self._multiline:
                text = window(*others).text  # those taken are used up
        return Sight(view.text, prefix, True, None, tuple(found), taken, others)

    def _ignoring(self, text: str) -> int | None:
        for number, pattern in enumerate(self.ignoreregex):
            if self._search(pattern, text):
                return number
        return None

    def _search(self, pattern: Pattern, text: str) -> re.Match[str] | None:
        self.trying = pattern
        return pattern.regex.search(text)
