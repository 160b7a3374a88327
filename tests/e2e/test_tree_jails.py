# SPDX-License-Identifier: GPL-2.0-or-later
"""What a jail of a tree can do, with the real daemon: growing ban times, whom to ignore,
failures of several lines, the journal."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests import needs
from tests.compat.trees import everything
from tests.e2e.test_journal import Writer, with_remote
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned, unbanned
from tests.netns import Namespace

pytestmark = needs.root()

#: Writes down what is known of a ban.
TELL = """\
[Definition]
actionban = echo "ban <jail.name> <ip> <bantime> <bancount> <failures>" >> {root}/out
actionprolong = echo "prolong <jail.name> <ip> <bantime>" >> {root}/out
actionunban = echo "unban <jail.name> <ip>" >> {root}/out
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.put("action.d/tell.conf", TELL)
    return site


# Growing ban times --------------------------------------------------------------


def test_each_ban_is_longer_and_needs_fewer_failures(site: Site) -> None:
    growth = {"bantime__increment": "true", "bantime__maxtime": "3"}
    site.jails(site.jail("web", action="tell", maxretry="3", bantime="1", **growth))
    with site.running() as daemon:
        for bans, failures in enumerate((3, 2, 1), 1):
            site.attack(ATTACKER, "web", times=failures)
            daemon.wait_for(banned("web", ATTACKER), times=bans)
            daemon.wait_for(unbanned("web", ATTACKER), times=bans)
        assert daemon.stop() == 0
    told = [note.split()[3:5] for note in site.notes() if note.startswith("ban ")]
    assert told == [["1", "1"], ["2", "2"], ["3", "3"]]
    assert daemon.count(rf"NOTICE +\[web\] Increase Ban {ATTACKER} \(2 # 2s -> .*\)$") == 1
    assert daemon.count(rf"\[web\] Found {ATTACKER}, bad - .*, 1 # -> 2\.0, Ban$") == 1


def test_multipliers_count_the_bans_of_all_jails_if_told_so(site: Site) -> None:
    growth = {"bantime__increment": "yes", "bantime__multipliers": "1 5 60"}
    growth["bantime__overalljails"] = "yes"
    usual = {"action": "tell", "bantime": "1m", **growth}
    site.jails(*(site.jail(name, **usual) for name in ("web", "mail", "sshd")))
    with site.running() as daemon:
        for jail in ("web", "mail", "sshd"):
            site.attack(ATTACKER, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        site.attack(OTHER, "sshd")
        daemon.wait_for(banned("sshd", OTHER))
        assert daemon.stop() == 0
    lengths = [note.split()[2:4] for note in site.notes() if note.startswith("ban ")]
    assert lengths == [[ATTACKER, "60"], [ATTACKER, "300"], [ATTACKER, "3600"], [OTHER, "60"]]


def test_a_formula_is_arithmetic_and_one_that_is_not_costs_only_the_growth(site: Site) -> None:
    growing = {"action": "tell", "bantime": "1", "bantime__increment": "true"}
    formula = "ban.Time + 100 * math.exp(float(ban.Count-1)) * banFactor"
    evil = "__import__('os').system('touch {root}/evil')"
    site.jails(
        site.jail("good", bantime__formula=formula, bantime__factor="2", **growing),
        site.jail("evil", bantime__formula=evil, **growing),
    )
    with site.running() as daemon:
        for jail in ("good", "evil"):
            for bans in (1, 2):
                site.attack(ATTACKER, jail)
                daemon.wait_for(banned(jail, ATTACKER), times=bans)
                if bans == 1:
                    daemon.wait_for(unbanned(jail, ATTACKER))
        assert daemon.stop() == 0
    assert f"ban good {ATTACKER} 201 2 1" in site.notes()
    assert [note for note in site.notes() if note.startswith("ban evil")]
    assert not (site.root / "evil").exists()
    assert daemon.count(r"ERROR +.*\[evil\] bantime\.formula") >= 1


# Whom to ignore -----------------------------------------------------------------


def test_the_files_and_commands_that_say_whom_to_ignore_are_asked_while_running(
    site: Site,
) -> None:
    friends = site.root / "friends"
    friends.write_text(f"# ours\n{OTHER}, 2001:db8:1::/48 ; and theirs\n")
    site.jails(
        site.jail("files", ignoreip=f"file:{friends}"),
        site.jail("command", ignorecommand=f"grep -qx <ip> {site.root}/known"),
        site.jail("names", ignoreip="127.0.0.0/8 ::1 203.0.113.0/255.255.255.0"),
    )
    (site.root / "known").write_text(f"{OTHER}\n")
    with site.running() as daemon:
        for jail, source in (("files", "file:.*friends"), ("command", "command")):
            site.attack(OTHER, jail)
            daemon.wait_for(rf"\[{jail}\] Ignore {OTHER} by {source}$")
            site.attack(ATTACKER, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        site.attack("2001:db8:1:7::9", "files")
        daemon.wait_for(r"\[files\] Ignore 2001:db8:1:7::9 by file:")
        site.attack(ATTACKER, "names")
        daemon.wait_for(rf"\[names\] Ignore {ATTACKER} by ip$")
        time.sleep(1.1)  # a file is looked at once a second
        friends.write_text(f"{THIRD}\n")
        site.attack(OTHER, "files")
        daemon.wait_for(banned("files", OTHER))
        assert daemon.stop() == 0
    assert daemon.count(rf"\] Ban {OTHER}$") == 1


@needs.programs("ip")
def test_the_machines_own_address_is_ignored_unless_told_otherwise(site: Site) -> None:
    ours = "192.0.2.2"
    site.jails(site.jail("usual"), site.jail("strict", ignoreself="false"))
    with Namespace("ours") as host:
        host.run(f"ip address add {ours} dev lo")
        with site.running(namespace=host) as daemon:
            for jail in ("usual", "strict"):
                site.attack(ours, jail)
            daemon.wait_for(rf"\[usual\] Ignore {ours} by ignoreself rule$")
            daemon.wait_for(banned("strict", ours))
            assert daemon.stop() == 0


# Failures of several lines ---------------------------------------------------------


def test_two_lines_make_a_failure_where_a_filter_looks_at_so_many(
    tmp_path: Path, upstream: Path
) -> None:
    """Debian's filter for Guacamole; the second line has no date of its own."""
    site = Site(tmp_path, upstream)
    site.jails(
        site.jail("guacamole", filter="guacamole", maxretry="2"),
        "[sshd]\nenabled = false",
        name="jail.local",
    )
    with site.running() as daemon:
        for ip in (ATTACKER, OTHER, ATTACKER):
            moment = time.strftime("%b %d, %Y %I:%M:%S %p")
            with site.log("guacamole").open("a") as log:
                log.write(f"{moment} org.glyptodon.Authentication doPost\n")
                log.write(f'WARNING: Authentication attempt from {ip} for user "x" failed.\n')
        daemon.wait_for(banned("guacamole", ATTACKER))
        assert daemon.count(r"\[guacamole\] Found ") == 3
        assert daemon.stop() == 0


def test_an_address_comes_from_another_line_of_the_same_connection(
    tmp_path: Path, upstream: Path
) -> None:
    """Debian's filter for sshd: the line that tells of the failure does not say whose it is."""
    site = Site(tmp_path, upstream)
    site.put(
        "action.d/who.conf",
        '[Definition]\nactionban = echo "<ip> <F-USER>" "<matches>" >> {root}/out\n',
    )
    site.jails(
        site.jail("sshd", filter="sshd", backend="auto", action="who", maxmatches="5"),
        name="jail.local",
    )
    with site.running() as daemon:
        site.write(
            "sshd",
            f"host sshd[11]: Connection from {ATTACKER} port 5001 on 192.0.2.2 port 22",
            f"host sshd[12]: Connection from {OTHER} port 5002 on 192.0.2.2 port 22",
            "host sshd[11]: User carol not allowed because account is locked",
            f"host sshd[12]: Accepted password for alice from {OTHER} port 5002 ssh2",
        )
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0
    assert daemon.count(rf"\[sshd\] Found {OTHER}") == 0
    [first, *_] = site.notes()
    assert first.startswith(f"{ATTACKER} carol ") and "Connection from" in first
    assert "account is locked" in " ".join(site.notes())


# The journal -------------------------------------------------------------------------


@with_remote
@needs.programs("journalctl")
def test_debians_jail_of_sshd_reads_a_real_journal(tmp_path: Path, upstream: Path) -> None:
    site = Site(tmp_path, upstream)
    folder = tmp_path / "journal"
    folder.mkdir()
    site.jails(
        "[sshd]\nenabled = true\nmaxretry = 3\naction = note\n"
        f"backend = systemd[journalfiles={folder}/*.journal]\n",
        name="jail.local",
    )
    writer = Writer(folder / "a.journal")

    def fail(ip: str, age: float = 0.0, unit: str = "sshd.service") -> None:
        text = f"Failed password for invalid user x from {ip} port 50022 ssh2"
        writer.write(text, at=time.time() - age, _SYSTEMD_UNIT=unit)

    for age in (5000.0, 60.0, 50.0):
        fail(ATTACKER, age)
    with site.running() as daemon:
        fail(ATTACKER)
        daemon.wait_for(banned("sshd", ATTACKER))
        for _ in range(3):
            fail(OTHER, unit="nginx.service")
        for _ in range(3):
            fail(THIRD)
        daemon.wait_for(banned("sshd", THIRD))
        assert daemon.stop() == 0
    writer.close()
    assert daemon.count(rf"Found {ATTACKER}") == 3
    assert daemon.count(rf"Found {re.escape(OTHER)}") == 0


@needs.programs("ip")
def test_every_jail_of_debians_tree_runs_at_once(tmp_path: Path, upstream: Path) -> None:
    default = "action = note[name=%(__name__)s]\nbackend = auto\nmaxretry = 2"
    tree = everything(upstream, tmp_path, default)
    site = Site(tmp_path, tree)
    names = re.findall(r"^\[(?!DEFAULT)(.+)\]$", (tree / "jail.local").read_text(), re.MULTILINE)
    names.remove("pass2allow-ftp")  # has an action of its own
    assert len(names) > 80
    with Namespace("all") as host, site.running(namespace=host) as daemon:
        moment = time.strftime("%b %d %H:%M:%S")
        with (tmp_path / "logs/var/log/auth.log").open("a") as log:
            failure = f"host sshd[7]: Failed password for alice from {ATTACKER} port 50022 ssh2"
            log.write(f"{moment} {failure}\n" * 2)
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0
    assert daemon.count("ERROR|CRITICAL") == 0
    for word in ("start", "stop"):
        done = [note.split()[1] for note in site.notes() if note.startswith(f"{word} ")]
        assert sorted(done) == sorted(names)


# What is read -----------------------------------------------------------------------


def test_wildcards_and_ends_of_logs(site: Site) -> None:
    """A file that appears later is read from its beginning, one marked `tail` from its end."""
    site.attack(ATTACKER, "new-tail")
    site.jails(site.jail("web", logpath="{root}/x-*.log\n {root}/new-tail.log tail"))
    with site.running() as daemon:
        site.attack(OTHER, "x-1")
        daemon.wait_for(banned("web", OTHER))
        site.attack(THIRD, "new-tail")
        daemon.wait_for(banned("web", THIRD))
        assert daemon.stop() == 0
    assert daemon.count(ATTACKER) == 0


def test_a_name_that_no_server_knows_delays_nobody(site: Site) -> None:
    names = ("no-such-host.invalid", "localhost", "300.1.1.1", "a" * 200, ATTACKER)
    site.jails(site.jail("web", usedns="yes"), site.jail("raw", usedns="raw"))
    with site.running() as daemon:
        for jail in ("web", "raw"):
            for host in names:
                site.attack(host, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        daemon.wait_for(banned("raw", "no-such-host.invalid"))
        assert daemon.stop() == 0
    assert daemon.count(r"\[web\] Ban") == 1
