# SPDX-License-Identifier: GPL-2.0-or-later
"""A set of networks that answers at once, however many there are."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from fail2ban.records import Address, Network


class Networks:
    """Addresses and networks, looked up by each length of prefix that occurs."""

    def __init__(self, members: Iterable[Network | Address] = ()) -> None:
        # (version, bits that do not count) -> the other bits of each network
        self._prefixes: dict[tuple[int, int], set[int]] = {}
        for member in members:
            start, spare = _split(member)
            self._prefixes.setdefault((member.version, spare), set()).add(start >> spare)

    def __contains__(self, id: Network | Address) -> bool:
        """Tell whether an address, or the whole of a network, lies in one of them."""
        start, width = _split(id)
        return any(
            version == id.version and spare >= width and start >> spare in prefixes
            for (version, spare), prefixes in self._prefixes.items()
        )


def _split(id: Network | Address) -> tuple[int, int]:
    """Return the first address as a number, and how many bits may differ from it."""
    if isinstance(id, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return int(id.network_address), id.max_prefixlen - id.prefixlen
    return int(id), 0
