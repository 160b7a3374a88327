# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in an old log to begin, so that not all of it goes through a filter.

Half-interval search on the timestamps of lines. What is passed over lies before a
run of dated lines that all are too old, so whatever a log looks like, doubt means
to begin too early: with its first line at worst.

Source: jail-conf.md section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from fail2ban.detect.encoding import Encoding
from fail2ban.detect.lines import LINE_LIMIT

#: Bytes of a log that is read whole: to search it would spare nothing.
SMALL = 64 * 1024
#: The search ends when it knows the place to so many bytes.
GRAIN = 8 * 1024
#: Seconds by which timestamps may be out of order without any line being missed;
#: a clock or a relay may be late.
SLACK = 60.0
#: Bytes looked at in one place.
WINDOW = LINE_LIMIT
#: Bytes of a line in which a timestamp is looked for; a longer line counts as undated.
LONGEST = 8 * 1024
#: Dated lines that must all be too old: one alone may quote a date that somebody made up.
DATED = 8
#: Lines looked at in one place, dated or not; more than a stack trace has.
TRIED = 128
#: Places looked at, each further on, before a stretch counts as undated.
PLACES = 4

#: Returns some bytes, the given number of them or as many as there are, from an offset.
Read = Callable[[int, int], bytes]
#: Returns when a line was written, in seconds since the epoch; None: nobody knows.
When = Callable[[str], float | None]
#: When some lines were written, each as `When` says.
Times = list[float | None]
#: Calls what finds out when some lines were written, where that can be interrupted.
AtOnce = Callable[[Callable[[], Times]], Times]


def _here(work: Callable[[], Times]) -> Times:
    return work()


@dataclass(frozen=True, slots=True)
class Since:
    """From when on the lines of a log matter.

    Attributes:
        moment: returns it, in seconds since the epoch.
        when: of a line; called as `at_once` says.
        at_once: to go to another thread for each line would take longer than all
            the rest. By itself it stays on the thread that reads the log.
    """

    moment: Callable[[], float]
    when: When
    at_once: AtOnce = _here


def first_at(
    read: Read,
    size: int,
    moment: float,
    when: When,
    encoding: Encoding | None = None,
    at_once: AtOnce = _here,
) -> int:
    """Return the offset of a line such that all before it were written before `moment`.

    That holds as long as no line has a timestamp more than `SLACK` seconds before
    that of an earlier line.

    Args:
        read: as `os.pread` does from the file.
        size: bytes of the file that are searched; no later offset is returned.
        encoding: of the file, settled; None: UTF-8.
        at_once: see `Since`.

    Raises:
        OSError: `read` does.
    """
    if size <= SMALL:
        return 0
    return _Search(read, size, moment - SLACK, when, encoding or Encoding(), at_once).run()


class _Search:
    """The search in one file.

    Attributes:
        begin: where a line begins, everything before which is too old.
        end: there or before it are lines that matter, or nothing is known.
    """

    def __init__(
        self,
        read: Read,
        size: int,
        moment: float,
        when: When,
        encoding: Encoding,
        at_once: AtOnce,
    ) -> None:
        self._read, self._size, self._encoding = read, size, encoding
        self._moment, self._when, self._at_once = moment, when, at_once
        self.begin, self.end = 0, size

    def run(self) -> int:
        while self.end - self.begin > GRAIN:
            self._halve()
        return self.begin

    def _halve(self) -> None:
        middle = place = (self.begin + self.end) // 2
        for _ in range(PLACES):
            if found := self._look(place):
                latest, behind = found
                if latest < self._moment:
                    self.begin = behind
                else:
                    self.end = place
                return
            place = (place + self.end) // 2
        self.end = middle

    def _look(self, place: int) -> tuple[float, int] | None:
        """Return the latest timestamp of some lines from a place on, and where they end.

        None: there is no timestamp.
        """
        stamps: list[float] = []
        behind = place
        lines = islice(self._lines(place), TRIED)
        # A few at a time: of lines without a date each takes long.
        while len(stamps) < DATED and (some := list(islice(lines, DATED))):
            for (_, end), stamp in zip(some, self._dates(some), strict=True):
                if stamp is not None and len(stamps) < DATED:
                    stamps.append(stamp)
                    behind = end
        return (max(stamps), behind) if stamps else None

    def _lines(self, place: int) -> Iterator[tuple[bytes, int]]:
        """Yield the whole lines from a place on, each with the offset of what follows it."""
        encoding = self._encoding
        place -= place % encoding.width
        data = self._read(min(WINDOW, self._size - place), place)
        for number, line in enumerate(encoding.split(data)[:-1]):
            place += len(line) + len(encoding.newline)
            if number:  # the first is the end of a line, or perhaps a whole one
                yield line, place

    def _dates(self, lines: Sequence[tuple[bytes, int]]) -> Times:
        texts = [self._short(line) for line, _ in lines]
        return self._at_once(lambda: [None if one is None else self._when(one) for one in texts])

    def _short(self, line: bytes) -> str | None:
        """Return the text of a line; None of one that counts as undated."""
        line = self._encoding.without_nuls(line)
        return self._encoding.text(line)[0] if len(line) <= LONGEST else None
