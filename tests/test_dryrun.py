# SPDX-License-Identifier: GPL-2.0-or-later
"""A section whose commands are shown and not run, beside others that are real."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fail2ban.decide.bans import State
from fail2ban.enforce import shell
from fail2ban.enforce.site import Modes
from fail2ban.records import MailActionSettings
from tests.helpers import action, jail_settings
from tests.test_runner import World, teller

DRY = Modes(dry=frozenset({"SSH"}))


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


def test_commands_of_a_dry_section_are_shown_and_those_of_others_run() -> None:
    world = World(base=False, modes=DRY, SSH=(action(), teller()), FTP=action("FTP"))
    world.runner._builder.set_up()
    entries = [world.ban("192.0.2.1"), world.ban("192.0.2.1", "FTP")]
    ran = world.work()
    assert ran == ["start FTP", "check FTP", "ban FTP 192.0.2.1"]
    assert world.shown == ["start SSH", "check SSH", "ban SSH 192.0.2.1", "tell T 192.0.2.1"]
    assert {entry.state for entry in entries} == {State.APPLIED}


def test_dry_ban_is_told_as_such_and_nobody_gets_a_mail(caplog: pytest.LogCaptureFixture) -> None:
    mail = replace(teller("M", ban=""), mail=MailActionSettings())
    world = World(base=False, modes=DRY, SSH=(action(), mail))
    world.runner._builder.set_up()
    entry = world.ban("192.0.2.1")
    world.work()
    world.bans.lift(entry)
    world.work()
    text = caplog.text
    assert "[SSH] dry run: 192.0.2.1 would be banned\n" in text
    assert "[SSH] dry run: 192.0.2.1 would not be banned any more" in text
    assert "Ban" not in text and "Unban" not in text
    assert not world.notified and world.post.said == []
    assert "[SSH] would send a mail: banned" in text
    told = [event for event in world.happened if event.kind in ("banned", "unbanned", "command")]
    assert told and all(event.facts["dryrun"] for event in told)


def test_nothing_is_checked_or_done_again_where_nothing_is() -> None:
    world = World(base=False, modes=DRY)
    world.runner._builder.set_up()
    entry = world.ban("192.0.2.1")
    world.work()
    world.shown.clear()
    world.runner._check_regularly()
    world.bans.renew(entry)
    world.pass_time(60)
    assert world.shown == [] and world.shell.commands == []


def test_common_ground_is_real_as_soon_as_one_section_is() -> None:
    dry = World(modes=DRY)
    dry.runner._builder.set_up()
    assert dry.shown == ["start all", "start SSH"] and dry.work() == []
    mixed = World(modes=DRY, SSH=action(), FTP=action("FTP"))
    mixed.runner._builder.set_up()
    assert mixed.shown == ["start SSH"] and mixed.work() == ["start all", "start FTP"]


@pytest.mark.parametrize("base", [False, True])
def test_switching_it_on_takes_the_real_rules_down_and_off_sets_them_up(
    base: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(base=base, SSH=(action(), teller()))
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.runner.reconfigure(world.settings, world.actions, modes=DRY)
    ran = world.work()
    assert ran == ["unban SSH 192.0.2.1", "stop SSH"] + ["stop all"] * base
    assert world.started == {} and world.base is not base
    assert "SSH: Unban 192.0.2.1" in caplog.text and "192.0.2.1 would be banned" in caplog.text
    assert entry.state is State.APPLIED and len(world.notified) == 1
    caplog.clear()
    world.runner.reconfigure(world.settings, world.actions, modes=Modes())
    assert world.work() == ["start all"] * base + [
        "start SSH", "ban SSH 192.0.2.1", "tell T 192.0.2.1",
    ]  # fmt: skip
    assert "SSH: Ban (600 s) 192.0.2.1" in caplog.text
    assert world.started == {"SSH": {"192.0.2.1"}} and len(world.notified) == 2


def test_reload_without_a_change_of_mode_touches_nothing() -> None:
    world = World(base=False, modes=DRY)
    world.runner._builder.set_up()
    world.ban("192.0.2.1")
    world.work()
    world.shown.clear()
    world.runner.reconfigure(world.settings, world.actions, modes=DRY)
    world.runner.reconfigure(world.settings, world.actions)
    assert world.work() == [] and world.shown == []


def test_rules_of_a_killed_run_are_removed_for_real_although_the_section_is_dry_now() -> None:
    first = World(base=False)
    first.runner._remember(first.runner._heritage.farewells())
    first.runner._builder.set_up()
    first.ban("192.0.2.1")
    first.work()
    second = World(base=False, modes=DRY)
    second.started = first.started
    second.runner._heritage.enter(True, first.texts)
    assert second.shell.taken() == ["stop SSH"] and second.shown == [] and not second.started
    assert second.runner._heritage.farewells() == {}


def test_modes_are_what_sections_ask_for() -> None:
    jails = [
        replace(jail_settings("a"), dryrun=True, onstop="keep"),
        replace(jail_settings("b"), onstop="keep"),
        jail_settings("c"),
    ]
    assert Modes.of(jails) == Modes(frozenset("a"), frozenset("b"))
    assert Modes.of(jails, dry=True) == Modes(frozenset("abc"), frozenset())


def test_rehearsal_names_the_section_and_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    shell.rehearsal("SSH")("echo $1 | x", {}, 10, "sh", "a\nb")
    assert [one.getMessage() for one in caplog.records] == [
        "[SSH] would run: echo $1 | x",
        "[SSH]   with $1: a\\nb",
    ]
