# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into a filter and what comes out: lines and matches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fail2ban.detect.dating import Dating
from fail2ban.detect.lines import Block
from fail2ban.errors import Fail2BanError
from fail2ban.records import NOTHING, Capture, Id, Problem

if TYPE_CHECKING:
    from fail2ban.detect.prefilter import Named
    from fail2ban.detect.sieve import Sieve


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


class Unfinished(Fail2BanError):
    """There is something to do before a line is matched.

    Attributes:
        first: to be matched before it; None: only others are to have their turn.
    """

    def __init__(self, first: Line | None = None) -> None:
        super().__init__()
        self.first = first


class Passage:
    """Lines that were read together, of which perhaps not all come through.

    Attributes:
        block: all of them.
        names: whose patterns' numbers `Line.named` are.
        seen: the offset up to which the filter knows the lines' timestamps.
        aside: lines that matter or not depending on what comes of those before them, in
            their order. The next line that comes through tells how far it is safe to ask.
        told: returns the line that ends at an offset as its source knows it, with its time;
            None: the source knows of no times.
    """

    __slots__ = ("aside", "block", "names", "seen", "told")

    def __init__(self, block: Block, names: object) -> None:
        self.block, self.names, self.seen = block, names, 0
        self.aside: deque[Named] = deque()
        self.told: Callable[[int], Line] | None = None

    def line(self, like: Line, begin: int, end: int, named: tuple[int, ...]) -> Line:
        """Return one of the lines, from where it begins to where it ends; `like` is another."""
        if self.told:
            return self.told(end)._replace(passage=self, end=end, named=named)
        return like._replace(text=self.block.text(begin, end), end=end, named=named)

    def before(self, end: int) -> Iterator[str]:
        """Yield the lines that were passed over before the one that ends at `end`.

        The last comes first; none of those whose timestamps are known.
        """
        at = self.block.begin_of(end)
        while at > self.seen:
            begin = self.block.begin_of(at)
            yield self.block.text(begin, at)
            at = begin


class Line(NamedTuple):
    """One line of a source.

    Attributes:
        text: without its end; what the patterns see.
        time: seconds since the epoch, where the source knows it by itself; then
            no timestamp is looked for.
        stamp: what stands before `text` when the line is shown.
        live: it was written while we were watching; a backlog is not.
        tally: of the log that it came from; None: nobody counts.
        passage: the lines that were read together with it, of which perhaps not all
            are looked at; None: it stands alone.
        end: the offset in the passage behind the line.
        named: the numbers of the patterns that may match, see `Passage.names`;
            None: any may.
    """

    text: str
    time: float | None = None
    stamp: str = ""
    live: bool = True
    tally: Tally | None = None
    passage: Passage | None = None
    end: int = 0
    named: tuple[int, ...] | None = None

    @property
    def closes(self) -> bool:
        """Whether it is the last of those that were read together, so that its date matters."""
        if self.time is not None:
            return False
        return self.passage is None or self.end == len(self.passage.block.data)


class Match(NamedTuple):
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
    groups: Mapping[str, Capture] = NOTHING


class Matcher(Protocol):
    """The patterns of one section. Used on one thread at a time.

    Attributes:
        problems: what the user should know although the patterns work.
        dating: what is noticed about timestamps.
        sieve: picks the lines that are worth a `match`.
    """

    problems: tuple[Problem, ...]
    dating: Dating
    sieve: Sieve

    def match(self, line: Line, now: float) -> Match | None:
        """Return whom a line blames; None for an innocent line.

        Args:
            now: seconds since the epoch; places timestamps without a year.

        Raises:
            OutOfTime: the patterns take too long for this line; it is given up,
                and so are lines before it that were searched together with it;
                else the state is that before it.
            Unfinished: to be called once more with the same line, and before that with
                `first`, if it says so; with no other.
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
