# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon and its database: full, damaged, newer, deleted, taken over from Fail2Ban."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import SERVER, RunningDaemon, wait_until
from tests.e2e.test_control import ask
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned, unbanned
from tests.test_upstreamdb import row, upstream

HOUR = 3600
#: What the next start is to remove from the firewall.
FAREWELLS = "SELECT * FROM marks WHERE key LIKE 'farewell:%' ORDER BY key"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.jails(site.jail("sshd", maxretry="3", findtime="1d", bantime="1h"))
    return site


@pytest.fixture
def file(site: Site) -> Path:
    return site.root / "fail2ban.sqlite3"


def query(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def wait_for(file: Path, sql: str, value: object) -> None:
    """Wait until a query has this answer."""
    wait_until(lambda: query(file, sql) == [(value,)])


def ban(site: Site, daemon: RunningDaemon, ip: str, times: int = 3) -> None:
    site.attack(ip, "sshd", times=times)
    daemon.wait_for(banned("sshd", ip))


def restored(jail: str, ip: str) -> str:
    return rf"NOTICE  \[{jail}\] Restore Ban {ip}$"


def is_banned_again(site: Site, *ips: str) -> None:
    """Start another run, that has nothing but the database, and see whom it bans."""
    with site.running() as daemon:
        for ip in ips:
            daemon.wait_for(restored("sshd", ip))
        assert daemon.stop() == 0


# What is there at the start ------------------------------------------------------


def test_a_damaged_database_is_set_aside_with_a_message_and_the_daemon_runs(
    site: Site, file: Path
) -> None:
    file.write_bytes(b"garbage" * 1000)
    with site.running() as daemon:
        daemon.wait_for(r"does not begin as a database does; it is now .*, and a new")
        ban(site, daemon, ATTACKER)
        daemon.kill9()
    (aside,) = site.root.glob("fail2ban.sqlite3.2*")
    assert aside.read_bytes() == b"garbage" * 1000
    is_banned_again(site, ATTACKER)


def test_a_newer_database_is_set_aside_as_it_is(site: Site, file: Path) -> None:
    with site.running() as daemon:
        assert daemon.stop() == 0
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with site.running() as daemon:
        daemon.wait_for("was written by a newer version of this program: found format 99")
        ban(site, daemon, ATTACKER)
        assert daemon.stop() == 0
    (aside,) = site.root.glob("fail2ban.sqlite3.2*")
    assert query(aside, "PRAGMA user_version") == [(99,)]
    is_banned_again(site, ATTACKER)


@pytest.mark.parametrize("name", ["none", ":memory:"])
def test_without_a_database_the_daemon_bans_and_forgets(site: Site, name: str, file: Path) -> None:
    site.put("fail2ban.local", f"[Definition]\ndbfile = {name}\n")
    with site.running() as daemon:
        ban(site, daemon, ATTACKER)
        assert daemon.stop() == 0
    with site.running() as daemon:
        daemon.wait_for("Server ready|is running")
        assert daemon.count(restored("sshd", ATTACKER)) == 0
        assert daemon.stop() == 0
    assert not file.exists()


def test_a_second_daemon_leaves_the_database_to_the_first(site: Site, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Site(tmp_path / "second")
    second.jails(second.jail("sshd"))
    second.put("fail2ban.local", f"[Definition]\ndbfile = {site.root}/fail2ban.sqlite3\n")
    with site.running() as daemon, second.running() as other:
        other.wait_for("another daemon uses its database; .* are kept in memory")
        ban(second, other, OTHER)
        ban(site, daemon, ATTACKER)
        assert other.stop() == 0
        assert daemon.stop() == 0
    is_banned_again(site, ATTACKER)


# What happens to it meanwhile -------------------------------------------------------


def test_a_deleted_database_is_written_again(site: Site, file: Path) -> None:
    with site.running() as daemon:
        ban(site, daemon, ATTACKER)
        site.attack(OTHER, "sshd", times=2)
        wait_for(file, "SELECT count(*) FROM suspects", 1)
        for path in site.root.glob("fail2ban.sqlite3*"):
            path.unlink()
        ban(site, daemon, THIRD)
        daemon.wait_for("was moved or deleted while in use; it is written again")
        daemon.kill9()
    assert query(file, "SELECT count(*) FROM marks WHERE jail = ''") != [(0,)]
    with site.running() as daemon:
        for ip in (ATTACKER, THIRD):
            daemon.wait_for(restored("sshd", ip))
        ban(site, daemon, OTHER, times=1)


def damage(file: Path) -> None:
    """Write garbage over all pages but the first, and have SQLite read them again."""
    with closing(sqlite3.connect(file)) as other:
        other.execute("UPDATE jails SET last = last + 1")
        other.commit()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(os.urandom(size - 4096))


def test_everything_is_saved_again_where_the_database_is_damaged_in_use(
    site: Site, file: Path
) -> None:
    with site.running() as daemon:
        ban(site, daemon, ATTACKER)
        site.attack(OTHER, "sshd", times=2)
        wait_for(file, "SELECT count(*) FROM suspects", 1)
        farewells = query(file, FAREWELLS)
        damage(file)
        ban(site, daemon, THIRD)
        daemon.wait_for("is damaged: .*, and a new one is begun")
        for table, rows in (("bans", 2), ("suspects", 1)):
            sql = f"SELECT count(*) FROM {table}"
            wait_for(file, sql, rows)
        assert query(file, FAREWELLS) == farewells != []
        daemon.kill9()
    with site.running() as daemon:
        for ip in (ATTACKER, THIRD):
            daemon.wait_for(restored("sshd", ip))
        ban(site, daemon, OTHER, times=1)


class TinyDisk:
    """A file system of its own, that processes see which are started `through` it."""

    def __init__(self, holder: subprocess.Popen[bytes], folder: Path) -> None:
        namespace = f"/proc/{holder.pid}/ns/mnt"
        self.through: Sequence[str] = ("nsenter", f"--mount={namespace}")
        self._folder = Path(f"/proc/{holder.pid}/root{folder}")

    def fill(self) -> None:
        with (self._folder / "ballast").open("ab", 0) as ballast:
            for size in (4096, 1):
                try:
                    while True:
                        ballast.write(b"x" * size)
                except OSError:
                    pass

    def empty(self) -> None:
        (self._folder / "ballast").unlink()


@contextmanager
def tiny_disk(folder: Path) -> Iterator[TinyDisk]:
    folder.mkdir()
    mount = 'mount -t tmpfs -o size=512k none "$1" && echo && exec sleep 1000'
    words = ["unshare", "--mount", "sh", "-c", mount, "sh", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"\n"
            yield TinyDisk(holder, folder)
        finally:
            holder.kill()


@needs.root()
@needs.programs("unshare", "nsenter", "mount")
def test_a_full_disk_is_survived_and_told_and_nothing_is_lost(site: Site) -> None:
    site.put("fail2ban.local", "[Definition]\ndbfile = {root}/disk/db\n")
    with tiny_disk(site.root / "disk") as disk:
        daemon = RunningDaemon(
            site.root, site.tree, "-xf", program=SERVER, logfile=site.logfile, through=disk.through
        )
        with daemon:
            ban(site, daemon, ATTACKER)
            disk.fill()
            for number in range(1, 40):
                site.attack(f"198.51.100.{number}", "sshd", times=3)
            daemon.wait_for("cannot write to the database .* full")
            daemon.wait_for(banned("sshd", "198.51.100.39"))  # to ban goes on
            assert daemon.count("cannot write to the database") == 1
            disk.empty()
            daemon.wait_for(r"can be written again, and \d+ change\(s\) were")
            daemon.kill9()
            daemon.start()
            for ip in (ATTACKER, "198.51.100.1", "198.51.100.39"):
                daemon.wait_for(restored("sshd", ip))
            assert daemon.stop() == 0


def test_another_file_is_used_from_the_next_start_on(site: Site, file: Path) -> None:
    with site.running() as daemon:
        ban(site, daemon, ATTACKER)
        site.put("fail2ban.local", "[Definition]\ndbfile = {root}/other\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("dbfile has changed; that takes effect at the next start")
        ban(site, daemon, OTHER)
        assert daemon.stop() == 0
    assert query(file, "SELECT count(*) FROM bans") == [(2,)]
    with site.running() as daemon:
        daemon.wait_for("is running", times=2)
        wait_until((site.root / "other").exists)
        assert daemon.stop() == 0


# Counts, history, growth --------------------------------------------------------------


def test_counts_outlive_a_reload_that_changes_the_filter_and_the_logs(site: Site) -> None:
    with site.running() as daemon:
        site.attack(ATTACKER, "sshd", times=2)
        daemon.wait_for(rf"\[sshd\] Found {ATTACKER}", times=2)
        site.log("more").touch()
        both = f"{site.log('sshd')}\n          {site.log('more')}"
        site.put("filter.d/plain.local", "[Definition]\nignoreregex = never\n")
        site.jails(site.jail("sshd", maxretry="3", findtime="1d", logpath=both))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("The configuration is in use")
        daemon.kill9()
        daemon.start()
        site.attack(ATTACKER, "more")
        daemon.wait_for(banned("sshd", ATTACKER))
        assert daemon.stop() == 0
        assert daemon.count(rf"\[sshd\] Found {ATTACKER}") == 3


@pytest.mark.parametrize(
    "words",
    [
        [("stop", "sshd"), ("start", "sshd")],
        [("reload", "--restart", "sshd")],
        [("set", "sshd", "idle", "on"), ("set", "sshd", "idle", "off")],
    ],
)
def test_counts_and_bans_outlive_what_a_hand_does_to_a_section(
    site: Site, words: list[tuple[str, ...]]
) -> None:
    with site.running() as daemon:
        ban(site, daemon, ATTACKER)
        site.attack(OTHER, "sshd", times=2)
        daemon.wait_for(rf"\[sshd\] Found {OTHER}", times=2)
        for one in words:
            assert ask(site, *one)[1] == 0
        ban(site, daemon, OTHER, times=1)
        assert daemon.count(rf"\[sshd\] Found {OTHER}") == 3
        wait_until(lambda: ask(site, "banned", ATTACKER) == ("[['sshd']]\n", 0))
        daemon.kill9()
        assert query(site.root / "fail2ban.sqlite3", "SELECT bans FROM records") == [(1,), (1,)]
    is_banned_again(site, ATTACKER, OTHER)


def test_bans_grow_over_restarts_up_to_the_longest(site: Site) -> None:
    longest = {"bantime__increment": "true", "bantime__maxtime": "3"}
    site.jails(site.jail("sshd", bantime="1", findtime="1d", **longest))
    with site.running() as daemon:
        for number, seconds in enumerate((1, 2, 3, 3), 1):
            site.attack(ATTACKER, "sshd")
            daemon.wait_for(banned("sshd", ATTACKER), times=number)
            daemon.wait_for(unbanned("sshd", ATTACKER), times=number)
            daemon.kill9()
            record = site.root / "fail2ban.sqlite3"
            assert query(record, "SELECT bans FROM records") == [(number,)]
            ((length,),) = query(record, "SELECT until - last - 86400 FROM records")
            assert round(float(str(length)) / 3) == seconds
            daemon.start()
        assert daemon.stop() == 0


def test_bans_of_all_jails_count_where_asked(site: Site) -> None:
    growing = {"bantime": "10m", "bantime__increment": "true"}
    site.jails(
        site.jail("one", bantime="10m"),
        site.jail("all", **growing, bantime__overalljails="true"),
        site.jail("own", **growing),
    )
    with site.running() as daemon:
        site.attack(ATTACKER, "one")
        daemon.wait_for(banned("one", ATTACKER))
        daemon.kill9()
        daemon.start()
        for jail in ("all", "own"):
            site.attack(ATTACKER, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        file = site.root / "fail2ban.sqlite3"
        lengths = query(file, 'SELECT jail, "end" - start FROM bans ORDER BY jail')
        assert [(jail, round(float(str(one)))) for jail, one in lengths] == [
            ("all", 1200),
            ("one", 600),
            ("own", 600),
        ]
        assert daemon.stop() == 0


def test_the_classic_language_restores_bans_and_lets_them_grow(tmp_path: Path) -> None:
    logfile, out = tmp_path / "auth.log", tmp_path / "out"
    logfile.touch()
    config = f"""\
[DEFAULT]
polltime = 0.05
bantime = 1
bantime.increment = true
findtime = 1d
maxfailures = 2
ignoreip =
[SSH]
enabled = true
logfile = {logfile}
failregex = failed login of .* from <HOST>$
fwban = echo ban <ip> >> {out}
fwunban = echo unban <ip> >> {out}
"""

    def fail(times: int) -> None:
        moment = time.strftime("%b %d %H:%M:%S")
        with logfile.open("a") as log:
            log.write(f"{moment} host sshd: failed login of root from {ATTACKER}\n" * times)

    with RunningDaemon(tmp_path, config) as daemon:
        fail(2)
        daemon.wait_for(rf"SSH: Unban {ATTACKER}")
        daemon.kill9()
        daemon.config.write_text(
            daemon.config.read_text().replace("bantime = 1\n", "bantime = 600\n")
        )
        daemon.start()
        fail(1)  # after a ban each counts for more
        daemon.wait_for(rf"SSH: Ban \(1200 s\) {ATTACKER}$")
        daemon.kill9()
        daemon.start()
        daemon.wait_for(rf"SSH: Restore Ban \(1200 s\) {ATTACKER}$")
        assert daemon.stop() == 0


# Fail2Ban's own ----------------------------------------------------------------------


def test_bans_of_a_database_of_fail2ban_are_in_force_and_it_stays_as_it_is(
    site: Site, file: Path
) -> None:
    site.jails(site.jail("sshd", bantime="10m", bantime__increment="true"))
    now = int(time.time())
    rows = [
        ("sshd", ATTACKER, now - 60, 2 * HOUR, 1, row(ATTACKER)[-1]),
        ("sshd", OTHER, now - 2 * HOUR, HOUR, 2, row(OTHER)[-1]),
        ("sshd", THIRD, now - HOUR, -1, 1, row(THIRD)[-1]),
    ]
    before = upstream(file, rows).read_bytes()
    with site.running() as daemon:
        daemon.wait_for(r"took over from Fail2Ban's database .*: 2 ban\(s\) in force, 3 in all")
        for ip in (ATTACKER, THIRD):
            daemon.wait_for(restored("sshd", ip))
        ban(site, daemon, OTHER, times=1)  # for the third time
        site.wait_for(f"ban sshd {ATTACKER}", f"ban sshd {THIRD}", f"ban sshd {OTHER}")
        lengths = query(
            file.with_name(f"{file.name}.store"),
            f"""SELECT "end" - start FROM bans WHERE id = '{OTHER}'""",
        )
        assert round(float(str(lengths[0][0]))) == 2400
        assert daemon.stop() == 0
    assert file.read_bytes() == before
    is_banned_again(site, ATTACKER, OTHER, THIRD)
    assert file.read_bytes() == before
