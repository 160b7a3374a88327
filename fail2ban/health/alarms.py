# SPDX-License-Identifier: GPL-2.0-or-later
"""Say when something begins to be wrong, and when it is no more.

Checks look at the daemon once a minute. Each says of a section that it is wrong,
right, or neither: then it stays what it was, so that no alarm flickers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from fail2ban.events import Event, Kind
from fail2ban.health.checks import (
    Check,
    Crowded,
    Failed,
    Leaking,
    Missing,
    Skewed,
    Slow,
    Stuck,
    Timeless,
    Unstored,
    Verdict,
)
from fail2ban.health.facts import Alarm, Observed
from fail2ban.health.quiet import Quiet
from fail2ban.records import HealthSettings
from fail2ban.text import printable

#: What they want to hear of.
HEARD: frozenset[Kind] = frozenset({"already_banned"})


class Change(NamedTuple):
    """An alarm that has begun, or is over."""

    alarm: Alarm
    on: bool


class Alarms:
    """The alarms that are on. One thread calls `step`, any thread the rest.

    Attributes:
        current: those that are on, the oldest first.
    """

    def __init__(self) -> None:
        self.current: tuple[Alarm, ...] = ()
        self._leaking, self._quiet = Leaking(), Quiet()
        self._checks: tuple[Check, ...] = (
            *(Timeless(), self._quiet, Skewed(), Failed(), self._leaking),
            *(Crowded(), Missing(), Slow(), Unstored(), Stuck()),
        )

    def note(self, event: Event) -> None:
        """Hear of somebody who gets through his ban; a `Listener`."""
        self._leaking.note(event)

    def step(self, now: float, observed: Observed, settings: HealthSettings) -> list[Change]:
        """Look at everything; return what has begun or is over.

        Args:
            now: seconds since the epoch.
        """
        on = {(alarm.name, alarm.jail): alarm for alarm in self.current}
        verdicts = [v for check in self._checks for v in check.look(now, observed, settings)]
        stay = {(v.name, v.jail): _alarm(v, on.get((v.name, v.jail)), now) for v in verdicts}
        # Of a section that is gone nobody says anything: its alarms are over.
        self.current = tuple(sorted((a for a in stay.values() if a), key=_since))
        begun = [alarm for alarm in self.current if (alarm.name, alarm.jail) not in on]
        over = [alarm for key, alarm in on.items() if stay.get(key) is None]
        return [*_changes(begun, True), *_changes(over, False)]

    def memory(self) -> str:
        """Return what is to be told to `recall` after a restart."""
        return self._quiet.memory()

    def recall(self, text: str) -> None:
        """Go on with what an earlier run knew; before the first step.

        Raises:
            ValueError: that is not what `memory` returned.
        """
        self._quiet.recall(text)


def _alarm(verdict: Verdict, known: Alarm | None, now: float) -> Alarm | None:
    """Return what a verdict makes of an alarm that was on, or was not."""
    if verdict.wrong is None:
        return known
    if not verdict.wrong:
        return None
    text = printable(verdict.text)
    if known is not None:
        return replace(known, text=text)
    return Alarm(verdict.name, verdict.jail, now, text)


def _changes(alarms: Iterable[Alarm], on: bool) -> list[Change]:
    return [Change(alarm, on) for alarm in alarms]


def _since(alarm: Alarm) -> float:
    return alarm.since
