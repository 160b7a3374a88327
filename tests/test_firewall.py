# SPDX-License-Identifier: GPL-2.0-or-later
"""A section's commands with their tags filled in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fail2ban.enforce.firewall import Firewall
from fail2ban.errors import CommandError
from fail2ban.records import Ban
from tests.helpers import NOW, FakeShell, action, ticket


def ban(ip: str = "192.0.2.1", end: float | None = NOW + 600) -> Ban:
    return Ban(NOW, end, ticket(ip, time=NOW - 1.5))


def test_ban_command_gets_bare_address_and_whole_seconds() -> None:
    """Defect 7 of 0.6: quotes around the address, times with a fraction."""
    shell = FakeShell()
    commands = action(ban="<ip>|<section>|<failures>|<failtime>|<bantime>|<seconds>|<family>")
    Firewall("SSH", commands, shell).ban(ban(), NOW + 100.4)
    assert shell.commands == ["192.0.2.1|SSH|5|1699999998|1700000000|500|ip"]


def test_permanent_ban_has_no_seconds_left() -> None:
    shell = FakeShell()
    Firewall("SSH", action(ban="<ip> <seconds>"), shell).ban(ban("2001:db8::1", None), NOW)
    assert shell.commands == ["2001:db8::1 0"]


def test_unban_command_gets_the_moments_of_ban_and_unban() -> None:
    shell = FakeShell()
    commands = action(unban="<iptables> <ip> <bantime> <unbantime> <failures>")
    Firewall("SSH", commands, shell).unban(ban("2001:db8::1"), NOW + 600.9)
    assert shell.commands == ["ip6tables 2001:db8::1 1700000000 1700000600 <failures>"]


def test_lines_of_the_log_reach_a_command_only_as_a_variable() -> None:
    shell = FakeShell()
    Firewall("SSH", action(ban="<ip> <matches>"), shell).ban(ban(), NOW)
    assert shell.commands == ["192.0.2.1 <matches>"]
    assert shell.variables[0]["F2B_MATCHES"] == "first line\nlast line"


def test_start_that_speaks_of_a_family_runs_once_for_each() -> None:
    shell = FakeShell()
    firewall = Firewall("SSH", action(start="<iptables> -N x", check="x <family>"), shell)
    firewall.start()
    firewall.check()
    assert shell.commands == ["iptables -N x", "ip6tables -N x", "x ip", "x ip6"]


def test_host_without_ipv6_is_spared_its_commands() -> None:
    shell = FakeShell()
    Firewall("SSH", action(start="<iptables> -N x"), shell, families=("ip",)).start()
    assert shell.commands == ["iptables -N x"]


def test_start_without_tags_runs_as_it_is() -> None:
    shell = FakeShell()
    Firewall("SSH", action(start="sort <file <ip> <br>"), shell).start()
    assert shell.commands == ["sort <file <ip> <br>"]


def test_first_family_that_fails_to_start_ends_it_but_stop_goes_on() -> None:
    shell = FakeShell(fails=lambda command: command.startswith("iptables"))
    firewall = Firewall("SSH", action(start="<iptables> -N", stop="<iptables> -X"), shell)
    with pytest.raises(CommandError):
        firewall.start()
    with pytest.raises(CommandError):
        firewall.stop()
    assert shell.commands == ["iptables -N", "iptables -X", "ip6tables -X"]


def test_command_for_one_family_cannot_ban_the_other() -> None:
    firewall = Firewall("SSH", replace(action(), families=("ip",)), FakeShell())
    assert firewall.cannot_ban(ban("192.0.2.1")) is None
    assert "<iptables>" in (firewall.cannot_ban(ban("2001:db8::1")) or "")


def test_firewall_is_intact_only_if_a_check_says_so() -> None:
    assert Firewall("SSH", action(), FakeShell()).intact()
    assert not Firewall("SSH", action(), FakeShell(fails=lambda command: True)).intact()
    assert not Firewall("SSH", action(check=""), FakeShell()).intact()
