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
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from fail2ban.detect.entries import Entry, Point, Said, parse_point
from fail2ban.detect.follower import Follower, Guard, unguarded
from fail2ban.detect.match import Line
from fail2ban.detect.paths import watchable
from fail2ban.detect.sieve import Sieve
from fail2ban.detect.terms import Wanted
from fail2ban.records import JournalSettings
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Lines, and characters of them, that wait for a section at a time.
ROOM, ROOM_SIZE = 4096, 1024 * 1024
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
    ) -> JournalSource:
        """Return the entries that a section wants; they come after the first `poll`.

        Args:
            jail: name of the section.
            since: where to begin, seconds since the epoch.
            wake: called on another thread when there is something to poll.
            marks: those that an earlier run has left; what was taken then does not
                come again. Others' are not looked at.

        Raises:
            ValueError: a match is wrong.
        """
        key = replace(settings, matches=())
        if key not in self._followers:
            self._followers[key] = Follower(key, self._guard, self._program)
        follower, now = self._followers[key], self._clock()
        return JournalSource(jail, settings, follower, since, wake, now, marks)

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
    ) -> None:
        self.jail, self.lines = jail, 0
        self.wanted = Wanted(settings.matches)
        self._key = _key(settings)
        self._taken = self._noted = _place(jail, marks.get(self._key))
        self._marks = {self._key: self._taken.text()} if self._taken else {}
        young = self._taken is not None and self._taken.time >= since
        self.point: Point | None = self._taken if young else Point("", since)
        self.waiting = True
        self._files = settings.files
        self._follower, self._wake = follower, wake
        self._opened = now
        self._live = False
        self._closed = False
        self._lines: deque[tuple[Line, Point]] = deque()
        self._size = 0
        self._changed = threading.Condition()  # guards the lines and their size
        follower.add(self)

    # The reader's thread -------------------------------------------------------

    def poll(self) -> Iterator[Line]:
        """Yield the lines that have come; what is not taken stays for the next call.

        They are no more than there is room for: what comes meanwhile can wait.
        """
        self._follower.look()
        count = size = 0
        while count < ROOM and size < ROOM_SIZE and (line := self._take()):
            count, size = count + 1, size + len(line.text)
            yield line
        if self.waiting:
            self._follower.restart()

    def use(self, sieve: Sieve) -> None:
        """Do nothing: to write an entry as a line is dearer than to look at it."""

    def due(self) -> float:
        """Return 0 while there is something to poll."""
        return 0.0 if self._lines else float("inf")

    def marks(self) -> Mapping[str, str]:
        """Return the place of the last entry that was taken; see `Source`."""
        if self._taken is not self._noted and self._taken:
            self._noted = self._taken
            self._marks = {self._key: self._taken.text()}
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
            self._lines.clear()
            self._changed.notify_all()
        if not was_closed:
            self._follower.remove(self)

    def _take(self) -> Line | None:
        with self._changed:
            if not self._lines:
                return None
            line, self._taken = self._lines.popleft()
            self._size -= len(line.text)
            self.lines += 1
            self._changed.notify_all()
            return line

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

    def offer(self, entry: Entry, point: Point, said: Callable[[], Said]) -> bool:
        """Take an entry if it is wanted; wait for room, but not for ever.

        Returns:
            False: there is no room; the section is to go on from here later.
        """
        self._live = self._live or point.time >= self._opened
        if not self.wanted.fits(entry):
            return True
        text, time, stamp = said()
        return self._put(Line(text, time, stamp, self._live), point)

    def _put(self, line: Line, point: Point) -> bool:
        with self._changed:
            while self._is_full() and not self._closed:
                if not self._changed.wait(PATIENCE):
                    return False
            was_empty = not self._lines
            if not self._closed:
                self._lines.append((line, point))
                self._size += len(line.text)
        if was_empty:
            self._wake()
        return True

    def _is_full(self) -> bool:
        return len(self._lines) >= ROOM or self._size >= ROOM_SIZE


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
