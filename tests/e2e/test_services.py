# SPDX-License-Identifier: GPL-2.0-or-later
"""The init scripts we ship start, watch and stop the real daemon.

That they keep their promises whatever the daemon does is shown in tests/test_initd.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import ROOT, wait_until

pytestmark = needs.root()

CONFIG = """\
[DEFAULT]
logtargets = {root}/f2b.log
socket = {root}/fail2ban.sock
dbfile = {root}/state.sqlite3
pidlock = {root}/not-this-one.pid
maxfailures = 1
verbose = 1
[SSH]
enabled = true
logfile = {root}/auth.log
failregex = failed login of .* from <HOST>$
fwstart = echo start >> {root}/out
fwend = echo end >> {root}/out
fwban = echo ban <ip> >> {root}/out
"""

#: What `setup.py` installs does the same.
PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from fail2ban.cli.main import main
sys.exit(main())
"""


class Service:
    """One of the scripts, with every path below a folder."""

    def __init__(self, script: str, root: Path) -> None:
        self.root, self._script = root, ROOT / "config" / script
        self.conf, self.pidfile = root / "fail2ban.conf", root / "fail2ban.pid"
        self.conf.write_text(CONFIG.format(root=root))
        (root / "auth.log").touch()
        program = root / "fail2ban"
        program.write_text(PROGRAM.format(python=sys.executable, root=str(ROOT)))
        program.chmod(0o755)
        self._environment = {
            "PATH": needs.PATH,
            "DAEMON": str(program),
            "CONF": str(self.conf),
            "PIDFILE": str(self.pidfile),
            "LOCKFILE": str(root / "subsys"),
            "DEFAULTS": str(root / "defaults"),
            "FUNCTIONS": "/nonexistent",
        }

    def call(self, word: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(self._script), word],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def run(self, word: str) -> int:
        return self.call(word).returncode

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def attack(self, ip: str) -> None:
        moment = time.strftime("%b %d %H:%M:%S")
        with (self.root / "auth.log").open("a") as log:
            log.write(f"{moment} host sshd: failed login of root from {ip}\n")

    def notes(self) -> list[str]:
        out = self.root / "out"
        return out.read_text().splitlines() if out.exists() else []

    def log(self) -> str:
        return (self.root / "f2b.log").read_text()


@pytest.fixture(params=["debian-initd", "redhat-initd"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    service = Service(request.param, tmp_path)
    yield service
    if service.pidfile.exists() and not gone(service.pid):
        os.kill(service.pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    """Tell whether a process has ended, even if nobody has asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_life_of_a_service_with_its_exit_statuses(service: Service) -> None:
    assert service.run("status") == 3
    assert service.run("start") == 0
    first = service.pid
    assert service.notes() == ["start"]
    assert (service.run("status"), service.run("start"), service.pid) == (0, 0, first)
    service.attack("203.0.113.1")
    wait_until(lambda: "ban 203.0.113.1" in service.notes())
    assert service.run("restart") == 0
    assert service.pid != first and gone(first)
    assert service.notes()[2:4] == ["end", "start"]
    second = service.pid
    assert service.run("stop") == 0
    assert gone(second) and not service.pidfile.exists()
    assert service.notes()[-1] == "end"
    assert (service.run("status"), service.run("stop")) == (3, 0)


def test_try_restart_and_reload_leave_a_stopped_service_stopped(service: Service) -> None:
    assert (service.run("try-restart"), service.run("reload"), service.run("status")) == (0, 7, 3)
    assert service.notes() == []


def test_reload_makes_the_daemon_read_its_configuration(service: Service) -> None:
    assert service.run("start") == 0
    pid = service.pid
    service.conf.write_text(service.conf.read_text().replace("echo ban", "echo blocked"))
    assert service.run("reload") == 0
    wait_until(lambda: "The configuration is in use" in service.log())
    service.attack("203.0.113.1")
    wait_until(lambda: "blocked 203.0.113.1" in service.notes())
    assert service.pid == pid


def test_reload_of_a_broken_configuration_is_told_and_the_daemon_goes_on(service: Service) -> None:
    assert service.run("start") == 0
    pid = service.pid
    service.conf.write_text(service.conf.read_text().replace("failregex = ", "failregex = ("))
    told = service.call("reload")
    assert told.returncode == 6
    assert "[SSH] failregex" in told.stderr
    wait_until(lambda: "The configuration cannot be used: the old settings stay" in service.log())
    service.attack("203.0.113.1")
    wait_until(lambda: "ban 203.0.113.1" in service.notes())
    assert (service.run("status"), service.pid) == (0, pid)
    # `restart` ends it, then says why it cannot start.
    told = service.call("restart")
    assert told.returncode == 6 and "[SSH] failregex" in told.stderr
    assert service.run("status") == 3


def test_a_killed_daemon_shows_in_the_status_and_start_cleans_up_after_it(service: Service) -> None:
    assert service.run("start") == 0
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: service.run("status") == 1)
    assert service.run("start") == 0
    assert service.notes() == ["start", "end", "start"]
    assert (service.run("status"), service.run("stop")) == (0, 0)


def test_the_options_of_the_administrator_reach_the_daemon(service: Service) -> None:
    (service.root / "defaults").write_text("FAIL2BAN_OPTS='-t 77 -i \"203.0.113.1 192.0.2.9\"'\n")
    assert service.run("start") == 0
    service.attack("203.0.113.1")
    service.attack("198.51.100.7")
    wait_until(lambda: "SSH: Ban (77 s) 198.51.100.7" in service.log())
    assert "ban 203.0.113.1" not in service.notes()
    assert service.run("stop") == 0
