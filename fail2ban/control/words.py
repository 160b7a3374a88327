# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a command -> values, or a sentence about what is wrong with them.

Source: jail-conf.md sections 5.4 and 12.3; what a client shows for a command that
is not complete was seen there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from fail2ban.config import values
from fail2ban.config.ini import Value
from fail2ban.config.options import Findings, Option
from fail2ban.config.tree_options import COMMAND_LINE, Options
from fail2ban.config.values import quoted
from fail2ban.control.host import Refused
from fail2ban.detect.identity import LONGEST_ID
from fail2ban.records import Id, Sourced

# What can only be meant for an address, so that a mistyped one is told.
_ADDRESS = re.compile(r"[0-9./]+|[0-9a-f.]*:[0-9a-f.:/%]*", re.IGNORECASE)

T = TypeVar("T")


def unknown(text: str = "Invalid command") -> Refused:
    """Make the error for a command that does not exist."""
    return Refused(text)


def incomplete() -> Refused:
    """Make the error for a command that lacks a word."""
    return Refused("Sorry but the command is invalid")


def plain(word: object) -> str:
    """Return a word of a command as text; numbers and truths come as such, too."""
    if isinstance(word, bool):
        return str(word).lower()
    if isinstance(word, str | int | float):
        return _usable(str(word))
    raise Refused(f"{quoted(repr(word))} is no word of a command; expected a text or a number")


def _usable(text: str) -> str:
    """Return a text unless no command line could hold it: paths and commands cannot either."""
    try:
        unusable = b"\0" in os.fsencode(text)
    except UnicodeEncodeError:
        unusable = True
    if unusable:
        raise Refused(f"{quoted(text)} holds a character that no command line can")
    return text


def only(words: Sequence[str]) -> str:
    """Return the one word that is expected."""
    if not words:
        raise incomplete()
    if len(words) > 1:
        raise Refused(f"{quoted(words[1])} is one word too much; put what has blanks in quotes")
    return words[0]


def some(words: Sequence[str]) -> Sequence[str]:
    """Return the words, of which at least one is expected."""
    if not words:
        raise incomplete()
    return words


def parsed(parse: Callable[[str], T], text: str) -> T:
    """Convert a text; what ValueError says becomes Refused."""
    try:
        return parse(text.strip())
    except ValueError as error:
        raise Refused(str(error)) from None


def option(option: Option[T], text: str) -> T:
    """Convert a text as an option of the configuration would."""
    return parsed(option.parse, text)


class _Said:
    """Options that somebody says, in place of a section."""

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said

    def get(self, option: str) -> Value | None:
        text = self._said.get(option)
        return None if text is None else Value(((text, 0),), COMMAND_LINE)


def understood(said: Mapping[str, str], read: Callable[[Options], T]) -> T:
    """Return what `read` makes of options, by name; whatever it reports is Refused.

    Raises:
        ConfigError: an option cannot be made at all.
    """
    findings = Findings()
    found = read(Options(_Said(said), "", COMMAND_LINE, findings))
    if problems := findings.problems():
        raise Refused("\n".join(problem.text for problem in problems))
    return found


def sourced(text: str) -> Sourced:
    """Return a pattern that was given by hand."""
    return Sourced(text, COMMAND_LINE)


def identity(text: str) -> Id:
    """Return whom a word means: an address, a network, or any other text.

    Raises:
        Refused: it is no address although it looks like one, or far too long.
    """
    try:
        network = values.any_network(text)
    except ValueError as error:
        if _ADDRESS.fullmatch(text):
            raise Refused(str(error)) from None
        if not text or len(text) > LONGEST_ID:
            expected = f"expected an address, or a text of 1 to {LONGEST_ID} characters"
            raise Refused(f"{quoted(text)} is no id; {expected}") from None
        return text
    return network.network_address if network.num_addresses == 1 else network


def number(text: str, below: int) -> int:
    """Return the place in a list of `below` entries, counted from 0."""
    place = parsed(values.integer, text)
    if not 0 <= place < below:
        expected = f"expected 0 to {below - 1}" if below else "the list is empty"
        raise Refused(f"there is no number {place}; {expected}")
    return place
