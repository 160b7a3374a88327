# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped commands for many bans do what those for one do, many times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fail2ban.config import classic
from fail2ban.enforce.shell import Shell
from fail2ban.errors import CommandError
from fail2ban.records import FAMILIES, ActionSettings, Family
from tests.needs import programs, root
from tests.netns import Namespace
from tests.upstream import RecordedShell

CONFIG = Path(__file__).resolve().parents[1] / "config"
IP4 = ["192.0.2.7", "192.0.2.70", "198.51.100.0/24", "203.0.113.1"]
IP6 = ["2001:db8::7", "2001:db8::70", "2001:db8:1::/48"]
ALL: tuple[tuple[Family, list[str]], ...] = (("ip", IP4), ("ip6", IP6))


def action_of(flavour: str, **replace: str) -> ActionSettings:
    """Return the commands of [SSH] of a shipped file, with a few options of it replaced."""
    text = (CONFIG / f"fail2ban.conf.{flavour}").read_text()
    for option, value in replace.items():
        line = next(one for one in text.splitlines() if one.startswith(f"{option} = "))
        text = text.replace(line, f"{option} = {value}")
    loaded = classic.parse(text, flavour)
    assert loaded.settings is not None and not loaded.problems
    return next(jail for jail in loaded.settings.jails if jail.name == "SSH").actions[0]


class Wall:
    """The commands of a section at work."""

    def __init__(self, action: ActionSettings, shell: Shell, state: Callable[[], object]) -> None:
        self.action, self.state = action, state
        self._shell = shell
        for family in FAMILIES:
            self._run(action.start.of(family))

    def many(self, verb: str, family: Family, ips: list[str]) -> None:
        feed = "".join(f"{ip} {family} 600\n" for ip in ips)
        self._shell(getattr(self.action, f"{verb}many").of(family), {}, 30, feed=feed)

    def each(self, verb: str, family: Family, ips: list[str]) -> None:
        for ip in ips:
            self._run(getattr(self.action, verb).of(family).replace("<ip>", ip))

    def _run(self, command: str) -> None:
        self._shell(command.replace("<jail.name>", "SSH"), {}, 30)


@pytest.fixture
def hostsdeny(tmp_path: Path) -> Wall:
    deny = tmp_path / "hosts.deny"
    action = action_of("hostsdeny", hostsdeny=str(deny))
    banned = tmp_path / "hosts.deny.SSH"
    return Wall(action, RecordedShell(), lambda: sorted(banned.read_text().splitlines()))


@pytest.fixture
def iptables() -> Iterator[Wall]:
    with Namespace("many") as host:

        def state() -> set[str]:
            tables = [
                host.run(f"{name} -S fail2ban-SSH").stdout for name in ("iptables", "ip6tables")
            ]
            rules = [line for table in tables for line in table.splitlines() if " -s " in line]
            assert len(rules) == len({*rules})
            return {*rules}

        yield Wall(action_of("iptables"), RecordedShell(host), state)


@pytest.fixture(
    params=[
        "hostsdeny",
        pytest.param("iptables", marks=[root(), programs("iptables", "ip6tables")]),
    ]
)
def wall(request: pytest.FixtureRequest) -> Wall:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Wall)
    return found


def test_many_bans_are_those_that_would_come_one_by_one(wall: Wall) -> None:
    empty = wall.state()
    for family, ips in ALL:
        wall.each("ban", family, ips)
    one_by_one = wall.state()
    assert one_by_one != empty
    for family, ips in ALL:
        wall.many("unban", family, ips)
    assert wall.state() == empty
    for family, ips in ALL:
        wall.many("ban", family, ips)
    assert wall.state() == one_by_one


def test_what_is_in_force_or_lifted_already_does_no_harm(wall: Wall) -> None:
    wall.each("ban", "ip", IP4[:2])
    wall.many("ban", "ip", IP4[:1])
    wall.many("ban", "ip", [*IP4[:3], *IP4[:3]])
    several = wall.state()
    wall.many("ban", "ip", IP4[:3])
    assert wall.state() == several
    wall.many("unban", "ip", [IP4[1], IP4[1], IP4[3]])
    wall.each("unban", "ip", [IP4[2]])
    after = wall.state()
    wall.many("unban", "ip", IP4[1:])
    assert wall.state() == after
    wall.each("unban", "ip", IP4[:1])
    wall.many("ban", "ip6", IP6)
    wall.many("unban", "ip6", IP6)
    wall.many("unban", "ip6", [])
    assert not wall.state()


@root()
@programs("iptables", "ip6tables")
def test_many_bans_fail_where_there_is_no_chain(iptables: Wall) -> None:
    for family in FAMILIES:
        iptables._run(iptables.action.stop.of(family))
    with pytest.raises(CommandError):
        iptables.many("ban", "ip", IP4)
