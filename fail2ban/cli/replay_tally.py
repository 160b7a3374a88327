# SPDX-License-Identifier: GPL-2.0-or-later
"""What a replay has counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fail2ban.cli.replay_court import Decision
from fail2ban.records import Ban, Id


@dataclass
class LogTally:
    """One file, as one section has read it.

    Attributes:
        first, last: times of its lines, seconds since the epoch; None: none has one.
        problem: why it was not read to its end; empty: it was.
    """

    name: str
    lines: int = 0
    first: float | None = None
    last: float | None = None
    problem: str = ""


@dataclass
class BanTally:
    """A ban, and the failures of its id while it would have been in force."""

    ban: Ban
    prevented: int = 0
    in_force: bool = True


@dataclass
class JailTally:
    """What came of the lines of one section.

    Attributes:
        failures: that count; of each id.
        prevented: failures of those who would have been kept out; of each id.
        ignored: failures that do not count, by id and what ignores it.
        expired: bans that would have been over already.
        bans: in the order they would have been decided.
        undated: failures that do not count, for they have no timestamp.
        names: the same, for a host name stands where an address is needed.
        given_up: lines for which the patterns took too long.
    """

    jail: str
    logs: list[LogTally] = field(default_factory=list)
    lines: int = 0
    failures: Counter[Id] = field(default_factory=Counter)
    prevented: Counter[Id] = field(default_factory=Counter)
    ignored: Counter[tuple[Id, str]] = field(default_factory=Counter)
    expired: int = 0
    bans: list[BanTally] = field(default_factory=list)
    undated: int = 0
    names: int = 0
    given_up: int = 0
    _in_force: dict[Id, BanTally] = field(default_factory=dict, repr=False)

    @property
    def in_force(self) -> list[BanTally]:
        """The bans that are not over at the end."""
        return list(self._in_force.values())

    def add(self, decision: Decision) -> None:
        """Count what would have happened."""
        id = decision.id
        if decision.kind == "found":
            self.failures[id] += 1
        elif decision.kind == "ignored":
            self.ignored[id, decision.by] += 1
        elif decision.kind == "expired":
            self.expired += 1
        elif decision.kind == "prevented":
            self.prevented[id] += 1
            self._in_force[id].prevented += 1
        elif decision.kind == "unbanned":
            self._in_force.pop(id).in_force = False
        elif decision.ban is not None:
            self._in_force[id] = BanTally(decision.ban)
            self.bans.append(self._in_force[id])

    def busiest(self, count: int) -> list[Id]:
        """Return the ids with the most failures, prevented ones included."""
        return [id for id, _ in (self.failures + self.prevented).most_common(count)]
