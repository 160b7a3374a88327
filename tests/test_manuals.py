# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages render, and leave out no flag, option, tag or variable."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from fail2ban.cli import main, server
from fail2ban.config import classic, tree, tree_daemon, tree_lint
from fail2ban.config.definition import Definition
from fail2ban.config.ini import Value
from fail2ban.config.loaded import Loaded
from fail2ban.detect.directives import C_NAMES, Translator
from fail2ban.detect.match import Line, Matcher
from fail2ban.detect.regextags import compile_tagged
from fail2ban.detect.stamps import StampFinder
from fail2ban.detect.treetokens import tree_tokens
from fail2ban.enforce import tags
from fail2ban.enforce.escape import script
from fail2ban.levels import LEVELS
from fail2ban.plan import make_plan
from fail2ban.records import FAMILIES, Ban, Problem, Sourced, Ticket
from fail2ban.records import Origin as At

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "man").glob("*.[1-8]"))
PROGRAM, FILE = ROOT / "man" / "fail2ban.8", ROOT / "man" / "fail2ban.conf.5"
SERVER, TREE = ROOT / "man" / "fail2ban-server.1", ROOT / "man" / "jail.conf.5"

# Sections 2 and 14 of fail2ban-conf-0.6.md, and `--check`, which is ours.
FLAGS = "-b -c -d -e -f -h --help -i -k -p -r -t -v -V --version --check".split()
SPELLED_OUT = ("--help", "--version")  # for which -h and -V stand in the synopsis

# Sections 3, 4, 10 and 14 of the same, and what we added.
OPTIONS = {
    "THE SECTION [DEFAULT]": """
        background logtargets syslog-target syslog-facility verbose debug pidlock locale
        maxfailures bantime findtime ignoreip cmdstart cmdend polltime reinittime maxreinits
        socket dbfile dbpurgeage dbmaxmatches dbmaxsize monitorsocket monitorgroup metricsport
        quiettime clockskew
        """,
    "SECTIONS OF SERVICES": """
        enabled logfile failregex ignoreregex timeregex timepattern usedns maxfailures findtime
        bantime fwstart fwend fwcheck fwban fwunban fwbanmany fwunbanmany fwflush port protocol
        fwchain onstop dryrun bantime.increment
        """,
    "THE SECTION [MAIL]": """
        enabled host port user password tls from to localtime subject message digest
        """,
}

# Section 12.1 of jail-conf.md, without `--pname`, and `-N`, which only old scripts give.
SERVER_FLAGS = (
    "-b -c --conf -d --dp --dump-pretty -f -h --help --loglevel --logtarget -p --pidfile -q -s"
    " --socket --str2sec --syslogsocket -t --test -v -V --version -x"
).split()
SILENT_FLAGS = "--async -i -N --pname --timeout".split()

# Sections 5.4 to 5.6, 7, 9.1, 9.7 and 11 of jail-conf.md.
TREE_OPTIONS = {
    "JAIL OPTIONS": """
        enabled filter backend logpath skip_if_nologs systemd_if_nologs logencoding logtimezone
        maxretry findtime bantime maxmatches usedns ignoreself ignoreip ignorecommand ignorecache
        action bantime.increment bantime.factor bantime.formula bantime.multipliers
        bantime.maxtime bantime.rndtime bantime.overalljails onstop dryrun
    """,
    "FILTERS": """
        failregex ignoreregex prefregex datepattern maxlines journalmatch usedns
    """,
    "ACTIONS": """
        actionstart actionstart_on_demand actionstop actioncheck actionban actionunban actionreban
        actionbanmany actionunbanmany actionprolong actionflush actionreload actionrepair actionrepair_on_unban norestored
        timeout families host user password ssl sendername sender dest matches
    """,
    "THE FILE FAIL2BAN.CONF": """
        loglevel logtarget syslogsocket socket pidfile allowipv6 dbfile dbmaxmatches dbpurgeage
        dbmaxsize monitorsocket monitorgroup metricsport quiettime clockskew stacksize
    """,
}
# Section 9.2 of the same, and three of ours.
RUN_TIME_TAGS = """
    ip fid family ip-rev ip-host failures time bantime bancount restored matches ipmatches
    ipjailmatches ipfailures ipjailfailures F-NAME raw-ticket jail.name jail.banned
    jail.banned_total jail.found jail.found_total br sp fq-hostname sh-hostname
    banstart seconds unbantime
""".split()
# Section 7.1 of the same.
PATTERN_TAGS = """
    <HOST> <ADDR> <F-ADDR/> <IP4> <F-IP4/> <IP6> <F-IP6/> <DNS> <F-DNS/> <CIDR> <F-CIDR/> <SUBNET>
    <F-SUBNET/> <F-ID/> <F-PORT/> <SKIPLINES>
""".split()

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


def blamed(filter: Matcher, text: str, now: float) -> str | None:
    """Return whom a filter blames for a line."""
    found = filter.match(Line(text), now)
    return None if found is None else str(found.host)


# Form -------------------------------------------------------------------------


def test_every_page_is_looked_at() -> None:
    assert {PROGRAM, FILE, SERVER, TREE} <= set(PAGES)


@needs_groff
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_has_nothing_to_complain_about(page: Path) -> None:
    done = subprocess.run(
        ["groff", "-t", "-ww", "-man", "-z", str(page)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_man
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
def test_every_tag_of_the_table_is_replaced_in_the_commands_that_it_names() -> None:
    rows = re.findall(r"^ +<(\w+)> +([x-]) +([x-]) +([x-]) ", rendered(FILE), re.MULTILINE)
    assert len(rows) > 5
    facts = tags.Facts("SSH", BAN.family, 1000.0, BAN, lifting=True)
    for tag, ban, unban, _ in rows:
        text = f"echo <{tag}>"
        section = f"[SSH]\nlogfile = /a\nfailregex = ^<HOST>$\nfwban = {text}\nfwunban = {text}\n"
        settings = classic.parse(section, "f").settings
        assert settings is not None
        action = settings.jails[0].actions[0]
        for command, marked in ((action.ban, ban), (action.unban, unban)):
            if marked == "x":
                assert f"<{tag}>" not in script(command.of("ip"), facts.lookup).text
    assert {row[0] for row in rows if row[3] == "x"} == {*tags.mail_values(BAN), "br"}


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
    (action,) = plan.jails[0].actions
    assert action.families == FAMILIES
    assert all((action.start, action.stop, action.check, action.ban, action.unban))
    user = "x from 203.0.113.9 port 1 ssh2"
    line = f"sshd[12]: Failed password for invalid user {user} from 192.0.2.7 port 9 ssh2"
    for start in ("Jan  5 06:07:08 box", "2026-01-05T06:07:08.123456+01:00 box"):
        assert blamed(plan.filters["SSH"], f"{start} {line}", 1767600000.0) == "192.0.2.7"
        assert blamed(plan.filters["SSH"], f"{start} su[12]: {line}", 1767600000.0) is None


# The tree ---------------------------------------------------------------------


def written(base: Path, files: dict[str, str]) -> Loaded:
    """Write files of a tree, and read it."""
    for name, text in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    return tree.load(base)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """A small tree that sets nothing that it need not."""
    jail = "[one]\nenabled = true\nfilter = f\naction = a\nlogpath = /dev/null\n"
    return written(
        tmp_path,
        {
            "jail.conf": jail,
            "fail2ban.conf": "[Definition]\n",
            "filter.d/f.conf": "[Definition]\nfailregex = ^<HOST>$\n",
            "action.d/a.conf": "[Definition]\nactionban = a <ip>\nactionunban = b <ip>\n",
        },
    )


def asked_for(loaded: Loaded, section: str, part: str) -> set[str]:
    """Return the options that the program looks for in a place."""
    return {
        one.option for one in loaded.effective if (one.section, one.part) == (section, part)
    } - {"name", "actname"}


@needs_groff
@pytest.mark.parametrize(
    ("heading", "option"),
    [(heading, option) for heading, names in TREE_OPTIONS.items() for option in names.split()],
)
def test_every_option_of_a_tree_has_its_entry(heading: str, option: str) -> None:
    assert option in entries(part(rendered(TREE), heading))


@needs_groff
def test_the_page_knows_every_option_of_a_jail(loaded: Loaded) -> None:
    known = entries(part(rendered(TREE), "JAIL OPTIONS"))
    assert asked_for(loaded, "one", "") and asked_for(loaded, "one", "") <= known
    assert tree_lint.OF_JAIL <= known | set(TREE_OPTIONS["FILTERS"].split())


@needs_groff
def test_the_page_knows_every_option_of_a_filter(loaded: Loaded) -> None:
    asked = asked_for(loaded, "one", "filter f")
    assert asked and asked <= entries(part(rendered(TREE), "FILTERS"))


@needs_groff
def test_the_page_knows_every_option_of_the_daemon(loaded: Loaded) -> None:
    known = entries(part(rendered(TREE), "THE FILE FAIL2BAN.CONF"))
    assert asked_for(loaded, "", "") | tree_daemon.NAMES == known & tree_daemon.NAMES


@needs_groff
def test_the_page_knows_every_option_of_an_action(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    get = Definition.get

    def spying(self: Definition, option: str) -> Value | None:
        asked.add(option)
        return get(self, option)

    monkeypatch.setattr(Definition, "get", spying)
    files = {
        "jail.conf": "[one]\nenabled = true\nfilter =\naction = a\nlogpath = /dev/null\n",
        "action.d/a.conf": "[Definition]\nactionban = a <ip>\n",
    }
    written(tmp_path, files)
    known = entries(part(rendered(TREE), "ACTIONS"))
    assert "actionban" in asked and asked - {"name", "actname"} <= known


@needs_groff
def test_the_page_knows_every_backend(tmp_path: Path) -> None:
    jail = "[one]\nenabled = true\nfilter =\nbackend = qqq\n"
    (problem,) = (
        one for one in written(tmp_path, {"jail.conf": jail}).problems if one.option == "backend"
    )
    names = re.findall(r"[\w-]+", problem.text.partition("expected one of ")[2].partition(";")[0])
    assert "systemd" in names
    assert set(names) <= entries(part(rendered(TREE), "BACKENDS"))


@needs_groff
def test_the_page_knows_every_log_level_and_target(tmp_path: Path) -> None:
    text = part(rendered(TREE), "THE FILE FAIL2BAN.CONF")
    for name in LEVELS:
        assert re.search(rf"\b{name}\b", text)
    files = {"jail.conf": "[DEFAULT]\n", "fail2ban.conf": "[Definition]\nlogtarget = QQQ\n"}
    (problem,) = (one for one in written(tmp_path, files).problems if one.option == "logtarget")
    targets = re.findall(r"[A-Z-]{4,}", problem.text.partition("expected")[2])
    assert "SYSLOG" in targets
    for target in targets:
        assert target in text


@needs_groff
@pytest.mark.parametrize("tag", RUN_TIME_TAGS)
def test_every_tag_of_a_command_is_explained_and_has_a_value(tag: str) -> None:
    assert f"<{tag}>" in entries(part(rendered(TREE), "ACTIONS"))
    facts = tags.Facts("sshd", BAN.family, 1000.0, BAN, lifting=True)
    assert facts.lookup(tag) is not None


@needs_groff
@pytest.mark.parametrize("tag", PATTERN_TAGS)
def test_every_tag_of_a_pattern_is_explained_and_replaced(tag: str) -> None:
    assert tag in entries(part(rendered(TREE), "FILTERS"))
    problems: list[Problem] = []
    regex = compile_tagged(Sourced(f"^{tag}$", At("f", 1)), "s", "failregex", problems.append)
    assert regex is not None and tag not in regex.pattern and not problems


@needs_groff
def test_the_page_knows_every_token_of_a_date() -> None:
    with pytest.raises(ValueError) as caught:
        Translator(C_NAMES, tokens=tree_tokens(2039)).regex("%Q")
    known = set(re.findall(r"%\w+", str(caught.value).partition("expected")[2]))
    assert "%ExY" in known
    assert known <= entries(part(rendered(TREE), "DATES"))


@needs_groff
def test_every_usual_format_of_the_page_is_recognised() -> None:
    text = part(rendered(TREE), "DATES").partition("recognised:\n")[2].partition("A format")[0]
    dates = [re.sub(r" \(.*", "", one) for one in re.split(r"\n|\s{2,}", text) if one]
    assert len(dates) > 15
    now = datetime(2005, 1, 24, 12).timestamp()
    for date in dates:
        stamp = StampFinder((), "s", None, pytest.fail, now).find(f"{date} a message", now)
        assert stamp is not None and stamp.time is not None, date
        assert (stamp.start, stamp.end) == (0, len(date)), date
        assert abs(stamp.time - now) < 2 * 86400, date


@needs_groff
@pytest.mark.parametrize("number", range(1, 25))
def test_every_surprise_of_upstream_is_said_to_be_mended_or_kept(number: int) -> None:
    text = part(rendered(TREE), "DIFFERENCES")
    head = rf"^ {{7}}{number} (mended|kept|mended and kept): \S.*\n((?:^ {{7}}\S.*\n)*)^ {{14}}\S"
    assert len(re.findall(head, text, re.MULTILINE)) == 1


@needs_groff
def test_the_example_of_the_tree_finds_an_attacker_and_locks_him_out(tmp_path: Path) -> None:
    text = part(rendered(TREE), "DESCRIPTION").partition("in three files:\n")[2]
    names = ("jail.d/myapp.conf", "filter.d/myapp.conf", "action.d/nft-table.conf")
    _, *pieces = re.split("|".join(map(re.escape, names)), text)
    files = {
        name: re.sub("^ {11}", "", piece, flags=re.MULTILINE)
        for name, piece in zip(names, pieces, strict=True)
    }
    files[names[0]] = files[names[0]].replace("/var/log/myapp/*.log", "/dev/null")
    plan = make_plan(written(tmp_path, {**files, "fail2ban.conf": "[Definition]\n"}))
    assert plan.problems == ()
    (jail,) = plan.jails
    now = datetime(2026, 1, 5, 6, 7, 8).timestamp()
    line = "2026-01-05 06:07:08 login of x from 192.0.2.7 failed"
    assert blamed(plan.filters["myapp"], line, now) == "192.0.2.7"
    assert blamed(plan.filters["myapp"], f"{line} not", now) is None
    (action,) = jail.actions
    assert action.on_demand and action.families == FAMILIES
    facts = tags.Facts("myapp", BAN.family, 1000.0, BAN)
    done = script(action.ban.of("ip"), facts.lookup)
    assert done.text == "nft add element ip f2b-myapp bad { 192.0.2.7 }"
    assert "dport 8080 ip6 saddr" in action.start.of("ip6")
    assert "<" not in "".join((action.start.ip, action.stop.ip, action.flush.ip))


# fail2ban-server ----------------------------------------------------------------


@needs_groff
@pytest.mark.parametrize("flag", SERVER_FLAGS + SILENT_FLAGS)
def test_every_flag_of_the_server_has_its_entry(flag: str) -> None:
    assert flag in entries(part(rendered(SERVER), "OPTIONS"))


def test_the_page_knows_every_flag_that_the_server_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert server.main(["--help"]) == 0
    usage = capsys.readouterr().out.partition("Exit status")[0]
    assert set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", usage)) == set(SERVER_FLAGS)


@pytest.mark.parametrize("flag", SILENT_FLAGS)
def test_flags_of_old_scripts_are_understood(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = ["x"] if flag in ("--pname", "--timeout") else []
    assert server.main([flag, *value, "-V"]) == 0
    assert capsys.readouterr().err == ""


@needs_groff
@pytest.mark.parametrize("status", ["0", "255"])
def test_every_exit_status_of_the_server_has_its_entry(status: str) -> None:
    lines = part(rendered(SERVER), "EXIT STATUS").splitlines()
    assert any(line.split()[:1] == [status] and line.startswith("       ") for line in lines)


@needs_groff
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_every_signal_of_the_server_has_its_entry(number: str) -> None:
    assert number in entries(part(rendered(SERVER), "SIGNALS"))


def test_the_licence_is_the_second_version_of_the_gpl() -> None:
    text = (ROOT / "COPYING").read_text()
    assert text.split()[:6] == "GNU GENERAL PUBLIC LICENSE Version 2,".split()
    assert "END OF TERMS AND CONDITIONS" in text
