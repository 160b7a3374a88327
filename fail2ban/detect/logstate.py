# SPDX-License-Identifier: GPL-2.0-or-later
"""How each log of a section is getting on, for whoever watches.

A log is a name: in the middle of a rotation there are two files behind it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from fail2ban.detect.logfile import LogFile
from fail2ban.detect.match import Tally


class LogState(NamedTuple):
    """How one log is getting on.

    Attributes:
        read: bytes of the file that has its name.
        grown: when it had last grown, seconds since the epoch; 0: nothing was read.
        lines, matches, last_match: see `Tally`.
    """

    path: str
    read: int = 0
    grown: float = 0.0
    lines: int = 0
    matches: int = 0
    last_match: float = 0.0


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a file, and when that was written."""

    bytes: int
    written: float


class Tallies:
    """What came from each log. The reader's thread, except `states`."""

    def __init__(self) -> None:
        self._of: dict[str, Tally] = {}

    def of(self, path: str) -> Tally:
        """Return the one of a log."""
        return self._of.setdefault(path, Tally())

    def keep(self, files: Collection[LogFile]) -> None:
        """Forget the logs that none of these files belongs to."""
        paths = {file.path for file in files}
        for path in self._of.keys() - paths:
            del self._of[path]

    def states(self, files: Collection[LogFile]) -> list[LogState]:
        """Return how the logs of files are getting on; any thread."""
        read: dict[str, _Read] = {}
        # The file that has the name now comes last.
        for file in sorted(files, key=lambda file: file.vanished is None):
            here, before = file.track.here, read.get(file.path, _Read(0, 0.0))
            read[file.path] = _Read(here.offset, max(before.written, here.written / 1e9))
        return [self._state(path, one) for path, one in read.items()]

    def _state(self, path: str, read: _Read) -> LogState:
        tally = self._of.get(path, Tally())
        return LogState(
            path, read.bytes, read.written, tally.lines, tally.matches, tally.last_match
        )
