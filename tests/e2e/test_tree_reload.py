# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reload of a tree changes, and what it leaves alone."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import RunningDaemon, wait_until
from tests.e2e.test_journal import Writer, with_remote
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned

pytestmark = needs.root()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


class Reloads:
    """Counts reloads of a daemon and waits for each."""

    def __init__(self, daemon: RunningDaemon) -> None:
        self._daemon, self._count = daemon, 0

    def __call__(self) -> None:
        self._count += 1
        self._daemon.signal(signal.SIGHUP)
        self._daemon.wait_for("The configuration is in use$", times=self._count)


def test_a_reload_starts_new_jails_and_ends_those_that_are_gone(site: Site) -> None:
    old, kept, new = (site.jail(name) for name in ("old", "kept", "new"))
    site.jails(old, kept)
    with site.running() as daemon:
        reload = Reloads(daemon)
        for jail in ("old", "kept"):
            site.attack(ATTACKER, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        site.jails(kept, name="jail.conf")
        site.jails(new, name="jail.d/more.conf")
        reload()
        site.wait_for("start new", f"unban old {ATTACKER}", "stop old")
        site.attack(OTHER, "new")
        daemon.wait_for(banned("new", OTHER))
        assert f"unban kept {ATTACKER}" not in site.notes()
        assert site.notes().count("start kept") == 1
        assert daemon.stop() == 0


def test_disabling_the_last_jail_ends_it(site: Site) -> None:
    site.jails(site.jail("sshd"))
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd")
        daemon.wait_for(banned("sshd", ATTACKER))
        site.jails(site.jail("sshd", enabled="false"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("The configuration is in use|old settings stay")
        assert daemon.count("old settings stay") == 0
        site.wait_for(f"unban sshd {ATTACKER}", "stop sshd")
        assert daemon.stop() == 0


def test_who_a_reload_puts_on_the_list_is_let_go(site: Site) -> None:
    site.jails(site.jail("sshd"))
    with site.running() as daemon:
        reload = Reloads(daemon)
        for ip in (ATTACKER, OTHER):
            site.attack(ip, "sshd")
            daemon.wait_for(banned("sshd", ip))
        site.jails(site.jail("sshd", ignoreip=f"{ATTACKER}/30"))
        reload()
        site.wait_for(f"unban sshd {ATTACKER}")
        assert f"unban sshd {OTHER}" not in site.notes()
        assert daemon.stop() == 0


def test_a_reload_moves_the_log(site: Site) -> None:
    site.jails(site.jail("sshd"))
    with site.running() as daemon:
        other = site.root / "other.log"
        site.put("fail2ban.local", f"[Definition]\nlogtarget = {other}\nloglevel = NOTICE\n")
        daemon.signal(signal.SIGHUP)
        wait_until(other.exists)
        site.attack(ATTACKER, "sshd")
        wait_until(lambda: re.search(banned("sshd", ATTACKER), other.read_text()) is not None)
        assert daemon.stop() == 0
    assert ATTACKER not in site.logfile.read_text()


def test_bans_in_force_get_an_action_that_a_reload_adds(site: Site) -> None:
    site.jails(site.jail("sshd"))
    with site.running() as daemon:
        reload = Reloads(daemon)
        site.attack(ATTACKER, "sshd")
        daemon.wait_for(banned("sshd", ATTACKER))
        site.jails(site.jail("sshd", action="note\n note[name=second]"))
        reload()
        site.wait_for("start second", f"ban second {ATTACKER}")
        site.attack(OTHER, "sshd")
        site.wait_for(f"ban sshd {OTHER}", f"ban second {OTHER}")
        assert site.notes().count(f"ban sshd {ATTACKER}") == 1
        assert daemon.stop() == 0
    assert {f"unban {name} {ATTACKER}" for name in ("sshd", "second")} <= set(site.notes())


def test_an_action_that_a_reload_removes_lets_its_bans_go_and_the_other_keeps_them(
    site: Site,
) -> None:
    site.jails(site.jail("sshd", action="note note[name=second]"))
    with site.running() as daemon:
        reload = Reloads(daemon)
        site.attack(ATTACKER, "sshd")
        site.wait_for(f"ban sshd {ATTACKER}", f"ban second {ATTACKER}")
        site.jails(site.jail("sshd"))
        reload()
        site.wait_for("stop second")
        assert f"unban sshd {ATTACKER}" not in site.notes() and "stop sshd" not in site.notes()
        site.attack(OTHER, "sshd")
        site.wait_for(f"ban sshd {OTHER}")
        assert f"ban second {OTHER}" not in site.notes()
        assert daemon.stop() == 0


def test_exchanging_the_action_by_reload_keeps_the_jail_armed(site: Site) -> None:
    """The bans in force move from the old action to the new one."""
    site.jails(site.jail("sshd"))
    with site.running() as daemon:
        reload = Reloads(daemon)
        site.attack(ATTACKER, "sshd")
        daemon.wait_for(banned("sshd", ATTACKER))
        site.jails(site.jail("sshd", action="note[name=other]"))
        reload()
        site.wait_for("stop sshd", "start other", f"ban other {ATTACKER}")
        site.attack(OTHER, "sshd")
        site.wait_for(f"ban other {OTHER}")
        assert daemon.stop() == 0


def test_a_reload_reads_a_changed_filter(site: Site) -> None:
    site.jails(site.jail("sshd"), site.jail("web"))
    with site.running() as daemon:
        reload = Reloads(daemon)
        site.put("filter.d/plain.local", "[Definition]\nfailregex = ^ new form <HOST>$\n")
        reload()
        site.write("sshd", f"new form {ATTACKER}", f"host service: failed login of x from {OTHER}")
        site.write("web", f"new form {THIRD}")
        for jail, ip in (("sshd", ATTACKER), ("web", THIRD)):
            daemon.wait_for(banned(jail, ip))
        assert daemon.count(OTHER) == 0
        assert daemon.stop() == 0


def test_a_reload_that_finds_anything_broken_changes_nothing(site: Site) -> None:
    site.jails(site.jail("sshd"), site.jail("web"))
    with site.running() as daemon:
        site.jails(site.jail("sshd", filter="nosuch"), site.jail("web", maxretry="3"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("ERROR .*old settings stay")
        assert daemon.count(r"ERROR +\S+jail\.conf:\d+: \[sshd\] filter: .*nosuch") == 1
        for jail in ("sshd", "web"):
            site.attack(ATTACKER, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        site.put("jail.conf", "")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("ERROR .*old settings stay", times=2)
        site.attack(OTHER, "sshd")
        daemon.wait_for(banned("sshd", OTHER))
        assert daemon.stop() == 0


def test_many_reloads_in_the_middle_of_an_attack_lose_and_repeat_nothing(site: Site) -> None:
    site.jails(site.jail("sshd"))
    ips = [f"203.0.113.{number}" for number in range(1, 201)]
    with site.running() as daemon:
        for number, ip in enumerate(ips):
            site.attack(ip, "sshd")
            if number % 10 == 0:
                site.jails(site.jail("sshd", bantime=str(1000 + number)))
                daemon.signal(signal.SIGHUP)
        daemon.wait_for(r"\] Ban ", times=len(ips))
        assert daemon.stop() == 0
    # Those before and after the own host's names are known may change places.
    assert sorted(note.split()[2] for note in site.notes() if note.startswith("ban")) == sorted(ips)
    assert daemon.count(r"\] Found ") == len(ips)


# From a file to the journal ----------------------------------------------------------


class Moving:
    """A jail that reads a file or a journal; both are written to."""

    def __init__(self, site: Site) -> None:
        site.put(
            "filter.d/plain.local", "[Definition]\nfailregex = failed login of x from <HOST>$\n"
        )
        folder = site.root / "journal"
        folder.mkdir()
        self._site, self._writer = site, Writer(folder / "a.journal")
        unit = {"journalmatch": "_SYSTEMD_UNIT=web.service"}
        self.file = site.jail("web", **unit)
        self.journal = site.jail("web", backend=f"systemd[journalpath={folder}]", **unit)

    def attack(self, ip: str, jail: str) -> None:
        """Fail where the jail looks."""
        message = f"failed login of x from {ip}"
        if jail == self.file:
            self._site.write("web", f"host service: {message}")
        else:
            self._writer.write(message, _SYSTEMD_UNIT="web.service")

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def moving(site: Site) -> Iterator[Moving]:
    moving = Moving(site)
    yield moving
    moving.close()


@with_remote
@needs.programs("journalctl")
def test_a_reload_moves_a_jail_from_a_file_to_the_journal_and_back(
    site: Site, moving: Moving
) -> None:
    site.jails(moving.file)
    with site.running() as daemon:
        for number, jail in enumerate((moving.journal, moving.file, moving.journal), 1):
            site.jails(jail)
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("The configuration is in use", times=number)
            moving.attack(f"203.0.113.{number}", jail)
            daemon.wait_for(banned("web", f"203.0.113.{number}"))
        assert daemon.stop() == 0


@with_remote
@needs.programs("journalctl")
def test_no_line_counts_twice_when_a_jail_returns_to_its_file(site: Site, moving: Moving) -> None:
    site.jails(moving.file)
    with site.running() as daemon:
        moving.attack(ATTACKER, moving.file)
        daemon.wait_for(rf"Found {ATTACKER}")
        for number, jail in enumerate((moving.journal, moving.file), 1):
            site.jails(jail)
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("The configuration is in use", times=number)
        moving.attack(OTHER, moving.file)
        daemon.wait_for(banned("web", OTHER))
        assert daemon.count(rf"Found {ATTACKER}") == 1
        assert daemon.stop() == 0
