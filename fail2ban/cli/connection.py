# SPDX-License-Identifier: GPL-2.0-or-later
"""Talk to the running daemon: one JSON object a line, there and back.

{"command": ["status", "sshd"]}
{"ok": true, "result": [["Filter", ...], ["Actions", ...]]}
{"ok": false, "error": "Sorry but the jail 'x' does not exist", "kind": "NoJail"}

See fail2ban-protocol(7).
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator, Sequence

from fail2ban.errors import Fail2BanError

#: Kind of the refusal of a daemon that is ending.
STOPPING = "Stopping"
# Seconds until a living daemon has taken a connection.
_CONNECT = 5.0
# Seconds until it has answered. What runs commands of a firewall, or reads the
# whole configuration, takes as long as they do.
_ANSWER, _SLOW_ANSWER = 60.0, 900.0
_SLOW = frozenset({"reload", "restart", "start", "stop", "unban", "banip", "unbanip", "action"})
# Seconds between two attempts to be let in.
_PAUSE = 0.01
# Bytes; a million bans fit.
_LONGEST_ANSWER = 1 << 26
_PIECE = 1 << 16
# PID, user and group of who listens, see unix(7).
_CREDENTIALS = struct.Struct("3i")


class NoServer(Fail2BanError):
    """Nobody answers at the socket; says why."""


class HungUp(NoServer):
    """There was a daemon, and it went away before it had answered."""


class Unanswered(NoServer):
    """Somebody is there, and did not answer in time."""


class Forbidden(NoServer):
    """We may not talk to it."""


class Refusal(Fail2BanError):
    """The daemon does not do what it was asked; says why.

    Attributes:
        kind: the class of the error, such as `NoJail`; may be empty.
    """

    def __init__(self, text: str, kind: str = "") -> None:
        self.kind = kind
        super().__init__(text)


def ask(
    path: str, words: Sequence[str], timeout: float | None = None, schema: int | None = None
) -> object:
    """Send a command to the daemon at the socket `path`; return the result as JSON has it.

    Args:
        timeout: seconds until the answer must be there; None: what suits the command.
        schema: the one that the result is to have; None: the shape that `beautify` lays out.

    Raises:
        NoServer: there is no daemon, we may not talk to it, or it does not answer.
        Refusal: it answers with an error.
    """
    seconds = (_SLOW_ANSWER if _SLOW & set(words[:3]) else _ANSWER) if timeout is None else timeout
    request = _request(words, schema)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            _connect(line, path, min(_CONNECT, seconds))
            answer = _exchange(line, request, time.monotonic() + seconds)
        except TimeoutError:
            raise Unanswered(f"the server at {path} did not answer in time") from None
        except OSError as error:
            raise HungUp(f"the server at {path} hung up: {error.strerror}") from None
    return _result(answer, path)


def listen(path: str, words: Sequence[str]) -> Iterator[bytes]:
    """Send a command; yield the lines that follow its answer, until the daemon hangs up.

    Raises:
        NoServer, Refusal: see `ask`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            _connect(line, path, _CONNECT)
            line.settimeout(_ANSWER)
            line.sendall(_request(words, None))
            with line.makefile("rb") as file:
                _result(file.readline(_LONGEST_ANSWER), path)
                line.settimeout(None)
                yield from file
        except TimeoutError:
            raise Unanswered(f"the server at {path} did not answer in time") from None
        except OSError as error:
            raise HungUp(f"the server at {path} hung up: {error.strerror}") from None


def _request(words: Sequence[str], schema: int | None) -> bytes:
    """Write a command as a line."""
    request: dict[str, object] = {"command": list(words)}
    if schema is not None:
        request["schema"] = schema
    # Words may be anything; what ends a message of the classic language has a "<".
    return json.dumps(request).replace("<", r"\u003c").encode() + b"\n"


def alive(path: str, timeout: float = 3.0) -> bool:
    """Tell whether a daemon answers at the socket `path`."""
    try:
        ask(path, ["ping"], timeout)
    except NoServer:
        return False
    except Refusal:  # whoever refuses is there
        return True
    return True


def server_pid(path: str) -> int:
    """Return the PID of the daemon that listens at the socket `path`, busy or not.

    Raises:
        NoServer: there is none, or we may not talk to it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            _connect(line, path, _CONNECT)
        except TimeoutError:
            raise Unanswered(f"the server at {path} did not answer in time") from None
        pid, _, _ = _CREDENTIALS.unpack(
            line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
    return int(pid)


def _connect(line: socket.socket, path: str, seconds: float) -> None:
    line.settimeout(seconds)
    end = time.monotonic() + seconds
    try:
        while not _is_let_in(line, path):
            _left(end)
            time.sleep(_PAUSE)
    except PermissionError:
        raise Forbidden(f"Permission denied to socket: {path}, (you must be root)") from None
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        # One that refuses was left behind by a daemon that died.
        raise NoServer(f"Failed to access socket path: {path}. Is fail2ban running?") from None
    except TimeoutError:  # an OSError, too, but no bad name
        raise
    except OSError as error:  # a name that is too long has no number
        raise NoServer(f"Failed to access socket path: {path}: {error}") from None


def _is_let_in(line: socket.socket, path: str) -> bool:
    """Connect; return False if there is a crowd, and one may try again."""
    try:
        line.connect(path)
    except BlockingIOError:  # at a Unix socket it is not waited for that
        return False
    return True


def _exchange(line: socket.socket, request: bytes, deadline: float) -> bytes:
    """Send a line and return the one that comes back, or what there is of it."""
    line.settimeout(_left(deadline))
    line.sendall(request)
    answer = bytearray()
    while not answer.endswith(b"\n") and len(answer) <= _LONGEST_ANSWER:
        line.settimeout(_left(deadline))
        piece = line.recv(_PIECE)
        if not piece:
            break
        answer += piece
    return bytes(answer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _result(answer: bytes, path: str) -> object:
    if not answer:
        raise HungUp(f"the server at {path} hung up without an answer")
    try:
        found = json.loads(answer) if answer.endswith(b"\n") else None
    except (ValueError, RecursionError):
        found = None
    match found:
        case {"ok": True, "result": result}:
            return result
        case {"ok": False, "error": str(text), "kind": str(kind)}:
            raise Refusal(text, kind)
    raise NoServer(f"the answer of the server at {path} makes no sense; is it another version?")
