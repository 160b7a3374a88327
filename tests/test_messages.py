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

from fail2ban.bursts import burst
from fail2ban.layout import for_file
from fail2ban.levels import NOTICE
from fail2ban.messages import Messages
from fail2ban.records import LogSettings
from fail2ban.targets import PORTION, open_target, syslog_address

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


def test_no_message_is_written_twice_while_an_old_target_takes_long_to_close(
    tmp_path: Path,
) -> None:
    class Slow(logging.Handler):
        def close(self) -> None:
            log.warning("meanwhile")
            super().close()

    messages = Messages(settings(f"{tmp_path}/log"), console=False)
    messages._handlers.insert(0, Slow())
    messages.reopen()
    messages.close()
    assert (tmp_path / "log").read_text().count("meanwhile") == 1


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
    monkeypatch.setattr("fail2ban.targets.TERMINAL_LINES", 10)
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
    monkeypatch.setattr("fail2ban.targets.TERMINAL_PATIENCE", 0.05)
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
        target = replace(settings("SYSLOG"), syslog_target=f"127.0.0.1:{port}", syslog_facility=-1)
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


# Aligned lines ----------------------------------------------------------------


def aligned(*targets: str, **changes: object) -> LogSettings:
    return replace(LogSettings(targets=targets, aligned=True, level=1), **changes)  # type: ignore[arg-type]


def written(path: Path, settings: LogSettings, name: str = "fail2ban.actions") -> str:
    messages = Messages(replace(settings, targets=(str(path),)), console=False)
    logging.getLogger(name).log(NOTICE, "[sshd] Ban %s", "192.0.2.1")
    messages.close()
    return path.read_text()


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
PID = rf"\[{os.getpid()}\]"


def test_aligned_line_has_name_pid_and_level_in_columns(tmp_path: Path) -> None:
    line = written(tmp_path / "log", aligned())
    columns = rf"fail2ban\.actions {{8}}{PID}: NOTICE  \[sshd\] Ban 192\.0\.2\.1\n"
    assert re.fullmatch(STAMP + columns, line)


@pytest.mark.parametrize(
    ("logger", "name"),
    [
        ("fail2ban.actions", "fail2ban.actions"),
        ("fail2ban.detect.logfile", "fail2ban.logfile"),
        ("fail2ban.daemon", "fail2ban.daemon"),
        ("asyncio.events", "asyncio.events"),
    ],
)
def test_name_is_that_of_the_part_in_whatever_folder_it_lies(
    logger: str, name: str, tmp_path: Path
) -> None:
    line = written(tmp_path / "log", aligned(clock=False, padding=False), logger)
    assert line == f"{name}[{os.getpid()}]: NOTICE [sshd] Ban 192.0.2.1\n"


def test_line_without_clock_keeps_its_columns(tmp_path: Path) -> None:
    line = written(tmp_path / "log", aligned(clock=False))
    assert line.startswith(f"fail2ban.actions        [{os.getpid()}]: NOTICE  [sshd]")


def test_own_pattern_follows_the_time(tmp_path: Path) -> None:
    line = written(tmp_path / "log", aligned(pattern="%(levelname).1s|%(message)s"))
    assert re.fullmatch(STAMP + r"N\|\[sshd\] Ban 192\.0\.2\.1\n", line)


@pytest.mark.parametrize("pattern", ["%(nonsense)s", "%(message)q", "no message at all %"])
def test_pattern_that_cannot_be_used_is_said_once_and_the_usual_one_taken(
    pattern: str, tmp_path: Path
) -> None:
    text = written(tmp_path / "log", aligned(pattern=pattern))
    assert text.count("is no format of messages") == 1 and repr(pattern) in text
    assert "]: NOTICE  [sshd] Ban 192.0.2.1\n" in text


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (50, "CRITICAL"),
        (25, "CRITICAL NOTICE"),
        (18, "CRITICAL NOTICE INFO MSG"),
        (10, "CRITICAL NOTICE INFO MSG DEBUG"),
        (5, "CRITICAL NOTICE INFO MSG DEBUG TRACEDEBUG HEAVYDEBUG"),
    ],
)
def test_level_is_a_number_and_every_level_has_a_name(
    level: int, shown: str, tmp_path: Path
) -> None:
    chosen = aligned(f"{tmp_path}/log", level=level, clock=False)
    messages = Messages(chosen, console=False)
    for number in (50, 25, 20, 18, 10, 7, 5):
        log.log(number, "x")
    messages.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert " ".join(line.split()[2] for line in lines) == shown


def test_aligned_messages_go_to_the_terminal_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for targets, expected in (((f"{tmp_path}/log",), 0), ((f"{tmp_path}/log", "STDOUT"), 1)):
        messages = Messages(aligned(*targets), console=True)
        log.warning("hello")
        messages.close()
        assert capsys.readouterr().out.count("WARNING hello") == expected


def test_classic_stdout_is_not_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    messages = Messages(settings("STDOUT"), console=True)
    log.warning("hello")
    messages.close()
    assert capsys.readouterr().out.count("WARNING: hello") == 1


def test_sysout_leaves_the_time_to_who_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    messages = Messages(aligned("SYSOUT"), console=True)
    log.warning("hello")
    messages.close()
    assert capsys.readouterr().out == f"fail2ban.test[{os.getpid()}]: WARNING hello\n"


def test_terminal_speaks_up_when_no_target_can_be_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = Messages(aligned(f"{tmp_path}/no/log"), console=True)
    log.warning("hello")
    messages.close()
    error = capsys.readouterr().err
    assert "Unable to log to" in error and "hello" in error


@pytest.mark.parametrize("target", ["STDOUT", "STDERR", "SYSOUT"])
def test_background_has_no_streams(target: str, tmp_path: Path) -> None:
    Messages(aligned(target, f"{tmp_path}/log"), console=False).close()
    text = (tmp_path / "log").read_text()
    assert f"Unable to log to {target}: there is no terminal in the background" in text


@pytest.mark.parametrize(
    ("level", "number"), [(50, 2), (40, 3), (30, 4), (25, 5), (20, 6), (18, 6), (10, 7), (5, 7)]
)
def test_aligned_syslog_names_the_part_and_knows_the_severity(
    level: int, number: int, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"{tmp_path}/dev-log")
        chosen = aligned("SYSLOG", syslog_target=f"{tmp_path}/dev-log", syslog_facility=3)
        messages = Messages(chosen, console=False)
        logging.getLogger("fail2ban.actions").log(level, "[sshd] Ban 192.0.2.1")
        messages.close()
        start = rf"<{3 * 8 + number}>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d fail2ban\.actions"
        text = receive(receiver)
        assert re.fullmatch(rf"{start}{PID}: [A-Z]+ \[sshd\] Ban 192\.0\.2\.1", text)


def test_journal_gets_the_message_with_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fail2ban.targets.JOURNAL_SOCKET", f"{tmp_path}/journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"{tmp_path}/journal")
        messages = Messages(aligned("SYSTEMD-JOURNAL"), console=False)
        logging.getLogger("fail2ban.actions").log(NOTICE, "[sshd] Ban %s", "x\nPRIORITY=0")
        messages.close()
        receiver.settimeout(10)
        fields = receiver.recv(65536)
    text = rf"fail2ban.actions[{os.getpid()}]: NOTICE [sshd] Ban x\nPRIORITY=0".encode()
    size = len(text).to_bytes(8, "little")
    given = b"PRIORITY=5\nSYSLOG_IDENTIFIER=fail2ban\nMESSAGE\n"
    assert fields == given + size + text + b"\n"


def test_missing_journal_is_told_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fail2ban.targets.JOURNAL_SOCKET", f"{tmp_path}/journal")
    Messages(aligned("SYSTEMD-JOURNAL", f"{tmp_path}/log"), console=False).close()
    assert "Unable to log to SYSTEMD-JOURNAL" in (tmp_path / "log").read_text()


def test_the_time_of_a_message_is_that_of_the_second_it_was_written_in() -> None:
    formatter = for_file(LogSettings())
    record = logging.LogRecord("fail2ban", logging.INFO, "", 1, "x", (), None)
    shown = []
    for created in (1e9, 1e9 + 0.25, 1e9 + 1, 1e9):
        record.created, record.msecs = created, created % 1 * 1000
        shown.append(formatter.format(record))
    usual = logging.Formatter("%(asctime)s %(levelname)s: %(message)s")
    for created, text in zip((1e9, 1e9 + 0.25, 1e9 + 1, 1e9), shown, strict=True):
        record.created, record.msecs = created, created % 1 * 1000
        assert text == usual.format(record)


def test_a_message_has_its_own_name_again_for_the_next_target() -> None:
    record = logging.LogRecord("fail2ban.decide.judge", logging.INFO, "", 1, "x", (), None)
    assert "fail2ban.judge" in for_file(LogSettings(aligned=True)).format(record)
    assert record.name == "fail2ban.decide.judge"


# Bursts -------------------------------------------------------------------------


def in_log(path: Path) -> list[str]:
    """Return what each whole line says; the last has its end."""
    text = path.read_text()
    assert text.endswith("\n") or not text
    return [line.rpartition(" ")[2] for line in text.splitlines()]


def test_a_burst_is_written_in_portions_of_whole_lines_and_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    messages = Messages(settings(str(path)), console=False)
    seen = []
    with burst():
        for number in range(2 * PORTION + 7):
            log.warning("%d", number)
            seen.append(len(in_log(path)))
    assert sorted(set(seen)) == [0, PORTION, 2 * PORTION]
    assert in_log(path) == [str(number) for number in range(2 * PORTION + 7)]
    log.warning("alone")
    assert in_log(path)[-1] == "alone"
    messages.close()


def test_what_another_thread_says_in_a_burst_is_written_at_once_and_in_order(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    messages = Messages(settings(str(path)), console=False)
    with burst(), burst():
        log.warning("first")
        other = threading.Thread(target=log.warning, args=("second",))
        other.start()
        other.join()
        assert in_log(path) == ["first", "second"]
        log.warning("third")
    assert in_log(path) == ["first", "second", "third"]
    messages.close()


def test_what_was_said_before_a_burst_breaks_off_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    messages = Messages(settings(str(path)), console=False)
    with pytest.raises(KeyError), burst():
        log.warning("before")
        raise KeyError
    assert in_log(path) == ["before"]
    messages.close()


def test_a_burst_follows_a_log_that_was_renamed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    messages = Messages(settings(str(path)), console=False)
    with burst():
        for number in range(PORTION + 1):
            log.warning("%d", number)
        path.rename(tmp_path / "old")
    assert in_log(tmp_path / "old") == [str(number) for number in range(PORTION)]
    assert in_log(path) == [str(PORTION)]
    messages.close()


def test_who_still_has_a_target_that_was_replaced_at_hand_loses_nothing_in_a_burst(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    messages = Messages(settings(str(path)), console=False)
    (old,) = messages._handlers
    with burst():
        log.warning("before")
        messages.reopen()
        old.handle(log.makeRecord(log.name, logging.WARNING, "", 0, "late", (), None))
        log.warning("after")
    assert in_log(path) == ["before", "late", "after"]
    messages.close()


def test_what_is_held_for_a_folder_that_has_come_back_is_not_lost_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "folder" / "log"
    path.parent.mkdir()
    messages = Messages(settings(str(path)), console=False)
    path.unlink()
    path.parent.rmdir()
    log.warning("lost")
    with burst():
        log.warning("held")
        path.parent.mkdir()
        messages.close()
    assert in_log(path) == ["held"]
    assert capsys.readouterr().err.count("cannot write") == 1


def test_a_message_that_does_not_fit_its_arguments_harms_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    handler = open_target(str(path), settings())
    for text, words in (("%d", ("no number",)), ("%s", ("next",))):
        handler.handle(logging.LogRecord("a", logging.WARNING, "", 1, text, words, None))
    assert in_log(path) == ["next"] and "Logging error" in capsys.readouterr().err
    handler.close()
