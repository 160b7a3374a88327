# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands before anybody is banned, and in which order it comes and goes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.site import Site
from fail2ban.errors import CommandError
from fail2ban.records import (
    FAMILIES,
    ActionSettings,
    Ban,
    Command,
    FirewallSettings,
    MailActionSettings,
)
from tests.helpers import NOW, FakeShell, action, ticket

BASE = FirewallSettings("start all", "stop all")
ON_DEMAND = {
    "start": Command("start A any", "start A 4", "start A 6"),
    "stop": Command("stop A any", "stop A 4", "stop A 6"),
    "on_demand": True,
}


@dataclass
class FakePost:
    said: list[str] = field(default_factory=list)

    def started(self, settings: MailActionSettings, jail: str) -> None:
        self.said.append(f"started {jail}")

    def stopped(self, settings: MailActionSettings, jail: str) -> None:
        self.said.append(f"stopped {jail}")

    def banned(self, settings: MailActionSettings, ban: Ban) -> None:
        self.said.append(f"banned {ban.ip}")


def build(*actions: ActionSettings, shell: FakeShell | None = None) -> tuple[Scaffold, FakeShell]:
    shell = shell or FakeShell()
    return Scaffold(BASE, {"SSH": actions}, shell, FAMILIES), shell


def only(scaffold: Scaffold) -> Site:
    return scaffold.sites()[0]


def test_sites_stand_in_the_order_of_the_configuration() -> None:
    actions = {"SSH": [action("A"), action("B")], "Apache": [action("C")]}
    scaffold = Scaffold(BASE, actions, FakeShell(), FAMILIES)
    assert [site.name for site in scaffold.sites()] == ["A", "B", "C"]
    assert [str(site) for site in scaffold.sites()] == ["SSH/A", "SSH/B", "Apache"]
    assert scaffold.of("FTP") is None and scaffold.enforcing("FTP") == []


def test_start_that_fails_is_cleaned_up_for_every_family() -> None:
    shell = FakeShell(fails=lambda command: command == "start A 6")
    scaffold, _ = build(action("A", **{**ON_DEMAND, "on_demand": False}), shell=shell)
    assert not scaffold.start(only(scaffold))
    assert shell.commands == ["start A 4", "start A 6", "stop A 4", "stop A 6"]
    assert not only(scaffold).up


def test_start_on_demand_waits_for_the_first_ban_of_each_family() -> None:
    scaffold, shell = build(action("A", **ON_DEMAND))
    site = only(scaffold)
    assert scaffold.start(site) and shell.taken() == []
    scaffold.open(site, "ip6")
    scaffold.open(site, "ip6")
    assert shell.taken() == ["start A 6"]
    scaffold.open(site, None)
    assert shell.taken() == ["start A any"]
    scaffold.stop(site)
    assert shell.taken() == ["stop A 6", "stop A any"]
    scaffold.stop(site)
    assert shell.taken() == []


def test_start_on_demand_that_is_the_same_for_all_runs_once() -> None:
    scaffold, shell = build(action("A", on_demand=True))
    scaffold.start(only(scaffold))
    for scope in (*FAMILIES, None):
        scaffold.open(only(scaffold), scope)
    scaffold.stop(only(scaffold))
    assert shell.commands == ["start A", "stop A"]


def test_start_on_demand_that_fails_is_cleaned_up_and_can_be_tried_again() -> None:
    broken = {"start A 4"}
    scaffold, shell = build(
        action("A", **ON_DEMAND), shell=FakeShell(fails=lambda command: command in broken)
    )
    site = only(scaffold)
    scaffold.start(site)
    with pytest.raises(CommandError):
        scaffold.open(site, "ip")
    assert shell.taken() == ["start A 4", "stop A 4"] and not site.scopes
    broken.clear()
    scaffold.open(site, "ip")
    assert list(site.scopes) == ["ip"]


def test_failing_start_of_what_only_tells_is_not_tried_again() -> None:
    teller = action("T", enforces=False)
    shell = FakeShell(fails=lambda command: command == "start T")
    scaffold, _ = build(action("A"), teller, shell=shell)
    scaffold.base.start()
    for site in scaffold.sites():
        scaffold.start(site)
    assert scaffold.complete and all(site.up for site in scaffold.sites())
    assert shell.taken() == ["start all", "start A", "start T"]


def test_leftovers_are_flushed_and_stopped_the_last_action_first() -> None:
    scaffold, shell = build(action("A", flush="flush A"), action("B"), action("T", enforces=False))
    scaffold.clear()
    assert shell.commands == ["stop B", "flush A", "stop A", "stop all"]


def test_action_that_stays_is_kept_whatever_comes_or_goes_beside_it() -> None:
    scaffold, _ = build(action("A"), action("B"))
    for site in scaffold.sites():
        scaffold.start(site)
    kept = only(scaffold)
    later = {"SSH": [action("C"), action("A")]}
    assert [site.name for site in scaffold.changed(BASE, later)] == ["B"]
    scaffold.replace(BASE, later)
    assert [(site.name, site.up) for site in scaffold.sites()] == [("C", False), ("A", True)]
    assert scaffold.sites()[1] is kept


def test_other_families_change_every_action() -> None:
    scaffold, _ = build(action("A"))
    same = {"SSH": [action("A")]}
    assert scaffold.changed(BASE, same, FAMILIES) == []
    assert scaffold.changed(BASE, same, ("ip",)) == scaffold.sites()
    scaffold.replace(BASE, same, ("ip",))
    assert only(scaffold).firewall.families == ("ip",)


def test_mail_is_sent_at_start_ban_and_stop() -> None:
    post = FakePost()
    mail = ActionSettings("mail", mail=MailActionSettings(), enforces=False)
    scaffold = Scaffold(BASE, {"SSH": [mail]}, FakeShell(), FAMILIES, post=post)
    site = only(scaffold)
    scaffold.start(site)
    scaffold.tell(site, Ban(NOW, None, ticket()))
    scaffold.stop(site)
    scaffold.stop(site)
    assert post.said == ["started SSH", "banned 192.0.2.1", "stopped SSH"]
