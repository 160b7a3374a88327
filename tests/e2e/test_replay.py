# SPDX-License-Identifier: GPL-2.0-or-later
"""Old logs through the program `fail2ban-client replay`, and beside the real daemon."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import wait_until
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned, unbanned

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "bin" / "fail2ban-client"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.jails(
        "[DEFAULT]\nbackend = polling\nignoreself = false\n",
        site.jail("web", maxretry="2", findtime="10m", bantime="3"),
    )
    return site


def client(site: Site, *words: str) -> list[str]:
    return [sys.executable, str(CLIENT), "-c", str(site.tree), *words]


def replayed(site: Site, *words: str, **how: object) -> dict[str, object]:
    """Return the JSON about the jail "web"."""
    done = subprocess.run(
        client(site, "--json", "replay", *words),
        capture_output=True,
        timeout=120,
        check=True,
        **how,  # type: ignore[call-overload]
    )
    assert done.stderr == b""
    jail: dict[str, object] = json.loads(done.stdout)["jails"]["web"]
    return jail


def test_a_replay_bans_whom_the_daemon_has_banned(site: Site) -> None:
    with site.running() as daemon:
        site.attack(ATTACKER, "web", times=2)
        daemon.wait_for(banned("web", ATTACKER))
        site.attack(THIRD, "web", times=1)
        daemon.wait_for(unbanned("web", ATTACKER))
        site.attack(OTHER, "web", times=2)
        daemon.wait_for(banned("web", OTHER))
        site.attack(ATTACKER, "web", times=2)
        wait_until(lambda: len(bans_of(site)) == 3)
        assert daemon.stop() == 0
    told, notes = bans_of(site), site.notes()
    jail = replayed(site, str(site.log("web")))
    assert [ban["id"] for ban in jail["bans"]] == told == [ATTACKER, OTHER, ATTACKER]  # type: ignore[attr-defined]
    assert site.notes() == notes, "a command was run"


def bans_of(site: Site) -> list[str]:
    """Return whom the daemon says it has banned."""
    return re.findall(r"NOTICE +\[web\] Ban (\S+)$", site.logfile.read_text(), re.MULTILINE)


def old_log(site: Site, seconds: int) -> bytes:
    """Return a log of attacks by ever other addresses, two at a second of a year ago."""
    start = time.mktime((2025, 3, 1, 0, 0, 0, 0, 0, -1))
    lines = []
    for second in range(seconds):
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(start + second))
        ip = f"198.51.{second // 200 % 200}.{second % 200}"
        lines += [f"{moment} host service: failed login of {'x' * 40} from {ip}\n"] * 2
    return "".join(lines).encode()


def test_a_log_may_come_down_a_pipe_packed_or_not(site: Site) -> None:
    data = old_log(site, 50)
    for sent in (data, gzip.compress(data)):
        jail = replayed(site, "--jail", "web", "-", input=sent)
        assert (jail["lines"], len(jail["bans"])) == (100, 50)  # type: ignore[arg-type]


@needs.programs("bash")
def test_a_log_may_be_what_another_program_writes(site: Site) -> None:
    (site.root / "web.log.gz").write_bytes(gzip.compress(old_log(site, 50)))
    command = f"exec \"$@\" <(zcat '{site.root}/web.log.gz')"
    words = client(site, "--json", "replay", "--jail", "web")
    done = subprocess.run(
        ["bash", "-c", command, "bash", *words], capture_output=True, timeout=60, check=True
    )
    assert len(json.loads(done.stdout)["jails"]["web"]["bans"]) == 50


def test_who_reads_only_the_beginning_gets_no_traceback(site: Site) -> None:
    log = site.root / "web.log.1"
    log.write_bytes(old_log(site, 5000))
    with subprocess.Popen(
        client(site, "replay", "--verbose", str(log)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        assert b"[web] Found 198.51.0.0" in program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(60) == 255


def test_who_waits_at_a_terminal_sees_how_far_it_is_and_a_clean_report(site: Site) -> None:
    log = site.root / "web.log.1"
    log.write_bytes(old_log(site, 25000))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        client(site, "replay", str(log)),
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    ) as program:
        os.close(theirs)
        shown = bytearray()
        while data := read(ours):
            shown += data
        assert program.stdout is not None
        report = program.stdout.read()
        assert program.wait(60) == 0
    os.close(ours)
    assert b"%" in shown and b"MB" in shown
    assert b"Would have banned 25000 addresses" in report
    assert b"\x1b" not in report


def read(terminal: int) -> bytes:
    """Return what was written to a terminal; nothing when its writer is gone."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
