# SPDX-License-Identifier: GPL-2.0-or-later
"""A wait ends when something happens, and only then."""

from __future__ import annotations

import errno
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fail2ban.detect import waker as waker_module
from fail2ban.detect.mounts import is_local
from fail2ban.detect.waker import Waker
from tests import needs

#: Tells of no mounts: there may be some at any time.
QUIET = os.devnull
LONG = 60.0  # seconds; only waited for when a test fails


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker(QUIET)
    yield waker
    waker.close()


def is_awake(waker: Waker) -> bool:
    """Tell whether a wait would end at once; takes the reason away."""
    awake = bool(waker._poll.poll(0))
    waker.wait(0)
    return awake


def assert_wakes(waker: Waker) -> None:
    """Wait, and see that the wait ends before its time."""
    start = time.monotonic()
    waker.wait(LONG)
    assert time.monotonic() - start < LONG


def append(path: Path, text: str = "line\n") -> None:
    with open(path, "a") as stream:
        stream.write(text)


def test_a_write_between_poll_and_wait_ends_the_wait(waker: Waker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log)
    waker.watch([str(log)])
    append(log)
    assert_wakes(waker)


def test_a_write_during_the_wait_ends_it(waker: Waker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log)
    waker.watch([str(log)])
    threading.Timer(0.1, append, [log]).start()
    assert_wakes(waker)


def test_a_burst_of_writes_is_one_reason_to_wake(waker: Waker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log)
    waker.watch([str(log)])
    for size in range(500):
        append(log)
        os.truncate(log, size)  # differs from the write, so the kernel keeps both events
        os.chmod(log, 0o600)
    waker.wake()
    waker.wake()
    assert_wakes(waker)
    assert not is_awake(waker)


@pytest.mark.parametrize("watched", ["log", "lo*"])
def test_a_file_that_appears_ends_the_wait(waker: Waker, tmp_path: Path, watched: str) -> None:
    waker.watch([str(tmp_path / watched)])
    append(tmp_path / "log")
    assert_wakes(waker)


def test_a_file_that_is_moved_here_ends_the_wait(waker: Waker, tmp_path: Path) -> None:
    append(tmp_path / "new")
    waker.watch([str(tmp_path / "log")])
    os.rename(tmp_path / "new", tmp_path / "log")
    assert_wakes(waker)


@pytest.mark.parametrize("event", [os.unlink, lambda path: os.rename(path, f"{path}.1")])
def test_a_file_that_goes_away_ends_the_wait(waker: Waker, tmp_path: Path, event: object) -> None:
    log = tmp_path / "log"
    append(log)
    waker.watch([str(log)])
    assert callable(event)
    event(log)
    assert_wakes(waker)


def test_permission_that_is_given_ends_the_wait(waker: Waker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log)
    waker.watch([str(log)])
    os.chmod(log, 0o644)
    assert_wakes(waker)


def test_what_is_written_to_other_files_does_not_end_the_wait(waker: Waker, tmp_path: Path) -> None:
    for name in ("log", "other", "dropped"):
        append(tmp_path / name)
    waker.watch([str(tmp_path / "log"), str(tmp_path / "dropped")])
    waker.watch([str(tmp_path / "log")])
    is_awake(waker)  # the kernel tells that a watch has ended
    append(tmp_path / "other")
    append(tmp_path / "dropped")
    assert not is_awake(waker)
    append(tmp_path / "log")
    assert_wakes(waker)


def test_a_path_that_leads_to_another_file_is_watched_anew(waker: Waker, tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log)
    waker.watch([str(log)])
    os.rename(log, tmp_path / "log.1")
    append(log)
    waker.watch([str(log)])
    assert_wakes(waker)
    append(tmp_path / "log.1")
    is_awake(waker)
    append(log)
    assert_wakes(waker)


def test_wake_ends_the_next_wait_or_the_present_one(waker: Waker) -> None:
    waker.wake()
    assert_wakes(waker)
    assert not is_awake(waker)
    threading.Timer(0.1, waker.wake).start()
    assert_wakes(waker)


def test_any_number_of_wakes_does_not_block(waker: Waker) -> None:
    for _ in range(100_000):
        waker.wake()
    assert_wakes(waker)


def test_wake_after_close_is_harmless() -> None:
    before = os.listdir("/proc/self/fd")
    waker = Waker(QUIET)
    waker.close()
    waker.close()
    reader, writer = os.pipe()  # takes the numbers that the waker had
    waker.wake()
    assert select.select([reader], [], [], 0)[0] == []
    os.close(reader)
    os.close(writer)
    assert os.listdir("/proc/self/fd") == before


def test_without_inotify_it_waits_plainly_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def refuse(nonblocking: bool) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waker_module, "INotify", refuse)
    waker = Waker(QUIET)
    waker.watch([str(tmp_path / "log")])
    append(tmp_path / "log")
    assert not is_awake(waker)
    waker.wake()
    assert_wakes(waker)
    waker.close()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "Too many open files" in caplog.text


def test_where_watches_are_used_up_it_says_so_once_and_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Limited(waker_module.INotify):  # type: ignore[misc]
        def add_watch(self, path: str, mask: int) -> int:
            if path.endswith(("b", "c")):
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(super().add_watch(path, mask))

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(waker_module, "INotify", Limited)
    for name in "abc":
        append(tmp_path / name)
    waker = Waker(QUIET)
    waker.watch([str(tmp_path / name) for name in "abc"])
    append(tmp_path / "b")
    assert not is_awake(waker)
    append(tmp_path / "a")
    assert_wakes(waker)
    waker.close()
    assert len(caplog.records) == 1


# Whether it suffices ---------------------------------------------------------------


def test_a_local_file_that_is_there_needs_no_polling(waker: Waker, tmp_path: Path) -> None:
    assert not waker.suffices  # nothing is watched yet
    append(tmp_path / "log")
    waker.watch([str(tmp_path / "log")])
    assert waker.suffices == is_local(os.path.realpath(tmp_path))


@pytest.mark.parametrize("path", ["missing", "link", "linked/log", "folder", "*.log"])
def test_what_may_change_unnoticed_is_polled(waker: Waker, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    append(tmp_path / "log")
    append(folder / "log")
    (tmp_path / "link").symlink_to("log")
    (tmp_path / "linked").symlink_to("folder")
    waker.watch([str(tmp_path / "log"), str(tmp_path / path)])
    assert not waker.suffices


def test_what_cannot_be_watched_is_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say it may be looked at, but not be read."""

    class Forbidden(waker_module.INotify):  # type: ignore[misc]
        def add_watch(self, path: str, mask: int) -> int:
            if path.endswith("log"):
                raise PermissionError(errno.EACCES, "forbidden")
            return super().add_watch(path, mask)  # type: ignore[no-any-return]

    monkeypatch.setattr(waker_module, "INotify", Forbidden)
    monkeypatch.setattr(waker_module, "is_local", lambda path: True)
    append(tmp_path / "log")
    waker = Waker(QUIET)
    waker.watch([str(tmp_path / "log")])
    assert not waker.suffices
    waker.close()


@pytest.mark.parametrize("other", ["logs/log", "log", "logs/a/log"])
def test_a_directory_far_above_that_is_replaced_ends_the_wait(
    waker: Waker, tmp_path: Path, other: str
) -> None:
    path = tmp_path / "logs/a/b/log"
    path.parent.mkdir(parents=True)
    for name in {str(path), str(tmp_path / other)}:
        append(Path(name))
    waker.watch([str(path), str(tmp_path / other)])
    is_awake(waker)
    (tmp_path / "logs").rename(tmp_path / "old")
    assert_wakes(waker)


MOUNTING = """
import os, sys
from fail2ban.detect.waker import Waker
folder = sys.argv[1]
os.mkdir(os.path.join(folder, "logs"))
path = os.path.join(folder, "logs", "log")
open(path, "w").close()
waker = Waker()
waker.watch([path])
waker.wait(0)
assert os.system(f"mount -t tmpfs none {os.path.dirname(path)}") == 0
sys.exit(not waker._poll.poll(0))
"""


@needs.root()
@needs.programs("unshare", "mount")
def test_what_is_mounted_over_a_log_ends_the_wait(tmp_path: Path) -> None:
    script = ["unshare", "-m", sys.executable, "-c", MOUNTING, str(tmp_path)]
    subprocess.run(script, check=True, timeout=LONG)


def test_an_ancestor_that_has_a_log_itself_is_watched_for_more(
    waker: Waker, tmp_path: Path
) -> None:
    for folder in ("a/b", "a"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        append(tmp_path / folder / "log")
    waker.watch([str(tmp_path / "a/log"), str(tmp_path / "a/b/log")])
    is_awake(waker)
    append(tmp_path / "a/new")
    assert_wakes(waker)


def test_where_inotify_is_missing_nothing_suffices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(nonblocking: bool) -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(waker_module, "INotify", fail)
    append(tmp_path / "log")
    waker = Waker(QUIET)
    waker.watch([str(tmp_path / "log")])
    assert not waker.suffices
    waker.close()


def test_a_directory_that_is_moved_away_ends_the_wait(waker: Waker, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    append(folder / "log")
    waker.watch([str(folder / "log")])
    os.rename(folder, tmp_path / "old")
    assert_wakes(waker)


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/var/log/auth.log", True),
        ("/var/log/far/x.log", False),
        ("/var/log/farther/x.log", True),
        ("/var/log/a b/x.log", False),
        ("/over/x.log", False),
        ("/strange/x.log", False),
    ],
)
def test_the_innermost_mount_says_whether_a_path_is_local(
    tmp_path: Path, path: str, local: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:0 / / rw,noatime - ext4 /dev/vda rw\n"
        "30 22 0:40 / /var/log/far rw shared:1 - nfs4 host:/ rw\n"
        "31 22 0:41 / /var/log/a\\040b rw - 9p share rw\n"
        "32 22 0:42 / /over rw - tmpfs none rw\n"
        "33 22 0:43 / /over rw - fuse.sshfs far rw\n"
        "34 22 0:44 / /strange rw - something new rw\n"
    )
    assert is_local(path, str(mounts)) is local
    assert not is_local(path, str(tmp_path / "missing"))
