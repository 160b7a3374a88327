# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries of systemd's journal -> lines.

Source: jail-conf.md section 6; systemd's manual of journal fields; the order of the
parts as Debian's fail2ban-regex 1.0.2 prints them.
"""

from __future__ import annotations

import datetime
import json
from typing import NamedTuple

from fail2ban.detect.export import Entry
from fail2ban.detect.lines import LINE_LIMIT
from fail2ban.detect.match import Line

#: The fields that a line is made of.
FIELDS = (
    "MESSAGE",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "_COMM",
    "_HOSTNAME",
    "_PID",
    "_SOURCE_MONOTONIC_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
)

#: Seconds since the epoch; nobody needs a later time.
_LATEST = 1e12


class Point(NamedTuple):
    """A place in the journal.

    Attributes:
        cursor: of the entry; empty where only a time is known.
        time: when the journal got the entry, seconds since the epoch.
    """

    cursor: str
    time: float

    def text(self) -> str:
        """Return it in a form that outlives the process; `parse_point` reads it."""
        return json.dumps(self)


def parse_point(text: str) -> Point:
    """Read what `Point.text` has written.

    Raises:
        ValueError: it is something else.
    """
    try:
        cursor, time = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        cursor = time = None
    if not isinstance(cursor, str) or type(time) is not float or not abs(time) < _LATEST:
        raise ValueError(f"this is no place in the journal: {text[:100]!r}")
    return Point(cursor, time)


class Said(NamedTuple):
    """What an entry says, and where it stands; times are read when they are needed.

    Attributes:
        text: what the patterns see.
        cursor: see `Point`.
        received, told: when the journal got it, and when its source says that it
            wrote it; microseconds since the epoch, as texts.
    """

    text: str
    cursor: str
    received: str
    told: str

    @property
    def point(self) -> Point:
        return Point(self.cursor, _seconds(self.received) or 0.0)

    def line(self, live: bool) -> Line:
        """Return it as a line that the journal knows the time of."""
        time = _seconds(self.told)
        if time is None:
            time = self.point.time
        return Line(self.text, time, f"{_iso(time)} ", live)


def values(entry: Entry, name: str) -> tuple[str, ...]:
    """Return the texts of a field."""
    value = entry.get(name, ())
    return (value,) if isinstance(value, str) else value


def point_of(entry: Entry) -> Point:
    """Return where an entry stands."""
    return Point(_one(entry, "__CURSOR"), _seconds(_one(entry, "__REALTIME_TIMESTAMP")) or 0.0)


def said_by(entry: Entry) -> Said:
    """Return what an entry is for the patterns: HOST IDENT[PID]: MESSAGE."""
    name = _one(entry, "SYSLOG_IDENTIFIER") or _one(entry, "_COMM")
    parts = [_one(entry, "_HOSTNAME")]
    if name:
        pid = _one(entry, "SYSLOG_PID") or _one(entry, "_PID")
        parts.append(f"{name}[{pid}]:" if pid else f"{name}:")
    if name == "kernel":
        uptime = _seconds(_one(entry, "_SOURCE_MONOTONIC_TIMESTAMP"))
        if uptime is None:
            uptime = _seconds(_one(entry, "__MONOTONIC_TIMESTAMP")) or 0.0
        parts.append(f"[{uptime:12.6f}]")
    parts.append(_one(entry, "MESSAGE")[:LINE_LIMIT])
    return Said(
        " ".join(filter(None, parts)).rstrip("\r\n").replace("\n", "\\n"),
        _one(entry, "__CURSOR"),
        _one(entry, "__REALTIME_TIMESTAMP"),
        _one(entry, "_SOURCE_REALTIME_TIMESTAMP"),
    )


def _one(entry: Entry, name: str) -> str:
    value = entry.get(name, "")
    return value if isinstance(value, str) else " ".join(filter(None, value))


def _seconds(microseconds: str) -> float | None:
    """Return what a number of microseconds is in seconds; None if it is none."""
    try:
        return int(microseconds) / 1e6
    except (ValueError, OverflowError):
        return None


def _iso(time: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(time).astimezone().isoformat()
    except (ValueError, OverflowError, OSError):
        return str(time)  # somebody has made this entry by hand
