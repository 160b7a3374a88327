# SPDX-License-Identifier: GPL-2.0-or-later
"""A server, one who attacks it and a neighbour who only wants to be served."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.netns import Namespace

SSH, HTTP, OTHER = 22, 80, 4711
ALL = (SSH, HTTP, OTHER)

#: Prints which ports of which hosts take a connection; tries them all at once.
_KNOCK = """
import socket, sys, threading
opened = []
def knock(host, port):
    try:
        socket.create_connection((host, int(port)), 0.5)
        opened.append(f"{host} {port}")
    except OSError:
        pass
doors = [threading.Thread(target=knock, args=door.split()) for door in sys.argv[1:]]
for door in doors:
    door.start()
for door in doors:
    door.join()
print("\\n".join(opened))
"""
#: Removes what any action may have left, in whatever state a test ended.
_CLEAN = (
    "nft flush ruleset; ipset destroy;"
    " ip route flush type unreachable; ip -6 route flush type unreachable"
)


@dataclass
class Street:
    """A server and two clients, each with an IPv4 and an IPv6 address.

    Attributes:
        doors: the server as the attacker sees it, of each family.
        attackers: the attacker, likewise.
        others: the server as the neighbour sees it.
    """

    server: Namespace
    attacker: Namespace
    neighbour: Namespace

    doors = ("192.0.2.1", "2001:db8:1::1")
    attackers = ("192.0.2.2", "2001:db8:1::2")
    others = ("198.51.100.1", "2001:db8:2::1")

    def open_to_attacker(self) -> list[list[int]]:
        """Return the ports that let the attacker in, by family."""
        return _open(self.attacker, self.doors)

    def open_to_neighbour(self) -> list[list[int]]:
        return _open(self.neighbour, self.others)

    def clean(self) -> None:
        self.server.run(_CLEAN, check=False)


@contextmanager
def built() -> Iterator[Street]:
    """Build a street whose server serves three ports."""
    with (
        Namespace("server") as server,
        Namespace("attacker") as attacker,
        Namespace("neighbour") as neighbour,
        server.echo(SSH),
        server.echo(HTTP),
        server.echo(OTHER),
    ):
        server.link(
            attacker,
            ["192.0.2.1/24", "2001:db8:1::1/64"],
            ["192.0.2.2/24", "2001:db8:1::2/64"],
        )
        server.link(
            neighbour,
            ["198.51.100.1/24", "2001:db8:2::1/64"],
            ["198.51.100.2/24", "2001:db8:2::2/64"],
        )
        # Otherwise only one refusal a second is told.
        server.run("sysctl -q net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")
        yield Street(server, attacker, neighbour)


def _open(client: Namespace, hosts: Iterable[str]) -> list[list[int]]:
    hosts = list(hosts)
    doors = [f"{host} {port}" for host in hosts for port in ALL]
    answer = client.run([sys.executable, "-IS", "-c", _KNOCK, *doors]).stdout.splitlines()
    return [[port for port in ALL if f"{host} {port}" in answer] for host in hosts]
