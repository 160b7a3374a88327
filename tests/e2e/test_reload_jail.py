# SPDX-License-Identifier: GPL-2.0-or-later
"""A reload that a hand asks for: of everything or of one jail, with a restart, or refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon, wait_until
from tests.e2e.test_control import ask
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned

OK = ("OK\n", 0)


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


def ban(site: Site, daemon: RunningDaemon, ip: str, *jails: str) -> None:
    for jail in jails:
        site.attack(ip, jail)
        daemon.wait_for(banned(jail, ip))


def test_only_the_jail_that_was_named_is_changed(site: Site, daemon: RunningDaemon) -> None:
    ban(site, daemon, ATTACKER, "one", "two")
    assert ask(site, "set", "two", "maxretry", "9") == ("9\n", 0)
    site.jails(site.jail("one", maxretry="5"), site.jail("two", maxretry="6"))
    assert ask(site, "reload", "one") == OK
    assert ask(site, "get", "one", "maxretry") == ("5\n", 0)
    assert ask(site, "get", "two", "maxretry") == ("9\n", 0)
    assert ask(site, "banned", ATTACKER) == ("[['one', 'two']]\n", 0)
    assert ask(site, "reload") == OK
    assert ask(site, "get", "two", "maxretry") == ("6\n", 0)
    assert not any(note.startswith("unban") for note in site.notes())


def test_a_jail_is_restarted_and_keeps_its_bans(site: Site, daemon: RunningDaemon) -> None:
    ban(site, daemon, ATTACKER, "one", "two")
    seen = len(site.notes())
    assert ask(site, "reload", "--restart", "one") == OK
    wait_until(lambda: len(site.notes()) == seen + 4)
    expected = [f"unban one {ATTACKER}", "stop one", "start one", f"ban one {ATTACKER}"]
    assert site.notes()[seen:] == expected
    assert ask(site, "banned", ATTACKER) == ("[['one', 'two']]\n", 0)
    ban(site, daemon, OTHER, "one")
    assert daemon.count(rf"\[one\] Found {ATTACKER}") == 1


def test_a_restart_with_unban_lets_everybody_go(site: Site, daemon: RunningDaemon) -> None:
    ban(site, daemon, ATTACKER, "one", "two")
    assert ask(site, "restart", "--unban", "one") == OK
    assert ask(site, "banned", ATTACKER) == ("[['two']]\n", 0)
    wait_until(lambda: site.notes().count("start one") == 2)
    assert site.notes().count(f"ban one {ATTACKER}") == 1
    assert "Total banned:\t0" in ask(site, "status", "one")[0]


def test_all_jails_are_restarted(site: Site, daemon: RunningDaemon) -> None:
    ban(site, daemon, ATTACKER, "one", "two")
    assert ask(site, "reload", "--restart", "--all") == OK
    wait_until(
        lambda: [site.notes().count(f"ban {j} {ATTACKER}") for j in ("one", "two")] == [2, 2]
    )
    assert [site.notes().count(f"start {jail}") for jail in ("one", "two")] == [2, 2]


def test_a_broken_configuration_is_refused_as_a_whole(site: Site, daemon: RunningDaemon) -> None:
    ban(site, daemon, ATTACKER, "one")
    broken = site.jail("one", filter="nosuch"), site.jail("two", maxretry="5"), site.jail("new")
    site.jails(*broken)
    for words in (["reload"], ["reload", "--restart", "--unban"], ["reload", "--unban", "one"]):
        text, status = ask(site, *words)
        assert status == 255
        first, last = text.splitlines()
        assert first.startswith(f"{site.tree}/jail.conf:") and "[one] filter: " in first
        assert last == "configuration: The configuration cannot be used: the old settings stay"
    assert ask(site, "get", "two", "maxretry") == ("1\n", 0)
    assert ask(site, "banned", ATTACKER) == ("[['one']]\n", 0)
    assert ask(site, "status") == ("Status\n|- Number of jail:\t2\n`- Jail list:\tone, two\n", 0)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("ERROR +The configuration cannot be used", times=4)
    assert ask(site, "get", "two", "maxretry") == ("1\n", 0)
    # What is wrong with one does not concern the other.
    assert ask(site, "reload", "two") == OK
    assert ask(site, "get", "two", "maxretry") == ("5\n", 0)
    site.jails(site.jail("one", enabled="false", filter="nosuch"), *broken[1:])
    assert ask(site, "reload") == OK
    assert ask(site, "status") == ("Status\n|- Number of jail:\t2\n`- Jail list:\tnew, two\n", 0)


def test_a_pattern_that_breaks_is_refused_and_one_that_was_broken_is_not(site: Site) -> None:
    broken = "[Definition]\nfailregex = failed login of .* from <HOST>$\n            (<HOST>\n"
    site.put("filter.d/half.conf", broken)
    site.jails(site.jail("one", filter="half"), site.jail("two"))
    with site.running() as daemon:
        ban(site, daemon, ATTACKER, "one")
        assert ask(site, "reload") == OK
        site.put("filter.d/plain.local", broken.replace("(<HOST>", "[<HOST>"))
        text, status = ask(site, "reload")
        assert status == 255 and "[two] failregex: " in text and "[one]" not in text
        ban(site, daemon, ATTACKER, "two")
        assert daemon.stop() == 0


def test_a_jail_that_does_not_run_is_only_started_when_that_is_meant(
    site: Site, daemon: RunningDaemon
) -> None:
    site.jails(site.jail("one"), site.jail("two"), site.jail("new"))
    unknown = ("Sorry but the jail 'new' does not exist\n", 255)
    assert ask(site, "reload", "new") == ask(site, "restart", "new") == unknown
    assert ask(site, "reload", "--if-exists", "new") == OK
    ban(site, daemon, THIRD, "new")
    site.jails(site.jail("one"), site.jail("two"), site.jail("new", enabled="false"))
    assert ask(site, "reload", "new") == OK
    assert ask(site, "status", "new") == unknown
    site.jails(site.jail("one"))
    text = "Sorry but the jail 'two' does not exist\n"
    assert ask(site, "reload", "two") == (text, 255)
    assert ask(site, "status", "two")[1] == 0  # it still runs
