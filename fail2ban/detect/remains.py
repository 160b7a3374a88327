# SPDX-License-Identifier: GPL-2.0-or-later
"""What an earlier run has not read of a file that is gone: only copies have it.

A rotation has renamed the log and compressed it while nobody was reading, say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from fail2ban.detect.copies import PATIENCE, Recovery
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.lines import Block
from fail2ban.detect.logfile import SHARE
from fail2ban.detect.marks import Mark
from fail2ban.detect.track import Track

log = logging.getLogger(__name__)


class Remains:
    """The unread rest of a file; a copy of it is sought and read to its end.

    Args:
        mark: how far the file was read.
        now: the caller's clock, in seconds.
        expected: there should be something; otherwise nobody waits for a copy, and
            none need be there.

    Attributes:
        backlog: the last poll left something to read.
        is_over: all has been read that there is.
    """

    def __init__(self, mark: Mark, encoding: Encoding, now: float, expected: bool) -> None:
        self.backlog = self.is_over = False
        self._mark, self._expected = mark, expected
        self._track = Track(encoding)
        self._track.go(mark.begun)
        self._recovery = Recovery(mark.path, now if expected else now - PATIENCE)

    def poll(self, now: float) -> Iterator[Block]:
        """Yield the next lines, a block at a time; the last one also if it has no newline."""
        self.backlog = False
        for _ in range(SHARE):
            data = self._recovery.read(self._track.here, now)
            if data is None:
                self.is_over = True
                yield self._track.lines.finish()
                self._report()
                return
            if not data:
                return
            yield self._track.take(data, self._track.here.written, self._mark.path, now)
        self.backlog = True

    def mark(self) -> Mark:
        """Return how far it was read."""
        return Mark(
            self._mark.path, self._mark.ident, self._track.begun, self._mark.target, left=True
        )

    def close(self) -> None:
        self._recovery.close()

    def _report(self) -> None:
        if self._recovery.found:
            log.info("what was not read of the earlier %s was read from its copy", self._mark.path)
        elif self._expected:
            log.warning(
                "%s is another file than before, and no copy of the earlier one was found beside"
                " it: lines that were written while nobody was reading may be lost",
                self._mark.path,
            )
