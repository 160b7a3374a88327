# SPDX-License-Identifier: GPL-2.0-or-later
"""Trees of configuration for the real daemon, and the logs that its jails read.

    site = Site(tmp_path)
    site.put("jail.conf", site.jail("web", maxretry="2"))
    with site.running() as daemon:
        site.attack("203.0.113.1", "web", times=2)
        daemon.wait_for(banned("web", "203.0.113.1"))

The daemon's log is a file, so that its lines are those of a real one.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.e2e.daemon import SERVER, RunningDaemon, wait_until
from tests.netns import Namespace

ATTACKER, OTHER, THIRD = "203.0.113.1", "198.51.100.7", "2001:db8::3"

#: Keeps every file of the daemon below the test's folder.
FAIL2BAN_CONF = """\
[Definition]
loglevel = INFO
logtarget = {root}/fail2ban.log
pidfile = {root}/fail2ban.pid
socket = {root}/fail2ban.sock
dbfile = {root}/fail2ban.sqlite3
"""

#: Finds what `Site.attack` writes.
PLAIN = """\
[Definition]
failregex = ^ host service: failed login of .* from <HOST>$
"""

#: Writes down what it is asked for; needs no firewall.
NOTE = """\
[Definition]
actionstart = echo start <name> >> {root}/out
actionstop = echo stop <name> >> {root}/out
actionban = echo ban <name> <ip> >> {root}/out
actionunban = echo unban <name> <ip> >> {root}/out
"""


class Site:
    """A folder with a tree, the logs of its jails, and the notes of its actions.

    Attributes:
        tree: the folder of the configuration, with filter `plain` and action `note`.
        logfile: the daemon's own log.

    Args:
        source: the tree of which this is a copy; None: it has only what is told above.
    """

    def __init__(self, root: Path, source: Path | None = None) -> None:
        self.root, self.tree = root, root / "fail2ban"
        self.out, self.logfile = root / "out", root / "fail2ban.log"
        self.out.touch()
        if source is not None and source != self.tree:
            shutil.copytree(source, self.tree)
        self.put("fail2ban.local" if source else "fail2ban.conf", FAIL2BAN_CONF)
        self.put("filter.d/plain.conf", PLAIN)
        self.put("action.d/note.conf", NOTE)

    def put(self, name: str, text: str) -> None:
        """Write a file of the tree; `{root}` in it becomes the test's folder.

        A daemon that is about to read it sees the old or the new one.
        """
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text.replace("{root}", str(self.root)), encoding="utf-8")
        new.replace(path)

    def jails(self, *sections: str, name: str = "jail.conf") -> None:
        """Write the jails; each is what `jail` returns, or a text of the language."""
        self.put(name, "\n".join(sections))

    def jail(self, name: str, **options: str) -> str:
        """Return a section that reads NAME.log with `plain` and takes a `note` of a ban.

        Args:
            options: besides, or instead; `bantime__increment` stands for `bantime.increment`.
        """
        self.log(name).touch()
        given = {key.replace("__", "."): value for key, value in options.items()}
        usual = {
            "enabled": "true",
            "filter": "plain",
            "logpath": str(self.log(name)),
            "maxretry": "1",
            "action": "note",
        }
        lines = [f"{key} = {value}" for key, value in {**usual, **given}.items()]
        return "\n".join([f"[{name}]", *lines, ""])

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def attack(self, ip: str, jail: str, times: int = 1, age: float = 0.0) -> None:
        """Log failures in the log of a jail; `age` in seconds."""
        self.write(jail, *[f"host service: failed login of root from {ip}"] * times, age=age)

    def write(self, jail: str, *messages: str | bytes, age: float = 0.0) -> None:
        """Log messages, each with the moment before it."""
        moment = time.strftime("%b %d %H:%M:%S", time.localtime(time.time() - age))
        with self.log(jail).open("ab") as log:
            for message in messages:
                data = message if isinstance(message, bytes) else message.encode()
                log.write(moment.encode() + b" " + data + b"\n")

    def notes(self) -> list[str]:
        return self.out.read_text().splitlines()

    def wait_for(self, *notes: str) -> None:
        """Wait until all of these notes have been made."""
        wait_until(
            lambda: all(note in self.notes() for note in notes),
            explain=lambda: f"{notes}: {self.notes()}\n{self.logfile.read_text()}",
        )

    def running(
        self,
        *flags: str,
        namespace: Namespace | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> RunningDaemon:
        """Return `fail2ban-server` in the foreground, to be entered."""
        return RunningDaemon(
            self.root,
            self.tree,
            "-xf",
            *flags,
            namespace=namespace,
            program=SERVER,
            logfile=self.logfile,
            environment=environment,
        )


def banned(jail: str, ip: str) -> str:
    """Return a pattern of the daemon's message about a ban."""
    return _notice(jail, f"Ban {re.escape(ip)}")


def unbanned(jail: str, ip: str) -> str:
    return _notice(jail, f"Unban {re.escape(ip)}")


def _notice(jail: str, text: str) -> str:
    return rf"fail2ban\.actions +\[\d+\]: NOTICE  \[{re.escape(jail)}\] {text}$"


@dataclass(frozen=True)
class Network:
    """This machine, 192.0.2.2 and 2001:db8::2, and two clients in networks of their own."""

    server: Namespace
    attacker: Namespace
    friend: Namespace

    #: Addresses: of the server, of the attacker, of the friend.
    ours = ("192.0.2.2", "2001:db8::2")
    bad = ("203.0.113.5", "2001:db8:a::5")
    good = ("198.51.100.5", "2001:db8:b::5")


@contextmanager
def network() -> Iterator[Network]:
    with Namespace("server") as server, Namespace("bad") as bad, Namespace("good") as good:
        for address in Network.ours:
            server.run(f"ip address add {address} dev lo")
        _connect(server, bad, ("203.0.113.1", "2001:db8:a::1"), Network.bad)
        _connect(server, good, ("198.51.100.1", "2001:db8:b::1"), Network.good)
        yield Network(server, bad, good)


def _connect(
    server: Namespace, client: Namespace, ours: tuple[str, str], theirs: tuple[str, str]
) -> None:
    prefixes = (24, 64)
    server.link(client, *(_with_prefixes(side, prefixes) for side in (ours, theirs)))
    for address in ours:
        client.run(f"ip route add default via {address}")


def _with_prefixes(addresses: tuple[str, str], prefixes: tuple[int, int]) -> list[str]:
    return [f"{ip}/{bits}" for ip, bits in zip(addresses, prefixes, strict=True)]
