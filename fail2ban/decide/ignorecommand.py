# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask a command of the user whether to ignore a failure, and remember what it said.

Source: jail-conf.md section 5.6.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from fail2ban.errors import CommandError
from fail2ban.records import Command, Failure, IgnoreSettings

log = logging.getLogger(__name__)

#: Exit statuses that are answers.
IGNORE, DO_NOT = 0, 1


class Asker(Protocol):
    """Puts the facts of a failure into what the user wrote."""

    def run(self, command: Command, failure: Failure, timeout: float) -> int:
        """Run a command; return its exit status.

        Raises:
            CommandError: it could not be started, was killed, or took too long.
        """

    def key(self, text: str, failure: Failure) -> str:
        """Return a text with its tags replaced."""


class IgnoreCommand:
    """One section's `ignorecommand` and `ignorecache`; any thread.

    Args:
        jail: for messages.
        ticks: seconds that only go forward.
    """

    def __init__(
        self, jail: str, settings: IgnoreSettings, asker: Asker, ticks: Callable[[], float]
    ) -> None:
        self._jail, self._settings, self._asker, self._ticks = jail, settings, asker, ticks
        self._cache: OrderedDict[str, tuple[float, bool]] = OrderedDict()  # key -> end, answer
        self._lock = threading.Lock()
        self._failing = False

    def __bool__(self) -> bool:
        """Whether there is a command at all."""
        return bool(self._settings.command)

    def remembered(self, failure: Failure) -> bool | None:
        """Return the answer that is still known; None: it takes time to know."""
        if not self._settings.cache:
            return None
        key = self._asker.key(self._settings.cache, failure)
        with self._lock:
            until, answer = self._cache.get(key, (0.0, None))
            return None if answer is None or self._ticks() >= until else answer

    def ask(self, failure: Failure) -> bool:
        """Tell whether to ignore a failure; takes its time."""
        answer = self.remembered(failure)
        if answer is not None:
            return answer
        try:
            status = self._asker.run(self._settings.command, failure, self._settings.timeout)
        except CommandError as error:
            self._complain(str(error))
            return False
        if status not in (IGNORE, DO_NOT):
            self._complain(f"exit status {status}, where 0 means ignore and 1 do not")
            return False
        self._recover()
        self._remember(failure, status == IGNORE)
        return status == IGNORE

    def _remember(self, failure: Failure, answer: bool) -> None:
        settings = self._settings
        if not settings.cache or settings.cache_size < 1:
            return
        key = self._asker.key(settings.cache, failure)
        with self._lock:
            self._cache[key] = self._ticks() + settings.cache_time, answer
            self._cache.move_to_end(key)
            if len(self._cache) > settings.cache_size:
                self._cache.popitem(last=False)

    def _complain(self, reason: str) -> None:
        if not self._failing:
            log.error("[%s] ignorecommand fails, nobody is ignored: %s", self._jail, reason)
        self._failing = True

    def _recover(self) -> None:
        if self._failing:
            log.info("[%s] ignorecommand works again", self._jail)
        self._failing = False
