# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is never banned: the user's list, and this host itself."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Iterable

import ifaddr

from fail2ban.records import Address, Network

log = logging.getLogger(__name__)

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)

#: Seconds for which the addresses of the interfaces are believed.
OWN_ADDRESSES_AGE = 60.0


def interface_addresses() -> frozenset[Address]:
    """Return the addresses of all interfaces of this host.

    Raises:
        OSError: the kernel does not tell.
    """
    return frozenset(
        ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    )


class OwnAddresses:
    """The addresses of this host, looked up again when they have grown old.

    Any thread may ask.

    Args:
        clock: seconds; only differences count.
        look_up: returns them all; may raise OSError.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        look_up: Callable[[], frozenset[Address]] = interface_addresses,
    ) -> None:
        self._clock, self._look_up = clock, look_up
        self._known: frozenset[Address] = frozenset()
        self._until: float | None = None
        self._lock = threading.Lock()

    def __contains__(self, ip: Address) -> bool:
        with self._lock:
            now = self._clock()
            if self._until is None or now >= self._until:
                self._refresh()
                self._until = now + OWN_ADDRESSES_AGE
            return ip in self._known

    def _refresh(self) -> None:
        try:
            self._known = self._look_up()
        except OSError as error:
            log.error("cannot list the addresses of this host: %s", error)


class IgnoreList:
    """Decide whether an address is beyond suspicion.

    Args:
        networks: the user's `ignoreip`.
        own: the addresses of this host.
    """

    def __init__(self, networks: Iterable[Network], own: OwnAddresses) -> None:
        self._networks, self._own = (*_LOOPBACK, *networks), own

    def reason(self, ip: Address) -> str | None:
        """Say why `ip` is ignored, or None if it is not."""
        for network in self._networks:
            if ip in network:
                return f"in {network}"
        return "an address of this host" if ip in self._own else None
