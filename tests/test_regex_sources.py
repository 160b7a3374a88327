# SPDX-License-Identifier: GPL-2.0-or-later
"""Where fail2ban-regex takes its lines from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli import regex_sources as sources
from fail2ban.cli.regex_progress import progress
from fail2ban.detect.encoding import UTF8
from fail2ban.errors import ConfigError


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\r\ntwo\nthr\xffee")
    assert list(sources.file_lines(str(tmp_path / "log"), UTF8)) == ["one", "two", "thr\ufffdee"]


def test_a_file_is_read_in_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes("ä\nö\n".encode("utf-16"))
    encoding = sources.encoding_of("utf-16")
    assert list(sources.file_lines(str(tmp_path / "log"), encoding)) == ["ä", "ö"]


def test_auto_is_the_usual_encoding() -> None:
    assert (
        sources.encoding_of("auto") == sources.encoding_of("")
        or sources.encoding_of("auto").name == "utf-8"
    )


def test_every_byte_that_is_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"line\n" * 200_000)
    told: list[int] = []
    lines = sum(1 for _ in sources.file_lines(str(tmp_path / "log"), UTF8, told.append))
    assert (lines, sum(told)) == (200_000, 1_000_000)
    assert len(told) > 1


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(sources.LogError, match="cannot read"):
        list(sources.file_lines(str(tmp_path), UTF8))


def test_empty_lines_and_comments_are_left_out() -> None:
    lines = [line.text for line in sources.kept(["", "# x", " # y", "  ", "z"])]
    assert lines == [" # y", "  ", "z"]


@given(st.text(max_size=20))
def test_any_text_may_be_a_log(text: str) -> None:
    assert sources.is_file(text) in (True, False)


def test_the_options_of_the_journal_are_read() -> None:
    found = sources.journal_settings("systemd-journal[journalpath=/x, rotated=on]")
    assert (found.path, found.rotated) == ("/x", True)
    assert sources.journal_settings("systemd-journal").path == ""


@pytest.mark.parametrize(
    "log", ["systemd-journal[journalfalgs=1]", "systemd-journal[journalflags=x]"]
)
def test_wrong_options_of_the_journal_are_refused(log: str) -> None:
    with pytest.raises(ConfigError):
        sources.journal_settings(log)


def test_a_journal_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    settings = sources.journal_settings("systemd-journal")
    with pytest.raises(sources.LogError):
        list(sources.journal_lines(settings, (), str(tmp_path / "none")))
    broken = tmp_path / "journalctl"
    broken.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(sources.LogError, match="no such thing"):
        list(sources.journal_lines(settings, (("_COMM=x",),), str(broken)))


def test_a_small_file_has_no_progress_bar(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x\n")
    with progress(str(tmp_path / "log"), False) as advance:
        advance(2)


def test_a_large_file_has_one_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    (tmp_path / "log").write_text("x\n")
    monkeypatch.setattr("fail2ban.cli.regex_progress.LARGE", 1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(str(tmp_path / "log"), False) as advance:
        advance(2)
    assert "100%" in capsys.readouterr().err
