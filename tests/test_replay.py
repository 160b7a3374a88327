# SPDX-License-Identifier: GPL-2.0-or-later
"""What `fail2ban-client replay` makes of old logs."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli import replay
from fail2ban.cli.client import CLIENT
from fail2ban.cli.flags import DONE, FAILED, Flags
from fail2ban.cli.flags import parse as parse_flags
from fail2ban.cli.replay_court import Decision, Trial
from fail2ban.cli.replay_logs import OldLog, fits, unrotated
from fail2ban.cli.replay_run import Dating
from fail2ban.cli.replay_tally import JailTally
from fail2ban.detect.encoding import Encoding
from fail2ban.errors import Fail2BanError
from fail2ban.records import (
    Failure,
    FilterSettings,
    GrowthSettings,
    IgnoreSettings,
    JailSettings,
    Origin,
    Settings,
)

START = time.mktime((2025, 11, 20, 10, 0, 0, 0, 0, -1))
DAY = 86400.0
A, B, C = "192.0.2.1", "192.0.2.2", "2001:db8::3"

JAIL = """
[DEFAULT]
maxretry = 3
findtime = 10m
bantime = 1h
ignoreself = false
usedns = no

[svc]
enabled = true
filter = svc
logpath = {root}/logs/svc.log
action = note
{more}

[off]
filter = svc
logpath = {root}/logs/off.log
action = note
"""
FILTER = """
[Definition]
failregex = ^ h svc: failed login of <F-USER>.*</F-USER> from <ADDR>$
            ^ h svc: bad name from <HOST>$
            ^ h svc: bad session <F-ID>\\S+</F-ID> \\S+$
"""
ACTION = """
[Definition]
actionstart = touch {root}/executed
actionban = touch {root}/executed
actionunban = touch {root}/executed
"""


class Site:
    """A tree of configuration, and logs of long ago.

    Args:
        more: options of the jail "svc".
    """

    def __init__(self, root: Path, more: str = "") -> None:
        self.root = root
        for name, text in {
            "tree/fail2ban.conf": "[Definition]\ndbfile = {root}/database\n",
            "tree/jail.conf": JAIL.replace("{more}", more),
            "tree/filter.d/svc.conf": FILTER,
            "tree/action.d/note.conf": ACTION,
        }.items():
            self.write(name, text.replace("{root}", str(root)))

    def write(self, name: str, text: str | bytes, changed: float = 0.0) -> str:
        """Write a file; return its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        if changed:
            os.utime(path, (changed, changed))
        return str(path)

    def log(self, name: str, *attacks: tuple[float, str], pack: Any = None) -> str:
        """Write a log: who fails when, in seconds after START."""
        lines = "".join(line(START + at, f"failed login of joe from {ip}") for at, ip in attacks)
        data = pack.compress(lines.encode()) if pack else lines.encode()
        return self.write(f"old/{name}", data, changed=START + attacks[-1][0])

    def flags(self, *words: str) -> Flags:
        return parse_flags(CLIENT, ["-c", str(self.root / "tree"), *words])

    def run(self, *words: str) -> int:
        return replay.run(self.flags(), Settings(), ["replay", *words])


def line(at: float, text: str, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return f"{time.strftime(form, time.localtime(at))} h svc: {text}\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


Reports = Callable[..., dict[str, Any]]


@pytest.fixture
def reported(site: Site, capsys: pytest.CaptureFixture[str]) -> Reports:
    """Replay; return the JSON of the jail "svc"."""

    def of(*words: str, site: Site = site) -> dict[str, Any]:
        assert site.run("--json", *words) == DONE
        jail: dict[str, Any] = json.loads(capsys.readouterr().out)["jails"]["svc"]
        return jail

    return of


def bans(jail: dict[str, Any]) -> list[tuple[str, float, float | None]]:
    return [(ban["id"], ban["start"] - START, ban["end"] - START) for ban in jail["bans"]]


# Time ------------------------------------------------------------------------------


def test_a_ban_ends_when_the_lines_say_that_it_is_time(site: Site, reported: Reports) -> None:
    times = [0.0, 1, 2, 5, 3601, 3602, 3603, 3604]
    jail = reported(site.log("svc.log", *[(at, A) for at in times]))
    assert bans(jail) == [(A, 2, 3602), (A, 3604, 7204)]
    # That at 3602 is of the moment when the ban ends.
    assert (jail["failures"], jail["prevented"], jail["in_force"]) == (6, 2, [A])
    assert [ban["prevented"] for ban in jail["bans"]] == [2, 0]
    assert [ban["count"] for ban in jail["bans"]] == [1, 2]
    assert [ban["in_force"] for ban in jail["bans"]] == [False, True]


def test_failures_that_lie_too_far_apart_ban_nobody(site: Site, reported: Reports) -> None:
    jail = reported(site.log("svc.log", (0, A), (1, A), (602, A), (603, B)))
    assert (jail["bans"], jail["failures"], jail["addresses"]) == ([], 4, 2)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_rotated_logs_are_read_oldest_first_in_whatever_order_they_are_given(
    site: Site, reported: Reports, order: tuple[int, ...]
) -> None:
    logs = [
        site.log("svc.log.2.gz", (0, A), (1, A), pack=gzip),
        site.log("svc.log.1", (1, B), (2, A), (3, B)),
        site.log("svc.log", (4, B), (5000, C)),
    ]
    jail = reported(*[logs[place] for place in order])
    assert bans(jail) == [(A, 2, 3602), (B, 4, 3604)]
    assert [log["name"] for log in jail["logs"]] == logs
    assert [log["lines"] for log in jail["logs"]] == [2, 3, 2]


def test_logs_of_the_same_time_are_read_side_by_side(site: Site, reported: Reports) -> None:
    one = site.log("a/svc.log", (0, A), (400, A), (800, A))
    other = site.log("b/svc.log", (200, A), (900, B))
    assert bans(reported(one, other)) == [(A, 400, 4000)]


@pytest.mark.parametrize("pack", [None, gzip, bz2, lzma])
def test_a_packed_log_says_what_it_said_before(site: Site, reported: Reports, pack: Any) -> None:
    jail = reported(site.log("svc.log.1.z", (0, A), (1, A), (2, A), pack=pack), "--jail", "svc")
    assert bans(jail) == [(A, 2, 3602)]


def test_a_log_that_is_given_twice_is_read_once(site: Site, reported: Reports) -> None:
    log = site.log("svc.log", (0, A), (1, A))
    os.link(log, f"{log}.1")
    assert reported(log, log, f"{log}.1")["lines"] == 2


def test_a_line_without_an_end_counts(site: Site, reported: Reports) -> None:
    log = Path(site.log("svc.log", (0, A), (1, A), (2, A)))
    log.write_bytes(log.read_bytes().rstrip())
    assert bans(reported(str(log))) == [(A, 2, 3602)]


def test_a_log_without_years_that_crosses_new_year_goes_on_in_the_next(
    site: Site, reported: Reports
) -> None:
    eve = time.mktime((2025, 12, 31, 23, 59, 58, 0, 0, -1))
    lines = "".join(
        line(eve + at, f"failed login of joe from {A}", "%b %e %H:%M:%S") for at in range(3)
    )
    jail = reported(site.write("old/svc.log", lines, changed=eve + 5 * DAY))
    assert [ban["start"] for ban in jail["bans"]] == [eve + 2]


def test_a_copy_that_is_younger_than_the_log_does_not_tear_it_apart(
    site: Site, reported: Reports
) -> None:
    # Written in November; to a copy of the day in between the second half is a year old.
    texts = [
        line(START + day * DAY + second, f"failed login of joe from {A}", "%b %e %H:%M:%S")
        for day in range(6)
        for second in range(3)
    ]
    copied = time.mktime((2026, 11, 22, 0, 0, 0, 0, 0, -1))
    jail = reported(site.write("old/svc.log", "".join(texts), changed=copied))
    starts = [ban["start"] for ban in jail["bans"]]
    assert len(starts) == 6
    assert {round(b - a) for a, b in itertools.pairwise(starts)} == {int(DAY)}


def test_a_file_that_came_without_its_time_is_read_as_if_written_now(
    site: Site, reported: Reports
) -> None:
    log = site.log("svc.log", (0, A), (1, A), (2, A))
    os.utime(log, (1, 1))
    assert bans(reported(log)) == [(A, 2, 3602)]


class TestDating:
    """Lines of the form "SECONDS text", without a year if they begin with "?"."""

    def dating(self, changed: float) -> Dating:
        def when(text: str, now: float) -> float | None:
            word = text.split()[0]
            if not word.startswith("?"):
                return None if word == "-" else float(word)
            year = 365 * DAY
            second = float(word[1:])
            return second + (now + DAY - second) // year * year

        return Dating(when, changed)

    def test_time_never_goes_back(self) -> None:
        dating = self.dating(100)
        assert [dating.date(f"{at} x") for at in (10, 20, 15, 30)] == [10, 20, 20, 30]

    def test_a_line_without_a_timestamp_is_as_old_as_the_one_before(self) -> None:
        dating = self.dating(100)
        assert [dating.date(text) for text in ("- x", "10 x", "- x")] == [None, 10, 10]

    def test_a_timestamp_after_the_last_change_of_the_file_is_not_believed(self) -> None:
        dating = self.dating(100)
        assert [dating.date(f"{at} x") for at in (10, 100 + 2 * DAY, 20)] == [10, 10, 20]

    def test_a_line_of_another_season_does_not_take_the_others_with_it(self) -> None:
        dating = self.dating(400 * DAY)
        texts = [f"?{day * DAY} x" for day in (20, 100, 21)]
        assert [dating.date(text) for text in texts] == [385 * DAY, 385 * DAY, 386 * DAY]


# Who is banned, and who is not ------------------------------------------------------


def test_who_is_ignored_is_told_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, "ignoreip = 192.0.2.0/31 example.invalid")
    assert site.run("--json", site.log("svc.log", *[(at, A) for at in range(4)])) == DONE
    said = json.loads(capsys.readouterr().out)
    jail = said["jails"]["svc"]
    assert (jail["bans"], jail["failures"]) == ([], 0)
    assert jail["ignored"] == [{"id": A, "by": "ip", "failures": 4}]
    assert said["notes"] == [
        "svc: names in ignoreip were not looked up (example.invalid); --resolve does"
    ]


def test_names_are_looked_up_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(name: str) -> frozenset[object]:
        return frozenset({ip_address({"mine.example": A, "his.example": B}[name])})

    monkeypatch.setattr(replay, "look_up", look_up)
    site = Site(tmp_path, "ignoreip = mine.example\nusedns = yes")
    lines = [line(START + at, "bad name from his.example") for at in range(3)]
    lines += [line(START + at, f"failed login of x from {A}") for at in range(3)]
    log = site.write("old/svc.log", "".join(lines), START)
    assert site.run("--json", "--resolve", log) == DONE
    jail = json.loads(capsys.readouterr().out)["jails"]["svc"]
    assert [ban["id"] for ban in jail["bans"]] == [B]
    assert jail["ignored"] == [{"id": A, "by": "dns", "failures": 3}]


def test_a_host_name_is_counted_as_what_it_is_when_nobody_looks_it_up(
    tmp_path: Path, reported: Reports
) -> None:
    site = Site(tmp_path, "usedns = yes")
    lines = [line(START + at, "bad name from host.example") for at in range(3)]
    jail = reported(site.write("old/svc.log", "".join(lines), START), site=site)
    assert (jail["names"], jail["failures"], jail["bans"]) == (3, 0, [])


def test_a_ban_grows_with_the_earlier_ones_of_the_replay(tmp_path: Path, reported: Reports) -> None:
    site = Site(tmp_path, "bantime.increment = true\nbantime.factor = 1")
    times = [0, 1, 2, 4000, 4001, 20000, 20001]
    jail = reported(site.log("svc.log", *[(at, A) for at in times]), site=site)
    assert bans(jail) == [(A, 2, 3602), (A, 4001, 4001 + 7200), (A, 20000, 20000 + 14400)]
    assert jail["prevented"] == 1


def test_nothing_is_executed_and_nothing_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, f"ignorecommand = touch {tmp_path}/executed")
    log = site.log("svc.log", *[(at, A) for at in range(4)])
    before = sorted(tmp_path.rglob("*"))
    assert site.run(log) == DONE
    said = capsys.readouterr().out
    assert "Would have banned 1 address, 1 time in all; 1 ban in force at the end." in said
    assert "Note: svc: ignorecommand was not run" in said
    assert said.endswith("Nothing was executed, and nobody was banned.\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_line_that_takes_too_long_is_given_up(tmp_path: Path, reported: Reports) -> None:
    site = Site(tmp_path, "filter = slow")
    site.write("tree/filter.d/slow.conf", "[Definition]\nfailregex = (?:a+)+b <ADDR>$\n")
    lines = [line(START, "a" * 60), *[line(START + at, f"ab {A}") for at in range(3)]]
    jail = reported(site.write("old/svc.log", "".join(lines), START), site=site)
    assert (jail["given_up"], jail["lines"], bans(jail)) == (1, 4, [(A, 2, 3602)])


# Which jail ------------------------------------------------------------------------


def test_a_jail_reads_what_has_the_name_of_its_log(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.log("svc.log", (0, A))
    assert site.run("--json", str(site.root / "old" / "svc.log")) == DONE
    said = json.loads(capsys.readouterr().out)
    assert list(said["jails"]) == ["svc"] and said["notes"] == []


def test_what_has_the_name_of_no_log_is_read_by_all_that_are_enabled(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.run("--json", site.log("strange.txt", (0, A))) == DONE
    said = json.loads(capsys.readouterr().out)
    assert list(said["jails"]) == ["svc"]
    assert "no jail reads a log named as" in said["notes"][0]


def test_a_disabled_jail_can_be_tried(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    log = site.log("svc.log", (0, A), (1, A), (2, A))
    assert site.run("--json", "--jail", "off", "--jail", "svc", log) == DONE
    jails = json.loads(capsys.readouterr().out)["jails"]
    assert [(name, len(jail["bans"])) for name, jail in jails.items()] == [("off", 1), ("svc", 1)]


def test_a_jail_of_one_file_can_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path)
    conf = site.write(
        "fail2ban.conf",
        "[DEFAULT]\nmaxfailures = 2\n[SVC]\nenabled = true\nlogfile = /svc.log\n"
        "failregex = from <HOST>$\nfwban = touch executed\n",
    )
    log = site.log("svc.log", (0, A), (1, A))
    flags = parse_flags(CLIENT, ["-c", conf, "--json"])
    assert replay.run(flags, Settings(), ["replay", log]) == DONE
    said = json.loads(capsys.readouterr().out)
    assert [ban["id"] for ban in said["jails"]["SVC"]["bans"]] == [A]


def test_a_jail_that_reads_the_journal_has_the_patterns_for_files_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, "backend = systemd")
    site.write(
        "tree/filter.d/svc.conf",
        "[Definition]\n_file = ^ h svc: failed login of joe from <ADDR>$\n"
        "_journal = ^only in the journal <ADDR>$\nfailregex = <_<logtype>>\n",
    )
    log = site.log("svc.log", (0, A), (1, A), (2, A))
    assert site.run("--json", "--jail", "svc", log) == DONE
    jail = json.loads(capsys.readouterr().out)["jails"]["svc"]
    assert [ban["id"] for ban in jail["bans"]] == [A]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no log is named"),
        (("--what", "x"), "--what"),
        (("/nowhere/svc.log",), "cannot read /nowhere/svc.log: No such file"),
        (("{folder}",), "it is a folder"),
        (("--jail", "svcc", "{log}"), "there is no jail 'svcc'; did you mean 'svc'?"),
        (("--list", "--json", "{log}"), "expected it without --list"),
        (("{zstd}",), "packed by zstd"),
    ],
)
def test_what_cannot_be_done_is_said(site: Site, words: tuple[str, ...], said: str) -> None:
    places = {
        "folder": str(site.root),
        "log": site.log("svc.log", (0, A)),
        "zstd": site.write("old/svc.log.zst", b"\x28\xb5\x2f\xfd rest"),
    }
    with pytest.raises(Fail2BanError) as error:
        site.run(*[word.format_map(places) for word in words])
    assert said in str(error.value)


def test_a_log_that_breaks_off_counts_as_far_as_it_goes(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    ips = [f"198.51.{high}.{low}" for high in range(100) for low in range(1, 200)]
    log = Path(site.log("svc.log.1.gz", *[(at / 100, ip) for at, ip in enumerate(ips)], pack=gzip))
    log.write_bytes(log.read_bytes()[:-2000])
    other = site.log("svc.log", (1000, A), (1001, A), (1002, A))
    assert site.run("--json", str(log), other) == FAILED
    jail = json.loads(capsys.readouterr().out)["jails"]["svc"]
    first, last = jail["logs"]
    assert first["problem"] and 0 < first["lines"] < len(ips)
    assert (last["problem"], last["lines"], len(jail["bans"])) == ("", 3, 1)


# What is told -----------------------------------------------------------------------

HOSTILE = "\x1b[2J\x9b31m\r\u202e\u2028 <b> '; touch x"


@pytest.mark.parametrize("mode", [(), ("--list",), ("--verbose",), ("--json",)])
def test_no_terminal_obeys_what_an_attacker_wrote(
    site: Site, capsys: pytest.CaptureFixture[str], mode: tuple[str, ...]
) -> None:
    lines = [line(START + at, f"failed login of {HOSTILE} from {A}") for at in range(3)]
    session = "\x1b[2J\x9b\u202eid\x7f"
    lines += [line(START + at, f"bad session {session} x") for at in range(3)]
    log = site.write("old/svc.log", "".join(lines), START)
    assert site.run(*mode, log) == DONE
    said = capsys.readouterr()
    assert said.err == ""
    assert all(text.isprintable() for text in said.out.split("\n"))
    assert "202eid" in said.out


def test_every_decision_is_a_line_with_its_time(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    log = site.log("svc.log", (0, A), (1, A), (2, A), (3, A), (4000, B))
    assert site.run("--verbose", log) == DONE
    decisions, _, _ = capsys.readouterr().out.partition("\n\n")
    assert decisions.split("\n") == [
        f"2025-11-20 10:00:00 [svc] Found {A}",
        f"2025-11-20 10:00:01 [svc] Found {A}",
        f"2025-11-20 10:00:02 [svc] Found {A}",
        f"2025-11-20 10:00:02 [svc] Ban {A} until 2025-11-20 11:00:02 (ban 1, 3 failures)",
        f"2025-11-20 10:00:03 [svc] Prevented {A}",
        f"2025-11-20 11:00:02 [svc] Unban {A}",
        f"2025-11-20 11:06:40 [svc] Found {B}",
    ]
    assert site.run("--list", log) == DONE
    listed, _, _ = capsys.readouterr().out.partition("\n\n")
    assert [text.split()[3] for text in listed.split("\n")] == ["Ban", "Unban"]


def test_the_report_reads_well(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    log = site.log("svc.log", (0, A), (1, A), (2, A), (3, A), (4, B), (4000, B))
    assert site.run(log) == DONE
    assert capsys.readouterr().out == (
        "[svc]\n"
        f"  {log}: 6 lines, 2025-11-20 10:00:00 to 2025-11-20 11:06:40\n"
        "  5 failures of 2 addresses; 1 more would have been prevented\n"
        "  Would have banned 1 address, 1 time in all; 0 bans in force at the end.\n"
        "\n"
        "  ADDRESS    FROM                 FOR  BAN  FAILURES  PREVENTED\n"
        "  192.0.2.1  2025-11-20 10:00:02  1h     1         3          1\n"
        "\n"
        "  BUSIEST    FAILURES  PREVENTED  BANS\n"
        "  192.0.2.1         3          1     1\n"
        "  192.0.2.2         2          0     0\n"
        "\n"
        "Nothing was executed, and nobody was banned.\n"
    )


# Logs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    "auth.log auth.log.1 auth.log.12.gz auth.log.gz auth.log-20251120 auth.log-20251120.xz"
    " auth.log.20251120-1700000000.bz2 auth.log.old auth.log-2025-11-20.gz".split(),
)
def test_a_rotated_log_is_known_by_its_name(name: str) -> None:
    assert unrotated(f"/backup/{name}") == "auth.log"
    assert fits(f"/backup/{name}", "/var/log/auth.log")
    assert fits(f"/backup/{name}", "/var/log/*auth*.log")
    assert not fits(f"/backup/{name}", "/var/log/secure")


def test_a_log_whose_name_looks_rotated_is_known_by_that_name_too() -> None:
    assert fits("/backup/access.2025", "/srv/www/access.2025")
    assert fits("/backup/access.2025.gz", "/srv/www/access*")


@given(st.text(alphabet="ab.-0123gzold", max_size=12))
def test_taking_off_what_rotation_has_added_leaves_something(name: str) -> None:
    assert bool(unrotated(name)) == bool(name)


@given(lines=st.lists(st.binary(max_size=300).map(lambda data: data.replace(b"\n", b" "))))
def test_a_packed_log_has_the_same_lines_whatever_they_are(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    data = b"\n".join([b"x", *lines])
    plain, packed = (tmp_path_factory.getbasetemp() / name for name in ("plain", "packed"))
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    one, other = (list(OldLog(str(path)).lines(Encoding())) for path in (plain, packed))
    assert one == other


# Against a simple model ----------------------------------------------------------------


def jail_settings(maxretry: int, findtime: float, bantime: float) -> JailSettings:
    origin = Origin("test")
    return JailSettings(
        name="svc",
        origin=origin,
        enabled=True,
        logs=(),
        filter=FilterSettings("svc", (), tagged=True),
        actions=(),
        maxretry=maxretry,
        findtime=findtime,
        bantime=bantime,
        ignore=IgnoreSettings(own=False),
        polltime=1.0,
    )


def model(
    events: Iterable[tuple[int, str]], maxretry: int, findtime: int, bantime: int
) -> tuple[list[tuple[str, int]], int]:
    """Return the bans (who, from when), and how many failures they prevent."""
    window: dict[str, list[int]] = {}
    until: dict[str, int] = {}
    found: list[tuple[str, int]] = []
    prevented = 0
    for at, ip in events:
        if at < until.get(ip, 0):
            prevented += 1
            continue
        window[ip] = [time for time in window.get(ip, []) if time >= at - findtime] + [at]
        if len(window[ip]) >= maxretry:
            found.append((ip, at))
            until[ip] = at + bantime
            window[ip] = []
    return found, prevented


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([A, B, C])), max_size=60),
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_bans_are_those_of_a_simple_model(
    steps: list[tuple[int, str]], maxretry: int, findtime: int, bantime: int
) -> None:
    now, events = 1000, []
    for pause, ip in steps:
        now += pause
        events.append((now, ip))
    tally = JailTally("svc")
    trial = Trial([jail_settings(maxretry, findtime, bantime)], tally.add)
    for at, ip in events:
        trial.advance(at)
        trial.hear(Failure("svc", ip_address(ip), at, ("x",)))
    assert (
        [(str(one.ban.id), int(one.ban.start)) for one in tally.bans],
        tally.prevented.total(),
    ) == model(events, maxretry, findtime, bantime)
    in_force = {str(one.ban.id) for one in tally.in_force}
    assert in_force == {str(ban.id) for ban in trial.in_force("svc")}
    assert in_force == {str(one.ban.id) for one in tally.bans if one.in_force}


def test_decisions_come_in_the_order_of_their_times() -> None:
    told: list[Decision] = []
    trial = Trial([jail_settings(1, 10, 10)], told.append)
    for at, ip in [(0, A), (3, B), (50, A), (51, B)]:
        trial.advance(at)
        trial.hear(Failure("svc", ip_address(ip), at, ("x",)))
    assert [one.time for one in told] == sorted(one.time for one in told)
    assert [one.kind for one in told].count("unbanned") == 2


def test_bans_of_all_jails_count_where_growth_counts_them() -> None:
    told: list[Decision] = []
    growth = GrowthSettings(factor=1.0, all_jails=True)
    settings = replace(jail_settings(1, 10, 10), growth=growth)
    trial = Trial([settings, replace(settings, name="other")], told.append)
    for at, jail in [(0, "svc"), (20, "other"), (60, "svc")]:
        trial.advance(at)
        trial.hear(Failure(jail, ip_address(A), at, ("x",)))
    bans = [one.ban for one in told if one.kind == "banned" and one.ban]
    assert [(ban.jail, ban.count) for ban in bans] == [("svc", 1), ("other", 2), ("svc", 3)]
