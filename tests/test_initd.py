# SPDX-License-Identifier: GPL-2.0-or-later
"""The scripts and files that start, stop and rotate us keep their promises.

The init scripts run for real, against a stand-in for the daemon: a small program of
the same name that holds the PID lock, detaches on `-b`, ends the holder on `-k`, and
fails in the ways the daemon can fail. That the daemon itself behaves so is shown by
its own tests.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fail2ban import sd
from fail2ban.config import common

CONFIG = Path(__file__).parent.parent / "config"

STAND_IN = """\
#!{python}
import argparse, fcntl, os, signal, sys, time

flags = argparse.ArgumentParser()
for name in "-b -k -v --check".split():
    flags.add_argument(name, action="store_true")
for name in "-c -p -i -r".split():
    flags.add_argument(name)
flags = flags.parse_args()
with open("{calls}", "a") as calls:
    print(sys.argv[1:], file=calls)
conf = open(flags.c).read()


def note(number, frame):
    with open("{signals}", "a") as signals:
        print(signal.Signals(number).name, file=signals)


if flags.k:
    handle = open(flags.p)
    os.kill(int(handle.read()), signal.SIGTERM)
    if "slow to end" not in conf:
        fcntl.flock(handle, fcntl.LOCK_SH)
    sys.exit(0)
if "unusable" in conf:
    print("fail2ban.conf:1: unusable", file=sys.stderr)
    sys.exit(78)
if flags.check:
    sys.exit(78 if "one broken section" in conf else 0)
if "cannot start" in conf:
    sys.exit(1)
handle = open(flags.p, "a+")
try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
ready, tell = os.pipe()
if os.fork():
    os.close(tell)
    os.read(ready, 1)
    sys.exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for number in range(3):
    os.dup2(null, number)
for number in (signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
if "slow to end" in conf:
    signal.signal(signal.SIGTERM, note)
handle.truncate(0)
print(os.getpid(), file=handle, flush=True)
os.write(tell, b"!")
try:
    while True:
        signal.pause()
finally:
    os.unlink(flags.p)
"""

# What openrc-run offers to a script, as far as ours asks for it. Stands in for OpenRC.
OPENRC_STAND_IN = """\
ebegin() { echo "$*"; }
eend() { [ "$1" -eq 0 ] || echo "$2" >&2; return "$1"; }
einfo() { echo "$*"; }
eerror() { echo "$*" >&2; }
service_started() { [ "$STARTED" = yes ]; }
"""


@dataclass
class Service:
    """An init script in a directory of its own, with all paths below it.

    Attributes:
        script: the init script.
        root: the directory.
        environment: what the script gets besides PATH.
    """

    script: Path
    root: Path
    environment: dict[str, str]

    def run(self, *words: str) -> int:
        """Call the script; return its exit status."""
        return self.call(*words).returncode

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call the script; return its status and what it printed."""
        return subprocess.run(
            ["sh", str(self.script), *words],
            env={"PATH": os.environ["PATH"], **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def daemon(self) -> Path:
        return self.root / "fail2ban"

    @property
    def conf(self) -> Path:
        return self.root / "fail2ban.conf"

    @property
    def pidfile(self) -> Path:
        return self.root / "fail2ban.pid"

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def calls(self) -> str:
        """Return the command lines that the daemon's stand-in got."""
        return (self.root / "calls").read_text()

    def signals(self, count: int) -> list[str]:
        """Wait until the stand-in has noted `count` signals; return their names."""
        noted = self.root / "signals"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            names = noted.read_text().split() if noted.exists() else []
            if len(names) >= count:
                return names
            time.sleep(0.01)
        raise AssertionError("the signals did not arrive")


def prepare(root: Path) -> dict[str, str]:
    """Install the stand-in below `root`; return the variables that point there."""
    program = root / "fail2ban"
    program.write_text(
        STAND_IN.format(python=sys.executable, calls=root / "calls", signals=root / "signals")
    )
    program.chmod(0o755)
    (root / "fail2ban.conf").write_text("[DEFAULT]\n")
    return {
        "DAEMON": str(program),
        "CONF": str(root / "fail2ban.conf"),
        "PIDFILE": str(root / "fail2ban.pid"),
        "LOCKFILE": str(root / "subsys"),
        "DEFAULTS": str(root / "defaults"),
        "FUNCTIONS": str(root / "no-functions"),
    }


def end(pidfile: Path) -> None:
    """Kill the stand-in that holds `pidfile`, if there is one."""
    text = pidfile.read_text() if pidfile.is_file() else ""
    if text.strip().isdigit() and b"fail2ban" in command_line(int(text)):
        os.kill(int(text), signal.SIGKILL)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(params=["debian-initd", "redhat-initd"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    yield Service(CONFIG / request.param, tmp_path, prepare(tmp_path))
    end(tmp_path / "fail2ban.pid")


@pytest.fixture
def stranger() -> Iterator[int]:
    """Run a program that is not ours; return its PID."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def crash(service: Service) -> None:
    """Kill the daemon so that its PID file stays, and wait until it is gone."""
    pid = service.pid
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while command_line(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


# Start and stop ---------------------------------------------------------------


def test_start_runs_the_daemon_and_status_finds_it(service: Service) -> None:
    assert service.run("status") == 3
    assert service.run("start") == 0
    status = service.call("status")
    assert status.returncode == 0
    assert str(service.pid) in status.stdout


def test_start_of_a_running_service_succeeds_and_leaves_it_alone(service: Service) -> None:
    service.run("start")
    pid = service.pid
    assert service.run("start") == 0
    assert service.pid == pid
    assert service.calls().count("-b") == 1


def test_stop_ends_the_daemon_before_it_returns(service: Service) -> None:
    service.run("start")
    pid = service.pid
    assert service.run("stop") == 0
    assert b"fail2ban" not in command_line(pid)
    assert service.run("status") == 3


def test_stop_of_a_stopped_service_succeeds(service: Service) -> None:
    assert service.run("stop") == 0


def test_stop_fails_while_the_daemon_lives_on(service: Service) -> None:
    service.run("start")
    service.run("stop")
    service.conf.write_text("slow to end\n")
    service.run("start")
    assert service.run("stop") == (1 if os.geteuid() == 0 else 4)
    assert service.run("status") == 0


def test_restart_replaces_the_daemon(service: Service) -> None:
    service.run("start")
    pid = service.pid
    assert service.run("restart") == 0
    assert service.pid != pid
    assert service.run("status") == 0


def test_restart_starts_a_stopped_service(service: Service) -> None:
    assert service.run("restart") == 0
    assert service.run("status") == 0


def test_restart_does_not_start_a_second_daemon_beside_one_that_stays(service: Service) -> None:
    service.conf.write_text("slow to end\n")
    service.run("start")
    pid = service.pid
    assert service.run("restart") != 0
    assert service.pid == pid
    assert service.calls().count("-b") == 1


def test_try_restart_leaves_a_stopped_service_stopped(service: Service) -> None:
    assert service.run("try-restart") == 0
    assert service.run("status") == 3


def test_try_restart_replaces_a_running_daemon(service: Service) -> None:
    service.run("start")
    pid = service.pid
    assert service.run("try-restart") == 0
    assert service.pid != pid


# What a PID file may say ------------------------------------------------------


def test_a_crash_shows_in_the_status_and_start_repairs_it(service: Service) -> None:
    service.run("start")
    crash(service)
    assert service.run("status") == 1
    assert service.run("stop") == 0
    assert service.run("start") == 0
    assert service.run("status") == 0


def test_a_pid_that_belongs_to_another_program_is_not_ours(service: Service, stranger: int) -> None:
    service.pidfile.write_text(f"{stranger}\n")
    assert service.run("status") == 1
    assert service.run("reload") == 7
    assert service.run("stop") == 0
    assert command_line(stranger) == b"sleep\x0060\x00"
    assert service.run("start") == 0
    assert service.pid != stranger


@pytest.mark.parametrize("text", ["", "\n", "garbage\n", "-1\n", "1 2\n", "99999999\n"])
def test_a_garbled_pid_file_means_dead(service: Service, text: str) -> None:
    service.pidfile.write_text(text)
    assert service.run("status") == 1
    assert service.run("start") == 0
    assert service.run("status") == 0


def test_a_pid_without_a_newline_is_read(service: Service) -> None:
    service.run("start")
    service.pidfile.write_text(str(service.pid))
    assert service.run("status") == 0


def test_an_unreadable_pid_file_means_that_the_state_is_unknown(service: Service) -> None:
    service.pidfile.mkdir()
    assert service.run("status") == 4
    assert service.run("stop") == 4


def test_red_hat_tells_that_a_daemon_is_dead_whose_subsystem_lock_is_left(tmp_path: Path) -> None:
    service = Service(CONFIG / "redhat-initd", tmp_path, prepare(tmp_path))
    service.run("start")
    lock = tmp_path / "subsys"
    assert lock.exists()
    crash(service)
    service.pidfile.unlink()
    assert service.run("status") == 2
    assert service.run("stop") == 0
    assert not lock.exists()
    assert service.run("status") == 3


# What can go wrong ------------------------------------------------------------


def test_an_unusable_configuration_is_reported_as_not_configured(service: Service) -> None:
    service.conf.write_text("unusable\n")
    started = service.call("start")
    assert started.returncode == 6
    assert "fail2ban.conf:1: unusable" in started.stderr
    assert service.run("status") == 3


def test_one_broken_section_does_not_keep_the_others_from_starting(service: Service) -> None:
    service.conf.write_text("one broken section\n")
    assert service.run("start") == 0


def test_a_start_that_fails_is_reported(service: Service) -> None:
    service.conf.write_text("cannot start\n")
    assert service.run("start") == (1 if os.geteuid() == 0 else 4)


def test_wrong_options_of_the_administrator_are_reported(service: Service) -> None:
    service.environment["FAIL2BAN_OPTS"] = "--no-such-option"
    assert service.run("start") == 2


def test_a_missing_configuration_is_reported(service: Service) -> None:
    service.conf.unlink()
    missing = service.call("start")
    assert missing.returncode == 6
    assert str(service.conf) in missing.stderr


def test_a_missing_program_is_reported_unless_there_is_nothing_to_do(service: Service) -> None:
    service.daemon.unlink()
    assert service.run("start") == 5
    assert service.run("stop") == 0
    assert service.run("status") == 3


def test_a_running_daemon_whose_program_was_removed_is_not_forgotten(service: Service) -> None:
    service.run("start")
    service.daemon.unlink()
    stopped = service.call("stop")
    assert stopped.returncode == 5
    assert str(service.pid) in stopped.stderr


@pytest.mark.parametrize("words", [(), ("begin",), ("start", "now")])
def test_wrong_arguments_print_the_usage(service: Service, words: tuple[str, ...]) -> None:
    called = service.call(*words)
    assert called.returncode == 2
    assert "try-restart" in called.stderr
    assert not service.pidfile.exists()


# Reload, options --------------------------------------------------------------


@pytest.mark.parametrize("word", ["reload", "force-reload"])
def test_reload_sends_the_signal_to_the_daemon(service: Service, word: str) -> None:
    service.run("start")
    assert service.run(word) == 0
    assert service.signals(1) == ["SIGHUP"]


def test_reload_of_a_stopped_service_is_reported(service: Service) -> None:
    assert service.run("reload") == 7


def test_reload_reports_what_is_broken_and_reloads_the_rest(service: Service) -> None:
    service.run("start")
    service.conf.write_text("one broken section\n")
    assert service.run("reload") == 6
    assert service.signals(1) == ["SIGHUP"]


def test_options_of_the_administrator_reach_the_daemon_whole(service: Service) -> None:
    defaults = service.root / "defaults"
    defaults.write_text("FAIL2BAN_OPTS='-v -i \"192.0.2.1 198.51.100.0/24\" -r 3'\n")
    assert service.run("start") == 0
    assert "'-v', '-i', '192.0.2.1 198.51.100.0/24', '-r', '3'" in service.calls()


def test_the_defaults_file_overrides_the_paths(service: Service) -> None:
    elsewhere = service.root / "elsewhere.pid"
    (service.root / "defaults").write_text(f"PIDFILE={elsewhere}\n")
    assert service.run("start") == 0
    assert elsewhere.exists() and not service.pidfile.exists()
    assert service.run("stop") == 0
    assert not elsewhere.exists()


@pytest.mark.skipif(
    not Path("/lib/lsb/init-functions").exists(), reason="LSB's init functions (lsb-base) missing"
)
def test_debian_script_works_with_the_functions_of_lsb(tmp_path: Path) -> None:
    environment = prepare(tmp_path) | {"FUNCTIONS": "/lib/lsb/init-functions", "TERM": "dumb"}
    service = Service(CONFIG / "debian-initd", tmp_path, environment)
    started = service.call("start")
    assert (started.returncode, started.stderr) == (0, "")
    assert "Starting" in started.stdout and "fail2ban" in started.stdout
    assert service.run("stop") == 0
    service.conf.write_text("unusable\n")
    assert service.run("start") == 6


# OpenRC -----------------------------------------------------------------------


@pytest.fixture
def openrc(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Return a caller of gentoo-initd's functions: (name, STARTED="no") -> status."""
    environment = prepare(tmp_path)
    script = tmp_path / "openrc.sh"
    files = f'. "{CONFIG}/gentoo-confd"\n. "{CONFIG}/gentoo-initd"\n'
    script.write_text(f'{OPENRC_STAND_IN}\n{files}"$1"\n')

    def call(name: str, started: str = "no") -> int:
        return subprocess.run(
            ["sh", str(script), name],
            env={"PATH": os.environ["PATH"], "STARTED": started, **environment},
            timeout=60,
        ).returncode

    yield call
    end(tmp_path / "fail2ban.pid")


def test_openrc_starts_reloads_and_stops_the_daemon(
    openrc: Callable[..., int], tmp_path: Path
) -> None:
    service = Service(CONFIG / "gentoo-initd", tmp_path, {})
    assert openrc("start") == 0
    assert openrc("status") == 0
    assert openrc("reload") == 0
    assert service.signals(1) == ["SIGHUP"]
    assert openrc("reopen") == 0
    assert service.signals(2) == ["SIGHUP", "SIGUSR1"]
    assert openrc("stop") == 0
    assert openrc("stop") == 0
    assert openrc("status") == 3


def test_openrc_tells_a_crash_from_a_stop(openrc: Callable[..., int], tmp_path: Path) -> None:
    openrc("start")
    crash(Service(CONFIG / "gentoo-initd", tmp_path, {}))
    assert openrc("status", "yes") == 32
    assert openrc("reload") != 0
    assert openrc("start") == 0


def test_openrc_reports_a_failed_start_and_a_broken_section(
    openrc: Callable[..., int], tmp_path: Path
) -> None:
    conf = tmp_path / "fail2ban.conf"
    conf.write_text("unusable\n")
    assert openrc("start") == 78
    conf.write_text("one broken section\n")
    assert openrc("checkconfig") == 78
    assert openrc("start") == 0
    assert openrc("reload") != 0


def test_openrc_reports_a_daemon_that_lives_on(openrc: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "fail2ban.conf").write_text("slow to end\n")
    openrc("start")
    assert openrc("stop") != 0
    assert openrc("status", "yes") == 0


# Tools that know better -------------------------------------------------------


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("name", ["debian-initd", "redhat-initd", "gentoo-initd"])
def test_shellcheck_has_nothing_to_say(name: str) -> None:
    checked = subprocess.run(
        ["shellcheck", str(CONFIG / name)], capture_output=True, text=True, timeout=60
    )
    assert (checked.returncode, checked.stdout) == (0, "")


def test_debian_script_has_a_complete_lsb_header() -> None:
    header = (CONFIG / "debian-initd").read_text().partition("### BEGIN INIT INFO\n")[2]
    header = header.partition("### END INIT INFO")[0]
    keywords = re.findall(r"^# ([A-Z][A-Za-z-]+):", header, re.MULTILINE)
    assert {
        "Provides", "Required-Start", "Required-Stop", "Default-Start", "Default-Stop",
        "Short-Description", "Description",
    } <= set(keywords)  # fmt: skip


def test_red_hat_script_has_a_header_for_chkconfig() -> None:
    text = (CONFIG / "redhat-initd").read_text()
    assert re.search(r"^# chkconfig: \d+ \d\d \d\d$", text, re.MULTILINE)
    assert re.search(r"^# description: \S.*", text, re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a copy of the unit whose program exists on every machine."""
    text = (CONFIG / "fail2ban.service").read_text()
    copy = tmp_path / "fail2ban.service"
    copy.write_text(text.replace("ExecStart=/usr/bin/fail2ban ", "ExecStart=/bin/true "))
    assert copy.read_text() != text
    return copy


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


@needs_systemd
def test_systemd_accepts_the_unit_without_a_word(unit: Path) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs_systemd
def test_systemd_calls_the_exposure_of_the_unit_low(unit: Path) -> None:
    """Judge the sandbox; 10 is none at all, root without a private network at best about 2."""
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unrecognized option" in checked.stderr:
        pytest.skip("systemd-analyze is older than version 250")
    assert "Overall exposure level" in checked.stdout
    assert checked.returncode == 0, checked.stdout


def test_the_unit_has_its_pid_file_where_everybody_looks() -> None:
    text = (CONFIG / "fail2ban.service").read_text()
    # /var/run is /run, where `-k` and the rotation look.
    assert re.search(r"^ExecStart=/usr/bin/fail2ban -p /run/fail2ban\.pid ", text, re.MULTILINE)


def test_the_unit_feeds_the_watchdog_often_enough() -> None:
    text = (CONFIG / "fail2ban.service").read_text()
    seconds = re.search(r"^WatchdogSec=([0-9]+)$", text, re.MULTILINE)
    assert seconds is not None
    assert int(seconds[1]) >= 4 * sd.LONGEST_INTERVAL


@needs_systemd
def test_systemd_accepts_the_socket_without_a_word(unit: Path) -> None:
    shutil.copy(CONFIG / "fail2ban.socket", unit.parent)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit.parent / "fail2ban.socket")],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{unit.parent}:"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_systemd_listens_where_clients_look() -> None:
    text = (CONFIG / "fail2ban.socket").read_text()
    assert f"\nListenStream={common.SOCKET_PATH.removeprefix('/var')}\n" in text
    assert "\nSocketMode=0600\n" in text
    assert f"\nFileDescriptorName={sd.CONTROL}\n" in text


# Rotation ---------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("logrotate"), reason="logrotate is not installed")
@pytest.mark.parametrize("running", [True, False, None], ids=["ours", "stranger", "nobody"])
def test_rotation_tells_the_daemon_and_nobody_else(
    tmp_path: Path, running: bool | None, stranger: int
) -> None:
    log = tmp_path / "fail2ban.log"
    log.write_text("a line\n")
    service = Service(CONFIG / "debian-initd", tmp_path, prepare(tmp_path))
    if running:
        service.run("start")
    elif running is False:
        service.pidfile.write_text(f"{stranger}\n")
    rotated = rotate(tmp_path, service.pidfile)
    assert rotated.returncode == 0, rotated.stderr
    assert (tmp_path / "fail2ban.log.1").read_text() == "a line\n"
    assert log.stat().st_mode & 0o777 == 0o600 and log.read_text() == ""
    assert command_line(stranger) == b"sleep\x0060\x00"
    if running:
        assert service.signals(1) == ["SIGUSR1"]
        service.run("stop")


def rotate(root: Path, pidfile: Path) -> subprocess.CompletedProcess[str]:
    """Run the rotation we ship with its paths moved below `root`."""
    text = (CONFIG / "fail2ban.logrotate").read_text()
    text = text.replace("/var/log/", f"{root}/").replace("/var/run/fail2ban.pid", str(pidfile))
    if os.geteuid() != 0:
        text = text.replace("create 600 root root", "create 600")
    copy = root / "rotation"
    copy.write_text(text)
    copy.chmod(0o644)
    root.chmod(0o755)
    return subprocess.run(
        [shutil.which("logrotate") or "", "--force", "--state", str(root / "state"), str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
    )
