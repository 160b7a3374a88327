# SPDX-License-Identifier: GPL-2.0-or-later
"""What a log yields: whole lines, each once, whatever is in it and done to it."""

from __future__ import annotations

import gzip
import logging
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fail2ban.detect import logs as logs_module
from fail2ban.detect.copies import CHUNK, PATIENCE
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.lines import LINE_LIMIT, LineSplitter
from fail2ban.detect.logfile import SHARE, LogFile
from fail2ban.detect.logs import GRACE, MAX_OPEN, Logs
from fail2ban.detect.match import Line
from fail2ban.detect.paths import ABSENCE, INTERVAL
from fail2ban.detect.seek import GRAIN, SLACK, SMALL, Since
from fail2ban.detect.track import DAY


@dataclass
class FakeClock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Follower:
    """A log directory, and what the logs in it have yielded."""

    directory: Path
    patterns: tuple[str, ...] = ("log",)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.logs = Logs(map(self.path, self.patterns), self.clock)

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def write(self, name: str, data: bytes) -> None:
        with open(self.path(name), "ab") as stream:
            stream.write(data)

    def poll(self, after: float = 0.0) -> list[str]:
        """Poll until there is no backlog."""
        return [line.text for line in self.take(after)]

    def take(self, after: float = 0.0) -> list[Line]:
        """Poll until there is no backlog; return all that is known of the lines."""
        self.clock.now += after
        lines = list(self.logs.poll())
        while self.logs.due() == 0:
            lines += self.logs.poll()
        return [line._replace(tally=None, passage=None, end=0) for line in lines]


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[Follower]:
    follower = Follower(tmp_path)
    yield follower
    follower.logs.close()


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[Follower]:
    follower = Follower(tmp_path, ("log*",))
    yield follower
    follower.logs.close()


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def long_line(number: int) -> bytes:
    return b"line %04d of a log that is long enough to be recognised by its text\n" % number


# What is in a log -------------------------------------------------------------


def test_a_line_is_yielded_once_its_newline_arrives(follower: Follower) -> None:
    follower.write("log", b"one\ntw")
    assert follower.poll() == ["one"]
    follower.write("log", b"o")
    assert follower.poll() == []
    follower.write("log", b"\n\n")
    assert follower.poll() == ["two", ""]


def test_only_a_newline_ends_a_line(follower: Follower) -> None:
    text = "a\u2028b\x0bc\x85d\x0ce\x1cf\rg"
    follower.write("log", text.encode() + b"\r\nnext\n")
    assert follower.poll() == [text, "next"]


def test_bytes_that_are_not_utf8_do_not_stop_the_reader(follower: Follower) -> None:
    follower.write("log", b"caf\xe9 \xff\xfe\n\xe2\x82\nnext\n")
    assert follower.poll() == ["caf\ufffd \ufffd\ufffd", "\ufffd", "next"]


def test_an_overlong_line_is_cut_and_reported_once(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("log", b"a" * 10_000_000 + b"\nnext\n" + b"b" * (LINE_LIMIT + 1) + b"\n")
    follower.write("log", b"c" * LINE_LIMIT + b"\n")
    assert follower.poll() == ["a" * LINE_LIMIT, "next", "b" * LINE_LIMIT, "c" * LINE_LIMIT]
    assert len(messages(caplog, logging.WARNING)) == 1


def test_a_line_without_end_takes_bounded_memory() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        assert list(splitter.feed(b"x" * CHUNK)) == []
        assert splitter.pending <= LINE_LIMIT + 1
    assert list(splitter.feed(b"\nnext\n")) == ["x" * LINE_LIMIT, "next"]
    assert splitter.overlong == 1


MARK = "\ufeff".encode()
PIECES = st.sampled_from([b"\n", b"\0", b"\r", b"a", b"\xe2\x82", b"\xac", b"\xff", MARK])


@given(st.lists(PIECES, max_size=60).map(b"".join), st.lists(st.integers(0, 60), max_size=8))
def test_lines_do_not_depend_on_the_pieces_they_come_in(data: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter()
    cuts = sorted([0, *(min(cut, len(data)) for cut in cuts), len(data)])
    pieces = [data[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    whole = data.split(b"\n")[:-1]
    assert lines == [
        line.lstrip(b"\0").removesuffix(b"\r").decode("utf-8", "replace").removeprefix("\ufeff")
        for line in whole
    ]


def test_a_backlog_is_read_in_shares(follower: Follower) -> None:
    line = b"x" * 1023 + b"\n"
    lines = SHARE * CHUNK // len(line)
    follower.write("log", line * (lines + 5))
    assert len(list(follower.logs.poll())) == lines
    assert follower.logs.due() == 0
    assert len(list(follower.logs.poll())) == 5
    assert follower.logs.due() > 0


# Rotation by rename -----------------------------------------------------------


def test_a_renamed_log_is_read_on_until_its_writer_reopens(follower: Follower) -> None:
    follower.write("log", b"one\n")
    assert follower.poll() == ["one"]
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log.1", b"two\n")
    assert follower.poll() == ["two"]
    follower.write("log", b"four\n")
    follower.write("log.1", b"three\n")
    assert follower.poll() == ["three", "four"]
    follower.write("log.1", b"five\n")
    assert follower.poll(after=GRACE - 1) == ["five"]
    follower.write("log.1", b"six\n")
    assert follower.poll(after=GRACE - 1) == ["six"]
    follower.write("log.1", b"seven\n")
    assert follower.poll(after=GRACE - 1) == ["seven"]
    assert follower.poll(after=GRACE) == []
    follower.write("log.1", b"too late\n")
    assert follower.poll() == []


def test_a_log_that_is_let_go_ends_its_last_line(follower: Follower) -> None:
    follower.write("log", b"one\nhalf")
    follower.poll()
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"two\n")
    assert follower.poll() == ["two"]
    assert follower.poll(after=GRACE) == ["half"]
    assert follower.poll(after=GRACE) == []


def test_several_generations_drain_at_once(follower: Follower) -> None:
    for generation in range(3):
        follower.write("log", b"start %d\n" % generation)
        assert follower.poll() == [f"start {generation}"]
        os.rename(follower.path("log"), follower.path(f"old{generation}"))
    for generation in range(3):
        follower.write(f"old{generation}", b"end %d\n" % generation)
    follower.write("log", b"new\n")
    assert follower.poll() == ["end 0", "end 1", "end 2", "new"]


def test_the_last_file_of_a_missing_path_is_kept(follower: Follower) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    with open(follower.path("log"), "ab") as writer:
        os.unlink(follower.path("log"))
        for _ in range(3):
            assert follower.poll(after=10 * GRACE) == []
        for text in ("two", "and a half"):
            writer.write(text.encode() + b"\n")
            writer.flush()
            assert follower.poll(after=10 * GRACE) == [text]
    follower.write("log", b"three\n")
    assert follower.poll() == ["three"]


def test_the_old_backlog_is_read_before_the_new_file(follower: Follower) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    line = b"x" * 1023 + b"\n"
    follower.write("log", line * (SHARE * CHUNK // len(line) + 1))
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"new\n")
    assert "new" not in [line.text for line in follower.logs.poll()]
    assert [line.text for line in follower.logs.poll()][1:] == ["new"]


def test_a_link_that_is_set_anew_leads_to_the_next_log(follower: Follower) -> None:
    follower.write("monday", b"one\n")
    os.symlink("monday", follower.path("log"))
    assert follower.poll() == ["one"]
    follower.write("tuesday", b"three\n")
    os.unlink(follower.path("log"))
    os.symlink("tuesday", follower.path("log"))
    follower.write("monday", b"two\n")
    assert follower.poll() == ["two", "three"]


def test_a_log_that_was_written_anew_is_not_read_again(follower: Follower) -> None:
    follower.write("log", long_line(1) + long_line(2))
    assert len(follower.poll()) == 2
    shutil.copy(follower.path("log"), follower.path("new"))
    follower.write("new", long_line(3))
    os.rename(follower.path("new"), follower.path("log"))
    assert follower.poll() == [long_line(3).decode().strip()]


# Truncation in place ------------------------------------------------------------


def copytruncate(follower: Follower, suffix: str = ".1") -> None:
    path = follower.path("log")
    if suffix.endswith(".gz"):
        with open(path, "rb") as log, gzip.open(path + suffix, "wb") as copy:
            shutil.copyfileobj(log, copy)
    else:
        shutil.copyfile(path, path + suffix)
    os.truncate(path, 0)


@pytest.mark.parametrize("suffix", [".1", "-20300101", ".1.gz"])
@pytest.mark.parametrize("regrown", [False, True], ids=["empty", "regrown"])
def test_what_a_truncation_took_is_read_from_the_copy(
    follower: Follower, suffix: str, regrown: bool
) -> None:
    follower.write("log", b"one\nha")
    assert follower.poll() == ["one"]
    follower.write("log", b"lf\nthree\nfo")
    copytruncate(follower, suffix)
    if regrown:
        follower.write("log", b"ur\nfive is longer than all of the above\n")
        assert follower.poll() == ["half", "three", "four", "five is longer than all of the above"]
    else:
        assert follower.poll() == ["half", "three"]
        follower.write("log", b"ur\n")
        assert follower.poll() == ["four"]


def test_a_truncation_without_a_copy_costs_one_warning(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("log", b"one\ntwo\nha")
    assert follower.poll() == ["one", "two"]
    os.truncate(follower.path("log"), 0)
    follower.write("log", b"new\n")
    assert follower.poll() == []
    assert follower.logs.due() <= INTERVAL
    assert follower.poll(after=PATIENCE) == ["new"]
    assert len(messages(caplog, logging.WARNING)) == 1
    follower.write("log", b"newer\n")
    assert follower.poll() == ["newer"]
    assert len(messages(caplog, logging.WARNING)) == 1


def test_a_copy_may_appear_a_little_later(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    follower.write("log", b"two\n")
    shutil.copy(follower.path("log"), follower.path("elsewhere"))
    os.truncate(follower.path("log"), 0)
    follower.write("log", b"three\n")
    assert follower.poll() == []
    os.rename(follower.path("elsewhere"), follower.path("log.1"))
    assert follower.poll(after=1.0) == ["two", "three"]
    assert messages(caplog, logging.WARNING) == []


@pytest.mark.parametrize("known", [1, 8999])
def test_a_compression_that_goes_on_is_waited_for(
    follower: Follower, caplog: pytest.LogCaptureFixture, known: int
) -> None:
    random = [os.urandom(40).hex().encode() + b"\n" for _ in range(9000)]
    follower.write("log", b"".join(random[:known]))
    assert len(follower.poll()) == known
    follower.write("log", b"".join(random[known:]))
    whole = Path(follower.path("log")).read_bytes()
    packed = gzip.compress(whole)
    os.truncate(follower.path("log"), 0)
    follower.write("log", b"new\n")
    lines: list[str] = []
    for start in range(0, len(packed), len(packed) // 7):
        follower.write("log.1.gz", packed[start : start + len(packed) // 7])
        assert "new" not in lines
        lines += follower.poll(after=PATIENCE * 0.9)
    assert lines == [*whole.decode().splitlines()[known:], "new"]
    assert messages(caplog, logging.WARNING) == []


def test_a_compression_that_stopped_is_given_up(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    os.truncate(follower.path("log"), 0)
    follower.write("log.1.gz", gzip.compress(b"one\ntwo\n")[:-9])
    follower.write("log", b"new\n")
    lines = [line for _ in range(4) for line in follower.poll(after=PATIENCE)]
    assert lines[-1] == "new" and "one" not in lines
    assert len(messages(caplog, logging.WARNING)) == 1


def test_a_copy_older_than_what_was_read_is_not_ours(follower: Follower) -> None:
    follower.write("log.1", b"# header\nold\n")
    os.utime(follower.path("log.1"), (1_000_000, 1_000_000))
    follower.write("log", b"# header\n")
    assert follower.poll() == ["# header"]
    os.truncate(follower.path("log"), 0)
    assert follower.poll() == []
    follower.write("log", b"# header\nnew\n")
    assert follower.poll(after=PATIENCE) == ["# header", "new"]


def test_a_sibling_with_the_same_first_line_is_not_ours(follower: Follower) -> None:
    follower.write("log", b"# header\none\n")
    assert follower.poll() == ["# header", "one"]
    follower.write("log.other", b"# header\nanother\nlog\n")
    os.truncate(follower.path("log"), 0)
    assert follower.poll() == []
    assert follower.poll(after=PATIENCE) == []
    follower.write("log", b"new\n")
    assert follower.poll() == ["new"]


def test_a_copy_that_lacks_what_we_have_read_already_has_nothing_for_us(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("log", b"one\n")
    shutil.copy(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"two, after the copying, and ha")
    assert follower.poll() == ["one"]
    os.truncate(follower.path("log"), 0)
    follower.write("log", b"lf\n")
    assert follower.poll() == ["two, after the copying, and half"]
    assert messages(caplog, logging.WARNING) == []


def test_nuls_before_a_line_are_left_out(follower: Follower) -> None:
    with open(follower.path("log"), "wb", buffering=0) as writer:
        writer.write(b"x" * 3 * CHUNK + b"\none\nha")
        assert follower.poll()[1:] == ["one"]
        copytruncate(follower)
        writer.write(b"lf\ntwo\n")
        assert os.path.getsize(follower.path("log")) > CHUNK
        assert follower.poll() == ["half", "two"]


# Wildcards ------------------------------------------------------------------------


def test_a_file_that_matches_later_is_read_from_its_start(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ("*.log", "sub*/x.log"))
    assert follower.poll() == []
    follower.write("a.log", b"one\n")
    follower.write("a.log.1", b"no\n")
    follower.write("b.log.gz", b"no\n")
    assert follower.poll(after=INTERVAL) == ["one"]
    os.mkdir(tmp_path / "sub1")
    os.mkdir(tmp_path / "directory.log")
    follower.write("sub1/x.log", b"two\n")
    follower.write("a.log", b"three\n")
    assert sorted(follower.poll(after=INTERVAL)) == ["three", "two"]
    follower.logs.close()


def test_what_a_wildcard_finds_is_read_in_the_order_of_its_age(wild: Follower) -> None:
    for age, name in enumerate(["log.b", "log", "log.c", "log.a"]):
        wild.write(name, name.encode() + b"\n")
        os.utime(wild.path(name), (1_000_000, 1_000_000 + age))
    assert wild.poll() == ["log.b", "log", "log.c", "log.a"]


def test_a_wildcard_does_not_read_a_renamed_file_again(wild: Follower) -> None:
    wild.write("log", b"one\n")
    wild.write("log.2.gz", b"not text\n")
    assert wild.poll() == ["one"]
    os.rename(wild.path("log"), wild.path("log.1"))
    wild.write("log.1", b"two\n")
    wild.write("log", b"three\n")
    assert wild.poll(after=INTERVAL) == ["two", "three"]
    for _ in range(3):
        assert wild.poll(after=GRACE) == []


def test_a_wildcard_reads_only_the_rest_of_a_copy(wild: Follower) -> None:
    wild.write("log", long_line(1) + long_line(2))
    assert len(wild.poll()) == 2
    wild.write("log", long_line(3))
    copytruncate(wild, ".1")
    wild.write("log", long_line(4))
    assert wild.poll(after=INTERVAL) == [long_line(n).decode().strip() for n in (3, 4)]
    for _ in range(3):
        assert wild.poll(after=GRACE) == []


def test_a_wildcard_knows_a_copy_by_half_a_line(wild: Follower) -> None:
    wild.write("log", b"ha")
    assert wild.poll() == []
    wild.write("log", b"lf\n")
    copytruncate(wild)
    assert wild.poll(after=INTERVAL) == ["half"]
    assert wild.poll(after=INTERVAL) == []


@pytest.mark.parametrize("size", [0, 100, 200, 10**6])
def test_a_wildcard_does_not_read_a_copy_in_the_making(wild: Follower, size: int) -> None:
    wild.write("log", long_line(1) + long_line(2))
    assert len(wild.poll()) == 2
    wild.write("log", long_line(3))
    whole = Path(wild.path("log")).read_bytes()
    wild.write("log.1", whole[:size])
    assert wild.poll(after=INTERVAL) == [long_line(3).decode().strip()]
    wild.write("log.1", whole[size:])
    assert wild.poll(after=INTERVAL) == []
    os.truncate(wild.path("log"), 0)
    assert wild.poll() == []
    wild.write("log", long_line(4))
    assert wild.poll(after=INTERVAL) == [long_line(4).decode().strip()]
    assert wild.poll(after=GRACE) == []


def test_a_copy_that_was_given_up_yields_its_rest_when_it_turns_up(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ("log", "old/*"))
    os.mkdir(tmp_path / "old")
    follower.write("log", long_line(1) + long_line(2) + b"ha")
    assert len(follower.poll()) == 2
    follower.write("log", b"lf\n")
    shutil.copy(follower.path("log"), tmp_path / "copy")
    os.truncate(follower.path("log"), 0)
    follower.poll()
    follower.poll(after=PATIENCE)
    os.rename(tmp_path / "copy", tmp_path / "old" / "copy")
    assert follower.poll(after=INTERVAL) == ["half"]
    follower.logs.close()


def test_logs_with_the_same_first_line_are_different_logs(wild: Follower) -> None:
    wild.write("log.a", b"# the same header\none\n")
    assert wild.poll() == ["# the same header", "one"]
    wild.write("log.b", b"# the same header\n")
    wild.poll(after=INTERVAL)
    wild.write("log.b", b"two\n")
    assert wild.poll(after=INTERVAL)[-1:] == ["two"]


def test_a_great_many_files_do_not_take_all_descriptors(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ("*.log",))
    names = [f"{number}.log" for number in range(5 * MAX_OPEN)]
    for name in names:
        follower.write(name, name.encode() + b"\n")
    before = len(os.listdir("/proc/self/fd"))
    lines: list[str] = []
    while not lines or follower.logs.due() == 0:
        lines += [line.text for line in follower.logs.poll()]
        assert len(os.listdir("/proc/self/fd")) - before <= MAX_OPEN
    assert sorted(lines) == sorted(names)
    follower.write(names[0], b"more\n")
    follower.write(names[-1], b"more\n")
    assert follower.poll(after=INTERVAL) + follower.poll(after=INTERVAL) == ["more", "more"]
    follower.logs.close()


def test_a_deleted_file_stays_open_however_many_others_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_module, "MAX_OPEN", 4)
    follower = Follower(tmp_path, ("*.log",))
    follower.write("0.log", b"one\n")
    assert follower.poll() == ["one"]
    with open(follower.path("0.log"), "ab") as writer:
        os.unlink(follower.path("0.log"))
        for number in range(1, 9):
            follower.write(f"{number}.log", b"%d\n" % number)
        assert len(follower.poll(after=INTERVAL)) == 8
        writer.write(b"two\n")
        writer.flush()
        assert follower.poll() == ["two"]
    follower.logs.close()


def test_a_file_rests_only_when_all_of_it_is_read(follower: Follower) -> None:
    follower.write("log", b"one\n")
    file = LogFile(follower.path("log"), now=0.0)
    assert not file.rest()
    assert [line for block in file.poll(now=0.0) for line in block] == ["one"]
    assert file.rest()
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"another file\n")
    file.reopen(follower.path("log"))
    assert not file.is_open
    follower.write("log.1", b"two\n")
    file.reopen(follower.path("log.1"))
    assert [line for block in file.poll(now=0.0) for line in block] == ["two"]
    file.close()


# What cannot be read ----------------------------------------------------------------


def test_a_missing_log_is_reported_once_and_waited_for(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    follower.poll()
    follower.poll(after=100)
    assert messages(caplog, logging.ERROR) == [f"Unable to get stat on {follower.path('log')}"]
    assert messages(caplog, logging.INFO) == []
    follower.write("log", b"one\n")
    assert follower.poll() == ["one"]
    assert messages(caplog, logging.INFO) == [f"{follower.path('log')} can be read now"]


def test_a_rotation_may_take_the_log_away_for_a_moment(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.poll()
    follower.poll(after=ABSENCE - 1)
    assert messages(caplog, logging.ERROR) == []
    follower.poll(after=1)
    assert len(messages(caplog, logging.ERROR)) == 1


def test_what_is_no_file_is_refused_and_the_other_logs_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(tmp_path, ("fifo", "directory", "loop", "log", "/dev/null", "/dev/zero"))
    os.mkfifo(follower.path("fifo"))
    os.mkdir(follower.path("directory"))
    os.symlink("loop", follower.path("loop"))
    follower.write("log", b"one\n")
    assert follower.poll() == ["one"]
    assert follower.poll() == []
    assert messages(caplog, logging.ERROR) == [
        f"cannot follow {tmp_path}/fifo: it is a FIFO, not a regular file",
        f"cannot follow {tmp_path}/directory: it is a directory, not a regular file",
        f"Unable to get stat on {tmp_path}/loop",
        "cannot follow /dev/zero: it is a device, not a regular file",
    ]
    follower.logs.close()


def test_a_log_that_becomes_a_fifo_between_two_looks_does_not_block(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follower.write("regular", b"")
    os.mkfifo(follower.path("log"))
    status = os.stat(follower.path("regular"))
    monkeypatch.setattr("fail2ban.detect.paths.os.stat", lambda path: status)
    assert follower.poll() == []
    assert messages(caplog, logging.WARNING) == [
        f"cannot read {follower.path('log')}: not a regular file"
    ]


@pytest.mark.parametrize("name", ["log", "lo*"])
def test_a_log_without_permission_is_reported_once_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.INFO)
    follower = Follower(tmp_path, (name,))
    follower.write("log", b"one\n")
    as_nobody = pytest.MonkeyPatch()
    if os.geteuid() == 0:
        # Root may read everything, so ask as somebody else would be answered.
        as_nobody.setattr("fail2ban.detect.logfile.open_regular", refuse)
    else:
        os.chmod(follower.path("log"), 0)
    assert follower.poll() == follower.poll(after=INTERVAL) == []
    assert messages(caplog, logging.WARNING) == [
        f"cannot read {follower.path('log')}: Permission denied"
    ]
    as_nobody.undo()
    os.chmod(follower.path("log"), 0o600)
    assert follower.poll(after=INTERVAL) == ["one"]
    assert messages(caplog, logging.INFO)[-1] == f"{follower.path('log')} can be read now"
    follower.logs.close()


def refuse(path: str) -> int:
    raise PermissionError(13, "Permission denied", path)


def test_a_read_error_is_reported_once_and_costs_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(tmp_path, ("log", "other"))
    follower.write("log", b"one\n")
    assert follower.poll() == ["one"]
    ident = os.stat(follower.path("log")).st_ino
    pread = os.pread

    def fail(fd: int, size: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == ident:
            raise OSError(5, "Input/output error")
        return pread(fd, size, offset)

    follower.write("log", b"two\n")
    follower.write("other", b"three\n")
    with monkeypatch.context() as broken:
        broken.setattr("os.pread", fail)
        assert follower.poll() == ["three"]
        assert follower.poll() == []
    assert (
        messages(caplog, logging.WARNING).count(
            f"cannot read {follower.path('log')}: Input/output error"
        )
        == 1
    )
    assert follower.poll() == ["two"]
    follower.logs.close()


@pytest.mark.parametrize("reads", [0, 1])
def test_a_truncation_in_the_middle_of_a_read_costs_no_line(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    follower.write("log", b"".join(map(long_line, range(4))))
    follower.poll()
    follower.write("log", long_line(4))
    pread, left = os.pread, iter([*[False] * reads, True])

    def interrupted(fd: int, size: int, offset: int) -> bytes:
        if next(left, False):
            copytruncate(follower)
            follower.write("log", b"".join(map(long_line, range(5, 15))))
        return pread(fd, size, offset)

    monkeypatch.setattr("os.pread", interrupted)
    expected = [long_line(number).decode().rstrip() for number in range(4, 15)]
    assert follower.poll() + follower.poll(PATIENCE) == expected


#: Reads a log to its end, and prints for each chunk how often the kernel had to find memory.
_FAULTS = """
    import resource, sys
    from fail2ban.detect.copies import CHUNK
    from fail2ban.detect.logfile import LogFile
    log, chunks = LogFile(sys.argv[1], 0.0), 0
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for block in log.poll(0.0, share=10_000):
        chunks += 1
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin
    print(chunks, faults / chunks)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others manage memory otherwise")
def test_the_memory_of_a_chunk_is_used_for_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(map(long_line, range(200_000))))
    measure = [sys.executable, "-c", textwrap.dedent(_FAULTS), str(path)]
    done = subprocess.run(measure, capture_output=True, text=True, check=True)
    chunks, faults = done.stdout.split()
    assert int(chunks) > 40
    assert float(faults) < 32  # a chunk has 64 pages, and there are several copies of it


# Changing what is followed ------------------------------------------------------------


def test_other_paths_keep_the_position_of_what_stays(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ("a", "b"))
    follower.write("a", b"one\n")
    follower.write("b", b"two\n")
    assert follower.poll() == ["one", "two"]
    follower.logs.repattern([follower.path("b*"), follower.path("c")])
    for name in "abc":
        follower.write(name, name.encode() + b"\n")
    assert sorted(follower.poll()) == ["b", "c"]
    assert follower.poll(after=GRACE) == []
    assert follower.logs.paths() == [follower.path("b"), follower.path("b*"), follower.path("c")]
    follower.logs.close()


def test_other_paths_do_not_cut_a_rotation_short(follower: Follower) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"two\n")
    assert follower.poll() == ["two"]
    follower.logs.repattern([follower.path("log"), follower.path("other")])
    follower.write("log.1", b"three\n")
    follower.poll()
    follower.write("log.1", b"four\n")
    assert follower.poll() == ["four"]


def test_revision_tells_when_the_waker_has_to_look_elsewhere(follower: Follower) -> None:
    seen = {follower.logs.revision}

    def changed() -> bool:
        known = follower.logs.revision in seen
        seen.add(follower.logs.revision)
        return not known

    follower.write("log", b"one\n")
    follower.poll()
    assert changed()
    follower.write("log", b"two\n")
    follower.poll()
    assert not changed()
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"three\n")
    follower.poll()
    assert changed()
    follower.logs.repattern([follower.path("log"), follower.path("missing")])
    follower.poll()
    assert changed()


def test_a_wildcard_is_watched_through_its_deepest_sure_directory() -> None:
    logs = Logs(["/var/log/*.log", "/srv/*/logs/a*.log", "/etc/x"])
    assert logs.paths() == ["/etc/x", "/srv/*", "/var/log/*.log"]


def test_close_gives_all_descriptors_back(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    follower = Follower(tmp_path, ("log", "*.x"))
    follower.write("log", b"one\n")
    follower.write("a.x", b"two\n")
    follower.poll()
    os.rename(follower.path("log"), follower.path("old"))
    follower.write("log", b"three\n")
    follower.poll()
    follower.logs.close()
    assert os.listdir("/proc/self/fd") == before


# Everything at once ---------------------------------------------------------------------


class Writer:
    """A service and its log rotation; remembers which lines it wrote, by open file."""

    def __init__(self, follower: Follower, append: bool) -> None:
        self.follower = follower
        self.flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
        self.written: list[list[str]] = []
        self.output: list[str] = []
        self.count = 0
        self.half = b""
        self.fd = -1
        self.reopen()

    def line(self, junk: bytes) -> None:
        """Write what is missing of a line, or a whole one."""
        line = self.half or self._next(junk)
        self._write(line + b"\n")
        self.half = b""

    def half_line(self, junk: bytes) -> None:
        line = self.half or self._next(junk)
        cut = len(line) // 2
        self._write(line[:cut])
        self.half = line[cut:]

    def reopen(self, junk: bytes = b"") -> None:
        """Open the path, as after a signal; a line that was begun is ended before."""
        if self.fd >= 0:
            if self.half:
                self.line(b"")
            os.close(self.fd)
        self.fd = os.open(self.follower.path("log"), self.flags, 0o600)
        os.lseek(self.fd, 0, os.SEEK_END)
        self.written.append([])
        self.poll()

    def rename(self, junk: bytes) -> None:
        if self._has_path():
            self._unread(junk)
            self._age_copies()
            os.rename(self.follower.path("log"), self.follower.path("log.1"))

    def delete(self, junk: bytes) -> None:
        if self._has_path():
            self._unread(junk)
            os.unlink(self.follower.path("log"))

    def copytruncate(self, junk: bytes) -> None:
        self._copy("", junk)

    def copytruncate_and_compress(self, junk: bytes) -> None:
        self._copy(".gz", junk)

    def poll(self, junk: bytes = b"") -> None:
        self.output += self.follower.poll(after=0.1)

    def later(self, junk: bytes = b"") -> None:
        self.output += self.follower.poll(after=INTERVAL)

    def _copy(self, suffix: str, junk: bytes) -> None:
        if self._has_path():
            self._unread(junk)
            self._age_copies()
            copytruncate(self.follower, ".1" + suffix)

    def _unread(self, junk: bytes) -> None:
        """Write what the rotation takes away before it was read.

        Nobody rotates twice within a second, nor within a line, of which two pieces may
        be the same: a log that begins as it did before was not truncated for all we see.
        """
        if b"\n" not in Path(self.follower.path("log")).read_bytes():
            self.line(b"first")
        self.later()
        (self.line if len(junk) % 2 else self.half_line)(junk)

    def _age_copies(self) -> None:
        """Shift the numbers; the copies are from another day."""
        names = {name for name in os.listdir(self.follower.directory) if name != "log"}
        for name in sorted(names, key=lambda name: int(name.split(".")[1]), reverse=True):
            _, number, *rest = name.split(".")
            new = ".".join(["log", str(int(number) + 1), *rest])
            old_path, new_path = self.follower.path(name), self.follower.path(new)
            os.rename(old_path, new_path)
            os.utime(new_path, (1_000_000, os.stat(new_path).st_mtime - 86400))

    def _has_path(self) -> bool:
        path = self.follower.path("log")
        return os.path.exists(path) and os.stat(path).st_ino == os.fstat(self.fd).st_ino

    def _next(self, junk: bytes) -> bytes:
        self.count += 1
        # The number at the end as well: no two halves are the same. NULs have their own tests.
        junk = junk.replace(b"\n", b"").replace(b"\0", b"")
        line = b"%d:%b:%d" % (self.count, junk, self.count)
        self.written[-1].append(line.decode("utf-8", "replace"))
        return line

    def _write(self, data: bytes) -> None:
        os.write(self.fd, data)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                Writer.line,
                Writer.half_line,
                Writer.poll,
                Writer.later,
                Writer.rename,
                Writer.reopen,
                Writer.delete,
                Writer.copytruncate,
                Writer.copytruncate_and_compress,
            ]
        ),
        st.binary(max_size=100),
    ),
    max_size=40,
)


@pytest.mark.parametrize("pattern", ["log", "log*"])
@given(steps=STEPS, append=st.booleans())
@example(
    steps=[(Writer.copytruncate, b"12"), (Writer.half_line, b""), (Writer.copytruncate, b"")],
    append=True,
)
@settings(max_examples=300, deadline=None)
def test_every_line_is_yielded_once_whatever_rotation_does(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, append: bool, steps: list
) -> None:
    directory = tmp_path_factory.mktemp("logs")
    follower = Follower(directory, (pattern,))
    writer = Writer(follower, append)
    for step, junk in steps:
        step(writer, junk)
    writer.line(b"last")
    for _ in range(3):
        writer.later()
    numbers = {line: int(line.partition(":")[0]) for line in writer.output}
    assert sorted(writer.output, key=numbers.get) == sum(writer.written, [])
    for generation in writer.written:
        members = set(generation)
        assert [line for line in writer.output if line in members] == generation
    follower.logs.close()
    os.close(writer.fd)
    shutil.rmtree(directory)


# Encodings --------------------------------------------------------------------


def coded(tmp_path: Path, encoding: str) -> Follower:
    follower = Follower(tmp_path)
    follower.logs = Logs([follower.path("log")], follower.clock, encoding=encoding)
    return follower


@pytest.mark.parametrize(
    "encoding",
    ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "iso-8859-15", "cp037", "utf-8-sig", "gb18030"],
)
def test_a_log_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    follower = coded(tmp_path, encoding)
    lines = ["one", "two \xe9", "", "three"]
    data = "".join(f"{line}\r\n" for line in lines).encode(encoding)
    seen: list[str] = []
    for start in range(0, len(data), 5):
        follower.write("log", data[start : start + 5])
        seen += follower.poll()
    assert seen == lines
    follower.logs.close()


@pytest.mark.parametrize(
    "mark, codec", [("\ufeff", "utf-16-be"), ("\ufeff", "utf-16-le"), ("", "utf-16-le")]
)
def test_the_first_bytes_of_a_log_settle_which_utf16_it_is(
    tmp_path: Path, mark: str, codec: str
) -> None:
    follower = coded(tmp_path, "UTF-16")
    follower.write("log", f"{mark}one\ntwo\n".encode(codec))
    assert follower.poll() == ["one", "two"]
    follower.write("log", "three\n".encode(codec))
    assert follower.poll() == ["three"]
    follower.logs.close()


UNITS = st.sampled_from("ab\n\r\u0a0a\u010a\u0a00\u2028\U0001f4a9")


@given(
    st.text(UNITS, max_size=40),
    st.lists(st.integers(0, 160), max_size=8),
    st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-be"]),
)
def test_half_a_character_is_no_line_end(text: str, cuts: list[int], codec: str) -> None:
    splitter = LineSplitter(Encoding(codec))
    data = text.encode(codec)
    cuts = sorted([0, *(min(cut, len(data)) for cut in cuts), len(data)])
    pieces = [data[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    assert lines == [line.removesuffix("\r") for line in text.split("\n")[:-1]]


@given(st.lists(st.integers(1, 3 * LINE_LIMIT), max_size=4))
def test_a_wide_line_that_is_too_long_does_not_shift_the_next(cuts: list[int]) -> None:
    splitter = LineSplitter(Encoding("utf-16-be"))
    data = ("x" * LINE_LIMIT + "\nnext\n").encode("utf-16-be")
    cuts = sorted([0, *(min(cut, len(data)) for cut in cuts), len(data)])
    pieces = [data[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    assert lines == ["x" * (LINE_LIMIT // 2), "next"]
    assert (splitter.overlong, splitter.undecodable) == (1, 0)


def test_undecodable_bytes_are_complained_about_once_a_file_and_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    follower = coded(tmp_path, "ascii")
    for after in (0.0, DAY - 1, 2.0):
        follower.write("log", b"caf\xe9\n")
        assert follower.poll(after) == ["caf\ufffd"]
    warnings = messages(caplog, logging.WARNING)
    assert len(warnings) == 2
    assert follower.path("log") in warnings[0] and "not ascii" in warnings[0]
    follower.logs.close()


@pytest.mark.parametrize("name", ["utf-9", "base64", "rot13", "idna", "undefined", "utf-8\0"])
def test_what_is_no_encoding_of_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no encoding; expected one that Python knows"):
        Logs([], encoding=name)


def test_another_encoding_holds_from_the_next_poll_on(follower: Follower) -> None:
    follower.write("log", "é\nh".encode())
    assert follower.poll() == ["é"]
    follower.logs.repattern([follower.path("log")], encoding="latin-1")
    follower.write("log", b"\xe9\n")
    assert follower.poll() == ["hé"]


# Tails ------------------------------------------------------------------------


def tailing(directory: Path, *patterns: str) -> Follower:
    follower = Follower(directory, patterns)
    paths = [follower.path(pattern) for pattern in patterns]
    follower.logs = Logs(paths, follower.clock, tails=paths)
    return follower


def test_a_tail_is_read_from_its_present_end_on(tmp_path: Path) -> None:
    follower = tailing(tmp_path, "log")
    follower.write("log", b"old\n")
    assert follower.poll() == []
    follower.write("log", b"new\n")
    assert follower.take() == [Line("new")]
    follower.logs.close()


def test_a_tail_begins_at_the_line_that_is_being_written(tmp_path: Path) -> None:
    follower = tailing(tmp_path, "log")
    follower.write("log", b"old\nne")
    assert follower.poll() == []
    follower.write("log", b"w\n")
    assert follower.poll() == ["new"]
    follower.logs.close()


def test_a_tail_without_any_line_end_is_read_whole_only_if_it_is_short(tmp_path: Path) -> None:
    follower = tailing(tmp_path, "log")
    follower.write("log", b"x" * 2 * LINE_LIMIT)
    assert follower.poll() == []
    follower.write("log", b"rest\nnew\n")
    assert follower.poll() == ["rest", "new"]
    follower.logs.close()


def test_files_that_appear_under_a_tail_later_are_read_whole(tmp_path: Path) -> None:
    follower = tailing(tmp_path, "log", "more*")
    follower.write("more1", b"old\n")
    assert follower.poll() == []
    follower.write("log", b"first\n")
    follower.write("more2", b"second\n")
    assert sorted(follower.poll(INTERVAL)) == ["first", "second"]
    follower.logs.close()


def test_a_tail_survives_rotation(tmp_path: Path) -> None:
    follower = tailing(tmp_path, "log")
    follower.write("log", b"old\n")
    follower.poll()
    follower.write("log", b"last\n")
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"first\n")
    assert follower.poll() == ["last", "first"]
    follower.logs.close()


def test_a_reload_tails_only_what_is_new(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    follower.write("log", b"one\n")
    follower.write("other", b"old\n")
    assert follower.poll() == ["one"]
    paths = [follower.path("log"), follower.path("other")]
    follower.write("log", b"two\n")
    follower.logs.repattern(paths, tails=paths)
    assert follower.poll() == ["two"]
    follower.write("other", b"new\n")
    assert follower.poll() == ["new"]
    follower.logs.close()


# What was there at the start ---------------------------------------------------


def test_lines_are_live_once_the_end_was_reached(follower: Follower) -> None:
    follower.write("log", b"x" * 1023 + b"\n")
    with open(follower.path("log"), "ab") as stream:
        stream.write((b"y" * 1023 + b"\n") * (SHARE + 2) * (CHUNK // 1024))
    assert {line.live for line in follower.take()} == {False}
    follower.write("log", b"new\n")
    assert follower.take() == [Line("new", live=True)]


def test_a_log_that_appears_later_is_live(follower: Follower) -> None:
    assert follower.take() == []
    follower.write("log", b"new\n")
    assert follower.take() == [Line("new", live=True)]


def test_a_tail_is_live_while_another_log_is_not(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ("log", "tail"))
    paths = [follower.path("log"), follower.path("tail")]
    follower.logs = Logs(paths, follower.clock, tails=paths[1:])
    follower.write("log", b"old\n")
    follower.write("tail", b"old\nhalf")
    first = next(follower.logs.poll())
    assert (first.text, first.live) == ("old", False)
    follower.logs.close()


# How logs are getting on ---------------------------------------------------------


def test_lines_and_matches_are_counted_for_each_log(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ("log", "other"))
    follower.write("log", b"one\ntwo\n")
    follower.write("other", b"three\n")
    for line in follower.logs.poll():
        if line.text == "two" and line.tally is not None:
            line.tally.matches += 1
    states = {one.path: (one.lines, one.matches) for one in follower.logs.states()}
    assert states == {follower.path("log"): (2, 1), follower.path("other"): (1, 0)}
    follower.logs.close()


def test_in_the_middle_of_a_rotation_a_log_is_still_one(follower: Follower) -> None:
    follower.write("log", b"one\n")
    follower.poll()
    os.rename(follower.path("log"), follower.path("log.1"))
    follower.write("log", b"two\nthree\n")
    follower.poll()
    (state,) = follower.logs.states()
    assert (state.path, state.read, state.lines) == (follower.path("log"), 10, 3)
    follower.poll(GRACE)
    follower.poll(GRACE)
    (state,) = follower.logs.states()
    assert state.lines == 3


# Where to begin in an old log ----------------------------------------------------

MOMENT = 1_800_000_000
LENGTH = 100  # of a line


def dated(time: float, text: str = "old") -> bytes:
    return f"{time:.0f} {text} ".encode().ljust(LENGTH - 1, b".") + b"\n"


def when(line: str) -> float | None:
    stamp = line.partition(" ")[0]
    return float(stamp) if stamp.isdecimal() else None


def seeking(directory: Path, *patterns: str, moment: float = MOMENT) -> Follower:
    follower = Follower(directory, patterns)
    paths = [follower.path(pattern) for pattern in patterns]
    follower.logs = Logs(paths, follower.clock, since=Since(lambda: moment, when))
    return follower


def words(lines: list[str]) -> list[str]:
    """Return what lines say apart from being old."""
    return [word for line in lines if (word := line.split()[1].rstrip(".")) != "old"]


OLD = dated(MOMENT - SLACK - 1) * 5000
FEW = GRAIN // LENGTH + 10


def test_of_a_log_that_is_there_only_what_is_young_is_read(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log")
    follower.write("log", OLD + dated(MOMENT, "one") + dated(MOMENT, "half")[:-1])
    lines = follower.take()
    assert words([line.text for line in lines]) == ["one"]
    assert len(lines) < FEW
    assert {line.live for line in lines} == {False}
    follower.write("log", b"\n" + dated(0, "late"))
    assert words(follower.poll()) == ["half", "late"]
    follower.logs.close()


def test_without_a_moment_all_is_read(follower: Follower) -> None:
    follower.write("log", OLD)
    assert len(follower.poll()) == 5000


def test_a_log_that_appears_later_is_read_whole(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log", "more*")
    assert follower.poll() == []
    follower.write("log", OLD)
    follower.write("more1", dated(0) + OLD)
    assert len(follower.poll(INTERVAL)) == 10_001
    follower.logs.close()


def test_what_is_written_after_the_first_look_is_read_whatever_its_date(tmp_path: Path) -> None:
    """The log cannot be opened at first, and then it has grown."""
    follower = seeking(tmp_path, "log")
    follower.write("log", OLD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs_module, "LogFile", _refuse)
        assert follower.poll() == []
    follower.write("log", dated(0, "new") + OLD)
    lines = follower.poll()
    assert words(lines) == ["new"] and 5000 < len(lines) < 5000 + FEW
    follower.logs.close()


def _refuse(*args: object) -> LogFile:
    raise PermissionError(13, "Permission denied")


def test_a_search_that_fails_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = seeking(tmp_path, "log")
    follower.write("log", OLD + dated(MOMENT, "one"))
    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "start_since", _refuse)
        assert follower.poll() == []
    with monkeypatch.context() as patch:
        patch.setattr(LogFile, "reopen", _refuse)
        assert follower.poll() == []
    lines = follower.poll()
    assert words(lines) == ["one"] and len(lines) < FEW
    follower.logs.close()


def test_a_reload_searches_only_what_is_new(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log")
    follower.write("log", dated(0, "one"))
    follower.write("other", OLD + dated(MOMENT, "two"))
    assert words(follower.poll()) == ["one"]
    follower.write("log", OLD)
    follower.logs.repattern([follower.path("log"), follower.path("other")])
    lines = follower.poll()
    assert words(lines) == ["two"] and 5000 < len(lines) < 5000 + FEW
    follower.logs.close()


def test_a_tail_is_a_tail_also_where_only_young_lines_matter(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log")
    paths = [follower.path("log")]
    since = Since(lambda: MOMENT, when)
    follower.logs = Logs(paths, follower.clock, tails=paths, since=since)
    follower.write("log", OLD + dated(MOMENT))
    assert follower.poll() == []
    follower.logs.close()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
def test_an_old_log_of_wide_characters_is_searched(tmp_path: Path, codec: str) -> None:
    follower = seeking(tmp_path, "log")
    since = Since(lambda: MOMENT, when)
    paths = [follower.path("log")]
    follower.logs = Logs(paths, follower.clock, encoding=codec, since=since)
    follower.write("log", (OLD + dated(MOMENT, "one")).decode().encode(codec))
    lines = follower.poll()
    assert words(lines) == ["one"] and len(lines) < FEW
    follower.logs.close()


# What was skipped is as good as read.


def test_the_rest_of_a_skipped_log_is_found_in_the_copy_of_a_rotation(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log")
    follower.write("log", OLD)
    assert len(follower.poll()) < FEW
    follower.write("log", dated(0, "rest"))
    shutil.copyfile(follower.path("log"), follower.path("log.1"))
    os.truncate(follower.path("log"), 0)
    follower.write("log", dated(0, "new"))
    assert words(follower.poll()) == ["rest", "new"]
    follower.logs.close()


def test_a_copy_of_a_skipped_log_is_not_read_under_a_wildcard(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log*")
    follower.write("log", OLD)
    assert len(follower.poll()) < FEW
    follower.write("log", dated(0, "rest"))
    shutil.copyfile(follower.path("log"), follower.path("log.1"))
    lines = follower.poll(INTERVAL)
    os.truncate(follower.path("log"), 0)
    lines += follower.poll(INTERVAL)
    follower.write("log", dated(0, "new"))
    assert words(lines + follower.poll(INTERVAL)) == ["rest", "new"]
    assert len(lines) == 1
    follower.logs.close()


def test_a_skipped_log_that_an_editor_writes_anew_is_read_on(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log")
    follower.write("log", OLD)
    assert len(follower.poll()) < FEW
    follower.write("anew", OLD + dated(0, "new"))
    os.rename(follower.path("anew"), follower.path("log"))
    assert words(lines := follower.poll()) == ["new"] and len(lines) == 1
    follower.logs.close()


def test_generations_that_are_there_are_searched_one_by_one(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log*")
    follower.write("log.1", OLD + dated(MOMENT, "one"))
    os.utime(follower.path("log.1"), (1, 1))
    follower.write("log", OLD.replace(b"old", b"Old") + dated(MOMENT, "two"))
    lines = [line for line in follower.poll() if " Old " not in line]
    assert words(lines) == ["one", "two"] and len(lines) < FEW
    follower.logs.close()


def test_a_log_that_is_truncated_while_it_is_searched_is_read_from_its_start(
    tmp_path: Path,
) -> None:
    follower = Follower(tmp_path)

    def truncating(line: str) -> float:
        os.truncate(follower.path("log"), 0)
        return 0.0

    paths = [follower.path("log")]
    follower.logs = Logs(paths, follower.clock, since=Since(lambda: MOMENT, truncating))
    follower.write("log", OLD)
    assert follower.poll() == []
    follower.write("log", dated(0, "new"))
    assert words(follower.poll()) == ["new"]
    follower.logs.close()


def test_a_tail_that_was_truncated_before_it_is_begun_is_read_from_its_start(
    tmp_path: Path,
) -> None:
    follower = tailing(tmp_path, "log")
    follower.write("log", OLD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs_module, "LogFile", _refuse)
        assert follower.poll() == []
    os.truncate(follower.path("log"), 0)
    follower.write("log", dated(0, "new"))
    assert words(follower.poll()) == ["new"]
    follower.logs.close()


def test_a_small_log_is_read_whole(tmp_path: Path) -> None:
    follower = seeking(tmp_path, "log")
    follower.write("log", OLD[:SMALL])
    assert len(follower.poll()) == SMALL // LENGTH
    follower.logs.close()
