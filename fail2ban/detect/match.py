# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into a filter and what comes out: lines and matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fail2ban.detect.dating import Dating
from fail2ban.records import Capture, Id, Problem


@dataclass(slots=True)
class Tally:
    """What came from one log since the daemon has followed it.

    Attributes:
        lines: that were taken.
        matches: that were found on them.
        last_match: when that was, seconds since the epoch; 0: never.
    """

    lines: int = 0
    matches: int = 0
    last_match: float = 0.0


class Line(NamedTuple):
    """One line of a source.

    Attributes:
        text: without its end; what the patterns see.
        time: seconds since the epoch, where the source knows it by itself; then
            no timestamp is looked for.
        stamp: what stands before `text` when the line is shown.
        live: it was written while we were watching; a backlog is not.
        tally: of the log that it came from; None: nobody counts.
    """

    text: str
    time: float | None = None
    stamp: str = ""
    live: bool = True
    tally: Tally | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """What a line says, perhaps together with lines before it.

    Attributes:
        host: whom to blame.
        time: seconds since the epoch; None where there is no timestamp.
        lines: the evidence, oldest first.
        is_name: `host` is a host name that is still to be resolved.
        fid: what to count and ban instead of `host`.
        groups: what the patterns captured, by lower-case name.
    """

    host: Id
    time: float | None
    lines: tuple[str, ...]
    is_name: bool = False
    fid: Id | None = None
    groups: Mapping[str, Capture] = field(default_factory=dict)


class Matcher(Protocol):
    """The patterns of one section. Used on one thread at a time.

    Attributes:
        problems: what the user should know although the patterns work.
        dating: what is noticed about timestamps.
    """

    problems: tuple[Problem, ...]
    dating: Dating

    def match(self, line: Line, now: float) -> Match | None:
        """Return whom a line blames; None for an innocent line.

        Args:
            now: seconds since the epoch; places timestamps without a year.

        Raises:
            OutOfTime: the patterns take too long for this line; it is given up,
                and so are lines before it that were searched together with it;
                else the state is that before it.
        """

    def when(self, line: str, now: float) -> float | None:
        """Return what the timestamp of a line says, whomever the line blames.

        Seconds since the epoch; None where there is none, or finding it takes too
        long. For whoever looks for his place in a log: nothing is remembered that
        could change what `match` returns.

        Args:
            now: as for `match`.
        """

    def memory(self) -> Mapping[str, str]:
        """Return all of earlier lines that `match` still depends on, as texts by key.

        The keys begin with "filter:". What has not changed has the same text.
        """

    def recall(self, texts: Mapping[str, str]) -> None:
        """Go on as a filter with that memory would; called before the first line.

        Other keys are not looked at; what is damaged is left out with a warning.
        """


class Blank:
    """A filter without any pattern: nobody is to blame."""

    problems: tuple[Problem, ...] = ()

    def __init__(self) -> None:
        self.dating = Dating()

    def match(self, line: Line, now: float) -> Match | None:
        """Return None, see `Matcher`."""
        return None

    def when(self, line: str, now: float) -> float | None:
        """Return None, see `Matcher`."""
        return None

    def memory(self) -> Mapping[str, str]:
        """Return nothing, see `Matcher`."""
        return {}

    def recall(self, texts: Mapping[str, str]) -> None:
        """Do nothing, see `Matcher`."""
