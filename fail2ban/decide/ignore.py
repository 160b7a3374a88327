# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is never banned: the user's list, and this host itself.

Source: jail-conf.md section 5.6.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeGuard

import ifaddr

from fail2ban.decide.hosts import OURSELVES, Hosts
from fail2ban.decide.ignorefile import IgnoreFile
from fail2ban.decide.networks import Networks
from fail2ban.records import Address, Id, IgnoreSettings, Network

log = logging.getLogger(__name__)

#: This host, whatever the configuration says.
_LOOPBACK = Networks([ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_address("::1")])

#: Seconds for which the addresses of the interfaces are believed.
OWN_ADDRESSES_AGE = 60.0

#: Seconds for which a list is believed to ignore nobody else.
VIEW_AGE = 1.0


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
        return ip in self.all()

    def all(self) -> frozenset[Address]:
        """Return them all."""
        with self._lock:
            now = self._clock()
            if self._until is None or now >= self._until:
                self._refresh()
                self._until = now + OWN_ADDRESSES_AGE
            return self._known

    def _refresh(self) -> None:
        try:
            self._known = self._look_up()
        except OSError as error:
            log.error("cannot list the addresses of this host: %s", error)


class _View(NamedTuple):
    """Whom a list ignores, as far as addresses go.

    Attributes:
        sources: what it was made of.
        awaited: a name server may know of more.
        since, until: for so long it is believed, by the list's clock.
    """

    networks: Networks = Networks()
    sources: tuple[object, ...] = ()
    awaited: bool = True
    since: float = 0.0
    until: float = 0.0


class IgnoreList:
    """Decide whether somebody is beyond suspicion; one section's, any thread.

    Args:
        jail: for messages.
        own: the addresses of this host.
        hosts: those of the host names listed.
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        jail: str,
        settings: IgnoreSettings,
        own: OwnAddresses,
        hosts: Hosts,
        ticks: Callable[[], float],
    ) -> None:
        self._own, self._hosts = own if settings.own else None, hosts
        self._networks = Networks(settings.networks)
        names = tuple(name.lower() for name in settings.names)
        self._names, self._texts = names, {*settings.texts, *settings.names}
        self._ours = (OURSELVES,) if settings.own else ()
        self._settled: list[tuple[str, ...]] = []
        self._files = [IgnoreFile(jail, path, ticks) for path in settings.files]
        self._ticks, self._view, self._revision = ticks, _View(), hosts.revision

    def clears(self, ip: Address) -> bool:
        """Tell, in no time, that an address surely is not ignored; False: ask `reason`.

        Surely means, as of a second ago: only addresses of our own may be found later,
        see `OWN_ADDRESSES_AGE`.
        """
        view = self._now()
        return not view.awaited and not view.networks.has_address(ip)

    def omits(self, ip: Address) -> bool:
        """Tell the same, whatever a name server may still have to say."""
        return not self._now().networks.has_address(ip)

    def reason(self, id: Id) -> str | None:
        """Say why `id` is ignored, or None if, as far as is known at once, it is not."""
        if isinstance(id, str):
            return self._reason_of_text(id)
        if self._is_own(id):
            return "ignoreself rule"
        if id in self._networks:
            return "ip"
        if self._has_name(id, self._names):
            return "dns"
        for file in self._files:
            listed = file.listed()
            if id in listed.networks or self._has_name(id, listed.names):
                return f"file:{file.path}"
        return None

    def awaited(self) -> bool:
        """Tell whether a name server has still to say who is listed."""
        lists = self._all_names()
        if lists != self._settled and not any([self._hosts.awaited(names) for names in lists]):
            self._settled = lists  # what was answered once is never awaited again
        return lists != self._settled

    def wait(self) -> None:
        """Wait for what is awaited; not for readers."""
        for names in self._all_names():
            self._hosts.wait(names)

    def _now(self) -> _View:
        view, now = self._view, self._ticks()
        if view.since <= now < view.until and self._revision == self._hosts.revision:
            return view
        return self._look(now)

    def _look(self, now: float) -> _View:
        """Put together whom the list ignores now; with many failures, once a second."""
        self._revision = self._hosts.revision  # first: an answer may come meanwhile
        own = frozenset[Address]() if self._own is None else self._own.all()
        listed = [file.listed() for file in self._files]
        names = [name for some in self._all_names() for name in some]
        named = self._hosts.addresses(names)
        sources, view = (own, named, *listed), self._view
        if view.sources != sources:
            networks = Networks([*own, *named]) | _LOOPBACK | self._networks
            for one in listed:
                networks |= one.networks
            view = view._replace(networks=networks, sources=sources)
        until = min([now + VIEW_AGE, *(file.due for file in self._files)])
        self._view = view = view._replace(awaited=self.awaited(), since=now, until=until)
        return view

    def _all_names(self) -> list[tuple[str, ...]]:
        lists = [self._ours + self._names, *(file.listed().names for file in self._files)]
        return [names for names in lists if names]

    def _reason_of_text(self, id: str) -> str | None:
        if id in self._texts:
            return "ip"
        found = (file for file in self._files if id in file.listed().texts)
        return next((f"file:{file.path}" for file in found), None)

    def _is_own(self, id: Address | Network) -> bool:
        if id in _LOOPBACK:
            return True
        if self._own is not None and _is_address(id) and id in self._own:
            return True
        return self._has_name(id, self._ours)

    def _has_name(self, id: Address | Network, names: tuple[str, ...]) -> bool:
        return bool(names) and _is_address(id) and self._hosts.have(names, id)


def _is_address(id: Address | Network) -> TypeGuard[Address]:
    return not isinstance(id, ipaddress.IPv4Network | ipaddress.IPv6Network)
