# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-client`, against a daemon that only says what it is told to."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fail2ban import __version__, pidlock
from fail2ban.cli import client, connection, flags, server, starting

Out = pytest.CaptureFixture[str]
LOG_LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} fail2ban                \[\d+\]: ERROR   "


class FakeDaemon:
    """Answers each command with what `answers` says, in bytes.

    Attributes:
        requests, commands: what it was asked, and the words of that.
    """

    def __init__(self, path: Path) -> None:
        self.requests: list[dict[str, Any]] = []
        self.commands: list[list[object]] = []
        self.answers: Callable[[list[object]], bytes] = lambda words: result("pong")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._path = path
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, line.makefile("rb") as file:
                if not (request := file.readline()):
                    continue  # somebody only looked whether we are there
                self.requests.append(json.loads(request))
                words = self.requests[-1]["command"]
                self.commands.append(words)
                with contextlib.suppress(BrokenPipeError):  # who has left is not answered
                    line.sendall(self.answers(words))
                if words == ["stop"]:
                    # Gone before the client can look.
                    return self._close()

    def _close(self) -> None:
        self._listener.close()
        self._path.unlink(missing_ok=True)


def result(value: object) -> bytes:
    return json.dumps({"ok": True, "result": value}).encode() + b"\n"


def refused(text: str, kind: str = "Refused") -> bytes:
    return json.dumps({"ok": False, "error": text, "kind": kind}).encode() + b"\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "fail2ban.conf").write_text(
        f"[Definition]\nsocket = {tmp_path}/s\npidfile = {tmp_path}/pid\n"
    )
    (tmp_path / "jail.conf").write_text("[DEFAULT]\nbantime = 10m\n")
    return tmp_path


@pytest.fixture
def daemon(base: Path) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(base / "s")
    yield daemon
    daemon.end()


def run(base: Path, *words: str) -> int:
    return client.main(["-c", str(base), *words])


# Commands ---------------------------------------------------------------------


def test_an_answer_that_cannot_be_written_is_a_failure(base: Path, daemon: FakeDaemon) -> None:
    call = f"client.main(['-c', {str(base)!r}, 'ping'])"
    # In the background an interrupt is ignored.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"from fail2ban.cli import client; raise SystemExit({call})"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30
        )
    assert done.returncode == 255
    assert done.stderr == "fail2ban-client: [Errno 28] No space left on device\n"


def test_a_command_is_sent_and_its_answer_laid_out(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    assert run(base, "ping") == 0
    assert capsys.readouterr() == ("Server replied: pong\n", "")
    assert daemon.commands == [["ping"]]


def test_words_arrive_as_they_were_given(base: Path, daemon: FakeDaemon) -> None:
    words = ["set", "one", "addfailregex", "^<HOST> é\n'\" <F2B_END_COMMAND>", "\udcff"]
    assert run(base, *words) == 0
    assert daemon.commands == [words]


def test_what_looks_like_a_flag_behind_the_command_is_a_word_of_it(
    base: Path, daemon: FakeDaemon
) -> None:
    assert run(base, "unban", "--all") == 0
    assert daemon.commands == [["unban", "--all"]]


@pytest.mark.parametrize("flag", ["-s", "--socket"])
def test_the_socket_can_be_given(
    flag: str, base: Path, daemon: FakeDaemon, tmp_path_factory: pytest.TempPathFactory, capsys: Out
) -> None:
    nowhere = tmp_path_factory.mktemp("empty")
    assert client.main(["-c", str(nowhere), flag, str(base / "s"), "ping"]) == 0
    assert capsys.readouterr() == ("Server replied: pong\n", "")


def test_the_answer_may_come_as_json(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    value = [["Number of jail", 1], ["Jail list", "\x7f\x1b[2J\u202e é"]]
    daemon.answers = lambda words: result(value)
    assert run(base, "--json", "status") == 0
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert out.isascii() and out[:-1].isprintable() and out.endswith("\n")


def test_restart_of_a_jail_is_a_reload(base: Path, daemon: FakeDaemon) -> None:
    daemon.answers = lambda words: result("OK")
    assert run(base, "restart", "--unban", "one") == 0
    assert daemon.commands == [["reload", "--restart", "--unban", "one"]]


def test_ping_takes_a_time(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    assert run(base, "ping", "2.5") == 0
    assert daemon.commands == [["ping"]]
    assert run(base, "ping", "soon") == run(base, "ping", "nan") == 255
    assert "expected seconds" in capsys.readouterr().err


# Failures ---------------------------------------------------------------------


def test_a_refusal_is_a_line_on_each_stream_and_255(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    text = "Sorry but the jail 'x' does not exist"
    daemon.answers = lambda words: refused(text, "NoJail")
    assert run(base, "status", "x") == 255
    out, err = capsys.readouterr()
    assert out == f"{text}\n"
    assert re.fullmatch(LOG_LINE + re.escape(f"NOK: ({text!r},)") + "\n", err)


def test_a_refusal_cannot_steer_the_terminal(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    daemon.answers = lambda words: refused("\x1b[2Ja\nb\r")
    assert run(base, "reload") == 255
    out, err = capsys.readouterr()
    assert out == "\\x1b[2Ja\nb\\r\n"
    assert err.count("\n") == 1 and "\x1b" not in err


def test_a_refusal_comes_as_json_too(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    daemon.answers = lambda words: refused("no", "NoJail")
    assert run(base, "--json", "status", "x") == 255
    assert json.loads(capsys.readouterr().out) == {"error": "no", "kind": "NoJail"}


def test_without_a_server_only_standard_error_says_so(base: Path, capsys: Out) -> None:
    assert run(base, "ping") == 255
    out, err = capsys.readouterr()
    expected = re.escape(f"Failed to access socket path: {base}/s. Is fail2ban running?")
    assert out == ""
    assert re.fullmatch(LOG_LINE + expected + "\n", err)


def test_a_socket_that_was_left_behind_is_no_server(base: Path, capsys: Out) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(base / "s"))
    assert run(base, "status") == 255
    assert "Is fail2ban running?" in capsys.readouterr().err


def test_a_name_that_is_too_long_for_a_socket_is_told(base: Path, capsys: Out) -> None:
    assert run(base, "-s", "/" + "x" * 200, "status") == 255
    assert "Failed to access socket path: /xxx" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}\n", b"[\n", b'{"ok": true, "result": 1}', b'{"ok": false}\n', b"\x80\x02.\n", b"\n",
     b"[" * 100_000 + b"\n"],
    ids=["nothing", "empty", "broken", "cut", "no error", "pickle", "no text", "deep"],
)  # fmt: skip
def test_an_answer_without_sense_is_a_failure(
    answer: bytes, base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    daemon.answers = lambda words: answer
    assert run(base, "status") == 255
    out, err = capsys.readouterr()
    assert out == "" and re.match(LOG_LINE, err) and "the server at" in err


def test_who_does_not_answer_is_not_waited_for_any_longer(base: Path, capsys: Out) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(base / "s"))
        silent.listen()
        assert run(base, "ping", "0.05") == 255
    assert "did not answer in time" in capsys.readouterr().err


def test_an_answer_that_never_ends_is_given_up(
    base: Path, daemon: FakeDaemon, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LONGEST_ANSWER", 1000)
    daemon.answers = lambda words: b"x" * 5000
    assert run(base, "status") == 255
    assert "makes no sense" in capsys.readouterr().err


def test_who_may_not_talk_to_the_server_is_told(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    def connect(line: socket.socket, path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert run(base, "status") == 255
    assert f"Permission denied to socket: {base}/s" in capsys.readouterr().err


def test_without_a_command_the_usage_is_shown(base: Path, capsys: Out) -> None:
    assert run(base) == 255
    assert capsys.readouterr().out.startswith("Usage: fail2ban-client")


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["-Z"], ["-c"]])
def test_an_unknown_flag_is_255(arguments: list[str], capsys: Out) -> None:
    assert client.main(arguments) == 255
    assert "Init of command line failed" in capsys.readouterr().err


# What the server does, too ------------------------------------------------------


def test_the_manual_page_and_the_usage_know_the_same_flags(capsys: Out) -> None:
    assert client.main(["--help"]) == 0
    usage = capsys.readouterr().out.partition("The daemon:")[0]
    page = (Path(__file__).parent.parent / "man" / "fail2ban-client.1").read_text()
    options = page.replace("\\-", "-").partition(".SH OPTIONS")[2].partition(".SH COMMANDS")[0]
    flag = r"(?<![\w-])--?[A-Za-z][\w-]*"
    silent = {"-v", "-q", "-N", "--async", "--pname"}
    assert set(re.findall(flag, options)) == set(re.findall(flag, usage)) | silent
    assert client.main([*silent - {"--pname"}, "--pname", "x", "-V"]) == 0


def test_flags_that_end_the_program(capsys: Out) -> None:
    assert client.main(["-V"]) == client.main(["--version"]) == 0
    assert client.main(["--str2sec", "1d12h"]) == 0
    assert client.main(["--str2sec", "soon"]) == 255
    assert capsys.readouterr().out == f"{__version__}\nFail2Ban v{__version__}\n129600\n"


def test_the_configuration_is_checked_and_shown(base: Path, capsys: Out) -> None:
    assert run(base, "-t") == 0
    assert capsys.readouterr().out == "OK: configuration test is successful\n"
    assert run(base, "-d") == 0
    assert f"daemon socket = {base}/s" in capsys.readouterr().out


def test_a_command_behind_a_check_is_carried_out_if_all_is_well(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    assert run(base, "-t", "ping") == 0
    assert capsys.readouterr().out == "Server replied: pong\n"


def test_a_command_behind_a_check_that_failed_is_not(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    (base / "jail.conf").write_text("[web]\nenabled = true\nfilter = nonesuch\nlogpath = /x\n")
    assert run(base, "-t", "reload") == 255
    assert capsys.readouterr().out == "ERROR: test configuration failed\n"
    assert daemon.commands == []


@pytest.mark.parametrize("words", [["status", "one"], ["stop"], ["start", "one"]])
def test_the_server_passes_commands_on(words: list[str], base: Path, daemon: FakeDaemon) -> None:
    daemon.answers = lambda words: result(None)
    assert server.main(["-c", str(base), *words]) == 0
    assert words in daemon.commands


# A file of the language of 0.6 --------------------------------------------------


@pytest.fixture
def file(base: Path) -> Path:
    """A configuration whose daemon is the fake one."""
    path = base / "classic.conf"
    path.write_text(
        f"[DEFAULT]\nsocket = {base}/s\npidlock = {base}/pid\n"
        "[SSH]\nenabled = true\nlogfile = /x.log\nfailregex = bad <HOST>\n"
    )
    return path


def test_the_daemon_of_a_single_file_is_found_by_that_file(
    file: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    assert client.main(["-c", str(file), "ping"]) == 0
    assert capsys.readouterr() == ("Server replied: pong\n", "")


def test_the_daemon_of_a_broken_file_is_looked_for_at_the_usual_place(
    file: Path, daemon: FakeDaemon, base: Path, capsys: Out
) -> None:
    file.write_text("nonsense\n")
    assert client.main(["-c", str(file), "-s", f"{base}/s", "ping"]) == 0
    assert capsys.readouterr() == ("Server replied: pong\n", "")


def test_a_single_file_is_used_where_there_is_no_tree(
    file: Path, daemon: FakeDaemon, base: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags, "DEFAULT_FILE", str(file))
    monkeypatch.setattr(flags, "DEFAULT_CONFIG", str(base / "nowhere"))
    assert client.main(["ping"]) == 0
    monkeypatch.setattr(flags, "DEFAULT_CONFIG", str(base))
    assert flags.parse(client.CLIENT, ["ping"]).config == str(base)


def test_a_single_file_is_checked_and_shown(file: Path, base: Path, capsys: Out) -> None:
    assert client.main(["-c", str(file), "-t"]) == 0
    assert client.main(["-c", str(file), "-d"]) == 0
    shown = capsys.readouterr().out
    assert f"daemon socket = {base}/s  ({file}:2)" in shown
    assert "[SSH] onstop = unban  (built-in)" in shown


def test_flags_of_a_tree_mean_the_same_for_a_single_file(file: Path) -> None:
    words = ["-c", str(file), "-p", "/p", "--loglevel", "debug", "--logtarget", "SYSLOG"]
    loaded = flags.parse(client.CLIENT, [*words, "--syslogsocket", "/run/log", "-f"]).read()
    assert loaded.problems == () and loaded.settings is not None
    settings = loaded.settings
    assert (settings.pidlock, settings.background) == ("/p", False)
    assert (settings.log.verbose, settings.log.targets) == (2, ("SYSLOG",))
    assert settings.log.syslog_target == "/run/log"
    wrong = flags.parse(client.CLIENT, [*words, "--loglevel", "loud"]).read()
    assert [problem.origin.file for problem in wrong.problems] == ["command line"]


# Start and end ------------------------------------------------------------------


@pytest.fixture
def started(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[list[list[str]], list[FakeDaemon]]]:
    """Have a fake started in the place of the server."""
    commands: list[list[str]] = []
    daemons: list[FakeDaemon] = []

    def start(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(list(command))
        daemons.append(FakeDaemon(base / "s"))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(starting, "server", lambda: ["fail2ban-server"])
    monkeypatch.setattr(subprocess, "run", start)
    yield commands, daemons
    for daemon in daemons:
        daemon.end()


Started = tuple[list[list[str]], list[FakeDaemon]]


def test_start_hands_on_the_flags_and_waits_for_an_answer(
    base: Path, started: Started, capsys: Out
) -> None:
    given = ["-p", "/run/p", "--loglevel", "DEBUG", "--logtarget", "SYSLOG", "-x"]
    assert run(base, *given, "start") == 0
    assert capsys.readouterr().out == "Server ready\n"
    commands, (daemon,) = started
    assert commands == [["fail2ban-server", "-c", str(base), *given, "-b", "start"]]
    assert daemon.commands == [["ping"]]


def test_start_in_the_foreground_becomes_the_server(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Replaced(Exception):
        pass

    def become(program: str, command: list[str]) -> None:
        raise Replaced(program, command)

    monkeypatch.setattr(starting, "server", lambda: ["fail2ban-server"])
    monkeypatch.setattr(os, "execvp", become)
    with pytest.raises(Replaced) as replaced:
        run(base, "-f", "start")
    command = ["fail2ban-server", "-c", str(base), "-f", "start"]
    assert replaced.value.args == ("fail2ban-server", command)


def test_a_running_server_is_not_started_again(
    base: Path, daemon: FakeDaemon, started: Started, capsys: Out
) -> None:
    assert run(base, "start") == 255
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(LOG_LINE + "Server already running\n", err)
    assert started[0] == []


def test_a_server_that_cannot_start_is_a_failure(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(starting, "server", lambda: [sys.executable, "-c", "raise SystemExit(255)"])
    assert run(base, "start") == 255
    out, err = capsys.readouterr()
    assert out == "" and "Could not start server" in err


def test_a_server_that_never_answers_is_a_failure(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(starting, "server", lambda: ["true"])
    assert run(base, "--timeout", "0.1", "start") == 255
    assert "does not answer" in capsys.readouterr().err


def test_stop_waits_until_the_server_is_gone(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    daemon.answers = lambda words: result(None)
    assert run(base, "stop") == 0
    assert capsys.readouterr().out == "Shutdown successful\n"
    assert daemon.commands == [["stop"]]
    assert not (base / "s").exists()


@pytest.mark.parametrize("answer", [b"", refused("Fail2Ban is stopping", "Stopping")])
def test_a_server_that_ends_without_a_proper_answer_has_ended(
    answer: bytes, base: Path, daemon: FakeDaemon
) -> None:
    daemon.answers = lambda words: answer
    assert run(base, "stop") == 0


def test_stop_tells_if_the_server_does_not_go(
    base: Path, daemon: FakeDaemon, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / "pid").write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(pidlock, "is_held", lambda path: path == f"{base}/pid")
    daemon.answers = lambda words: result(None)
    assert run(base, "--timeout", "0.1", "stop") == 255
    assert "still ending after 0.1 seconds" in capsys.readouterr().err


def test_stop_does_not_wait_for_the_pid_file_of_another_daemon(
    base: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / "pid").write_text("1\n")
    monkeypatch.setattr(pidlock, "is_held", lambda path: True)
    daemon.answers = lambda words: result(None)
    assert run(base, "stop") == 0


def test_stop_without_a_server_is_a_failure(base: Path, capsys: Out) -> None:
    assert run(base, "stop") == 255
    assert "Is fail2ban running?" in capsys.readouterr().err


def test_restart_ends_one_server_and_starts_another(
    base: Path, daemon: FakeDaemon, started: Started, capsys: Out
) -> None:
    assert run(base, "restart") == 0
    assert capsys.readouterr().out == "Server ready\n"
    assert ["stop"] in daemon.commands
    assert len(started[0]) == 1


def test_restart_ends_a_server_that_is_too_busy_to_answer_soon(
    base: Path, daemon: FakeDaemon, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False])  # before anything was started
    monkeypatch.setattr(starting, "alive", lambda path: next(answers, True))
    assert run(base, "restart") == 0
    assert daemon.commands == [["stop"]]


def test_restart_without_a_server_starts_one(base: Path, started: Started) -> None:
    assert run(base, "restart") == 0
    assert len(started[0]) == 1


def test_an_unusable_time_is_told_before_anything_is_done(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    assert run(base, "--timeout", "soon", "stop") == 255
    assert "--timeout" in capsys.readouterr().err
    assert ["stop"] not in daemon.commands


def test_the_server_next_to_the_client_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "fail2ban-server").write_text("#!/bin/sh\n")
        (folder / "fail2ban-server").chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(own / "fail2ban-client")])
    monkeypatch.setenv("PATH", str(other))
    assert starting.server() == [sys.executable, str(own / "fail2ban-server")]
    (own / "fail2ban-server").unlink()
    assert starting.server() == [str(other / "fail2ban-server")]


# The dialogue -------------------------------------------------------------------


def talk(base: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return run(base, "-i")


def test_a_dialogue_follows_one_command_after_the_other(
    base: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    daemon.answers = lambda words: result("pong") if words == ["ping"] else refused("no")
    assert talk(base, monkeypatch, "ping", "", "set one x 'a  b'", "ping", "exit", "ping") == 0
    assert daemon.commands == [["ping"], ["set", "one", "x", "a  b"], ["ping"]]
    out = capsys.readouterr().out
    assert out.startswith("fail2ban> Server replied: pong\nfail2ban> fail2ban> no\nfail2ban> ")


@pytest.mark.parametrize("lines", [["quit"], []])
def test_a_dialogue_ends(
    lines: list[str], base: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    assert talk(base, monkeypatch, *lines) == 0


def test_a_dialogue_survives_a_mistake_and_a_server_that_is_gone(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    assert talk(base, monkeypatch, "set 'x", "status", "help", "exit") == 0
    out, err = capsys.readouterr()
    assert "No closing quotation" in err and "Is fail2ban running?" in err
    assert "Usage: fail2ban-client" in out


def test_stop_tells_what_can_be_done_about_a_server_that_does_not_answer(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    go_on = threading.Event()

    def frozen(words: list[object]) -> bytes:
        assert go_on.wait(30)
        return result(None)

    daemon.answers = frozen
    assert run(base, "--timeout", "1", "stop") == 255
    go_on.set()
    error = capsys.readouterr().err
    assert f"the server (process {os.getpid()}) has not answered for 1 seconds" in error
    assert f"kill {os.getpid()}" in error


def test_stop_does_not_look_at_a_socket_of_init_which_would_start_a_new_server(
    base: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(starting, "server_pid", lambda path: looks.append(path) or starting.INIT)
    with pidlock.PidLock(str(base / "pid")) as lock:

        def stopped(words: list[object]) -> bytes:
            threading.Timer(0.2, lock.release).start()
            return result(None)

        daemon.answers = stopped
        assert run(base, "--timeout", "20", "stop") == 0
    assert capsys.readouterr().out == "Shutdown successful\n"
    assert looks == [str(base / "s")]


def test_a_crowd_at_the_socket_is_waited_out(base: Path, capsys: Out) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as crowd:
        listener.bind(str(base / "s"))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = crowd.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(str(base / "s"))

        def serve() -> None:
            while True:
                line, _ = listener.accept()
                with line, line.makefile("rb") as file:
                    line.settimeout(0.05)  # those of the crowd say nothing
                    with contextlib.suppress(TimeoutError):
                        if file.readline():
                            return line.sendall(result("pong"))

        thread = threading.Thread(target=serve, daemon=True)
        threading.Timer(0.1, thread.start).start()
        assert run(base, "ping") == 0
    assert capsys.readouterr().out == "Server replied: pong\n"


# Questions that are answered elsewhere, too ------------------------------------


@pytest.fixture
def monitor(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """A daemon that we may only ask, at its other socket."""
    (base / "fail2ban.local").write_text(f"[Definition]\nmonitorsocket = {base}/m\n")
    connect = socket.socket.connect

    def denied(line: socket.socket, path: str) -> None:
        if path == str(base / "s"):
            raise PermissionError(13, "Permission denied")
        connect(line, path)

    monkeypatch.setattr(socket.socket, "connect", denied)
    daemon = FakeDaemon(base / "m")
    yield daemon
    daemon.end()


def test_who_may_only_ask_is_answered_at_the_other_socket(
    base: Path, monitor: FakeDaemon, capsys: Out
) -> None:
    assert run(base, "ping") == 0
    assert run(base, "stop") == run(base, "set", "one", "banip", "192.0.2.1") == 255
    assert capsys.readouterr().err.count("(you must be root)") == 2
    assert monitor.commands == [["ping"]]


# Events ------------------------------------------------------------------------


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


@pytest.mark.parametrize("at", ["daemon", "monitor"])
def test_watch_prints_what_it_is_told_until_the_server_ends(
    at: str, base: Path, request: pytest.FixtureRequest, capsys: Out
) -> None:
    told = [{"kind": "banned", "id": "192.0.2.1"}, {"kind": "found", "id": "\x7f\x1b[2J\n"}]
    fake = request.getfixturevalue(at)
    fake.answers = lambda words: result("watching") + lines(*told)
    assert run(base, "watch", "--kind", "banned") == 255
    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == told
    assert "\x7f" not in out and out.isascii()
    assert "the server has ended" in err
    assert fake.commands == [["watch", "--kind", "banned"]]


def test_watch_tells_a_refusal(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    daemon.answers = lambda words: refused("'x' is no kind of event")
    assert run(base, "watch", "--kind", "x") == 255
    assert capsys.readouterr().out == "'x' is no kind of event\n"


def test_an_interrupt_is_the_usual_end_of_watching(base: Path, daemon: FakeDaemon) -> None:
    daemon.answers = lambda words: result("watching") + lines({"kind": "banned"}) * 20_000
    call = f"client.main(['-c', {str(base)!r}, 'watch'])"
    # In the background an interrupt is ignored.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"from fail2ban.cli import client; raise SystemExit({call})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"banned" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 0


# Why ---------------------------------------------------------------------------

WHY = {"schema": 1, "id": "192.0.2.1", "now": 1.0, "events": [], "bans": []}


def test_why_is_laid_out(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    daemon.answers = lambda words: result(WHY)
    assert run(base, "why", "192.0.2.1") == 0
    assert capsys.readouterr().out.endswith("Now:\n  it is not banned\n")
    assert run(base, "--json", "why", "192.0.2.1", "one") == 0
    assert json.loads(capsys.readouterr().out) == WHY
    assert daemon.commands == [["why", "192.0.2.1"], ["why", "192.0.2.1", "one"]]


def test_why_not_is_laid_out(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    check = {"jail": "one", "verdict": "not running"}
    daemon.answers = lambda words: result({**WHY, "checks": [check], "new": "part"})
    assert run(base, "why-not", "192.0.2.1") == 0
    assert "[one] this section does not run" in capsys.readouterr().out


def test_why_needs_somebody(base: Path, daemon: FakeDaemon, capsys: Out) -> None:
    assert run(base, "why") == run(base, "why", "a", "b", "c") == 255
    assert "expected why ADDRESS [JAIL]" in capsys.readouterr().err
    assert daemon.commands == []


def test_an_answer_of_another_shape_is_no_answer(
    base: Path, daemon: FakeDaemon, capsys: Out
) -> None:
    daemon.answers = lambda words: result({**WHY, "bans": 5})
    assert run(base, "why", "192.0.2.1") == 255
    assert "makes no sense" in capsys.readouterr().err


# Schemas -----------------------------------------------------------------------


def test_programs_get_the_schema_and_people_the_usual_shape(base: Path, daemon: FakeDaemon) -> None:
    assert run(base, "--json", "version") == run(base, "version") == 0
    assert [request.get("schema") for request in daemon.requests] == [1, None]


@pytest.mark.parametrize("command", client.OURS)
def test_every_command_of_ours_is_in_the_usage_and_can_be_run(command: str) -> None:
    assert f"\n  {command} " in client.USAGE
    assert callable(importlib.import_module(client.OURS[command]).run)
