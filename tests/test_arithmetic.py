# SPDX-License-Identifier: GPL-2.0-or-later
"""Times and formulas: the same numbers as ever, and nothing but numbers."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.arithmetic import ArithmeticProblem, formula, number
from fail2ban.config.arithmetic import LONGEST, ban_duration, duration, positive_duration, seconds

DEFAULT = "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor"


def computed(text: str, time: float = 600, count: int = 1, factor: float = 1.0) -> float:
    return formula(text)(time, count, factor, random.Random(1))


# Times -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("600", 600),
        ("0600", 600),
        ("10m", 600),
        ("1H", 3600),
        ("1.5h", 5400),
        (".5h", 1800),
        ("1d12h", 129600),
        ("1w 2 days", 777600),
        ("1mo", 2629800),
        ("1y-6mo", 15778800),
        ("1 y 6mo", 47336400),
        ("1h 30", 3630),
        ("30 1h", 3630),
        ("2h+10", 7210),
        ("10*60", 600),
        ("(1h+1)*2", 7202),
        ("1h30m*2", 7200),
        ("-1", -1),
        ("-1d12h", -43200),
        ("1_000", 1000),
        ("600   # ten minutes", 600),
        ("1h # an hour\n30m", 5400),
    ],
)
def test_time_is_what_its_groups_and_operators_say(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "# x", "ten", "5 x", "1 2", "1h,30m", "2(3)", "(2)3", "((1", "1e3", "1/0", "__import__"],
)
def test_text_that_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; expected seconds"):
        seconds(text)


def test_time_that_is_out_of_all_bounds_is_cut_to_a_thousand_years() -> None:
    assert seconds("999999999999") == LONGEST
    assert seconds("-9000y") == -LONGEST
    with pytest.raises(ValueError, match="is not a duration"):
        seconds("9**9**9")


def test_any_negative_ban_is_for_ever_and_a_positive_one_has_whole_seconds() -> None:
    assert ban_duration("-1") is ban_duration("-600") is None
    assert ban_duration("0") == 0
    assert ban_duration("1.9") == 1


def test_window_is_above_nothing_and_a_delay_is_not_below() -> None:
    with pytest.raises(ValueError, match="'0' is not above 0"):
        positive_duration("0")
    with pytest.raises(ValueError, match="'-1' is negative"):
        duration("-1")
    assert duration("0") == 0
    assert positive_duration("1") == 1 and positive_duration("0.5") == 0.5


@given(st.text(max_size=80))
def test_no_text_does_more_to_a_time_than_be_refused(text: str) -> None:
    try:
        found = seconds(text)
    except ValueError:
        return
    assert -LONGEST <= found <= LONGEST


# Formulas --------------------------------------------------------------------


def test_usual_formula_doubles_up_to_twenty_times() -> None:
    assert computed(DEFAULT, 600, 1) == 1200
    assert computed(DEFAULT, 600, 3, 2.0) == 9600
    assert computed(DEFAULT, 1, 30) == 2**20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", 600 * math.e),
        ("ban.Time * [1, 5, 30][min(ban.Count, 2)]", 3000),
        ("max([ban.Time, 1000]) + sum((1, 2)) + pow(2, 3) + abs(-1)", 1012),
        ("ban.Time if 0 < ban.Count <= 1 and not False else 1", 600),
        ("0 or ban.Count", 1),
        ("1 < 2 > 3", 0),
        ("ban.Time >> 1 | 1", 301),
        ("int(ban.Time / 7) // 2 % 10 ^ 3", 1),
        ("round(2.567, 1)", 2.6),
        ("ban.Time  # the usual\n  * 2", 1200),
        ("math.factorial(5) + math.pi - math.pi", 120),
    ],
)
def test_formula_has_the_result_of_plain_arithmetic(text: str, expected: float) -> None:
    assert computed(text) == pytest.approx(expected)


def test_whole_ban_times_can_be_shifted_and_broken_ones_be_used() -> None:
    assert computed("ban.Time >> 1", time=600.0) == 300
    assert computed("ban.Time * 2", time=0.25) == 0.5


def test_formula_draws_from_the_generator_it_is_given() -> None:
    drawn = [computed("ban.Time * random.uniform(1, 2)") for _ in range(2)]
    assert drawn[0] == drawn[1] == 600 * random.Random(1).uniform(1, 2)
    assert computed("random.choice([7, 7])") == 7


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "ban.__class__",
        "ban.Time.real",
        "random.seed(1)",
        "random.SystemRandom()",
        "math.__loader__",
        "open('/etc/passwd')",
        "(lambda: 1)()",
        "[x for x in (1, 2)][0]",
        "'a' * 5",
        "f'{ban}'",
        "1j",
        "None",
        "min(1, *[2])",
        "round(1.5, ndigits=0)",
        "max",
        "(x := 5)",
        "1 @ 2",
        "1 in [1]",
        "1, 2",
        "min(1",
        "",
        "\0",
        "-" * 5000 + "1",
        "(" * 300 + "1" + ")" * 300,
        "banfactor",
    ],
)
def test_formula_that_is_no_arithmetic_is_refused_before_it_runs(text: str) -> None:
    with pytest.raises(ArithmeticProblem):
        formula(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / (ban.Count - 1)", "it divides by 0"),
        ("9**9**9", "too large"),
        ("2.0**5000", "too large"),
        ("1 << 10**6", "too large"),
        ("(1 << 900) * (1 << 900)", "too large"),
        ("math.exp(1000)", "too large"),
        ("math.factorial(10**6)", "too large"),
        ("round(1, -10**9)", "too large"),
        ("1e300 * 1e300", "too large"),
        ("(-8)**0.5", "only real numbers"),
        ("math.sqrt(-1)", "has no result"),
        ("[1, 2][5]", "has no result"),
        ("1.5 << 2", "is not a whole number"),
        ("1 << -1", "negative shift count"),
    ],
)
def test_formula_without_a_result_says_why(text: str, why: str) -> None:
    with pytest.raises(ArithmeticProblem, match=why):
        computed(text)


def test_plain_arithmetic_knows_no_names_and_no_functions() -> None:
    assert number("10 * 60") == 600
    for text in ("ban.Time", "min(1, 2)", "math.pi"):
        with pytest.raises(ArithmeticProblem, match="neither number nor operator"):
            number(text)


def test_equal_texts_make_equal_formulas() -> None:
    assert formula("ban.Time") == formula("ban.Time") != formula("ban.Count")
    assert len({formula("ban.Time"), formula("ban.Time")}) == 1


_pieces = st.sampled_from(
    "ban.Time ban.Count banFactor 1 2 0 1.5 ( ) + - * / // % ** << >> < > == and or not if else "
    "min( max( [ ] , math.exp( random.random()".split()
)


@given(st.lists(_pieces, max_size=15).map(" ".join), st.integers(0, 10**6))
def test_every_formula_is_refused_or_finite_and_quick(text: str, count: int) -> None:
    try:
        found = computed(text, 1e6, count)
    except ArithmeticProblem:
        return
    assert math.isfinite(found)
