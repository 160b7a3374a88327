# SPDX-License-Identifier: GPL-2.0-or-later
"""A wait ends when something happens, and only then."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fail2ban.detect import waker as waker_module
from fail2ban.detect import watches as watches_module
from fail2ban.detect.mounts import is_local
from fail2ban.detect.waker import APART, Waker
from fail2ban.detect.watches import Watches
from tests import needs

#: Tells of no mounts: there may be some at any time.
QUIET = os.devnull
LONG = 60.0  # seconds; only waited for when a test fails


@pytest.fixture
def watches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watches]:
    yield (watches := Watches(mounts=QUIET))
    assert watches._instance is None and not watches._wanted  # all have left


@pytest.fixture
def waker(watches: Watches) -> Iterator[Waker]:
    waker = Waker(watches)
    yield waker
    waker.close()


def is_awake(waker: Waker) -> bool:
    """Tell whether a wait would end at once; takes the reason away."""
    catch_up(waker)
    awake = waker._woken.is_set()
    waker.wait(0)
    return awake


def catch_up(waker: Waker) -> None:
    """Wait until all is told that has happened: something later is."""
    with tempfile.NamedTemporaryFile() as file:
        later = Waker(waker._watches)
        later.watch([file.name])
        os.chmod(file.name, 0o600)
        assert_wakes(later)
        later.close()


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
    catch_up(waker)
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


def test_wake_after_close_is_harmless(watches: Watches) -> None:
    waker = Waker(watches)
    waker.close()
    waker.close()
    waker.wake()


def test_without_inotify_it_waits_plainly_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def refuse(nonblocking: bool) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(watches_module, "INotify", refuse)
    watches = Watches(mounts=QUIET)
    for _ in range(2):
        waker = Waker(watches)
        waker.watch([str(tmp_path / "log")])
        append(tmp_path / "log")
        assert not waker._woken.is_set()
        waker.wake()
        assert_wakes(waker)
        assert not waker.suffices
        waker.close()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "INFO",
            "inotify is not fully available (Too many open files, see"
            " fs.inotify.max_user_instances): what it does not tell of is only polled",
        )
    ]


def test_where_watches_are_used_up_it_says_so_once_and_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Limited(watches_module.INotify):  # type: ignore[misc]
        def add_watch(self, path: str, mask: int) -> int:
            if path.endswith(("b", "c")):
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(super().add_watch(path, mask))

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(watches_module, "INotify", Limited)
    monkeypatch.setattr(waker_module, "is_local", lambda path: True)
    for name in "abc":
        append(tmp_path / name)
    watches = Watches(mounts=QUIET)
    waker, other = Waker(watches), Waker(watches)
    waker.watch([str(tmp_path / name) for name in "abc"])
    other.watch([str(tmp_path / "a")])
    assert (waker.suffices, other.suffices) == (False, True)
    append(tmp_path / "b")
    assert not is_awake(waker)
    append(tmp_path / "a")
    assert_wakes(waker)
    waker.close()
    other.close()
    (record,) = caplog.records
    assert "see fs.inotify.max_user_watches" in record.getMessage()


# One instance for all ----------------------------------------------------------------


def instances() -> int:
    """Return how many instances of inotify this process has."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:inotify"
    return found


def wait_for_ends() -> None:
    """Wait until all threads have ended that are about to."""
    for thread in threading.enumerate():
        if thread.name == "inotify":
            thread.join(LONG)


def test_any_number_of_sections_needs_one_instance_and_gives_it_back(
    watches: Watches, tmp_path: Path
) -> None:
    wait_for_ends()
    before, descriptors = instances(), len(os.listdir("/proc/self/fd"))
    wakers = [Waker(watches) for _ in range(300)]
    for number in range(300):
        append(tmp_path / f"{number}")
    for number, waker in enumerate(wakers):
        waker.watch([str(tmp_path / f"{number}")])
    assert instances() == before + 1
    for number, waker in enumerate(wakers):
        append(tmp_path / f"{number}")
        assert_wakes(waker)
        assert not any(one._woken.is_set() for one in wakers)
    for waker in wakers:
        waker.close()
    wait_for_ends()
    assert (instances(), len(os.listdir("/proc/self/fd"))) == (before, descriptors)


def test_what_several_watch_is_watched_once_until_the_last_has_left(
    watches: Watches, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    append(log)
    one, two, other = Waker(watches), Waker(watches), Waker(watches)
    for waker in (one, two):
        waker.watch([str(log)])
    other.watch([str(tmp_path / "other")])
    assert len(watches._wanted) == len({*one._watched, *two._watched, *other._watched})
    assert one._watched == two._watched
    append(log)
    assert_wakes(one)
    assert_wakes(two)
    one.close()
    append(log)
    assert_wakes(two)
    assert not is_awake(one) and not is_awake(other)
    two.close()
    append(log)
    assert not is_awake(two)
    assert set(watches._wanted) == other._watched
    other.close()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Have the file "slow" take long to be watched: who comes, and until when he stays."""
    came, go = threading.Event(), threading.Event()
    add_watch = watches_module.INotify.add_watch

    def add(self: watches_module.INotify, path: str, mask: int) -> int:
        watch = add_watch(self, path, mask)
        if path.endswith("slow"):
            came.set()
            assert go.wait(LONG)
        return watch

    monkeypatch.setattr(watches_module.INotify, "add_watch", add)
    yield came, go
    go.set()


def test_a_path_that_takes_long_to_be_watched_keeps_nobody_else_waiting(
    watches: Watches,
    waker: Waker,
    tmp_path: Path,
    hanging: tuple[threading.Event, threading.Event],
) -> None:
    came, go = hanging
    (tmp_path / "away").mkdir()
    append(tmp_path / "log")
    slow = Waker(watches)
    body = threading.Thread(target=slow.watch, args=([str(tmp_path / "away/slow")],))
    append(tmp_path / "away/slow")
    body.start()
    assert came.wait(LONG)
    waker.watch([str(tmp_path / "log")])
    append(tmp_path / "log")
    assert_wakes(waker)
    go.set()
    body.join()
    slow.close()


def test_a_watch_that_somebody_is_about_to_get_is_not_given_back(
    watches: Watches, tmp_path: Path, hanging: tuple[threading.Event, threading.Event]
) -> None:
    came, go = hanging
    append(tmp_path / "slow")
    (tmp_path / "link").symlink_to("slow")
    first, second = Waker(watches), Waker(watches)
    first.watch([str(tmp_path / "link")])
    body = threading.Thread(target=second.watch, args=([str(tmp_path / "slow")],))
    body.start()
    assert came.wait(LONG)
    first.watch([])  # the watch of the very same file
    go.set()
    body.join()
    append(tmp_path / "slow")
    assert_wakes(second)
    first.close()
    second.close()


def test_each_is_woken_by_what_it_watches_for_although_others_watch_for_more(
    watches: Watches, tmp_path: Path
) -> None:
    """The directory of one log stands above that of another."""
    (tmp_path / "below").mkdir()
    for path in (tmp_path / "log", tmp_path / "below/log"):
        append(path)
    above, below = Waker(watches), Waker(watches)
    below.watch([str(tmp_path / "below/log")])
    above.watch([str(tmp_path / "log")])
    append(tmp_path / "new")
    assert_wakes(above)
    assert not is_awake(below)
    above.close()
    below.close()


def test_a_deleted_file_is_forgotten(watches: Watches, waker: Waker, tmp_path: Path) -> None:
    waker.watch([str(tmp_path / "log")])
    for _ in range(20):
        append(tmp_path / "log")
        waker.watch([str(tmp_path / "log")])
        (tmp_path / "log").unlink()
        is_awake(waker)
    waker.watch([str(tmp_path / "log")])
    assert set(watches._wanted) == waker._watched


def test_what_is_lost_wakes_everybody(
    watches: Watches, waker: Waker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel keeps so many events; beyond that it says that there were more."""
    other = Waker(watches)
    for name, one in (("log", waker), ("other", other)):
        append(tmp_path / name)
        one.watch([str(tmp_path / name)])
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with watches._lock:  # the thread cannot go on
        for _ in range(limit):
            os.chmod(tmp_path / "log", 0o600)
            os.truncate(tmp_path / "log", 0)
    assert_wakes(other)
    assert_wakes(waker)
    other.close()


def test_sections_may_come_and_go_at_the_same_time(watches: Watches, tmp_path: Path) -> None:
    def come_and_go(name: str) -> None:
        try:
            for _ in range(50):
                waker = Waker(watches)
                append(tmp_path / name)
                waker.watch([str(tmp_path / name), str(tmp_path / "shared")])
                append(tmp_path / name)
                assert_wakes(waker)
                waker.close()
        except BaseException as error:
            wrong.append(error)

    wrong: list[BaseException] = []
    append(tmp_path / "shared")
    threads = [threading.Thread(target=come_and_go, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_thread_is_run_by_the_guard(tmp_path: Path) -> None:
    ran: list[str] = []

    def guard(name: str, body: Callable[[], None]) -> None:
        body()
        ran.append(name)

    watches = Watches(guard, QUIET)
    waker = Waker(watches)
    waker.watch([str(tmp_path)])
    waker.close()
    wait_for_ends()
    assert ran == ["inotify"]


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

    class Forbidden(watches_module.INotify):  # type: ignore[misc]
        def add_watch(self, path: str, mask: int) -> int:
            if path.endswith("log"):
                raise PermissionError(errno.EACCES, "forbidden")
            return super().add_watch(path, mask)  # type: ignore[no-any-return]

    monkeypatch.setattr(watches_module, "INotify", Forbidden)
    monkeypatch.setattr(waker_module, "is_local", lambda path: True)
    append(tmp_path / "log")
    waker = Waker(Watches())
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
from fail2ban.detect.waker import APART, Waker
from fail2ban.detect.watches import Watches
folder = sys.argv[1]
os.mkdir(os.path.join(folder, "logs"))
path = os.path.join(folder, "logs", "log")
open(path, "w").close()
waker = Waker(Watches())
waker.watch([path])
waker.wait(0)
assert os.system(f"mount -t tmpfs none {os.path.dirname(path)}") == 0
sys.exit(not waker._woken.wait(60))
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

    monkeypatch.setattr(watches_module, "INotify", fail)
    append(tmp_path / "log")
    waker = Waker(Watches())
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


def test_a_lone_change_is_told_at_once_and_many_together(
    waker: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    clock = [0.0]
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for moment in (100.0, 100.0, 100.0005, 100.0 + 2 * APART, 200.0):
        clock[0] = moment
        waker.wake()
        waker.wait(LONG)
        assert not waker._woken.is_set()
    assert slept == pytest.approx([APART, APART - 0.0005])
