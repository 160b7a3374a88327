# SPDX-License-Identifier: GPL-2.0-or-later
"""The PID lock between real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fail2ban import pidlock
from fail2ban.errors import LockError
from fail2ban.pidlock import PidLock

HOLDER = """
import sys, time
from fail2ban.errors import LockError
from fail2ban.pidlock import PidLock
lock = PidLock(sys.argv[1])
try:
    lock.acquire()
except LockError as error:
    print(error, flush=True)
    sys.exit(1)
print("mine", flush=True)
time.sleep(600)
"""

Start = Callable[[Path], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that take a lock and keep it."""
    processes: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_lock_holds_our_pid_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    lock = PidLock(str(path))
    with lock:
        assert path.read_text() == f"{os.getpid()}\n"
        assert pidlock.is_held(str(path))
    assert not path.exists()
    assert not lock.unclean


def test_second_instance_is_refused_with_the_pid_of_the_first(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path / "pid")
    assert first_line(process) == "mine"
    path = str(tmp_path / "pid")
    for refused in (PidLock(path).acquire, lambda: pidlock.check_free(path)):
        with pytest.raises(LockError, match=f"already running with PID {process.pid}$"):
            refused()
    assert (tmp_path / "pid").exists()


def test_lock_of_a_killed_process_is_taken_over(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path / "pid")
    first_line(process)
    process.kill()
    process.wait()
    pidlock.check_free(str(tmp_path / "pid"))
    lock = PidLock(str(tmp_path / "pid"))
    with lock:
        assert lock.unclean
        assert pidlock.read_pid(str(tmp_path / "pid")) == os.getpid()


@pytest.mark.parametrize("content", ["{pid}\n", "", "garbage\n", "-1\n", "0\n", "\0\0", "9" * 99])
def test_file_that_nobody_holds_means_nothing(tmp_path: Path, content: str) -> None:
    """Defect 15 of 0.6; `{pid}` is the number of another living program."""
    other = subprocess.Popen(["sleep", "600"])
    try:
        (tmp_path / "pid").write_text(content.format(pid=other.pid))
        with PidLock(str(tmp_path / "pid")):
            assert pidlock.read_pid(str(tmp_path / "pid")) == os.getpid()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_of_many_started_at_once_exactly_one_runs(tmp_path: Path, start: Start) -> None:
    (tmp_path / "pid").write_text("1\n")  # a leftover, which all want to break
    processes = [start(tmp_path / "pid") for _ in range(8)]
    answers = [first_line(process) for process in processes]
    assert sorted(answer == "mine" for answer in answers) == [False] * 7 + [True]
    winner = processes[answers.index("mine")]
    assert pidlock.read_pid(str(tmp_path / "pid")) == winner.pid


def test_stranger_who_locks_the_folder_does_not_stop_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pidlock, "PATIENCE", 0.05)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with PidLock(str(tmp_path / "pid")):
            assert pidlock.is_held(str(tmp_path / "pid"))
        assert not (tmp_path / "pid").exists()
    finally:
        os.close(folder)


def test_folder_that_is_gone_at_the_end_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lock = PidLock(str(folder / "pid"))
    lock.acquire()
    folder.rename(tmp_path / "gone")
    lock.release()


def test_release_leaves_the_file_of_another_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    lock = PidLock(str(path))
    lock.acquire()
    path.unlink()
    path.write_text("another\n")
    lock.release()
    assert path.read_text() == "another\n"


def test_folder_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = str(tmp_path / "missing" / "deep" / "pid")
    for attempt in (lambda: pidlock.check_free(path), PidLock(path).acquire):
        with pytest.raises(LockError, match="missing"):
            attempt()


def test_kill_ends_the_instance_and_returns_when_it_is_gone(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path / "pid")
    first_line(process)
    assert pidlock.kill(str(tmp_path / "pid")) == process.pid
    assert process.wait(0.5) == -signal.SIGTERM


def test_kill_without_an_instance_says_so_and_spares_others(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="No running Fail2Ban found"):
        pidlock.kill(str(tmp_path / "pid"))
    other = subprocess.Popen(["sleep", "600"])
    try:
        (tmp_path / "pid").write_text(f"{other.pid}\n")
        with pytest.raises(LockError, match="No running Fail2Ban found"):
            pidlock.kill(str(tmp_path / "pid"))
        time.sleep(0.1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_last_level_of_the_folder_is_made_and_no_more(tmp_path: Path) -> None:
    pidlock.check_free(str(tmp_path / "run" / "pid"))
    assert (tmp_path / "run").is_dir()
    with pytest.raises(LockError, match="there is no folder"):
        pidlock.check_free(str(tmp_path / "a" / "b" / "pid"))
    assert not (tmp_path / "a").exists()
