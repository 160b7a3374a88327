# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages of the programs say what their --help says, and the other way round."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fail2ban.cli import client, regex_arguments, server
from fail2ban.control import commands, daemonvalues
from tests import needs
from tests.test_manuals import PAGES, ROOT, entries, needs_groff, part, rendered


@dataclass(frozen=True)
class Told:
    """A program, and where it is explained.

    Attributes:
        usage: what --help shows.
        silent: flags that only the page names: accepted, and without effect.
    """

    page: Path
    usage: str
    silent: frozenset[str] = frozenset()


OLD = frozenset({"-N", "--async", "--pname"})
PROGRAMS = {
    "client": Told(
        ROOT / "man" / "fail2ban-client.1",
        client.USAGE,
        OLD | {"-v", "-q"},
    ),
    "server": Told(
        ROOT / "man" / "fail2ban-server.1",
        server.SERVER.usage,
        OLD | {"-i", "--timeout"},
    ),
    "regex": Told(ROOT / "man" / "fail2ban-regex.1", regex_arguments.USAGE),
}

#: Sent by clients to servers of the peer; nobody types them.
INTERNAL = {"config-error", "multi-set", "server-status", "server-stream", "statistic"}
#: Commands that only the page of the client names.
ONLY_IN_PAGE = {"echo", "statistics"}
KNOWN = {*commands.COMMANDS, *client._OWN, *client.OURS, "help", "reload"} - INTERNAL


def flags_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text))


def flags_in_help(told: Told) -> set[str]:
    """Return the flags that head a line of --help, before it comes to commands."""
    head = re.split(r"^The daemon:$|^Exit status", told.usage, maxsplit=1, flags=re.MULTILINE)[0]
    columns = (re.split(r"\s{2,}", line.strip())[0] for line in head.split("\n"))
    return flags_of("\n".join(column for column in columns if column.startswith("-")))


def flags_in_page(told: Told) -> set[str]:
    return {word for word in entries(part(rendered(told.page), "OPTIONS")) if word[0] == "-"}


@needs_groff
@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_page_know_the_same_flags(program: str) -> None:
    told = PROGRAMS[program]
    assert flags_in_help(told)
    assert flags_in_page(told) == flags_in_help(told) | told.silent


# Commands -------------------------------------------------------------------------------


def commands_in_help() -> set[str]:
    """Return the first words of the commands in --help."""
    rest = client.USAGE.partition("The daemon:\n")[2].partition("Exit status")[0]
    return {
        word for line in re.findall(r"^  ([a-z].*)$", rest, re.MULTILINE) for word in names(line)
    }


def commands_in_page() -> set[str]:
    """Return the first words of the heads of entries."""
    text = part(rendered(PROGRAMS["client"].page), "COMMANDS")
    return {
        word for head in re.findall(r"^ {7}(\S.*)$", text, re.MULTILINE) for word in names(head)
    }


def names(head: str) -> Iterator[str]:
    """Yield the commands that "stats, statistics" or "why ID" name."""
    head = re.split(r"\s{2,}", head)[0]
    for one in head.split(", "):
        if found := re.match(r"[a-z][a-z-]*(?= |$)", one):
            yield found[0]
        if " " in one:  # what follows are words of this command
            return


@needs_groff
def test_the_page_has_an_entry_for_every_command_and_for_nothing_else() -> None:
    assert commands_in_page() | {"help"} == KNOWN


def test_the_help_has_a_line_for_every_command_and_for_nothing_else() -> None:
    assert commands_in_help() | {"help"} | ONLY_IN_PAGE == KNOWN


@needs_groff
@pytest.mark.parametrize(
    "option",
    sorted({*commands.GET, *commands.SET, *daemonvalues.GET}),
)
def test_the_page_names_every_option_that_can_be_asked_for_or_changed(option: str) -> None:
    text = part(rendered(PROGRAMS["client"].page), "COMMANDS")
    # Of those that grow the bans it names the first, and says that there are more.
    option = re.sub(r"^bantime\..*", "bantime.increment", option)
    assert re.search(rf"(?<![\w.-]){re.escape(option)}(?![\w-])", text)


def test_the_help_names_no_option_that_does_not_exist() -> None:
    listed = client.USAGE.partition("get JAIL OPTION")[2].partition("set JAIL OPTION")[0]
    told = {word.rstrip(",") for word in re.findall(r"[a-z.]+,", listed.partition(":")[2])}
    assert "findtime" in told and told <= set(commands.GET)


@needs_groff
def test_the_page_names_every_field_of_the_report_of_a_replay() -> None:
    from fail2ban.cli.replay_report import _jail_data, as_data
    from fail2ban.cli.replay_tally import JailTally, LogTally

    text = part(rendered(PROGRAMS["client"].page), "COMMANDS")
    about = text.partition("With --json the report is one object")[2].partition("epoch")[0]
    tally = JailTally("x", logs=[LogTally("y")])
    data = {**as_data([tally], []), **_jail_data(tally)}
    for field in (*data, "first", "last", "problem", "start", "end", "count", "by", "id"):
        assert re.search(rf"\b{field}\b", about), field


@needs.programs("mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_complain_about_either(page: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(page)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("", 0)
