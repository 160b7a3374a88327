# SPDX-License-Identifier: GPL-2.0-or-later
"""What all sections share: `cmdstart` makes it, `cmdend` removes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from fail2ban.enforce.shell import Shell, report
from fail2ban.errors import CommandError
from fail2ban.events import Events
from fail2ban.records import ActionSettings, FirewallSettings


class Base:
    """The common ground; everything runs on the runner's thread.

    Attributes:
        up: it stands.
        dry: its commands are only shown: it is needed for nothing else.

    Args:
        events: is told of each command.
        rehearse: only shows commands.
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        settings: FirewallSettings,
        shell: Shell,
        rehearse: Shell,
        events: Events,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.up, self.dry = False, False
        self._settings, self._shell, self._rehearse = settings, shell, rehearse
        self._events, self._ticks = events, ticks

    @property
    def exists(self) -> bool:
        """Whether there is anything to set up."""
        return bool(self._settings.start.strip() or self._settings.stop.strip())

    def differs(self, settings: FirewallSettings, dry: bool) -> bool:
        """Tell whether `change` must take it down."""
        ours = self._settings
        return (ours.start, ours.stop, self.dry) != (settings.start, settings.stop, dry)

    def change(self, settings: FirewallSettings, dry: bool) -> None:
        """Take over other commands; what the old ones made is taken down."""
        if self.differs(settings, dry):
            self.stop()
        self._settings, self.dry = settings, dry

    def start(self) -> bool:
        """Run `cmdstart` if it is due; tell whether its work stands."""
        if not self.up:
            try:
                self._run("start", self._settings.start, self.dry)
                self.up = True
            except CommandError as error:
                report(error, what="cmdstart: ")
                self._take_down(self._settings.stop, self.dry, logging.DEBUG)
        return self.up

    def stop(self) -> None:
        """Run `cmdend` if `cmdstart` stands; an error is only logged."""
        if self.up:
            self.up = False
            self._take_down(self._settings.stop, self.dry, logging.WARNING)

    def wipe(self, stop: str | None = None) -> None:
        """Remove what an earlier instance may have left; errors are expected.

        Args:
            stop: its command; None: the `cmdend` of now.
        """
        if stop is not None or not self.dry:
            self._take_down(self._settings.stop if stop is None else stop, False, logging.DEBUG)

    def _take_down(self, command: str, dry: bool, level: int) -> None:
        try:
            self._run("stop", command, dry)
        except CommandError as error:
            report(error, level)

    def _run(self, verb: str, command: str, dry: bool) -> None:
        if not command.strip():
            return
        began = self._ticks()
        try:
            (self._rehearse if dry else self._shell)(command, {}, ActionSettings.timeout)
        except CommandError as error:
            self._tell(verb, began, dry, str(error), error.status)
            raise
        self._tell(verb, began, dry)

    def _tell(
        self, verb: str, began: float, dry: bool, error: str = "", status: int | None = 0
    ) -> None:
        self._events.tell(
            "command",
            action="",
            verb=verb,
            seconds=self._ticks() - began,
            error=error,
            status=status,
            dryrun=dry,
        )
