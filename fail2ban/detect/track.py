# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes of one log -> its lines, and how far that has come.

The place to go on at after a restart is the beginning of the line that is not
complete yet: nothing has come of that line so far.
"""

from __future__ import annotations

import logging

from fail2ban.detect.encoding import UTF8, Encoding
from fail2ban.detect.lines import LINE_LIMIT, Block, LineSplitter
from fail2ban.detect.position import TAIL_SIZE, Position

log = logging.getLogger(__name__)

#: Seconds between two complaints about the encoding of one file.
DAY = 86400.0


class Track:
    """How far a file was read.

    Attributes:
        here: behind the last byte that was read.
        begun: where the line begins that is not complete yet. After a truncation
            that is a place in the text that was there before.
        lines: what cuts the bytes into lines; holds the half one.
    """

    def __init__(self, encoding: Encoding = UTF8) -> None:
        self.here = self.begun = Position()
        self.lines = LineSplitter(encoding)
        self._complained: float | None = None  # when about the encoding

    def go(self, position: Position) -> None:
        """Count everything before a position as read; a line begins there."""
        self.here = self.begun = position
        self.lines.drop()

    def start_over(self, joined: bool) -> None:
        """Go to the start of a text that has replaced the one so far.

        Args:
            joined: its first line may be the rest of the one that is not complete.
        """
        self.here = Position()
        if joined and self.lines.unended:
            self.lines.resume()
        else:
            self.go(self.here)

    def take(self, data: bytes, written: int, path: str, now: float) -> Block:
        """Return the lines that the next bytes complete.

        Args:
            written: a modification time at which the file had them, nanoseconds.
            path: of the file, for log messages.
            now: the caller's clock, in seconds.
        """
        before, lines = self.here.tail, self.lines
        self.here = self.here.after(data, written)
        if not lines.encoding.is_settled:
            lines.encoding = lines.encoding.settle(self.here.head)
        overlong, undecodable = lines.overlong, lines.undecodable
        block = lines.feed(data)
        if lines.unended <= len(data):
            known = data if lines.unended + TAIL_SIZE <= len(data) else before + data
            self.begun = self.here.before(lines.unended, known)
        if overlong == 0 and lines.overlong:
            log.warning(
                "%s: a line is longer than %d bytes; what exceeds that is left out of"
                " this line and others to come",
                path,
                LINE_LIMIT,
            )
        if lines.undecodable > undecodable:
            self._complain(path, now)
        return block

    @property
    def line_start(self) -> int:
        """The offset at which the line begins that is not complete yet."""
        return max(0, self.here.offset - self.lines.unended)

    def _complain(self, path: str, now: float) -> None:
        if self._complained is not None and now - self._complained < DAY:
            return
        self._complained = now
        log.warning(
            "%s: there are bytes that are not %s; each reads as \N{REPLACEMENT CHARACTER}"
            " (logencoding says how a log is written)",
            path,
            self.lines.encoding.name,
        )
