# SPDX-License-Identifier: GPL-2.0-or-later
"""The last lines of a log, as one text, for patterns that span lines.

Source: jail-conf.md section 7.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from fail2ban.detect import memory


class Seen(NamedTuple):
    """A line of a log.

    Attributes:
        text: what the patterns see of it, without its end.
        shown: all of it, for evidence.
    """

    text: str
    shown: str


class Window(NamedTuple):
    """Lines that are searched as one text.

    Attributes:
        lines: oldest first.
        text: all of them, each with its end.
    """

    lines: tuple[Seen, ...]
    text: str

    def split(self, found: re.Match[str]) -> tuple[tuple[Seen, ...], tuple[Seen, ...]]:
        """Return the lines that a match in `text` takes, and the others.

        Those that the tag <SKIPLINES> took are among the others.
        """
        if len(self.lines) == 1:
            return self.lines, ()
        taken: list[Seen] = []
        others: list[Seen] = []
        skipped = tuple(_skipped(found))
        begin, end = found.start(), max(found.end(), found.start() + 1)
        at = 0
        for line in self.lines:
            until = at + len(line.text) + 1
            skip = any(first <= at and until <= last for first, last in skipped)
            (taken if at < end and begin < until and not skip else others).append(line)
            at = until
        return tuple(taken), tuple(others)


def window(*lines: Seen) -> Window:
    """Return some lines as one text."""
    if len(lines) == 1:
        return Window(lines, f"{lines[0].text}\n")
    return Window(lines, "".join(f"{line.text}\n" for line in lines))


def _skipped(found: re.Match[str]) -> Iterator[tuple[int, int]]:
    for name in found.re.groupindex:
        if name.startswith("skiplines") and found[name] is not None:
            yield found.span(name)


class LineBuffer:
    """The last lines of one log. Used on one thread at a time.

    Args:
        size: how many lines a pattern can see, at least 1.
        section: for log messages.
    """

    def __init__(self, size: int, section: str = "") -> None:
        self._size, self._section = max(1, size), section
        self._lines: tuple[Seen, ...] = ()
        self._noted: tuple[Seen, ...] = ()  # those that `_text` speaks of
        self._text = ""

    def __len__(self) -> int:
        return len(self._lines)

    def with_line(self, line: Seen) -> Window:
        """Return what the patterns see when `line` has come; changes nothing."""
        return window(*self._lines, line)

    def keep(self, lines: tuple[Seen, ...]) -> None:
        """Remember the newest of what was seen and is not used up."""
        before = self._size - 1
        self._lines = lines[-before:] if before else ()

    def memory(self) -> str:
        """Return the lines as a text, see `Matcher`; empty for none."""
        if self._noted is not self._lines:
            self._noted = self._lines
            self._text = memory.dumped(self._lines) if self._lines else ""
        return self._text

    def recall(self, text: str) -> None:
        """Show the lines of such a text, see `Matcher`."""
        if lines := memory.read(self._section, text, _parse):
            self.keep(lines)


def _parse(said: Any) -> tuple[Seen, ...]:
    return tuple(Seen(memory.text(text), memory.text(shown)) for text, shown in said)
