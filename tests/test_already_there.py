# SPDX-License-Identifier: GPL-2.0-or-later
"""An address that a firewall may hold already is lifted before it is banned.

A second `iptables -I` makes a rule that the unban leaves behind; a second `nft add
element` leaves the time at which an older kernel lifts the first.
"""

from __future__ import annotations

import pytest

from fail2ban.decide.bans import Entry, State
from fail2ban.errors import CommandError
from fail2ban.records import ActionSettings
from tests.helpers import action
from tests.test_batches import BATCH, Kernel, addresses, ban, kernel, plain
from tests.test_runner import World

ADD = "nft add element inet t A { 192.0.2.1 }"


def _kill(world: World, verb: str, effective: bool = True) -> None:
    """Have one command, or one batch, killed: after it has done its work, or before."""
    usual = world.shell.fails

    def fails(command: str) -> bool:
        if verb not in command:
            return usual(command)
        world.shell.fails = usual
        if effective:
            usual(command)
        raise CommandError(f"'{command}' took more than 60 s and was killed")

    world.shell.fails = fails


def _banned_at_last(world: World, entry: Entry) -> bool:
    """Tell whether a ban is in force, once, and its end leaves nothing."""
    world.pass_time(60)
    assert entry.state is State.APPLIED and not world.doubles
    world.bans.lift(entry)
    world.pass_time(1)
    return world.started == {"A": set()}


@pytest.mark.parametrize("effective", [True, False])
@pytest.mark.parametrize("how", [plain(), action("A")])
def test_a_ban_whose_command_was_killed_is_not_there_twice(
    how: ActionSettings, effective: bool
) -> None:
    world = Kernel(base=False, SSH=(how,))
    world.start()
    _kill(world, "ban A" if how == action("A") else "add element", effective)
    entry = world.ban("192.0.2.1")
    world.work()
    assert entry.state is State.FAILED
    assert _banned_at_last(world, entry)


def test_a_batch_that_was_killed_is_not_there_twice() -> None:
    world = kernel()
    _kill(world, BATCH)
    entries = ban(world, addresses(50))
    world.work()
    assert {entry.state for entry in entries} == {State.FAILED}
    world.clock.advance(1)
    assert world.work().count(BATCH) == 2  # those that may be there go, then all come
    assert {entry.state for entry in entries} == {State.APPLIED} and not world.doubles


def test_a_ban_after_one_that_could_not_be_lifted_begins_anew() -> None:
    world = kernel()
    first = world.ban("192.0.2.1")
    world.work()
    _kill(world, "delete element", effective=False)
    world.bans.lift(first)
    second = world.ban("192.0.2.1", bantime=6000)
    assert world.work()[-3:-1] == [ADD.replace("add", "delete"), ADD]
    assert _banned_at_last(world, second)


def test_a_ban_whose_command_said_no_is_tried_again_without_more_ado() -> None:
    """It may be another section that has the address in the same list."""
    world = kernel()
    world.broken.add("ban A")
    world.ban("192.0.2.1")
    world.work()
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == [ADD, "check A"]


def test_a_lone_ban_comes_before_the_check_and_is_told_behind_it() -> None:
    world = kernel()
    told = []
    usual = world.shell.fails

    def fails(command: str) -> bool:
        told.append(len(world.notified))
        return usual(command)

    world.shell.fails = fails
    world.ban("192.0.2.1")
    assert world.work() == [ADD, "check A"]
    assert told == [0, 0] and len(world.notified) == 1


def test_a_lone_ban_that_might_set_up_what_is_gone_comes_behind_the_check() -> None:
    world = kernel(action("A", ban="ban A <ip> >> list"))
    world.ban("192.0.2.1")
    assert world.work() == ["check A", "ban A 192.0.2.1 >> list"]


def test_a_lone_ban_to_which_no_rule_leads_any_more_is_in_force_after_the_repair(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = kernel()
    ban(world, addresses(3))
    world.work()
    world.broken.add("check A")
    usual = world.shell.fails

    def fails(command: str) -> bool:
        if command == "start A":
            world.broken.clear()
        return usual(command)

    world.shell.fails = fails
    last = world.ban("192.0.2.9")
    world.work()
    assert caplog.text.count("reinitialization") == 1 and last.state is State.APPLIED
    assert world.started == {"A": {*addresses(3), "192.0.2.9"}} and not world.doubles


def test_a_lone_ban_to_which_no_rule_leads_is_not_believed_until_one_does() -> None:
    world = kernel()
    world.broken |= {"check A", "start A"}
    entry = world.ban("192.0.2.1")
    world.pass_time(20)
    assert entry.state is State.FAILED and not world.notified
    world.broken.clear()
    assert _banned_at_last(world, entry)


def test_a_check_that_fails_for_a_while_leaves_no_ban_twice() -> None:
    world = kernel()
    world.broken.add("check A")
    for site in world.runner._scaffold.sites():
        site.repair_allowed = world.clock() + 1e6
    entry = world.ban("192.0.2.1")
    world.pass_time(20)
    assert entry.state is State.FAILED and not world.notified
    world.broken.clear()
    assert _banned_at_last(world, entry)
