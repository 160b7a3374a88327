# SPDX-License-Identifier: GPL-2.0-or-later
"""Warnings about configurations that can be used, through the classic language."""

from __future__ import annotations

import pytest

from fail2ban.config.classic import Overrides, parse
from fail2ban.records import Problem

JAIL = (
    "[SSH]\nenabled = true\nlogfile = /var/log/auth.log\nfailregex = Failed .* <HOST>\n"
    "fwban = <iptables> -I c -s <ip>\nfwunban = <iptables> -D c -s <ip>\n"
)
NEXT = JAIL.count("\n") + 1  # the number of the line behind JAIL


def warnings(text: str) -> list[Problem]:
    problems = parse(text, "f.conf").problems
    assert all(problem.severity == "warning" for problem in problems)
    return list(problems)


def only_warning(text: str) -> Problem:
    [problem] = warnings(text)
    return problem


def test_good_configuration_draws_no_warning() -> None:
    assert warnings(JAIL) == []


@pytest.mark.parametrize(
    ("section", "line", "hint"),
    [
        ("SSH", "maxfailure = 3", "unknown option 'maxfailure', did you mean 'maxfailures'?"),
        ("SSH", "zzz = 3", "unknown option 'zzz', it has no effect"),
        ("SSH", "cmdstart = x", "'cmdstart' has no effect here; it belongs in [DEFAULT]"),
        ("SSH", "subject = x", "unknown option 'subject', it has no effect"),
        ("DEFAULT", "logtarget = x", "unknown option 'logtarget', did you mean 'logtargets'?"),
        ("MAIL", "form = x", "unknown option 'form', did you mean 'from'?"),
    ],
)
def test_option_without_effect_is_named_in_its_line(section: str, line: str, hint: str) -> None:
    problem = only_warning(f"{JAIL}[{section}]\n{line}\n")
    assert (problem.origin.line, problem.section) == (NEXT + 1, section)
    assert problem.text == hint


def test_disabled_section_is_asked_for_unknown_options_too() -> None:
    assert only_warning(JAIL + "[Off]\nfailregex = x\nfialregex = y\n").section == "Off"


def test_option_of_mail_in_default_is_known_since_mail_falls_back_to_it() -> None:
    assert warnings("[DEFAULT]\nto = root\nmaxretry = 3\nlogpath = /a\n" + JAIL) == []


@pytest.mark.parametrize("name", ["port", "protocol", "hostsdeny", "fwchain"])
def test_well_known_helper_needs_no_use(name: str) -> None:
    assert warnings(f"[DEFAULT]\n{name} = x\n{JAIL}{name} = y\n") == []


def test_option_that_some_value_refers_to_is_known_everywhere() -> None:
    assert warnings(f"[DEFAULT]\nmine = x\n{JAIL}fwstart = echo\n  %(Mine)s\nmine = y\n") == []
    assert only_warning(f"{JAIL}fwstart = echo %%(mine)s\nmine = y\n").option == "mine"


def test_section_that_enables_nothing_is_said_once_for_the_file() -> None:
    problem = only_warning(JAIL.replace("true", "false"))
    assert (str(problem.origin), problem.section) == ("f.conf", "")
    assert "no log is watched" in problem.text
    loaded = parse(JAIL.replace("true", "false"), "f.conf", Overrides({}, enable=("ssh",)))
    assert loaded.problems == ()


def test_command_for_ipv4_only_is_told_how_to_serve_both() -> None:
    ipv4 = JAIL.replace("<iptables>", "iptables")
    problem = only_warning(ipv4)
    assert (problem.origin.line, problem.option) == (5, "fwban")
    assert "IPv4 only" in problem.text and "'<iptables>'" in problem.text
    assert [
        p.section for p in warnings(JAIL + ipv4.replace("SSH", "B").replace("true", "no"))
    ] == []


def test_warning_about_a_command_of_default_points_there_and_is_given_once() -> None:
    default = "[DEFAULT]\nfwban = iptables <ip>\nfwunban = iptables <ip>\n"
    sections = [f"[{name}]\nenabled = yes\nlogfile = /a\nfailregex = x\n" for name in "AB"]
    problem = only_warning(default + "".join(sections))
    assert (problem.section, problem.origin.line) == ("DEFAULT", 2)


def test_ban_that_nobody_lifts_is_told_unless_it_is_permanent() -> None:
    text = JAIL[: JAIL.index("fwunban")]
    problem = only_warning(text)
    assert (problem.option, problem.origin.line) == ("fwban", 5)
    assert "fwunban" in problem.text and "bantime = -1" in problem.text
    assert warnings(text + "bantime = -1\n") == []


def test_ban_without_an_address_is_told() -> None:
    assert "expected '<ip>'" in only_warning(JAIL.replace("c -s <ip>", "c -s all")).text
    assert warnings(JAIL.replace("c -s <ip>", 'c -s "$F2B_IP"')) == []


def test_ban_time_of_0_is_told_where_it_is_written() -> None:
    problem = only_warning(JAIL + "bantime = 0\n")
    assert (problem.option, problem.origin.line) == ("bantime", NEXT)


@pytest.mark.parametrize("name", ["default", "Mail", " MAIL"])
def test_section_that_only_looks_special_is_told(name: str) -> None:
    problem = only_warning(f"{JAIL}[{name}]\nfailregex = x\n")
    assert problem.origin.line == NEXT
    assert f"did you mean {name.strip().upper()!r}?" in problem.text


MAIL = "[MAIL]\nenabled = true\nuser = me\npassword = secret\n"


def test_password_that_travels_readable_is_told_without_showing_it() -> None:
    problem = only_warning(f"{JAIL}{MAIL}host = mail.example\n")
    assert (problem.section, problem.option) == ("MAIL", "password")
    assert problem.origin.line == NEXT + 3
    assert "tls = starttls" in problem.text and "secret" not in problem.text


@pytest.mark.parametrize(
    "text",
    ["host = localhost", "host = 127.0.0.2", "host = ::1", "host = LocalHost",
     "host = mail.example\ntls = ssl",
     "host = mail.example\nenabled = false", "host = mail.example\nuser ="],
)  # fmt: skip
def test_password_that_stays_here_or_is_encrypted_or_unused_is_no_problem(text: str) -> None:
    assert warnings(f"{JAIL}{MAIL}{text}\n") == []


# What lasts, and who may look --------------------------------------------------


@pytest.mark.parametrize(
    ("line", "option", "text"),
    [
        ("monitorgroup = root", "monitorgroup", "'root' gets no socket; expected a monitorsocket"),
        ("socket = /s\nmonitorsocket = /s", "monitorsocket", "'/s' is the control socket"),
        ("dryrun = yes", "dryrun", "every section only shows its commands, nobody is locked out"),
        (f"socket = /{'s' * 107}", "socket", "is too long for a socket; expected at most 107"),
        ("dbfile = none\nbantime.increment = yes", "dbfile", "earlier bans are forgotten"),
        ("dbfile = none\nonstop = keep\nfwcheck = x", "dbfile", "nobody lifts the bans"),
        ("onstop = keep", "onstop", "'firewall' has no fwcheck: bans that the firewall lost"),
    ],
)
def test_odd_option_of_what_lasts_is_told_where_it_is_written(
    line: str, option: str, text: str
) -> None:
    problem = only_warning(f"[DEFAULT]\n{line}\n{JAIL}")
    assert (problem.section, problem.option) == ("DEFAULT", option)
    assert problem.origin.line == 2 + [one.split(" =")[0] for one in line.split("\n")].index(option)
    assert text in problem.text


def test_what_lasts_is_no_matter_of_a_dry_run() -> None:
    text = "[DEFAULT]\ndebug = yes\ndbfile = none\nbantime.increment = yes\n"
    assert warnings(text + JAIL) == []


def test_one_section_in_earnest_is_enough() -> None:
    other = JAIL.replace("SSH", "Other")
    assert warnings(f"{JAIL}dryrun = yes\n{other}") == []
    assert only_warning(f"{JAIL}dryrun = yes\n").option == "dryrun"


def test_kept_bans_of_a_command_that_checks_draw_no_warning() -> None:
    assert warnings(f"{JAIL}onstop = keep\nfwcheck = nft list table x\n") == []
