# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions of upstream's action.d, unmodified, that keep somebody out: on a real kernel.

Each test makes hosts of its own (`tests.netns`), so the machine's firewall is
never touched.

Source: jail-conf.md sections 9.1, 9.5 and 9.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from fail2ban.decide.bans import State
from tests.e2e.street import ALL, HTTP, SSH, Street
from tests.needs import programs, root
from tests.netns import Namespace
from tests.upstream import WallOn

pytestmark = [root(), programs("ip")]

#: Addresses that are nobody's.
FAR, NEAR, FAR6 = "203.0.113.9", "198.51.100.77", "2001:db8:9::9"

NFT = "nft list ruleset"
IPTABLES = "iptables -S; ip6tables -S"
IPSET = f"ipset save | sed 's, timeout [0-9]*$,,; s, initval.*,,'; {IPTABLES}"
# Addresses in the usual form, without the moment.
RECENT = (
    "sed -E 's/ ttl.*//; s/:0+([0-9a-f])/:\\1/g; s/(:0)+:/::/' /proc/net/xt_recent/* 2>/dev/null;"
    f" {IPTABLES}"
)
ROUTE = "ip route show type unreachable; ip -6 route show type unreachable"
FLUSH_IPTABLES = "for t in iptables ip6tables; do $t -F; $t -X; done"
FLUSH_IPSETS = f"{FLUSH_IPTABLES}; ipset destroy"


@dataclass(frozen=True)
class Case:
    """An action with its arguments, and how it is seen in the kernel.

    Attributes:
        text: as in jail.conf.
        show: prints everything that the action may change.
        loss: what somebody else does to it.
        ports: those that a banned address loses.
        flushes: whether one command lifts all bans of a family.
    """

    text: str
    show: str
    loss: str
    ports: tuple[int, ...] = (SSH,)
    flushes: bool = True

    def __str__(self) -> str:
        return self.text


BOTH = (SSH, HTTP)


def _nft(text: str, ports: tuple[int, ...] = (SSH,)) -> Case:
    return Case(text, NFT, "nft flush ruleset", ports)


def _iptables(text: str, ports: tuple[int, ...] = (SSH,)) -> Case:
    return Case(text, IPTABLES, FLUSH_IPTABLES, ports)


def _ipset(text: str, ports: tuple[int, ...] = (SSH,)) -> Case:
    return Case(text, IPSET, FLUSH_IPSETS, ports)


CASES = [
    _nft("nftables[port=22]"),
    _nft('nftables[type=multiport, port="22,80", blocktype=drop]', BOTH),
    _nft('nftables[port="20:80", protocol="tcp,udp"]', BOTH),
    _nft("nftables[type=allports]", ALL),
    _nft('nftables[type=custom, rule_match-custom="tcp dport 22"]'),
    _nft('nftables-multiport[port="22,80"]', BOTH),
    _nft("nftables-allports", ALL),
    _iptables("iptables[port=22]"),
    _iptables('iptables[type=multiport, port="22,80", blocktype=DROP]', BOTH),
    _iptables('iptables-multiport[port="20:80", protocol="tcp,udp"]', BOTH),
    _iptables("iptables-allports", ALL),
    _iptables("iptables-new[port=22]"),
    _iptables('iptables-multiport-log[port="22,80"]', BOTH),
    _ipset("iptables-ipset[port=22]"),
    _ipset('iptables-ipset-proto6[port="22,80", ipsettime=600]', BOTH),
    _ipset("iptables-ipset-proto6-allports", ALL),
    Case("iptables-xt_recent-echo", RECENT, FLUSH_IPTABLES, ALL, flushes=False),
]
each = pytest.mark.parametrize("case", CASES, ids=str)
#: One of each kind of commands.
a_few = pytest.mark.parametrize("case", [CASES[n] for n in (0, 3, 9, 12, 14, 16)], ids=str)
tools = programs("nft", "iptables", "ip6tables", "ipset")

# The life of a ban ------------------------------------------------------------


@tools
@each
def test_a_banned_address_loses_its_ports_and_nobody_else_does(
    street: Street, wall_on: WallOn, case: Case
) -> None:
    wall = wall_on(street.server, case.text)
    wall.begin()

    wall.ban_all(*street.attackers)

    spared = [port for port in ALL if port not in case.ports]
    assert street.open_to_attacker() == [spared, spared]
    assert street.open_to_neighbour() == [list(ALL), list(ALL)]

    wall.unban(street.attackers[0])

    assert street.open_to_attacker() == [list(ALL), spared]
    assert not wall.shell.failed


@tools
@each
def test_a_family_is_set_up_by_its_first_ban_and_removed_at_the_end(
    host: Namespace, wall_on: WallOn, case: Case
) -> None:
    nothing = host.run(case.show).stdout
    wall = wall_on(host, case.text)
    wall.begin()
    assert not wall.shell.taken()

    wall.ban_all(FAR, NEAR)
    commands = wall.shell.taken()
    shown = host.run(case.show).stdout
    assert FAR in shown and NEAR in shown and FAR6 not in shown
    assert not any("ip6" in command or "inet6" in command for command in commands)
    wall.ban_all(FAR6)
    assert FAR6 in host.run(case.show).stdout
    assert wall.is_intact()
    wall.check()
    assert set(wall.states()) == {State.APPLIED} and not wall.shell.failed

    wall.unban(FAR)
    shown = host.run(case.show).stdout
    assert FAR not in shown and NEAR in shown and FAR6 in shown
    wall.ban_all(FAR)
    wall.shell.taken()

    wall.unban_everybody()
    assert len(wall.shell.taken()) == (2 if case.flushes else 3)
    shown = host.run(case.show).stdout
    assert not any(ip in shown for ip in (FAR, NEAR, FAR6))
    assert wall.is_intact()
    wall.ban_all(FAR)
    wall.end()

    assert host.run(case.show).stdout == nothing
    assert not wall.shell.failed


@tools
@a_few
def test_a_loss_is_noticed_and_everybody_is_banned_again(
    host: Namespace, wall_on: WallOn, case: Case
) -> None:
    wall = wall_on(host, case.text)
    wall.begin()
    wall.ban_all(FAR, FAR6)
    before = host.run(case.show).stdout

    host.run(case.loss)
    assert not wall.is_intact()
    wall.check()

    assert _sorted(host.run(case.show).stdout) == _sorted(before)
    assert wall.is_intact() and set(wall.states()) == {State.APPLIED}


@tools
@a_few
def test_a_ban_that_fails_for_a_loss_has_everything_set_up_again(
    host: Namespace, wall_on: WallOn, case: Case
) -> None:
    wall = wall_on(host, case.text)
    wall.begin()
    wall.ban_all(FAR, FAR6)

    host.run(case.loss)
    wall.ban_all(NEAR)

    shown = host.run(case.show).stdout
    assert all(ip in shown for ip in (FAR, NEAR, FAR6)) and wall.is_intact()


@tools
@a_few
def test_what_a_killed_daemon_left_is_removed_and_made_anew(
    host: Namespace, wall_on: WallOn, case: Case
) -> None:
    nothing = host.run(case.show).stdout
    killed = wall_on(host, case.text)
    killed.begin()
    killed.ban_all(FAR, FAR6)

    wall = wall_on(host, case.text)
    wall.begin(unclean=True)
    assert host.run(case.show).stdout == nothing
    wall.ban_all(NEAR, FAR6)

    shown = host.run(case.show).stdout
    assert FAR not in shown and NEAR in shown and FAR6 in shown
    wall.end()
    assert host.run(case.show).stdout == nothing
    assert not wall.shell.failed


@tools
@pytest.mark.parametrize(
    ("number", "loss"),
    [
        (0, "nft flush chain inet f2b-table f2b-chain"),
        (9, "iptables -F INPUT"),
        (9, "ip6tables -F INPUT"),
        (14, "ip6tables -F INPUT"),
    ],
)
def test_a_loss_in_part_is_made_good(
    host: Namespace, wall_on: WallOn, number: int, loss: str
) -> None:
    case = CASES[number]
    wall = wall_on(host, case.text)
    wall.begin()
    wall.ban_all(FAR, FAR6)
    before = host.run(case.show).stdout

    host.run(loss)
    wall.check()

    assert _sorted(host.run(case.show).stdout) == _sorted(before)
    assert wall.is_intact() and set(wall.states()) == {State.APPLIED}


@tools
@a_few
def test_a_ban_that_ends_after_a_loss_is_not_made_anew(
    host: Namespace, wall_on: WallOn, case: Case
) -> None:
    wall = wall_on(host, case.text)
    wall.begin()
    wall.ban_all(FAR, NEAR)

    host.run(case.loss)
    wall.lift(ip_address(FAR))
    wall.check()

    shown = host.run(case.show).stdout
    assert FAR not in shown and NEAR in shown
    assert list(wall.states()) == [State.APPLIED]


@tools
@a_few
def test_the_end_of_one_jail_leaves_another_as_it_is(
    host: Namespace, wall_on: WallOn, case: Case
) -> None:
    nothing = host.run(case.show).stdout
    other = case.text.removesuffix("]") + (", " if "[" in case.text else "[") + "name=other]"
    first, second = wall_on(host, case.text), wall_on(host, other)
    for wall in (first, second):
        wall.begin()
        wall.ban_all(FAR, FAR6)

    first.end()

    shown = host.run(case.show).stdout
    assert second.is_intact() and "other" in shown and FAR in shown and FAR6 in shown
    second.end()
    assert host.run(case.show).stdout == nothing
    assert not (first.shell.failed or second.shell.failed)


@tools
@pytest.mark.parametrize(
    ("bantime", "timeout"), [(600.0, "600"), (2_147_483.0, "2147483"), (5_000_000.0, "0")]
)
def test_a_set_knows_how_long_a_ban_lasts(
    host: Namespace, wall_on: WallOn, bantime: float, timeout: str
) -> None:
    wall = wall_on(host, "iptables-ipset-proto6[ipsettime=<timeout-bantime>, port=22]")
    wall.begin()
    assert wall.ban(ip_address(FAR), bantime=bantime).state is State.APPLIED
    shown = host.run(f"ipset list f2b-sshd | grep {FAR}").stdout.split()
    assert shown[:2] == [FAR, "timeout"]
    assert int(timeout) - 10 <= int(shown[2]) <= int(timeout)


def _sorted(text: str) -> list[str]:
    return sorted(text.splitlines())
