# SPDX-License-Identifier: GPL-2.0-or-later
"""Patterns as users write them are compiled, or refused with a reason."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fail2ban.detect.failregex import ADDRESS_GROUPS, compile_failregex, compile_regex
from fail2ban.records import Origin, Problem, Sourced

untimed = hypothesis_settings(deadline=None)  # the machine may be busy


def compiled(*patterns: str):
    """Return the usable patterns and the problems; pattern n stands on line n."""
    problems: list[Problem] = []
    sources = [Sourced(text, Origin("f.conf", line)) for line, text in enumerate(patterns, 1)]
    return compile_failregex(sources, "SSH", problems.append), problems


def blamed(pattern: str, line: str) -> str | None:
    """Return whom a line blames; "-" where the pattern does not match."""
    (one,), problems = compiled(pattern)
    assert not [problem for problem in problems if problem.severity == "error"]
    found = one.regex.search(line)
    if not found:
        return "-"
    host = one.host(found)
    return None if host is None else str(host)


def refusal(pattern: str) -> str:
    usable, (problem, *others) = compiled(pattern)
    assert not usable and not others and problem.severity == "error"
    assert str(problem).startswith("f.conf:1: [SSH] failregex: ")
    return problem.text


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[192.0.2.7]", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("::1", "::1"),
        ("dead::beef", "dead::beef"),
        ("64:ff9b::192.0.2.7", "64:ff9b::c000:207"),
        ("mail.example.com", "mail.example.com"),
        ("192.0.2.7.dynamic.example.net", "192.0.2.7.dynamic.example.net"),
        ("192-0-2-7.example.net", "192-0-2-7.example.net"),
        ("gateway", "gateway"),
        ("300.1.1.1", "-"),
        ("1.2.3.4.5", "-"),
        ("010.1.1.1", "-"),
        ("127.1", "-"),
        ("10", "-"),
        ("12:34:56", None),
        ("00:11:22:33:44:55", None),
    ],
)
def test_the_tag_takes_an_address_or_a_name_and_no_look_alike(text, host):
    assert blamed("^Failed from <HOST> port", f"Failed from {text} port 22") == host
    assert blamed("Failed from <HOST>$", f"Failed from {text}") == host


@pytest.mark.parametrize(
    "ip",
    [
        "192.0.2.157",
        "2001:db8::157",
        "2001:db8:1:2:3:4:5:face",
        "2001:db8::face",
        "mail.example.com",
    ],
)
def test_the_tag_is_never_satisfied_with_the_end_of_an_address(ip):
    assert blamed("from.*<HOST>", f"from x {ip}") == ip
    assert blamed("from <HOST>", f"from {ip}: bye") == ip


def test_an_address_at_the_begin_of_a_host_name_is_not_taken():
    assert blamed("from <HOST>", "from 192.0.2.7.evil.example") == "192.0.2.7.evil.example"
    assert blamed("from <HOST>", "from 192.0.2.7-x.evil.example") == "192.0.2.7-x.evil.example"


def test_a_pattern_that_says_so_takes_an_address_with_a_port_behind_a_dot():
    assert blamed(r"block: <HOST>\.\d+", "block: 192.0.2.157.50551 x") == "192.0.2.157"
    assert blamed(r"block: <HOST>(?:\.\d+)? ", "block: 192.0.2.157.50551 x") == "192.0.2.157"
    assert blamed(r"block: <HOST>[.:]\d+", "block: 2001:db8::157.443 x") == "2001:db8::157"


def test_the_tag_can_be_optional_as_a_whole():
    assert blamed("Failed(?: from <HOST>)?$", "Failed") is None
    assert blamed("Failed(?: from <HOST>)?$", "Failed from 192.0.2.7") == "192.0.2.7"


def test_the_mapped_prefix_of_old_patterns_may_stand_before_the_tag():
    assert blamed("rhost=(?:::f{4,6}:)?<HOST>", "rhost=::ffff:192.0.2.7") == "192.0.2.7"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.7:4022", "192.0.2.7"),
        ("[::ffff:192.0.2.7]", "192.0.2.7"),
        ("[2001:db8::7]:22", "2001:db8::7"),
        ("mail.example.com(192.0.2.7)", "192.0.2.7"),
        ("mail.example.com:25", "mail.example.com"),
        ("example.com", None),
        ("root", None),
        ("300.1.1.1", None),
        ("127.1", None),
    ],
)
def test_a_group_named_host_is_searched_for_an_address_and_then_a_name(text, host):
    assert blamed(r"from (?P<host>\S+)", f"from {text} 198.51.100.1") == host


@pytest.mark.parametrize("group", ADDRESS_GROUPS)
def test_each_address_group_is_used_without_a_warning(group):
    pattern = rf"user (?P<user>\S+) from (?P<{group}>\S+)"
    assert compiled(pattern)[1] == []
    assert blamed(pattern, "user 198.51.100.1 from 192.0.2.7") == "192.0.2.7"


def test_the_address_group_that_captured_decides():
    pattern = "from (?:v4 (?P<ip4>.+)|v6 (?P<ip6>.+))"
    assert blamed(pattern, "from v6 2001:db8::7") == "2001:db8::7"
    assert blamed(pattern, "from v4 nobody") is None


def test_other_named_groups_are_searched_in_order_for_an_address():
    pattern = r"user (?P<user>\S*) at (?P<where>\S+) from (?P<origin>\S+)"
    line = "user joe at mail.example.com from 192.0.2.7 not 192.0.2.8"
    assert blamed(pattern, line) == "192.0.2.7"
    assert blamed(pattern, "user joe at here from there 192.0.2.8") is None


@pytest.mark.parametrize(
    ("pattern", "line", "host"),
    [
        ("Failed password", "192.0.2.1 Failed password from 192.0.2.2 to 192.0.2.3", "192.0.2.2"),
        ("Failed .* from 192", "192.0.2.1 Failed x from 192.0.2.2 to 192.0.2.3", "192.0.2.2"),
        (r"rhost=[\d.]+", "192.0.2.1 rhost=192.0.2.2 192.0.2.3", "192.0.2.2"),
        ("Failed .* from .*", "192.0.2.1 Failed x from 192.0.2.2 port 3", "192.0.2.2"),
        ("Failed", "192.0.2.1 192.0.2.2 Failed for x", "192.0.2.2"),
        ("Failed", "Failed from mail.example.com", None),
    ],
)
def test_without_a_group_the_address_nearest_to_the_end_of_the_match_counts(pattern, line, host):
    assert blamed(pattern, line) == host


def test_patterns_without_an_address_group_get_one_warning_with_their_lines():
    usable, problems = compiled("from <HOST>", "Failed password", "Illegal user", "Bad (?P<x>.*)")
    assert len(usable) == 4
    assert sorted((p.severity, p.origin.line) for p in problems) == [("warning", 2), ("warning", 4)]
    (nearest,) = (problem.text for problem in problems if problem.origin.line == 2)
    assert "'Failed password'" in nearest and "<HOST>" in nearest and "attacker" in nearest
    assert "lines 3)" in nearest


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (".*", "every line"),
        ("a*", "every line"),
        ("^", "every line"),
        ("(?:<HOST>)?", "every line"),
        ("from <HOST> to <HOST>", "more than once"),
        ("from [<HOST>]", r"\[<HOST>\]"),
        ("<HOST> (?P<host>x)", "own name"),
        ("a{99999999999999999999}", "simpler"),
        ("(?L)a", "flag"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused_with_the_reason(pattern, words):
    assert words in refusal(pattern)


@pytest.mark.parametrize(
    ("pattern", "position", "hint"),
    [
        ("abc (def", 4, r"\("),
        ("(?:abc) (?i)x <HOST> [z", 21, r"\["),
        ("<HOST> **", 8, "backslash"),
        ("x) <HOST>", 1, r"\)"),
    ],
)
def test_a_syntax_error_is_shown_where_the_user_wrote_it(pattern, position, hint):
    text = refusal(pattern)
    assert f" at position {position} in {pattern!r}, at {pattern[position:]!r}" in text
    assert hint in text


def test_all_bad_patterns_are_reported_and_the_good_ones_kept():
    usable, problems = compiled("(", "from <HOST>", "[")
    assert [one.source.text for one in usable] == ["from <HOST>"]
    assert [problem.origin.line for problem in problems] == [1, 3]


def test_global_flags_inside_a_pattern_work_and_are_warned_of():
    usable, problems = compiled("(?:(?i)failed) from <HOST>")
    assert usable[0].regex.search("FAILED From 192.0.2.7")
    assert [(problem.severity, "(?i)" in problem.text) for problem in problems] == [
        ("warning", True)
    ]


@pytest.mark.parametrize("pattern", ["(?i)failed from <HOST>", r"\(?i\) <HOST>", "[(?i)] <HOST>"])
def test_what_is_no_misplaced_flag_is_left_alone(pattern):
    usable, problems = compiled(pattern)
    assert problems == []
    assert bool(usable[0].regex.search("FAILED from 192.0.2.7")) == pattern.startswith("(?i)")


def test_what_python_warns_of_becomes_a_problem_and_not_a_line_on_stderr():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, problems = compiled("[[a]nested set <HOST>")
    assert [problem.severity for problem in problems] == ["warning"]
    assert "nested set" in problems[0].text


def test_each_section_hears_what_is_odd_about_a_pattern_that_several_have():
    heard = [compiled("[[b]nested set <HOST>")[1] for _ in range(2)]
    assert len(heard[0]) == 1 and heard[0] == heard[1]
    wrong = [compiled("from <HOST> (")[1] for _ in range(2)]
    assert len(wrong[0]) == 1 and wrong[0] == wrong[1]


@untimed
@given(st.text(alphabet="()[]{}|*+?^$\\.<HOST>P=!:#ix0a -", max_size=25))
def test_any_text_is_either_compiled_or_reported(text):
    problems: list[Problem] = []
    regex = compile_regex(Sourced(text, Origin("f", 1)), "S", "failregex", problems.append)
    assert (regex is None) == any(problem.severity == "error" for problem in problems)
