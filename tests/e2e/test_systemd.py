# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon under a service manager that speaks as systemd does."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest

from fail2ban.cli.connection import ask
from tests import needs
from tests.activation import Manager, handing_over
from tests.e2e.daemon import PROGRAM, ROOT, RunningDaemon, wait_until
from tests.e2e.host import Host

pytestmark = needs.root()

ATTACKER = "203.0.113.1"

#: The real program, of which one thread is stuck as long as a file is there.
STUCK = f"""\
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from fail2ban import daemon
from {{module}} import {{owner}}
work = {{owner}}.{{name}}
def stick(*words, **named):
    while os.path.exists({{mark!r}}):
        time.sleep(0.01)
    return work(*words, **named)
{{owner}}.{{name}} = stick
daemon.RUNNER_PATIENCE = -59.0  # and the 60 of a command: a second
sys.argv[0] = {str(PROGRAM)!r}
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


class Supervised(Host):
    """A host whose daemon tells a manager how it is."""

    defaults = """\
[DEFAULT]
logtargets = {root}/f2b.log
socket = {root}/fail2ban.sock
dbfile = {root}/state.sqlite3
maxfailures = 1
"""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.manager = Manager(str(root / "notify"))

    def daemon(
        self,
        *sections: str,
        default: str = "",
        watchdog: float = 0.0,
        handed: dict[str, socket.socket] | None = None,
        program: Path = PROGRAM,
        **options: str,
    ) -> RunningDaemon:
        """Return a daemon, to be entered.

        Args:
            watchdog: seconds within which a sign of life is due; 0: none is.
            handed: sockets by their names.
            program: what is run.
        """
        environment = {"NOTIFY_SOCKET": self.manager.address}
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        numbers = [listener.fileno() for listener in (handed or {}).values()]
        return RunningDaemon(
            self.root,
            self.config(*sections, default=default, **options),
            environment=environment,
            through=handing_over([], numbers, ":".join(handed)) if handed else (),
            descriptors=numbers,
            program=program,
        )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Supervised]:
    found = Supervised(tmp_path)
    yield found
    found.manager.close()


def test_the_manager_hears_ready_once_the_firewall_is_set_up(host: Supervised) -> None:
    slow = f"until [ -e {host.root}/go ]; do sleep 0.05; done; echo start >> {host.out}"
    with host.daemon("SSH", fwstart=slow) as daemon:
        with pytest.raises(TimeoutError):
            host.manager.heard(1.0)
        (host.root / "go").touch()
        heard = host.manager.wait_for("READY")
        assert "start" in host.notes()
        assert heard["MAINPID"] == str(daemon.process.pid)
        assert daemon.stop() == 0


def test_a_reload_begins_and_ends_for_the_manager(host: Supervised) -> None:
    with host.daemon("SSH") as daemon:
        host.manager.wait_for("READY")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.signal(SIGHUP)
        heard = host.manager.wait_for("RELOADING")
        assert before <= int(heard["MONOTONIC_USEC"])
        assert host.manager.wait_for("READY")["READY"] == "1"
        daemon.config.write_text("nonsense\n")
        daemon.signal(SIGHUP)
        host.manager.wait_for("RELOADING")
        host.manager.wait_for("READY")  # with the old settings
        assert daemon.stop() == 0


def test_the_end_is_told_before_it_takes_its_time(host: Supervised) -> None:
    slow = f"until [ -e {host.root}/go ]; do sleep 0.05; done"
    with host.daemon("SSH", fwend=slow) as daemon:
        host.manager.wait_for("READY")
        daemon.signal(SIGTERM)
        host.manager.wait_for("STOPPING")
        assert daemon.running
        (host.root / "go").touch()
        assert daemon.wait() == 0


def test_signs_of_life_go_on_while_bans_are_carried_out(host: Supervised) -> None:
    ban = f"sleep 3; echo ban SSH <ip> >> {host.out}"
    with host.daemon("SSH", watchdog=0.5, fwban=ban) as daemon:
        host.manager.wait_for("WATCHDOG")
        host.attack(ATTACKER)
        begin = time.monotonic()
        while f"ban SSH {ATTACKER}" not in host.notes():
            host.manager.wait_for("WATCHDOG")
            assert time.monotonic() - begin < 60, daemon.log()
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("module", "owner", "name"),
    [
        ("fail2ban.detect.mainthread", "MainThread", "serve"),
        ("fail2ban.enforce.banner", "Banner", "ban"),
    ],
    ids=["the main thread", "the runner"],
)
def test_who_is_stuck_gives_no_sign_of_life_until_it_works_again(
    host: Supervised, module: str, owner: str, name: str
) -> None:
    mark, program = host.root / "stick", host.root / "program"
    program.write_text(STUCK.format(module=module, owner=owner, name=name, mark=str(mark)))
    with host.daemon("SSH", watchdog=0.5, program=program) as daemon:
        host.manager.wait_for("WATCHDOG")
        mark.touch()
        host.attack(ATTACKER)
        with pytest.raises(TimeoutError):
            while True:
                host.manager.heard(2.0)
        mark.unlink()
        host.manager.wait_for("WATCHDOG")
        assert daemon.stop() == 0


def test_nothing_of_the_manager_reaches_commands(host: Supervised) -> None:
    listener = _listening(host.root / "fail2ban.sock")
    start = f"env > {host.root}/env; ls -l /proc/self/fd > {host.root}/open"
    with listener, host.daemon("SSH", watchdog=60, handed={"fail2ban": listener}, fwstart=start):
        host.manager.wait_for("READY")
        names = {line.partition("=")[0] for line in (host.root / "env").read_text().splitlines()}
        assert not {name for name in names if name.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))}
        assert "socket:" not in (host.root / "open").read_text()


def test_under_a_manager_the_daemon_stays_in_the_foreground(host: Supervised) -> None:
    with host.daemon("SSH", default="background = true\n") as daemon:
        heard = host.manager.wait_for("READY")
        assert daemon.running and heard["MAINPID"] == str(daemon.process.pid)
        daemon.signal(SIGHUP)
        host.manager.wait_for("RELOADING")
        host.manager.wait_for("READY")
        assert daemon.stop() == 0
        assert "restart" not in daemon.log()


def test_a_client_may_come_before_the_daemon_and_the_socket_outlives_it(host: Supervised) -> None:
    path = host.root / "fail2ban.sock"
    with _listening(path) as listener, ThreadPoolExecutor() as pool:
        early = pool.submit(ask, str(path), ["ping"], 60.0)
        with host.daemon("SSH", handed={"fail2ban": listener}) as daemon:
            assert early.result(60) == "pong"
            assert ask(str(path), ["status"], 60.0)
            assert daemon.stop() == 0
        with socket.socket(socket.AF_UNIX) as late:
            late.connect(str(path))  # waits for the next daemon


def test_the_monitor_is_handed_over_by_its_name(host: Supervised) -> None:
    monitor = host.root / "monitor.sock"
    handed = {"fail2ban-monitor": _listening(monitor)}
    with host.daemon("SSH", default=f"monitorsocket = {monitor}\n", handed=handed) as daemon:
        wait_until((host.root / "fail2ban.sock").exists, explain=daemon.log)
        assert ask(str(monitor), ["ping"], 60.0) == "pong"
        with pytest.raises(Exception, match="stop"):
            ask(str(monitor), ["stop"], 60.0)
        assert daemon.stop() == 0
    handed["fail2ban-monitor"].close()
    assert os.path.exists(monitor)


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener
