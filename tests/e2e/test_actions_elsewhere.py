# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions of upstream's action.d, unmodified, that keep somebody out by other programs.

Routes, ufw and firewalld work on hosts of the test's own (`tests.netns`), with
settings of their own. Shorewall is not run: a stand-in of that name records the calls.

Source: jail-conf.md sections 9.1, 9.5 and 9.6.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from fail2ban.decide.bans import State
from tests.e2e.street import ALL, SSH, Street
from tests.needs import PATH, programs, root
from tests.upstream import RecordedShell, WallOn, stand_in

#: Addresses that are nobody's.
FAR, NEAR, FAR6 = "203.0.113.9", "198.51.100.77", "2001:db8:9::9"

# Old sets ---------------------------------------------------------------------


@root()
@programs("ip", "iptables", "ip6tables", "ipset")
def test_an_action_for_ipv4_alone_keeps_its_bans_when_an_ipv6_ban_fails(
    street: Street, wall_on: WallOn
) -> None:
    """Both families of iptables-ipset-proto4 have one set, which holds no IPv6."""
    nothing = street.server.run("iptables -S; ip6tables -S; ipset list").stdout
    wall = wall_on(street.server, "iptables-ipset-proto4[port=22]")
    wall.begin()
    wall.ban_all(street.attackers[0])
    closed = [port for port in ALL if port != SSH]
    assert street.open_to_attacker() == [closed, list(ALL)]

    assert wall.ban(ip_address(FAR6)).state is State.FAILED

    assert street.open_to_attacker() == [closed, list(ALL)]
    wall.ban_all(FAR)
    assert FAR in street.server.run("ipset list").stdout
    wall.end()
    assert street.server.run("iptables -S; ip6tables -S; ipset list").stdout == nothing


# Routes -----------------------------------------------------------------------

ROUTES = "ip route show type unreachable; ip -6 route show type unreachable"


@root()
@programs("ip")
def test_a_banned_address_gets_no_answer_by_any_route(street: Street, wall_on: WallOn) -> None:
    wall = wall_on(street.server, "route")
    wall.begin()
    assert not wall.shell.taken()

    wall.ban_all(*street.attackers)

    assert street.open_to_attacker() == [[], []]
    assert street.open_to_neighbour() == [list(ALL), list(ALL)]
    wall.unban(street.attackers[0])
    assert street.open_to_attacker() == [list(ALL), []]
    wall.end()
    assert street.server.run(ROUTES).stdout == ""
    assert not wall.shell.failed


@root()
@programs("ip")
def test_a_route_that_a_killed_daemon_left_is_taken_over(street: Street, wall_on: WallOn) -> None:
    """The action has no stop: only its unban removes what is in the way."""
    street.server.run(f"ip route add unreachable {FAR}")
    wall = wall_on(street.server, "route")
    wall.begin(unclean=True)

    wall.ban_all(FAR, NEAR)

    assert FAR in street.server.run(ROUTES).stdout
    wall.end()
    assert street.server.run(ROUTES).stdout == ""


# ufw --------------------------------------------------------------------------


@pytest.fixture
def ufw(street: Street, tmp_path: Path) -> Iterator[RecordedShell]:
    """Return a shell on the server for which ufw has settings of its own, and is on."""
    shutil.copytree("/etc/ufw", tmp_path / "ufw")
    (tmp_path / "run").mkdir()
    private = {"/etc/ufw": tmp_path / "ufw", "/run": tmp_path / "run"}
    shell = RecordedShell(street.server, private=private)
    shell("ufw --force reset; ufw default allow; ufw --force enable", {}, 60.0)
    yield shell
    shell("ufw --force disable", {}, 60.0)


def _rules(shell: RecordedShell) -> str:
    """Return the rules of ufw, as it writes them down itself."""
    return shell.output("ufw show added")


@root()
@programs("ip", "ufw", "iptables", "ip6tables")
def test_ufw_refuses_a_banned_address(street: Street, ufw: RecordedShell, wall_on: WallOn) -> None:
    nothing = _rules(ufw)
    wall = wall_on(ufw, "ufw")
    wall.begin()

    wall.ban_all(*street.attackers)

    assert street.open_to_attacker() == [[], []]
    assert street.open_to_neighbour() == [list(ALL), list(ALL)]
    assert "by Fail2Ban after 5 attempts against sshd" in _rules(ufw)
    wall.unban(street.attackers[0])
    assert street.open_to_attacker() == [list(ALL), []]
    wall.end()
    assert _rules(ufw) == nothing
    assert not wall.shell.failed


# hosts.deny -------------------------------------------------------------------

MINE = "# mine\n\nALL: 203.0.113.99\n"


@programs("tcpdmatch")
@pytest.mark.parametrize(
    ("ip", "other"), [("192.0.2.7", "192.0.2.70"), ("2001:db8::7", "2001:db8::70")]
)
def test_hostsdeny_denies_the_banned_and_nobody_else(
    wall_on: WallOn, tmp_path: Path, ip: str, other: str
) -> None:
    (tmp_path / "hosts.allow").touch()
    deny = tmp_path / "hosts.deny"
    deny.write_text(MINE)
    wall = wall_on(RecordedShell(), f"hostsdeny[file={deny}]")
    wall.begin()

    wall.ban_all(ip, NEAR)
    assert _denies(tmp_path, ip) and _denies(tmp_path, NEAR) and not _denies(tmp_path, other)

    wall.unban(ip)
    assert not _denies(tmp_path, ip) and _denies(tmp_path, NEAR)
    wall.end()
    assert deny.read_text() == MINE
    assert not wall.shell.failed


def _denies(folder: Path, ip: str) -> bool:
    """Ask the library's own judge."""
    said = subprocess.run(
        ["tcpdmatch", "-d", "sshd", ip],
        cwd=folder,
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "access:" in said
    return "denied" in said


# Shorewall, by a stand-in -----------------------------------------------------


@pytest.fixture
def shorewall(tmp_path: Path) -> RecordedShell:
    """Return a shell whose `shorewall` and `shorewall6` only write down the calls."""
    for name in ("shorewall", "shorewall6"):
        stand_in(tmp_path / "bin", name, f'echo {name} "$@" >>{tmp_path}/calls')
    return RecordedShell(variables={"PATH": f"{tmp_path}/bin:{PATH}"})


def test_shorewall_is_called_for_the_family_of_the_address(
    shorewall: RecordedShell, wall_on: WallOn, tmp_path: Path
) -> None:
    wall = wall_on(shorewall, "shorewall[blocktype=drop]")
    wall.begin()
    for ip in (FAR, FAR6):
        wall.ban_all(ip)
        wall.unban(ip)
    wall.ban_all(NEAR)
    wall.end()
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"shorewall drop {FAR}",
        f"shorewall allow {FAR}",
        f"shorewall6 drop {FAR6}",
        f"shorewall6 allow {FAR6}",
        f"shorewall drop {NEAR}",
        f"shorewall allow {NEAR}",
    ]
    assert not shorewall.failed


@root()
@programs("ip", "ipset")
def test_the_set_that_shorewall_reads_holds_who_is_banned(street: Street, wall_on: WallOn) -> None:
    """It stays, since Shorewall's own rules name it."""
    wall = wall_on(street.server, "shorewall-ipset-proto6")
    for unclean in (False, True):
        wall.begin(unclean)
        wall.ban_all(FAR, NEAR)
        wall.unban(NEAR)
        shown = street.server.run("ipset list f2b-sshd").stdout
        assert FAR in shown and NEAR not in shown
        wall.end()
        assert FAR not in street.server.run("ipset list f2b-sshd").stdout
    assert not wall.shell.failed
