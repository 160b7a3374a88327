# SPDX-License-Identifier: GPL-2.0-or-later
"""When an address entered a set of the kernel: what `nft monitor` shows, with times.

The kernel tells whoever listens on a netlink socket; a thread notes when each message
came, and what is in it is looked at later.
Source: linux/netfilter/nf_tables.h, nfnetlink.h and netlink(7).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import time
from collections.abc import Iterator

from bench.proc import Failed

_NETLINK_NETFILTER, _GROUP_NFTABLES = 12, 7
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_NEW_ELEMENTS = 10 << 8 | 12  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWSETELEM
_ELEMENTS, _ELEMENT, _KEY, _VALUE = 3, 1, 1, 1
_HEADER, _GENERIC = 16, 4
_BUFFER = 256 << 20


class Elements:
    """Addresses that enter sets of this network namespace, from now on.

    A context manager. `seen` knows when each came first, by `time.monotonic`.

    Raises:
        OSError: we may not listen.
    """

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self._messages: list[tuple[float, bytes]] = []
        self._came = threading.Condition()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        # A storm must not overrun us: what is lost would count as never banned.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_NFTABLES)
        self._socket.settimeout(0.2)
        self._stop = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._listen, name="netlink")

    def __enter__(self) -> Elements:
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._stop = True
        self._thread.join()
        self._socket.close()

    def forget(self) -> None:
        """Forget what was seen so far."""
        self._look()
        self.seen.clear()

    def when(self, ip: str, patience: float) -> float | None:
        """Wait for an address; return when it came, None: not within `patience` seconds."""
        deadline = time.monotonic() + patience
        while ip not in self.seen:
            self._look()
            with self._came:
                left = deadline - time.monotonic()
                if ip not in self.seen and left <= 0:
                    return None
                if not self._messages:
                    self._came.wait(min(left, 0.5) if left > 0 else 0)
        return self.seen[ip]

    def count(self, wanted: int, patience: float, calm: float = 0.05) -> int:
        """Wait until so many addresses have come, or no longer; return how many have."""
        deadline = time.monotonic() + patience
        while True:
            self._look()
            if len(self.seen) >= wanted or time.monotonic() >= deadline:
                return len(self.seen)
            time.sleep(calm)

    def _listen(self) -> None:
        while not self._stop:
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                continue
            except OSError as error:
                self._error = error
                return
            now = time.monotonic()
            with self._came:
                self._messages.append((now, data))
                self._came.notify_all()

    def _look(self) -> None:
        """Note what has come.

        Raises:
            Failed: the kernel told more than we could take, or we cannot listen any more.
        """
        if self._error is not None:
            raise Failed(f"not all is known that the kernel told: {self._error}")
        with self._came:
            messages, self._messages = self._messages, []
        for moment, data in messages:
            for ip in addresses(data):
                self.seen.setdefault(ip, moment)


def addresses(data: bytes) -> Iterator[str]:
    """Yield the addresses that enter a set, of the messages of one datagram."""
    position = 0
    while position + _HEADER <= len(data):
        length, kind = struct.unpack_from("=IH", data, position)
        if length < _HEADER:
            return
        if kind == _NEW_ELEMENTS:
            begin = position + _HEADER + _GENERIC
            yield from _keys(data[begin : position + length])
        position += _aligned(length)


def _keys(data: bytes) -> Iterator[str]:
    for list_kind, elements in _attributes(data):
        if list_kind != _ELEMENTS:
            continue
        for _, element in _attributes(elements):
            for kind, key in _attributes(element):
                if kind != _KEY:
                    continue
                for _, value in _attributes(key):
                    if len(value) in (4, 16):
                        yield str(ipaddress.ip_address(value))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            return
        yield kind & 0x3FFF, data[position + 4 : position + length]
        position += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
