# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the daemon's own messages go: the terminal, files, syslog, the journal.

Source: fail2ban-conf-0.6.md section 9; jail-conf.md section 11.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace

from fail2ban.records import LogSettings
from fail2ban.targets import STREAMS, close, open_target

log = logging.getLogger(__name__)

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class Messages:
    """The handlers of the root logger, which all modules use.

    Args:
        console: False when there is no terminal any more.
    """

    def __init__(self, settings: LogSettings, console: bool) -> None:
        self._console = console
        self._handlers: list[logging.Handler] = []
        self.configure(settings)

    def configure(self, settings: LogSettings) -> list[str]:
        """Use other targets; one that cannot be opened is reported and skipped.

        Without any target and any terminal syslog is tried, so that a daemon
        is never silent.

        Returns:
            what was reported.
        """
        root = logging.getLogger()
        opened, errors = self._open_all(settings)
        # At once: each message is to be in our log, which we may read ourselves, once.
        root.handlers = [one for one in root.handlers if one not in self._handlers] + opened
        for handler in self._handlers:
            _close(handler)
        self._settings, self._handlers = settings, opened
        _note_no_more_than_shown(settings)
        root.setLevel(settings.level or _LEVELS[min(settings.verbose, len(_LEVELS) - 1)])
        for error in errors:
            log.error("%s", error)
        return errors

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
        targets = list(dict.fromkeys(settings.targets))
        if self._wants_console(settings):
            handlers += _try("STDOUT", settings, errors)
        for target in targets:
            if target in STREAMS and not self._console:
                errors.append(f"Unable to log to {target}: there is no terminal in the background")
            else:
                handlers += _try(target, settings, errors)
        if not handlers:
            handlers += self._last_resort(settings, errors)
        return handlers, errors

    def _wants_console(self, settings: LogSettings) -> bool:
        """Tell whether the terminal gets what it was not named for: 0.6 always showed it."""
        if settings.aligned or not self._console or "STDOUT" in settings.targets:
            return False
        return not ("STDERR" in settings.targets and _same_terminal())

    def _last_resort(self, settings: LogSettings, errors: list[str]) -> list[logging.Handler]:
        if self._console:
            return _try("STDERR", settings, errors)
        return [] if "SYSLOG" in settings.targets else _try("SYSLOG", settings, errors)


def _note_no_more_than_shown(settings: LogSettings) -> None:
    """Spare each message what it takes to find out where it comes from, if nobody shows that.

    Source: "Optimization" in Python's "Logging HOWTO".
    """
    logging.logThreads = settings.verbose > 2 or "thread" in settings.pattern
    logging.logMultiprocessing = "processName" in settings.pattern


def _try(target: str, settings: LogSettings, errors: list[str]) -> list[logging.Handler]:
    """Open one target, if need be with the usual layout; say what went wrong."""
    try:
        return [open_target(target, settings)]
    except OSError as error:
        errors.append(f"Unable to log to {target}: {error.strerror or error}")
        return []
    except ValueError as error:
        if not settings.pattern:
            errors.append(f"Unable to log to {target}: {error}")
            return []
        if str(error) not in errors:
            errors.append(str(error))
        return _try(target, replace(settings, pattern=""), errors)


def _close(handler: logging.Handler) -> None:
    try:
        close(handler)
    except OSError as error:
        log.error("Unable to write the last messages: %s", error.strerror)


def _same_terminal() -> bool:
    """Tell whether standard output and error are one file: one copy is enough."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False
