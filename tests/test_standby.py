# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that stand by: when there is one, what it does, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fail2ban.enforce.standby import LONGEST, Standby
from fail2ban.errors import CommandError
from tests.helpers import FakeClock

#: Plays nft: writes down who it is, what it was told and what it has open.
PROGRAM = """\
#!/bin/sh
here={folder}
echo $$ >> "$here/started"
case $* in *"-f -") ;; *) echo "$*" >> "$here/done"; exit 0;; esac
text=$(cat; echo .)
[ "$text" = . ] || echo "$$ $text" >> "$here/fed"
case $text in *bad*) echo "it is bad"; exit 1;; esac
"""
MANY = "-f -"


@pytest.fixture
def nft(tmp_path: Path) -> Path:
    """Return a program that is called nft."""
    path = tmp_path / "nft"
    path.write_text(PROGRAM.format(folder=tmp_path))
    path.chmod(0o755)
    return path


@pytest.fixture
def ticks() -> FakeClock:
    return FakeClock()


@pytest.fixture
def standby(ticks: FakeClock) -> Iterator[Standby]:
    standby = Standby(ticks)
    yield standby
    standby.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def started(nft: Path, count: int) -> list[int]:
    """Wait until so many processes have begun; return their numbers."""
    file = nft.parent / "started"
    until(lambda: file.exists() and len(file.read_text().split()) >= count)
    found = [int(word) for word in file.read_text().split()]
    assert len(found) == count
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def fed(nft: Path) -> list[tuple[int, str]]:
    """Return who was fed, and what."""
    lines = (nft.parent / "fed").read_text().replace("\n.\n", "\n").splitlines()
    return [(int(number), text) for number, _, text in (line.partition(" ") for line in lines)]


def test_the_process_that_stands_by_is_the_next_that_is_fed(nft: Path, standby: Standby) -> None:
    for text in ("one", "two", "three"):
        standby.run(f"{nft} {MANY}", {}, 60, feed=f"{text}\n")
    first, second, third, fourth = started(nft, 4)
    assert fed(nft) == [(first, "one"), (second, "two"), (third, "three")]
    assert lives(fourth) and not lives(third)


def test_it_is_started_only_behind_a_command_that_has_worked(nft: Path, standby: Standby) -> None:
    command = f"{nft} {MANY}"
    assert not standby.has(command)
    with pytest.raises(CommandError):
        standby.run(command, {}, 60, feed="bad\n")
    assert not standby.has(command) and len(started(nft, 1)) == 1
    standby.run(command, {}, 60, feed="good\n")
    assert standby.has(command) and not standby.has(f"{nft} -a {MANY}")


def test_a_command_that_could_be_a_line_has_one_stand_by(nft: Path, standby: Standby) -> None:
    standby.run(f"{nft} add element ip t s {{ 192.0.2.1 }}", {"F2B_IP": "192.0.2.1"}, 60)
    assert standby.has(f"{nft} {MANY}")
    assert (nft.parent / "done").read_text() == "add element ip t s { 192.0.2.1 }\n"


@pytest.mark.parametrize("command", ["cat", "cat > /dev/null", "cat -"])
def test_what_is_no_batch_of_ours_is_never_started_ahead(standby: Standby, command: str) -> None:
    standby.run(command, {}, 60, feed="192.0.2.1 ip -1\n")
    assert not standby.has(command) and not standby._waiting


def test_a_failure_is_told_as_ever(nft: Path, standby: Standby) -> None:
    command, told = f"{nft} {MANY}", []
    for text in ("bad", "good", "bad"):  # the last by one that stood by
        try:
            standby.run(command, {}, 60, feed=f"{text}\n")
        except CommandError as error:
            told.append((str(error), error.output, error.status))
    assert told == [(f"'{command}' returned 256 (exit status 1)", ("it is bad",), 1)] * 2


def test_what_cannot_be_written_is_told_as_ever(nft: Path, standby: Standby) -> None:
    command, told = f"{nft} {MANY}", []
    for text in ("\ud800", "good", "\ud800"):  # the last by one that stood by
        try:
            standby.run(command, {}, 60, feed=f"{text}\n")
        except CommandError as error:
            told.append(str(error))
    assert len(told) == 2 and told[0] == told[1]


def test_one_that_has_ended_is_not_fed(nft: Path, standby: Standby) -> None:
    standby.run(f"{nft} {MANY}", {}, 60, feed="one\n")
    _, second = started(nft, 2)
    os.kill(second, signal.SIGKILL)
    until(lambda: not lives(second))
    standby.run(f"{nft} {MANY}", {}, 60, feed="two\n")
    assert [text for _, text in fed(nft)] == ["one", "two"] and len(started(nft, 4)) == 4


def test_one_that_is_old_is_not_fed(nft: Path, standby: Standby, ticks: FakeClock) -> None:
    standby.run(f"{nft} {MANY}", {}, 60, feed="one\n")
    _, second = started(nft, 2)
    ticks.advance(LONGEST + 1)
    standby.run(f"{nft} {MANY}", {}, 60, feed="two\n")
    assert second not in dict(fed(nft)) and not lives(second)


def test_another_program_at_its_place_is_not_mistaken_for_it(nft: Path, standby: Standby) -> None:
    standby.run(f"{nft} {MANY}", {}, 60, feed="one\n")
    _, second = started(nft, 2)
    fresh = nft.with_name("fresh")
    fresh.write_text(f"#!/bin/sh\ncat >> {nft.parent}/fresh.fed\n")
    fresh.chmod(0o755)
    os.replace(fresh, nft)
    standby.run(f"{nft} {MANY}", {}, 60, feed="two\n")
    assert (nft.parent / "fresh.fed").read_text() == "two\n" and not lives(second)


def test_another_environment_is_not_that_in_which_it_was_started(
    nft: Path, standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.run(f"{nft} {MANY}", {}, 60, feed="one\n")
    _, second = started(nft, 2)
    monkeypatch.setenv("LC_ALL", "C")
    standby.run(f"{nft} {MANY}", {}, 60, feed="two\n")
    assert second not in dict(fed(nft))


def test_of_a_program_one_stands_by(nft: Path, standby: Standby) -> None:
    for options in ("", "-a ", "", "-a "):
        standby.run(f"{nft} {options}{MANY}", {}, 60, feed="x\n")
    assert standby.has(f"{nft} -a {MANY}") and not standby.has(f"{nft} {MANY}")
    assert len(standby._waiting) == 1


def test_at_the_end_none_is_left_and_none_is_started(nft: Path, standby: Standby) -> None:
    standby.run(f"{nft} {MANY}", {}, 60, feed="one\n")
    first, second = started(nft, 2)
    standby.close()
    assert not lives(second) and not standby.has(f"{nft} {MANY}")
    standby.run(f"{nft} {MANY}", {}, 60, feed="two\n")
    assert len(started(nft, 3)) == 3 and [text for _, text in fed(nft)] == ["one", "two"]


def test_it_has_nothing_of_ours_open(nft: Path, standby: Standby, tmp_path: Path) -> None:
    with open(tmp_path / "secret", "w") as secret:
        standby.run(f"{nft} {MANY}", {}, 60, feed="one\n")
        _, second = started(nft, 2)
        links = [os.readlink(f"/proc/{second}/fd/{fd}") for fd in os.listdir(f"/proc/{second}/fd")]
    assert secret.name not in links
    assert os.getsid(second) == second


def test_it_ends_with_a_daemon_that_is_killed_and_does_nothing(nft: Path) -> None:
    code = (
        "import sys, time\n"
        "from fail2ban.enforce.standby import Standby\n"
        "Standby().run(sys.argv[1], {}, 60, feed='one\\n')\n"
        "print(flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, f"{nft} {MANY}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        first, second = started(nft, 2)
        daemon.kill()
    until(lambda: not lives(second))
    assert fed(nft) == [(first, "one")]
