# SPDX-License-Identifier: GPL-2.0-or-later
"""The database: begun, checked, brought up to date, set aside."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fail2ban import storefile
from fail2ban.database import Database, Upgrade, open_file
from fail2ban.errors import StoreError
from fail2ban.storeschema import APPLICATION, VERSION
from tests import needs
from tests.helpers import NOW

STAMP = "20231114-221320"  # NOW, in UTC


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "fail2ban.sqlite3")


def opened(file: str, upgrade: Upgrade | None = None) -> Database:
    return open_file(storefile.prepare(file), NOW, upgrade)


def mark(database: Database, text: str) -> None:
    database.connection.execute("INSERT INTO marks VALUES ('sshd', 'key', ?)", (text,))


def marks(database: Database) -> list[str]:
    return [text for (text,) in database.connection.execute("SELECT mark FROM marks")]


def begun(file: str) -> None:
    """Leave a database with a mark behind."""
    database = opened(file)
    mark(database, "here")
    database.close()


def test_a_database_is_begun_with_a_folder_that_only_its_owner_can_enter(tmp_path: Path) -> None:
    database = opened(str(tmp_path / "lib" / "db"))
    mark(database, "here")
    assert stat.S_IMODE((tmp_path / "lib").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "lib").iterdir()}
    assert modes == {"db": 0o600, "db-wal": 0o600, "db-shm": 0o600}
    database.close()


def test_it_is_there_when_it_is_opened_again(file: str) -> None:
    begun(file)
    database = opened(file)
    assert marks(database) == ["here"]
    database.close()
    assert os.listdir(os.path.dirname(file)) == ["fail2ban.sqlite3"]


def test_it_says_what_it_is_and_can_give_room_back(file: str) -> None:
    with closing(opened(file).connection) as connection:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "auto_vacuum", "journal_mode")
        ]
    assert found == [APPLICATION, VERSION, 2, "wal"]


def test_two_levels_of_folders_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder .*/a/b for the database"):
        storefile.prepare(str(tmp_path / "a" / "b" / "db"))
    assert not (tmp_path / "a").exists()


def test_a_symbolic_link_to_a_database_is_followed(file: str, tmp_path: Path) -> None:
    begun(file)
    link = tmp_path / "link"
    link.symlink_to(file)
    database = opened(str(link))
    assert (database.file, marks(database)) == (os.path.realpath(file), ["here"])
    database.close()


# Damage -----------------------------------------------------------------------


def flip_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 + 8 : 4096 * 3] = b"\xa5" * (4096 * 2 - 8)
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"garbage" * 1000),
    "one byte": lambda path: path.write_bytes(b"x"),
    "a header of garbage": lambda path: path.write_bytes(b"\0" * 100 + path.read_bytes()[100:]),
    "cut in the middle": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut in its header": lambda path: os.truncate(path, 50),
    "pages of garbage": flip_a_page,
    "a text": lambda path: path.write_text("[Definition]\n"),
    "an empty folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_database_is_set_aside(
    damage: str, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(file)
    DAMAGES[damage](Path(file))
    database = opened(file)
    assert marks(database) == []
    mark(database, "again")
    database.close()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert file in record.message
    assert f"it is now {file}.{STAMP}, and a new database is begun" in record.message
    assert os.path.lexists(f"{file}.{STAMP}")
    again = opened(file)
    assert marks(again) == ["again"]
    again.close()


def test_what_belongs_to_a_damaged_database_goes_with_it(file: str) -> None:
    begun(file)
    Path(file).write_bytes(b"garbage" * 1000)
    for end in ("-wal", "-shm"):
        Path(file + end).write_bytes(b"x")
    opened(file).close()
    assert sorted(os.listdir(os.path.dirname(file))) == [
        "fail2ban.sqlite3",
        f"fail2ban.sqlite3.{STAMP}",
        f"fail2ban.sqlite3.{STAMP}-shm",
        f"fail2ban.sqlite3.{STAMP}-wal",
    ]


def test_what_was_set_aside_before_is_not_overwritten(file: str) -> None:
    for text in ("first", "second", "third"):
        Path(file).write_text(text * 1000)
        opened(file).close()
    kept = [Path(f"{file}.{STAMP}{end}").read_text()[:5] for end in ("", ".1", ".2")]
    assert kept == ["first", "secon", "third"]


def test_a_database_without_one_of_its_tables_is_set_aside(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE records")
    opened(file).close()
    assert "has no table records" in caplog.text


def test_a_bad_unicode_text_costs_no_more_than_itself(file: str) -> None:
    database = opened(file)
    database.connection.execute("INSERT INTO marks VALUES ('a', 'b', CAST(x'61ff' AS TEXT))")
    assert marks(database) == ["a\ufffd"]
    database.close()


# What is not ours ---------------------------------------------------------------


def test_the_database_of_another_program_is_left_alone(file: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE mails (text)")
    before = Path(file).read_bytes()
    with pytest.raises(StoreError, match="is the database of another program; expected ours"):
        opened(file)
    assert Path(file).read_bytes() == before


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a folder; expected the database"):
        opened(str(tmp_path))
    assert (tmp_path / "file").exists()


def test_a_device_is_left_alone() -> None:
    with pytest.raises(StoreError, match="/dev/null is not a file"):
        opened("/dev/null")
    assert os.path.exists("/dev/null")


def test_an_empty_database_of_no_program_is_used(file: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE gone (x)")
        connection.execute("DROP TABLE gone")
    database = opened(file)
    mark(database, "here")
    database.close()


@needs.root()
def test_the_database_of_another_user_is_not_used(file: str) -> None:
    begun(file)
    os.chown(file, 1000, 1000)
    with pytest.raises(StoreError, match="belongs to the user 1000, who could ban"):
        opened(file)
    os.chown(file, 0, 0)


def test_a_database_that_others_may_write_is_used_with_a_warning(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(file)
    os.chmod(file, 0o666)
    opened(file).close()
    assert "others may write to the database" in caplog.text


def test_a_path_that_no_file_system_knows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot use the database"):
        storefile.prepare(str(tmp_path / "a\0b"))


# One at a time --------------------------------------------------------------------


def test_a_database_in_use_cannot_be_locked(file: str) -> None:
    first, second = storefile.Lock(file), storefile.Lock(file)
    first.acquire()
    with pytest.raises(StoreError, match="another daemon uses its database"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_lock_is_never_a_link(file: str) -> None:
    os.symlink("elsewhere", f"{file}.lock")
    with pytest.raises(StoreError, match="cannot make the lock"):
        storefile.Lock(file).acquire()


# Versions ---------------------------------------------------------------------------


def add_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE marks ADD COLUMN note")


def fill_column(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE marks SET note = 'migrated'")


def break_down(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM marks")
    raise sqlite3.OperationalError("no such thing")


def test_an_older_database_is_taken_forward_after_one_backup(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(file)
    caplog.set_level("INFO")
    database = opened(file, Upgrade(VERSION + 2, {VERSION: add_column, VERSION + 1: fill_column}))
    assert database.connection.execute("SELECT mark, note FROM marks").fetchall() == [
        ("here", "migrated")
    ]
    assert database.connection.execute("PRAGMA user_version").fetchone() == (VERSION + 2,)
    database.close()
    names = ["fail2ban.sqlite3", f"fail2ban.sqlite3.{STAMP}"]
    assert sorted(os.listdir(os.path.dirname(file))) == names
    backup = f"{file}.{STAMP}"
    assert stat.S_IMODE(os.stat(backup).st_mode) == 0o600
    text = (
        f"had format {VERSION} and has format {VERSION + 2} now; as it was, it is kept as {backup}"
    )
    assert text in caplog.text
    old = opened(backup)
    assert marks(old) == ["here"]
    old.close()


def test_a_migration_that_fails_changes_nothing(file: str) -> None:
    begun(file)
    with pytest.raises(StoreError, match="no such thing"):
        opened(file, Upgrade(VERSION + 2, {VERSION: add_column, VERSION + 1: break_down}))
    database = opened(file)
    assert marks(database) == ["here"]
    assert database.connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    database.close()


def test_a_newer_database_is_set_aside_as_it_is(
    file: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 7")
    database = opened(file)
    assert marks(database) == []
    database.close()
    text = f"by a newer version of this program: found format 7, expected at most {VERSION}"
    assert text in caplog.text
    later = opened(f"{file}.{STAMP}", Upgrade(7, {}))
    assert marks(later) == ["here"]
    later.close()


# A process that was killed ------------------------------------------------------------


def test_what_only_the_log_of_a_killed_process_holds_is_there(file: str, tmp_path: Path) -> None:
    database = opened(file)
    mark(database, "here")
    left = tmp_path / "left"
    left.mkdir()
    for end in ("", "-wal"):
        shutil.copy(file + end, left)
    database.close()
    found = opened(str(left / "fail2ban.sqlite3"))
    assert marks(found) == ["here"]
    found.close()


def test_a_database_knows_that_its_file_is_gone_or_another_one(file: str) -> None:
    database = opened(file)
    assert not database.lost
    os.rename(file, f"{file}.moved")
    assert database.lost
    Path(file).touch()
    assert database.lost
    database.close()
