# SPDX-License-Identifier: GPL-2.0-or-later
"""Show a configuration as it came out: every value, and where it was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from fail2ban.config.loaded import Effective
from fail2ban.text import printable


def one_a_line(values: Iterable[Effective]) -> Iterator[str]:
    """Yield a line for each value, for `grep`: `[sshd] filter sshd: maxlines = 1  (file:7)`."""
    for value in values:
        where = f"[{value.section}]" if value.section else "daemon"
        part = f" {value.part}:" if value.part else ""
        yield f"{where}{part} {value.option} = {printable(value.text)}  ({value.origin})"


def in_sections(values: Iterable[Effective]) -> Iterator[str]:
    """Yield the lines of a text that reads like the files it came from."""
    for section, inside in groupby(values, key=lambda value: value.section):
        yield f"[{section}]" if section else "# the daemon"
        for part, options in groupby(inside, key=lambda value: value.part):
            if part:
                yield f"# {part}"
            for value in options:
                yield from _entry(value)
        yield ""


def _entry(value: Effective) -> Iterator[str]:
    first, *others = value.text.split("\n")
    yield f"# {value.origin}"
    yield f"{value.option} = {printable(first)}".rstrip()
    yield from (f"    {printable(line)}" for line in others)
