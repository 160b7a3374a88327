# SPDX-License-Identifier: GPL-2.0-or-later
"""An action's commands with their tags filled in, each for whom it concerns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fail2ban.enforce import firewall as module
from fail2ban.enforce.firewall import Firewall, host_families
from fail2ban.enforce.shell import run
from fail2ban.errors import CommandError
from fail2ban.records import Ban, Command
from tests.helpers import NOW, FakeShell, action, ticket

BY_FAMILY = Command("x any", "iptables -N x", "ip6tables -N x")


def ban(ip: str = "192.0.2.1", end: float | None = NOW + 600) -> Ban:
    return Ban(NOW, end, ticket(ip, time=NOW - 1.5))


def text_ban(text: str = "alice's") -> Ban:
    return Ban(NOW, None, replace(ticket(), ip=text))


def test_ban_command_gets_bare_address_and_whole_seconds() -> None:
    """Defect 7 of 0.6: quotes around the address, times with a fraction."""
    shell = FakeShell()
    commands = action(ban="<ip>|<jail.name>|<failures>|<time>|<banstart>|<seconds>|<family>")
    Firewall("SSH", commands, shell).ban([ban()], NOW + 100.4)
    assert shell.commands == ["192.0.2.1|SSH|5|1699999998|1700000000|500|inet4"]


def test_a_firewall_that_lifts_bans_itself_is_not_quicker_than_we() -> None:
    shell = FakeShell()
    wall = Firewall("SSH", action(ban="<ip> <seconds>"), shell)
    for passed in (0.0, 0.001, 100.6, 599.9, 601):
        wall.ban([ban()], NOW + passed)
    assert shell.commands == [f"192.0.2.1 {seconds}" for seconds in (600, 600, 500, 1, 1)]


def test_permanent_ban_has_no_seconds_left() -> None:
    shell = FakeShell()
    Firewall("SSH", action(ban="<ip> <seconds>"), shell).ban([ban("2001:db8::1", None)], NOW)
    assert shell.commands == ["2001:db8::1 0"]


def test_unban_command_gets_the_moments_of_ban_and_unban() -> None:
    shell = FakeShell()
    commands = action(unban="<ip> <banstart> <unbantime> <failures>")
    Firewall("SSH", commands, shell).unban([ban("2001:db8::1")], NOW + 600.9)
    assert shell.commands == ["2001:db8::1 1700000000 1700000600 5"]


def test_lines_of_the_log_reach_a_command_only_as_an_argument_or_a_variable() -> None:
    shell = FakeShell()
    Firewall("SSH", action(ban="<ip> <matches>"), shell).ban([ban()], NOW)
    assert shell.commands == ['f2bV_matches=${1}; set --\n192.0.2.1 "${f2bV_matches}"']
    assert shell.arguments == [("sh", "first line\nlast line")]
    assert shell.variables[0]["F2B_MATCHES"] == "first line\nlast line"


def test_what_an_attacker_wrote_arrives_to_the_letter_and_does_nothing(tmp_path: Path) -> None:
    hostile = f"'; touch {tmp_path}/x; '$(touch {tmp_path}/x)`touch {tmp_path}/x`\" \\ *"
    command = f"printf '%s\\n' '<matches>' \"<matches>\" <F-USER> >> {tmp_path}/out"
    one = Ban(NOW, None, replace(ticket(), lines=(hostile,), groups={"user": hostile}))
    Firewall("SSH", action(ban=command), run).ban([one], NOW)
    assert (tmp_path / "out").read_text() == f"{hostile}\n" * 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_each_family_has_its_command_and_a_text_the_general_one() -> None:
    shell = FakeShell()
    wall = Firewall("SSH", action(ban=Command("any <ip>", "4 <ip>", "6 <ip>")), shell)
    for one in (ban(), ban("2001:db8::1"), text_ban()):
        wall.ban([one], NOW)
    assert shell.commands[:2] == ["4 192.0.2.1", "6 2001:db8::1"]
    assert shell.commands[2].endswith('any "${f2bV_ip}"')
    assert shell.arguments[2] == ("sh", "alice's")


def test_reban_falls_back_to_ban() -> None:
    shell = FakeShell()
    Firewall("SSH", action(), shell).reban([ban()], NOW)
    Firewall("SSH", action(reban="again <ip>"), shell).reban([ban()], NOW)
    assert shell.commands == ["ban SSH 192.0.2.1", "again 192.0.2.1"]


def test_prolong_gets_the_new_length() -> None:
    shell = FakeShell()
    Firewall("SSH", action(prolong="<ip> <bantime>"), shell).prolong([ban(end=NOW + 900)], NOW)
    assert shell.commands == ["192.0.2.1 900"]


def test_commands_that_differ_run_once_for_each_family() -> None:
    shell = FakeShell()
    wall = Firewall("SSH", action(start=BY_FAMILY, check="x <family>"), shell)
    wall.start()
    wall.check()
    assert shell.commands == ["iptables -N x", "ip6tables -N x", "x inet4", "x inet6"]
    assert [variables["F2B_FAMILY"] for variables in shell.variables] == ["ip", "ip6"] * 2


def test_commands_that_are_alike_run_once() -> None:
    shell = FakeShell()
    Firewall("SSH", action(start="make x"), shell).start()
    assert (shell.commands, shell.variables) == (["make x"], [{}])


def test_one_family_can_be_asked_for() -> None:
    shell = FakeShell()
    wall = Firewall("SSH", action(start=BY_FAMILY, flush="f <family>"), shell)
    wall.start(["ip6"])
    wall.flush(["ip"])
    wall.start([None])
    assert shell.commands == ["ip6tables -N x", "f inet4", "x any"]


def test_family_that_is_not_banned_is_spared_its_commands() -> None:
    shell = FakeShell()
    Firewall("SSH", action(start=BY_FAMILY), shell, families=("ip",)).start()
    Firewall("SSH", action(start=BY_FAMILY, families=("ip",)), shell).start()
    assert shell.commands == ["iptables -N x"] * 2


def test_reban_command_is_not_replaced_by_that_for_many_bans() -> None:
    shell = FakeShell()
    one = action(reban=Command("", "again <ip>", ""), banmany="many")
    wall = Firewall("SSH", one, shell)
    four, six = [ban("192.0.2.1"), ban("192.0.2.2")], [ban("2001:db8::1"), ban("2001:db8::2")]
    assert wall.reban([four[0], *six, four[1]], NOW) == [None] * 4
    assert shell.commands == ["again 192.0.2.1", "again 192.0.2.2", "many"]


def test_what_has_become_of_each_ban_is_in_their_order() -> None:
    shell = FakeShell(fails=lambda command: command.endswith(("1", "4")))
    wall = Firewall("SSH", action(), shell)
    bans = [ban(ip) for ip in ("192.0.2.1", "2001:db8::2", "192.0.2.3", "2001:db8::4")]
    outcomes = wall.ban(bans, NOW)
    assert [one is None for one in outcomes] == [False, True, True, False]
    assert "192.0.2.1" in str(outcomes[0]) and "2001:db8::4" in str(outcomes[3])


def test_what_cannot_be_a_line_of_many_runs_as_it_was_written() -> None:
    """A command of our own for many means the same as that of the user for each."""
    shell = FakeShell()
    wall = Firewall("SSH", action(ban="nft add element inet t s { <ip> } || true"), shell)
    assert not wall.gathers_bans
    wall.ban([ban("192.0.2.1"), ban("192.0.2.2")], NOW)
    assert len(shell.commands) == 2


def test_bans_gather_only_if_those_of_all_families_do() -> None:
    text = "nft add element inet t s { <ip> }"
    assert Firewall("SSH", action(ban=text), FakeShell()).gathers_bans
    mixed = action(ban=Command(text, text, "x <ip>"))
    assert not Firewall("SSH", mixed, FakeShell()).gathers_bans
    assert Firewall("SSH", mixed, FakeShell(), families=("ip",)).gathers_bans
    assert not Firewall("SSH", action(ban=text), FakeShell(), dry=True).gathers_bans


def test_start_knows_no_tags_of_a_ban() -> None:
    shell = FakeShell()
    Firewall("SSH", action(start="sort <file <ip> <time>"), shell, clock=lambda: NOW).start()
    assert shell.commands == ["sort <file <ip> 1700000000"]


def test_first_family_that_fails_to_start_ends_it_but_stop_goes_on() -> None:
    shell = FakeShell(fails=lambda command: command.startswith("iptables"))
    stop = Command("", "iptables -X", "ip6tables -X")
    wall = Firewall("SSH", action(start=BY_FAMILY, stop=stop), shell)
    with pytest.raises(CommandError):
        wall.start()
    with pytest.raises(CommandError):
        wall.stop()
    assert shell.commands == ["iptables -N x", "iptables -X", "ip6tables -X"]


def test_every_command_has_the_time_limit_of_its_action() -> None:
    shell = FakeShell()
    wall = Firewall("SSH", action(timeout=7.0), shell)
    wall.start()
    wall.ban([ban()], NOW)
    assert shell.timeouts == [7.0, 7.0]


def test_command_for_one_family_cannot_ban_the_other() -> None:
    wall = Firewall("SSH", action(ban="iptables -I x -s <ip>", families=("ip",)), FakeShell())
    assert wall.cannot_ban(ban("192.0.2.1")) is None
    assert "<iptables>" in (wall.cannot_ban(ban("2001:db8::1")) or "")
    wall = Firewall("SSH", action(families=("ip6",)), FakeShell())
    assert wall.cannot_ban(ban("192.0.2.1")) == "its commands are not for IPv4"


def test_family_that_is_switched_off_cannot_be_banned() -> None:
    wall = Firewall("SSH", action(), FakeShell(), families=("ip",))
    assert "IPv6 is switched off" in (wall.cannot_ban(ban("2001:db8::1")) or "")
    assert wall.cannot_ban(text_ban("alice")) is None


def test_text_that_could_mean_something_is_kept_from_commands_for_addresses() -> None:
    wall = Firewall("SSH", action(ban="ban <ip>", unban="x"), FakeShell())
    assert wall.cannot_ban(text_ban("host-1.example:7")) is None
    assert "are for addresses" in (wall.cannot_ban(text_ban("a } ; flush")) or "")
    for_texts = Firewall("SSH", action(ban="ban <fid>", unban="unban <fid>"), FakeShell())
    assert for_texts.cannot_ban(text_ban("a } ; flush")) is None


def test_ipv6_is_banned_if_the_host_speaks_it_or_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert host_families(True) == ("ip", "ip6") and host_families(False) == ("ip",)
    monkeypatch.setattr(module, "_IPV6", "/")
    assert host_families() == ("ip", "ip6")
    monkeypatch.setattr(module, "_IPV6", "/nothing/here")
    assert host_families() == ("ip",)
