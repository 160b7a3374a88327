# SPDX-License-Identifier: GPL-2.0-or-later
"""The program with a tree as its administrator meets it: start, reload, end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import ROOT, SERVER, RunningDaemon, wait_until
from tests.e2e.trees import ATTACKER, OTHER, Site, banned

pytestmark = needs.root()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_start_ban_and_stop_are_logged_as_readers_of_the_log_expect(site: Site) -> None:
    site.jails(site.jail("sshd", maxretry="2"))
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd", times=2)
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0
    line = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} fail2ban\.%s\[\d+\]: %s \[sshd\] %s$"
    assert daemon.count(line % ("filter         ", "INFO   ", f"Found {ATTACKER} - .*")) == 2
    assert daemon.count(line % ("actions        ", "NOTICE ", f"Ban {ATTACKER}")) == 1
    assert daemon.count(line % ("actions        ", "NOTICE ", f"Repeal Ban {ATTACKER}")) == 1
    assert site.notes() == [
        "start sshd",
        f"ban sshd {ATTACKER}",
        f"unban sshd {ATTACKER}",
        "stop sshd",
    ]
    assert not daemon.pidfile.exists()


# In the background ----------------------------------------------------------------


class Background:
    """`fail2ban-server` as an init script starts it; killed at the end if it still runs."""

    def __init__(self, site: Site) -> None:
        self.site, self.pidfile = site, site.root / "fail2ban.pid"

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *ignored: object) -> None:
        if self.pidfile.exists():
            os.kill(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def call(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SERVER), "-c", str(self.site.tree), *flags],
            cwd=self.site.root,
            env={**os.environ, "PATH": needs.PATH, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.mark.parametrize("flags", [["start"], ["-b", "start"], ["-xb"]], ids=" ".join)
def test_the_server_goes_to_the_background_and_can_be_ended_by_its_pid_file(
    site: Site, flags: list[str]
) -> None:
    site.jails(site.jail("sshd"))
    with Background(site) as server:
        started = server.call(*flags)
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        site.attack(ATTACKER, "sshd")
        site.wait_for(f"ban sshd {ATTACKER}")
        second = server.call(*flags)
        assert second.returncode == 255 and str(server.pid) in second.stderr
        pid = server.pid
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not server.pidfile.exists())
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert site.notes()[-2:] == [f"unban sshd {ATTACKER}", "stop sshd"]


def test_a_tree_with_nothing_that_can_run_is_not_started_and_says_why(site: Site) -> None:
    site.jails(site.jail("sshd", filter="nosuch"))
    with Background(site) as server:
        started = server.call("start")
        assert started.returncode == 255
        assert re.search(r"jail\.conf:\d+: \[sshd\] filter: .*nosuch", started.stderr)
        assert not server.pidfile.exists() and not site.notes()


# One thing that is broken stops no other ----------------------------------------------


def test_whatever_is_broken_in_one_jail_the_others_run(site: Site) -> None:
    site.put("filter.d/bad.conf", "[Definition]\nfailregex = ^ ( from <HOST>$\n")
    site.put("filter.d/half.conf", "[Definition]\nfailregex = ^ ( from <HOST>$\n  ^ is <HOST>$\n")
    site.put("filter.d/torn.conf", "[Definition]\nfailregex = %(nosuch)s <HOST>\n")
    site.put("action.d/torn.conf", "[Definition]\nactionban = %(nosuch)s\n")
    site.put("action.d/fails.conf", "[Definition]\nactionstart = exit 7\nactionban = exit 8\n")
    site.jails(
        site.jail("first"),
        site.jail("no-filter", filter="nosuch"),
        site.jail("bad-pattern", filter="bad"),
        site.jail("torn-filter", filter="torn"),
        site.jail("no-action", action="nosuch"),
        site.jail("torn-action", action="torn"),
        site.jail("torn-value", maxretry="%(nosuch)s"),
        site.jail("no-log", logpath="{root}/not/there.log"),
        site.jail("half", filter="half"),
        site.jail("half-action", action="fails\n note"),
        site.jail("torn-section"),
        "no option\n",
        site.jail("last"),
    )
    with site.running() as daemon:
        for jail in ("first", "half-action", "last"):
            site.attack(ATTACKER, jail)
            site.wait_for(f"ban {jail} {ATTACKER}")
        site.write("half", f"is {ATTACKER}")
        site.wait_for(f"ban half {ATTACKER}")
        # What was not there when it started is read as soon as it is.
        (site.root / "not").mkdir()
        site.log("not/there").touch()
        site.attack(ATTACKER, "not/there")
        site.wait_for(f"ban no-log {ATTACKER}")
        assert daemon.stop() == 0
    for jail in BROKEN.split():
        assert daemon.count(rf"ERROR +\S+\.conf:\d+: .*; \[{jail}\] is left out$") == 1, jail
        assert f"start {jail}" not in site.notes()


BROKEN = "no-filter bad-pattern torn-filter no-action torn-action torn-value torn-section"


def test_values_that_make_no_sense_are_told_and_replaced_by_the_usual_ones(site: Site) -> None:
    site.jails(site.jail("sshd", maxretry="many", findtime="soon", bantime="1h,30m", usedns="x"))
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd", times=3)
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0
    for option, found in (("maxretry", "many"), ("findtime", "soon"), ("bantime", "1h,30m")):
        assert daemon.count(rf"ERROR +\S+jail\.conf:\d+: \[sshd\] {option}: '{found}' ") == 1


# After kill -9 ---------------------------------------------------------------------


def test_a_start_after_kill_9_cleans_up_what_the_killed_one_left(site: Site) -> None:
    site.jails(site.jail("sshd", maxretry="2"))
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd", times=2)
        daemon.wait_for(banned("sshd", ATTACKER))
        daemon.kill9()
        daemon.start()
        daemon.wait_for("the last instance was killed")
        site.wait_for("stop sshd")
        daemon.wait_for(rf"\[sshd\] Restore Ban {ATTACKER}")
        assert daemon.stop() == 0
    notes = site.notes()
    # Nothing tells what such an action has left: it is lifted before it comes back.
    again = [f"unban sshd {ATTACKER}", f"ban sshd {ATTACKER}"]
    assert notes[2:6] == ["stop sshd", "start sshd", *again]
    assert notes[-1] == "stop sshd"


# Our own log ------------------------------------------------------------------------


def test_recidive_reads_our_own_log_and_bans_who_comes_back(tmp_path: Path, upstream: Path) -> None:
    """Debian's jail as it is, but for the log's place and who is told."""
    site = Site(tmp_path, upstream)
    site.jails(
        site.jail("first", bantime="1"),
        site.jail("second", bantime="1"),
        "[recidive]\nenabled = true\nmaxretry = 3\naction = note\nlogpath = {root}/fail2ban.log",
        "[sshd]\nenabled = false",
        name="jail.local",
    )
    site.logfile.touch()  # as packages do; else the jail reads the journal
    with site.running() as daemon:
        for number in range(3):
            jail = ("first", "second")[number % 2]
            site.attack(ATTACKER, jail)
            daemon.wait_for(rf"\] Ban {re.escape(ATTACKER)}$", times=number + 1)
            daemon.wait_for(rf"\] Unban {re.escape(ATTACKER)}$", times=number + 1)
        site.attack(OTHER, "first")
        daemon.wait_for(banned("first", OTHER))
        daemon.wait_for(banned("recidive", ATTACKER))
        assert daemon.stop() == 0
    assert daemon.count(banned("recidive", OTHER)) == 0
    assert daemon.count(r"\[recidive\] Found") == 4


def test_the_log_is_opened_anew_on_sigusr1(site: Site) -> None:
    site.jails(site.jail("sshd"))
    with site.running() as daemon:
        site.logfile.rename(site.root / "fail2ban.log.1")
        daemon.signal(signal.SIGUSR1)
        wait_until(site.logfile.exists)
        site.attack(ATTACKER, "sshd")
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0


# The program `fail2ban` with a tree ---------------------------------------------------


def test_fail2ban_runs_a_tree_too_and_its_flags_replace_the_defaults(site: Site) -> None:
    own = {"maxretry": "3", "bantime": "77"}
    site.jails(
        "[DEFAULT]\nbantime = 1h\nmaxretry = 9\n", site.jail("sshd"), site.jail("web", **own)
    )
    text = (site.tree / "jail.conf").read_text()
    (site.tree / "jail.conf").write_text(text.replace("maxretry = 1\n", "", 1))
    site.put(
        "action.d/note.local", "[Definition]\nactionban = echo <name> <bantime> >> {root}/out\n"
    )
    flags = ("-r", "2", "-t", "10m", "-i", OTHER)
    with RunningDaemon(site.root, site.tree, *flags, logfile=site.logfile) as daemon:
        for jail, ip in (("sshd", OTHER), ("sshd", ATTACKER), ("web", ATTACKER)):
            site.attack(ip, jail, times=3)
        for jail in ("sshd", "web"):
            daemon.wait_for(banned(jail, ATTACKER))
        assert daemon.stop() == 0
    assert daemon.count(rf"\[sshd\] Ignore {OTHER}") == 3
    assert {"sshd 600", "web 77"} <= set(site.notes())


# Commands that take their time or fail ------------------------------------------------


def test_a_command_that_hangs_is_killed_after_its_time_and_all_others_run(site: Site) -> None:
    site.put("action.d/hangs.conf", "[Definition]\nactionban = sleep 1000\n[Init]\ntimeout = 1\n")
    site.jails(site.jail("hangs", action="hangs note"), site.jail("web"))
    with site.running() as daemon:
        site.attack(ATTACKER, "hangs")
        site.wait_for(f"ban hangs {ATTACKER}")
        site.attack(ATTACKER, "web")
        daemon.wait_for(banned("web", ATTACKER))
        assert daemon.stop() == 0
    assert daemon.count(r"ERROR +.*hangs.*(timed out|took|longer)") >= 1


def test_a_ban_that_does_not_work_is_not_called_one_and_is_tried_again(site: Site) -> None:
    site.put(
        "action.d/locked.conf",
        "[Definition]\n"
        "actionban = test -e {root}/unlocked && echo ban <ip> >> {root}/out\n"
        "actionunban = echo unban <ip> >> {root}/out\n",
    )
    site.jails(site.jail("sshd", action="locked"))
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd")
        daemon.wait_for(rf"ERROR +\[sshd\] {ATTACKER} could not be banned, it can still connect")
        assert daemon.count(banned("sshd", ATTACKER)) == 0
        (site.root / "unlocked").touch()
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0
    # What failed may have been done in part, and is undone at once.
    assert site.notes()[-2:] == [f"ban {ATTACKER}", f"unban {ATTACKER}"]
    assert daemon.count("could not be banned") == 1


def test_a_second_sigterm_does_not_cut_the_end_short(site: Site) -> None:
    site.put("action.d/slow.conf", "[Definition]\nactionstop = sleep 1; echo over >> {root}/out\n")
    site.jails(site.jail("sshd", action="note slow"))
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd")
        daemon.wait_for(banned("sshd", ATTACKER))
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("Taking down all bans")
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGINT)
        assert daemon.wait() == 0
    assert {"over", f"unban sshd {ATTACKER}", "stop sshd"} <= set(site.notes())
