# SPDX-License-Identifier: GPL-2.0-or-later
"""What took long to compile is kept on disk, and nothing that stands there does harm."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from fail2ban.detect.compiled import Cache, Compiled, Uncompiled, compiled, engine, loaded

pytest.importorskip("hyperscan")
DATA = b"data \0\xff" * 99


def ends(database: Compiled, block: bytes) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    database.scan(block, lambda number, begin, end, flags, context: found.append((end, number)))
    return sorted(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "kept"


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_texts_are_found_as_they_are_and_regardless_of_case_only_if_asked() -> None:
    found = compiled([(b"a.b", False), (b"xy", True), (b"XY", False)])
    assert ends(found, b"a.b axb XY xy A.B") == [(3, 0), (10, 1), (10, 2), (13, 1)]


def test_what_was_dumped_finds_the_same() -> None:
    first = compiled([(b"abc", False), (b"x", True)])
    again = loaded(first.dumped())
    assert ends(first, b"abcX") == ends(again, b"abcX") == [(3, 0), (4, 1)]
    assert first.size == again.size > 0


@pytest.mark.parametrize("data", [b"", b"x", bytes(1000), b"\xff" * 5000])
def test_what_hyperscan_has_not_dumped_is_refused(data: bytes) -> None:
    with pytest.raises(Uncompiled):
        loaded(data)


def test_the_engine_says_which_it_is() -> None:
    assert "Version" in engine()


def test_a_cache_returns_what_was_written_also_to_another(folder: Path) -> None:
    cache = Cache(folder)
    assert cache.read("k1") is None
    cache.write("k1", DATA)
    cache.write("k1", DATA + b"new")
    cache.write("k2", b"")
    assert Cache(folder).read("k1") == DATA + b"new"
    assert Cache(folder).read("k2") == b""
    assert Cache(folder).read("k3") is None


def test_only_we_may_look_into_what_is_kept(folder: Path) -> None:
    Cache(folder).write("k", DATA)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only(folder).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "longer", "renamed"])
def test_what_is_damaged_is_not_there_and_can_be_written_anew(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cache = Cache(folder)
    cache.write("k", DATA)
    file = only(folder)
    whole = file.read_bytes()
    if damage == "renamed":
        file.rename(file.with_name(file.name.replace("k", "other", 1)))
    else:
        half = len(whole) // 2
        flipped = whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]
        damaged = {"cut": whole[:-1], "flipped": flipped, "empty": b"", "longer": whole + b"x"}
        file.write_bytes(damaged[damage])
    assert cache.read("other" if damage == "renamed" else "k") is None
    assert "damaged" in caplog.text
    cache.write("k", DATA)
    assert cache.read("k") == DATA


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_to_is_not_used(
    folder: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Cache(folder).write("k", DATA)
    folder.chmod(mode)
    cache = Cache(folder)
    assert cache.read("k") is None
    cache.write("k2", DATA)
    assert only(folder)
    assert caplog.text.count("are not kept") == 1


def test_a_folder_of_somebody_else_is_not_used(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    Cache(folder).write("k", DATA)
    os.chown(folder, 65534, 65534)
    assert Cache(folder).read("k") is None


def test_files_that_are_not_ours_alone_are_not_read(folder: Path, tmp_path: Path) -> None:
    cache = Cache(folder)
    cache.write("k", DATA)
    file = only(folder)
    file.chmod(0o620)
    assert cache.read("k") is None
    file.chmod(0o600)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert cache.read("k") is None
    cache.write("k", b"new")
    assert cache.read("k") == b"new"
    assert elsewhere.read_bytes().endswith(DATA)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert cache.read("k") is None


def test_a_link_instead_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "real")
    Cache(folder).write("k", DATA)
    assert not list((tmp_path / "real").iterdir())


def test_where_nothing_can_be_written_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "kept")
    for _ in range(3):
        assert cache.read("k") is None
        cache.write("k", DATA)
    assert len(caplog.records) == 1


def test_what_has_not_been_used_for_long_goes_when_something_new_comes(folder: Path) -> None:
    day, now = 86400.0, 1e9
    for name, age in {"old": 61, "used": 59, "young": 1}.items():
        Cache(folder, lambda: 0.0).write(name, DATA)
        file = next(file for file in folder.iterdir() if file.name.startswith(name))
        os.utime(file, (now - age * day,) * 2)
    part, stranger = folder / "k.compiled.1.ab", folder / "README"
    for file in (part, stranger):
        file.touch()
        os.utime(file, (now - 61 * day,) * 2)
    cache = Cache(folder, clock=lambda: now)
    assert cache.read("used") == DATA
    cache.write("new", DATA)
    left = sorted(file.name.split(".")[0] for file in folder.iterdir())
    assert left == ["README", "new", "used", "young"]
    # Reading is a use.
    assert next(folder.glob("used*")).stat().st_mtime == now


def test_the_oldest_of_too_many_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fail2ban.detect.compiled._MOST", 3)
    cache = Cache(folder)
    for number in range(5):
        cache.write(f"k{number}", DATA)
        os.utime(next(folder.glob(f"k{number}*")), (2e9 + number,) * 2)
    Cache(folder, clock=lambda: 2e9).write("new", DATA)
    assert len(list(folder.iterdir())) <= 4
    assert Cache(folder).read("k0") is None
    assert Cache(folder).read("k4") == DATA
