# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of a log count once, whatever ends the process and whatever rotation does."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.detect.copies import PATIENCE
from fail2ban.detect.earlier import LIFETIME
from fail2ban.detect.lines import LINE_LIMIT
from fail2ban.detect.logs import GRACE, Logs
from fail2ban.detect.marks import parse
from fail2ban.detect.match import Line
from fail2ban.detect.paths import INTERVAL
from fail2ban.detect.seek import SLACK, Since
from tests.helpers import FakeClock


class Run:
    """A daemon that reads logs, is ended at any moment, and runs again.

    Attributes:
        counted: lines of polls that were saved.
        marks: what was saved with them.
    """

    def __init__(self, directory: Path, *patterns: str, tails: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.patterns, self.tails = patterns, tails
        self.clock = FakeClock(1000.0)
        self.since: Since | None = None
        self.marks: Mapping[str, str] = {}
        self.counted: list[str] = []
        self.start()

    def start(self) -> None:
        patterns, tails = (map(self.path, names) for names in (self.patterns, self.tails))
        self.logs = Logs(patterns, self.clock, tails, since=self.since, marks=self.marks)

    def end(self) -> None:
        self.logs.close()

    def restart(self) -> None:
        self.end()
        self.start()

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def write(self, name: str, data: bytes) -> None:
        with open(self.path(name), "ab") as stream:
            stream.write(data)

    def take(self, after: float = 0.0) -> list[Line]:
        """Poll until there is nothing more at the moment; save."""
        self.clock.advance(after)
        lines = list(self.logs.poll())
        while self.logs.due() == 0:
            lines += self.logs.poll()
        self.marks = dict(self.logs.marks())
        self.counted += [line.text for line in lines]
        return lines

    def poll(self, after: float = 0.0) -> list[str]:
        return [line.text for line in self.take(after)]

    def drain(self) -> list[str]:
        """Poll until nothing is waited for."""
        lines = self.poll()
        while self.logs.due() <= INTERVAL:
            lines += self.poll(after=INTERVAL)
        return lines


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path, "log")
    yield run
    run.end()


@pytest.fixture
def wild(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path, "log*")
    yield run
    run.end()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def numbered(number: int) -> bytes:
    return b"line %04d of a log that is long enough to be recognised by its text\n" % number


def shown(*numbers: int) -> list[str]:
    return [numbered(number).decode().strip() for number in numbers]


def compress(path: str) -> None:
    with open(path, "rb") as log, gzip.open(f"{path}.gz", "wb") as copy:
        shutil.copyfileobj(log, copy)
    os.unlink(path)


# Nothing happened to the log ---------------------------------------------------------


def test_a_log_is_read_on_where_it_was_left(run: Run) -> None:
    run.write("log", b"one\ntw")
    assert run.poll() == ["one"]
    run.restart()
    assert run.poll() == []
    run.end()
    run.write("log", b"o\nthree\n")
    run.start()
    assert run.poll() == ["two", "three"]


def test_what_was_not_saved_is_read_again(run: Run) -> None:
    run.write("log", b"one\n")
    run.poll()
    run.write("log", b"two\n")
    assert [line.text for line in run.logs.poll()] == ["two"]
    run.restart()
    assert run.poll() == ["two"]


def test_the_rest_of_a_line_that_is_too_long_is_no_line_after_a_restart(run: Run) -> None:
    run.write("log", b"one\n" + b"x" * 5 * LINE_LIMIT)
    assert run.poll() == ["one"]
    run.restart()
    run.write("log", b"fail 192.0.2.1\n")
    assert run.poll() == ["x" * LINE_LIMIT]


def test_marks_stay_the_same_object_while_nothing_changes(run: Run) -> None:
    run.write("log", b"one\n")
    list(run.logs.poll())
    marks = run.logs.marks()
    list(run.logs.poll())
    assert run.logs.marks() is marks
    run.write("log", b"two\n")
    list(run.logs.poll())
    assert run.logs.marks() != marks


def test_an_encoding_that_the_first_bytes_tell_is_known_after_a_restart(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first = Logs([run.path("log")], run.clock, encoding="utf-16")
    run.write("log", "\ufeffone\nha".encode("utf-16-be"))
    assert [line.text for line in first.poll()] == ["one"]
    second = Logs([run.path("log")], run.clock, encoding="utf-16", marks=first.marks())
    run.write("log", "lf\n".encode("utf-16-be"))
    assert [line.text for line in second.poll()] == ["half"]
    for logs in (first, second):
        logs.close()


# Rotation while nobody reads ------------------------------------------------------------


def test_a_log_that_was_renamed_is_read_to_its_end_before_the_new_one(run: Run) -> None:
    run.write("log", b"one\n")
    run.poll()
    run.end()
    run.write("log", b"two\n")
    os.rename(run.path("log"), run.path("log.1"))
    run.write("log", b"four\n")
    run.start()
    assert run.poll() == ["two", "four"]
    run.write("log.1", b"three\n")
    assert run.poll() == ["three"]
    run.restart()
    run.write("log.1", b"half")
    run.write("log", b"five\n")
    assert run.poll() == ["five"]
    assert run.poll(after=GRACE) == ["half"]
    run.restart()
    assert run.poll() == []


def test_a_log_in_the_middle_of_its_rotation_is_waited_for(run: Run) -> None:
    run.write("log", b"one\n")
    run.poll()
    run.end()
    run.write("log", b"two\n")
    os.rename(run.path("log"), run.path("log.1"))
    run.start()
    assert run.poll() == ["two"]
    run.restart()
    run.write("log.1", b"three\n")
    assert run.poll(after=GRACE) == ["three"]
    run.write("log", b"four\n")
    assert run.poll() == ["four"]


def test_a_log_that_comes_late_is_read_on_however_late(run: Run) -> None:
    run.write("log", numbered(1))
    run.poll()
    run.end()
    os.rename(run.path("log"), run.path("elsewhere"))
    run.start()
    for _ in range(3):
        assert run.poll(after=LIFETIME) == []
        run.restart()
    run.write("elsewhere", numbered(2))
    os.rename(run.path("elsewhere"), run.path("log"))
    assert run.poll() == shown(2)


@pytest.mark.parametrize("half", [b"", b"half"])
def test_what_only_a_compressed_copy_has_is_read_from_it(run: Run, half: bytes) -> None:
    run.write("log", numbered(1))
    run.poll()
    run.end()
    run.write("log", numbered(2) + half)
    os.rename(run.path("log"), run.path("log.1"))
    (run.directory / "other").touch()  # so the new log is not given the same inode
    run.write("log", b"new\n")
    compress(run.path("log.1"))
    run.start()
    assert run.drain() == [*shown(2), *filter(None, [half.decode()]), "new"]
    run.restart()
    assert run.drain() == []


def test_a_rotation_without_a_copy_costs_one_warning(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.write("log", b"one\n")
    run.poll()
    run.end()
    run.write("new", b"new\n")
    os.rename(run.path("new"), run.path("log"))
    run.start()
    assert run.poll() == []
    assert run.poll(after=PATIENCE) == ["new"]
    assert len(warnings(caplog)) == 1 and "may be lost" in warnings(caplog)[0]


def test_other_text_under_the_same_inode_is_another_log(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.write("log", b"one\n" * 9)
    run.poll()
    run.end()
    (run.directory / "log").write_bytes(b"new\n" * 99)
    run.start()
    assert run.poll() == []
    assert run.drain() == ["new"] * 99
    assert len(warnings(caplog)) == 1


def test_nobody_waits_for_a_generation_whose_inode_the_log_has_now(run: Run) -> None:
    run.write("log", b"one\n" * 20)
    run.poll()
    os.rename(run.path("log"), run.path("log.1"))
    run.write("log", b"two\n")
    run.poll()
    run.end()
    # The next rotation takes the old generation away, and its inode comes to new use.
    os.remove(run.path("log.1"))
    old = next(text for text in run.marks.values() if json.loads(text).get("left"))
    status = os.stat(run.path("log"))
    reused = json.loads(old) | {"ident": [status.st_dev, status.st_ino]}
    run.marks = {f"log:{status.st_dev}:{status.st_ino}:{run.path('log')}": json.dumps(reused)}
    run.start()
    assert run.poll() == ["two"]


@pytest.mark.parametrize("suffix", [".1", ".1.gz"])
@pytest.mark.parametrize("regrown", [False, True])
def test_what_a_truncation_took_meanwhile_is_in_the_copy(
    run: Run, suffix: str, regrown: bool
) -> None:
    run.write("log", numbered(1) + b"ha")
    run.poll()
    run.end()
    run.write("log", b"lf\n" + numbered(2) + b"an")
    shutil.copy(run.path("log"), run.path("log.1"))
    if suffix == ".1.gz":
        compress(run.path("log.1"))
    os.truncate(run.path("log"), 0)
    run.write("log", b"other\n" + numbered(3) * 3 * regrown)
    run.start()
    assert run.drain() == ["half", *shown(2), "another", *shown(3, 3, 3) * regrown]


def test_half_a_first_line_is_known_in_the_copy(run: Run) -> None:
    run.write("log", b"ha")
    assert run.poll() == []
    run.end()
    run.write("log", b"lf\n")
    shutil.copy(run.path("log"), run.path("log.1"))
    os.truncate(run.path("log"), 0)
    run.write("log", b"new\n")
    run.start()
    assert run.drain() == ["half", "new"]


def test_a_line_that_began_before_a_truncation_survives_a_restart(run: Run) -> None:
    run.write("log", numbered(1))
    run.poll()
    run.write("log", b"ha")
    shutil.copy(run.path("log"), run.path("log.1"))
    os.truncate(run.path("log"), 0)
    assert run.poll() == []
    run.restart()
    run.write("log", b"lf\n")
    assert run.drain() == ["half"]


def test_a_log_that_was_written_anew_is_not_read_again(run: Run) -> None:
    run.write("log", numbered(1) + numbered(2))
    run.poll()
    run.end()
    shutil.copy(run.path("log"), run.path("new"))
    run.write("new", numbered(3))
    os.rename(run.path("new"), run.path("log"))
    run.start()
    assert run.poll() == shown(3)


def test_a_link_that_was_set_anew_leaves_nothing_unread(run: Run) -> None:
    run.write("monday", b"one\n")
    os.symlink("monday", run.path("log"))
    assert run.poll() == ["one"]
    run.end()
    run.write("monday", b"two\n")
    run.write("tuesday", b"three\n")
    os.unlink(run.path("log"))
    os.symlink("tuesday", run.path("log"))
    run.start()
    assert run.poll() == ["two", "three"]


# Wildcards ----------------------------------------------------------------------------------


def test_every_file_of_a_wildcard_is_read_on(tmp_path: Path) -> None:
    run = Run(tmp_path, "*.log")
    names = [f"{number}.log" for number in range(200)]
    for name in names:
        run.write(name, f"old {name}\n".encode())
    assert len(run.drain()) == 200
    run.end()
    for name in names[::40]:
        run.write(name, f"{name}\n".encode())
    run.start()
    assert sorted(run.drain()) == sorted(names[::40])
    run.end()


def test_a_renamed_generation_is_known_by_its_inode(
    wild: Run, caplog: pytest.LogCaptureFixture
) -> None:
    wild.write("log", numbered(1))
    wild.write("log.1", numbered(0))
    assert len(wild.poll()) == 2
    wild.end()
    wild.write("log", numbered(2))
    os.unlink(wild.path("log.1"))
    os.rename(wild.path("log"), wild.path("log.1"))
    (wild.directory / "other").touch()
    wild.write("log", numbered(3))
    wild.start()
    assert wild.drain() == shown(2, 3)
    assert warnings(caplog) == []


@pytest.mark.parametrize("committed", ["before", "recovered", "decided"])
def test_a_copy_is_not_read_under_a_wildcard(wild: Run, committed: str) -> None:
    wild.write("log", numbered(1))
    wild.poll()
    wild.write("log", numbered(2))
    shutil.copy(wild.path("log"), wild.path("log.1"))
    os.truncate(wild.path("log"), 0)
    wild.write("log", numbered(3))
    if committed != "before":
        wild.poll(after=INTERVAL if committed == "decided" else 0)
    wild.restart()
    wild.drain()
    wild.poll(after=GRACE)
    assert wild.counted == shown(1, 2, 3)


def test_nobody_waits_for_ever_for_a_file_of_a_wildcard(wild: Run) -> None:
    wild.write("log.a", b"one\n")
    wild.poll()
    os.unlink(wild.path("log.a"))
    wild.restart()
    wild.poll()
    assert len(wild.marks) == 1
    wild.poll(after=LIFETIME)
    assert wild.marks == {}


# Which marks are taken, and where else to begin -----------------------------------------------


def test_a_mark_that_nobody_wants_is_dropped(run: Run) -> None:
    run.write("log", b"one\n")
    run.poll()
    run.patterns = ("other",)
    run.restart()
    assert run.poll() == []
    assert run.marks == {}


@pytest.mark.parametrize(
    "damage", ["", "{}", "[]", "null", "7", '{"path":', "\x1b[31m", "[" * 99999]
)
def test_a_damaged_mark_is_left_out_with_a_warning(
    run: Run, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    run.write("log", b"one\n")
    run.poll()
    run.marks = {key: damage for key in run.marks} | {"filter": "not ours"}
    run.restart()
    assert run.poll() == ["one"]
    [warning] = warnings(caplog)
    assert "\x1b" not in warning and len(warning) < 300


NAMES = ["path", "ident", "begun", "target", "left", "copied", "lost"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**70) | st.text(max_size=5),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.sampled_from(NAMES), part),
    max_leaves=9,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_mark_does_harm(said: dict[str, object]) -> None:
    try:
        mark = parse(json.dumps(said))
    except ValueError:
        return
    assert parse(mark.text()) == mark


def test_a_tail_goes_on_where_it_was_and_new_files_are_read_whole(tmp_path: Path) -> None:
    run = Run(tmp_path, "log*", tails=("log*",))
    run.write("log.a", b"old\n")
    assert run.poll() == []
    run.end()
    run.write("log.a", b"new\n")
    run.write("log.b", b"other\n")
    run.start()
    assert sorted(run.poll()) == ["new", "other"]
    run.end()


def test_after_a_long_break_old_lines_are_left_out_but_never_counted_again(run: Run) -> None:
    moment = 1_800_000_000

    def dated(time: float, text: str) -> bytes:
        return f"{time:.0f} {text} ".encode().ljust(99, b".") + b"\n"

    run.since = Since(lambda: moment, lambda line: float(line.split()[0]))
    run.write("log", dated(moment, "counted"))
    run.restart()
    assert len(run.poll()) == 1
    run.end()
    run.write("log", dated(moment - SLACK - 1, "old") * 50_000 + dated(moment, "young"))
    run.start()
    lines = run.poll()
    assert "young" in lines[-1] and len(lines) < 5000
    assert not any("counted" in line for line in lines)


def test_lines_after_a_short_break_are_live_and_after_a_long_one_not(run: Run) -> None:
    for age, live in ((0, True), (3600, False)):
        run.write("log", b"one\n")
        os.utime(run.path("log"), (1, os.stat(run.path("log")).st_mtime - age))
        run.take()
        run.end()
        run.write("log", b"two\n")
        run.start()
        assert {line.live for line in run.take()} == {live}


# A model --------------------------------------------------------------------------------------

STEPS = st.sampled_from(
    ["line", "line", "half", "big", "rename", "gzip", "copy", "poll", "poll", "crash", "crash"]
)


@contextmanager
def running(pattern: str) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory), pattern)
        try:
            yield run
        finally:
            run.end()


class Model:
    """A log and its rotation.

    What cannot be known: a generation that has come and gone between two polls, or
    that was empty at the last poll, when only a copy is left of it.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.written: list[str] = []
        self.half = b""
        self.count = 0
        self.generation = 0
        self.rotated = False
        self.seen = False
        run.write("log", b"")
        run.poll()

    def step(self, name: str) -> None:
        getattr(self, name)()

    def line(self) -> None:
        self.count += 1
        text = numbered(self.count)
        self.run.write("log", text)
        self.written.append((self.half + text).decode().removesuffix("\n"))
        self.half = b""

    def half_line(self) -> None:
        self.count += 1
        self.half += b"half %d " % self.count
        self.run.write("log", b"half %d " % self.count)

    def big(self) -> None:
        for _ in range(300):
            self.line()

    def next_name(self) -> str | None:
        """Complete the last line; return the name of the next generation."""
        if self.rotated:
            return None
        if self.half:
            self.line()
        self.rotated, self.seen = True, False
        self.generation += 1
        return self.run.path(f"log.{self.generation:04d}")

    def rename(self) -> str | None:
        if name := self.next_name():
            os.rename(self.run.path("log"), name)
            self.run.write("log", b"")
        return name

    def gzip(self) -> None:
        if self.seen and (name := self.rename()):
            compress(name)

    def copy(self) -> None:
        if self.seen and (name := self.next_name()):
            shutil.copy(self.run.path("log"), name)
            os.truncate(self.run.path("log"), 0)

    def poll(self) -> None:
        self.run.poll(after=INTERVAL)
        self.run.drain()
        self.rotated = False
        self.seen = os.path.getsize(self.run.path("log")) > 0

    def crash(self) -> None:
        """End in the middle of a poll: it was not saved."""
        lines = self.run.logs.poll()
        for _ in range(self.count % 3):
            next(lines, None)
        lines.close()  # type: ignore[attr-defined]
        self.run.restart()


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=25), st.sampled_from(["log", "log*"]))
def test_every_line_counts_once_whatever_happens(steps: list[str], pattern: str) -> None:
    with running(pattern) as run:
        model = Model(run)
        for step in steps:
            model.step("half_line" if step == "half" else step)
        model.poll()
        model.poll()
        assert run.counted == model.written
