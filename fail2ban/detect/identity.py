# SPDX-License-Identifier: GPL-2.0-or-later
"""What the groups of a pattern captured -> whom to blame, and what to count.

Source: jail-conf.md section 7.7. What only looks like an address ("300.1.1.1")
blames nobody, unless `usedns = raw` asks for texts as they are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple

from fail2ban.detect.addresses import parse_address
from fail2ban.detect.regextags import ADDRESS_GROUPS
from fail2ban.records import Address, Capture, Id, Network, UseDns

Groups = Mapping[str, Capture]

#: Groups that say together whom to blame; one line's are never mixed with another's.
WHO = (*ADDRESS_GROUPS, "cidr")


#: Characters that an id may have. Cut, it would be another.
LONGEST_ID = 1000


class NoAddress(ValueError):
    """What a pattern took for an address is none. Says what it is."""


class Identity(NamedTuple):
    """Whom a failure is of.

    Attributes:
        host: whom to blame.
        is_name: `host` is a host name that is still to be resolved.
        fid: what to count and ban instead.
    """

    host: Id
    is_name: bool = False
    fid: Id | None = None


def identify(groups: Groups, usedns: UseDns) -> Identity | None:
    """Return whom the groups name; None where they name nobody.

    Raises:
        NoAddress: they name what cannot be one.
    """
    fid, text = _text(groups, "fid"), ""
    for name in ADDRESS_GROUPS:
        if name in groups and (text := _text(groups, name)):
            break
    host = _host(text, _text(groups, "cidr"), usedns) if text else None
    if host is None:
        return Identity(_id(fid)) if fid else None
    other = _id(fid) if fid and fid != text else host
    return Identity(host, _is_name(host, usedns), None if other is host or other == host else other)


def _text(groups: Groups, name: str) -> str:
    captured = groups.get(name, "")
    return captured if isinstance(captured, str) else " ".join(captured)


def _is_name(host: Id, usedns: UseDns) -> bool:
    return isinstance(host, str) and usedns != "raw"


def _host(text: str, cidr: str, usedns: UseDns) -> Id | None:
    """Return the address, network or name; None for a name that nobody asks for."""
    if address := parse_address(text):
        return _network(address, cidr) or address
    if usedns == "raw":
        return _not_too_long(text)
    if _LOOK_ALIKE.fullmatch(text):
        raise NoAddress(f"{text!r} is no address")
    return None if usedns == "no" else text


#: No host name: its last label has no letter, or it has a colon.
_LOOK_ALIKE = re.compile(r"(?:.*\.)?[0-9]+|.*[:%\[\]].*", re.DOTALL)


def _network(address: Address, cidr: str) -> Network | None:
    """Return the network of `address`; None where `cidr` says that it is alone."""
    if not cidr.isascii() or not cidr.isdigit() or len(cidr) > 3:
        return None
    length, longest = int(cidr), address.max_prefixlen
    if longest == 32 and length > 96:
        length -= 96  # the address was written IPv4-mapped
    # Nobody is to lock out the whole world because of one line.
    if not 0 < length < longest:
        return None
    return ipaddress.ip_network((address, length), strict=False)


def _id(text: str) -> Id:
    """Read what a pattern names as an id; any text is one."""
    if address := parse_address(text):
        return address
    front, slash, cidr = text.strip("[]").partition("/")
    address = parse_address(front) if slash else None
    return (address and _network(address, cidr)) or _not_too_long(text)


def _not_too_long(text: str) -> str:
    if len(text) > LONGEST_ID:
        raise NoAddress(f"{text[:40]!r}... is too long for an id")
    return text
