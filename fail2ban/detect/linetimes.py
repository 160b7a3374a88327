# SPDX-License-Identifier: GPL-2.0-or-later
"""When a line was written, where its timestamp is missing or cannot be right.

Source: jail-conf.md sections 7.2 (point 6), 8.5 ({NONE}) and 8.6.
"""

from __future__ import annotations

import logging

from fail2ban.detect.match import Line

log = logging.getLogger(__name__)

#: Seconds that a timestamp may be off from now, and that the last one holds for
#: lines without one.
TOLERANCE = 60.0
_DAY = 86400.0


class LineTimes:
    """The times of the lines of one section. Used on one thread at a time.

    Args:
        section: for log messages.
        doubting: doubt timestamps, and count what has none as just written; only
            while a log is watched, since what was there before has its own time.
    """

    def __init__(self, section: str, doubting: bool) -> None:
        self._section, self._doubting = section, doubting
        self._last: float | None = None
        self._warned: dict[str, float] = {}

    def note(self, time: float) -> None:
        """Remember the timestamp of a line."""
        self._last = time

    @property
    def last(self) -> float | None:
        """The last timestamp that was noted."""
        return self._last

    def settle(self, line: Line, stamp: float | None, dated: bool, now: float) -> float | None:
        """Return the time that a line with a failure counts for; None: nobody knows.

        Args:
            stamp: what its timestamp says, seconds since the epoch.
            dated: the line should have one; others have that of the line before.
            now: seconds since the epoch.
        """
        if line.time is not None:
            return self._past(line.time, now)
        doubting = self._doubting and line.live
        if stamp is None:
            if dated:
                self._warn("undated", _UNDATED, now, self._section)
            recent = self._last is not None and abs(now - self._last) < TOLERANCE
            stamp = self._last if recent or not (dated or doubting) else None
            return now if stamp is None and doubting else self._past(stamp, now)
        if doubting and abs(stamp - now) > TOLERANCE:
            self._warn("off", _OFF, now, self._section, abs(stamp - now), _side(stamp, now))
            return now
        return self._past(stamp, now)

    def _past(self, time: float | None, now: float) -> float | None:
        return min(time, now) if self._doubting and time is not None else time

    def _warn(self, kind: str, text: str, now: float, *args: object) -> None:
        """Say `text` once a day."""
        if not 0 <= now - self._warned.get(kind, -_DAY) < _DAY:
            self._warned[kind] = now
            log.warning(text, *args)


_UNDATED = (
    "[%s] a line with a failure has no timestamp that we know; such lines count as written just"
    " now if they are new, else not at all. If they do have one, set `datepattern`"
)
_OFF = (
    "[%s] a new line has a timestamp %.0f seconds %s; such lines count as written just now. Most"
    " likely its program writes the time of another zone: set `logtimezone`, or `datepattern`"
)


def _side(stamp: float, now: float) -> str:
    return "in the future" if stamp > now else "ago"
