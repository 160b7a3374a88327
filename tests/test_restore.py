# SPDX-License-Identifier: GPL-2.0-or-later
"""Bans that outlive the process: told only then, and back after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from fail2ban.decide.bans import Entry, State
from fail2ban.enforce.enforcer import NOT_RESTORED
from fail2ban.records import Ban, MailActionSettings
from tests.helpers import NOW, action, ticket
from tests.test_runner import FakeLedger, World, by_family, teller


def old(*ips: str, jail: str = "SSH", end: float | None = NOW + 600) -> list[Ban]:
    """Return bans of an earlier run."""
    return [Ban(NOW - 60, end, ticket(ip, jail=jail)) for ip in ips]


def restore(world: World, bans: Iterable[Ban], over: Iterable[Ban] = ()) -> list[Entry]:
    world.runner.restore("SSH", bans, over)
    return world.bans.of("SSH")


# Told when it is durable -----------------------------------------------------


def test_ban_is_enforced_at_once_and_told_when_it_would_outlive_us(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = FakeLedger()
    world = World(ledger=ledger)
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    assert entry.state is State.APPLIED and world.started == {"SSH": {"192.0.2.1"}}
    assert "Ban" not in caplog.text and not world.notified and world.kinds() == []
    ledger.commit()
    world.work()
    assert caplog.text.count("SSH: Ban (600 s) 192.0.2.1") == 1
    assert world.notified == [entry.ban] and world.kinds() == ["banned"]


def test_ban_that_is_durable_first_is_told_when_it_is_in_force() -> None:
    ledger = FakeLedger()
    world = World(ledger=ledger)
    world.start()
    world.broken.add("ban SSH")
    world.ban("192.0.2.1")
    ledger.commit()
    world.work()
    assert not world.notified
    world.broken.clear()
    world.pass_time(2)
    assert len(world.notified) == 1


def test_ban_that_is_over_before_it_is_durable_was_never_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = FakeLedger()
    world = World(ledger=ledger)
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.bans.lift(entry)
    ledger.commit()
    world.work()
    assert "Ban" not in caplog.text and "Unban" not in caplog.text
    assert not world.notified and world.kinds() == []
    assert world.started == {"SSH": set()} and world.bans.of("SSH") == []


def test_mail_of_an_action_waits_until_the_ban_is_durable_and_a_command_does_not() -> None:
    mail = replace(teller("M", ban=""), mail=MailActionSettings())
    ledger = FakeLedger()
    world = World(ledger=ledger, SSH=(action(), mail, teller()))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    assert world.told == ["192.0.2.1"] and "banned 192.0.2.1" not in world.post.said
    ledger.commit()
    world.work()
    assert world.post.said.count("banned 192.0.2.1") == 1 and world.told == ["192.0.2.1"]


def test_latency_counts_from_the_line_to_the_command_not_to_the_database() -> None:
    ledger = FakeLedger()
    world = World(ledger=ledger)
    world.start()
    seen = replace(ticket(), seen=world.clock() - 0.25)
    entry = world.bans.ban(seen, 600, world.clock())
    assert entry is not None
    world.work()
    world.clock.advance(30)
    entry.durable = True
    world.runner._banner.tell([entry])
    (event,) = [event for event in world.happened if event.kind == "banned"]
    assert event.facts["seconds"] == pytest.approx(0.25)
    assert (event.facts["restored"], event.facts["dryrun"]) == (False, False)


def test_commands_are_told_with_what_they_were_for_and_how_they_ended() -> None:
    world = World(base=False)
    world.start()
    world.broken.add("ban SSH")
    world.ban("192.0.2.1")
    world.work()
    told = [event for event in world.happened if event.kind == "command"]
    verbs = [(event.facts["verb"], bool(event.facts["error"])) for event in told]
    assert verbs[:3] == [("start", False), ("check", False), ("ban", True)]
    assert (told[2].jail, str(told[2].id), told[2].facts["action"]) == ("SSH", "192.0.2.1", "SSH")
    assert "ban_failed" in world.kinds()


# Restored ---------------------------------------------------------------------


def test_bans_come_back_without_checks(caplog: pytest.LogCaptureFixture) -> None:
    world = World(SSH=(action("A"), action("B")))
    world.start()
    restore(world, old("192.0.2.1", "192.0.2.2"))
    assert world.work() == [
        "ban A 192.0.2.1", "ban B 192.0.2.1", "ban A 192.0.2.2", "ban B 192.0.2.2",
    ]  # fmt: skip
    assert caplog.text.count("Restore Ban (660 s) 192.0.2.1") == 1
    assert not world.notified  # no mail about old ones


def test_bans_that_come_back_hold_up_no_other_ban() -> None:
    world = World(SSH=action(), FTP=action("F"))
    world.start()
    restore(world, old("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    world.ban("192.0.2.9", jail="FTP")
    assert world.work() == [
        "ban SSH 192.0.2.1", "check F", "ban F 192.0.2.9",
        "ban SSH 192.0.2.2", "ban SSH 192.0.2.3",
    ]  # fmt: skip


def test_bans_that_are_lifted_before_they_come_back_never_do() -> None:
    world = World()
    world.start()
    first, second, third = restore(world, old("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    world.bans.lift(second)
    assert world.work() == ["ban SSH 192.0.2.1", "ban SSH 192.0.2.3"]
    assert world.bans.of("SSH") == [first, third]


def test_ban_that_cannot_be_restored_costs_one_and_is_tried_again() -> None:
    world = World()
    world.start()
    world.broken.add("ban SSH 192.0.2.1")
    bad, good = restore(world, old("192.0.2.1", "192.0.2.2"))
    world.work()
    assert (bad.state, good.state) == (State.FAILED, State.APPLIED)
    world.broken.clear()
    world.pass_time(2)
    assert bad.state is State.APPLIED


def test_bans_wait_for_a_firewall_that_cannot_be_set_up_and_say_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=(action(), teller()))
    world.broken.add("start SSH")
    world.start()
    caplog.clear()
    first, second = restore(world, old("192.0.2.1", "192.0.2.2"))
    world.work()
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [
        "SSH/SSH: 2 ban(s) are not in force"
    ]
    assert first.state is State.FAILED
    world.broken.clear()
    world.pass_time(2)
    assert (first.state, second.state) == (State.APPLIED, State.APPLIED)


def test_restoring_obeys_the_end_at_once() -> None:
    world = World()
    world.start()
    restore(world, old(*(f"192.0.2.{number}" for number in range(100))))
    normal = world.shell.fails

    def fails(command: str) -> bool:
        if command == "ban SSH 192.0.2.3":
            world.runner.finish()
        return normal(command)

    world.shell.fails = fails
    world.work()
    assert world.started["SSH"] == {f"192.0.2.{number}" for number in range(4)}


def test_ban_that_ended_meanwhile_runs_no_command_where_nothing_can_be_left() -> None:
    world = World()
    world.start()
    restore(world, [], old("192.0.2.1", end=NOW - 1))
    assert world.work() == [] and world.bans.of("SSH") == []


def test_bans_of_a_section_that_is_no_more_stay_in_the_store() -> None:
    ledger = FakeLedger()
    world = World(ledger=ledger)
    world.start()
    (ban,) = old("192.0.2.1", jail="FTP")
    ledger.rows["FTP", ban.id] = ban
    world.runner.restore("FTP", [ban])
    assert world.work() == [] and world.bans.jails() == set()
    ledger.commit()
    assert ledger.rows == {("FTP", ban.id): ban}


def test_how_long_a_job_has_waited_is_known() -> None:
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.clock.advance(3)
    world.work()
    assert world.runner.delay == pytest.approx(3) and world.runner.busy == 0


# Not restored ------------------------------------------------------------------


def test_action_that_restores_nobody_neither_bans_nor_unbans_and_the_others_do() -> None:
    world = World(SSH=(action("A", norestored=True), action("B"), teller(norestored=True)))
    world.start()
    (entry,) = restore(world, old("192.0.2.1"))
    world.work()
    assert entry.state is State.APPLIED and world.started == {"A": set(), "B": {"192.0.2.1"}}
    world.flush()
    world.check("SSH")
    world.work()
    assert world.started == {"A": set(), "B": {"192.0.2.1"}} and not world.told
    world.bans.lift(entry)
    assert [one for one in world.work() if one.startswith("unban")] == ["unban B 192.0.2.1"]
    assert world.bans.of("SSH") == []


def test_ban_that_no_action_restores_is_not_said_to_be_in_force(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=action("A", norestored=True))
    world.start()
    entries = restore(world, old("192.0.2.1", "192.0.2.2"))
    world.work()
    assert {entry.state for entry in entries} == {State.FAILED}
    assert entries[0].error == NOT_RESTORED
    assert caplog.text.count(NOT_RESTORED) == 1 and "Restore Ban" not in caplog.text
    world.pass_time(1000, step=50)
    commands = [c for c in world.shell.commands if "ban" in c]
    assert world.started == {"A": set()} and commands == []


# After kill -9 --------------------------------------------------------------------


def test_bans_that_nothing_has_cleared_are_lifted_before_they_come_back() -> None:
    """Without a flush, a stop and a check only an unban removes a rule."""
    plain = action("A", start="", stop="", check="")
    world = World(base=False, SSH=plain)
    world.started = {"A": {"192.0.2.1", "192.0.2.2", "192.0.2.3"}}
    world.runner._heritage.enter(True, {})
    world.start()
    restore(world, old("192.0.2.1", "192.0.2.2"), old("192.0.2.3", end=NOW - 1))
    assert world.work() == [
        "unban A 192.0.2.3",
        "unban A 192.0.2.1", "ban A 192.0.2.1", "unban A 192.0.2.2", "ban A 192.0.2.2",
    ]  # fmt: skip
    assert not world.doubles and world.started == {"A": {"192.0.2.1", "192.0.2.2"}}


def test_end_before_the_bans_come_back_leaves_nothing_of_a_killed_run() -> None:
    plain = action("A", start="", stop="", check="")
    world = World(base=False, SSH=plain)
    world.started = {"A": {"192.0.2.1", "192.0.2.2"}}
    world.runner.restore("SSH", old("192.0.2.1"), old("192.0.2.2", end=NOW - 1))
    world.runner.finish()
    world.runner._builder.set_up = lambda **how: None  # type: ignore[assignment,method-assign,return-value]
    world.runner._scaffold.sites()[0].up = True
    world.runner.run(unclean=True)
    assert world.started == {"A": set()}


def test_what_a_killed_run_left_of_a_section_that_is_no_more_is_removed() -> None:
    first = World(SSH=action(), FTP=(action("F", flush="flush F"), by_family("G")))
    first.runner._remember(first.runner._heritage.farewells())
    first.runner._builder.set_up()
    first.ban("192.0.2.1", "FTP")
    first.work()
    second = World(SSH=action())
    second.started, second.base = first.started, first.base
    second.runner.finish()
    second.runner.run(unclean=True, left=first.texts)
    assert second.shell.taken() == [
        "flush F", "stop F", "stop G4", "stop G6", "stop SSH", "stop all",
    ]  # fmt: skip
    assert second.started == {} and second.texts == {}


def test_texts_of_a_killed_run_are_enough_to_know_that_it_was_killed() -> None:
    first = World()
    first.runner._remember(first.runner._heritage.farewells())
    second = World()
    second.started, second.base = {"SSH": {"192.0.2.9"}}, True
    second.runner.finish()
    second.runner.run(left=first.texts)
    assert second.shell.taken()[:2] == ["stop SSH", "stop all"]


def test_texts_that_cannot_be_read_are_said_and_do_not_stop_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for text in ("{", "[]", "{}", '{"actions": [{}], "boot": "x", "kept": true}', "null"):
        world = World()
        world.runner.finish()
        world.runner.run(left={"FTP": text, "": text})
        assert "what the last run has left in the firewall is not known" in caplog.text
        caplog.clear()
