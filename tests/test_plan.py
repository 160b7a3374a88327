# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration made ready to run."""

from __future__ import annotations

from dataclasses import replace

from fail2ban.config.classic import parse
from fail2ban.detect.match import Line
from fail2ban.plan import Plan, filter_by_hand, make_plan, missing_logs, objections
from fail2ban.records import FilterSettings, Origin, Problem

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


# What stands against a reload --------------------------------------------------


def against(new: str, old: str = GOOD, jail: str = "") -> list[str]:
    return [problem.section for problem in objections(plan(new), plan(old), jail)]


def test_nothing_stands_against_a_good_configuration() -> None:
    assert against(GOOD + GOOD.replace("[SSH]", "[Web]")) == []


def test_a_section_that_is_left_out_stands_against_the_whole() -> None:
    assert against(GOOD + BAD) == ["Bad"]
    # It was left out before, and nobody is to think that it is mended.
    assert against(GOOD + BAD, GOOD + BAD) == ["Bad"]


def test_a_section_that_is_not_to_run_may_be_broken() -> None:
    assert against(GOOD + BAD.replace("true", "false")) == []


def partly(line: int, section: str = "SSH") -> Plan:
    """Return a plan with an error that costs a section one of its patterns."""
    problem = Problem(Origin("f.conf", line), section, "failregex", "is no pattern")
    return replace(plan(GOOD), problems=(problem,))


def test_an_error_that_leaves_out_no_section_stands_against_it_when_it_is_new() -> None:
    assert [one.section for one in objections(partly(3), plan(GOOD))] == ["SSH"]
    assert objections(partly(5), partly(3)) == []  # its line has moved


def test_an_empty_configuration_is_an_accident() -> None:
    [problem] = objections(plan("[DEFAULT]\n"), plan(GOOD))
    assert str(problem) == "configuration: there is no section"
    assert against(GOOD.replace("true", "false")) == []


def test_what_cannot_be_read_says_why() -> None:
    unreadable = plan("enabled = true\n" + GOOD)
    assert unreadable.settings is None
    assert objections(unreadable, plan(GOOD), "SSH") == unreadable.errors != []


def test_for_one_section_only_its_own_errors_count() -> None:
    assert against(GOOD + BAD, jail="SSH") == []
    assert against(GOOD + BAD, jail="Bad") == ["Bad"]
    assert objections(partly(3), plan(GOOD), "Web") == []
    assert len(objections(partly(3), plan(GOOD), "SSH")) == 1


def test_by_hand_a_section_may_have_no_pattern_at_all() -> None:
    filter = filter_by_hand(FilterSettings("x", (), tagged=True))
    line = "Jun 21 10:00:00 failed from 192.0.2.1"
    assert filter.match(Line(line), 0.0) is filter.when(line, 0.0) is None
    assert not filter.problems
