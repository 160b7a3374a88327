# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-server`, as far as it does not start anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from fail2ban import __version__
from fail2ban.cli.server import main

FILES = {
    "fail2ban.conf": "[Definition]\nlogtarget = STDERR\n",
    "jail.conf": (
        "[DEFAULT]\nbantime = 10m\n\n[web]\nenabled = true\nfilter = web[mode=strict]\n"
        "logpath = {base}/web.log\naction = note[name=web]\nmaxretry = 3\n"
    ),
    "filter.d/web.conf": "[Definition]\nfailregex = ^ <mode> denied <HOST>$\n",
    "action.d/note.conf": "[Definition]\nactionban = echo <name> <ip>\nactionunban = echo <ip>\n",
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace("{base}", str(tmp_path)))
    (tmp_path / "web.log").touch()
    return tmp_path


def test_every_value_is_shown_with_the_line_that_set_it(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(base), "-d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"[web] bantime = 10m  ({base}/jail.conf:2)" in lines
    assert f"[web] maxretry = 3  ({base}/jail.conf:9)" in lines
    expected = f"failregex = ^ strict denied <HOST>$  ({base}/filter.d/web.conf:2)"
    assert [line for line in lines if line.endswith(expected)]
    assert [line for line in lines if "actionban = echo web <ip>" in line]


def test_the_long_form_reads_like_a_configuration_file(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(base), "--dp"]) == 0
    out = capsys.readouterr().out
    assert "\n[web]\n" in out
    assert f"# {base}/jail.conf:2\nbantime = 10m\n" in out


def test_a_good_configuration_passes_the_test(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(base), "-t"]) == 0
    assert capsys.readouterr().out == "OK: configuration test is successful\n"


def test_the_test_compiles_patterns_and_names_file_and_line(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "filter.d/web.conf").write_text("[Definition]\nfailregex = (<HOST>\n")
    assert main(["-c", str(base), "--test"]) == 255
    captured = capsys.readouterr()
    assert captured.out == "ERROR: test configuration failed\n"
    assert f"{base}/filter.d/web.conf:2: " in captured.err


def test_an_unknown_option_is_a_warning_with_a_suggestion(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (base / "jail.conf").open("a") as file:
        file.write("maxrety = 7\n")
    assert main(["-c", str(base), "-t"]) == 0
    error = capsys.readouterr().err
    assert "warning: " in error
    assert "did you mean 'maxretry'?" in error


def test_flags_of_the_daemon_replace_fail2ban_conf(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "-s",
        "/run/x.sock",
        "-p",
        "/run/x.pid",
        "--loglevel",
        "DEBUG",
        "--logtarget",
        "SYSLOG",
    ]
    assert main(["-c", str(base), *given, "-d"]) == 0
    out = capsys.readouterr().out
    for option, text in (
        ("socket", "/run/x.sock"),
        ("pidfile", "/run/x.pid"),
        ("loglevel", "DEBUG"),
    ):
        assert f"daemon {option} = {text}  (command line)\n" in out
    assert "daemon logtarget = SYSLOG  (command line)\n" in out


@pytest.mark.parametrize(
    ("text", "seconds"), [("1d12h", "129600"), ("1mo", "2629800"), ("10*60", "600"), ("90", "90")]
)
def test_durations_are_shown_in_seconds(
    text: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--str2sec", text]) == 0
    assert capsys.readouterr().out == f"{seconds}\n"


@pytest.mark.parametrize("text", ["", "soon", "__import__('os')"])
def test_what_is_no_duration_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--str2sec", text]) == 255
    assert capsys.readouterr().err.startswith("fail2ban-server: ")


def test_version_in_two_forms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-V"]) == 0
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\nFail2Ban v{__version__}\n"


def test_a_flag_acts_at_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "/nowhere", "-V", "-t"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["-Z"], ["-c"]])
def test_an_unknown_flag_is_255(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 255
    assert "Init of command line failed" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["status"], ["stop"], ["start", "sshd"], ["no-such-command"]])
def test_a_command_goes_to_the_server_that_runs(
    command: list[str], base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(base), "-s", str(base / "s"), *command]) == 255
    assert f"Failed to access socket path: {base}/s." in capsys.readouterr().err


def test_a_start_behind_a_check_that_failed_is_none(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "filter.d/web.conf").write_text("[Definition]\nfailregex = (<HOST>\n")
    assert main(["-c", str(base), "-t", "start"]) == 255
    assert capsys.readouterr().out == "ERROR: test configuration failed\n"


def test_without_any_configuration_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(tmp_path), "-f"]) == 255
    assert f"{tmp_path}/jail.conf" in capsys.readouterr().err
