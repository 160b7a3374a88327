# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that fail, hang, flood and are interrupted; text that wants to be a command.

The commands write down what they do, so no firewall is needed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import RunningDaemon
from tests.e2e.host import Host

pytestmark = needs.root()

ATTACKER, OTHER = "203.0.113.1", "198.51.100.7"


class NotingHost(Host):
    """A host whose shared commands make notes, too."""

    defaults = """\
[DEFAULT]
logtargets = {root}/f2b.log
socket = {root}/fail2ban.sock
dbfile = {root}/state.sqlite3
maxfailures = 1
polltime = 1
cmdstart = echo cmdstart >> {root}/out
cmdend = echo cmdend >> {root}/out
"""

    def messages(self, level: str) -> list[str]:
        """Return the daemon's messages of a level, in order."""
        lines = self.log.read_text().splitlines()
        return [line.partition(f" {level}: ")[2] for line in lines if level in line]


@pytest.fixture
def host(tmp_path: Path) -> NotingHost:
    return NotingHost(tmp_path)


# A command that hangs. It takes a minute, so the other tests run meanwhile: the first
# test here begins it, the last one sees its end.


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NotingHost, RunningDaemon]]:
    """A daemon whose command to ban ATTACKER never ends, nor does the child of that command."""
    host = NotingHost(tmp_path_factory.mktemp("hanging"))
    groups = host.root / "groups"
    never = f"[ <ip> != {ATTACKER} ] || {{ echo $$ >> {groups}; sleep 600 & wait; }}"
    config = host.config("SSH", "Web", fwban=never, fwcheck="true")
    with RunningDaemon(host.root, config, "-v") as daemon:
        try:
            host.attack(ATTACKER)
            daemon.wait_for(groups.exists)
            yield host, daemon
        finally:
            for group in groups.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(group), signal.SIGKILL)


def test_reading_goes_on_while_a_command_hangs(hanging: tuple[Host, RunningDaemon]) -> None:
    host, daemon = hanging
    host.attack(OTHER, "Web")
    host.attack("203.0.113.99")
    daemon.wait_for(f"Web: found {OTHER}$")
    daemon.wait_for(r"SSH: found 203\.0\.113\.99$")
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("The configuration is in use")
    assert "took more than" not in daemon.log()
    assert f"ban Web {OTHER}" not in host.notes()


# Failing ----------------------------------------------------------------------


def test_a_ban_is_told_when_its_command_works_and_not_before(host: NotingHost) -> None:
    """It fails three times. Promise F1: told once when it starts and once when it ends."""
    script = host.root / "ban.sh"
    script.write_text(
        f"echo attempt >> {host.out}\n"
        f"grep -c 'Ban (' {host.root}/f2b.log >> {host.root}/told\n"
        f'[ "$(grep -c attempt {host.out})" -gt 3 ] || exit 3\n'
        f'echo "ban $1" >> {host.out}\n'
    )
    config = host.config("SSH", fwban=f"sh {script} <ip>", fwcheck="true")
    with RunningDaemon(host.root, config) as daemon:
        host.attack(ATTACKER)
        daemon.wait_for(rf"SSH: Ban \(600 s\) {ATTACKER}$")
        assert host.notes()[2:] == ["attempt"] * 4 + [f"ban {ATTACKER}"]
        assert (host.root / "told").read_text().split() == ["0"] * 4
        assert daemon.count("Banned.$") == daemon.count(r"Ban \(") == 1
        failed = f"SSH: Ban of {ATTACKER} failed, it can still connect: "
        assert sum(one.startswith(failed) for one in host.messages("ERROR")) == 1
        assert daemon.stop() == 0
    assert host.notes()[-3:] == [f"unban SSH {ATTACKER}", "end SSH", "cmdend"]


def test_a_failing_ban_is_an_error_once_however_often_it_is_tried(host: NotingHost) -> None:
    config = host.config("SSH", fwban="echo no such set >&2; false", fwcheck="true")
    with RunningDaemon(host.root, config) as daemon:
        host.attack(ATTACKER)
        daemon.wait_for("next try for", times=1)
        errors = host.messages("ERROR")
        daemon.wait_for("next try for", times=3)
        assert errors and host.messages("ERROR") == errors
        assert daemon.count(r"Ban \(") == 0


def test_commands_that_cannot_start_end_the_daemon_after_maxreinits_attempts(
    host: NotingHost,
) -> None:
    default = "maxreinits = 2\n"
    config = host.config("SSH", "Web", default=default, fwstart="false")
    with RunningDaemon(host.root, config) as daemon:
        assert daemon.wait() == 1
        assert daemon.count("attempt to initialize the firewalls") == 2
        assert "Exiting: Too many attempts to initialize the firewall" in daemon.log()
    assert host.notes()[-2:] == ["end Web", "cmdend"]


# Flooding ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1])
def test_a_command_that_prints_megabytes_neither_blocks_nor_fills_the_log(
    host: NotingHost, status: int
) -> None:
    flood = f"head -c 20000000 /dev/zero | tr '\\0' x; echo flooded >> {host.out}; exit {status}"
    config = host.config("SSH", "Web", fwban=flood, fwcheck="true")
    with RunningDaemon(host.root, config, "-v") as daemon:
        host.attack(ATTACKER)
        host.wait_for("flooded")
        host.attack(OTHER, "Web")
        daemon.wait_for(rf"Web: Ban \(600 s\) {OTHER}$")
        assert daemon.count(rf"SSH: Ban \(600 s\) {ATTACKER}$") == (0 if status else 1)
        assert len(daemon.log()) < 100_000
        resident = Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert int(resident.partition("VmHWM:")[2].split()[0]) < 100_000  # KiB
        assert daemon.stop() == 0


def test_a_command_may_leave_a_program_in_the_background(host: NotingHost) -> None:
    left = f"sleep 600 & echo $! > {host.root}/left; echo ban <ip> >> {host.out}"
    with RunningDaemon(host.root, host.config("SSH", fwban=left)) as daemon:
        host.attack(ATTACKER)
        daemon.wait_for(rf"SSH: Ban \(600 s\) {ATTACKER}$")
        assert daemon.stop() == 0
    os.kill(int((host.root / "left").read_text()), signal.SIGKILL)


# Text of an attacker ----------------------------------------------------------

HOSTILE = [
    "$(touch {trap})",
    "`touch {trap}`",
    "'; touch {trap}; '",
    '"; touch {trap}; "',
    "x\\n touch {trap}",
    "x\r touch {trap} \r",
    "| touch {trap} &",
    "&& touch {trap} || touch {trap}",
    "${{IFS:+$(touch {trap})}}",
    "<ip>; touch {trap} # from 203.0.113.66",
    "x\x00; touch {trap}",
    "\x1b]0;$(touch {trap})\x07\x1b[2J",
    "\u2028touch {trap}\u0085touch {trap}",
    "-n; touch {trap}",
]


def test_no_text_of_a_log_line_reaches_a_shell_or_a_terminal(host: NotingHost) -> None:
    """The text is there for those who ask for it, quoted as variables are."""
    trap = host.root / "trap"
    ban = f'echo "ban <section> <ip> <failures>" >> {host.out};'
    ban += f' printf "%%s\\\\n" "$F2B_MATCHES" >> {host.root}/matches'
    with RunningDaemon(host.root, host.config("SSH", fwban=ban), "-v") as daemon:
        for number, text in enumerate(HOSTILE, 1):
            host.attack(f"203.0.113.{number}", user=text.format(trap=trap))
        daemon.wait_for(r"SSH: Ban \(600 s\) ", times=len(HOSTILE))
        assert daemon.stop() == 0
    assert not trap.exists()
    wanted = [f"ban SSH 203.0.113.{number} 1" for number in range(1, len(HOSTILE) + 1)]
    assert [note for note in host.notes() if note.startswith("ban")] == wanted
    matches = (host.root / "matches").read_bytes().decode()
    for text in HOSTILE:
        assert text.format(trap=trap).replace("\0", "\\x00") in matches
    assert "\x1b" not in daemon.log() and "\x1b" not in (host.root / "f2b.log").read_text()
    assert "203.0.113.66" not in "".join(host.notes())


# Being ended ------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_defect_17_a_command_that_runs_at_the_end_is_let_finish_and_undone(
    host: NotingHost, number: signal.Signals
) -> None:
    """In the foreground, SIGTERM left the firewall as it was."""
    ban = f"echo begin >> {host.out}; sleep 1; echo finish >> {host.out}"
    with RunningDaemon(host.root, host.config("SSH", fwban=ban)) as daemon:
        host.attack(ATTACKER)
        host.wait_for("begin")
        assert daemon.stop(number) == 0
        assert not daemon.pidfile.exists()
        assert daemon.count(f"SSH: Unban {ATTACKER}$") == 1
    undone = [f"unban SSH {ATTACKER}", "end SSH", "cmdend"]
    assert host.notes() == ["cmdstart", "start SSH", "begin", "finish", *undone]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_defect_17_an_end_during_the_start_stops_what_was_started_and_starts_no_more(
    host: NotingHost, number: signal.Signals
) -> None:
    """SIGINT during the start did the same."""
    slow = f"echo begin >> {host.out}; sleep 1; echo finish >> {host.out}"
    with RunningDaemon(host.root, host.config("SSH", "Web", fwstart=slow)) as daemon:
        host.wait_for("begin")
        assert daemon.stop(number) == 0
        assert not daemon.pidfile.exists()
    assert host.notes() == ["cmdstart", "begin", "finish", "end SSH", "cmdend"]


def test_an_end_while_the_firewall_cannot_be_set_up_is_obeyed(host: NotingHost) -> None:
    config = host.config("SSH", "Web", fwstart="false", default="maxreinits = -1\n")
    with RunningDaemon(host.root, config) as daemon:
        daemon.wait_for("#2 attempt to initialize the firewalls")
        assert daemon.stop() == 0
    assert host.notes()[-2:] == ["end Web", "cmdend"]


def test_further_signals_during_the_end_change_nothing(host: NotingHost) -> None:
    slow = f"echo begin end >> {host.out}; sleep 1; echo finish end >> {host.out}"
    with RunningDaemon(host.root, host.config("SSH", fwend=slow)) as daemon:
        host.attack(ATTACKER)
        daemon.wait_for(r"SSH: Ban \(")
        daemon.signal(signal.SIGTERM)
        host.wait_for("begin end")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            daemon.signal(number)
            time.sleep(0.05)
        assert daemon.stop() == 0
    finished = [f"unban SSH {ATTACKER}", "begin end", "finish end", "cmdend"]
    assert host.notes()[-4:] == finished
    assert daemon.count("Restoring firewall rules...") == 1


def test_ctrl_c_on_the_terminal_does_not_reach_the_commands(host: NotingHost) -> None:
    """The terminal sends SIGINT to its whole foreground group, commands of ours included."""
    ban = f"ps -o pgid= -p $$ > {host.root}/group; echo begin >> {host.out};"
    ban += f" sleep 1; echo finish >> {host.out}"
    with RunningDaemon(host.root, host.config("SSH", fwban=ban)) as daemon:
        host.attack(ATTACKER)
        host.wait_for("begin")
        group = int((host.root / "group").read_text())
        assert group != os.getpgid(daemon.process.pid)
        assert daemon.stop(signal.SIGINT) == 0
    assert "finish" in host.notes()


def test_after_a_kill_the_next_start_first_removes_what_was_left(host: NotingHost) -> None:
    ready = f"grep 'start Web' {host.out}"
    with RunningDaemon(host.root, host.config("SSH", "Web"), ready=ready) as daemon:
        host.attack(ATTACKER)
        daemon.wait_for(r"SSH: Ban \(")
        daemon.kill9()
        assert host.notes() == ["cmdstart", "start SSH", "start Web", f"ban SSH {ATTACKER}"]
        host.out.write_text("")
        daemon.start()
        assert daemon.count("the last instance was killed") == 1
        assert daemon.stop() == 0
        # The log tells again of the attack.
        notes = [note for note in host.notes() if not note.startswith("ban")]
        removed = ["end SSH", "end Web", "cmdend"]
        assert notes[:6] == removed + ["cmdstart", "start SSH", "start Web"]
        host.out.write_text("")
        # After an orderly end there is nothing to remove.
        daemon.start()
        assert host.notes()[0] == "cmdstart"
        assert daemon.count("the last instance was killed") == 1


# The end of the command that hangs --------------------------------------------


def test_a_command_that_hangs_is_killed_with_its_children_after_a_minute(
    hanging: tuple[Host, RunningDaemon],
) -> None:
    host, daemon = hanging
    daemon.wait_for(r"took more than 60 s and was killed$", timeout=120)
    daemon.wait_for(rf"Web: Ban \(600 s\) {OTHER}$")
    assert daemon.count(rf"SSH: Ban \(\d+ s\) {ATTACKER}$") == 0
    first = (host.root / "groups").read_text().split()[0]
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True).stdout
    alive = [group for group, state in map(str.split, listed.splitlines()) if state[0] != "Z"]
    assert alive and first not in alive
