# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lines of a block are worth a closer look.

Most lines of a log are innocent, and most of those can be told at once: no pattern
can match. The sieve lets the others through, each with the numbers of the patterns
that may match; those decide. What is passed over is never decoded, and no object is
made of it.

Some patterns only matter on a connection that is known, as those of logins that
succeed, and what is known when a line's turn comes is not known here. Lines that only
such patterns may match are put aside (`Passage.aside`), for the filter to ask for.

The last line of a block always comes through, if only for its timestamp: so a filter
that learns from lines learns from each one of a log that is watched, and from one in
many of a backlog, whether or not there is anything to pass over (promise D1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from fail2ban.detect.encoding import Encoding
from fail2ban.detect.lines import Block
from fail2ban.detect.match import Line, Passage, Tally
from fail2ban.detect.prefilter import ANY, Named, Prefilter

#: Makes what finds the lines in a text of an encoding; None: any line may match.
Prepare = Callable[[Encoding], Prefilter | None]


class Sieve:
    """Picks lines for one filter. Used on one thread at a time.

    Args:
        prepare: called before anything is picked, and again for another encoding.
        aside: the numbers of the patterns that may not matter.

    Attributes:
        prefilter: None: all lines come through.
    """

    def __init__(self, prepare: Prepare | None = None, aside: frozenset[int] = frozenset()) -> None:
        self._prepare, self._aside = prepare, aside
        self.prefilter: Prefilter | None = None
        self._successor: Sieve | None = None
        self._encoding = ""

    def settle(self, encoding: Encoding) -> None:
        """Get ready for lines of an encoding; what is in the works is not disturbed."""
        self.prefilter = self._prepare(encoding) if self._prepare else None
        self._encoding = encoding.name

    def give_way(self, successor: Sieve) -> None:
        """Have another sieve pick what is left of a block that is in the works.

        What we pass over may matter to its filter.
        """
        self._successor = successor if successor is not self else None

    def pick(
        self, block: Block, live: bool = True, tally: Tally | None = None, begin: int = 0
    ) -> Iterator[Line]:
        """Yield the lines that some pattern may match, and the last one.

        Args:
            begin: the offset of the first line that counts.
        """
        if self.prefilter is None or block.encoding.name != self._encoding:
            return self._all(block, live, tally, begin)
        found = self.prefilter.named(block.data)
        return self._picked(
            block, [one for one in found if one[0] >= begin] if begin else found, live, tally
        )

    def _all(self, block: Block, live: bool, tally: Tally | None, begin: int) -> Iterator[Line]:
        passage, rest = Passage(block, self), block.behind(begin)
        passage.seen = len(block.data)  # nothing is passed over
        for number, text in enumerate(rest, 1):
            end = len(block.data) if number == rest.count else 0
            yield Line(text, None, "", live, tally, passage, end)

    def _picked(
        self, block: Block, found: Iterable[Named], live: bool, tally: Tally | None
    ) -> Iterator[Line]:
        passage, text, last = Passage(block, self), block.text, len(block.data)
        may_wait, wait = self._aside.issuperset, passage.aside.append
        end = 0
        for begin, end, numbers in found:
            if may_wait(numbers) and end != last:
                wait((begin, end, numbers))
                continue
            named = None if ANY in numbers else numbers
            yield Line(text(begin, end), None, "", live, tally, passage, end, named)
            if self._successor is not None and end != last:
                yield from self._successor.pick(block, live, tally, end)
                return
        if end != last:
            begin = block.begin_of(last)
            yield Line(text(begin, last), None, "", live, tally, passage, last, ())
