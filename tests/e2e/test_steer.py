# SPDX-License-Identifier: GPL-2.0-or-later
"""Jails that rest, stop, start and are added while the daemon runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon, wait_until
from tests.e2e.test_control import ask
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned, unbanned

STOPPED, STARTED = ("Jail stopped\n", 0), ("Jail started\n", 0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.jails(site.jail("one"), site.jail("two"))
    return site


@pytest.fixture
def daemon(site: Site) -> Iterator[RunningDaemon]:
    with site.running() as daemon:
        site.wait_for("start one", "start two")
        yield daemon
        assert daemon.stop() == 0


def test_a_jail_at_rest_reads_nothing_and_goes_on_where_it_was(
    site: Site, daemon: RunningDaemon
) -> None:
    site.attack(ATTACKER, "one")
    daemon.wait_for(banned("one", ATTACKER))
    assert ask(site, "set", "one", "bantime", "2") == ("2\n", 0)
    assert ask(site, "set", "one", "banip", THIRD) == ("1\n", 0)
    assert ask(site, "set", "one", "idle", "on") == ("True\n", 0)
    site.attack(OTHER, "one")
    daemon.wait_for(unbanned("one", THIRD))  # bans end as ever
    time.sleep(1.5)  # longer than between two looks at the log
    assert daemon.count(OTHER) == 0
    assert ask(site, "set", "one", "findtime", "700") == ("700\n", 0)
    assert daemon.count(OTHER) == 0
    assert ask(site, "set", "one", "idle", "off") == ("False\n", 0)
    daemon.wait_for(banned("one", OTHER))
    assert daemon.count(rf"Found {ATTACKER}") == 1


def test_a_reload_ends_the_rest(site: Site, daemon: RunningDaemon) -> None:
    for words in (["reload"], ["reload", "one"]):
        assert ask(site, "set", "one", "idle", "on") == ("True\n", 0)
        assert ask(site, *words) == ("OK\n", 0)
        site.attack(ATTACKER if words[1:] else OTHER, "one")
        daemon.wait_for(banned("one", ATTACKER if words[1:] else OTHER))


def test_a_jail_that_is_stopped_lets_go_and_is_gone(site: Site, daemon: RunningDaemon) -> None:
    site.attack(ATTACKER, "one")
    daemon.wait_for(banned("one", ATTACKER))
    assert ask(site, "stop", "one") == STOPPED
    assert site.notes()[-2:] == [f"unban one {ATTACKER}", "stop one"]
    assert daemon.count(rf"\[one\] Repeal Ban {ATTACKER}$") == 1
    assert ask(site, "status", "one") == ("Sorry but the jail 'one' does not exist\n", 255)
    assert ask(site, "stop", "one")[1] == 255
    site.attack(OTHER, "one")
    site.attack(OTHER, "two")
    daemon.wait_for(banned("two", OTHER))
    assert daemon.count(rf"\[one\] Found {OTHER}") == 0


def test_a_stopped_jail_starts_with_what_was_set_by_hand(site: Site, daemon: RunningDaemon) -> None:
    assert ask(site, "set", "one", "maxretry", "2") == ("2\n", 0)
    assert ask(site, "stop", "one") == STOPPED
    assert ask(site, "start", "one") == STARTED
    wait_until(lambda: site.notes().count("start one") == 2)
    assert ask(site, "get", "one", "maxretry") == ("2\n", 0)
    site.attack(ATTACKER, "one", times=2)
    daemon.wait_for(banned("one", ATTACKER))
    assert ask(site, "start", "one") == STARTED  # it runs, and goes on
    assert ask(site, "stop", "one") == STOPPED
    assert ask(site, "reload") == ("OK\n", 0)
    assert ask(site, "get", "one", "maxretry") == ("1\n", 0)


def test_a_jail_without_an_action_is_stopped_with_its_bans(
    site: Site, daemon: RunningDaemon
) -> None:
    assert ask(site, "set", "two", "delaction", "note") == ("None\n", 0)
    assert ask(site, "set", "two", "banip", ATTACKER) == ("1\n", 0)
    daemon.wait_for(banned("two", ATTACKER))
    assert ask(site, "stop", "two") == STOPPED
    assert daemon.count(rf"\[two\] Repeal Ban {ATTACKER}$") == 1


def test_a_jail_is_made_by_hand(site: Site, daemon: RunningDaemon) -> None:
    log = site.log("new")
    log.touch()
    command = f"echo {{}} <name> <ip> >> {site.out}"
    for words, answer in (
        (["add", "new", "polling"], "Added jail new\n"),
        (["set", "new", "addaction", "mine"], "mine\n"),
        (["set", "new", "action", "mine", "actionban", command.format("hit")], None),
        (["set", "new", "action", "mine", "actionunban", command.format("free")], None),
        (["set", "new", "addlogpath", str(log)], None),
        (["set", "new", "addfailregex", "failed login of .* from <HOST>$"], None),
        (["set", "new", "maxretry", "1"], "1\n"),
        (["set", "new", "banip", THIRD], "1\n"),
    ):
        text, status = ask(site, *words)
        assert status == 0 and answer in (None, text), words
    site.attack(ATTACKER, "new")
    time.sleep(1.5)  # longer than between two looks at the log
    assert daemon.count(ATTACKER) == 0 and "hit" not in "".join(site.notes())
    assert ask(site, "start", "new") == STARTED
    daemon.wait_for(banned("new", ATTACKER))
    site.wait_for(f"hit new {ATTACKER}", f"hit new {THIRD}")
    assert ask(site, "reload") == ("OK\n", 0)
    site.wait_for(f"free new {ATTACKER}", f"free new {THIRD}")
    assert ask(site, "status", "new")[1] == 255


def test_an_action_is_added_to_a_jail_that_runs_and_taken_away(
    site: Site, daemon: RunningDaemon
) -> None:
    site.attack(ATTACKER, "one")
    daemon.wait_for(banned("one", ATTACKER))
    command = f"echo {{}} <ip> >> {site.out}"
    assert ask(site, "set", "one", "addaction", "mine") == ("mine\n", 0)
    assert ask(site, "set", "one", "action", "mine", "actionunban", command.format("free"))[1] == 0
    assert ask(site, "set", "one", "action", "mine", "actionban", command.format("hit"))[1] == 0
    site.wait_for(f"hit {ATTACKER}")
    assert ask(site, "set", "one", "delaction", "mine") == ("None\n", 0)
    site.wait_for(f"free {ATTACKER}")
    assert f"unban one {ATTACKER}" not in site.notes()


def test_commands_of_an_action_are_run_by_hand_where_that_makes_sense(
    site: Site, daemon: RunningDaemon
) -> None:
    def call(method: str, ip: str) -> tuple[str, int]:
        info = f'{{"aInfo": {{"ip": "{ip}"}}}}'
        return ask(site, "set", "one", "action", "note", method, info)

    site.attack(ATTACKER, "one")
    daemon.wait_for(banned("one", ATTACKER))
    assert call("unban", OTHER) == ("None\n", 0)
    site.wait_for(f"unban one {OTHER}")
    assert call("ban", ATTACKER) == ("None\n", 0)
    wait_until(lambda: site.notes().count(f"ban one {ATTACKER}") == 2)
    assert call("ban", OTHER)[1] == call("unban", ATTACKER)[1] == 255
    assert f"ban one {OTHER}" not in site.notes()
