# SPDX-License-Identifier: GPL-2.0-or-later
"""A database that the peer has written by itself is taken over."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from fail2ban.records import StoreSettings
from fail2ban.store import Store
from tests.compat.peer import Peer
from tests.e2e.daemon import SERVER, RunningDaemon

NETWORK = "198.51.100.0/24"

_DAEMON = """\
[Definition]
loglevel = INFO
logtarget = {folder}/own.log
syslogsocket = auto
socket = {folder}/socket
pidfile = {folder}/pid
dbfile = {folder}/db
dbmaxmatches = 2
dbpurgeage = 1d
"""
# `short` bans for longer than the peer may take to see a line: what is over by then is no ban.
_JAILS = """\
[one]
enabled = true
backend = polling
filter = one
logpath = {folder}/log
maxretry = 3
findtime = 600
bantime = 2h
action =

[short]
enabled = true
backend = polling
filter = one
logpath = {folder}/short
maxretry = 1
bantime = 6
action =

[forever]
enabled = true
backend = polling
filter = one
logpath = {folder}/nothing
bantime = -1
action =
"""
_FILTER = r"""[Definition]
failregex = ^ failed for <F-USER>\S+</F-USER> from <HOST>$
datepattern = ^EPOCH
"""


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def fail(log: Path, ip: str) -> None:
    with log.open("a") as file:
        file.write(f"{int(time.time())} failed for root from {ip}\n")


@pytest.fixture
def folder(peer: Peer, tmp_path: Path) -> Iterator[Path]:
    """Let the peer ban by itself and by hand, and end."""
    tree = tmp_path / "tree"
    (tree / "filter.d").mkdir(parents=True)
    for name, text in (
        ("fail2ban.conf", _DAEMON.format(folder=tmp_path)),
        ("jail.conf", _JAILS.format(folder=tmp_path)),
        ("filter.d/one.conf", _FILTER),
    ):
        (tree / name).write_text(text)
    log = tmp_path / "log"
    for name in ("log", "short", "nothing"):
        (tmp_path / name).touch()
    programs = peer.root / "usr/bin"
    environment = {**os.environ, "PYTHONPATH": str(peer.packages)}

    def say(*words: str) -> str:
        command = [peer.python, str(programs / "fail2ban-client"), "-c", str(tree), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.stdout

    command = [peer.python, str(programs / "fail2ban-server"), "-c", str(tree), "-xf", "start"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as server:
        try:
            wait_until(lambda: "pong" in say("ping"))
            now = int(time.time())
            with log.open("a") as file:
                for number in range(3):
                    file.write(f"{now} failed for user{number} from 192.0.2.1\n")
            fail(tmp_path / "short", "192.0.2.9")
            wait_until(lambda: "Total banned:\t1" in say("status", "short"))
            wait_until(lambda: "Currently banned:\t0" in say("status", "short"))
            say("set", "forever", "banip", "2001:db8::1", NETWORK)
            wait_until(lambda: "192.0.2.1" in say("get", "one", "banip"))
            wait_until(lambda: NETWORK in say("get", "forever", "banip"))
        finally:
            server.terminate()
    yield tmp_path


def test_what_the_peer_has_banned_is_banned(folder: Path) -> None:
    before = (folder / "db").read_bytes()
    store = Store(StoreSettings(str(folder / "db")))
    store.open()
    assert store.health().file == str(folder / "db.store")
    (ban,) = store.load("one").bans
    assert ban.id == ip_address("192.0.2.1")
    assert (ban.end, ban.count, ban.ticket.failures) == (ban.start + 7200, 1, 3)
    lines = [line.partition(" ")[2] for line in ban.ticket.lines]
    assert lines == ["failed for user1 from 192.0.2.1", "failed for user2 from 192.0.2.1"]
    assert ban.ticket.groups["user"] == "user0"  # the first, as the peer has it
    forever = {ban.id: ban.end for ban in store.load("forever").bans}
    assert forever == {ip_address("2001:db8::1"): None, ip_network(NETWORK): None}
    counted = {(jail, id): record.bans for jail, id, record in store.records()}
    assert counted["one", ip_address("192.0.2.1")] == 1
    store.close()
    assert (folder / "db").read_bytes() == before


def test_our_daemon_goes_on_with_the_tree_and_the_database_of_the_peer(folder: Path) -> None:
    before = (folder / "db").read_bytes()
    (folder / "tree/jail.local").write_text("[DEFAULT]\nbantime.increment = true\n")
    logfile = folder / "own.log"
    with RunningDaemon(folder, folder / "tree", "-xf", program=SERVER, logfile=logfile) as daemon:
        daemon.wait_for(r"took over from .*: 3 ban\(s\) in force, 4 in all")
        for jail, id in (("one", "192.0.2.1"), ("forever", "2001:db8::1"), ("forever", NETWORK)):
            daemon.wait_for(rf"NOTICE +\[{jail}\] Restore Ban {id}$")
        fail(folder / "short", "192.0.2.9")
        daemon.wait_for(r"\[short\] Increase Ban 192.0.2.9 \(2 # 12s")
        daemon.kill9()
        daemon.start()
        daemon.wait_for(r"NOTICE +\[one\] Restore Ban 192.0.2.1$", times=2)
        assert daemon.stop() == 0
        assert daemon.count("took over from") == 1
    assert (folder / "db").read_bytes() == before
