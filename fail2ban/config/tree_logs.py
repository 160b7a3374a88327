# SPDX-License-Identifier: GPL-2.0-or-later
"""What a jail of the tree reads: files, or systemd's journal.

Source: jail-conf.md sections 5.1, 5.4, 5.7 and 15.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from fail2ban.config import values
from fail2ban.config.brackets import BracketError, Element, element
from fail2ban.config.options import Option
from fail2ban.config.tree_options import Options
from fail2ban.config.values import quoted
from fail2ban.records import JournalSettings, Sourced

AUTO = "auto"
SYSTEMD = "systemd"
# Backends that read files; which of them makes no difference to us.
_FILES = (AUTO, "polling", "pyinotify", "gamin")
_OF_JOURNAL = frozenset({"journalpath", "journalfiles", "journalflags", "namespace", "rotated"})
_TERM = re.compile(r"[A-Z_][A-Z0-9_]{0,63}=|/")
_END = re.compile(r"(.*\S)\s+(head|tail)", re.DOTALL)

BACKEND = Option("backend", str, AUTO)


@dataclass(frozen=True)
class Backend:
    """How a jail reads.

    Attributes:
        name: as the jail says, without brackets.
        journal: None: it reads files.
    """

    name: str
    journal: JournalSettings | None = None


@dataclass(frozen=True)
class Logs:
    """The files of a jail.

    Attributes:
        paths: paths or wildcards.
        tails: those that are read from their present end on.
        found: at least one of them is there.
    """

    paths: tuple[str, ...] = ()
    tails: frozenset[str] = frozenset()
    found: bool = False


def backend(options: Options) -> Backend:
    """Return how a jail reads.

    Raises:
        ConfigError: there is no such way.
    """
    text = options.get(BACKEND) or BACKEND.default
    try:
        found = element(text)
    except BracketError as error:
        raise options.refuse("backend", str(error), error.line) from None
    name = found.name.lower()
    if name == SYSTEMD:
        return Backend(name, _journal(options, found))
    if name not in _FILES:
        known = [*_FILES, SYSTEMD]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
        raise options.refuse("backend", f"there is no backend {quoted(found.name)}; {hint}")
    return Backend(name)


def _journal(options: Options, found: Element) -> JournalSettings:
    given = found.options
    for name in sorted(given.keys() - _OF_JOURNAL):
        close = difflib.get_close_matches(name, sorted(_OF_JOURNAL), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "it has no effect"
        text = f"the journal has no option {quoted(name)}; {hint}"
        options.report("backend", text, severity="warning")
    return JournalSettings(
        path=given.get("journalpath", ""),
        files=tuple(re.findall(r"[^\s,]+", given.get("journalfiles", ""))),
        namespace=given.get("namespace", ""),
        flags=_flags(options, given.get("journalflags", "")),
        rotated=given.get("rotated", "").lower() in ("1", "on", "true", "yes"),
    )


def _flags(options: Options, text: str) -> int | None:
    try:
        return values.integer_from(0, text) if text else None
    except ValueError as error:
        options.report("backend", f"journalflags: {error}", "using the usual ones instead")
        return None


def matches(options: Options, lines: Iterable[Sourced]) -> tuple[tuple[str, ...], ...]:
    """Split the lines of `journalmatch`: shell words, `+` between alternatives.

    Raises:
        ConfigError: a line cannot be split, or is no condition.
    """
    return tuple(
        terms
        for number, line in enumerate(lines)
        for terms in _alternatives(options, line.text, number)
        if terms
    )


def _alternatives(options: Options, line: str, number: int) -> list[tuple[str, ...]]:
    try:
        words = shlex.split(line)
    except ValueError:
        text = f"{quoted(line)} has a quote that is not closed"
        raise options.refuse("journalmatch", text, number) from None
    found: list[tuple[str, ...]] = [()]
    for word in words:
        if word == "+":
            found.append(())
        elif _TERM.match(word):
            found[-1] += (word,)
        else:
            text = f"{quoted(word)} is no condition; expected one as _SYSTEMD_UNIT=sshd.service"
            raise options.refuse("journalmatch", text, number)
    return found


def logs(options: Options, ours: Iterable[str] = ()) -> Logs:
    """Return the files of a jail, whether or not they are there; links to nothing are told.

    Args:
        ours: logs that we write ourselves: they will be there.
    """
    paths: dict[str, None] = {}
    tails: set[str] = set()
    found = False
    for line in options.lines("logpath"):
        end = _END.fullmatch(line.text)
        path = end[1] if end else line.text
        paths[path] = None
        if end and end[2] == "tail":
            tails.add(path)
        there = glob.glob(path)
        found = found or path in ours or any(os.path.exists(one) for one in there)
        for one in there:
            if not os.path.exists(one):
                text = f"{quoted(one)} is a link to what is not there"
                options.report("logpath", text, "it is waited for", severity="warning")
    return Logs(tuple(paths), frozenset(tails), found)
