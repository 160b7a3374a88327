# SPDX-License-Identifier: GPL-2.0-or-later
"""A hand on the wheel of the real daemon: ours, and that of the peer's unmodified client."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGHUP

import pytest

from tests.compat.peer import Peer, fetch
from tests.e2e.daemon import wait_until
from tests.e2e.trees import Site, banned, unbanned

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND = "203.0.113.1", "198.51.100.7"

#: Gives a client some words; returns what it prints, its errors left out, and its exit status.
Say = Callable[..., tuple[str, int]]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    return fetch(tmp_path_factory.mktemp("control"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.jails(
        "[DEFAULT]\nbackend = polling\n",
        site.jail("one", maxretry="2", bantime="1h", findtime="10m"),
        site.jail("two", action=""),
    )
    return site


def program_of(peer: Peer, name: str) -> list[str]:
    return [peer.python, str(peer.root / "usr/bin" / name)]


def client_of(peer: Peer, site: Site) -> Say:
    """Return the peer's own client, to be asked."""
    environment = {**os.environ, "PYTHONPATH": str(peer.packages), "COLUMNS": "200"}
    command = [*program_of(peer, "fail2ban-client"), "-c", str(site.tree)]

    def say(*words: str) -> tuple[str, int]:
        done = subprocess.run(
            [*command, *words], env=environment, capture_output=True, text=True, timeout=30
        )
        return done.stdout, done.returncode

    return say


@pytest.fixture
def theirs(peer: Peer, site: Site) -> Iterator[Say]:
    """Run the peer's own server, and return its client."""
    (site.root / "theirs").mkdir()
    other = Site(site.root / "theirs")
    other.jails(
        "[DEFAULT]\nbackend = polling\n",
        other.jail("one", maxretry="2", bantime="1h", findtime="10m"),
        other.jail("two", action=""),
    )
    say = client_of(peer, other)
    command = [*program_of(peer, "fail2ban-server"), "-c", str(other.tree), "-xf", "start"]
    environment = {**os.environ, "PYTHONPATH": str(peer.packages)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_until(lambda: say("ping") == PONG)
            yield say
        finally:
            server.terminate()


def plain(site: Site, line: str, said: tuple[str, int]) -> tuple[str, int]:
    """Return what was said without what may differ: folders, and the order of equal ends."""
    text, status = said
    if line.startswith("get one banip"):
        text = " ".join(sorted(text.replace(",", " ").split()))
    return text.replace(f"{site.root}/theirs/", "ROOT/").replace(f"{site.root}/", "ROOT/"), status


PONG = ("Server replied: pong\n", 0)
#: How often two answers are compared before they count as different.
LOOKS = 15

#: Said to both servers in this order; the same must come back.
DIALOGUE = """\
ping
echo a b
status
status one
status two
status nobody
banned
set one banip 203.0.113.1 198.51.100.7 2001:db8::3
set one banip 203.0.113.1
status one
banned
banned 198.51.100.7
get one banip
get one banip ,
set one unbanip 203.0.113.1
set one unbanip 203.0.113.9
set one unbanip --report-absent 203.0.113.9
get one banip
get one bantime
set one bantime 2h
get one bantime
get one findtime
set one findtime 120
get one maxretry
set one maxretry 7
get one maxretry
get one maxmatches
get one maxlines
get one usedns
get one ignoreself
set one ignoreself false
get one ignoreip
set one addignoreip 192.0.2.0/24
set one addignoreip 2001:db8:1::/48
get one ignoreip
set one delignoreip 192.0.2.0/24
get one ignoreip
get one ignorecommand
get one failregex
set one addfailregex ^ other <HOST>$
set one delfailregex 1
get one ignoreregex
set one addignoreregex nothing
get one ignoreregex
set one delignoreregex 0
get one datepattern
get one logpath
get one journalmatch
get one logencoding
get one actions
get two actions
get loglevel
set loglevel DEBUG
get loglevel
set one usedns no
get one usedns
set one ignoreip
set one ignorecommand /bin/false
get one ignorecommand
get one ignorecache
set one ignorecache key="<ip>",max-count=10,max-time=1m
get one ignorecache
get one bantime.increment
get one bantime.factor
get one bantime.formula
get one bantime.multipliers
get one bantime.maxtime
get one bantime.rndtime
get one bantime.overalljails
set one bantime.increment true
get one bantime.increment
set one bantime.factor 2
get one bantime.factor
set one bantime.formula ban.Time*2
get one bantime.formula
set one bantime.multipliers "1 2 4"
get one bantime.multipliers
set one bantime.maxtime 1d
get one bantime.maxtime
set one bantime.rndtime 10m
get one bantime.rndtime
get one logtimezone
set one logtimezone UTC+0200
get one logtimezone
set one logencoding utf-16
get one logencoding
set one logencoding auto
set one maxmatches 3
get one maxmatches
set one maxlines 5
get one maxlines
set one datepattern %Y-%m-%d_%H:%M:%S
get one datepattern
set one datepattern EPOCH
set one datepattern {^LN-BEG}
get one prefregex
set one prefregex ^x<F-CONTENT>.*</F-CONTENT>$
get one prefregex
set one addlogpath ROOT/two.log tail
get one logpath
set one dellogpath ROOT/two.log
get one logpath
set one attempt 203.0.113.60
set one maxretry 2
set one attempt 203.0.113.60 b
set one attempt 203.0.113.61 a
set one attempt 203.0.113.61 b
get one banned
get one banned 203.0.113.61
get one banned 203.0.113.61 203.0.113.99
status one short
status one cymru
status one stats
status one rubbish
set one unbanip 203.0.113.60 203.0.113.61 203.0.113.62
set one idle on
status one
set one idle off
set one idle perhaps
set one idle
get one idle
stop two
status
status two
stop two
start nobody
stop nobody
reload two
restart two
reload --if-exists two
status
start two
add five rubbish
add
add five polling
add six auto
status
status five
get five bantime
get five findtime
get five maxretry
get five usedns
get five ignoreself
get five datepattern
get five logencoding
get five logpath
get five failregex
get five actions
set five banip 203.0.113.8
status five
set five addfailregex failed from <HOST>$
set five addlogpath ROOT/two.log
set five addaction new
set five addaction new
set five addaction
get five actions
set five action new actionban true
set five action new actionunban true
get five action new actionban
set five action new timeout 10
get five action new timeout
get five action nope actionban
get five actionproperties nope
get five actionmethods nope
set five action new ban '{"aInfo":{"ip":"203.0.113.8"}}'
set five action new unban '{"aInfo":{"ip":"203.0.113.9"}}'
start five
status five
set five delaction nope
set five delaction new
get five actions
set five delfailregex 0
stop five
start nobody
status
get dbfile
get dbpurgeage
set dbpurgeage 2d
get dbpurgeage
set dbpurgeage 5400
get dbmaxmatches
set dbmaxmatches 5
get dbmaxmatches
set dbfile ROOT/other.sqlite3
get dbfile
get thread
get syslogsocket
get logtarget
set one maxretry 7
reload two
get one maxretry
reload one
get one maxretry
set one banip 203.0.113.1 198.51.100.7
restart one
set one maxretry 7
reload --restart one
get one maxretry
get one banip
reload --unban one
status one
set one banip 203.0.113.1
reload --restart --unban one
status one
reload --unban
reload --restart --all
reload nobody
reload --if-exists nobody
restart nobody
get nobody bantime
get one nothing
nonsense
unban 198.51.100.7
unban --all
status one
reload
get one maxretry
status
"""


def test_peers_client_says_the_same_of_our_server_as_of_its_own(
    peer: Peer, site: Site, theirs: Say
) -> None:
    ours, different = client_of(peer, site), []

    def answers(line: str) -> tuple[tuple[str, int], tuple[str, int]]:
        one = ours(*words_of(line, site.root))
        return plain(site, line, one), plain(
            site, line, theirs(*words_of(line, site.root / "theirs"))
        )

    with site.running():
        wait_until(lambda: ours("ping") == PONG)  # it runs before it answers
        for line in DIALOGUE.splitlines():
            one, other = answers(line)
            for _ in range(LOOKS if line.startswith(("get", "status", "banned")) else 0):
                if one == other:
                    break
                time.sleep(0.2)  # both do some things later than they answer
                one, other = answers(line)
            if one != other:
                different.append((line, one, other))
    assert different == [], "\n".join(map(str, different))


def words_of(line: str, root: Path) -> list[str]:
    line = line.replace("ROOT", str(root))
    return line.split(" ", 3) if "regex " in line else shlex.split(line)


def test_peers_client_stops_our_daemon(peer: Peer, site: Site) -> None:
    with site.running() as daemon:
        assert client_of(peer, site)("stop") == ("Shutdown successful\n", 0)
        assert daemon.wait() == 0
    assert not (site.root / "fail2ban.sock").exists()


def client(site: Site) -> str:
    """Return the beginning of a command line for our own client."""
    return shlex.join([sys.executable, str(ROOT / "bin/fail2ban-client"), "-c", str(site.tree)])


def ask(site: Site, *words: str) -> tuple[str, int]:
    command = [*shlex.split(client(site)), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.stdout, done.returncode


def test_a_ban_by_hand_is_carried_out_and_lifted(site: Site) -> None:
    with site.running() as daemon:
        assert ask(site, "set", "one", "banip", FIRST) == ("1\n", 0)
        daemon.wait_for(banned("one", FIRST))
        assert ask(site, "set", "one", "unbanip", FIRST) == ("1\n", 0)
        daemon.wait_for(unbanned("one", FIRST))
    assert site.notes()[:3] == ["start one", f"ban one {FIRST}", f"unban one {FIRST}"]


def test_status_tells_what_the_daemon_does(site: Site) -> None:
    with site.running() as daemon:
        site.attack(FIRST, "one", times=2)
        site.attack(SECOND, "one")
        daemon.wait_for(banned("one", FIRST))
        wait_until(lambda: "Total failed:\t3" in ask(site, "status", "one")[0])
        text, status = ask(site, "status", "one")
    assert status == 0
    assert (
        f"Currently failed:\t1\n|  |- Total failed:\t3\n|  `- File list:\t{site.log('one')}" in text
    )
    assert text.endswith(f"|- Total banned:\t1\n   `- Banned IP list:\t{FIRST}\n")


def test_what_is_set_by_hand_counts_at_once_and_until_the_next_reload(site: Site) -> None:
    with site.running() as daemon:
        assert ask(site, "set", "one", "maxretry", "1") == ("1\n", 0)
        site.attack(FIRST, "one")
        daemon.wait_for(banned("one", FIRST))
        assert ask(site, "reload") == ("OK\n", 0)
        assert ask(site, "get", "one", "maxretry") == ("2\n", 0)
        assert ask(site, "banned", FIRST) == ("[['one']]\n", 0)


def test_a_broken_pattern_by_hand_changes_nothing(site: Site) -> None:
    with site.running() as daemon:
        before = ask(site, "get", "one", "failregex")
        assert ask(site, "set", "one", "addfailregex", "(<HOST>")[1] == 255
        assert ask(site, "get", "one", "failregex") == before
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))


def test_without_a_daemon_the_client_says_so(site: Site) -> None:
    assert ask(site, "ping")[1] == 255


def test_nobody_else_may_talk_to_the_daemon(site: Site) -> None:
    with site.running():
        wait_until((site.root / "fail2ban.sock").exists)
        assert (site.root / "fail2ban.sock").stat().st_mode & 0o777 == 0o600


def test_commands_in_the_middle_of_an_attack_cost_no_failure(site: Site) -> None:
    ips = [f"203.0.113.{number}" for number in range(1, 41)]
    with site.running() as daemon:
        for number, ip in enumerate(ips):
            site.attack(ip, "one", times=2)
            if number % 8 == 0:
                assert ask(site, "reload")[1] == 0
                assert ask(site, "set", "one", "findtime", str(600 + number))[1] == 0
            time.sleep(0.01)
        for ip in ips:
            daemon.wait_for(banned("one", ip))
        wait_until(lambda: "Total banned:\t40" in ask(site, "status", "one")[0])


def test_hands_and_signals_at_once_leave_one_reader_a_section(site: Site) -> None:
    ips = [f"203.0.113.{number}" for number in range(1, 31)]
    with site.running() as daemon:
        hand = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                f"for n in $(seq 700 715); do {client(site)} set one findtime $n; done",
            ],
            stdout=subprocess.DEVNULL,
        )
        while hand.poll() is None:
            daemon.signal(SIGHUP)
            site.attack(ips[0], "one")
            time.sleep(0.02)
        before = int(ask(site, "status", "one")[0].split("Total failed:\t")[1].split()[0])
        for ip in ips[1:]:
            site.attack(ip, "one", times=2)
            daemon.wait_for(banned("one", ip))
        expected = f"Total failed:\t{before + 58}"
        wait_until(lambda: expected in ask(site, "status", "one")[0])
        time.sleep(0.3)  # for those who would count twice
        assert expected in ask(site, "status", "one")[0]


def test_an_action_changed_by_hand_is_what_runs(site: Site) -> None:
    with site.running() as daemon:
        command = f"echo changed <ip> >> {site.out}"
        assert ask(site, "set", "one", "action", "note", "actionban", command)[1] == 0
        assert ask(site, "set", "one", "banip", FIRST) == ("1\n", 0)
        daemon.wait_for(banned("one", FIRST))
        assert f"changed {FIRST}" in site.notes()


@pytest.mark.parametrize("again", ["reload", "SIGHUP"])
def test_a_level_set_by_hand_lasts_until_the_next_reload(site: Site, again: str) -> None:
    with site.running() as daemon:
        assert ask(site, "set", "loglevel", "WARNING") == (
            "Current logging level is 'WARNING'\n",
            0,
        )
        if again == "reload":
            assert ask(site, "reload")[1] == 0
        else:
            daemon.signal(SIGHUP)
        wait_until(lambda: "INFO" in ask(site, "get", "loglevel")[0])
        assert ask(site, "set", "one", "banip", FIRST) == ("1\n", 0)
        daemon.wait_for(banned("one", FIRST))


def test_a_restart_by_hand_forgets_no_failure(site: Site) -> None:
    with site.running() as daemon:
        site.attack(FIRST, "one")
        wait_until(lambda: "Currently failed:\t1" in ask(site, "status", "one")[0])
        assert ask(site, "restart", "one") == ("OK\n", 0)
        wait_until(lambda: "Currently failed:\t1" in ask(site, "status", "one")[0])
        site.attack(FIRST, "one")
        daemon.wait_for(banned("one", FIRST))


def test_a_dry_run_is_told_beside_what_scripts_read(site: Site) -> None:
    site.jails(site.jail("one"), site.jail("dry", dryrun="true"))
    remark = "[dry] is a dry run: its bans are not carried out\n"
    with site.running() as daemon:
        site.attack(FIRST, "dry")
        daemon.wait_for(r"\[dry\] dry run: 203\.0\.113\.1 would be banned$")
        for words in (["status"], ["status", "dry"], ["stats"], ["banned"]):
            command = [*shlex.split(client(site)), *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert (done.returncode, done.stderr) == (0, remark)
            assert "dry run" not in done.stdout
        done = subprocess.run([*shlex.split(client(site)), "status", "one"], capture_output=True)
        assert done.stderr == b""
        assert "[dry] would be banned until" in ask(site, "why", FIRST)[0]
