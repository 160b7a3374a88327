# SPDX-License-Identifier: GPL-2.0-or-later
"""A log under fire is rotated in every way, and every failure counts exactly once.

The daemon and the writer are real processes. Nobody rotates a log twice between two
looks of the daemon, so neither do we: each rotation waits for a line that was written
after the one before.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import RunningDaemon, wait_until
from tests.e2e.writer import FAILREGEX, Tally, Writer, address, line

pytestmark = needs.root()

LINES = 4000
NEVER = 1_000_000  # failures that nobody reaches

CONFIG = """\
[DEFAULT]
logtargets = {root}/f2b.log
socket = {root}/fail2ban.sock
dbfile = {root}/state.sqlite3
findtime = 1d
bantime = -1
maxfailures = {maxfailures}
[SSH]
enabled = true
logfile = {root}/logs/auth.log
failregex = {failregex}
fwban = echo <ip> <failures> >> {root}/banned
"""


def config(root: Path, maxfailures: int = NEVER, failregex: str = FAILREGEX) -> str:
    return CONFIG.format(root=root, maxfailures=maxfailures, failregex=failregex)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the path of the log, in a folder that logrotate accepts."""
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o755)
    path = folder / "auth.log"
    path.touch()
    return path


@pytest.fixture
def writer(log: Path) -> Iterator[Callable[..., Writer]]:
    """Return what starts the writer; it is ended with the test."""
    started: list[Writer] = []

    def start(count: int, source: str = "") -> Writer:
        started.append(Writer(log, count, source))
        return started[-1]

    yield start
    for one in started:
        one.close()


def shift(log: Path, suffix: str = "") -> Path:
    """Give the older generations the next numbers; return the path of the youngest."""
    for number in itertools.count(1):
        if not log.with_name(f"{log.name}.{number}{suffix}").exists():
            break
    for older in range(number, 1, -1):
        log.with_name(f"{log.name}.{older - 1}{suffix}").rename(
            log.with_name(f"{log.name}.{older}{suffix}")
        )
    return log.with_name(f"{log.name}.1")


# The ways to rotate -----------------------------------------------------------


def rename(log: Path, writer: Writer) -> None:
    """Rename the log; its writer goes on in the old one until it is told."""
    log.rename(shift(log))
    log.touch()
    time.sleep(0.05)
    writer.reopen()


def rename_without_creating(log: Path, writer: Writer) -> None:
    """Rename the log; there is none until its writer makes it."""
    log.rename(shift(log))
    time.sleep(0.05)
    writer.reopen()


def copytruncate(log: Path, writer: Writer) -> None:
    """Copy the log, then cut it. What is written in between is lost, so nothing is."""
    writer.stop()
    shutil.copyfile(log, shift(log))
    os.truncate(log, 0)
    writer.go_on()


def copytruncate_and_compress(log: Path, writer: Writer) -> None:
    """Compress the copy at once."""
    copy = shift(log, ".gz")
    writer.stop()
    shutil.copyfile(log, copy)
    os.truncate(log, 0)
    writer.go_on()
    subprocess.run(["gzip", str(copy)], check=True)


def logrotate(directives: str) -> Callable[[Path, Writer], None]:
    """Return a rotation by the program itself; `{pid}` is that of the writer."""

    def rotate(log: Path, writer: Writer) -> None:
        rules = log.parent.parent / "rules"
        text = directives.format(pid=writer.pid)
        rules.write_text(f"{log} {{\n rotate 99\n missingok\n notifempty\n{text}\n}}\n")
        rules.chmod(0o644)
        program = shutil.which("logrotate", path=needs.PATH)
        assert program
        command = [program, "--force", "--state", str(rules.with_name("state")), str(rules)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    return rotate


BY_NAME = """
 create 640 root root
 postrotate
  kill -USR1 {pid}
 endscript
"""

BY_COPY = """
 copytruncate
 prerotate
  kill -STOP {pid}
  while grep -q '^State:.[RSD]' /proc/{pid}/status; do sleep 0.01; done
 endscript
 postrotate
  kill -CONT {pid}
 endscript
"""

WAYS = [
    pytest.param(rename, id="rename"),
    pytest.param(rename_without_creating, id="rename-without-creating"),
    pytest.param(copytruncate, id="copytruncate"),
    pytest.param(copytruncate_and_compress, id="copytruncate-and-compress"),
    *(
        pytest.param(logrotate(text), id=f"logrotate-{name}", marks=needs.programs("logrotate"))
        for name, text in [
            ("create", BY_NAME),
            ("create-and-compress", BY_NAME + " compress\n delaycompress"),
            ("copytruncate", BY_COPY),
            ("copytruncate-and-compress", BY_COPY + " compress"),
        ]
    ),
]


def rotate_until_done(
    log: Path, writer: Writer, tally: Tally, rotate: Callable[[Path, Writer], None]
) -> int:
    """Rotate while the writer writes; return how often."""
    rounds = 0
    while writer.busy:
        wait_until(lambda: is_noticed(log, tally) or not writer.busy)
        if writer.busy:
            rotate(log, writer)
            rounds += 1
    writer.wait()
    return rounds


def is_noticed(log: Path, tally: Tally) -> bool:
    """Tell whether the daemon has seen the last rotation: a hundred lines of what is there now."""
    try:
        first = re.match(r".* user(\d+) .*\n", log.read_text())
    except FileNotFoundError:
        return False
    return first is not None and tally.count().total() >= int(first[1]) + 100


def assert_each_once(daemon: RunningDaemon, tally: Tally, count: int) -> None:
    """Every address was found once. Lines that come twice would come at once, too."""
    with contextlib.suppress(AssertionError):  # the difference says more
        daemon.wait_for(lambda: len(tally.count()) >= count)
    time.sleep(0.5)
    others = [line for line in daemon.log().splitlines() if "DEBUG" not in line]
    assert _difference(tally, count) == "", "\n".join([f"{daemon.process.poll()}", *others])


def _difference(tally: Tally, count: int) -> str:
    found, wanted = tally.count(), {address(number) for number in range(1, count + 1)}
    lost, twice = wanted - found.keys(), [one for one in found if found[one] > 1]
    strange = found.keys() - wanted
    if not (lost or twice or strange):
        return ""
    return f"lost: {sorted(lost)}\ntwice: {sorted(twice)}\nstrange: {sorted(strange)}"


@pytest.mark.parametrize("rotate", WAYS)
def test_every_failure_counts_once_while_the_log_is_rotated(
    tmp_path: Path,
    log: Path,
    writer: Callable[..., Writer],
    rotate: Callable[[Path, Writer], None],
) -> None:
    tally = Tally(tmp_path / "f2b.log")
    with RunningDaemon(tmp_path, config(tmp_path), "-v") as daemon:
        busy = writer(LINES)
        rounds = rotate_until_done(log, busy, tally, rotate)
        assert_each_once(daemon, tally, LINES)
        assert rounds >= 5
        assert daemon.stop() == 0
    assert len(list(log.parent.iterdir())) >= rounds


def test_every_failure_counts_once_while_the_daemon_is_told_to_reload(
    tmp_path: Path, log: Path, writer: Callable[..., Writer]
) -> None:
    """The configuration changes, breaks and is mended, and the log is rotated meanwhile."""
    tally = Tally(tmp_path / "f2b.log")
    versions = itertools.cycle(
        [
            config(tmp_path),
            config(tmp_path, NEVER + 1),
            config(tmp_path, failregex="( from <HOST>"),
            "[DEFAULT\n",
            config(tmp_path, failregex=f"{FAILREGEX}\n    another from <HOST>$"),
        ]
    )
    with RunningDaemon(tmp_path, config(tmp_path), "-v") as daemon:
        busy = writer(LINES, "203.0.113.1")
        wait_until(lambda: tally.count().total() > 0)
        reloads = 0
        while busy.busy:
            daemon.config.write_text(next(versions))
            daemon.signal(signal.SIGHUP)
            time.sleep(0.05)
            reloads += 1
            if reloads % 10 == 0:
                wait_until(lambda: is_noticed(log, tally) or not busy.busy)
                rename(log, busy)
        busy.wait()
        wait_until(lambda: tally.count().total() >= LINES)
        assert daemon.count("cannot be used: the old settings stay") >= reloads // 5
        assert not (tmp_path / "banned").exists()
        # One more makes LINES + 1, if and only if each of the others counted once.
        daemon.config.write_text(config(tmp_path, LINES + 1))
        used = daemon.count("The configuration is in use")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("The configuration is in use", times=used + 1)
        with log.open("a") as file:
            file.write(line(0, "203.0.113.1"))
        daemon.wait_for(r"SSH: Ban \(permanent\) 203\.0\.113\.1$")
        assert daemon.stop() == 0
    assert (tmp_path / "banned").read_text() == f"203.0.113.1 {LINES + 1}\n"


def test_what_is_written_while_the_log_cannot_be_found_counts(
    tmp_path: Path, log: Path, writer: Callable[..., Writer]
) -> None:
    """The folder vanishes and comes back: a disk that is mounted late, a hasty administrator."""
    tally = Tally(tmp_path / "f2b.log")
    away = tmp_path / "away"
    with RunningDaemon(tmp_path, config(tmp_path), "-v") as daemon:
        busy = writer(LINES // 2)
        wait_until(lambda: tally.count().total() > 0)
        while busy.busy:
            log.parent.rename(away)
            time.sleep(0.2)
            away.rename(log.parent)
            time.sleep(0.2)
        busy.wait()
        assert_each_once(daemon, tally, LINES // 2)


def test_two_sections_read_one_log_and_each_counts_for_itself(
    tmp_path: Path, log: Path, writer: Callable[..., Writer]
) -> None:
    second = config(tmp_path).partition("[SSH]")[2]
    text = config(tmp_path) + "[Second]" + second
    with RunningDaemon(tmp_path, text, "-v") as daemon:
        busy = writer(LINES // 2)
        daemon.wait_for("Second: found ", times=100)
        rename(log, busy)
        busy.wait()
        for section in ("SSH", "Second"):
            daemon.wait_for(f"{section}: found {address(LINES // 2)}$")
            assert daemon.count(f"DEBUG: {section}: found ") == LINES // 2


@pytest.mark.parametrize("dated", [False, True])
def test_defect_4_a_rotation_shows_although_all_logs_begin_alike(
    tmp_path: Path, log: Path, dated: bool
) -> None:
    """With a line without a date, or with one that is the same to the second."""
    first = line(0, "203.0.113.1") if dated else "Log opened.\n"
    tally = Tally(tmp_path / "f2b.log")
    with RunningDaemon(tmp_path, config(tmp_path), "-v") as daemon:
        log.write_text(first + line(1) + line(2))
        daemon.wait_for(f"SSH: found {address(2)}$")
        log.rename(shift(log))
        log.write_text(first + line(3))
        daemon.wait_for(f"SSH: found {address(3)}$")
        shutil.copyfile(log, shift(log))
        os.truncate(log, 0)
        with log.open("a") as file:
            file.write(first + line(4) + line(5))
        daemon.wait_for(f"SSH: found {address(5)}$")
        assert daemon.stop() == 0
    once = {address(number): 1 for number in range(1, 6)}
    assert tally.count() == once | ({"203.0.113.1": 3} if dated else {})


def test_defect_5_half_a_line_waits_for_its_end(tmp_path: Path, log: Path) -> None:
    """Its first half alone would blame another address."""
    text = line(1, "203.0.113.11")
    with RunningDaemon(tmp_path, config(tmp_path), "-v") as daemon:
        with log.open("a") as file:
            for part in (text[:20], text[20:-2]):
                file.write(part)
                file.flush()
                time.sleep(0.3)
            assert daemon.count("found") == 0
            file.write(text[-2:])
        daemon.wait_for("SSH: found ")
        assert daemon.stop() == 0
        assert daemon.count("SSH: found") == daemon.count(r"SSH: found 203\.0\.113\.11$") == 1
