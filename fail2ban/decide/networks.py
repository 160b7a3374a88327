# SPDX-License-Identifier: GPL-2.0-or-later
"""A set of networks that answers at once, however many there are."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from fail2ban.records import Address, Network


class Networks:
    """Addresses and networks, looked up by each length of prefix that occurs."""

    def __init__(self, members: Iterable[Network | Address] = ()) -> None:
        # By version: bits that do not count -> the other bits of each network.
        self._prefixes: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for member in members:
            start, spare = _split(member)
            self._prefixes[member.version].setdefault(spare, set()).add(start >> spare)

    def __contains__(self, id: Network | Address) -> bool:
        """Tell whether an address, or the whole of a network, lies in one of them."""
        start, width = _split(id)
        for spare, prefixes in self._prefixes[id.version].items():
            if start >> spare in prefixes and spare >= width:
                return True
        return False

    def has_address(self, ip: Address) -> bool:
        """Tell the same of an address, in less time."""
        start, version = int(ip), 4 if isinstance(ip, ipaddress.IPv4Address) else 6
        for spare, prefixes in self._prefixes[version].items():
            if start >> spare in prefixes:
                return True
        return False

    def __or__(self, other: Networks) -> Networks:
        """Return the members of both."""
        both = Networks()
        for one in (self, other):
            for version, by_spare in one._prefixes.items():
                known = both._prefixes[version]
                for spare, prefixes in by_spare.items():
                    known[spare] = known.get(spare, set()) | prefixes
        return both


def _split(id: Network | Address) -> tuple[int, int]:
    """Return the first address as a number, and how many bits may differ from it."""
    if isinstance(id, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return int(id.network_address), id.max_prefixlen - id.prefixlen
    return int(id), 0
