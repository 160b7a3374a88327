# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon tells of somebody: bans and their state, failures, what happened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from fail2ban.control.host import NoJail
from fail2ban.decide.bans import State
from fail2ban.events import Event
from fail2ban.records import Failure, Id, IgnoreSettings
from fail2ban.steering import Steering
from tests.helpers import NOW
from tests.test_steering import World

IP, OTHER, SIX = ip_address("192.0.2.77"), ip_address("192.0.2.99"), ip_address("2001:db8::7")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.jails.close()
    made.messages.close()


def test_bans_are_told_with_their_state_the_first_to_end_first(world: World) -> None:
    world.steering.ban("one", [IP])
    world.clock.advance(5)
    world.steering.ban("one", [OTHER, SIX])
    entry = world.bans.get("one", IP)
    assert entry is not None
    entry.state, entry.part("a").error = State.FAILED, "no such table"
    gone = world.bans.get("one", SIX)
    assert gone is not None
    world.bans.lift(gone)
    held = world.steering.held("one")
    assert [(one.ban.id, one.state, one.error) for one in held] == [
        (IP, "failed", "no such table"),
        (OTHER, "wanted", ""),
    ]
    assert world.steering.held("two") == []


def test_a_section_says_how_it_sees_somebody(world: World) -> None:
    judge = world.jails.judge("one")
    assert judge is not None
    judge.hear(Failure("one", IP, NOW - 5, ("a line",)))
    judge.hear(Failure("one", IP, NOW, ("a line",)))
    # The name servers are asked for this host's own addresses first.
    deadline = time.monotonic() + 30
    while len(world.steering.regard("one", IP).times) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    regard = world.steering.regard("one", IP)
    assert (regard.ignored, regard.times) == (None, (NOW - 5, NOW))
    assert world.steering.regard("one", OTHER).times == ()
    ignore = IgnoreSettings(networks=(ip_network("192.0.2.0/24"),))
    settings = replace(world.settings.jails[0], ignore=ignore)
    judge.configure(settings)
    assert world.steering.regard("one", IP).ignored == "ip"


def test_sections_that_do_not_run_are_told(world: World) -> None:
    for ask in (world.steering.held, lambda name: world.steering.regard(name, IP)):
        with pytest.raises(NoJail):
            ask("x")


@pytest.mark.parametrize(
    ("id", "count", "among"),
    [
        (IP, 33, ip_network("192.0.2.64/26")),
        (SIX, 129, ip_network("2001:db8::/32")),
        (ip_network("192.0.2.0/24"), 25, ip_network("0.0.0.0/0")),
        ("alice", 1, "alice"),
    ],
)
def test_what_happened_to_networks_around_it_counts(
    world: World, id: Id, count: int, among: Id
) -> None:
    asked: list[Id] = []
    event = Event(NOW, "found", "one", id)

    def recorded(ids: Sequence[Id]) -> list[Event]:
        asked.extend(ids)
        return [event]

    wheel = replace(world.steering._wheel, recorded=recorded)
    assert Steering(wheel).why(id) == [event]
    assert len(asked) == len(set(asked)) == count
    assert asked[0] == id and among in asked
