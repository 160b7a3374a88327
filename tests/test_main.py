# SPDX-License-Identifier: GPL-2.0-or-later
"""Which configuration the program `fail2ban` takes; what it does then is tested end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from fail2ban.cli import main as program
from fail2ban.cli.main import main
from fail2ban.plan import Plan


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a configuration of neither kind."""
    monkeypatch.setattr(program, "DEFAULT_CONFIG", str(tmp_path / "fail2ban.conf"))
    monkeypatch.setattr(program, "DEFAULT_TREE", str(tmp_path / "fail2ban"))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_tree(etc: Path) -> Path:
    base = etc / "fail2ban"
    log = write(etc / "web.log", "")
    write(base / "fail2ban.conf", "[Definition]\n")
    write(base / "filter.d/web.conf", "[Definition]\nfailregex = ^ denied <HOST>$\n")
    write(base / "action.d/note.conf", "[Definition]\nactionban = x <ip>\nactionunban = y <ip>\n")
    jail = f"[web]\nenabled = true\nfilter = web\nlogpath = {log}\naction = note\n"
    write(base / "jail.conf", jail)
    return base


def make_file(etc: Path) -> None:
    text = "[SSH]\nenabled = true\nlogfile = /x.log\nfailregex = bad <HOST>\nfwban = x <ip>\n"
    write(etc / "fail2ban.conf", text + "fwunban = y <ip>\n")


def test_tree_is_taken_where_there_is_no_file(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(etc)
    assert main(["--check"]) == 0
    assert "Sections that will run: web" in capsys.readouterr().out


def test_file_is_taken_where_there_are_both(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(etc)
    make_file(etc)
    assert main(["--check"]) == 0
    assert "Sections that will run: SSH" in capsys.readouterr().out


def test_file_is_missed_where_there_is_neither(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 78
    assert f"{etc}/fail2ban.conf" in capsys.readouterr().err


def test_folder_that_is_given_is_a_tree(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_file(etc)
    assert main(["--check", "-c", str(make_tree(etc))]) == 0
    assert "Sections that will run: web" in capsys.readouterr().out


def test_flags_stand_above_default_of_a_tree(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = make_tree(etc)
    assert main(["--check", "-c", str(base), "-r", "0x", "-t", "60"]) == 2
    assert "command line: -r: " in capsys.readouterr().err.replace("[DEFAULT] ", "")


def test_mistake_in_a_tree_fails_the_check_with_its_place(
    etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_tree(etc)
    write(base / "filter.d/web.conf", "[Definition]\nfailregex = ^ (<HOST>$\n")
    assert main(["--check", "-c", str(base)]) == 78
    assert f"{base}/filter.d/web.conf:2: " in capsys.readouterr().err


def test_trial_of_a_tree_leaves_the_database_of_the_real_daemon_alone(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(program, "start", lambda plan, read: plans.append(plan) or 0)
    base = make_tree(etc)
    assert main(["-c", str(base)]) == main(["-c", str(base), "-d"]) == 0
    earnest, trial = (plan.settings for plan in plans)
    assert earnest is not None and earnest.store is not None
    assert trial is not None and trial.store is None and trial.firewall.dryrun
