# SPDX-License-Identifier: GPL-2.0-or-later
"""Start the daemon from a terminal that waits until it serves.

A daemon detaches first and may fail afterwards, when nobody is looking any
more. So the process that the user started stays, passes on what the detached
one has to say until it serves, and ends with its status.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

from fail2ban.errors import Fail2BanError
from fail2ban.text import printable

# Begins the last line: the exit status follows. No message contains it.
_STATUS = b"\0"


def open_standard_streams() -> None:
    """Put /dev/null in the place of standard streams that are closed.

    Some programs start others so; then Python has none, and the next file that
    anybody opens would become our standard output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Line:
    """The line from the detached process to the terminal."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()  # any thread may have something to say
        self._handler = _Handler(self)
        logging.getLogger().addHandler(self._handler)

    def say(self, text: str) -> None:
        """Show one message on the terminal, if it is still there."""
        self._write(printable(text).encode() + b"\n")

    def hang_up(self, status: int) -> None:
        """Let the terminal go, with this exit status; only the first call counts."""
        logging.getLogger().removeHandler(self._handler)
        self._write(_STATUS + b"%d\n" % status)
        with self._lock:
            self._file.close()

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._file.closed:
                return
            try:
                self._file.write(data)
            except BrokenPipeError:  # the user's shell is gone; the daemon goes on
                self._file.close()


class _Handler(logging.Handler):
    """Passes warnings and errors on, as they are logged."""

    def __init__(self, line: Line) -> None:
        super().__init__(logging.WARNING)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.say(f"{record.levelname}: {record.getMessage()}")


def in_background(body: Callable[[Callable[[], None], int], int]) -> int:
    """Run `body` in a process of its own; return once it serves or has failed.

    Args:
        body: detaches, calls its first argument when it serves, and returns
            its exit status; the second is the descriptor to keep open.
    """
    terminal, daemon = os.pipe()
    if child := os.fork():
        os.close(daemon)
        with os.fdopen(terminal, "rb") as file:
            try:
                status = _relay(file)
            except KeyboardInterrupt:
                print("fail2ban: not waiting any more; the daemon goes on", file=sys.stderr)
                status = 1
        os.waitpid(child, 0)
        return status
    os.close(terminal)
    return _run(body, daemon)


def _run(body: Callable[[Callable[[], None], int], int], descriptor: int) -> int:
    line, status = Line(descriptor), 1
    try:
        status = body(lambda: line.hang_up(0), descriptor)
    except Fail2BanError as error:
        line.say(str(error))
    finally:
        # Who ends before it has served did not start, however orderly it ended.
        line.hang_up(status or 1)
    return status


def _relay(file: BinaryIO) -> int:
    """Print lines until the status comes; without one the process died."""
    for data in file:
        if data.startswith(_STATUS):
            return int(data[1:])
        print(f"fail2ban: {data.decode('utf-8', 'replace').rstrip()}", file=sys.stderr)
    print("fail2ban: the daemon died while it started", file=sys.stderr)
    return 1
