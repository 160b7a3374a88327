# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view: what it computes, and what it shows."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fail2ban.cli.rates import MINUTE, NONE, Rates
from fail2ban.cli.topframe import counters, frame
from fail2ban.control.schema import SHAPES, deviations
from tests.test_client import FakeDaemon, result

NOW = 1_700_000_000.0
ROOT = Path(__file__).parent.parent


def jail(name: str, lines: int = 0, **states: int) -> dict[str, Any]:
    return {
        "name": name,
        "dryrun": name == "dry",
        "idle": False,
        "journal": False,
        "alarms": [],
        "lines": lines,
        "matches": 0,
        "last_line": None,
        "last_match": None,
        "dates": {"found": 0, "missing": 0},
        "slow_lines": 0,
        "failures": {"counted": lines // 2, "ignored": 0, "stale": 0, "expired": 0, "banned": 0},
        "tracked": {"now": 17, "limit": 100_000, "crowded_out": 0},
        "bans": {
            "now": states,
            "decided": lines // 10,
            "applied": 0,
            "reapplied": 0,
            "failed": 0,
            "lifted": 0,
            "failing": [],
        },
        "latency": {
            "count": 1,
            "sum": 0.1,
            "half_within": 0.005,
            "most_within": None,
            "buckets": [],
        },
        "commands": [],
        "logs": [],
    }


def health(*jails: dict[str, Any], alarms: tuple[str, ...] = ()) -> dict[str, Any]:
    daemon = {
        "threads": 9,
        "queue": {"jobs": 3, "delay": 0.0},
        "store": {"file": "", "bytes": 0, "pending": 4, "failing": "", "commit_seconds": 0.0},
        "history": {"unkept": 0},
        "reloads": {"attempts": 0, "failures": 0, "last_failed": False, "in_force_since": NOW},
        "commands": [],
    }
    on = [{"name": "quiet", "jail": "ssh", "since": NOW, "text": text} for text in alarms]
    told = {"time": NOW, "version": "0.7", "started": NOW - 60, "uptime": 60.0}
    return {"schema": 1, **told, "alarms": on, "daemon": daemon, "jails": list(jails)}


def shown(
    told: dict[str, Any],
    rates: Rates | None = None,
    events: Any = (),
    rows: int = 40,
    width: int = 140,
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(frame(told, rates or Rates(), events, rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


# Rates -----------------------------------------------------------------------------


def test_a_rate_takes_two_looks() -> None:
    rates = Rates()
    assert rates.of("x") == NONE
    rates.look(0.0, {"x": 5})
    assert rates.of("x") == NONE
    rates.look(2.0, {"x": 25})
    assert rates.of("x") == (10.0, 20.0)


def test_the_rate_of_a_minute_is_that_of_the_last_one() -> None:
    rates = Rates()
    for second in range(0, 200, 5):
        rates.look(float(second), {"x": 1000.0 * min(second, 100)})
    assert rates.of("x").second == 0.0
    rates = Rates()
    for second in range(0, 200, 5):
        rates.look(float(second), {"x": 3.0 * second})
    assert rates.of("x") == (3.0, 3.0 * MINUTE)


def test_a_counter_that_appears_or_begins_anew_stands_still() -> None:
    rates = Rates()
    rates.look(0.0, {"x": 100})
    rates.look(1.0, {"x": 3, "y": 9})
    assert rates.of("x") == rates.of("y") == rates.of("z") == NONE


# The frame -------------------------------------------------------------------------


def test_the_example_is_a_real_answer() -> None:
    told = health(jail("ssh", 10, applied=1), alarms=("quiet",))
    assert deviations(told, {"schema": int, **SHAPES["health"]}) == []


def test_jails_are_shown_with_their_rates_and_bans() -> None:
    rates = Rates()
    rates.look(0.0, counters(health(jail("ssh", 0))))
    rates.look(1.0, counters(health(jail("ssh", 100))))
    told = health(jail("ssh", 100, applied=4, failed=2), jail("dry"))
    head, columns, ssh, dry = shown(told, rates)
    assert "up 1m" in head and "queue 3" in head and "unwritten 4" in head
    assert columns.split()[:3] == ["Jail", "line/s", "/min"]
    assert ssh.split() == "ssh 100 100 50 50 10 10 17 4 0 2 5ms".split()
    assert dry.startswith("dry (dry run)")


def test_the_table_fits_a_usual_terminal() -> None:
    told = health(jail("ssh", applied=123456, failed=1), jail("a-very-long-name-of-a-section"))
    lines = shown(told, width=80)
    assert lines[1].split()[-1] == "delay" and len(lines[1].rstrip()) <= 80
    assert lines[2].split()[0] == "ssh" and "123456" in lines[2]


def test_alarms_and_events_are_shown_and_can_do_nothing() -> None:
    events = [
        {"time": NOW, "kind": "banned", "jail": "ssh", "id": "\x1b[2J[red]", "facts": {}},
        {"lost": 7},
        {
            "time": NOW,
            "kind": "ban_failed",
            "jail": "ssh",
            "id": "192.0.2.1",
            "facts": {"reason": "no\ntable"},
        },
    ]
    lines = shown(health(jail("ssh"), alarms=("no date\x1b",)), events=events)
    text = "\n".join(lines)
    assert "! [ssh] no date\\x1b" in text
    assert "[ssh] banned \\x1b[2J[red]" in text and "7 events are not shown" in text
    assert "ban failed 192.0.2.1 no\\ntable" in text and "\x1b" not in text


def test_a_small_terminal_shows_the_newest_events_only() -> None:
    events = [
        {"time": NOW, "kind": "banned", "jail": "ssh", "id": str(number), "facts": {}}
        for number in range(50)
    ]
    lines = shown(health(jail("ssh")), events=events, rows=10)
    assert len(lines) <= 10 and lines[-1].endswith("banned 49")
    assert "banned 49" not in "".join(shown(health(jail("ssh")), events=events, rows=3))


# The program -----------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "fail2ban.conf").write_text(f"[Definition]\nsocket = {tmp_path}/s\n")
    return tmp_path


@pytest.fixture
def daemon(base: Path) -> Iterator[FakeDaemon]:
    daemon, lines = FakeDaemon(base / "s"), iter(range(0, 10**6, 50))
    daemon.answers = lambda words: result(health(jail("ssh", next(lines), applied=4)))
    yield daemon
    daemon.end()


def command(base: Path, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "bin/fail2ban-client"), "-c", str(base), *words]


def test_once_prints_one_frame(base: Path, daemon: FakeDaemon) -> None:
    done = subprocess.run(
        command(base, "top", "--once"), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ssh" in done.stdout and "\x1b" not in done.stdout
    assert daemon.commands == [["health"]] * 2


def test_as_json_it_is_the_answer(base: Path, daemon: FakeDaemon) -> None:
    done = subprocess.run(
        command(base, "--json", "top"), capture_output=True, text=True, timeout=60
    )
    assert json.loads(done.stdout)["jails"][0]["name"] == "ssh"


def test_words_that_mean_nothing_are_told(base: Path, daemon: FakeDaemon) -> None:
    done = subprocess.run(
        command(base, "top", "--twice"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 255 and "expected top [--once]" in done.stderr


def press(key: bytes) -> Callable[[int, int], object]:
    return lambda terminal, pid: os.write(terminal, key)


@pytest.mark.parametrize(
    "end", [press(b"q"), press(b"\x03"), lambda terminal, pid: os.kill(pid, signal.SIGINT)]
)
def test_on_a_terminal_it_runs_until_q_or_an_interrupt_and_leaves_it_as_it_was(
    base: Path, daemon: FakeDaemon, end: Callable[[int, int], object]
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "LINES": "30", "COLUMNS": "120"}
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # in the background it is ignored
        os.execv(sys.executable, command(base, "top"))
    seen, ended, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            seen += data
        if b"ssh" in seen and not ended:
            end(terminal, pid)
            ended = True
    if time.monotonic() >= deadline:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert b"\x1b[?1049h" in seen and b"\x1b[?1049l" in seen  # the other screen, and back
