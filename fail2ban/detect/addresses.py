# SPDX-License-Identifier: GPL-2.0-or-later
"""Find internet addresses in text that an attacker may have written.

Regular expressions only say where an address could stand; `ipaddress` decides
whether it is one. So a time, a MAC address, a version number or an octal octet
is never taken for an address (fail2ban-conf-0.6.md section 12, defect 20).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fail2ban.records import Address

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP = r"[0-9A-Fa-f]{1,4}"

#: Four octets; what may stand beside them is the caller's business.
IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"

#: Not in a word, nor the begin of a host name: "192.0.2.7-pool.example.net".
IPV4_END = r"(?!\w)(?!\.\w)(?!-[\w.-]{0,253}\.[A-Za-z])"

#: More than the IPv6 addresses, with their zone, but never half of one's end.
IPV6 = rf"(?:{_GROUP}:|:){{2,8}}(?:{IPV4}|{_GROUP}|(?<=::))(?:%[0-9A-Za-z_.-]*[0-9A-Za-z])?"

#: A colon before IPv6 may end a word ("ip:2001:db8::1"), but not one of its groups.
IPV6_BEGIN = r"(?<!\w)(?<!::)" + "".join(
    rf"(?<!\b[0-9A-Fa-f]{{{digits}}}:)" for digits in range(1, 5)
)
IPV6_END = rf"(?!\w)(?!::)(?!:{_GROUP}\b)"

#: A host name. The last label starts with a letter, as every top level domain
#: does: the resolver would read "127.1" or "0x7f.1" as an address.
NAME = r"(?:[0-9A-Za-z_-]+\.)*[A-Za-z](?:[0-9A-Za-z_-]*[0-9A-Za-z])?"
#: Not in the middle of a word, of a longer name, or of IPv6 ("db8" of "2001:db8::7").
NAME_BEGIN = rf"(?<![0-9A-Za-z_-])(?<!\w\.)(?<!::)(?!{_GROUP}:(?::|{_GROUP}:))" + "".join(
    rf"(?<!:[0-9A-Fa-f]{{{digits}}}:)" for digits in range(1, 5)
)
NAME_END = r"(?![\w-])(?!\.\w)"

_IPV4_IN_TEXT = rf"(?<!\w)(?<!\w\.){IPV4}{IPV4_END}"
_IPV6_IN_TEXT = rf"{IPV6_BEGIN}(?=[:A-Fa-f]*[0-9])(?:{IPV6}){IPV6_END}(?!\.\w)"
_ADDRESS = re.compile(f"{_IPV4_IN_TEXT}|{_IPV6_IN_TEXT}")
_IPV4_AT_END = re.compile(rf"(?<![0-9.]){IPV4}$")
_EUI64 = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){7}")
_LONG_NAME = re.compile(rf"{NAME_BEGIN}(?=(?:[0-9A-Za-z_-]+\.){{2}}){NAME}{NAME_END}")


class Found(NamedTuple):
    """An address and where it stands: `text[start:end]`."""

    start: int
    end: int
    ip: Address


def parse_address(text: str) -> Address | None:
    """Read a text that is an address and nothing else; None if it is not.

    Brackets and an IPv6 zone are dropped, an IPv4-mapped IPv6 address becomes
    the IPv4 address it stands for.
    """
    return _parse(text) if len(text) <= _LONGEST else None


#: "[", 45 characters of IPv6, "%", a zone, "]".
_LONGEST = 64


@lru_cache(maxsize=8192)  # an attacker comes again and again; parsing is dear
def _parse(text: str) -> Address | None:
    try:
        # Takes the same texts as `ipaddress`, in a third of the time.
        return ipaddress.IPv4Address(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        return _parse_other(text)


def _parse_other(text: str) -> Address | None:
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    try:
        ip = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def find_addresses(text: str) -> Iterator[Found]:
    """Yield the addresses in a text, from left to right.

    What is part of a longer word, number or host name is none; neither is an
    IPv6 look-alike without a decimal digit (`dead::beef`, `::`) nor a MAC
    address of eight bytes.
    """
    for candidate in _ADDRESS.finditer(text):
        ip = None if _EUI64.fullmatch(candidate[0]) else parse_address(candidate[0])
        if ip is not None:
            yield Found(candidate.start(), candidate.end(), ip)
        elif tail := _IPV4_AT_END.search(candidate[0]):
            # "16:47:48:192.0.2.7": not IPv6, but a time and an address.
            ip = ipaddress.IPv4Address(tail[0])
            yield Found(candidate.start() + tail.start(), candidate.end(), ip)


def find_name(text: str) -> str | None:
    """Return the first host name with at least two dots in a text, or None.

    Source: fail2ban-conf-0.6.md section 5, point 4.
    """
    found = _LONG_NAME.search(text)
    return found[0] if found else None
