# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts for tests: network namespaces of the kernel, joined by virtual cables.

What runs in one has its own addresses, firewall and connections; the machine's
own are out of reach. Needs root and `ip` (iproute2):

    with Namespace("server") as server, Namespace("client") as client:
        server.link(client, ["192.0.2.1/24"], ["192.0.2.2/24"])
        with server.echo(22):
            assert client.reaches("192.0.2.1", 22)
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.needs import PATH

Command = str | Sequence[str]  # a text is for /bin/sh

_numbers = itertools.count()

#: Answers every line on a port of all addresses with the same line.
_ECHO = """
import socket, sys, threading
def serve(peer):
    with peer, peer.makefile("rwb", 0) as stream:
        for line in stream:
            stream.write(line)
server = socket.create_server(
    ("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

#: Says "open" once connected, then sends each line it is given and prints the
#: answer, or "nothing" if none comes in time.
_TALK = """
import socket, sys
host, port, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
try:
    peer = socket.create_connection((host, port), patience)
    print("open", flush=True)
    for line in sys.stdin.buffer:
        peer.sendall(line)
        print(peer.recv(100).decode().strip(), flush=True)
except OSError:
    print("nothing", flush=True)
"""


class Conversation:
    """A connection that stays open while the test goes on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.is_open = self._answer() == "open"

    def say(self, word: str) -> str:
        """Send a word; return the answer, "nothing" if none comes in time."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return "nothing"
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip() or "nothing"


class Namespace:
    """One host. A context manager: on leaving, its processes end and it is gone.

    Args:
        hint: part of the name, to recognise it in the output of `ip netns`.
    """

    def __init__(self, hint: str = "host") -> None:
        self.name = f"f2b-{hint}-{os.getpid()}-{next(_numbers)}"
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Namespace:
        _ip("netns", "add", self.name)
        try:
            self.run("ip link set lo up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ignored: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        # What a daemon left behind would keep the namespace alive.
        left = subprocess.run(
            ["ip", "netns", "pids", self.name], env=_environment(), capture_output=True, text=True
        ).stdout
        for pid in left.split():
            subprocess.run(["kill", "-KILL", pid], stderr=subprocess.DEVNULL, check=False)
        _ip("netns", "delete", self.name)

    def link(self, other: Namespace, ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, str]:
        """Lay a cable; return the names of our interface and theirs.

        Args:
            ours, theirs: addresses with prefix, as in "192.0.2.1/24".
        """
        number = f"{os.getpid() % 1_000_000}-{next(_numbers)}"
        here, there = f"v{number}a"[:15], f"v{number}b"[:15]
        _ip(
            *("link", "add", here, "netns", self.name, "type", "veth"),
            *("peer", "name", there, "netns", other.name),
        )
        for host, device, addresses in ((self, here, ours), (other, there, theirs)):
            # Usable at once, without a second of asking for duplicates.
            host.run(f"echo 0 > /proc/sys/net/ipv6/conf/{device}/accept_dad")
            for address in addresses:
                host.run(f"ip address add {address} dev {device}")
            host.run(f"ip link set {device} up")
        return here, there

    def run(
        self,
        command: Command,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; its output is captured.

        Raises:
            AssertionError: it failed, and `check` is set; shows what it printed.
        """
        done = subprocess.run(
            self._inside(command),
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(
        self, command: Command, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command that goes on; killed with the namespace at the latest.

        Its input, output and errors (mixed into the output) are pipes of text.
        """
        process = subprocess.Popen(
            self._inside(command),
            env=_environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        return process

    @contextmanager
    def echo(self, port: int) -> Iterator[None]:
        """Serve a TCP port on all addresses, IPv4 and IPv6."""
        process = self.popen([sys.executable, "-c", _ECHO, str(port)])
        assert process.stdout is not None
        started = process.stdout.readline().strip()
        assert started == "ready", started + process.stdout.read()
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def talk(self, host: str, port: int, patience: float = 1.0) -> Conversation:
        """Open a connection; each answer is waited for `patience` seconds."""
        command = [sys.executable, "-c", _TALK, host, str(port), str(patience)]
        return Conversation(self.popen(command))

    def reaches(self, host: str, port: int, patience: float = 1.0) -> bool:
        """Tell whether a new connection comes about within `patience` seconds."""
        return self.talk(host, port, patience).is_open

    def _inside(self, command: Command) -> list[str]:
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        return ["ip", "netns", "exec", self.name, *words]


def _environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PATH": PATH, **(added or {})}


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], env=_environment(), check=True)
