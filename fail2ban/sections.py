# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hand may do to sections: change them, have them rest, come and go.

Everything runs on the main thread, as at a reload. It holds until the next one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fail2ban.control.host import NoJail, Refused
from fail2ban.detect.match import Matcher
from fail2ban.errors import ConfigError
from fail2ban.jails import Jails
from fail2ban.plan import filter_by_hand
from fail2ban.records import JailSettings, Problem, Settings


@dataclass(frozen=True)
class Sections:
    """Does to sections what a hand asks for; see `control.host.Host`.

    Attributes:
        settings: returns those in force.
        act: has the actions of all sections, by name, be those of their settings.
        fail: ends the daemon as broken, soon.
    """

    jails: Jails
    settings: Callable[[], Settings]
    act: Callable[[Mapping[str, JailSettings]], None]
    fail: Callable[[], None]

    def jail(self, name: str) -> JailSettings:
        """Return the settings of a section; raises NoJail. Any thread."""
        settings = self.jails.settings(name)
        if settings is None:
            raise NoJail(name)
        return settings

    def change(self, name: str, change: Callable[[JailSettings], JailSettings]) -> JailSettings:
        """Run a section with other settings; return them."""
        old = self.jail(name)
        settings = change(old)
        filter, known = self._filter(settings), self._filter(old).problems
        # A file's bad pattern is left out, and said; a hand's is refused.
        if wrong := [one for one in filter.problems if one not in known and _is_error(one)]:
            raise ConfigError(wrong)
        self._turn(lambda: self.jails.alter(settings, filter))
        if settings.actions != old.actions:
            self.act(self.jails.acting())
        return settings

    def idle(self, name: str, on: bool) -> None:
        """Have a section read nothing, or read on."""
        self.jail(name)
        self._turn(functools.partial(self.jails.rest if on else self.jails.go_on, name))

    def add(self, settings: JailSettings) -> None:
        """Add a section that waits for its start."""
        if self.jails.settings(settings.name) is not None:
            raise Refused(f"The jail '{settings.name}' already exists")
        filter = self._filter(settings)
        self._turn(lambda: self.jails.add(settings, filter))

    def start(self, name: str) -> None:
        """Have a section run that was added or stopped, or rests."""
        stopped = self.jails.stopped(name)
        if stopped is None:
            return self.idle(name, False)
        filter = self._filter(stopped)
        self._turn(lambda: self.jails.launch(stopped, filter))

    def stop(self, name: str) -> None:
        """End a section; its settings are kept for `start`."""
        self.jail(name)
        self._turn(functools.partial(self.jails.stop, name))

    def _filter(self, settings: JailSettings) -> Matcher:
        return filter_by_hand(settings.filter, self.settings().locale)

    def _turn(self, work: Callable[[], None]) -> None:
        """Change how sections run.

        Raises:
            Refused: a source cannot be opened; nothing has changed.
        """
        try:
            work()
        except (OSError, ValueError) as error:
            raise Refused(str(error)) from error
        except BaseException:
            # A reader may stand still, and the init system starts us again.
            self.fail()
            raise


def _is_error(problem: Problem) -> bool:
    return problem.severity == "error"
