# SPDX-License-Identifier: GPL-2.0-or-later
"""The two languages that are spoken on the control socket.

    ours:     {"command": ["status", "sshd"]} newline
              {"ok": true, "result": ...} newline
              {"ok": false, "error": "why", "kind": "NoJail"} newline
              with "schema": 1 in the request the result is an object of that schema
    classic:  pickle of ["status", "sshd"], <F2B_END_COMMAND>
              pickle of (0, result) or (1, error), <F2B_END_COMMAND>

Which one it is shows in the first byte of each message. One connection carries
as many messages as its client likes, one after the other. See fail2ban-protocol(7).

Source: jail-conf.md section 13.
"""

from __future__ import annotations

import json
from typing import NamedTuple, Protocol

from fail2ban.control import pickles
from fail2ban.control.host import NoJail
from fail2ban.control.plain import MAX_BYTES, MessageError, check, is_atom, plain

END = b"<F2B_END_COMMAND>"
CLOSE = b"<F2B_CLOSE_COMMAND>"
_NEWLINE = b"\n"
#: How a classic message begins: a pickle of protocol 2 or later, or CLOSE.
_CLASSIC = (b"\x80", CLOSE[:1])
#: Errors that are sent as what they are, for they can be made of any arguments.
_KNOWN = (KeyError, IndexError, TypeError, ValueError, RuntimeError, OSError, Exception)


class Request(NamedTuple):
    """What a client says.

    Attributes:
        words: at least one; plain data.
        schema: the one that the answer is to have; None: the shape of the classic language.
    """

    words: list[object]
    schema: int | None = None


class Language(Protocol):
    """How commands are read and answers are written."""

    def request(self, body: bytes) -> Request:
        """Read a message, without what ends it.

        Raises:
            MessageError: there is no command in it.
        """

    def answer(self, result: object) -> bytes:
        """Write the result of a command, whatever has a text allowed in it."""

    def error(self, error: Exception) -> bytes:
        """Write why a command failed."""

    def stopping(self) -> bytes:
        """Write that no command is taken any more."""


class Lines:
    """Our own language: an object of JSON a line."""

    def request(self, body: bytes) -> Request:
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise MessageError(f"this is no JSON: {error}") from error
        if not isinstance(request, dict) or "command" not in request:
            raise MessageError('expected {"command": ["status"]} or the like')
        check(request)
        schema = request.get("schema")
        if schema is not None and type(schema) is not int:
            raise MessageError('expected a number as "schema", such as 1')
        return Request(_words(request["command"]), schema)

    def answer(self, result: object) -> bytes:
        return self._line({"ok": True, "result": plain(result)})

    def error(self, error: Exception) -> bytes:
        return self._line({"ok": False, "error": text_of(error), "kind": type(error).__name__})

    def stopping(self) -> bytes:
        return self._line({"ok": False, "error": "Fail2Ban is stopping", "kind": "Stopping"})

    def _line(self, answer: dict[str, object]) -> bytes:
        # No newline within: JSON writes it as an escape.
        return json.dumps(answer, default=_listed).encode("ascii") + _NEWLINE


class Classic:
    """The language of Fail2Ban's own client."""

    def request(self, body: bytes) -> Request:
        return Request(_words(pickles.loads(body)))

    def answer(self, result: object) -> bytes:
        return pickles.dumps((0, result)) + END

    def error(self, error: Exception) -> bytes:
        if isinstance(error, MessageError):
            return pickles.dumps(f"ERROR: {error}") + END
        if isinstance(error, NoJail):
            jail = pickles.dumps_error("fail2ban.exceptions", "UnknownJailException", [error.name])
            return jail + END
        return pickles.dumps_error("builtins", *_builtin(error)) + END

    def stopping(self) -> bytes:
        return pickles.dumps(["SHUTDOWN"]) + END


class Inbox:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0

    def __bool__(self) -> bool:
        """Tell whether a message, or a part of one, is waiting."""
        return bool(self._bytes)

    def feed(self, data: bytes) -> None:
        """Append what arrived."""
        self._bytes += data

    @property
    def language(self) -> Language:
        """The language of the message that is first."""
        return Classic() if self._bytes.startswith(_CLASSIC) else Lines()

    def take(self) -> tuple[Language, bytes] | None:
        """Take the first message, without what ends it; None if it is not complete.

        Raises:
            MessageError: it is longer than MAX_BYTES.
        """
        language = self.language
        start = max(0, self._searched - len(END))
        ends = [(self._bytes.find(end, start), end) for end in self._ends(language)]
        length, end = min((e for e in ends if e[0] >= 0), default=(len(self._bytes), b""))
        self._searched = length
        if length > MAX_BYTES:
            raise MessageError(f"the message is longer than {MAX_BYTES} bytes")
        if not end:
            return None
        body = bytes(self._bytes[:length])
        del self._bytes[: length + len(end)]
        self._searched = 0
        return Classic() if end == END else language, body

    def _ends(self, language: Language) -> tuple[bytes, ...]:
        """Return what may end the first message: whichever comes first does."""
        if isinstance(language, Classic):
            return (END,)
        # A word of a command may be END; but nonsense may end in either way.
        return (_NEWLINE,) if self._bytes.startswith(b"{") else (END, _NEWLINE)


def text_of(error: Exception) -> str:
    """Return what an error says; KeyError would quote it."""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        return error.args[0]
    return str(error) or type(error).__name__


def _words(command: object) -> list[object]:
    if not isinstance(command, list) or not command:
        raise MessageError("a command is a list of at least one word")
    return command


def _builtin(error: Exception) -> tuple[str, list[object]]:
    """Return a class that every Python has, and what to call it with."""
    for kind in type(error).__mro__:
        if kind in _KNOWN:
            break
    exact = kind is type(error) and all(map(is_atom, error.args))
    return kind.__name__, list(error.args) if exact else [text_of(error)]


def _listed(value: object) -> object:
    """Write a set as a list, in an order that does not change from call to call."""
    if isinstance(value, set):
        return sorted(value, key=str)
    raise TypeError(f"{type(value)} is no plain data")
