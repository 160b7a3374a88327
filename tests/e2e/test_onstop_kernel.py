# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans that stay in the kernel from one run of the daemon to the next.

With upstream's actions, unmodified; each test makes hosts of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from fail2ban.decide.bans import State
from fail2ban.enforce.site import Modes
from fail2ban.records import Ban, Ticket
from tests.needs import programs, root
from tests.netns import Namespace
from tests.upstream import BANTIME, JAIL, Wall, WallOn

pytestmark = [root(), programs("ip", "nft", "iptables", "ip6tables", "ipset")]

FAR, NEAR, FAR6 = "203.0.113.9", "198.51.100.77", "2001:db8:9::9"

#: An action, what shows its rules, and what somebody else does to them.
CASES = [
    ("nftables[port=22]", "nft list ruleset", "nft flush ruleset"),
    (
        "iptables[port=22]",
        "iptables -S; ip6tables -S",
        "for t in iptables ip6tables; do $t -F; $t -X; done",
    ),
    (
        "iptables-ipset-proto6[port=22]",
        "ipset save | sed 's, timeout [0-9]*$,,; s, initval.*,,'; iptables -S; ip6tables -S",
        "for t in iptables ip6tables; do $t -F; $t -X; done; ipset destroy",
    ),
]
each = pytest.mark.parametrize(("action", "show", "loss"), CASES)


def keep(wall: Wall) -> Mapping[str, str]:
    """End a run that leaves its bans; return what the next one gets to know."""
    wall._scaffold._modes = Modes(kept=frozenset({JAIL}))
    return wall._runner._heritage.farewells(wall._runner._keeper.end(keep=True))


def resume(
    wall: Wall, left: Mapping[str, str], bans: list[str], over: list[str], unclean: bool = False
) -> None:
    """Begin as the daemon does that finds bans in its store."""
    wall._runner._heritage.enter(unclean, left)
    wall._runner._builder.set_up()
    wall.shell.failed.clear()  # a check, and of what is not there, nothing can be removed
    now = wall.clock()
    old = {
        ip: Ban(now - 9, now + BANTIME, Ticket(JAIL, ip_address(ip), 5, now - 9))
        for ip in bans + over
    }
    wall._runner.restore(JAIL, [old[ip] for ip in bans], [old[ip] for ip in over])
    wall._work()


@each
def test_next_run_takes_over_what_is_there_and_lifts_what_is_over(
    host: Namespace, wall_on: WallOn, action: str, show: str, loss: str
) -> None:
    nothing = host.run(show).stdout
    first = wall_on(host, action)
    first.begin()
    first.ban_all(FAR, NEAR, FAR6)
    before = host.run(show).stdout
    left = keep(first)
    assert host.run(show).stdout == before

    second = wall_on(host, action)
    resume(second, left, [FAR, FAR6], over=[NEAR])

    shown = host.run(show).stdout
    assert FAR in shown and FAR6 in shown and NEAR not in shown
    assert not any(FAR in command or FAR6 in command for command in second.shell.taken())
    assert list(second.states()) == [State.APPLIED] * 2 and second.is_intact()
    second.unban(FAR)
    second.ban_all(NEAR)
    second.end()
    assert host.run(show).stdout == nothing and not second.shell.failed


@each
def test_next_run_makes_anew_what_was_flushed_meanwhile(
    host: Namespace, wall_on: WallOn, action: str, show: str, loss: str
) -> None:
    first = wall_on(host, action)
    first.begin()
    first.ban_all(FAR, FAR6)
    before = host.run(show).stdout
    left = keep(first)
    host.run(loss)

    second = wall_on(host, action)
    resume(second, left, [FAR, FAR6], over=[])

    assert sorted(host.run(show).stdout.split()) == sorted(before.split())
    assert list(second.states()) == [State.APPLIED] * 2 and not second.shell.failed


@each
def test_action_that_is_another_now_leaves_nothing_of_the_old(
    host: Namespace, wall_on: WallOn, action: str, show: str, loss: str
) -> None:
    nothing = host.run(show).stdout
    first = wall_on(host, action)
    first.begin()
    first.ban_all(FAR, FAR6)
    left = keep(first)

    second = wall_on(host, "route")
    resume(second, left, [FAR6], over=[FAR])

    assert host.run(show).stdout == nothing
    assert FAR6 in host.run("ip -6 route show type unreachable").stdout
    second.end()


def test_routes_of_a_killed_run_come_back_once_and_go_with_their_end(
    host: Namespace, wall_on: WallOn
) -> None:
    """The action has no command that removes them all."""
    show = "ip route show type unreachable; ip -6 route show type unreachable"
    first = wall_on(host, "route")
    first.begin()
    first.ban_all(FAR, NEAR, FAR6)
    left = first._runner._heritage.farewells()

    second = wall_on(host, "route")
    resume(second, left, [FAR, FAR6], over=[NEAR], unclean=True)

    shown = host.run(show).stdout
    assert FAR in shown and FAR6 in shown and NEAR not in shown
    assert list(second.states()) == [State.APPLIED] * 2 and not second.shell.failed
