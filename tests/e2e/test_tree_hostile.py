# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines and trees that were made to hurt: the daemon goes on, and so do all other jails."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import RunningDaemon
from tests.e2e.trees import ATTACKER, OTHER, THIRD, Site, banned

pytestmark = needs.root()

CORPUS = "corpora/fail2ban.jsonl"

#: Everything that some reader of text takes for the end of a line, but the newline.
SEPARATORS = "\r \v \f \x1c \x1d \x1e \x85 \u2028 \u2029".split(" ")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# Lines ---------------------------------------------------------------------------


def corpus_line(name: str) -> str:
    """Return a line of upstream's samples without its date."""
    with (needs.SHARED / CORPUS).open(encoding="ascii") as corpus:
        for record in map(json.loads, corpus):
            if record["id"] == name:
                return str(record["lines"][-1]).split(" ", 2)[2]
    raise AssertionError(name)


@needs.shared(CORPUS)
def test_a_line_that_takes_a_pattern_for_ever_is_given_up_and_nobody_waits(
    tmp_path: Path, upstream: Path
) -> None:
    """GHSA-33wh-ccjc-p397: with Debian's pattern the line takes longer than anybody lives."""
    site = Site(tmp_path, upstream)
    site.jails(
        site.jail("domino", filter="domino-smtp"),
        site.jail("sshd", backend="auto", filter="sshd"),
        name="jail.local",
    )
    # What the pattern cannot do without is added: it would not be tried at all.
    needed = "authentication failure using internet password"
    hang = f"{corpus_line('domino-smtp:domino-smtp:16:0')} {needed}!"
    failure = f"  smtp: postmaster [{THIRD}] {needed}"
    with site.running() as daemon:
        before = time.monotonic()
        write_domino(site, hang, hang, failure)
        attack_sshd(site, ATTACKER)
        daemon.wait_for(banned("sshd", ATTACKER))
        daemon.wait_for(banned("domino", THIRD))
        assert time.monotonic() - before < 30
        attack_sshd(site, OTHER)
        daemon.wait_for(banned("sshd", OTHER))
        assert daemon.stop() == 0
    assert (
        daemon.count(r"WARNING +\[domino\] a line is given up \(failregex at .*takes too long") >= 1
    )
    assert daemon.count(r"Found 192\.0\.2\.5") == 0


def write_domino(site: Site, *messages: str) -> None:
    with site.log("domino").open("a") as log:
        for message in messages:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")


def attack_sshd(site: Site, ip: str) -> None:
    site.write("sshd", f"host sshd[7]: Failed password for alice from {ip} port 50022 ssh2")


def test_whatever_bytes_a_line_has_the_next_one_counts(site: Site) -> None:
    site.jails(
        site.jail("web"),
        *(site.jail(name, logencoding=name) for name in ("ascii", "utf-8", "latin-1")),
    )
    lines = [
        b"\x00" * 1000,
        b"host service: failed login of \x00 from nobody",
        b"\xed\xa0\x80\xed\xb0\x80 \xff\xfe \xc3",
        b"\x1b[2J\x1b]0;title\x07" * 10,
        *(f"a{each}b{each}".encode() for each in SEPARATORS),
        b"",
        b"A" * 10_000_000,
        b"host service: failed login of " + b"x " * 500_000 + b" from nobody",
    ]
    names = ("web", "ascii", "utf-8", "latin-1")
    with site.running() as daemon:
        for name in names:
            site.write(name, *lines)
            site.attack(ATTACKER, name)
        for name in names:
            daemon.wait_for(banned(name, ATTACKER))
        assert daemon.stop() == 0
    assert daemon.count("CRITICAL|Traceback") == 0
    assert len(daemon.log()) < 100_000


@pytest.mark.parametrize("separator", SEPARATORS, ids=lambda each: f"U+{ord(each):04X}")
def test_a_separator_in_a_name_begins_no_line_of_a_log(site: Site, separator: str) -> None:
    """Who may choose a name cannot have somebody else banned, nor write in our log."""
    site.put("filter.d/any.conf", "[Definition]\nfailregex = ^ host x: <F-ID>.*</F-ID> failed$\n")
    recidive = r"[Definition]" "\n" r"failregex = NOTICE\s+\[.*\]\s+Ban\s+<HOST>\s*$" "\n"
    site.put("filter.d/own.conf", recidive)
    site.logfile.touch()
    site.jails(
        site.jail("web"),
        site.jail("any", filter="any", usedns="raw"),
        site.jail("own", filter="own", logpath=str(site.logfile), maxretry="2"),
    )
    moment = time.strftime("%b %d %H:%M:%S")
    forged = f"x{separator}{moment} host service: failed login of root from {OTHER}"
    entry = (
        f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 fail2ban.actions [1]: NOTICE  [a] Ban {OTHER}"
    )
    with site.running() as daemon:
        site.write("web", f"host service: failed login of {forged} ok", forged + " ")
        site.write("any", *(f"host x: {separator}{entry}{separator} failed" for _ in range(3)))
        daemon.wait_for(r"\[any\] Found ", times=3)
        # Commands that are made for addresses do not get such a text.
        daemon.wait_for(r"ERROR +\[any\] .* could not be banned, it can still connect")
        site.attack(ATTACKER, "web")
        daemon.wait_for(rf"\[own\] Found {ATTACKER}")
        assert daemon.stop() == 0
    assert daemon.count(r"\[own\] Found") == 1
    assert daemon.count(r"\[web\] Found") == 1


def test_quotes_and_commands_in_a_name_reach_no_shell(site: Site) -> None:
    site.put(
        "filter.d/any.conf",
        "[Definition]\nfailregex = ^ host x: user <F-USER>.*</F-USER> from <HOST>$\n",
    )
    site.put(
        "action.d/quoting.conf",
        "[Definition]\nactionban = printf '%%s\\n' '<F-USER>' \"<F-USER>\" <matches> >> {root}/out\n",
    )
    site.jails(site.jail("any", filter="any", action="quoting"))
    touch = f"touch {site.root}/evil"
    names = [
        f"$({touch})",
        f"`{touch}`",
        f"';{touch};'",
        f'";{touch};"',
        f"\\\n;{touch}",
        f"&{touch}",
    ]
    with site.running() as daemon:
        for number, name in enumerate(names, 1):
            ip = f"203.0.113.{number}"
            site.write("any", f"host x: user {name.replace(chr(10), ' ')} from {ip}")
            daemon.wait_for(banned("any", ip))
        assert daemon.stop() == 0
    assert not (site.root / "evil").exists()
    for name in names[:4]:
        assert site.notes().count(name) == 2, site.notes()


# Trees ---------------------------------------------------------------------------

#: Files that refer to themselves, to each other, or grow without end.
SNAKES = {
    "filter.d/itself.conf": "[INCLUDES]\nbefore = itself.conf\n[Definition]\nfailregex = ^x <HOST>$\n",
    "filter.d/ring.conf": "[INCLUDES]\nbefore = ring2.conf\n[Definition]\nfailregex = ^x <HOST>$\n",
    "filter.d/ring2.conf": "[INCLUDES]\nafter = ring.conf\n[Definition]\n",
    "filter.d/tag.conf": "[Definition]\na = <b>\nb = <a>\nfailregex = ^<a> <HOST>$\n",
    "filter.d/percent.conf": "[Definition]\na = %(b)s\nb = %(a)s\nfailregex = ^%(a)s <HOST>$\n",
    "filter.d/bomb.conf": "[Definition]\n"
    + "a0 = xxxxxxxxxx\n"
    + "".join(f"a{n} = {f'<a{n - 1}>' * 10}\n" for n in range(1, 12))
    + "failregex = ^<a11> <HOST>$\n",
    "filter.d/deep.conf": "[Definition]\n"
    + "a0 = x\n"
    + "".join(f"a{n} = <a{n - 1}>\n" for n in range(1, 2000))
    + "failregex = ^<a1999> <HOST>$\n",
    "action.d/tag.conf": "[Definition]\nactionban = <actionunban>\nactionunban = <actionban>\n",
}


def test_a_tree_that_bites_its_tail_costs_only_the_jails_that_it_concerns(site: Site) -> None:
    for name, text in SNAKES.items():
        site.put(name, text)
    names = [Path(name).stem for name in SNAKES if name.startswith("filter.d/")]
    site.jails(
        "[INCLUDES]\nbefore = jail.conf\nafter = jail.local\n",
        site.jail("first"),
        *(site.jail(name, filter=name) for name in names),
        site.jail("action", action="tag"),
        site.jail("known", failregex="%(known/failregex)s\n %(known/failregex)s"),
        site.jail("last"),
    )
    site.jails("[INCLUDES]\nbefore = jail.conf\n", name="jail.local")
    before = time.monotonic()
    with site.running() as daemon:
        for jail in ("first", "known", "last"):
            site.attack(ATTACKER, jail)
            daemon.wait_for(banned(jail, ATTACKER))
        assert time.monotonic() - before < 30
        assert daemon.stop() == 0
    for jail in ("tag", "percent", "bomb"):
        assert daemon.count(rf"ERROR +.*\[{jail}\] is left out$") >= 1, jail
    assert daemon.count("Traceback") == 0


def test_links_that_lead_nowhere_cost_only_the_jails_that_need_them(site: Site) -> None:
    (site.tree / "jail.d").mkdir()
    (site.tree / "jail.d" / "gone.conf").symlink_to(site.root / "nowhere")
    (site.tree / "filter.d" / "ring.conf").symlink_to("ring.conf")
    (site.tree / "filter.d" / "folder.conf").symlink_to(site.tree)
    names = ("ring", "folder")
    site.jails(site.jail("web"), *(site.jail(name, filter=name) for name in names))
    with site.running() as daemon:
        site.attack(ATTACKER, "web")
        daemon.wait_for(banned("web", ATTACKER))
        assert daemon.stop() == 0
    for name in names:
        assert daemon.count(rf"ERROR +.*{name}\.conf.*\[{name}\] is left out$") == 1, name


def test_a_reload_of_nonsense_leaves_everything_as_it_was(site: Site) -> None:
    site.jails(site.jail("web"))
    with site.running() as daemon:
        for number, nonsense in enumerate((b"\x00" * 1000, b"\xff[web]\n", b"[" * 100_000), 1):
            (site.tree / "jail.conf").write_bytes(nonsense)
            (site.tree / "jail.d").mkdir(exist_ok=True)
            seen = daemon.count("Reading the configuration again")
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("Reading the configuration again", times=seen + 1)
            daemon.wait_for("old settings stay", times=number)
            still_bans(daemon, site, f"203.0.113.{number}")
        assert daemon.stop() == 0
    assert len(daemon.log()) < 100_000


def still_bans(daemon: RunningDaemon, site: Site, ip: str) -> None:
    site.attack(ip, "web")
    daemon.wait_for(banned("web", ip))
