# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket serves who behaves, and nobody who does not can change that."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pickle
import random
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from fail2ban.control.asking import only_asking
from fail2ban.control.connection import PATIENCE, PAUSE
from fail2ban.control.door import MAX_CLIENTS, MAX_WATCHERS, Door
from fail2ban.control.host import NoJail, Refused
from fail2ban.control.plain import MAX_BYTES
from fail2ban.control.server import ControlServer
from fail2ban.control.socketfile import SocketFile
from fail2ban.control.watching import MOST_EVENTS, Watch
from fail2ban.control.wire import CLOSE, END
from fail2ban.events import KINDS, Events

LONG = 20.0  # seconds; only waited for when a test fails
PING = b'{"command": ["ping"]}\n'
PONG = {"ok": True, "result": "pong"}


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Daemon:
    """A server with its thread, and what its commands do.

    Attributes:
        path, monitor: where all can be said, and where one can only ask.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.monitor = path, path.with_suffix(".monitor")
        self.clock = FakeClock()
        self.events = Events(self.clock)
        self.commands: list[list[object]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        doors = [
            Door(SocketFile(str(self.path)), self.execute),
            Door(SocketFile(str(self.monitor)), only_asking(self.execute)),
        ]
        self.server = ControlServer(doors, self.events, self.clock)
        self.server.open()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.server.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def execute(self, words: list[object], schema: int | None) -> object:
        self.commands.append(words)
        match words:
            case ["ping"]:
                return "pong"
            case ["echo", *rest]:
                return rest
            case ["status"]:
                return [("Number of jail", 2), ("Jail list", "one, two")]
            case ["status", name]:
                raise NoJail(str(name))
            case ["get", *_]:
                raise Refused("no, since\nit is so")
            case ["set", *_]:
                raise ValueError("a value")
            case ["large"]:
                return "x" * 5_000_000
            case ["wait"]:
                self.begun.set()
                assert self.go_on.wait(LONG)
                return "waited"
            case ["defect"]:
                raise ZeroDivisionError("a defect")
            case ["stop"]:
                self.stop.set()
                return None
            case ["watch", *kinds]:
                return Watch(kinds=frozenset(map(str, kinds)))
            case ["version"]:
                return schema
        raise Refused("Invalid command")

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.server.wake()

    def see_all(self) -> None:
        """Wait until all that was sent has been looked at; no command is needed for that."""
        with Client(self) as last:
            last.send(b"x" * (MAX_BYTES + 1))
            assert last.line()["kind"] == "MessageError"

    def end(self) -> None:
        self.go_on.set()
        self.stop.set()
        self.server.wake()
        self.thread.join(LONG)
        assert not self.thread.is_alive()
        self.server.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "f.sock")
    yield daemon
    daemon.end()


class Client:
    def __init__(self, daemon: Daemon, path: Path | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path or daemon.path))  # waits if there is a crowd
        self.socket.settimeout(LONG)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        # Who is thrown out while he sends is thrown out.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def line(self) -> Any:
        return json.loads(self.file.readline())

    def ask(self, *words: object) -> Any:
        self.send(json.dumps({"command": words}).encode() + b"\n")
        return self.line()

    def pickled(self) -> Any:
        data = b""
        while not data.endswith(END):
            data += self.file.read(1) or pytest.fail(f"an answer without end: {data!r}")
        return pickle.loads(data.removesuffix(END))

    def is_closed(self) -> bool:
        """Wait until the server hangs up; what it says before does not matter."""
        try:
            self.file.read()
        except ConnectionResetError:
            pass
        return True


def closed(path: Path) -> ControlServer:
    """Return a server that does nothing yet."""
    return ControlServer([Door(SocketFile(str(path)), lambda words, schema: None)])


def assert_serves(daemon: Daemon) -> None:
    with Client(daemon) as client:
        assert client.ask("ping") == PONG


# Those who behave.


def test_a_line_is_answered_by_a_line(daemon: Daemon) -> None:
    with Client(daemon) as client:
        assert client.ask("ping") == PONG
        assert client.ask("echo", "ä", 1, None) == {"ok": True, "result": ["ä", 1, None]}


def test_a_pickle_is_answered_by_a_pickle(daemon: Daemon) -> None:
    with Client(daemon) as client:
        client.send(pickle.dumps(["status"]) + END)
        assert client.pickled() == (0, [("Number of jail", 2), ("Jail list", "one, two")])
        client.send(pickle.dumps(["set", "x"]) + END)
        status, error = client.pickled()
        assert status == 1 and type(error) is ValueError and error.args == ("a value",)
        client.send(CLOSE + END)
        assert client.is_closed()


def test_commands_that_come_at_once_are_answered_in_order(daemon: Daemon) -> None:
    with Client(daemon) as client:
        for number in range(50):
            client.send(json.dumps({"command": ["echo", number]}).encode() + b"\n")
        assert [client.line()["result"] for _ in range(50)] == [[n] for n in range(50)]


def test_a_client_may_end_its_part_before_it_reads(daemon: Daemon) -> None:
    with Client(daemon) as client:
        client.send(PING)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.line() == PONG
        assert client.is_closed()


def test_a_long_answer_arrives_whole(daemon: Daemon) -> None:
    with Client(daemon) as client:
        assert len(client.ask("large")["result"]) == 5_000_000


def test_errors_are_told_and_the_connection_goes_on(daemon: Daemon) -> None:
    with Client(daemon) as client:
        assert client.ask("status", "x")["kind"] == "NoJail"
        assert client.ask("get")["error"] == "no, since\nit is so"
        assert client.ask("nonsense")["error"] == "Invalid command"
        assert client.ask("ping") == PONG


def test_a_defect_is_logged_and_told_and_costs_nothing_more(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(daemon) as client:
        assert client.ask("get")["ok"] is False
        assert client.ask("nonsense")["ok"] is False
        assert not caplog.records
        assert client.ask("defect") == {
            "ok": False,
            "error": "a defect",
            "kind": "ZeroDivisionError",
        }
        assert "ZeroDivisionError" in caplog.text
        assert client.ask("ping") == PONG


def test_nobody_waits_for_a_slow_command_but_for_its_turn(daemon: Daemon) -> None:
    with Client(daemon) as slow, Client(daemon) as other:
        slow.send(b'{"command": ["wait"]}\n')
        assert daemon.begun.wait(LONG)
        other.send(PING)
        daemon.see_all()
        daemon.pass_time(PATIENCE * 100)  # no limit for those who wait for us
        daemon.see_all()
        daemon.go_on.set()
        assert slow.line()["result"] == "waited"
        assert other.line() == PONG


# Those who do not.


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"GET / HTTP/1.0\r\n",
        b"garbage" + END,
        b"\x80" + END,
        END,
        b"\x80\x04cos\nsystem\n(\x8c\x04exitt\x52." + END,
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b"\x00" * 1000 + b"\n",
    ],
)
def test_garbage_is_answered_and_forgotten(daemon: Daemon, garbage: bytes) -> None:
    with Client(daemon) as client:
        client.send(garbage)
        if garbage.endswith(END):
            assert client.pickled().startswith("ERROR: ")
        else:
            assert client.line()["kind"] == "MessageError"
        assert client.ask("ping") == PONG
    assert daemon.commands == [["ping"]]


def test_a_message_without_end_is_cut_off(daemon: Daemon) -> None:
    with Client(daemon) as client:
        client.send(b"\x80" + b"x" * (3 * MAX_BYTES))
        assert client.is_closed()
    assert_serves(daemon)


def test_a_client_that_leaves_at_any_moment_does_no_harm(daemon: Daemon) -> None:
    chance = random.Random(1)
    stream = PING + pickle.dumps(["large"]) + END + b'{"command": ["large"]}\n' + b"\x80\x04half"
    for _ in range(60):
        with Client(daemon) as client:
            client.send(stream[: chance.randrange(len(stream) + 1)])
    assert_serves(daemon)


def test_a_half_message_is_waited_for_only_so_long(daemon: Daemon) -> None:
    with Client(daemon) as client:
        for byte in PING[:3]:
            client.send(bytes((byte,)))
            # Each byte is heard before the time goes on.
            assert_serves(daemon)
            daemon.pass_time(PATIENCE / 2)
        assert client.is_closed()


def test_a_client_that_says_nothing_is_let_go(daemon: Daemon) -> None:
    with Client(daemon) as client, Client(daemon) as known:
        assert known.ask("ping") == PONG
        daemon.pass_time(PATIENCE)
        assert client.is_closed()
        assert known.ask("ping") == PONG
        daemon.pass_time(PAUSE - 1)
        assert known.ask("ping") == PONG
        daemon.pass_time(PAUSE)
        assert known.is_closed()


def test_a_client_that_never_reads_holds_up_nobody_and_is_let_go(daemon: Daemon) -> None:
    with Client(daemon) as client:
        client.send(b'{"command": ["large"]}\n' * 1000)
        for _ in range(3):
            assert_serves(daemon)
        assert daemon.commands.count(["large"]) == 1
        daemon.pass_time(PATIENCE)
        assert client.is_closed()
    assert_serves(daemon)


def test_thousands_of_clients_take_the_place_of_each_other(daemon: Daemon) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with Client(daemon) as witness:
        crowd = []
        for number in range(2000):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(daemon.path))
            client.send(b"\x80half")
            crowd.append(client)
            if len(crowd) == 300:
                crowd.pop(0).close()
            if number % 50 == 0:
                assert_serves(daemon)
                assert witness.ask("ping") == PONG
        used = len(os.listdir("/proc/self/fd")) - len(crowd) - descriptors
        assert used <= MAX_CLIENTS + 10
        for client in crowd:
            client.close()
    assert_serves(daemon)


def test_commands_do_not_queue_up_without_limit(daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(Client(daemon))
        slow.send(b'{"command": ["wait"]}\n')
        assert daemon.begun.wait(LONG)
        for _ in range(MAX_CLIENTS - 1):
            stack.enter_context(Client(daemon)).send(PING)
        for _ in range(3):
            late = stack.enter_context(Client(daemon))
            late.send(PING)
            assert late.is_closed()
        daemon.go_on.set()
        assert slow.line()["result"] == "waited"
    assert_serves(daemon)
    assert len(daemon.commands) <= MAX_CLIENTS + 1


def test_nothing_happens_while_nobody_asks(daemon: Daemon) -> None:
    with Client(daemon) as client:
        assert client.ask("ping") == PONG
        before = time.process_time()
        time.sleep(0.2)
        assert time.process_time() - before < 0.1


def test_no_room_for_a_client_is_waited_out(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = threading.Event()

    def accept(_: socket.socket) -> Any:
        full.set()
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", accept)
        client = Client(daemon)
        assert full.wait(LONG)
    while "no room for a client" not in caplog.text:
        time.sleep(0.001)
    with client:
        daemon.pass_time(1.0)
        assert client.ask("ping") == PONG
    assert caplog.text.count("no room for a client: Too many open files") == 1


# Those who may only ask.


def test_who_may_only_ask_is_answered_and_changes_nothing(daemon: Daemon) -> None:
    with Client(daemon, daemon.monitor) as client:
        assert client.ask("ping") == PONG
        assert client.ask("status")["ok"]
        refusal = client.ask("stop")
        assert refusal["kind"] == "ReadOnly" and "'stop' is no question" in refusal["error"]
        client.send(pickle.dumps(["set", "one", "bantime", 1]) + END)
        status, error = client.pickled()
        assert status == 1 and "only answers questions" in str(error)
    assert daemon.commands == [["ping"], ["status"]]


def test_questions_are_answered_while_a_command_takes_its_time(daemon: Daemon) -> None:
    with Client(daemon) as slow, Client(daemon, daemon.monitor) as monitor:
        slow.send(b'{"command": ["wait"]}\n')
        assert daemon.begun.wait(LONG)
        assert monitor.ask("ping") == PONG
        daemon.go_on.set()
        assert slow.line()["result"] == "waited"


def test_ten_thousand_who_may_only_ask_keep_nobody_from_steering(daemon: Daemon) -> None:
    crowd = []
    with Client(daemon) as witness, contextlib.ExitStack() as held:
        for number in range(10_000):
            client = held.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(daemon.monitor))
            with contextlib.suppress(BrokenPipeError):
                client.send(chr(ord("a") + number % 26).encode())
            crowd.append(client)
            if len(crowd) == 500:
                crowd.pop(0).close()
            if number % 1000 == 0:
                assert witness.ask("ping") == PONG
                assert_serves(daemon)
        with Client(daemon, daemon.monitor) as late:
            assert late.ask("ping") == PONG
        assert witness.ask("ping") == PONG


def test_a_group_may_use_a_socket_and_nobody_else(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    path, old = tmp_path / "run" / "m.sock", os.umask(0o077)
    try:
        listener = SocketFile(str(path), group).open()
    finally:
        os.umask(old)
    listener.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == os.getgid()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_a_group_that_is_none_is_named_and_no_socket_is_left(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with pytest.raises(OSError, match="there is no group nosuchgroup"):
        SocketFile(str(path), "nosuchgroup").open()
    assert not path.exists()


def test_one_socket_that_cannot_be_made_costs_the_other_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "f.monitor").write_text("precious")
    daemon = Daemon(tmp_path / "f.sock")
    assert f"no client can talk to us at {tmp_path}/f.monitor" in caplog.text
    assert_serves(daemon)
    daemon.end()


def test_a_socket_that_was_inherited_is_used_and_left(tmp_path: Path) -> None:
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        door = Door(SocketFile(str(path), inherited=listener.dup()), lambda words, schema: "here")
        server, stop = ControlServer([door]), threading.Event()
        server.open()
        thread = threading.Thread(target=server.run, args=(stop,), daemon=True)
        thread.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LONG)
            client.connect(str(path))
            client.send(PING)
            assert b"here" in client.recv(1000)
        stop.set()
        server.wake()
        thread.join(LONG)
        server.close()
        assert path.exists()


# Those who watch.


def watching(client: Client, *kinds: str) -> Client:
    assert client.ask("watch", *kinds) == {"ok": True, "result": "watching"}
    return client


@pytest.mark.parametrize("door", ["path", "monitor"])
def test_who_watches_is_sent_what_happens(daemon: Daemon, door: str) -> None:
    with Client(daemon, getattr(daemon, door)) as client:
        watching(client)
        daemon.events.tell("banned", "one", ip_address("192.0.2.1"), start=1.0, end=None)
        daemon.events.tell("found", "one", "\x1b[2J", lines=["a\nline"], time=2.0)
        assert client.line() == {
            "time": daemon.clock.now,
            "kind": "banned",
            "jail": "one",
            "id": "192.0.2.1",
            "facts": {"start": 1.0, "end": None},
        }
        second = client.line()
        assert (second["id"], second["facts"]["lines"]) == ("\x1b[2J", ["a\nline"])


def test_who_watches_sees_only_what_he_asked_for(daemon: Daemon) -> None:
    with Client(daemon) as client:
        watching(client, "banned")
        daemon.events.tell("found", "one")
        daemon.events.tell("banned", "one")
        assert client.line()["kind"] == "banned"


def test_commands_go_on_while_somebody_watches(daemon: Daemon) -> None:
    with Client(daemon) as client:
        watching(client)
        assert_serves(daemon)
        daemon.pass_time(PAUSE * 10)
        assert_serves(daemon)
        daemon.events.tell("unbanned")
        assert client.line()["kind"] == "unbanned"


def test_who_watches_and_does_not_read_loses_events_and_is_told_how_many(daemon: Daemon) -> None:
    with Client(daemon) as client:
        watching(client)
        for number in range(20_000):
            daemon.events.tell("found", "one", lines=["x" * 100], number=number)
        assert_serves(daemon)
        daemon.events.tell("unbanned")
        seen, lost = -1, 0
        while (line := client.line()).get("kind") != "unbanned":
            if "lost" in line:
                lost += line["lost"]
                seen += line["lost"]
            else:
                seen += 1
                assert line["facts"]["number"] == seen
        assert seen == 20_000 - 1 and lost > 20_000 / 2


def test_events_told_by_many_threads_arrive_once_each(daemon: Daemon) -> None:
    def tell(name: str) -> None:
        for number in range(100):
            daemon.events.tell("found", name, number=number)

    with Client(daemon) as client:
        watching(client)
        threads = [threading.Thread(target=tell, args=(str(n),)) for n in range(5)]
        for thread in threads:
            thread.start()
        seen = [client.line() for _ in range(500)]
        for thread in threads:
            thread.join()
    for name in "01234":
        numbers = [one["facts"]["number"] for one in seen if one["jail"] == name]
        assert numbers == list(range(100))


def test_who_has_gone_does_not_watch_any_more(daemon: Daemon) -> None:
    with Client(daemon) as client:
        watching(client)
    with Client(daemon) as silent:
        watching(silent)
        silent.send(b"whatever he says\n" * 1000)
        daemon.see_all()
        assert_serves(daemon)
        daemon.events.tell("banned")
        assert silent.line()["kind"] == "banned"
    daemon.see_all()
    daemon.see_all()
    assert not any(map(daemon.events.reach, KINDS))


def test_a_crowd_does_not_push_out_who_watches_and_few_may_watch(daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        watchers = [
            watching(stack.enter_context(Client(daemon, daemon.monitor)))
            for _ in range(MAX_WATCHERS)
        ]
        late = stack.enter_context(Client(daemon, daemon.monitor))
        assert late.ask("watch") == {
            "ok": False,
            "error": "too many watch already",
            "kind": "Refused",
        }
        assert late.ask("ping") == PONG
        for _ in range(3 * MAX_CLIENTS):
            stack.enter_context(Client(daemon, daemon.monitor)).send(b"half")
        daemon.events.tell("jail", "one", state="started")
        assert [one.line()["kind"] for one in watchers] == ["jail"] * MAX_WATCHERS
        watching(stack.enter_context(Client(daemon)))


def test_the_classic_language_has_no_events(daemon: Daemon) -> None:
    with Client(daemon) as client:
        client.send(pickle.dumps(["watch"]) + END)
        status, error = client.pickled()
        assert status == 1 and "clients that speak JSON" in str(error)
        assert client.ask("ping") == PONG


def test_who_watches_is_let_go_at_the_end(daemon: Daemon) -> None:
    with Client(daemon) as client:
        watching(client)
        daemon.stop.set()
        daemon.server.wake()
        assert client.is_closed()
    daemon.thread.join(LONG)
    assert not any(map(daemon.events.reach, KINDS))


def test_the_end_does_not_wait_for_one_who_watches_and_does_not_read(daemon: Daemon) -> None:
    with Client(daemon) as client:
        watching(client)
        for _ in range(20):
            for _ in range(MOST_EVENTS):
                daemon.events.tell("found", "one", lines=["x" * 900])
            assert_serves(daemon)  # as much as the kernel takes was sent
        before = daemon.clock.now
        daemon.stop.set()
        daemon.server.wake()
        daemon.thread.join(LONG)
        assert not daemon.thread.is_alive() and daemon.clock.now == before


def test_a_schema_that_is_asked_for_reaches_the_command(daemon: Daemon) -> None:
    with Client(daemon) as client:
        client.send(b'{"command": ["version"], "schema": 1}\n')
        assert client.line()["result"] == 1
        client.send(b'{"command": ["version"], "schema": true}\n')
        assert client.line()["kind"] == "MessageError"
        assert client.ask("version")["result"] is None


# Beginning and end.


def test_the_socket_is_for_its_owner_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "new" / "f.sock")
    mode = daemon.path.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    daemon.end()
    assert not daemon.path.exists() and daemon.path.parent.exists()
    daemon.server.wake()  # late, and of no effect


def test_what_a_dead_daemon_has_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    daemon = Daemon(path)
    assert_serves(daemon)
    daemon.end()


def test_a_living_daemon_keeps_its_socket(daemon: Daemon) -> None:
    other = closed(daemon.path)
    with pytest.raises(OSError, match="another daemon answers there"):
        other.open()
    other.close()
    assert_serves(daemon)


def test_a_daemon_that_is_too_busy_to_answer_lives(tmp_path: Path) -> None:
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(5):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(path))
        server = closed(path)
        with pytest.raises(OSError, match="another daemon answers there"):
            server.open()
        server.close()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_text("precious"), "no socket"),
        (lambda path: path.mkdir(), "no socket"),
        (lambda path: path.symlink_to("/etc/passwd"), "no socket"),
    ],
)
def test_what_is_no_socket_is_left_alone(
    tmp_path: Path, make: Callable[[Path], object], why: str
) -> None:
    path = tmp_path / "f.sock"
    make(path)
    server = closed(path)
    with pytest.raises(OSError, match=why):
        server.open()
    server.close()
    assert os.path.lexists(path)


def test_a_path_that_is_too_long_or_nowhere_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / ("x" * 200), tmp_path / "a" / "b" / "f.sock"):
        server = closed(path)
        with pytest.raises(OSError) as caught:
            server.open()
        server.close()
        assert str(tmp_path) in str(caught.value)


def test_a_socket_that_another_daemon_has_made_meanwhile_is_not_removed(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "f.sock")
    daemon.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.path))
        daemon.end()
        assert daemon.path.exists()


def test_who_says_stop_is_answered(daemon: Daemon) -> None:
    with Client(daemon) as client:
        assert client.ask("stop") == {"ok": True, "result": None}
    daemon.thread.join(LONG)
    assert not daemon.thread.is_alive()


def test_at_the_end_a_command_that_has_not_begun_is_refused(daemon: Daemon) -> None:
    with Client(daemon) as slow, Client(daemon) as line, Client(daemon) as classic:
        slow.send(b'{"command": ["wait"]}\n')
        assert daemon.begun.wait(LONG)
        line.send(PING)
        classic.send(pickle.dumps(["ping"]) + END)
        daemon.see_all()
        daemon.stop.set()
        daemon.server.wake()
        while not daemon.server._ending.is_set():
            time.sleep(0.001)
        daemon.go_on.set()
        assert slow.line()["result"] == "waited"
        assert line.line()["kind"] == "Stopping"
        assert classic.pickled() == ["SHUTDOWN"]


def test_the_end_does_not_wait_for_clients_that_do_nothing(daemon: Daemon) -> None:
    with Client(daemon) as silent, Client(daemon) as half:
        half.send(b"\x80half")
        assert_serves(daemon)
        daemon.stop.set()
        daemon.server.wake()
        assert silent.is_closed() and half.is_closed()


def test_what_ends_the_worker_ends_the_server(tmp_path: Path) -> None:
    def execute(words: list[object], schema: int | None) -> object:
        raise SystemExit("a bug")

    server = ControlServer([Door(SocketFile(str(tmp_path / "f.sock")), execute)])
    server.open()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "f.sock"))
        client.send(PING)
        with pytest.raises(SystemExit, match="a bug"):
            server.run(threading.Event())
        assert client.recv(1) == b""
    server.close()
