# SPDX-License-Identifier: GPL-2.0-or-later
"""Notice that a section matches nothing any more although its log grows.

A service was upgraded and words its lines in another way, or logs elsewhere: nothing
fails, and nobody is banned. A section that has been idle from the beginning is no
news, nor is one that has a match in a year; so how often it used to match is
remembered, also over restarts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from fail2ban.durations import YEAR, duration
from fail2ban.health.checks import Verdict
from fail2ban.health.facts import JailFacts, Observed
from fail2ban.health.growth import Growth
from fail2ban.records import HealthSettings

#: Lines without a match before their silence means something.
LINES = 100
#: The time after which silence means something is cut into so many spells; in so many
#: of them there must have been matches.
SPELLS, USED_TO = 7, 3
#: How much longer than its usual pause a section may be silent.
PAUSES = 3


@dataclass(slots=True)
class _Habit:
    """How often a section used to match.

    Attributes:
        first, last: when it did, seconds since the epoch.
        spells: in how many different ones.
        spell: the number of the last one.
        lines: since the last match.
    """

    first: float
    last: float
    spells: int = 0
    spell: int = -1
    lines: int = 0

    @property
    def pause(self) -> float:
        """The usual seconds between two spells with matches."""
        return (self.last - self.first) / max(1, self.spells - 1)


class Quiet:
    """A `Check` with a memory."""

    def __init__(self) -> None:
        self._habits: dict[str, _Habit] = {}
        self._growth = Growth()

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        for jail in observed.jails:
            habit = self._note(jail, now, (settings.quiet or YEAR) / SPELLS)
            if habit is not None and jail.idle:
                habit.lines = 0  # nobody has looked at them: its silence means nothing
            wrong = habit is not None and _is_wrong(habit, now, settings.quiet)
            text = _text(habit, now) if habit is not None and wrong else ""
            yield Verdict("quiet", jail.name, wrong, text)

    def memory(self) -> str:
        """See `Alarms.memory`."""
        return json.dumps({jail: astuple(habit) for jail, habit in self._habits.items()})

    def recall(self, text: str) -> None:
        """See `Alarms.recall`."""
        try:
            self._habits = {str(jail): _habit(values) for jail, values in json.loads(text).items()}
        except (AttributeError, TypeError) as error:
            raise ValueError(f"{text[:40]!r} is no memory of matches") from error

    def _note(self, jail: JailFacts, now: float, length: float) -> _Habit | None:
        """Remember what has come; None: it has never matched."""
        lines = self._growth.of((jail.name, "lines"), jail.lines)
        habit = self._habits.get(jail.name)
        if not self._growth.of((jail.name, "matches"), jail.matches):
            if habit is not None:
                habit.lines += lines
            return habit
        when = min(jail.last_match or now, now)
        if habit is None:
            habit = self._habits[jail.name] = _Habit(when, when)
        if (spell := int(when // length)) != habit.spell:
            habit.spell, habit.spells = spell, habit.spells + 1
        habit.last, habit.lines = when, 0
        return habit


def _is_wrong(habit: _Habit, now: float, quiet: float) -> bool:
    if quiet <= 0 or habit.spells < USED_TO or habit.lines < LINES:
        return False
    return now - habit.last > max(quiet, PAUSES * habit.pause)


def _text(habit: _Habit, now: float) -> str:
    return (
        f"no line has matched for {duration(now - habit.last)} although there were"
        f" {habit.lines}; attackers may be overlooked. Has the service changed how or"
        " where it logs? fail2ban-regex shows what its lines match"
    )


def _habit(values: list[float]) -> _Habit:
    first, last, spells, spell, lines = values
    return _Habit(float(first), float(last), int(spells), int(spell), int(lines))
