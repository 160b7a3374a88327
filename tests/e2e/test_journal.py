# SPDX-License-Identifier: GPL-2.0-or-later
"""Real journals, written by systemd-journal-remote and by journald, read by journalctl."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fail2ban.detect.journal import Journal, JournalSource
from fail2ban.detect.match import Line
from fail2ban.detect.sieve import Sieve
from fail2ban.plan import make_filter
from fail2ban.records import JournalSettings
from tests import needs
from tests.e2e.daemon import wait_until
from tests.test_sieve import FILTERS, matches

REMOTE = "/usr/lib/systemd/systemd-journal-remote"
JOURNALD = "/usr/lib/systemd/systemd-journald"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0

pytestmark = needs.programs("journalctl")
with_remote = pytest.mark.skipif(
    not os.path.exists(REMOTE), reason="not installed: systemd-journal-remote"
)


class Writer:
    """Adds entries to one journal file; its program keeps the file open."""

    def __init__(self, path: Path) -> None:
        self._last = 0
        self._process = subprocess.Popen(
            [REMOTE, "-o", str(path), "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def write(self, message: str | bytes, at: float | None = None, **fields: str) -> None:
        """Add an entry, by default of now and of unit sshd.service."""
        self._last = max(self._last + 1, int((at or time.time()) * 1e6))
        fields = {
            "__REALTIME_TIMESTAMP": str(self._last),
            "__MONOTONIC_TIMESTAMP": str(self._last % 10**10),
            "_BOOT_ID": "a" * 32,
            "_HOSTNAME": "host",
            "SYSLOG_IDENTIFIER": "sshd",
            "_PID": "12",
            "_SYSTEMD_UNIT": "sshd.service",
            **fields,
        }
        data = message if isinstance(message, bytes) else message.encode()
        entry = "".join(f"{name}={value}\n" for name, value in fields.items()).encode()
        entry += b"MESSAGE\n" + len(data).to_bytes(8, "little") + data + b"\n\n"
        assert self._process.stdin
        self._process.stdin.write(entry)
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(PATIENCE)


class Section:
    """Reads a journal as a reader does."""

    def __init__(
        self,
        journal: Journal,
        settings: JournalSettings,
        since: float = 0.0,
        name: str = "sshd",
        sieve: Sieve | None = None,
    ) -> None:
        self._woken = threading.Semaphore(0)
        wake = self._woken.release
        self.source: JournalSource = journal.source(name, settings, since, wake, sieve=sieve)

    def taken(self, count: int) -> Iterator[Line]:
        """Yield what comes through until so many entries are taken."""
        while self.source.lines < count:
            yield from self.source.poll()
            assert self.source.lines >= count or self._woken.acquire(timeout=PATIENCE)

    def lines(self, count: int) -> list[Line]:
        lines = list(self.source.poll())
        end = time.monotonic() + PATIENCE
        while len(lines) < count:
            assert self._woken.acquire(timeout=max(0.0, end - time.monotonic())), f"only {lines}"
            lines += self.source.poll()
        return lines

    def take(self, count: int) -> list[str]:
        return [line.text for line in self.lines(count)]


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder


def line(message: str) -> str:
    return f"host sshd[12]: {message}"


@with_remote
@pytest.mark.parametrize("by", ["path", "file", "wildcard"])
def test_a_journal_is_read_and_followed_through_restarts_of_its_writer(
    journal: Journal, folder: Path, by: str
) -> None:
    path = folder / "remote.journal"
    settings = {
        "path": JournalSettings(path=str(folder)),
        "file": JournalSettings(files=(str(path),)),
        "wildcard": JournalSettings(files=(f"{folder}/r*.journal",)),
    }[by]
    writer = Writer(path)
    writer.write("too old", at=time.time() - 5000)
    writer.write("old", at=time.time() - 500)
    writer.close()
    section = Section(journal, settings, since=time.time() - 600)
    [old] = section.lines(1)
    assert (old.text, old.live) == (line("old"), False)
    writer = Writer(path)
    for number in range(3):
        writer.write(f"new {number}")
        [new] = section.lines(1)
        assert (new.text, new.live) == (line(f"new {number}"), True)
        assert new.time is not None and abs(new.time - time.time()) < 60
    writer.close()
    second = Writer(path)
    second.write("last")
    assert section.take(1) == [line("last")]
    second.close()


@with_remote
def test_a_folder_may_be_empty_and_gets_files_later(journal: Journal, folder: Path) -> None:
    section = Section(journal, JournalSettings(path=str(folder)))
    assert list(section.source.poll()) == []
    for name in ("a.journal", "b.journal"):
        writer = Writer(folder / name)
        writer.write(name)
        assert section.take(1) == [line(name)]
        writer.close()


@with_remote
def test_each_section_gets_its_units(journal: Journal, folder: Path) -> None:
    def settings(*matches: tuple[str, ...]) -> JournalSettings:
        return JournalSettings(matches, path=str(folder))

    sshd, nginx = "_SYSTEMD_UNIT=sshd.service", "_SYSTEMD_UNIT=nginx.service"
    one = Section(journal, settings((sshd, "_COMM=sshd")), name="one")
    two = Section(journal, settings((nginx,), ("_COMM=nginx",)), name="two")
    every = Section(journal, settings((sshd, nginx), ("_COMM=nginx",)), name="every")
    writer = Writer(folder / "a.journal")
    writer.write("1", _COMM="sshd")
    writer.write("2", _COMM="other")
    writer.write("3", _SYSTEMD_UNIT=nginx[14:])
    writer.write("4", _SYSTEMD_UNIT="session.scope", _COMM="nginx")
    writer.write("5", _SYSTEMD_UNIT="session.scope")
    writer.write("6", _COMM="sshd")
    assert every.take(5) == [line(text) for text in "12346"]
    assert one.take(2) == [line("1"), line("6")]
    assert two.take(2) == [line("3"), line("4")]
    writer.close()


@with_remote
def test_whatever_a_message_holds_is_one_line(journal: Journal, folder: Path) -> None:
    section = Section(journal, JournalSettings(path=str(folder)))
    writer = Writer(folder / "a.journal")
    messages = [b"a\nb", b"\xff\x00\x1b[31m", "ü".encode(), b"x" * 50_000, b"", b"end"]
    for message in messages:
        writer.write(message)
    assert section.take(6) == [
        line("a\\nb"),
        line("\ufffd\x00\x1b[31m"),
        line("ü"),
        line("x" * 50_000),
        line("").rstrip(),
        line("end"),
    ]
    writer.close()


#: Of these a filter knows connections, and what is said of them now and then.
SAID = (
    b"Connection from 203.0.113.%d port 22",
    b"Failed password for root from 203.0.113.%d port 22 ssh2",
    b"Accepted publickey for bob from 203.0.113.%d port 22",
    b"session opened for user bob, %d",
    b"Failed password for\nx from 203.0.113.%d",
    b"Failed password for \xff from 203.0.113.%d",
    b"x %d\n\n__CURSOR=x\nMESSAGE=Failed password for root from 198.51.100.1 port 22 ssh2\n\n",
    b"",
)


@with_remote
def test_a_sieved_journal_blames_the_same_at_the_same_time(journal: Journal, folder: Path) -> None:
    """With what nobody looks at in between, and what looks like the journal's own form."""
    writer, rng = Writer(folder / "a.journal"), random.Random(20)
    count, start = 3000, time.time() - 500
    for number in range(count):
        message = rng.choice(SAID)
        if b"%d" in message:
            message %= rng.randrange(1, 20)
        pid = str(rng.randrange(1, 9))
        writer.write(message, at=start + number / 10, _PID=pid)
    writer.close()
    settings, found = JournalSettings(path=str(folder)), []
    for is_sieved in (True, False):
        filter = make_filter(FILTERS["connections"])
        name, sieve = f"sieved {is_sieved}", filter.sieve if is_sieved else None
        section = Section(journal, settings, name=name, sieve=sieve)
        blamed = [match for line in section.taken(count) for match in matches(filter, line)]
        found.append((blamed, dict(filter.memory()), section.source.marks()))
    assert found[0] == found[1]
    assert len(found[0][0]) > 100
    assert not any(str(match.host) == "198.51.100.1" for match in found[0][0])


@with_remote
def test_a_killed_journalctl_loses_and_repeats_nothing(journal: Journal, folder: Path) -> None:
    section = Section(journal, JournalSettings(path=str(folder)))
    writer = Writer(folder / "a.journal")
    writer.write("1")
    assert section.take(1) == [line("1")]
    run = section.source._follower._run
    assert run is not None
    run._process.kill()
    writer.write("2")
    assert section.take(1) == [line("2")]
    writer.close()


#: Runs in a mount namespace of its own, with a journald that has /run for itself.
INSIDE = f"""\
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/journald.conf.d
printf '[Journal]\\nReadKMsg=no\\nStorage=volatile\\nRateLimitBurst=0\\n' \
    > /run/systemd/journald.conf.d/test.conf
{JOURNALD} &
daemon=$!
trap 'kill $daemon' EXIT
"{sys.executable}" -m tests.e2e.test_journal
"""


@needs.root()
@needs.programs("unshare", "logger")
@pytest.mark.skipif(not os.path.exists(JOURNALD), reason="not installed: systemd")
def test_a_running_journald_is_followed_through_its_rotations(tmp_path: Path) -> None:
    script = tmp_path / "inside"
    script.write_text(INSIDE)
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", str(script)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=4 * PATIENCE, check=False
    )
    assert done.stdout.endswith("as expected\n"), done.stdout + done.stderr


def inside() -> None:
    """Log, rotate and read; the part of the test above that runs in the namespace."""
    dev_log = "/run/systemd/journal/dev-log"
    wait_until(lambda: os.path.exists(dev_log) and os.path.exists("/run/systemd/journal/stdout"))
    journal = Journal()
    matches = (("SYSLOG_IDENTIFIER=attacked",),)
    section = Section(journal, JournalSettings(matches))
    files = JournalSettings(matches, files=("/run/log/journal/*/*.journal",))
    by_file = Section(journal, files)
    latencies = []
    for number in range(12):
        start = time.monotonic()
        log(dev_log, f"failure {number}")
        [one] = section.lines(1)
        latencies.append(time.monotonic() - start)
        assert one.text.endswith(f": failure {number}"), one
        assert one.live
        [other] = by_file.lines(1)
        assert other.text == one.text, other
        if number % 3 == 2:
            subprocess.run(["journalctl", "--rotate"], check=True)
    journal.close()
    print(f"median {sorted(latencies)[6] * 1000:.0f} ms")
    print("as expected")


def log(socket: str, message: str) -> None:
    """Write as a service does."""
    program = shutil.which("logger", path=needs.PATH)
    command = [str(program), "--socket", socket, "--tag", "attacked", message]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    inside()
