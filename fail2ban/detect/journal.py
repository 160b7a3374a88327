# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd's journal as a source of lines.

All sections that read the same journal share one `journalctl`. It is a
*follower* that writes every entry once; each section picks what it wants. A
section that begins elsewhere than the others, because it is new or did not keep
up, has the follower start again at its place; the others skip what they know.

Source: jail-conf.md sections 5.7 and 6.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from types import MappingProxyType

from fail2ban.detect.encoding import UTF8
from fail2ban.detect.entries import Point, Said, parse_point
from fail2ban.detect.follower import Follower
from fail2ban.detect.guard import Guard, unguarded
from fail2ban.detect.lines import Block
from fail2ban.detect.match import Line
from fail2ban.detect.paths import watchable
from fail2ban.detect.sieve import Sieve
from fail2ban.detect.terms import Wanted
from fail2ban.records import JournalSettings
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Lines, and characters of them, that wait for a section at a time.
ROOM, ROOM_SIZE = 4096, 1024 * 1024
#: Lines that are sieved at once.
SIEVED = 512
#: Seconds without any progress after which nobody waits for a section.
PATIENCE = 10.0


class Journal:
    """The journals of all sections; `source` and `close` are for the main thread.

    Args:
        guard: runs a thread's body, see `jail.Guard`.
        program: of systemd.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        guard: Guard = unguarded,
        program: str = "journalctl",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard, self._program, self._clock = guard, program, clock
        self._followers: dict[JournalSettings, Follower] = {}

    def source(
        self,
        jail: str,
        settings: JournalSettings,
        since: float,
        wake: Callable[[], None],
        marks: Mapping[str, str] = MappingProxyType({}),
        sieve: Sieve | None = None,
    ) -> JournalSource:
        """Return the entries that a section wants; they come after the first `poll`.

        Args:
            jail: name of the section.
            since: where to begin, seconds since the epoch.
            wake: called on another thread when there is something to poll.
            marks: those that an earlier run has left; what was taken then does not
                come again. Others' are not looked at.
            sieve: picks the lines that are worth a look; None: all are.

        Raises:
            ValueError: a match is wrong.
        """
        key = replace(settings, matches=())
        if key not in self._followers:
            self._followers[key] = Follower(key, self._guard, self._program)
        follower, now = self._followers[key], self._clock()
        return JournalSource(jail, settings, follower, since, wake, now, marks, sieve)

    def close(self) -> None:
        """End all followers."""
        for follower in self._followers.values():
            follower.close()


class JournalSource:
    """What one section gets from the journal; a `Source`.

    Attributes:
        jail: name of the section.
        wanted: which entries.
        point: where it wants to go on if that is not where the follower is.
        waiting: the follower must start again before it serves this.
        lines, notifies, revision: see `Source`.
    """

    notifies = True
    revision = 0

    def __init__(
        self,
        jail: str,
        settings: JournalSettings,
        follower: Follower,
        since: float,
        wake: Callable[[], None],
        now: float,
        marks: Mapping[str, str] = MappingProxyType({}),
        sieve: Sieve | None = None,
    ) -> None:
        self.jail, self.lines = jail, 0
        self.wanted = Wanted(settings.matches)
        self._key = _key(settings)
        place = _place(jail, marks.get(self._key))
        self._marks = {self._key: place.text()} if place else {}
        young = place is not None and place.time >= since
        self.point: Point | None = place if young else Point("", since)
        self.waiting = True
        self._files = settings.files
        self._follower, self._wake = follower, wake
        self._opened = now
        self._live = False
        self._closed = False
        self._taken: Said | None = None  # the last line that is not in the marks yet
        self._said: deque[Said] = deque()
        self._size = 0  # of their texts
        self._changed = threading.Condition()  # guards these two
        self._sieve = Sieve()
        self.use(sieve or Sieve())
        follower.add(self)

    # The reader's thread -------------------------------------------------------

    def poll(self) -> Iterator[Line]:
        """Yield the lines that have come; what is not taken stays for the next call.

        They are no more than there is room for: what comes meanwhile can wait.
        """
        self._follower.look()
        count = size = 0
        while count < ROOM and size < ROOM_SIZE and (batch := self._take()):
            count, size = count + len(batch), size + sum(len(said.text) for said in batch)
            yield from self._picked(batch)
        if self.waiting:
            self._follower.restart()

    def use(self, sieve: Sieve) -> None:
        """Pick lines with another sieve from now on; while nobody polls."""
        self._sieve.give_way(sieve)
        self._sieve = sieve
        sieve.settle(UTF8)

    def due(self) -> float:
        """Return 0 while there is something to poll."""
        return 0.0 if self._said else float("inf")

    def marks(self) -> Mapping[str, str]:
        """Return the place of the last entry that was taken; see `Source`."""
        if self._taken is not None:
            self._marks = {self._key: self._taken.point.text()}
            self._taken = None
        return self._marks

    def paths(self) -> list[str]:
        """Return what to watch for other files; their growth is journalctl's affair."""
        return sorted(set(map(watchable, self._files)))

    def rematch(self, settings: JournalSettings) -> None:
        """Want other entries of the same journal from now on; while paused.

        Raises:
            ValueError: a match is wrong; nothing has changed.
        """
        wanted = Wanted(settings.matches)
        self._follower.rematch(self, wanted)

    def close(self) -> None:
        """Want nothing more."""
        with self._changed:
            was_closed, self._closed = self._closed, True
            self._said.clear()
            self._changed.notify_all()
        if not was_closed:
            self._follower.remove(self)

    def _take(self) -> list[Said]:
        with self._changed:
            batch = [self._said.popleft() for _ in range(min(SIEVED, len(self._said)))]
            self._size -= sum(len(said.text) for said in batch)
            self.lines += len(batch)
            self._changed.notify_all()
            return batch

    def _picked(self, batch: Sequence[Said]) -> Iterator[Line]:
        """Yield the lines that the sieve picks, and the last; without a prefilter all."""
        backlog = self._backlog(batch)
        if self._sieve.prefilter is None:
            for number, said in enumerate(batch):
                self._taken = said
                yield said.line(number >= backlog)
            return
        texts = [f"{said.text}\n".encode() for said in batch]
        ends = list(accumulate(map(len, texts)))

        def told(end: int) -> Line:
            number = bisect_left(ends, end)
            return batch[number].line(number >= backlog)

        for line in self._sieve.pick(Block(b"".join(texts))):
            self._taken = batch[bisect_left(ends, line.end)]
            passage = line.passage
            if passage:
                passage.told, passage.seen = told, ends[-1]
            yield told(line.end)._replace(passage=passage, end=line.end, named=line.named)

    def _backlog(self, batch: Sequence[Said]) -> int:
        """Return how many lines at the begin were written before we were watching."""
        for number, said in enumerate(batch):
            self._live = self._live or said.point.time >= self._opened
            if self._live:
                return number
        return len(batch)

    # The follower's thread -----------------------------------------------------

    def skips(self, point: Point) -> bool:
        """Tell whether an entry comes before the place where we go on."""
        if self.point is None:
            return False
        if self.point.cursor:
            # By the time, too: its entry may not be in the journal any more.
            is_last, later = point.cursor == self.point.cursor, point.time > self.point.time
        else:
            is_last, later = False, point.time >= self.point.time
        if is_last or later:
            self.point = None
        return not later

    def offer(self, said: Sequence[Said]) -> int:
        """Take what some entries say; wait for room, but not for ever.

        Returns:
            How many there was room for; the section is to go on from there later.
        """
        taken = 0
        while taken < len(said):
            with self._changed:
                while self._is_full() and not self._closed:
                    if not self._changed.wait(PATIENCE):
                        return taken
                if self._closed:
                    return len(said)
                was_empty = not self._said
                while taken < len(said) and not self._is_full():
                    self._said.append(said[taken])
                    self._size += len(said[taken].text)
                    taken += 1
            if was_empty:
                self._wake()
        return taken

    def _is_full(self) -> bool:
        return len(self._said) >= ROOM or self._size >= ROOM_SIZE


def _key(settings: JournalSettings) -> str:
    """Return a text that is the same for the same journal, whatever is wanted of it."""
    which = settings.path, settings.files, settings.namespace, settings.flags, settings.rotated
    return "journal:" + json.dumps(which, separators=(",", ":"))


def _place(jail: str, text: str | None) -> Point | None:
    """Return where an earlier run was; None if nobody knows."""
    if text is None:
        return None
    try:
        return parse_point(text)
    except ValueError as error:
        message = "[%s] the journal is not read on where it was left: %s"
        log.warning(message, jail, printable(str(error)))
        return None
