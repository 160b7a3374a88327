# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's own messages: formats, targets, rotation."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fail2ban import notices
from fail2ban.messages import Messages, syslog_address
from fail2ban.records import Ban, LogSettings
from tests.helpers import NOW, ticket

log = logging.getLogger("fail2ban.test")


@pytest.fixture(autouse=True)
def _restore_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def settings(*targets: str, verbose: int = 0) -> LogSettings:
    return LogSettings(targets=targets, verbose=verbose)


def test_file_gets_time_level_and_message(tmp_path: Path) -> None:
    messages = Messages(settings(f"{tmp_path}/log"), console=False)
    log.warning("SSH: Ban (600 s) %s", "192.0.2.1")
    messages.close()
    line = (tmp_path / "log").read_text()
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{stamp} WARNING: SSH: Ban \(600 s\) 192\.0\.2\.1\n", line)


@pytest.mark.parametrize(
    ("verbose", "levels"),
    [(0, "WARNING ERROR"), (1, "INFO WARNING ERROR"), (2, "DEBUG INFO WARNING ERROR")],
)
def test_verbosity_opens_the_lower_levels(tmp_path: Path, verbose: int, levels: str) -> None:
    messages = Messages(settings(f"{tmp_path}/log", verbose=verbose), console=False)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(level, "x")
    messages.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert " ".join(line.split()[2].rstrip(":") for line in lines) == levels


def test_console_is_always_there_in_the_foreground(capsys: pytest.CaptureFixture[str]) -> None:
    messages = Messages(settings(), console=True)
    log.warning("hello")
    messages.close()
    assert "WARNING: hello\n" in capsys.readouterr().out


def test_three_times_verbose_shows_the_place_on_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    messages = Messages(settings(verbose=3), console=True)
    log.warning("hello")
    messages.close()
    assert "[test_messages.py:" in capsys.readouterr().out


def test_several_targets_get_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = Messages(settings("STDERR", f"{tmp_path}/a", f"{tmp_path}/b"), console=True)
    log.warning("hello")
    messages.close()
    assert "WARNING: hello" in capsys.readouterr().err
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_target_that_cannot_be_opened_is_told_to_the_others(tmp_path: Path) -> None:
    messages = Messages(settings(f"{tmp_path}/no/log", f"{tmp_path}/log"), console=False)
    log.warning("goes on")
    messages.close()
    text = (tmp_path / "log").read_text()
    assert f"ERROR: Unable to log to {tmp_path}/no/log: No such file or directory" in text
    assert "goes on" in text


def test_file_is_opened_again_after_logrotate_has_renamed_it(tmp_path: Path) -> None:
    messages = Messages(settings(f"{tmp_path}/log"), console=False)
    log.warning("before")
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.warning("after")
    messages.close()
    assert "before" in (tmp_path / "log.1").read_text()
    assert "after" in (tmp_path / "log").read_text()


def test_reopen_creates_a_removed_file_and_writes_nothing_twice(tmp_path: Path) -> None:
    messages = Messages(settings(f"{tmp_path}/log"), console=False)
    (tmp_path / "log").unlink()
    messages.reopen()
    assert (tmp_path / "log").exists()
    log.warning("once")
    messages.close()
    assert (tmp_path / "log").read_text().count("once") == 1


def test_text_of_an_attacker_stays_on_its_line(tmp_path: Path) -> None:
    messages = Messages(settings(f"{tmp_path}/log"), console=False)
    log.warning("found %s", "x\n2026-01-01 00:00:00,000 WARNING: SSH: Unban 192.0.2.1\x1b[2J\u2028")
    messages.close()
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1 and len(text.splitlines()) == 1
    assert "\\n2026" in text and "\\x1b[2J\\u2028" in text


def test_traceback_keeps_its_lines(tmp_path: Path) -> None:
    messages = Messages(settings(f"{tmp_path}/log"), console=False)
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        log.exception("died")
    messages.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[1].startswith("Traceback") and lines[-1] == "RuntimeError: broken"


class StoppedTerminal(io.StringIO):
    """Keeps whoever writes to it waiting until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.goes_on = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.goes_on.wait()
        return super().write(text)


def test_stopped_terminal_keeps_nobody_waiting_and_is_told_what_it_has_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fail2ban.messages.TERMINAL_LINES", 10)
    terminal = StoppedTerminal()
    monkeypatch.setattr("sys.stdout", terminal)
    messages = Messages(settings(), console=True)
    log.warning("message 0")
    assert terminal.reached.wait(60)
    for number in range(1, 16):
        log.warning("message %d", number)
    terminal.goes_on.set()
    messages.close()
    lines = terminal.getvalue().splitlines()
    assert lines[1] == "(5 messages are left out here)"
    assert [line[-2:] for line in lines[2:]] == [f"{n:2}" for n in range(1, 11)]


def test_terminal_that_never_goes_on_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fail2ban.messages.TERMINAL_PATIENCE", 0.05)
    terminal = StoppedTerminal()
    monkeypatch.setattr("sys.stdout", terminal)
    messages = Messages(settings(), console=True)
    log.warning("nobody reads this")
    messages.close()
    terminal.goes_on.set()


def test_log_folder_that_vanishes_costs_messages_but_no_thread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    messages = Messages(settings(f"{folder}/f2b.log"), console=False)
    folder.rename(tmp_path / "gone")
    log.warning("lost")
    log.warning("lost")
    assert capsys.readouterr().err.count("cannot write to") == 1
    folder.mkdir()
    log.warning("found")
    messages.close()
    assert "found" in (folder / "f2b.log").read_text()


@pytest.mark.parametrize("step", ["reopen", "close"])
def test_full_disk_ends_neither_a_reopening_nor_the_end(step: str) -> None:
    messages = Messages(settings("/dev/full"), console=False)
    log.warning("does not fit")
    getattr(messages, step)()
    messages.close()


def test_background_without_any_file_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"{tmp_path}/log")
        target = replace(settings("STDERR"), syslog_target=f"{tmp_path}/log")
        Messages(target, console=False).close()
        assert "there is no terminal in the background" in receive(receiver)


def receive(receiver: socket.socket) -> str:
    receiver.settimeout(10)
    return receiver.recv(65536).decode()


SYSLOG_LINE = r"<{}>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d fail2ban\[{}\]: WARNING: hello"


def test_syslog_socket_with_dots_and_dashes_in_its_path_gets_facility_and_tag(
    tmp_path: Path,
) -> None:
    """Defect 18 of 0.6: the path was cut at the first such character."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"{tmp_path}/dev-log.sock")
        target = replace(
            settings("SYSLOG"), syslog_target=f"{tmp_path}/dev-log.sock", syslog_facility=4
        )
        messages = Messages(target, console=False)
        log.warning("hello")
        messages.close()
        assert re.fullmatch(SYSLOG_LINE.format(4 * 8 + 4, os.getpid()), receive(receiver))


def test_syslog_host_and_port_get_it_by_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        target = replace(
            settings("SYSLOG"), syslog_target=f"127.0.0.1:{port}", syslog_facility=-1
        )
        messages = Messages(target, console=False)
        log.warning("hello")
        messages.close()
        assert re.fullmatch(SYSLOG_LINE.format(1 * 8 + 4, os.getpid()), receive(receiver))


def test_missing_syslog_socket_is_an_error_not_a_crash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = replace(settings("SYSLOG"), syslog_target=f"{tmp_path}/none")
    Messages(target, console=True).close()
    assert "Unable to log to SYSLOG" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("/dev/log", "/dev/log"),
        ("loghost", ("loghost", 514)),
        ("loghost:5514", ("loghost", 5514)),
        ("192.0.2.1:99", ("192.0.2.1", 99)),
        ("[2001:db8::1]:99", ("2001:db8::1", 99)),
        ("2001:db8::1", ("2001:db8::1", 514)),
    ],
)
def test_syslog_target_is_a_path_a_host_or_host_and_port(target: str, address: object) -> None:
    assert syslog_address(target) == address


def test_notices_keep_their_wording(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        notices.banned(Ban(NOW, NOW + 600, ticket()))
        notices.banned(Ban(NOW, None, ticket("2001:db8::1")))
        notices.rebanned(Ban(NOW, None, ticket()))
        notices.unbanned(Ban(NOW, None, ticket()))
        notices.already_banned(ticket())
        notices.restoring()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "SSH: 192.0.2.1 has 5 login failure(s). Banned."),
        ("WARNING", "SSH: Ban (600 s) 192.0.2.1"),
        ("INFO", "SSH: 2001:db8::1 has 5 login failure(s). Banned."),
        ("WARNING", "SSH: Ban (permanent) 2001:db8::1"),
        ("WARNING", "SSH: ReBan 192.0.2.1"),
        ("WARNING", "SSH: Unban 192.0.2.1"),
        ("ERROR", "SSH: 192.0.2.1 already in ban list"),
        ("WARNING", "Restoring firewall rules..."),
    ]
