# SPDX-License-Identifier: GPL-2.0-or-later
"""One row of Fail2Ban's own database -> the ban that it tells of.

Source: jail-conf.md sections 10.2 and 10.4.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import locale
from collections.abc import Mapping
from typing import Any, NamedTuple

from fail2ban.ledger import Record
from fail2ban.records import Address, Ban, Capture, Id, Ticket

#: Lengths that are none.
PERMANENT, UNKNOWN = -1, -2


class Found(NamedTuple):
    """A ban of such a database.

    Attributes:
        unknown: its length is not known; its end is its begin then.
    """

    ban: Ban
    unknown: bool

    def record(self, age: float) -> Record:
        """Return what counts when the id is banned again, kept as jail-conf.md 10.4 says."""
        ban = self.ban
        until = None if ban.end is None else ban.start + 3 * (ban.end - ban.start) + age
        return Record(ban.count, ban.start, until)


def read_row(
    jail: bytes, id: bytes, start: float, length: float, count: int, data: bytes | None
) -> Found:
    """Return the ban of a row; raises one of `BROKEN`."""
    begin, seconds, unknown = float(start), float(length), length <= UNKNOWN
    end = None if length == PERMANENT else begin if unknown else begin + seconds
    known = _details(data)
    groups = _groups(known)
    ip, fid = _whom(_id(_text(id)), groups)
    ticket = Ticket(
        jail=_text(jail),
        ip=ip,
        failures=_failures(known),
        time=begin,
        lines=tuple(_line(line) for line in _list(known.get("matches"))),
        fid=fid,
        groups=groups,
    )
    return Found(Ban(begin, end, ticket, max(1, int(count)), restored=True), unknown)


def _text(value: bytes) -> str:
    """Decode a text: UTF-8, or what the locale says, as whoever wrote it did."""
    for encoding in ("utf-8", locale.getpreferredencoding(False)):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode(encoding)
    return value.decode("utf-8", "replace")


def _details(data: bytes | None) -> dict[str, Any]:
    """Return the lines and captures of a ban; without them it is still a ban."""
    try:
        found = json.loads(_text(data or b""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _failures(known: Mapping[str, Any]) -> int:
    found = known.get("failures")
    return found if isinstance(found, int) and 0 <= found < 1 << 63 else 0


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(value: object) -> str:
    """Return a line, which may be in three parts: before its date, the date, and the rest."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _groups(known: Mapping[str, Any]) -> dict[str, Capture]:
    groups: dict[str, Capture] = {}
    for name, value in known.items():
        if name in ("matches", "failures") or value is None:
            continue
        groups[name] = tuple(map(_line, value)) if isinstance(value, list) else str(value)
    return groups


def _whom(id: Id, groups: Mapping[str, Capture]) -> tuple[Id, Id | None]:
    """Return the address and, where it is not banned itself, what is."""
    if isinstance(id, str):
        for name in ("ip4", "ip6"):
            if (ip := _address(str(groups.get(name, "")))) is not None:
                return ip, id
    return id, None


def _id(text: str) -> Id:
    if "/" in text:
        with contextlib.suppress(ValueError):
            return ipaddress.ip_network(text, strict=False)
    ip = _address(text)
    return text if ip is None else ip


def _address(text: str) -> Address | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
