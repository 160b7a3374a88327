# SPDX-License-Identifier: GPL-2.0-or-later
"""What the runner does when a hand restarts, stops or uses sections; no threads, no shell."""

from __future__ import annotations

import threading
from ipaddress import ip_address

from fail2ban.decide.bans import State
from fail2ban.records import Ban
from tests.helpers import action, ticket
from tests.test_runner import FakeLedger, World


def test_a_restart_takes_one_section_down_and_brings_its_bans_back() -> None:
    world = World(SSH=action(), Web=action("Web"))
    world.start()
    kept, other = world.ban("192.0.2.1"), world.ban("192.0.2.1", "Web")
    world.work()
    world.runner.reconfigure(world.settings, world.actions, anew={"SSH"})
    assert world.work() == [
        "unban SSH 192.0.2.1", "stop SSH", "start SSH", "ban SSH 192.0.2.1",
    ]  # fmt: skip
    assert kept.state is other.state is State.APPLIED
    assert world.started == {"SSH": {"192.0.2.1"}, "Web": {"192.0.2.1"}}


def test_a_section_with_no_action_is_ended_with_its_bans() -> None:
    world = World(ledger=FakeLedger(), SSH=action(), Web=())
    world.start()
    world.ban("192.0.2.1", "Web")
    world.ledger.commit()  # type: ignore[union-attr]
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": world.actions["SSH"]})
    world.work()
    assert world.bans.of("Web") == []
    world.ledger.commit()  # type: ignore[union-attr]
    assert len(world.ledger.rows) == 1  # type: ignore[union-attr]


def test_an_action_lets_go_who_is_not_banned_and_nobody_else() -> None:
    world = World()
    world.start()
    world.started["SSH"] = {"192.0.2.7"}  # left by whoever
    now = world.clock()
    for name in ("SSH", "another"):
        world.runner.let_go(name, Ban(now, now, ticket("192.0.2.7")))
    world.ban("192.0.2.8")
    world.runner.let_go("SSH", Ban(now, now, ticket("192.0.2.8")))
    assert world.work() == ["unban SSH 192.0.2.7", "check SSH", "ban SSH 192.0.2.8"]
    assert world.started["SSH"] == {"192.0.2.8"}


def test_who_waits_goes_on_when_all_is_done_or_time_is_up_or_the_end_has_come() -> None:
    world = World()
    done: list[bool] = []

    def wait() -> None:
        done.append(world.runner.wait(5.0))

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive():
        world.work()
    assert done == [True]
    assert not world.runner.wait(-1.0)
    world.runner.finish()
    assert not world.runner.wait(5.0)


def test_a_section_that_begins_again_counts_from_the_bans_in_force_on() -> None:
    world = World()
    world.start()
    for ip in ("192.0.2.1", "192.0.2.2"):
        world.ban(ip)
    world.work()
    lifted = world.bans.get("SSH", ip_address("192.0.2.2"))
    assert lifted is not None
    world.bans.lift(lifted)
    assert world.bans.total("SSH") == 2
    world.bans.recount("SSH")
    assert world.bans.total("SSH") == 1
