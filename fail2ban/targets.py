# SPDX-License-Identifier: GPL-2.0-or-later
"""The targets of our own messages: files, terminals, syslog, the journal.

Source: fail2ban-conf-0.6.md section 9; jail-conf.md section 11.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import re
import socket
import sys
import threading
from typing import TextIO

from fail2ban import bursts, layout
from fail2ban.levels import NOTICE
from fail2ban.records import LogSettings

_SYSLOG_PORT = 514

#: Where systemd's journal takes messages with fields.
JOURNAL_SOCKET = "/run/systemd/journal/socket"

#: Targets that need a terminal, or somebody who reads our output.
STREAMS = ("STDERR", "STDOUT", "SYSOUT")

#: Messages that are written at a time where there are many.
PORTION = 100

#: Messages that wait for a terminal that is stopped; seconds to wait for it at the end.
TERMINAL_LINES, TERMINAL_PATIENCE = 10_000, 1.0


class _FileHandler(logging.handlers.WatchedFileHandler):
    """Notices by itself when the file was renamed or removed.

    What cannot be written is lost, and said once on standard error; the thread
    that had something to say goes on, and the next message tries again. What is
    said in a burst is written in portions, see `bursts`.
    """

    _failing = False
    _is_replaced = False

    def __init__(self, path: str) -> None:
        self._held: list[str] = []  # first: who opens a file flushes it
        super().__init__(path, encoding="utf-8", errors="replace")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._held.append(self.format(record))
        except Exception:  # a message of ours that does not fit its arguments
            self.handleError(record)
        if len(self._held) >= PORTION or self._is_replaced or not bursts.is_on():
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        self.acquire()
        try:
            if self._held:
                self._write()
        finally:
            self.release()

    def close(self) -> None:
        """Write what is held; the end of a burst is no concern of ours any more."""
        self.acquire()
        try:
            self._is_replaced = True  # a thread may still be about to say something here
            self.flush()
            super().close()
        finally:
            self.release()

    def _write(self) -> None:
        text = "".join(f"{line}{self.terminator}" for line in self._held)
        self._held.clear()
        try:
            self.reopenIfNeeded()
            stream = self.stream = self.stream or self._open()
            stream.write(text)
            stream.flush()
        except (OSError, ValueError) as error:  # the folder is gone, the disk is full
            if not self._failing:
                print(f"fail2ban: cannot write to {self.baseFilename}: {error}", file=sys.stderr)
            self._failing = True
        else:
            self._failing = False


def close(handler: logging.Handler) -> None:
    """Close a target; what it still holds may not fit on a full disk.

    Raises:
        OSError: it did not.
    """
    logging.getLogger().removeHandler(handler)
    handler.close()


def open_target(target: str, settings: LogSettings) -> logging.Handler:
    """Open one target.

    Raises:
        OSError: it cannot be opened.
        ValueError: the user's pattern for its messages cannot be used.
    """
    if target in STREAMS:
        return _stream(target, settings)
    if target == "SYSLOG":
        return _syslog(settings)
    if target == "SYSTEMD-JOURNAL":
        return JournalHandler(layout.for_journal(settings), JOURNAL_SOCKET)
    formatter = layout.for_file(settings)
    handler = _FileHandler(target)
    handler.setFormatter(formatter)
    return handler


class _TerminalHandler(logging.Handler):
    """Writes to a terminal or pipe from a thread of its own.

    Somebody may stop it (Ctrl-S, a pager): nobody else is to wait for him. What
    does not fit into the queue meanwhile is dropped, and counted when he goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() < TERMINAL_LINES:
            self._lines.put(self.format(record))
        else:
            self._lost += 1

    def close(self) -> None:
        """Wait a moment for what is in the queue to be written."""
        self._lines.put(None)
        self._thread.join(TERMINAL_PATIENCE)
        super().close()

    def _write(self) -> None:
        ended = False
        while not ended:
            lines, ended = self._next()
            lost, self._lost = self._lost, 0
            note = f"({lost} messages are left out here)\n" if lost else ""
            try:
                self._stream.write(note + "".join(f"{line}\n" for line in lines))
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                return

    def _next(self) -> tuple[list[str], bool]:
        """Wait for a line; return it with some that follow, and whether the end has come."""
        lines: list[str] = []
        while (line := self._lines.get()) is not None:
            lines.append(line)
            if len(lines) >= PORTION or self._lines.empty():
                return lines, False
        return lines, True


def _stream(target: str, settings: LogSettings) -> logging.Handler:
    formatter = layout.for_stream(settings)
    if target == "SYSOUT":
        formatter = layout.for_journal(settings)
    handler = _TerminalHandler(sys.stderr if target == "STDERR" else sys.stdout)
    handler.setFormatter(formatter)
    return handler


class _SyslogHandler(logging.handlers.SysLogHandler):
    """Knows the levels that `logging` does not have."""

    append_nul = False

    def emit(self, record: logging.LogRecord) -> None:
        self._level = record.levelno
        super().emit(record)

    def mapPriority(self, levelName: str) -> str:
        return _SEVERITIES[severity(self._level)]


def _syslog(settings: LogSettings) -> logging.Handler:
    facility = 1 if settings.syslog_facility < 0 else settings.syslog_facility
    address = syslog_address(settings.syslog_target)
    formatter = layout.for_syslog(settings)
    if isinstance(address, str):
        os.stat(address)  # the handler itself would be silent about a missing socket
    handler = _SyslogHandler(address, facility=facility)
    handler.setFormatter(formatter)
    return handler


_SEVERITIES = ("emerg", "alert", "critical", "error", "warning", "notice", "info", "debug")


def severity(level: int) -> int:
    """Return syslog's number for a level: 3 for an error to 7 for debugging.

    Source: RFC 5424, section 6.2.1.
    """
    steps = (logging.CRITICAL, logging.ERROR, logging.WARNING, NOTICE, logging.DEBUG + 1)
    return next((number for number, least in enumerate(steps, 2) if level >= least), 7)


class JournalHandler(logging.Handler):
    """Gives messages to systemd's journal, with their priority.

    Its socket takes a message whole or not at all; one that it does not take
    is lost.

    Raises:
        OSError: there is no journal.

    Source: systemd.io, "Native Journal Protocol".
    """

    def __init__(self, formatter: logging.Formatter, path: str = JOURNAL_SOCKET) -> None:
        os.stat(path)
        super().__init__()
        self.setFormatter(formatter)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record).encode("utf-8", "replace")
        fields = f"PRIORITY={severity(record.levelno)}\nSYSLOG_IDENTIFIER=fail2ban\n"
        length = len(message).to_bytes(8, "little")  # then it may have several lines
        data = fields.encode() + b"MESSAGE\n" + length + message + b"\n"
        with contextlib.suppress(OSError):
            self._socket.sendto(data, self._path)  # found again after a restart

    def close(self) -> None:
        self._socket.close()
        super().close()


def syslog_address(target: str) -> str | tuple[str, int]:
    """Split `syslog-target`: a path begins with "/", else it is host or host:port.

    An IPv6 address with a port stands in brackets.
    """
    if target.startswith("/"):
        return target
    bracketed = re.fullmatch(r"\[([^]]+)\](?::(\d+))?", target)
    named = re.fullmatch(r"([^:]+)(?::(\d+))?", target)
    found = bracketed or named
    return (found[1], int(found[2] or _SYSLOG_PORT)) if found else (target, _SYSLOG_PORT)
