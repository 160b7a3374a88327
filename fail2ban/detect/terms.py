# SPDX-License-Identifier: GPL-2.0-or-later
"""Which entries of the journal a section wants.

Terms of equal fields are alternatives, terms of different fields must all hold.

Source: jail-conf.md section 5.7; journalctl's manual.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence

from fail2ban.detect.entries import values
from fail2ban.detect.export import Entry

_TERM = re.compile(r"([A-Z_][A-Z0-9_]{0,63})=(.*)", re.DOTALL)
#: The kernel cuts the name of a process to so many bytes.
_COMM = 15

Term = tuple[str, str]


def parse_term(term: str) -> Term:
    """Split FIELD=value; a path stands for what runs from it, or for a device.

    Raises:
        ValueError: it is neither.
    """
    if found := _TERM.fullmatch(term):
        return found[1], found[2]
    if term.startswith("/"):
        return _path(term)
    text = f"{term!r} is no match; expected FIELD=value such as _SYSTEMD_UNIT=sshd.service"
    raise ValueError(f"{text}, or a path of a program")


def _path(path: str) -> Term:
    path = os.path.realpath(path)
    try:
        status = os.stat(path)
        if stat.S_ISBLK(status.st_mode):
            return "_KERNEL_DEVICE", f"b{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        if stat.S_ISCHR(status.st_mode):
            return "_KERNEL_DEVICE", f"c{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        with open(path, "rb") as program:
            if program.read(2) == b"#!":  # what runs is its interpreter
                return "_COMM", os.path.basename(path)[:_COMM]
    except OSError:
        pass  # it may be installed later
    return "_EXE", path


class Wanted:
    """What one section wants.

    Args:
        matches: alternatives, each of terms; none: everything.

    Attributes:
        fields: those that decide.

    Raises:
        ValueError: a term is wrong.
    """

    def __init__(self, matches: Iterable[Sequence[str]]) -> None:
        self._alternatives: list[dict[str, set[str]]] = []
        for terms in matches:
            alternative: dict[str, set[str]] = {}
            for field, value in map(parse_term, terms):
                alternative.setdefault(field, set()).add(value)
            self._alternatives.append(alternative)
        self._everything = not all(self._alternatives) or not self._alternatives
        self.fields = frozenset(field for terms in self._alternatives for field in terms)

    def fits(self, entry: Entry) -> bool:
        """Tell whether an entry is wanted."""
        return self._everything or any(
            all(not wanted.isdisjoint(values(entry, field)) for field, wanted in terms.items())
            for terms in self._alternatives
        )

    def arguments(self) -> list[list[str]]:
        """Return the alternatives as `journalctl` takes them; none: everything."""
        if self._everything:
            return []
        return [
            sorted(f"{field}={value}" for field, wanted in terms.items() for value in wanted)
            for terms in self._alternatives
        ]


def union(all_wanted: Iterable[Wanted]) -> list[str]:
    """Return arguments for `journalctl` that yield at least what anybody wants."""
    alternatives: dict[tuple[str, ...], None] = {}
    for wanted in all_wanted:
        arguments = wanted.arguments()
        if not arguments:
            return []
        alternatives.update(dict.fromkeys(map(tuple, arguments)))
    return [
        word for number, terms in enumerate(alternatives) for word in ("+", *terms)[not number :]
    ]
