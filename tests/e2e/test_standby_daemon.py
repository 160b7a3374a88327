# SPDX-License-Identifier: GPL-2.0-or-later
"""The real daemon and a real kernel: lone bans by an `nft` that stands by, and many at once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import PROGRAM, RunningDaemon, wait_until
from tests.netns import Namespace

pytestmark = [needs.root(), needs.programs("ip", "nft")]

CLIENT = PROGRAM.with_name("fail2ban-client")
CONFIG = """\
[DEFAULT]
polltime = 0.05
bantime = 600
maxfailures = 1
ignoreip =
socket = {root}/sock
dbfile = {root}/db
[one]
enabled = true
logfile = {root}/one.log
failregex = host service: failed login of .* from <HOST>$
fwstart = nft 'table inet t {{ set s {{ type ipv4_addr; }}; }}'
fwend = nft delete table inet t
fwcheck = nft list set inet t s
fwban = nft add element inet t s {{ <ip> }}
fwunban = nft delete element inet t s {{ <ip> }}
"""


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace("standby") as host:
        yield host


@pytest.fixture
def daemon(tmp_path: Path, host: Namespace) -> Iterator[RunningDaemon]:
    (tmp_path / "one.log").touch()
    daemon = RunningDaemon(
        tmp_path,
        CONFIG.format(root=tmp_path),
        namespace=host,
        ready="nft list set inet t s",
    )
    with daemon:
        yield daemon


def attack(root: Path, *ips: str) -> None:
    moment = time.strftime("%b %d %H:%M:%S")
    lines = [f"{moment} host service: failed login of root from {ip}\n" for ip in ips]
    with (root / "one.log").open("a") as log:
        log.write("".join(lines))


def banned(host: Namespace) -> set[str]:
    return set(re.findall(r"203\.0\.113\.\d+", host.run("nft list set inet t s").stdout))


def attacked(daemon: RunningDaemon, host: Namespace, root: Path, *ips: str) -> None:
    """Let them attack together, and wait until they are locked out and that is told."""
    attack(root, *ips)
    for ip in ips:
        daemon.wait_for(f"Ban .*{re.escape(ip)}$")
    assert set(ips) <= banned(host)


def standing_by(host: Namespace) -> list[int]:
    """Return the processes of nft on a host."""
    found = []
    for pid in map(int, host.run(f"ip netns pids {host.name}").stdout.split()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        except OSError:
            continue
        found += [pid] if command == [b"nft", b"-f", b"-"] else []
    return found


def why(host: Namespace, root: Path, ip: str) -> str:
    command = f"ip netns exec {host.name} {sys.executable} {CLIENT} -s {root}/sock why {ip}"
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_lone_attackers_are_banned_by_a_process_that_stood_by(
    daemon: RunningDaemon, host: Namespace, tmp_path: Path
) -> None:
    assert standing_by(host) == []
    attacked(daemon, host, tmp_path, "203.0.113.1")
    used = []
    for number in range(2, 6):
        wait_until(lambda: len(standing_by(host)) == 1, explain=daemon.log)
        used += standing_by(host)
        attacked(daemon, host, tmp_path, f"203.0.113.{number}")
    assert len(set(used)) == 4
    assert daemon.stop() == 0
    assert standing_by(host) == [] and not re.search("ERROR|WARNING.*killed", daemon.log())


def test_it_works_in_a_firewall_that_was_made_anew_meanwhile(
    daemon: RunningDaemon, host: Namespace, tmp_path: Path
) -> None:
    attacked(daemon, host, tmp_path, "203.0.113.1")
    wait_until(lambda: len(standing_by(host)) == 1, explain=daemon.log)
    host.run("nft 'flush ruleset; table inet t { set s { type ipv4_addr; }; }'")
    attacked(daemon, host, tmp_path, "203.0.113.2")
    host.run("nft flush ruleset")
    attacked(daemon, host, tmp_path, "203.0.113.3")
    assert banned(host) == {"203.0.113.1", "203.0.113.2", "203.0.113.3"}


def test_none_is_left_of_a_daemon_that_is_killed(
    daemon: RunningDaemon, host: Namespace, tmp_path: Path
) -> None:
    attacked(daemon, host, tmp_path, "203.0.113.1")
    wait_until(lambda: len(standing_by(host)) == 1, explain=daemon.log)
    daemon.signal(signal.SIGKILL)
    daemon.process.wait()
    wait_until(lambda: standing_by(host) == [], explain=daemon.log)
    assert banned(host) == {"203.0.113.1"}


def test_why_shows_the_command_that_served_many(
    daemon: RunningDaemon, host: Namespace, tmp_path: Path
) -> None:
    """Those who come while the first is banned are a batch."""
    ips = [f"203.0.113.{number}" for number in range(1, 60)]
    attacked(daemon, host, tmp_path, *ips)
    for ip in (ips[0], ips[30], ips[-1]):
        assert re.search(r"\[one\] \S+ ban( for [0-9]+ at once)?: done in", why(host, tmp_path, ip))
    assert "at once: done" in why(host, tmp_path, ips[-1])
    assert "command" not in why(host, tmp_path, "203.0.113.200")
    assert "nothing is recorded" in why(host, tmp_path, "203.0.113.200")
