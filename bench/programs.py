# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemons that are measured, ours and the peer's, each with a folder of its own.

Ours runs the very tree that the peer runs, with the peer's unmodified filters and actions,
and besides, as "classic", the shipped sample for nftables in the language of 0.6.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import proc
from bench.peers import Peers
from bench.proc import Failed

#: Seconds that a start or an end may take where nothing else is said.
PATIENCE = 60.0
#: Seconds between two looks at a daemon's log.
LOOK = 0.01

_FAIL2BAN_CONF = """\
[Definition]
loglevel = INFO
logtarget = {folder}/daemon.log
syslogsocket = auto
socket = {folder}/daemon.sock
pidfile = {folder}/daemon.pid
dbfile = {folder}/daemon.sqlite3
dbpurgeage = 1d
dbmaxmatches = 10
allowipv6 = auto
"""
_NO_COMMANDS = "fwstart =\nfwend =\nfwcheck =\nfwban =\nfwunban =\n"


@dataclass(frozen=True)
class Contender:
    """A program, by the name that tables show.

    Attributes:
        kind: "tree" and "classic" are ours, by the language of the configuration.
        backend: the peer's way to wait for lines.
    """

    name: str
    kind: str
    backend: str = "polling"


OURS = Contender("ours", "tree")
CLASSIC = Contender("ours, classic file", "classic")
PEER = Contender("fail2ban", "peer", "pyinotify")
POLLING = Contender("fail2ban, polling", "peer", "polling")


@dataclass(frozen=True)
class JailSpec:
    """A section to run.

    Attributes:
        bans: with nftables; else nothing is done about attackers.
    """

    name: str
    log: Path
    filter: str = "sshd"
    maxretry: int = 1
    bans: bool = True


class Running:
    """A daemon; a context manager that ends it.

    Attributes:
        pid: its process; log: what it has written.
        ready_after: seconds from its start until it said that it runs.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, ready: str
    ) -> None:
        self.log, self._folder = folder / "daemon.log", folder
        self.log.write_bytes(b"")
        self._seen, self._tail = 0, ""
        self._console = open(folder / "console", "wb")
        self.begin = time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        self.pid = self._process.pid
        self._ready = ready
        self.ready_after = 0.0

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *ignored: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._console.close()

    def wait_ready(self, patience: float = PATIENCE) -> Running:
        """Wait until it says that it runs."""
        self.wait_for(self._ready, patience)
        self.ready_after = time.monotonic() - self.begin
        return self

    def wait_for(self, pattern: str, patience: float = PATIENCE, times: int = 1) -> None:
        """Wait until its log has a pattern so many times, counted from the last match on.

        Raises:
            Failed: it has not in `patience` seconds, or the daemon has ended.
        """
        wanted, deadline, left = re.compile(pattern), time.monotonic() + patience, times
        while True:
            alive = self._process.poll() is None
            for line in self._new_lines():
                left -= wanted.search(line) is not None
            if left <= 0:
                return
            if not alive or time.monotonic() > deadline:
                raise Failed(f"{pattern}: not in {patience:g} s\n{self._last_words()}")
            time.sleep(LOOK)

    def stop(self, patience: float = PATIENCE) -> float | None:
        """Ask it to end; return the seconds until it had, None: it had to be killed."""
        begin = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None
        return time.monotonic() - begin

    def cpu(self) -> float:
        """Return the seconds of processor time it has used."""
        return proc.cpu(self.pid)

    def _new_lines(self) -> Iterable[str]:
        with self.log.open("rb") as log:
            log.seek(self._seen)
            data = log.read()
        self._seen += len(data)
        *lines, self._tail = (self._tail + data.decode(errors="replace")).split("\n")
        return lines

    def _last_words(self) -> str:
        console = (self._folder / "console").read_text(errors="replace")
        return "\n".join((console + self.log.read_text(errors="replace")).splitlines()[-15:])


@dataclass(frozen=True)
class Stage:
    """Where daemons are started.

    Attributes:
        ours: a checkout of our program; peers: the others.
        folder: for what they need; each gets one below, by its name.
    """

    ours: Path
    peers: Peers
    folder: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    def place(self, contender: Contender) -> Path:
        """Return the folder of a program; its database and socket are there."""
        return self.folder / re.sub(r"\W+", "-", contender.name)

    def fresh(self, contender: Contender) -> Path:
        """Return the folder of a program that remembers nothing."""
        folder = self.place(contender)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def configure(self, contender: Contender, jails: Sequence[JailSpec]) -> Path:
        """Write a configuration; return its path."""
        folder = self.place(contender)
        if contender.kind == "classic":
            return write_classic(self.ours / "config/fail2ban.conf.nftables", folder, jails)
        return write_tree(self.peers.tree, folder, jails, contender.backend)

    def start(self, contender: Contender, jails: Sequence[JailSpec]) -> Running:
        """Start a daemon; it is not ready yet."""
        config, folder = self.configure(contender, jails), self.place(contender)
        (folder / "daemon.sock").unlink(missing_ok=True)
        if contender.kind == "peer":
            command = [*self.peers.program("fail2ban-server"), "-c", str(config), "-xf", "start"]
            return Running(command, self.peers.environment, folder, r"Jail '\S+' started")
        name = "fail2ban" if contender.kind == "classic" else "fail2ban-server"
        command = [sys.executable, str(self.ours / "bin" / name), "-c", str(config)]
        command += ["-p", str(folder / "daemon.pid")]
        command += ["-v"] if contender.kind == "classic" else ["-xf"]
        return Running(command, self.environment, folder, r"is running$")

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make Python run our code."""
        return {"PYTHONPATH": str(self.ours), **self.extra}


def write_tree(source: Path, folder: Path, jails: Sequence[JailSpec], backend: str) -> Path:
    """Write a tree with the filters and actions of `source`, as they are; return its path."""
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    for name in ("filter.d", "action.d"):
        link = tree / name
        if not link.is_symlink():
            link.symlink_to(source / name)
    (tree / "fail2ban.conf").write_text(_FAIL2BAN_CONF.format(folder=folder))
    lines = [
        *("[DEFAULT]", "enabled = true", "findtime = 1d", "bantime = 1d", "usedns = no"),
        *("ignoreip =", "ignoreself = true", f"backend = {backend}", ""),
    ]
    for jail in jails:
        lines += [f"[{jail.name}]", f"filter = {jail.filter}", f"logpath = {jail.log}"]
        lines += [f"maxretry = {jail.maxretry}"]
        lines += ["action = nftables[type=multiport, port=22]" if jail.bans else "action =", ""]
    (tree / "jail.conf").write_text("\n".join(lines))
    return tree


def write_classic(sample: Path, folder: Path, jails: Sequence[JailSpec]) -> Path:
    """Write the shipped sample with other logs and limits; return its path.

    Raises:
        Failed: the sample does not look as expected.
    """
    text = sample.read_text(encoding="utf-8")
    head, _, _ = text.partition("\n[MAIL]\n")
    section = re.search(r"^\[SSH\]\n(?:[a-z ].*\n)+", text, re.MULTILINE)
    if not section:
        raise Failed(f"{sample} has no section [SSH]")
    values = {
        "findtime": "1d",
        "bantime": "1d",
        "dbfile": f"{folder}/daemon.sqlite3",
        "socket": f"{folder}/daemon.sock",
        "logtargets": f"{folder}/daemon.log",
    }
    for option, value in values.items():
        line = f"{option} = {value}".replace("\\", r"\\")
        head, count = re.subn(rf"^{option} *=.*$", line, head, flags=re.MULTILINE)
        if count != 1:
            raise Failed(f"{sample}: {option} is there {count} times")
    path = folder / "fail2ban.conf"
    path.write_text("\n".join([head, *(_classic_section(section[0], jail) for jail in jails)]))
    return path


def _classic_section(shipped: str, jail: JailSpec) -> str:
    """Return the section [SSH] under another name, with another log."""
    text = shipped.replace("[SSH]", f"[{jail.name}]", 1)
    text = re.sub(
        r"^logfile =.*\n(?: +/.*\n)*", f"logfile = {jail.log}\n", text, flags=re.MULTILINE
    )
    return f"{text}maxfailures = {jail.maxretry}\n{'' if jail.bans else _NO_COMMANDS}"
