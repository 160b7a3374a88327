# SPDX-License-Identifier: GPL-2.0-or-later
"""Records as values of the database, and back.

Whatever an attacker wrote comes back as it was: halves of surrogate pairs, NUL,
line ends. A text is stored as text where it is Unicode, so that it can be read
with any tool, and as a blob otherwise.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from fail2ban.events import Event, Kind
from fail2ban.ledger import Deferred, Suspect
from fail2ban.records import NOTHING, Ban, Capture, Failure, Id, Ticket

#: A text in the database.
Stored = str | bytes

#: What reading a row raises that somebody else has written.
BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError)

# Before an id that is a text; no address begins with it.
_TEXT = "="

_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def stored(text: str) -> Stored:
    """Return a text as it is stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def read(value: Stored) -> str:
    """Undo `stored`."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def id_key(id: Id) -> Stored:
    """Write an id so that a text is never taken for the address that looks the same."""
    if isinstance(id, ipaddress.IPv4Address):
        return socket.inet_ntoa(id.packed)  # as `str`, in a third of the time
    return stored(_TEXT + id if isinstance(id, str) else str(id))


def read_id(value: Stored) -> Id:
    """Undo `id_key`.

    Raises:
        ValueError: this is no id.
    """
    text = read(value)
    if text.startswith(_TEXT):
        return text[len(_TEXT) :]
    if "/" in text:  # which no zone of an address can hold
        return ipaddress.ip_network(text)
    if ":" in text:
        return ipaddress.IPv6Address(text)
    try:
        # At the start there may be a hundred thousand; `ipaddress` takes ten times as long.
        return ipaddress.IPv4Address(socket.inet_pton(socket.AF_INET, text))
    except OSError as error:
        raise ValueError(f"{text!r} is no address") from error


def data(value: object) -> Stored:
    """Write plain data."""
    return stored(_encode(value))


def read_data(value: Stored) -> Any:
    """Undo `data`; tuples have become lists.

    Raises:
        ValueError: this is nothing of that kind.
    """
    return _decode(read(value))


# Records ---------------------------------------------------------------------


def suspect_data(suspect: Suspect) -> Stored:
    """Write what an id did."""
    return data((suspect.times, suspect.lines))


def read_suspect(value: Stored) -> Suspect:
    """Undo `suspect_data`; raises one of `BROKEN`."""
    times, lines = read_data(value)
    return Suspect(_numbers(times), tuple((float(when), _texts(text)) for when, text in lines))


def deferred_data(deferred: Deferred) -> Stored:
    """Write a failure of which more is to be found out, but for when it was heard."""
    failure = deferred.failure
    return data({"named": deferred.named, **_plain(failure, failure.lines)})


def read_deferred(jail: str, value: Stored, heard: float) -> Deferred:
    """Undo `deferred_data`; raises one of `BROKEN`."""
    found = read_data(value)
    ip, time, lines = read_id(found["ip"]), float(found["time"]), _texts(found["lines"])
    failure = Failure(jail, ip, time, lines, _fid(found), _groups(found))
    return Deferred(failure, bool(found["named"]), heard)


class StoredBan(NamedTuple):
    """A ban as it was stored.

    Attributes:
        unknown: its end is not known.
    """

    ban: Ban
    unknown: bool


def ban_data(ban: Ban, maxmatches: int, unknown: bool = False) -> Stored:
    """Write a ban but for its section, begin and end, with its newest lines."""
    ticket = ban.ticket
    told = {
        "count": ban.count,
        "prolonged": ban.prolonged,
        "unknown": unknown,
        "failures": ticket.failures,
        **_plain(ticket, newest(ticket.lines, maxmatches)),
    }
    return data(told)


def read_ban(jail: str, start: float, end: float | None, value: Stored) -> StoredBan:
    """Undo `ban_data`; raises one of `BROKEN`."""
    found = read_data(value)
    ip, failures, time = read_id(found["ip"]), int(found["failures"]), float(found["time"])
    lines, groups = _texts(found["lines"]), _groups(found)
    ticket = Ticket(jail, ip, failures, time, lines, _fid(found), groups)
    ban = Ban(start, end, ticket, int(found["count"]), True, bool(found["prolonged"]))
    return StoredBan(ban, bool(found["unknown"]))


def id_list(ids: Iterable[Id]) -> str:
    """Write many ids."""
    return ",".join(map(id_item, ids))


def id_items(written: str) -> list[str]:
    """Return what `id_list` wrote for each id, see `id_item`."""
    return written.split(",")


def id_item(id: Id) -> str:
    """Write an id as a part of a list: without a comma, and no other id is written alike."""
    if isinstance(id, ipaddress.IPv4Address):
        return f'"{id_key(id)!s}"'
    text = _TEXT + id if isinstance(id, str) else str(id)
    return json.dumps(text).replace(",", "\\u002c")


EventRow = tuple[float, str, Stored, Stored | None, Stored]


def event_row(event: Event) -> tuple[*EventRow, str | None]:
    """Return an event as time, kind, section, id, facts and ids."""
    who = None if event.id is None else id_key(event.id)
    many = id_list(event.ids) if event.ids else None
    return event.time, event.kind, stored(event.jail), who, data(dict(event.facts)), many


def read_event(row: EventRow) -> Event:
    """Undo `event_row`, but for the ids; raises one of `BROKEN`."""
    time, kind, jail, who, facts = row
    id = None if who is None else read_id(who)
    return Event(time, cast(Kind, kind), read(jail), id, dict(read_data(facts)))


def newest(lines: tuple[str, ...], most: int) -> tuple[str, ...]:
    """Return the last of some lines."""
    return lines[-most:] if most > 0 else ()


def _plain(what: Failure | Ticket, lines: tuple[str, ...]) -> dict[str, object]:
    """Return what a failure and a ticket have in common."""
    return {
        "ip": read(id_key(what.ip)),
        "fid": None if what.fid is None else read(id_key(what.fid)),
        "time": what.time,
        "lines": lines,
        "groups": dict(what.groups),
    }


def _fid(found: Mapping[str, Any]) -> Id | None:
    return None if found["fid"] is None else read_id(found["fid"])


def _numbers(values: list[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _texts(values: list[str]) -> tuple[str, ...]:
    if values and set(map(type, values)) != {str}:
        raise ValueError("expected texts")
    return tuple(values)


def _groups(found: Mapping[str, Any]) -> Mapping[str, Capture]:
    if found["groups"] == {}:
        return NOTHING
    return {
        name: value if isinstance(value, str) else _texts(value)
        for name, value in found["groups"].items()
    }
