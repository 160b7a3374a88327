# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at the real daemon: events as they happen, why, a live view, and who may look."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest

from tests.e2e.daemon import ROOT, RunningDaemon, wait_until
from tests.e2e.test_control import ask, client
from tests.e2e.trees import Site, banned, unbanned

FIRST, SECOND = "203.0.113.1", "198.51.100.7"
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return furnished(Site(tmp_path))


def furnished(site: Site) -> Site:
    """Give a site two sections, and a socket for members of a group."""
    group = grp.getgrgid(NOBODY.pw_gid).gr_name
    options = f"monitorsocket = {{root}}/monitor.sock\nmonitorgroup = {group}\n"
    site.put("fail2ban.local", f"[Definition]\n{options}")
    site.jails(
        "[DEFAULT]\nbackend = polling\n",
        site.jail("one", maxretry="2", bantime="1h", findtime="10m", ignoreip="192.0.2.0/24"),
        site.jail("two", action=""),
    )
    return site


@contextlib.contextmanager
def running(site: Site) -> Iterator[RunningDaemon]:
    """Run the daemon; it listens at both sockets, of which the monitor's is the second."""
    with site.running() as daemon:
        wait_until((site.root / "monitor.sock").exists)
        yield daemon


@contextlib.contextmanager
def watching(site: Site, *words: str) -> Iterator[list[dict[str, Any]]]:
    """Watch in the background; yields the list of all events that have been seen."""
    seen: list[dict[str, Any]] = []
    out = site.root / "events"
    with out.open("wb") as file:
        process = subprocess.Popen([*shlex.split(client(site)), "watch", *words], stdout=file)
    try:
        # Nothing tells that it has begun but the first event.
        def has_begun() -> bool:
            assert ask(site, "set", "two", "banip", SECOND)[1] == 0
            assert ask(site, "set", "two", "unbanip", SECOND)[1] == 0
            return out.stat().st_size > 0

        wait_until(has_begun)
        yield seen
    finally:
        process.send_signal(SIGINT)
        status = process.wait(30)
        seen += [json.loads(line) for line in out.read_text().splitlines()]
    assert status == 0


def told(seen: list[dict[str, Any]], jail: str = "one") -> list[tuple[str, str]]:
    """Return what was told of a section, commands apart."""
    return [(one["kind"], one["id"]) for one in seen if one["jail"] == jail]


def test_a_story_is_watched_from_the_line_to_the_end(site: Site) -> None:
    with running(site) as daemon, watching(site) as seen:
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        assert ask(site, "set", "one", "unbanip", FIRST) == ("1\n", 0)
        daemon.wait_for(unbanned("one", FIRST))
        time.sleep(0.5)  # for what is still on its way
    kinds = [kind for kind, id in told(seen) if id == FIRST and kind != "command"]
    assert kinds == ["found", "found", "decided", "banned", "unbanned"]
    commands = [one["facts"] for one in seen if one["kind"] == "command" and one["jail"] == "one"]
    assert [(one["action"], one["verb"]) for one in commands if one["verb"] != "start"] == [
        ("note", "ban"),
        ("note", "unban"),
    ]
    lines = [line for one in seen if one["kind"] == "found" for line in one["facts"]["lines"]]
    assert len(lines) == 2 and all(FIRST in line for line in lines)


def test_only_some_events_can_be_watched(site: Site) -> None:
    with running(site) as daemon, watching(site, "--kind", "banned", "--jail", "two") as seen:
        site.attack(FIRST, "one", times=2)
        site.attack(FIRST, "two")
        daemon.wait_for(banned("one", FIRST))
        daemon.wait_for(banned("two", FIRST))
        time.sleep(0.5)
    assert {one["kind"] for one in seen} == {"banned"} and told(seen, "one") == []
    assert ("banned", FIRST) in told(seen, "two")


def test_thousand_failures_a_second_wait_for_nobody_who_watches(site: Site) -> None:
    with running(site) as daemon, socket.socket(socket.AF_UNIX) as sleeper:
        sleeper.connect(str(site.root / "monitor.sock"))
        sleeper.sendall(b'{"command": ["watch"]}\n')
        ips = [f"10.{number >> 8}.{number & 255}.1" for number in range(3000)]
        site.write("one", *(f"host service: failed login of x from {ip}" for ip in ips))
        wait_until(lambda: "Total failed:\t3000" in ask(site, "status", "one")[0])
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        sleeper.settimeout(30)
        text = b""
        while b'"banned"' not in text:
            text += sleeper.recv(1 << 20)
        assert b'{"lost": ' in text


def test_why_tells_what_was_decided_and_done(site: Site) -> None:
    with running(site) as daemon:
        site.attack(FIRST, "one", times=2)
        site.attack("192.0.2.9", "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        wait_until(lambda: "note ban: done in" in ask(site, "why", FIRST)[0])
        text, status = ask(site, "why", FIRST)
        assert status == 0 and text.count("a failure\n") == 2
        assert "[one] 2 failures are enough: to be banned until" in text
        assert "Now:\n  [one] banned until" in text
        assert f"failed login of root from {FIRST}" in text
        ignored = ask(site, "why-not", "192.0.2.9")[0]
    assert "[one] a failure that does not count: ignored by" in ignored
    assert "[one] never counts: ignored by 192.0.2.0/24 of ignoreip" in ignored
    assert "[two] no failure within the last" in ignored


def test_why_counts_a_network_around_the_address(site: Site) -> None:
    with running(site) as daemon:
        assert ask(site, "set", "one", "banip", "203.0.113.0/24") == ("1\n", 0)
        daemon.wait_for(banned("one", "203.0.113.0/24"))
        wait_until(lambda: "a hand decides" in ask(site, "why", FIRST)[0])
        assert "[one] 203.0.113.0/24: banned until" in ask(site, "why", FIRST)[0]


#: Becomes somebody else once all is imported: our own files may not be for him.
AS_NOBODY = f"""
import os, sys
import fail2ban.cli.client, fail2ban.control.asking
os.setgroups([])
os.setgid({NOBODY.pw_gid})
os.setuid({NOBODY.pw_uid})
sys.exit(fail2ban.cli.client.main(sys.argv[1:]))
"""


def as_nobody(site: Site, *words: str) -> tuple[str, int]:
    """Ask as a user who is only a member of the group."""
    command = [sys.executable, "-c", AS_NOBODY, "-c", str(site.tree), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT)
    return done.stdout, done.returncode


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may pass through."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_member_of_the_group_looks_but_does_not_steer(open_folder: Path) -> None:
    site = furnished(Site(open_folder))
    with running(site) as daemon:
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        assert (site.root / "monitor.sock").stat().st_mode & 0o777 == 0o660
        assert as_nobody(site, "ping") == ("Server replied: pong\n", 0)
        assert FIRST in as_nobody(site, "status", "one")[0]
        for words in ("stop", "set one banip 192.0.2.1", "unban --all", "reload"):
            assert as_nobody(site, *words.split())[1] == 255
        there = ["-s", str(site.root / "monitor.sock")]
        assert "only answers questions" in as_nobody(site, *there, "unban", "--all")[0]
        assert FIRST in ask(site, "status", "one")[0]


def test_ten_thousand_connections_to_the_monitor_leave_the_steering_alone(site: Site) -> None:
    with running(site) as daemon, contextlib.ExitStack() as crowd:
        for number in range(10_000):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(site.root / "monitor.sock"))
            with contextlib.suppress(BrokenPipeError):
                one.send(b'{"command": ["sta')
            if number % 50:
                one.close()
            else:
                crowd.enter_context(one)
            if number % 2500 == 0:
                assert ask(site, "ping") == ("Server replied: pong\n", 0)
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        assert ask(site, "status", "one")[1] == 0


def test_the_live_view_shows_the_sections(site: Site) -> None:
    with running(site) as daemon:
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        text, status = ask(site, "top", "--once")
    assert status == 0
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert {"one", "two"} <= rows.keys()
