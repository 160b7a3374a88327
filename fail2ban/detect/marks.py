# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a file was read, as a text that outlives the process.

Whatever such a text says when it comes back, it only chooses the place at which
the file is read on, and that place must hold the text that stood there.
"""

from __future__ import annotations

import json
import logging
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import fsencode
from typing import Any

from fail2ban.detect.position import HEAD_SIZE, TAIL_SIZE, Ident, Position
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: What the keys of such texts begin with.
PREFIX = "log:"
#: Larger numbers are none of a file; SQLite's end here, too.
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one file was read.

    Attributes:
        path: where it was seen last.
        ident: which file it is.
        begun: where the line begins that was not complete yet.
        target: what `path` led to if it is a link; else empty.
        left: the file had no wanted path any more.
        copied, lost: see `LogFile`.
    """

    path: str
    ident: Ident
    begun: Position
    target: str = ""
    left: bool = False
    copied: tuple[Ident, int] | None = None
    lost: tuple[Position, int] | None = None

    @property
    def key(self) -> str:
        """A text that no other file of a section has; of ASCII, whatever the path."""
        device, inode = self.ident
        return f"{PREFIX}{device}:{inode}:{urllib.parse.quote(fsencode(self.path))}"

    def text(self) -> str:
        """Return all of it; `parse` reads it."""
        said: dict[str, object] = {
            "path": self.path,
            "ident": self.ident,
            "begun": _said(self.begun),
        }
        if self.target:
            said["target"] = self.target
        if self.left:
            said["left"] = True
        if self.copied:
            said["copied"] = self.copied
        if self.lost:
            said["lost"] = (_said(self.lost[0]), self.lost[1])
        return json.dumps(said, separators=(",", ":"))


def parse(text: str) -> Mark:
    """Read what `Mark.text` has written.

    Raises:
        ValueError: it is something else.
    """
    try:
        said = json.loads(text)
        copied, lost = said.get("copied"), said.get("lost")
        return Mark(
            _path(said["path"]),
            _ident(said["ident"]),
            _position(said["begun"]),
            _path(said.get("target", "")),
            said.get("left") is True,
            None if copied is None else (_ident(copied[0]), _number(copied[1])),
            None if lost is None else (_position(lost[0]), _number(lost[1])),
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"this says of no file how far it was read: {text[:100]!r}") from error


def parse_all(marks: Mapping[str, str]) -> Iterator[Mark]:
    """Yield what is said of files; what cannot be understood is left out with a warning."""
    for key, text in marks.items():
        if key.startswith(PREFIX):
            try:
                yield parse(text)
            except ValueError as error:
                log.warning("a log is not read on where it was left: %s", printable(str(error)))


def _said(position: Position) -> tuple[int, str, str, int]:
    head, tail = position.head.decode("latin-1"), position.tail.decode("latin-1")
    return position.offset, head, tail, position.written


def _position(said: Any) -> Position:
    offset, head, tail, written = said
    position = Position(
        _number(offset), head.encode("latin-1"), tail.encode("latin-1"), _number(written)
    )
    if len(position.head) > HEAD_SIZE or len(position.tail) != min(position.offset, TAIL_SIZE):
        raise ValueError("no position")
    return position


def _ident(said: Any) -> Ident:
    device, inode = said
    return _number(device), _number(inode)


def _number(said: Any) -> int:
    if type(said) is not int or not 0 <= said < _LARGEST:
        raise ValueError("no number")
    return said


def _path(said: Any) -> str:
    if not isinstance(said, str) or "\0" in said:
        raise ValueError("no path")
    fsencode(said)  # what is no text of a path is refused here
    return said
