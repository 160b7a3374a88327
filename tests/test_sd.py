# SPDX-License-Identifier: GPL-2.0-or-later
"""What the service manager hands over is taken, and it is told how we are."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban import sd
from fail2ban.records import HealthSettings, Settings
from fail2ban.sd import Notifier, Supervisor
from tests.activation import Manager, handing_over

PID = 4711


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@fail2ban-test-{os.getpid()}-{tmp_path.name}"
    found = Manager(str(tmp_path / "notify") if request.param == "path" else name)
    yield found
    found.close()


# What we tell ------------------------------------------------------------------


def test_the_manager_hears_when_we_are_ready_and_who_we_are(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.ready("2 sections")
    assert manager.heard() == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "2 sections"}


def test_a_reload_names_its_moment(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.reloading()
    heard = manager.heard()
    assert heard["RELOADING"] == "1" and re.fullmatch("[0-9]+", heard["MONOTONIC_USEC"])
    notifier.ready()
    assert manager.heard() == {"READY": "1", "MAINPID": str(os.getpid())}


def test_the_end_and_a_sign_of_life_are_one_word_each(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.stopping()
    notifier.feed()
    assert (manager.heard(), manager.heard()) == ({"STOPPING": "1"}, {"WATCHDOG": "1"})


def test_a_status_cannot_say_anything_else(manager: Manager) -> None:
    Notifier(manager.address).status("of an attacker\nMAINPID=1 \x1b[2J" + "x" * 1000)
    heard = manager.heard()
    assert heard.keys() == {"STATUS"}
    assert heard["STATUS"].startswith(r"of an attacker\nMAINPID=1 \x1b[2Jxxx")
    assert len(heard["STATUS"]) == 200


def test_nobody_who_listens_is_no_error(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nowhere"), "@nobody-is-there", "/" + "x" * 200):
        notifier = Notifier(address)
        assert notifier.wanted == bool(address)
        notifier.ready()
        notifier.feed()


def test_a_manager_that_does_not_read_is_not_waited_for(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    for _ in range(10_000):
        notifier.status("x" * 200)


# What we are handed ------------------------------------------------------------


def test_without_a_manager_there_is_nothing_to_do() -> None:
    environ = {"PATH": "/bin"}
    taken = sd.take(environ, PID)
    assert taken == Supervisor(taken.notifier) and not taken.notifier.wanted
    assert environ == {"PATH": "/bin"}


def test_what_is_meant_for_us_is_not_left_for_the_commands_that_we_run() -> None:
    environ = dict.fromkeys(
        "NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_PID LISTEN_FDS LISTEN_FDNAMES".split(), "0"
    )
    sd.take(environ, PID)
    assert environ == {}


@pytest.mark.parametrize(
    ("given", "interval"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(PID)}, 10.0),
        ({"WATCHDOG_USEC": "180000000"}, 30.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_sign_of_life_comes_twice_as_often_as_it_must(
    given: dict[str, str], interval: float
) -> None:
    assert sd.take({"NOTIFY_SOCKET": "/n", **given}, PID).interval == interval
    assert sd.take(dict(given), PID).interval == 0


@given(st.dictionaries(
    st.sampled_from("NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_FDNAMES LISTEN_FDS".split()),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
))  # fmt: skip
def test_garbage_in_the_environment_is_as_if_it_was_not_there(environ: dict[str, str]) -> None:
    taken = sd.take(environ, PID)
    assert taken.listeners == {} and environ == {}
    assert taken.interval >= 0


# What a process says that is handed descriptors.
CHILD = """
import os
from fail2ban import sd
taken = sd.take(os.environ, os.getpid())
for name, listener in taken.listeners.items():
    print(name, listener.fileno(), listener.getsockname(), listener.get_inheritable())
print(*taken.problems, sep="\\n")
"""


def child(descriptors: list[int], names: str = "") -> list[str]:
    done = subprocess.run(
        handing_over([sys.executable, "-c", CHILD], descriptors, names),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        pass_fds=descriptors,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line]


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[list[socket.socket]]:
    """Two sockets that listen."""
    found = []
    for name in "ab":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / name))
        listener.listen()
        found.append(listener)
    yield found
    for listener in found:
        listener.close()


def test_the_sockets_are_known_by_their_names(sockets: list[socket.socket], tmp_path: Path) -> None:
    numbers = [listener.fileno() for listener in sockets]
    for names in ("fail2ban-monitor:fail2ban", "fail2ban-monitor.socket:fail2ban.socket"):
        assert child(numbers, names) == [
            f"fail2ban-monitor 3 {tmp_path}/a False",
            f"fail2ban 4 {tmp_path}/b False",
        ]


def test_the_first_socket_is_for_commands_if_none_has_the_name(
    sockets: list[socket.socket], tmp_path: Path
) -> None:
    numbers = [listener.fileno() for listener in sockets]
    first, *problems = child(numbers, "one:two")
    assert first == f"fail2ban 3 {tmp_path}/a False"
    assert problems == [
        "systemd hands us descriptor 4: 'fail2ban' is of no use;"
        " expected fail2ban and fail2ban-monitor"
    ]
    assert child(numbers[:1]) == [first]
    assert child([numbers[1], numbers[0]], "fail2ban-monitor:x") == [
        f"fail2ban-monitor 3 {tmp_path}/b False",
        f"fail2ban 4 {tmp_path}/a False",
    ]


def test_what_nobody_can_connect_to_is_told_and_closed(tmp_path: Path) -> None:
    with (
        open(tmp_path / "file", "w") as file,
        socket.socket(socket.AF_UNIX) as mute,
        socket.create_server(("127.0.0.1", 0)) as network,
    ):
        for one in (file, mute, network):
            [problem] = child([one.fileno()])
            assert problem.startswith("systemd hands us descriptor 3: ")


def test_sockets_for_another_process_are_left_alone() -> None:
    assert sd.take({"LISTEN_PID": str(PID + 1), "LISTEN_FDS": "1"}, PID).listeners == {}


# What becomes of the sockets -----------------------------------------------------


def test_sockets_are_known_by_the_paths_of_the_settings(
    sockets: list[socket.socket], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    settings = Settings(socket=f"{tmp_path}/link/a", health=HealthSettings(socket=f"{tmp_path}/b"))
    supervisor = Supervisor(listeners=dict(zip((sd.CONTROL, sd.MONITOR), sockets, strict=True)))
    assert supervisor.by_path(settings) == {
        settings.socket: sockets[0],
        settings.health.socket: sockets[1],
    }
    assert caplog.messages == []
    assert supervisor.descriptors == [listener.fileno() for listener in sockets]


def test_a_socket_that_is_not_where_the_settings_say_is_told(
    sockets: list[socket.socket], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor(
        listeners=dict(zip((sd.CONTROL, sd.MONITOR), sockets, strict=True)), problems=("odd",)
    )
    with caplog.at_level(logging.WARNING):
        assert supervisor.by_path(Settings(socket="/elsewhere")) == {"/elsewhere": sockets[0]}
    assert caplog.messages == [
        "odd",
        f"clients look for us at /elsewhere (socket), but systemd listens at {tmp_path}/a;"
        " expected the same path",
        f"nobody answers at {tmp_path}/b: monitorsocket is 'none'; expected it",
    ]
