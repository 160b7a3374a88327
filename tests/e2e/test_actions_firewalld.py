# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions of upstream's action.d, unmodified, for firewalld: with a firewalld of the test's own.

It and its D-Bus run on a host of the test's own (`tests.netns`), with settings
and sockets of their own, so the machine's are never touched.

Source: jail-conf.md sections 9.1, 9.5 and 9.6.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fail2ban.decide.bans import State
from tests.e2e import street as streets
from tests.e2e.daemon import wait_until
from tests.e2e.street import SSH, Street
from tests.needs import programs, root
from tests.upstream import RecordedShell, WallOn

pytestmark = [
    root(),
    programs("ip", "firewalld", "firewall-cmd", "dbus-daemon", "iptables", "ip6tables", "ipset"),
]

BUS = "dbus-daemon --system --nofork --nopidfile --address=unix:path=/run/dbus/system_bus_socket"
FIREWALLD = "firewalld --nofork --nopid"


@pytest.fixture(scope="module")
def firewalld(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Street, RecordedShell]]:
    """Return a street, and a shell on its server, where firewalld runs."""
    folder = tmp_path_factory.mktemp("firewalld")
    shutil.copytree("/etc/firewalld", folder / "etc")
    for name in ("run/dbus", "log"):
        (folder / name).mkdir(parents=True)
    private = {"etc": "/etc/firewalld", "run": "/run", "log": "/var/log"}
    with streets.built() as street:
        mounts = {at: folder / name for name, at in private.items()}
        shell = RecordedShell(street.server, private=mounts)
        with _running(shell, BUS):
            wait_until((folder / "run/dbus/system_bus_socket").exists)
            with _running(shell, FIREWALLD):
                wait_until(lambda: "running" in shell.output("firewall-cmd --state || true"))
                yield street, shell


@contextmanager
def _running(shell: RecordedShell, command: str) -> Iterator[None]:
    process: subprocess.Popen[bytes] = shell.popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


#: Everything that an action may change.
SHOW = (
    "iptables -S; ip6tables -S; ipset save | sed 's, initval.*,,';"
    " firewall-cmd --list-rich-rules; firewall-cmd --get-ipsets"
)


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("firewallcmd-multiport[port=22]", 2),
        ("firewallcmd-ipset[port=22]", 2),
        ("firewallcmd-rich-rules[port=22]", 2),
        # Nearly the same commands; each call takes long.
        ("firewallcmd-allports", 1),
        ("firewallcmd-new[port=22]", 1),
        ("firewallcmd-rich-logging[port=22]", 1),
    ],
)
def test_firewalld_refuses_a_banned_address(
    firewalld: tuple[Street, RecordedShell], wall_on: WallOn, text: str, families: int
) -> None:
    street, shell = firewalld
    shell.failed.clear()
    nothing = shell.output(SHOW)
    wall = wall_on(shell, text)
    wall.begin()

    wall.ban_all(*street.attackers[:families])
    assert [SSH in ports for ports in street.open_to_attacker()] == [False, families == 1]
    assert [SSH in ports for ports in street.open_to_neighbour()] == [True, True]
    assert set(wall.states()) == {State.APPLIED}

    wall.unban(street.attackers[0])
    assert [SSH in ports for ports in street.open_to_attacker()] == [True, families == 1]
    wall.end()
    assert not wall.shell.failed
    assert shell.output(SHOW) == nothing
