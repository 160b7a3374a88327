# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages render, and leave out no flag, option, tag or variable."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from fail2ban.cli import main
from fail2ban.config import classic
from fail2ban.enforce import tags
from fail2ban.plan import make_plan
from fail2ban.records import FAMILIES, Ban, Ticket

ROOT = Path(__file__).parent.parent
PROGRAM, FILE = ROOT / "man" / "fail2ban.8", ROOT / "man" / "fail2ban.conf.5"

# Sections 2 and 14 of fail2ban-conf-0.6.md, and `--check`, which is ours.
FLAGS = "-b -c -d -e -f -h --help -i -k -p -r -t -v -V --version --check".split()
SPELLED_OUT = ("--help", "--version")  # for which -h and -V stand in the synopsis

# Sections 3, 4, 10 and 14 of the same, and what we added.
OPTIONS = {
    "THE SECTION [DEFAULT]": """
        background logtargets syslog-target syslog-facility verbose debug pidlock locale
        maxfailures bantime findtime ignoreip cmdstart cmdend polltime reinittime maxreinits
        """,
    "SECTIONS OF SERVICES": """
        enabled logfile failregex ignoreregex timeregex timepattern usedns maxfailures findtime
        bantime fwstart fwend fwcheck fwban fwunban port protocol fwchain
        """,
    "THE SECTION [MAIL]": """
        enabled host port user password tls from to localtime subject message digest
        """,
}

BAN = Ban(1000.0, 1600.0, Ticket("SSH", ip_address("192.0.2.7"), 5, 990.0, ("a line",)))

needs_groff = pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
needs_man = pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")


@functools.cache
def rendered(page: Path) -> str:
    """Return a page as on a wide terminal, without bold and underline."""
    done = subprocess.run(
        ["groff", "-t", "-man", "-Tutf8", "-P-cbou", "-rLL=250n", str(page)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # groff writes a hyphen, a minus and quotes in their typographic forms.
    return done.stdout.translate({0x2010: "-", 0x2212: "-", 0x2018: "'", 0x2019: "'"})


def part(text: str, heading: str) -> str:
    """Return what stands under a heading, to the next one."""
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no heading {heading}"
    return found[1]


def entries(text: str) -> set[str]:
    """Return the words that head an entry of a list: at its margin, comma between them."""
    heads = re.findall(r"^ {7}(\S.*)$", text, re.MULTILINE)
    return {word.strip(",") for head in heads for word in re.sub(r"\(.*?\)", "", head).split()}


# Form -------------------------------------------------------------------------


@needs_groff
@pytest.mark.parametrize("page", [PROGRAM, FILE], ids=lambda page: page.name)
def test_groff_has_nothing_to_complain_about(page: Path) -> None:
    done = subprocess.run(
        ["groff", "-t", "-ww", "-man", "-z", str(page)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_man
@pytest.mark.parametrize("page", [PROGRAM, FILE], ids=lambda page: page.name)
def test_man_shows_the_page_on_a_usual_terminal_without_a_warning(page: Path) -> None:
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(page)],
        env={**os.environ, "MANWIDTH": "80", "MANROFFSEQ": "", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "NAME" in done.stdout


# Content ----------------------------------------------------------------------


@needs_groff
@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_has_its_entry(flag: str) -> None:
    assert flag in entries(part(rendered(PROGRAM), "OPTIONS"))


@needs_groff
@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag not in SPELLED_OUT])
def test_every_flag_is_in_the_synopsis(flag: str) -> None:
    synopsis = part(rendered(PROGRAM), "SYNOPSIS")
    assert re.search(rf"{flag}\b", synopsis) or re.search(rf"\[-\w*{flag[1]}\w*\]", synopsis)


@needs_groff
@pytest.mark.parametrize(
    ("heading", "option"),
    [(heading, option) for heading, names in OPTIONS.items() for option in names.split()],
)
def test_every_option_has_its_entry_in_its_section(heading: str, option: str) -> None:
    assert option in entries(part(rendered(FILE), heading))


def test_the_page_knows_every_flag_that_the_program_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z]+", capsys.readouterr().out))
    assert known == set(FLAGS)


@needs_groff
def test_the_page_knows_every_option_that_the_program_does() -> None:
    text, known = rendered(FILE), classic.VOCABULARY
    default, service, mail = (part(text, heading) for heading in OPTIONS)
    for names, where in (
        (known.daemon, default),
        (known.jail | known.helpers, default + service),
        (known.mail, mail),
    ):
        assert not [name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", where)]


@needs_groff
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_every_signal_has_its_entry(number: str) -> None:
    assert number in entries(part(rendered(PROGRAM), "SIGNALS"))


@needs_groff
@pytest.mark.parametrize("status", ["0", "1", "2", "78"])
def test_every_exit_status_has_its_entry(status: str) -> None:
    lines = part(rendered(PROGRAM), "EXIT STATUS").splitlines()
    assert any(line.split()[:1] == [status] and line.startswith("       ") for line in lines)


@needs_groff
def test_the_table_of_tags_says_which_command_knows_which() -> None:
    known = {
        "fwban": {*tags.ban_values(BAN, 1000.0), "br"},
        "fwunban": {*tags.unban_values(BAN, 1000.0), "br"},
        "mail": {*tags.mail_values(BAN), "br"},
    }
    rows = re.findall(r"^ +<(\w+)> +([x-]) +([x-]) +([x-]) ", rendered(FILE), re.MULTILINE)
    for column, command in enumerate(known, start=1):
        assert {row[0] for row in rows if row[column] == "x"} == known[command], command


@needs_groff
def test_every_variable_of_a_command_is_explained() -> None:
    environment = part(rendered(FILE), "COMMANDS").partition("Environment\n")[2]
    for name in tags.environment(BAN, 1000.0):
        assert name in environment


@needs_groff
def test_the_example_of_the_page_is_a_configuration_that_finds_an_attacker() -> None:
    text = part(rendered(FILE), "DESCRIPTION").partition("with iptables:\n")[2]
    example = re.sub("^ {11}", "", text, flags=re.MULTILINE)
    plan = make_plan(classic.parse(example, FILE.name))
    assert plan.problems == ()
    assert [jail.name for jail in plan.jails] == ["SSH"]
    action = plan.jails[0].action
    assert action.families == FAMILIES
    assert all((action.start, action.stop, action.check, action.ban, action.unban))
    user = "x from 203.0.113.9 port 1 ssh2"
    line = f"sshd[12]: Failed password for invalid user {user} from 192.0.2.7 port 9 ssh2"
    for start in ("Jan  5 06:07:08 box", "2026-01-05T06:07:08.123456+01:00 box"):
        found = plan.filters["SSH"].match(f"{start} {line}", 1767600000.0)
        assert found is not None and str(found.host) == "192.0.2.7"
        assert plan.filters["SSH"].match(f"{start} su[12]: {line}", 1767600000.0) is None


def test_the_licence_is_the_second_version_of_the_gpl() -> None:
    text = (ROOT / "COPYING").read_text()
    assert text.split()[:6] == "GNU GENERAL PUBLIC LICENSE Version 2,".split()
    assert "END OF TERMS AND CONDITIONS" in text
