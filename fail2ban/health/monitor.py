# SPDX-License-Identifier: GPL-2.0-or-later
"""Watch over the daemon: what it counts, keeps and raises alarms about."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from fail2ban import __version__
from fail2ban.events import Events
from fail2ban.health.alarms import HEARD, Alarms, Change
from fail2ban.health.counters import Counters
from fail2ban.health.facts import Health, Observed
from fail2ban.health.keeping import Keeping
from fail2ban.ledger import Batch, Ledger
from fail2ban.levels import NOTICE
from fail2ban.records import HealthSettings

log = logging.getLogger(__name__)

#: Seconds between two looks.
INTERVAL = 60.0
#: Where the store keeps the alarms' memory: no section, and this key.
MARK = ("", "alarms")


class After(Protocol):
    """Calls things later, as `decide.timer.Timer` does."""

    def after(self, seconds: float, action: Callable[[], object]) -> None: ...


class Monitor:
    """Hears of everything, and looks at the daemon once a minute.

    Args:
        events: it listens to them, and tells its alarms there.
        ledger: keeps the history, and the alarms' memory.
        settings: returns those in force.
        observe: looks at the daemon; any thread.
        clock: seconds since the epoch.

    Attributes:
        counters: to be told of reloads.
    """

    def __init__(
        self,
        events: Events,
        ledger: Ledger,
        settings: Callable[[], HealthSettings],
        observe: Callable[[], Observed],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counters = Counters(clock)
        self._events, self._ledger, self._settings = events, ledger, settings
        self._observe, self._clock = observe, clock
        self._keeping, self._alarms = Keeping(ledger), Alarms()
        self._started = clock()
        self._saved = ""
        events.listen(self.counters.note)
        events.listen(self._alarms.note, HEARD)
        events.listen(self._keeping.note)

    def recall(self, text: str) -> None:
        """Go on with what the store has at `MARK`; before `begin`."""
        if text:
            try:
                self._alarms.recall(text)
            except ValueError as error:
                log.warning("what used to match is unknown, alarms begin anew: %s", error)

    def begin(self, timer: After) -> None:
        """Look from now on."""

        def look() -> None:
            self.step()
            timer.after(INTERVAL, look)

        timer.after(INTERVAL, look)

    def step(self) -> None:
        """Look once; on the timer's thread. Only works in memory."""
        now = self._clock()
        for change in self._alarms.step(now, self._observe(), self._settings()):
            self._tell(change)
        self._keeping.step(now)
        if (memory := self._alarms.memory()) != self._saved:
            self._saved = memory
            self._ledger.save(Batch(marks={MARK: memory}))

    def health(self) -> Health:
        """Return how the daemon is now. Any thread."""
        observed = self._observe()
        return Health(
            time=self._clock(),
            started=self._started,
            version=__version__,
            observed=replace(observed, jails=tuple(sorted(observed.jails, key=lambda j: j.name))),
            counted=self.counters.read(),
            unkept=self._keeping.unkept,
            alarms=self._alarms.current,
        )

    def _tell(self, change: Change) -> None:
        alarm, on = change
        where = f"[{alarm.jail}] " if alarm.jail else ""
        if on:
            log.warning("%salarm %s: %s", where, alarm.name, alarm.text)
        else:
            log.log(NOTICE, "%salarm %s is over", where, alarm.name)
        self._events.tell("alarm", alarm.jail, name=alarm.name, on=on, text=alarm.text)
