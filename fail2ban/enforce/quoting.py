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

from fail2ban.enforce.rereading import (
    Reading,
    is_compared,
    is_offset,
    reads_anything,
    reads_escapes,
    reads_input,
    reads_next,
)


class Place(enum.Enum):
    """What surrounds a piece of a command."""

    BARE = "no quotes"
    DOUBLE = "double quotes, or where nothing is split: a here-document, a comment"
    SINGLE = "single quotes"
    NUMBER = "an arithmetic expression, whose variables bash would evaluate"
    LITERAL = "a here-document that expands nothing"


#: Gets a tag's name, its place and who reads its value; returns what stands there
#: instead, or None to leave it.
Substitute = Callable[[str, Place, Reading], str | None]

TAG = re.compile(r"<([A-Za-z][A-Za-z0-9_.-]*)>")

_HERE = re.compile(r"<<(-?)[ \t]*(\w+|'\w+'|\"\w+\"|\\\w+)")
_WORD_START = " \t\n;&|()`"
_WORD_END = re.compile(r"[\s;&|)]|$")


@dataclass
class _Frame:
    """A construct that is open.

    Attributes:
        kind: "(" commands, '"', "'", "$((", "$[", "${", "`", "<<" or "<<'", "#".
        quoted: it is within double quotes or a here-document.
        command: of commands: where the present one begins.
        depth: open parentheses of an arithmetic expression.
        end: of a here-document's text.
        again: a here-document that another program reads as commands.
    """

    kind: str
    quoted: bool = False
    command: int = 0
    depth: int = 0
    end: int = 0
    again: bool = False


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
        # Delimiter, tabs stripped, literal, read again.
        self._waiting: list[tuple[str, bool, bool, bool]] = []

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
        quoted = top.kind in ('"', "<<") or (top.kind in ("${", "$((", "$[") and top.quoted)
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
        end = found.end()
        text = self._substitute(found[1], self._place(end), self._reading(end))
        if text is None:
            return False
        self._out.append(text)
        self._at = end
        return True

    def _place(self, end: int) -> Place:
        """Return the place of the tag that goes up to `end`."""
        top = self._top
        if (
            top.kind in ("$((", "$[")
            or (top.kind == "${" and is_offset(self._text[top.command : self._at]))
            or self._is_compared(end)
        ):
            return Place.NUMBER
        if top.kind == "'":
            return Place.SINGLE
        if top.kind == "<<'":
            return Place.LITERAL
        if top.kind in ('"', "<<", "#") or (top.kind == "${" and top.quoted):
            return Place.DOUBLE
        return Place.BARE

    def _is_compared(self, end: int) -> bool:
        command = next((f.command for f in reversed(self._stack) if f.kind in ("(", "`")), 0)
        return is_compared(self._text[command : self._at], self._text[end:])

    def _reading(self, end: int) -> Reading:
        """Tell who reads the value of the tag that goes up to `end`."""
        if reads_anything(self._text) or any(frame.again for frame in self._stack):
            return Reading.COMMANDS
        starts = [frame.command for frame in self._stack if frame.kind in ("(", "`")]
        commands = [self._text[start : self._at] for start in starts]
        whole = self._is_whole_word(end)
        if any(reads_next(command, whole) for command in commands):
            return Reading.COMMANDS
        return Reading.ESCAPES if reads_escapes(commands[-1]) else Reading.PLAIN

    def _is_whole_word(self, end: int) -> bool:
        """Tell whether the tag that goes up to `end` is an argument of its own."""
        top, text = self._top, self._text
        if top.kind in ("'", '"'):
            if top.command != self._at or text[end : end + 1] != top.kind:
                return False
            return (
                text[self._at - 2 : self._at - 1].isspace()
                and _WORD_END.match(text, end + 1) is not None
            )
        return text[self._at - 1 : self._at].isspace() and _WORD_END.match(text, end) is not None

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
        elif kind == "$[":
            self._pop(1) if char == "]" else self._take(1)
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
        elif self._next_is("$["):
            self._push("$[", 2)
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
            ends = char in ";&|" and self._text[max(0, self._at - 1) : self._at] not in ("<", ">")
            self._take(1)
            if ends:
                self._top.command = self._at

    # Here-documents -----------------------------------------------------------

    def _announce_here_document(self) -> None:
        found = None if self._next_is("<<<") else _HERE.match(self._text, self._at)
        if found is None:
            return self._take(3 if self._next_is("<<<") else 2)
        word = found[2].strip("'\"\\")
        again = reads_input(self._line())
        self._waiting.append((word, bool(found[1]), word != found[2], again))
        # Always one that expands: the text of the others is escaped instead, so
        # that variables can stand in it.
        self._out.append(f"<<{found[1]}{word}")
        self._at = found.end()

    def _line(self) -> str:
        """Return the line that is being read, with those that continue it."""
        before = self._text[: self._at].replace("\\\n", "  ").rpartition("\n")[2]
        return before + self._text[self._at :].replace("\\\n", "  ").partition("\n")[0]

    def _enter_here_document(self) -> None:
        if not self._waiting:
            return
        word, tabs, literal, again = self._waiting.pop(0)
        pattern = "^" + ("\t*" if tabs else "") + word + "$"
        found = re.compile(pattern, re.MULTILINE).search(self._text, self._at)
        end = found.start() if found else len(self._text)
        kind = "<<'" if literal else "<<"
        self._stack.append(_Frame(kind, True, self._at, 0, end, again))

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
