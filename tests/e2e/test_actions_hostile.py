# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever an attacker writes, no action of upstream's action.d executes any of it.

The files are unmodified. Programs that ban or tell are stand-ins that write down
how they are called; the tools of the shell (sed, awk, grep...) are real. All runs
where the machine's own /etc, /run and /var cannot be seen.

Source: jail-conf.md sections 9.2 and 9.3.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from fail2ban.enforce.tags import Lore
from fail2ban.errors import CommandError
from tests.needs import PATH, programs, root
from tests.netns import Namespace
from tests.upstream import RecordedShell, Wall, WallOn, hostile_lines, stand_in

pytestmark = [root(), programs("ip")]

#: What commands may use as it is.
TOOLS = (
    "awk bash cat chmod cut date dirname echo expr false fgrep file grep head iconv id jq mkdir"
    " mount mv perl printf rm sed sh sleep sort tail test touch tr true truncate uname wc"
).split()
#: What is only written down. `sendmail` is called by its path.
STAND_INS = (
    "apf apprise conntrack curl dig firewall-cmd geoiplookup ip ip6tables ipfw ipset iptables"
    " mail nft nginx nsupdate pfctl route shorewall shorewall6 ss ufw wget whois"
).split()
FAR, FAR6 = "203.0.113.9", "2001:db8:9::9"


class Forgiving(RecordedShell):
    """To which every command has worked, so that all the others are run."""

    def __call__(self, *command: Any, feed: str | None = None) -> None:
        with suppress(CommandError):
            super().__call__(*command, feed=feed)


@dataclass
class Cell:
    """A host on which nothing is what it is called.

    Attributes:
        mark: a file that appears if text of an attacker is executed.
        calls: what the stand-ins got, in words and as their input.
    """

    folder: Path
    shell: Forgiving

    @property
    def mark(self) -> Path:
        return self.folder / "mark"

    def calls(self) -> str:
        calls = self.folder / "calls"
        return calls.read_text("utf-8", "surrogateescape") if calls.exists() else ""


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    tools = tmp_path / "bin"
    for name in STAND_INS:
        script = f'printf "%s\\n" "$@" >>{tmp_path}/calls; [ -t 0 ] || cat >>{tmp_path}/calls'
        stand_in(tools, name, script)
    for name in TOOLS:
        real = shutil.which(name, path=PATH)
        if real and not (tools / name).exists():
            (tools / name).symlink_to(real)
    private = {f"/{name}": tmp_path / name for name in ("etc", "run", "var")}
    for folder in private.values():
        (folder / "run").mkdir(parents=True)
    with Namespace("cell") as host:
        variables = {"PATH": str(tools), "HOME": str(tmp_path)}
        yield Cell(tmp_path, Forgiving(host, variables, private))


def names(upstream: Path) -> list[str]:
    """Return the actions of a tree, without mere collections of parts."""
    found = sorted(path.stem for path in (upstream / "action.d").glob("*.conf"))
    return [name for name in found if not name.endswith("-common")]


def texts(mark: Path) -> list[str]:
    """Return ids that are no address."""
    do = f"touch {mark}"
    return ["\n".join(hostile_lines(mark)), f"x$/d;e {do} #", f"'\"; {do} #", f"\\'; {do} #"]


def test_no_action_executes_the_lines_or_the_name_of_an_attacker(
    cell: Cell, wall_on: WallOn, upstream: Path
) -> None:
    lines = hostile_lines(cell.mark)
    lore = Lore(host=lambda ip: " ".join(lines))
    for name in names(upstream):
        wall = wall_on(cell.shell, name, lore)
        wall.begin()
        for ip in (FAR, FAR6):
            wall.ban(ip_address(ip), lines, {"user": lines[0]})
        wall.end()
        assert not cell.mark.exists(), name
    assert all(line in cell.calls() for line in lines)


#: Its unban puts the id into a program for `sed`, which can run commands.
UNSAFE_FOR_TEXTS = "hostsdeny"


def test_no_action_executes_an_id_that_is_no_address(
    cell: Cell, wall_on: WallOn, upstream: Path
) -> None:
    for name in names(upstream):
        if name != UNSAFE_FOR_TEXTS:
            assert not _executes(cell, wall_on(cell.shell, name)), name


def test_hostsdeny_executes_no_id_that_is_no_address(cell: Cell, wall_on: WallOn) -> None:
    assert not _executes(cell, wall_on(cell.shell, UNSAFE_FOR_TEXTS))


def _executes(cell: Cell, wall: Wall) -> bool:
    """Let bans of texts begin and end; tell whether one of them was obeyed."""
    wall.begin()
    for text in texts(cell.mark):
        wall.ban(text)
        wall.lift(text)
    wall.end()
    return cell.mark.exists()


@programs("nft")
def test_nft_obeys_no_id_that_is_no_address(host: Namespace, wall_on: WallOn) -> None:
    wall = wall_on(host, "nftables-allports")
    wall.begin()
    wall.ban_all(FAR)

    wall.ban("192.0.2.7 } ; flush set inet f2b-table addr-set-sshd ; #")

    assert FAR in host.run("nft list ruleset").stdout


def test_ids_that_are_no_address_stand_in_a_list_to_the_letter_until_their_end(
    cell: Cell, wall_on: WallOn
) -> None:
    wall = wall_on(cell.shell, f"nginx-block-map[srv_cfg_path={cell.folder}]")
    # What the file makes of "|" is "or" to sed.
    lines = [line for line in hostile_lines(cell.mark) if "|" not in line]
    ids = [*lines, "a\\b", "[x]", "a/b", "^$", "plain"]
    blocked = cell.folder / "blacklisted-sessions.map"
    wall.begin()

    for id in ids:
        wall.ban(id)
    assert blocked.read_text() == "".join(f"\\{id} 1;\n" for id in ids)

    for number, id in enumerate(ids, start=1):
        wall.lift(id)
        assert blocked.read_text() == "".join(f"\\{id} 1;\n" for id in ids[number:])
    assert not wall.shell.failed and not cell.mark.exists()


def test_what_stands_within_single_quotes_arrives_to_the_letter(
    cell: Cell, wall_on: WallOn
) -> None:
    wall = wall_on(cell.shell, "cloudflare-token[cfzone=z, notes=<F-USER>]")
    wall.begin()
    for number, line in enumerate(hostile_lines(cell.mark), start=1):
        wall.ban(f"203.0.113.{number}", groups={"user": f"name of {line}"})
        value = f'"value":"203.0.113.{number}"}},"notes":"name of {line}"}}'
        assert value in cell.calls()
    assert not cell.mark.exists()
