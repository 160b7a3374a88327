# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration made ready to run."""

from __future__ import annotations

from fail2ban.config.classic import parse
from fail2ban.detect.match import Line
from fail2ban.plan import Plan, make_plan, missing_logs

GOOD = """
[SSH]
enabled = true
logfile = /nonexistent/auth.log
failregex = failed from <HOST>$
fwban = ban <ip>
fwunban = unban <ip>
"""
BAD = GOOD.replace("[SSH]", "[Bad]").replace("<HOST>$", "<HOST>(")


def plan(text: str) -> Plan:
    return make_plan(parse(text, "f.conf"))


def test_good_section_runs_and_has_its_filter() -> None:
    made = plan(GOOD)
    assert [jail.name for jail in made.jails] == ["SSH"]
    assert made.filters["SSH"].match(Line("Jun 21 10:00:00 failed from 192.0.2.1"), 0.0)
    assert not made.errors and not made.hopeless


def test_section_with_a_bad_pattern_is_left_out_and_the_others_run() -> None:
    made = plan(GOOD + BAD)
    assert [jail.name for jail in made.jails] == ["SSH"]
    assert made.broken == {"Bad"} and not made.hopeless
    [error] = made.errors
    assert str(error).startswith("f.conf:12: [Bad] failregex: ")
    assert str(error).endswith("; [Bad] is left out")


def test_nothing_but_broken_sections_is_hopeless() -> None:
    assert plan(BAD).hopeless
    assert not plan("[DEFAULT]\n").hopeless


def test_disabled_section_is_checked_but_is_not_what_is_missing() -> None:
    made = plan(BAD.replace("true", "false"))
    assert len(made.errors) == 1
    assert not made.broken and not made.hopeless


def test_problems_of_both_stages_come_in_the_order_of_the_file() -> None:
    made = plan(BAD + GOOD.replace("fwban = ban <ip>", "bantime = soon\nfwban = ban <ip>"))
    lines = [problem.origin.line for problem in made.errors]
    assert lines == sorted(lines) and len(lines) == 2


def test_section_whose_logs_are_all_missing_is_warned_about() -> None:
    [warning] = missing_logs(plan(GOOD))
    assert warning.severity == "warning"
    assert "'/nonexistent/auth.log' does not exist now" in str(warning)
