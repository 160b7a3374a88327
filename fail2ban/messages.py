# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the daemon's own messages go: console, files, syslog.

Source: fail2ban-conf-0.6.md section 9.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import queue
import re
import sys
import threading
import time
from typing import TextIO

from fail2ban.records import LogSettings
from fail2ban.text import printable

log = logging.getLogger(__name__)

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_PLAIN = "%(asctime)s %(levelname)s: %(message)s"
_DETAILED = "%(asctime)s %(levelname)s: %(message)s [%(filename)s:%(lineno)d %(threadName)s]"
_SYSLOG_PORT = 514

#: Messages that wait for a terminal that is stopped; seconds to wait for it at the end.
TERMINAL_LINES, TERMINAL_PATIENCE = 10_000, 1.0

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # in every locale


class SafeFormatter(logging.Formatter):
    r"""Keep a message on its line: what a log line brought in is shown as `\x1b`.

    A traceback keeps its lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


class _SyslogFormatter(SafeFormatter):
    """Write the line as programs write it to /dev/log: time, name, PID, message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        now = time.localtime(record.created)
        clock = f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
        stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {clock}"
        return f"{stamp} fail2ban[{os.getpid()}]: {super().formatMessage(record)}"


class Messages:
    """The handlers of the root logger, which all modules use.

    Args:
        console: False when there is no terminal any more.
    """

    def __init__(self, settings: LogSettings, console: bool) -> None:
        self._console = console
        self._handlers: list[logging.Handler] = []
        self.configure(settings)

    def configure(self, settings: LogSettings) -> None:
        """Use other targets; one that cannot be opened is reported and skipped.

        Without any target and any terminal syslog is tried, so that a daemon
        is never silent.
        """
        root = logging.getLogger()
        opened, errors = self._open_all(settings)
        for handler in opened:
            root.addHandler(handler)
        for handler in self._handlers:
            _close(handler)
        self._settings, self._handlers = settings, opened
        root.setLevel(_LEVELS[min(settings.verbose, len(_LEVELS) - 1)])
        for error in errors:
            log.error("%s", error)

    def reopen(self) -> None:
        """Open the targets again, for a rotation that does not tell by renaming."""
        self.configure(self._settings)

    def close(self) -> None:
        """Flush and close every target; called last."""
        for handler in self._handlers:
            _close(handler)
        self._handlers = []

    def _open_all(self, settings: LogSettings) -> tuple[list[logging.Handler], list[str]]:
        handlers: list[logging.Handler] = []
        errors: list[str] = []
        if self._console and not ("STDERR" in settings.targets and _same_terminal()):
            handlers.append(_stream(sys.stdout, settings.verbose))
        targets = list(dict.fromkeys(settings.targets))
        if not self._console and "STDERR" in targets:
            targets.remove("STDERR")
            errors.append("Unable to log to STDERR: there is no terminal in the background")
        for target in targets:
            try:
                handlers.append(_open(target, settings))
            except OSError as error:
                errors.append(f"Unable to log to {target}: {error.strerror or error}")
        if not handlers and "SYSLOG" not in targets:
            try:
                handlers.append(_open("SYSLOG", settings))
            except OSError as error:
                errors.append(f"Unable to log to SYSLOG: {error.strerror or error}")
        return handlers, errors


class _FileHandler(logging.handlers.WatchedFileHandler):
    """Notices by itself when the file was renamed or removed.

    What cannot be written is lost, and said once on standard error; the thread
    that had something to say goes on, and the next message tries again.
    """

    _failed = _failing = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        try:
            super().emit(record)
        except OSError:  # the folder is gone, the disk is full
            self.handleError(record)
        self._failing = self._failed

    def handleError(self, record: logging.LogRecord) -> None:
        self._failed = True
        if not self._failing:
            error = sys.exc_info()[1]
            print(f"fail2ban: cannot write to {self.baseFilename}: {error}", file=sys.stderr)


def _close(handler: logging.Handler) -> None:
    """Take a handler away; what it still holds may not fit on a full disk."""
    logging.getLogger().removeHandler(handler)
    try:
        handler.close()
    except OSError as error:
        log.error("Unable to write the last messages: %s", error.strerror)


def _open(target: str, settings: LogSettings) -> logging.Handler:
    """Open one target.

    Raises:
        OSError: it cannot be opened.
    """
    if target == "STDERR":
        return _stream(sys.stderr, settings.verbose)
    if target == "SYSLOG":
        return _syslog(settings)
    handler = _FileHandler(target, encoding="utf-8", errors="replace")
    handler.setFormatter(SafeFormatter(_PLAIN))
    return handler


class _TerminalHandler(logging.Handler):
    """Writes to a terminal or pipe from a thread of its own.

    Somebody may stop it (Ctrl-S, a pager): nobody else is to wait for him. What
    does not fit into the queue meanwhile is dropped, and counted when he goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(TERMINAL_LINES)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Wait a moment for what is in the queue to be written."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=TERMINAL_PATIENCE)
        self._thread.join(TERMINAL_PATIENCE)
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost, self._lost = self._lost, 0
            note = f"({lost} messages are left out here)\n" if lost else ""
            try:
                self._stream.write(f"{note}{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                return


def _stream(stream: TextIO, verbose: int) -> logging.Handler:
    handler = _TerminalHandler(stream)
    handler.setFormatter(SafeFormatter(_DETAILED if verbose > 2 else _PLAIN))
    return handler


def _syslog(settings: LogSettings) -> logging.Handler:
    facility = 1 if settings.syslog_facility < 0 else settings.syslog_facility
    address = syslog_address(settings.syslog_target)
    if isinstance(address, str):
        os.stat(address)  # the handler itself would be silent about a missing socket
    handler = logging.handlers.SysLogHandler(address, facility=facility)
    handler.append_nul = False
    handler.setFormatter(_SyslogFormatter("%(levelname)s: %(message)s"))
    return handler


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


def _same_terminal() -> bool:
    """Tell whether standard output and error are one file: one copy is enough."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False
