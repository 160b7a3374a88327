# SPDX-License-Identifier: GPL-2.0-or-later
"""How the shell quotes each place of a command.

A command is read once, from left to right, as a shell would: quotes within
substitutions within quotes, here-documents, comments. What this reading may
get wrong (a lone `)` of a `case` in `$(...)`, for one) costs a pair of quotes
in the wrong place, never more: foreign text is not part of what is read.

Source: POSIX.1-2017, Shell Command Language, sections 2.2 to 2.7.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass


class Place(enum.Enum):
    """What surrounds a piece of a command."""

    BARE = "no quotes"
    DOUBLE = "double quotes, or where nothing is split: a here-document, a comment"
    SINGLE = "single quotes"
    NUMBER = "an arithmetic expression, whose variables bash would evaluate"
    LITERAL = "a here-document that expands nothing"


#: Gets a tag's name, its place and whether a shell will read its value once more;
#: returns what stands there instead, or None to leave it.
Substitute = Callable[[str, Place, bool], str | None]

TAG = re.compile(r"<([A-Za-z][A-Za-z0-9_.-]*)>")

_HERE = re.compile(r"<<(-?)[ \t]*(\w+|'\w+'|\"\w+\"|\\\w+)")
_WORD_START = " \t\n;&|()`"
#: Programs that read an argument as a command.
_READS_AGAIN = re.compile(
    r"(?:^|[\s/])(?:eval|(?:ba|da|a|k|z)?sh\s+(?:-\S+\s+)*-\w*c|su\s.*-c|ssh)\s", re.DOTALL
)


@dataclass
class _Frame:
    """A construct that is open.

    Attributes:
        kind: "(" commands, '"', "'", "$((", "${", "`", "<<" or "<<'", "#".
        quoted: it is within double quotes or a here-document.
        command: of commands: where the present one begins.
        depth: open parentheses of an arithmetic expression.
        end: of a here-document's text.
    """

    kind: str
    quoted: bool = False
    command: int = 0
    depth: int = 0
    end: int = 0


class Reader:
    """Read one command; `read` may be called once.

    Args:
        text: the command with its tags.
        substitute: what to write for a tag.
    """

    def __init__(self, text: str, substitute: Substitute) -> None:
        self._text, self._substitute = text, substitute
        self._out: list[str] = []
        self._at = 0
        self._stack = [_Frame("(")]
        self._waiting: list[tuple[str, bool, bool]] = []  # delimiter, tabs stripped, literal

    def read(self) -> str:
        """Return the command with its tags replaced."""
        while self._at < len(self._text):
            if not self._leave_here_document() and not self._take_tag():
                self._step(self._text[self._at])
        return "".join(self._out)

    @property
    def _top(self) -> _Frame:
        return self._stack[-1]

    def _take(self, length: int) -> None:
        """Copy characters as they are."""
        self._out.append(self._text[self._at : self._at + length])
        self._at += length

    def _next_is(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _push(self, kind: str, length: int) -> None:
        self._take(length)
        top = self._top
        quoted = top.kind in ('"', "<<") or (top.kind in ("${", "$((") and top.quoted)
        self._stack.append(_Frame(kind, quoted, self._at))

    def _pop(self, length: int) -> None:
        self._take(length)
        if len(self._stack) > 1:
            self._stack.pop()

    # Tags ---------------------------------------------------------------------

    def _take_tag(self) -> bool:
        found = TAG.match(self._text, self._at)
        if found is None:
            return False
        text = self._substitute(found[1], self._place(), self._is_read_again())
        if text is None:
            return False
        self._out.append(text)
        self._at = found.end()
        return True

    def _place(self) -> Place:
        top = self._top
        if top.kind == "'":
            return Place.SINGLE
        if top.kind == "<<'":
            return Place.LITERAL
        if top.kind == "$((" or (top.kind == "${" and self._is_offset()):
            return Place.NUMBER
        if top.kind in ('"', "<<", "#") or (top.kind == "${" and top.quoted):
            return Place.DOUBLE
        return Place.BARE

    def _is_offset(self) -> bool:
        """Tell whether bash would calculate here: `${name:offset}`, `${name[index]}`."""
        return self._text[: self._at].rstrip().endswith((":", "["))

    def _is_read_again(self) -> bool:
        commands = [frame for frame in self._stack if frame.kind in ("(", "`")]
        return any(_READS_AGAIN.search(self._text, f.command, self._at) for f in commands)

    # Characters ---------------------------------------------------------------

    def _step(self, char: str) -> None:
        """Copy one construct, and note what it opens or closes."""
        kind = self._top.kind
        if kind == "'":
            self._pop(1) if char == "'" else self._take(1)
        elif kind == "<<'":
            self._out.append("\\" + char if char in "\\$`" else char)
            self._at += 1
        elif kind == "#" and char != "`":
            self._pop(0) if char == "\n" else self._take(1)
        elif char == "\\":
            self._take(2)
        elif char == "`":
            self._backtick()
        elif char == "$":
            self._dollar()
        elif kind == '"':
            self._pop(1) if char == '"' else self._take(1)
        elif kind == "$((":
            self._arithmetic(char)
        elif kind == "${":
            self._parameter(char)
        elif kind == "<<":
            self._take(1)
        else:
            self._command(char)

    def _backtick(self) -> None:
        """Open a command, or close the open one whatever stands open within it."""
        kinds = [frame.kind for frame in self._stack]
        if "`" not in kinds:
            return self._push("`", 1)
        del self._stack[kinds.index("`") :]
        self._take(1)

    def _dollar(self) -> None:
        if self._next_is("$(("):
            self._push("$((", 3)
        elif self._next_is("$("):
            self._push("(", 2)
        elif self._next_is("${"):
            self._push("${", 2)
        else:
            self._take(1)

    def _arithmetic(self, char: str) -> None:
        if char == ")" and self._top.depth == 0:
            return self._pop(2 if self._next_is("))") else 1)
        self._top.depth += (char == "(") - (char == ")")
        self._take(1)

    def _parameter(self, char: str) -> None:
        if char == "}":
            self._pop(1)
        elif char == '"' or (char == "'" and not self._top.quoted):
            self._push(char, 1)
        else:
            self._take(1)

    def _command(self, char: str) -> None:
        if char in "'\"":
            self._push(char, 1)
        elif self._next_is("(("):
            self._push("$((", 2)
        elif char == "(":
            self._push("(", 1)
        elif char == ")" and self._top.kind == "(":
            self._pop(1)
        elif char == "#" and (self._at == 0 or self._text[self._at - 1] in _WORD_START):
            self._push("#", 1)
        elif self._next_is("<<"):
            self._announce_here_document()
        elif char == "\n":
            self._take(1)
            self._top.command = self._at
            self._enter_here_document()
        else:
            self._take(1)
            if char in ";&|":
                self._top.command = self._at

    # Here-documents -----------------------------------------------------------

    def _announce_here_document(self) -> None:
        found = None if self._next_is("<<<") else _HERE.match(self._text, self._at)
        if found is None:
            return self._take(3 if self._next_is("<<<") else 2)
        word = found[2].strip("'\"\\")
        self._waiting.append((word, bool(found[1]), word != found[2]))
        # Always one that expands: the text of the others is escaped instead, so
        # that variables can stand in it.
        self._out.append(f"<<{found[1]}{word}")
        self._at = found.end()

    def _enter_here_document(self) -> None:
        if not self._waiting:
            return
        word, tabs, literal = self._waiting.pop(0)
        pattern = "^" + ("\t*" if tabs else "") + word + "$"
        found = re.compile(pattern, re.MULTILINE).search(self._text, self._at)
        end = found.start() if found else len(self._text)
        self._stack.append(_Frame("<<'" if literal else "<<", True, self._at, 0, end))

    def _leave_here_document(self) -> bool:
        """Leave the text of a here-document at its end; more may follow at once."""
        for number, frame in enumerate(self._stack):
            if frame.kind.startswith("<<") and self._at >= frame.end:
                del self._stack[number:]
                self._take(len(self._text[self._at :].partition("\n")[0]))
                if self._waiting:
                    self._take(1)
                    self._enter_here_document()
                return True
        return False
