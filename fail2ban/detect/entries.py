# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries of systemd's journal, as `journalctl --output=json` writes them -> lines.

Source: jail-conf.md section 6; systemd's journal-fields and JSON format manuals;
the order of the parts as Debian's fail2ban-regex 1.0.2 prints them.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import NamedTuple

from fail2ban.detect.lines import LINE_LIMIT

Entry = Mapping[str, object]

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
    """What an entry says, see `Line`."""

    text: str
    time: float
    stamp: str


def values(entry: Entry, name: str) -> list[str]:
    """Return the texts of a field, several where it occurs more than once.

    A value that is no text is an array of bytes; null is a value that is too long.
    """
    value = entry.get(name)
    if not isinstance(value, list):
        return [] if value is None else [str(value)]
    if all(isinstance(item, int) for item in value):
        return [_decoded(value)]
    return [_decoded(item) if isinstance(item, list) else str(item) for item in value if item]


def point_of(entry: Entry) -> Point:
    """Return where an entry stands."""
    return Point(_one(entry, "__CURSOR"), _seconds(entry, "__REALTIME_TIMESTAMP") or 0.0)


def said_by(entry: Entry) -> Said:
    """Return the line that an entry is for the patterns: HOST IDENT[PID]: MESSAGE."""
    name = _one(entry, "SYSLOG_IDENTIFIER") or _one(entry, "_COMM")
    parts = [_one(entry, "_HOSTNAME")]
    if name:
        pid = _one(entry, "SYSLOG_PID") or _one(entry, "_PID")
        parts.append(f"{name}[{pid}]:" if pid else f"{name}:")
    if name == "kernel":
        uptime = _seconds(entry, "_SOURCE_MONOTONIC_TIMESTAMP")
        if uptime is None:
            uptime = _seconds(entry, "__MONOTONIC_TIMESTAMP") or 0.0
        parts.append(f"[{uptime:12.6f}]")
    parts.append(" ".join(values(entry, "MESSAGE"))[:LINE_LIMIT])
    text = " ".join(filter(None, parts)).rstrip("\r\n").replace("\n", "\\n")
    time = _seconds(entry, "_SOURCE_REALTIME_TIMESTAMP")
    if time is None:
        time = point_of(entry).time
    return Said(text, time, f"{_iso(time)} ")


def _one(entry: Entry, name: str) -> str:
    return " ".join(values(entry, name))


def _seconds(entry: Entry, name: str) -> float | None:
    """Return a field that holds microseconds; None if it does not."""
    try:
        return int(_one(entry, name)) / 1e6
    except (ValueError, OverflowError):
        return None


def _iso(time: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(time).astimezone().isoformat()
    except (ValueError, OverflowError, OSError):
        return str(time)  # somebody has made this entry by hand


def _decoded(value: list[int]) -> str:
    return bytes(byte & 0xFF for byte in value).decode("utf-8", "replace")
