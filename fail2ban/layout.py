# SPDX-License-Identifier: GPL-2.0-or-later
"""How a message of ours looks: the lines of 0.6, and the aligned ones of today.

Source: fail2ban-conf-0.6.md section 9; jail-conf.md section 11.
"""

from __future__ import annotations

import logging
import os
import time

from fail2ban.records import LogSettings
from fail2ban.text import printable

_CLOCK = "%(asctime)s "
_CLASSIC = "%(levelname)s: %(message)s"
_PADDED = "%(name)-24s[%(process)d]: %(levelname)-7s %(message)s"
_BARE = "%(name)s[%(process)d]: %(levelname)s %(message)s"
_PLACE = " [%(filename)s:%(lineno)d %(threadName)s]"

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # in every locale


class SafeFormatter(logging.Formatter):
    r"""Keep a message on its line: what a log line brought in is shown as `\x1b`.

    A traceback keeps its lines.
    """

    _second, _shown = 0, ""  # the last time that was shown

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        if datefmt:
            return super().formatTime(record, datefmt)
        # A busy second has thousands of messages.
        if (second := int(record.created)) != self._second:
            text = time.strftime(self.default_time_format, self.converter(second))
            self._second, self._shown = second, text
        return f"{self._shown},{int(record.msecs):03}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


class NamingFormatter(SafeFormatter):
    """Show who speaks as "fail2ban." and the last part of the logger's name.

    Readers of our log ask for `fail2ban.actions` and `fail2ban.filter`; in which
    folder a module lies is nothing to them.
    """

    def format(self, record: logging.LogRecord) -> str:
        name = record.name
        first, _, last = name.rpartition(".")
        if first.startswith("fail2ban."):
            record.name = f"fail2ban.{last}"
        try:
            return super().format(record)
        finally:
            record.name = name  # other handlers show the same record


class _ClassicSyslogFormatter(SafeFormatter):
    """Write the line as programs write it to /dev/log: time, name, PID, message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        stamp = _syslog_time(record.created)
        return f"{stamp} fail2ban[{os.getpid()}]: {super().formatMessage(record)}"


class _NamingSyslogFormatter(NamingFormatter):
    """The same, the name being that of the part that speaks."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return f"{_syslog_time(record.created)} {super().formatMessage(record)}"


def _syslog_time(seconds: float) -> str:
    now = time.localtime(seconds)
    clock = f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    return f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {clock}"


def for_file(settings: LogSettings) -> logging.Formatter:
    """Return the layout of a log file."""
    return _formatter(settings, _line(settings))


def for_stream(settings: LogSettings) -> logging.Formatter:
    """Return the layout of a terminal, which may show the place in our code."""
    return _formatter(settings, _line(settings) + (_PLACE if settings.verbose > 2 else ""))


def for_journal(settings: LogSettings) -> logging.Formatter:
    """Return the layout for those who write the time themselves."""
    return _formatter(settings, _what(settings, _BARE) if settings.aligned else _CLASSIC)


def for_syslog(settings: LogSettings) -> logging.Formatter:
    """Return the layout of a datagram to syslog, which begins with name and PID."""
    if not settings.aligned:
        return _ClassicSyslogFormatter(_CLASSIC)
    return _NamingSyslogFormatter(_what(settings, _BARE))


def _formatter(settings: LogSettings, pattern: str) -> logging.Formatter:
    return NamingFormatter(pattern) if settings.aligned else SafeFormatter(pattern)


def _line(settings: LogSettings) -> str:
    if not settings.aligned:
        return _CLOCK + _CLASSIC
    clock = _CLOCK if settings.clock else ""
    return clock + _what(settings, _PADDED if settings.padding else _BARE)


def _what(settings: LogSettings, usual: str) -> str:
    """Return what follows the time.

    Raises:
        ValueError: the user's own pattern cannot be used.
    """
    if settings.pattern:
        check_pattern(settings.pattern)
    return settings.pattern or usual


def check_pattern(pattern: str) -> None:
    """Try a pattern of `logging`.

    Raises:
        ValueError: it cannot be used; says why.
    """
    record = logging.LogRecord("fail2ban", logging.INFO, __file__, 1, "message", (), None)
    try:
        logging.Formatter(pattern).format(record)
    except (ValueError, TypeError, KeyError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{pattern!r} is no format of messages: {reason}") from error
