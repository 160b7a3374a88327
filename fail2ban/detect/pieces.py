# SPDX-License-Identifier: GPL-2.0-or-later
"""A pattern in pieces: what the user wrote, and what `re` gets instead.

So an error of `re` can be told at the place where the user wrote it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fail2ban.records import Problem

Report = Callable[[Problem], None]

_HINTS = {
    "unterminated subpattern": r"write \( for a literal parenthesis",
    "unbalanced parenthesis": r"write \) for a literal parenthesis",
    "unterminated character set": r"write \[ for a literal bracket",
    "nothing to repeat": r"write a backslash before a literal *, + or ?",
    "multiple repeat": r"write a backslash before a literal *, + or ?",
    "redefinition of group": "give each named group its own name",
    "bad escape": r"write \\ for a literal backslash",
}

#: What no other token of a pattern may be looked for in.
SKIPPED = r"""(?P<skip> \\. | \(\?\# [^)]* \) )
      | (?P<set> \[ \^? \]? (?: \\. | [^]\\] )* \] )"""


class Piece(NamedTuple):
    """A part of a pattern as the user wrote it, and what `re` gets instead.

    Attributes:
        start: where `old` stands in what the user wrote.
    """

    start: int
    old: str
    new: str


def cut(text: str, changes: Iterable[Piece], flags: str) -> list[Piece]:
    """Return all pieces of a pattern, of which `changes`, in order, are replaced.

    Args:
        flags: letters that concern the whole expression; they go to its front.
    """
    pieces = [Piece(0, "", f"(?{flags})" if flags else "")]
    end = 0
    for change in changes:
        pieces += (Piece(end, text[end : change.start], text[end : change.start]), change)
        end = change.start + len(change.old)
    return [*pieces, Piece(end, text[end:], text[end:])]


def compile_pieces(
    text: str, pieces: Sequence[Piece], multiline: bool = False
) -> tuple[re.Pattern[str], list[str]]:
    """Return the compiled pattern and what `re` warns of.

    Raises:
        ValueError: it cannot be used; says why, and what would be right.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            expanded = "".join(piece.new for piece in pieces)
            regex = re.compile(expanded, re.MULTILINE if multiline else 0)
        except re.error as error:
            raise ValueError(_explain(error, text, pieces)) from error
        except (OverflowError, RecursionError, ValueError) as error:
            raise ValueError(f"{error}; expected a simpler expression than {text!r}") from error
    remarks = [f"{warning.message}, in {text!r}" for warning in caught]
    if any(piece.start and piece.old and not piece.new for piece in pieces):
        remarks.append(f"{pieces[0].new} concerns the whole expression and belongs at its start")
    return regex, remarks


def _explain(error: re.error, text: str, pieces: Iterable[Piece]) -> str:
    """Say what `re` found, at the place where the user wrote it."""
    message = f"{error.msg} in {text!r}"
    if error.pos is not None:
        start = _original_position(error.pos, pieces)
        message = f"{error.msg} at position {start} in {text!r}, at {text[start : start + 20]!r}"
    hint = next((hint for words, hint in _HINTS.items() if words in error.msg), "")
    return f"{message}; {hint or 'expected a regular expression as Python reads it'}"


def _original_position(position: int, pieces: Iterable[Piece]) -> int:
    """Translate an offset into what `re` got to one into what the user wrote."""
    start = 0
    for piece in pieces:
        if position < len(piece.new):
            return piece.start + (position if piece.old == piece.new else 0)
        position -= len(piece.new)
        start = piece.start + len(piece.old)
    return start
