# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's own commands for many bans at once, with the real daemon, in both languages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon, wait_until
from tests.e2e.trees import Site

ATTACKERS = [f"198.51.100.{n}" for n in range(1, 46)] + [f"2001:db8::{n}" for n in range(1, 6)]
#: Whoever comes while one of them runs is in the next.
MANY = "{{ echo {verb}; cat; sleep 0.2; }} >> {root}/out"
LINE = re.compile(r"(\S+) (ip6?) (-1|[0-9]+)")

Start = Callable[[Path], RunningDaemon]


def _many(root: Path, verb: str) -> str:
    return MANY.format(verb=verb, root=root)


def _classic(root: Path) -> RunningDaemon:
    config = f"""\
[DEFAULT]
polltime = 0.05
bantime = 600
maxfailures = 1
ignoreip =
[one]
enabled = true
logfile = {root}/one.log
failregex = host service: failed login of .* from <HOST>$
fwbanmany = {_many(root, "ban")}
fwunbanmany = {_many(root, "unban")}
"""
    return RunningDaemon(root, config)


def _tree(root: Path) -> RunningDaemon:
    site = Site(root)
    site.put(
        "action.d/many.conf",
        "[Definition]\n"
        f"actionbanmany = {_many(root, 'ban')}\n"
        f"actionunbanmany = {_many(root, 'unban')}\n",
    )
    site.jails(site.jail("one", action="many", bantime="600"))
    return site.running()


def attack(root: Path) -> None:
    moment = time.strftime("%b %d %H:%M:%S")
    lines = [f"{moment} host service: failed login of root from {ip}\n" for ip in ATTACKERS]
    with (root / "one.log").open("a") as log:
        log.write("".join(lines))


def notes(root: Path) -> list[str]:
    return (root / "out").read_text().splitlines()


def fed(root: Path) -> list[tuple[str, str, int]]:
    """Return what was fed so far, and see that every line has its three words."""
    found = [LINE.fullmatch(note) for note in notes(root) if note not in ("ban", "unban")]
    assert all(found), notes(root)
    return [(line[1], line[2], int(line[3])) for line in found if line]


def taken(root: Path, verb: str) -> list[tuple[str, str, int]]:
    """Return what one verb was fed, and forget it; it was run far less often."""
    lines, runs = fed(root), notes(root).count(verb)
    assert notes(root).count("ban") + notes(root).count("unban") == runs
    assert 1 <= runs <= len(lines) // 5
    (root / "out").write_text("")
    return lines


@pytest.mark.parametrize("start", [_classic, _tree])
def test_attackers_who_come_together_are_banned_and_freed_together(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "one.log").touch()
    (tmp_path / "out").touch()
    with start(tmp_path) as daemon:
        attack(tmp_path)
        wait_until(lambda: len(fed(tmp_path)) >= len(ATTACKERS), explain=daemon.log)
        daemon.wait_for(f"Ban .*{ATTACKERS[-1]}")
        lines = taken(tmp_path, "ban")
        assert sorted(ip for ip, _, _ in lines) == sorted(ATTACKERS)
        assert all(family == ("ip6" if ":" in ip else "ip") for ip, family, _ in lines)
        assert all(0 < seconds <= 600 for _, _, seconds in lines)
        assert daemon.stop() == 0
    lines = taken(tmp_path, "unban")
    assert sorted(ip for ip, _, _ in lines) == sorted(ATTACKERS)


def test_one_whom_the_command_for_many_refuses_does_not_spoil_it_for_others(
    tmp_path: Path,
) -> None:
    bad = ATTACKERS[7]
    site = Site(tmp_path)
    site.put(
        "action.d/many.conf",
        "[Definition]\nactioncheck = true\n"
        f"actionbanmany = tee {tmp_path}/tried | grep -qF '{bad} ' && exit 1\n"
        f"    cat {tmp_path}/tried >> {tmp_path}/out\n"
        f"actionunbanmany = cat > {tmp_path}/freed\n",
    )
    site.jails(site.jail("one", action="many", bantime="600"))
    with site.running() as daemon:
        attack(tmp_path)
        wait_until(lambda: len(fed(tmp_path)) >= len(ATTACKERS) - 1, explain=daemon.log)
        daemon.wait_for(f"ERROR.*{re.escape(bad)}")
        assert sorted(ip for ip, _, _ in fed(tmp_path)) == sorted({*ATTACKERS} - {bad})
        assert daemon.stop() == 0
