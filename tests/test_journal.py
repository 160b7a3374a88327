# SPDX-License-Identifier: GPL-2.0-or-later
"""Sections get what they want of the journal, once, from one process."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect import follower, journal
from fail2ban.detect.entries import Point, said_by, values
from fail2ban.detect.guard import unguarded
from fail2ban.detect.journal import Journal, JournalSource
from fail2ban.detect.journalctl import ENTRY_LIMIT, files_of, options
from fail2ban.detect.lines import LINE_LIMIT
from fail2ban.detect.match import Line
from fail2ban.detect.terms import Wanted, parse_term, union
from fail2ban.records import JournalSettings

NOW = 1_800_000_000.0
PATIENCE = 30  # seconds; only reached when a test fails


# Entries -> lines ----------------------------------------------------------------


def text_of(**fields: str | tuple[str, ...]) -> str:
    return said_by({"__REALTIME_TIMESTAMP": "1800000000000000", **fields}).text


# The peer, Debian's fail2ban-regex 1.0.2, prints these for the same journal.
@pytest.mark.parametrize(
    "fields, text",
    [
        ({"_HOSTNAME": "h", "MESSAGE": "m"}, "h m"),
        ({"MESSAGE": "m"}, "m"),
        ({"SYSLOG_IDENTIFIER": "id", "MESSAGE": "m"}, "id: m"),
        (
            {"_HOSTNAME": "h", "SYSLOG_IDENTIFIER": "id", "SYSLOG_PID": "7", "_PID": "8"},
            "h id[7]:",
        ),
        (
            {"_HOSTNAME": "h", "SYSLOG_IDENTIFIER": "id", "_PID": "8", "MESSAGE": "m"},
            "h id[8]: m",
        ),
        ({"_HOSTNAME": "h", "_PID": "8", "MESSAGE": "m"}, "h m"),
        ({"_COMM": "comm", "SYSLOG_PID": "8", "MESSAGE": "m"}, "comm[8]: m"),
        ({"SYSLOG_IDENTIFIER": "", "_COMM": "c", "MESSAGE": "m"}, "c: m"),
        ({"SYSLOG_IDENTIFIER": "x", "SYSLOG_PID": "", "_PID": "9", "MESSAGE": "m"}, "x[9]: m"),
        (
            {"SYSLOG_IDENTIFIER": "kernel", "_SOURCE_MONOTONIC_TIMESTAMP": "123456789"}
            | {"MESSAGE": "drop"},
            "kernel: [  123.456789] drop",
        ),
        (
            {"SYSLOG_IDENTIFIER": "kernel", "__MONOTONIC_TIMESTAMP": "1000009", "MESSAGE": "m"},
            "kernel: [    1.000009] m",
        ),
        (
            {"SYSLOG_IDENTIFIER": "x", "_SOURCE_MONOTONIC_TIMESTAMP": "1", "MESSAGE": "m"},
            "x: m",
        ),
        ({"SYSLOG_IDENTIFIER": "n", "MESSAGE": "a\nb\nc\n"}, "n: a\\nb\\nc"),
        ({"SYSLOG_IDENTIFIER": "i\nd", "MESSAGE": "m"}, "i\\nd: m"),
        ({"_COMM": "x", "MESSAGE": ("two", "three")}, "x: two three"),
        ({"_COMM": "x", "MESSAGE": "a\nb\ufffd\x1b"}, "x: a\\nb\ufffd\x1b"),
        ({"_COMM": "x", "MESSAGE": ("a", "", "bc")}, "x: a bc"),
        ({"_COMM": "x", "MESSAGE": ""}, "x:"),
        ({"_COMM": "x"}, "x:"),
        ({}, ""),
    ],
)
def test_an_entry_becomes_the_line_that_syslog_would_have_written(
    fields: dict[str, str | tuple[str, ...]], text: str
) -> None:
    assert text_of(**fields) == text


def test_a_long_message_is_cut() -> None:
    assert text_of(_COMM="x", MESSAGE="a" * (LINE_LIMIT + 1)) == "x: " + "a" * LINE_LIMIT


@pytest.mark.parametrize(
    "source, time",
    [("1700000000500000", 1_700_000_000.5), ("soon", NOW), ("", NOW), (("1", "2"), NOW)],
)
def test_the_time_is_that_of_the_source_if_it_has_told_one(
    source: str | tuple[str, ...], time: float
) -> None:
    said = said_by(
        {"__REALTIME_TIMESTAMP": "1800000000000000", "_SOURCE_REALTIME_TIMESTAMP": source}
    )
    assert said.line(True).time == time


def test_the_stamp_is_the_local_time_in_iso_form_and_a_blank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert said_by({"__REALTIME_TIMESTAMP": "1800000000500000"}).line(True).stamp == (
            "2027-01-15T09:00:00.500000+01:00 "
        )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_senseless_time_is_no_reason_to_die() -> None:
    for digits in (30, 400, 5000):
        said = said_by({"__REALTIME_TIMESTAMP": "9" * digits})
        assert said.line(True).stamp.endswith(" ")


VALUES = st.text() | st.lists(st.text(), min_size=2, max_size=3).map(tuple)


@given(st.dictionaries(st.sampled_from(["MESSAGE", "_PID", "_COMM", "_HOSTNAME"]), VALUES))
def test_whatever_an_entry_holds_is_one_line(entry: dict[str, str | tuple[str, ...]]) -> None:
    assert "\n" not in said_by(entry).text


# What a section wants ---------------------------------------------------------------

A1, A2, B1 = "_SYSTEMD_UNIT=a", "_SYSTEMD_UNIT=b", "_COMM=c"


@pytest.mark.parametrize(
    "matches, fits",
    [
        ((), [True, True, True, True]),
        (((A1,),), [True, False, False, True]),
        (((A1, A2),), [True, True, False, True]),
        (((A1, B1),), [False, False, False, True]),
        (((A1, A2, B1),), [False, False, False, True]),
        (((A1,), (B1,)), [True, False, True, True]),
        (((A2, B1), ()), [True, True, True, True]),
    ],
)
def test_equal_fields_are_alternatives_and_others_must_all_hold(
    matches: tuple[tuple[str, ...], ...], fits: list[bool]
) -> None:
    entries: list[dict[str, str | tuple[str, ...]]] = [
        {"_SYSTEMD_UNIT": "a"},
        {"_SYSTEMD_UNIT": "b"},
        {"_COMM": "c"},
        {"_SYSTEMD_UNIT": ("x", "a"), "_COMM": "c"},
    ]
    wanted = Wanted(matches)
    assert [wanted.fits(entry) for entry in entries] == fits


@pytest.mark.parametrize("term", ["foo", "", "=x", "lower=x", "1A=x", "A B=x", "+"])
def test_a_wrong_term_is_refused(term: str) -> None:
    with pytest.raises(ValueError, match="is no match; expected FIELD=value"):
        Wanted([(term,)])


def test_a_path_stands_for_a_program_or_a_device(tmp_path: Path) -> None:
    program, script = tmp_path / "program", tmp_path / "script-with-a-long-name"
    program.write_bytes(b"\x7fELF")
    script.write_bytes(b"#!/bin/sh\n")
    link = tmp_path / "link"
    link.symlink_to(program)
    assert parse_term(str(link)) == ("_EXE", str(program))
    assert parse_term(str(script)) == ("_COMM", "script-with-a-l")
    assert parse_term("/dev/null") == ("_KERNEL_DEVICE", "c1:3")
    assert parse_term("/nowhere/sshd") == ("_EXE", "/nowhere/sshd")


def test_one_process_is_asked_for_what_anybody_wants() -> None:
    assert union([Wanted([(B1, A2, A1)]), Wanted([(A1,), (B1,)]), Wanted([(A1,)])]) == (
        [B1, A1, A2, "+", A1, "+", B1]
    )
    assert union([Wanted([(A1,)]), Wanted(())]) == []


# The options of journalctl ---------------------------------------------------------


@pytest.mark.parametrize(
    "settings, words",
    [
        (JournalSettings(), ["--merge", "--system"]),
        (JournalSettings(flags=0), ["--merge"]),
        (JournalSettings(flags=1), []),
        (JournalSettings(flags=5), ["--system"]),
        (JournalSettings(flags=12), ["--merge", "--system", "--user"]),
        (JournalSettings(flags=2), ["--merge", "--directory=/run/log/journal"]),
        (JournalSettings(path="/j"), ["--merge", "--directory=/j"]),
        (JournalSettings(path="/j", flags=1), ["--merge", "--directory=/j"]),
        (JournalSettings(path="/j", flags=16), ["--merge", "--root=/j"]),
        (JournalSettings(namespace="n"), ["--merge", "--system", "--namespace=n"]),
        (JournalSettings(namespace="n", flags=65), ["--namespace=+n"]),
        (JournalSettings(flags=33), ["--namespace=*"]),
        (JournalSettings(files=("/j/*",)), ["--merge", "--file=/j/a", "--file=/j/b"]),
    ],
)
def test_the_settings_become_options(settings: JournalSettings, words: list[str]) -> None:
    assert options(settings, ["/j/a", "/j/b"]) == words


def test_rotated_files_are_left_out_unless_wanted_or_half_read(tmp_path: Path) -> None:
    for name in ("system.journal", "system@1-2.journal", "system@3.journal~", "user.journal"):
        (tmp_path / name).touch()
    settings = JournalSettings(files=(f"{tmp_path}/sys*",))

    def names(
        settings: JournalSettings, known: frozenset[tuple[int, int]] = frozenset()
    ) -> set[str]:
        return {os.path.basename(path) for path in files_of(settings, known).values()}

    assert names(settings) == {"system.journal"}
    assert len(names(replace(settings, rotated=True))) == 3
    assert names(JournalSettings(files=(f"{tmp_path}/system@1-2.journal",))) == {
        "system@1-2.journal"
    }
    known = frozenset(files_of(settings, frozenset()))
    os.rename(tmp_path / "system.journal", tmp_path / "system@5-6.journal")
    (tmp_path / "system.journal").touch()
    assert names(settings, known) == {"system.journal", "system@5-6.journal"}


# One follower, many sections ---------------------------------------------------------

#: A journalctl that honours a cursor and follows a file of JSON lines; others it writes as they are.
FAKE = """\
#!{python} -S
import json, os, sys, time
folder = {folder!r}
def there(name): return os.path.exists(os.path.join(folder, name))
with open(os.path.join(folder, "runs"), "a") as runs:
    runs.write(json.dumps(sys.argv[1:]) + "\\n")
if there("fail"):
    print("no luck today\\x1b[31m", file=sys.stderr)
    sys.exit(3)
cursor = next((word.split("=", 1)[1] for word in sys.argv if "--after-cursor" in word), None)
if cursor and there("no-cursors"):
    sys.exit(1)
since = next((float(word.split("@")[1]) for word in sys.argv if "--since" in word), 0)
with open(os.path.join(folder, "entries")) as entries:
    while not there("die"):
        line = entries.readline()
        if not line:
            time.sleep(0.01)
            continue
        try:
            entry = dict(json.loads(line))
            line = "".join(f"{{name}}={{value}}\\n" for name, value in entry.items()) + "\\n"
        except ValueError:
            entry = {{}}
        if cursor is None and int(entry.get("__REALTIME_TIMESTAMP", 10**20)) / 1e6 >= since:
            sys.stdout.write(line)
            sys.stdout.flush()
        if entry.get("__CURSOR") == cursor:
            cursor = None
os.unlink(os.path.join(folder, "die"))
"""


class World:
    """A journal, and who reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "journalctl"
        self.program.write_text(FAKE.format(python=sys.executable, folder=str(folder)))
        self.program.chmod(stat.S_IRWXU)
        (folder / "entries").touch()
        self.count = 0
        self.journal = Journal(program=str(self.program), clock=lambda: NOW)
        self.woken: dict[str, threading.Semaphore] = {}

    def source(
        self,
        jail: str,
        *matches: str,
        since: float = NOW - 1000,
        marks: Mapping[str, str] | None = None,
        **settings: object,
    ) -> JournalSource:
        self.woken[jail] = threading.Semaphore(0)
        alternatives = tuple((match,) for match in matches)
        wanted = JournalSettings(alternatives, **settings)  # type: ignore[arg-type]
        return self.journal.source(jail, wanted, since, self.woken[jail].release, marks or {})

    def restart(self) -> None:
        """Run the daemon again."""
        self.journal.close()
        self.journal = Journal(program=str(self.program), clock=lambda: NOW)

    def write(self, *messages: str, at: float | None = None, unit: str = "a") -> None:
        """Add entries, a second after each other, the first at NOW - 100."""
        with open(self.folder / "entries", "a") as stream:
            for message in messages:
                self.count += 1
                time = NOW - 100 + self.count if at is None else at
                entry = {
                    "__CURSOR": f"c{self.count}",
                    "__REALTIME_TIMESTAMP": str(int(time * 1e6)),
                    "MESSAGE": message,
                    "_SYSTEMD_UNIT": unit,
                }
                stream.write(json.dumps(entry) + "\n")

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def runs(self) -> list[list[str]]:
        path = self.folder / "runs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def take(self, source: JournalSource, count: int) -> list[str]:
        """Poll as a reader does until there are so many lines."""
        return [line.text for line in self.lines(source, count)]

    def lines(self, source: JournalSource, count: int) -> list[Line]:
        lines = list(source.poll())
        while len(lines) < count:
            woken = self.woken[source.jail].acquire(timeout=PATIENCE)
            assert woken, f"only {lines}"
            lines += source.poll()
        return lines


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.journal.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "journal"]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_each_section_gets_what_it_wants_from_one_process(world: World) -> None:
    one, two = world.source("one", "_SYSTEMD_UNIT=a"), world.source("two", "_SYSTEMD_UNIT=b")
    world.write("x", "y")
    world.write("z", unit="b")
    assert world.take(one, 2) == ["x", "y"]
    assert world.take(two, 1) == ["z"]
    world.write("later", unit="b")
    assert world.take(two, 1) == ["later"]
    [run] = world.runs()
    assert run == [
        *("--quiet", "--no-pager", "--all", "--output=export"),
        "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_COMM,_HOSTNAME,_PID,"
        "_SOURCE_MONOTONIC_TIMESTAMP,_SOURCE_REALTIME_TIMESTAMP,_SYSTEMD_UNIT",
        *("--follow", "--no-tail", f"--since=@{NOW - 1000:.0f}", "--merge", "--system"),
        *("_SYSTEMD_UNIT=a", "+", "_SYSTEMD_UNIT=b"),
    ]


def test_nothing_runs_before_somebody_polls_or_after_all_are_closed(world: World) -> None:
    source = world.source("one")
    assert world.runs() == []
    world.write("x")
    world.take(source, 1)
    run = source._follower._run
    assert run is not None
    source.close()
    source.close()
    wait_until(lambda: run._process.poll() is not None)
    assert list(source.poll()) == []


def test_other_journals_have_other_processes(world: World) -> None:
    world.write("x")
    one, two = world.source("one"), world.source("two", path="/j")
    assert world.take(one, 1) == world.take(two, 1) == ["x"]
    assert len(world.runs()) == 2


def test_a_line_has_time_stamp_and_whether_it_is_live(world: World) -> None:
    source = world.source("one")
    world.write("old", at=NOW - 1)
    world.write("new", at=NOW)
    world.write("late", at=NOW - 5)
    old, new, late = world.lines(source, 3)
    assert (old.text, old.time, old.live) == ("old", NOW - 1, False)
    assert old.stamp.endswith(" ") and "T" in old.stamp
    assert (new.live, late.live) == (True, True)


def test_each_section_begins_at_its_own_time(world: World) -> None:
    early, late = world.source("early", since=NOW - 99), world.source("late", since=NOW - 97)
    world.write("1", "2", "3", "4")
    assert world.take(early, 4) == ["1", "2", "3", "4"]
    assert world.take(late, 2) == ["3", "4"]
    assert len(world.runs()) == 1


def test_a_section_that_comes_later_has_its_past_and_the_others_no_doubles(world: World) -> None:
    one = world.source("one")
    world.write("1", "2")
    assert world.take(one, 2) == ["1", "2"]
    two = world.source("two", since=NOW - 98)
    world.write("3")
    assert world.take(two, 2) == ["2", "3"]
    world.write("4")
    assert world.take(two, 1) == ["4"]
    assert world.take(one, 2) == ["3", "4"]
    assert len(world.runs()) == 2


def test_a_section_that_wants_something_else_goes_on_at_the_same_place(world: World) -> None:
    one, two = world.source("one", "_SYSTEMD_UNIT=a"), world.source("two", "_SYSTEMD_UNIT=a")
    world.write("old", unit="b")
    world.write("1")
    assert world.take(one, 1) == world.take(two, 1) == ["1"]
    one.rematch(JournalSettings((("_SYSTEMD_UNIT=b",),)))
    world.write("2", unit="b")
    world.write("3")
    assert world.take(one, 1) == ["2"]
    assert world.take(two, 1) == ["3"]
    with pytest.raises(ValueError):
        one.rematch(JournalSettings((("b",),)))
    assert "--after-cursor=c2" in world.runs()[-1]


def test_what_was_had_while_a_section_came_to_want_something_else_is_not_had_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "ROOM", 1)
    source = world.source("one", "_SYSTEMD_UNIT=a")
    world.write("1", "2")
    list(source.poll())
    waits = source._changed
    wait_until(lambda: source._said and waits._waiters)  # type: ignore[attr-defined]
    source.rematch(JournalSettings((("_SYSTEMD_UNIT=a",), ("_SYSTEMD_UNIT=b",))))
    world.write("3", unit="b")
    assert world.take(source, 3) == ["1", "2", "3"]
    assert list(source.poll()) == []


def test_a_process_that_ends_is_started_again_after_the_last_entry(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(follower, "STEADY", 0.1)
    source = world.source("one")
    world.write("1", "2")
    assert world.take(source, 2) == ["1", "2"]
    world.touch("die")
    world.write("3")
    wait_until(lambda: len(world.runs()) == 2)
    seen = world.take(source, 1)
    assert seen == ["3"]
    assert any(word in world.runs()[-1] for word in ("--after-cursor=c2", "--after-cursor=c3"))
    wait_until(lambda: logged(caplog, logging.INFO))
    assert logged(caplog, logging.ERROR) == [
        "[one] the journal cannot be read: journalctl ended with status 0; still trying"
    ]
    assert logged(caplog, logging.INFO) == ["[one] the journal can be read now"]


def test_a_cursor_that_is_no_longer_known_gives_way_to_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)
    source = world.source("one")
    world.write("1", "2")
    assert world.take(source, 2) == ["1", "2"]
    world.touch("no-cursors")
    world.touch("die")
    wait_until(lambda: len(world.runs()) >= 3)
    world.write("3")
    assert world.take(source, 1) == ["3"]
    assert f"--since=@{NOW - 98:.0f}" in world.runs()[-1]


def test_what_keeps_journalctl_from_working_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.001)
    world.touch("fail")
    source = world.source("one")
    world.write("1")
    assert list(source.poll()) == []
    wait_until(lambda: len(world.runs()) >= 4)
    os.unlink(world.folder / "fail")
    assert world.take(source, 1) == ["1"]
    assert logged(caplog, logging.ERROR) == [
        "[one] the journal cannot be read: journalctl ended with status 3:"
        " no luck today\\x1b[31m; still trying"
    ]


def test_a_missing_journalctl_is_waited_for(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)
    os.rename(world.program, world.folder / "elsewhere")
    source = world.source("one")
    world.write("1")
    assert list(source.poll()) == []
    wait_until(lambda: logged(caplog, logging.ERROR))
    os.rename(world.folder / "elsewhere", world.program)
    assert world.take(source, 1) == ["1"]
    assert logged(caplog, logging.ERROR) == [
        f"[one] the journal cannot be read: {world.program} cannot be run:"
        " No such file or directory; still trying"
    ]


class Text(str):
    """A text of which one can tell whether it is still in memory."""


@pytest.mark.parametrize("others", [(), ("sshd",)])
def test_what_somebody_writes_at_length_is_not_remembered(
    world: World, others: tuple[str, ...]
) -> None:
    named = world.source("named", "SYSLOG_IDENTIFIER=sshd")
    takers = follower._takers([world.source("all"), named])
    long = Text("x" * 100_000)
    memory = weakref.ref(long)
    found = takers({"SYSLOG_IDENTIFIER": (long, *others) if others else long})
    assert (named in found) == bool(others)
    del long
    is_in_memory = memory() is not None
    assert not is_in_memory


def test_the_pause_between_attempts_grows_to_a_limit(tmp_path: Path) -> None:
    one = follower.Follower(JournalSettings(), unguarded, "x")
    pauses = []
    for _ in range(8):
        one._failed("x")
        pauses.append(one._pause)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_section_that_does_not_keep_up_stops_nobody_and_loses_nothing(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "ROOM", 2)
    monkeypatch.setattr(journal, "PATIENCE", 0.05)
    slow, quick = world.source("slow"), world.source("quick")
    world.write(*"12345678")
    assert world.take(quick, 8) == list("12345678")
    assert [text for text in logged(caplog, logging.WARNING)] == [
        "[slow] does not keep up with the journal; the others go on, it will follow"
    ]
    assert world.take(slow, 8) == list("12345678")
    world.write("9")
    assert world.take(quick, 1) == world.take(slow, 1) == ["9"]


def test_a_slow_section_is_waited_for_while_it_moves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "ROOM", 2)
    source = world.source("one")
    world.write(*map(str, range(100)))
    assert world.take(source, 100) == [str(number) for number in range(100)]
    assert len(world.runs()) == 1


def test_memory_for_waiting_lines_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "ROOM_SIZE", 3000)
    source = world.source("one")
    world.write(*["x" * 1000] * 10)
    list(source.poll())
    wait_until(lambda: source._size == 3000)
    assert len(world.take(source, 10)) == 10


def test_what_is_too_long_is_left_out_and_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    source = world.source("one")
    world.write("x" * ENTRY_LIMIT, "1", "x" * ENTRY_LIMIT, "2")
    assert world.take(source, 2) == ["1", "2"]
    assert logged(caplog, logging.WARNING) == [
        f"[one] the journal: entries that are longer than {ENTRY_LIMIT} bytes are left out",
    ]


def test_a_program_that_writes_no_entries_is_started_again_after_the_last_one(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)
    source = world.source("one")
    world.write("1")
    assert world.take(source, 1) == ["1"]
    with open(world.folder / "entries", "a") as stream:
        stream.write("no entry\x1b\n\n")
    wait_until(lambda: len(world.runs()) > 2)
    assert logged(caplog, logging.ERROR) == [
        "[one] the journal cannot be read: journalctl does not write entries: this is no field:"
        " b'no entry\\x1b\\n\\n'; still trying"
    ]
    mended = world.folder / "mended"
    mended.write_text((world.folder / "entries").read_text().splitlines(True)[0])
    mended.replace(world.folder / "entries")
    world.write("2")
    assert world.take(source, 1) == ["2"]


def test_a_journal_of_files_waits_for_them_and_takes_up_new_ones(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.write("1")
    pattern = f"{world.folder}/*.journal"
    source = world.source("one", files=(pattern,))
    assert source.paths() == [pattern]
    assert list(source.poll()) == []
    wait_until(lambda: logged(caplog, logging.ERROR))
    assert world.runs() == []
    world.touch("a.journal")
    assert world.take(source, 1) == ["1"]
    world.touch("b.journal")
    world.write("2")
    assert world.take(source, 1) == ["2"]
    wait_until(lambda: len(world.runs()) == 2)
    assert f"--file={world.folder}/b.journal" in world.runs()[-1]


@given(st.lists(st.sampled_from(["write", "one", "two", "again"]), max_size=30), st.data())
def test_a_section_skips_exactly_what_it_has_had(steps: list[str], data: st.DataObject) -> None:
    """Model: the follower is started anywhere before; clocks may step back."""

    class Nobody:
        def add(self, source: object) -> None:
            pass

    written: list[Point] = []
    source = JournalSource("x", JournalSettings(), Nobody(), 0.0, lambda: None, NOW)  # type: ignore[arg-type]
    source.point = None
    had = 0
    for step in steps:
        if step == "write":
            shift = data.draw(st.integers(0, 3))
            last = written[-1].time if written else 0.0
            written.append(Point(f"c{len(written)}", last + shift))
        elif step == "again" and had:
            begin = data.draw(st.integers(0, had))
            source.point = written[had - 1]
            fresh = [point for point in written[begin:] if not source.skips(point)]
            if begin < had:  # its place is among them
                assert fresh == written[had:]
                had = len(written)
            source.point = None
        else:
            had = len(written)


def test_values_are_texts() -> None:
    assert values({"A": "x"}, "A") == ("x",)
    assert values({"A": ("x", "y")}, "A") == ("x", "y")
    assert values({}, "A") == ()


# After a restart ----------------------------------------------------------------------


def test_an_entry_that_was_taken_does_not_come_again_after_a_restart(world: World) -> None:
    world.write("one", "two", "three")
    source = world.source("a")
    lines = source.poll()
    while not (first := next(lines, None)):
        assert world.woken["a"].acquire(timeout=PATIENCE)
        lines = source.poll()
    marks = dict(source.marks())  # the others were offered, but not taken
    world.restart()
    again = world.source("a", marks=marks)
    assert again.marks() == marks
    assert [first.text, *world.take(again, 2)] == ["one", "two", "three"]
    assert "--after-cursor=c1" in world.runs()[-1]


def test_marks_of_the_journal_stay_the_same_object_while_nothing_is_taken(world: World) -> None:
    source = world.source("a")
    assert source.marks() == {}
    world.write("one")
    world.take(source, 1)
    marks = source.marks()
    assert source.marks() is marks and len(marks) == 1
    world.write("two")
    world.take(source, 1)
    assert source.marks() != marks and source.marks().keys() == marks.keys()


def test_a_place_that_is_not_in_the_journal_any_more_is_found_by_its_time(world: World) -> None:
    world.write("one", "two")
    source = world.source("a")
    world.take(source, 2)
    marks = dict(source.marks())
    world.restart()
    world.touch("no-cursors")
    world.write("three")
    assert world.take(world.source("a", marks=marks), 1) == ["three"]


def test_after_a_long_break_what_is_too_old_to_matter_is_left_out(world: World) -> None:
    world.write("one", "two", "three")
    source = world.source("a")
    world.take(source, 3)
    marks = dict(source.marks())
    world.restart()
    world.write("old", "young")
    assert world.take(world.source("a", marks=marks, since=NOW - 95), 1) == ["young"]


def test_sections_with_places_of_their_own_go_on_each_at_its_own(world: World) -> None:
    world.write("one", "two", "three")
    taken = world.source("a"), world.source("b")
    world.take(taken[0], 3)
    world.take(taken[1], 3)
    marks = dict(taken[0].marks())
    world.restart()
    world.write("four")
    first, second = world.source("a", marks=marks), world.source("b")
    assert world.take(first, 1) == ["four"]
    assert world.take(second, 4) == ["one", "two", "three", "four"]


@pytest.mark.parametrize("damage", ["", "7", "[]", '["x"]', '["x", "y"]', "[1, 2.0]", "[" * 9999])
def test_a_damaged_place_is_left_out_with_a_warning(
    world: World, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.write("one")
    source = world.source("a")
    world.take(source, 1)
    marks = dict.fromkeys(source.marks(), damage)
    world.restart()
    assert world.take(world.source("a", marks=marks), 1) == ["one"]
    assert "not read on where it was left" in caplog.text


def test_a_flood_is_taken_in_shares(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "ROOM", 3)
    world.write(*map(str, range(9)))
    source = world.source("a")
    world.lines(source, 1)
    while len(source._said) < 3:
        time.sleep(0.001)
    assert len(list(source.poll())) == 3
    source.close()
