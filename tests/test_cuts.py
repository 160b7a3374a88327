# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of where timestamps stand holds for every timestamp that is found."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.detect.cuts import common, cuts_of, keep_words
from fail2ban.detect.factors import Cut
from fail2ban.detect.templates import DEFAULTS, expand, form_of

LAST_YEAR = 2029
MOMENTS = [
    "2026-11-22T05:00:00Z",
    "2026-11-22 05:00:00,123 +0100",
    "Sun Nov 22 05:00:00 2026",
    "+0100 Nov 22 05:00:00",
    "22/Nov/2026:05:00:00 +0000",
    "<11/22/26@05:00:00>",
    "Nov-22-26 05:00:00",
    "1700000000.123",
    "@40000000433225833b6e1a8c",
    "20261122T050000",
]


def cut_of(*datepatterns: str) -> Cut:
    forms = [form_of(p.text, LAST_YEAR) for one in datepatterns for p in expand(one)]
    return common((form.regex, form.cut) for form in forms)


@pytest.mark.parametrize(
    ("datepattern", "cut"),
    [
        ("{DEFAULT}", Cut.WORDS),
        ("{DATE}", Cut.WORDS),
        ("{^LN-BEG}", Cut.FRONT),
        ("^%Y-%m-%d", Cut.NOTHING),
        ("{^LN-BEG}%Y-%m-%d", Cut.FRONT),
        ("%Y-%m-%d", Cut.WORDS),
        ("%Y-%m-%d>", Cut.ANYWHERE),
        ("%Y-%m-%d**", Cut.ANYWHERE),
        ("{UNB}%Y-%m-%d", Cut.ANYWHERE),
        (r"^[^\[]*\[({DATE})", Cut.BRACKET),
        (r"\[({DATE})", Cut.BRACKET),
        (r"^[^\[]*(\[{DATE}\])", Cut.ANYWHERE),
        (r"^[^\[]*({DATE}),", Cut.WORDS),
        (r"^x(%Y)y", Cut.FRONT),
        (r"^xxx(%Y)y", Cut.ANYWHERE),
        (r"(?:a|(%Y))b", Cut.ANYWHERE),
        (r"^WARNING:()**", Cut.NOTHING),
    ],
)
def test_the_form_of_a_datepattern_says_where_it_is_cut_out(datepattern: str, cut: Cut) -> None:
    assert cut_of(datepattern) is cut


def test_several_formats_have_in_common_what_holds_for_all() -> None:
    assert cut_of("^%Y-%m-%d", "{^LN-BEG}%Y-%m-%d") is Cut.FRONT
    assert cut_of(r"^[^\[]*\[({DATE})", "{^LN-BEG}") is Cut.BRACKET
    assert cut_of(r"^[^\[]*\[({DATE})", "{DATE}") is Cut.WORDS
    assert cut_of("{^LN-BEG}%Y-%m-%d>", "%Y-%m-%d") is Cut.WORDS
    assert cut_of(r"^x(%Y)y", "%Y-%m-%d") is Cut.ANYWHERE
    assert common([]) is Cut.NOTHING


TEXTS = st.text("ab1_ [<>@:é-", max_size=6)


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(MOMENTS), TEXTS)
def test_no_timestamp_is_cut_out_where_none_was_expected(
    before: str, moment: str, after: str
) -> None:
    line = before + moment + after
    for pattern in (*DEFAULTS, *expand(r"^[^\[]*\[({DATE})"), *expand("{DATE}>")):
        form = form_of(pattern.text, LAST_YEAR)
        if not (found := form.find(line)):
            continue
        start, end = found.span(form.cut)
        allowed = cuts_of(form.regex, form.cut)
        if Cut.NOTHING in allowed:
            assert start in (0, end)
        if Cut.FRONT in allowed:
            assert start <= 2
        if Cut.BRACKET in allowed:
            assert start <= 2 or start == end or line[start - 1] == "["
        if Cut.WORDS in allowed:
            inside = re.search(r"\w\Z", line[:start]) and re.match(r"\w", line[end:])
            assert not inside, (pattern.text, line)


# Words -----------------------------------------------------------------------------------


def keeps(datepattern: str) -> bool:
    forms = [form_of(p.text, LAST_YEAR) for p in expand(datepattern)]
    return keep_words((form.regex, form.cut) for form in forms)


@pytest.mark.parametrize(
    ("datepattern", "expected"),
    [
        ("{DEFAULT}", True),
        ("{DATE}", True),
        ("{^LN-BEG}", True),
        ("^%Y-%m-%d", True),
        ("EPOCH", True),
        ("TAI64N", True),
        (r"^[^\[]*\[({DATE})\]", True),
        (r"^\[%Y-%m-%d\]", True),
        (r"{^LN-BEG}\[%Y-%m-%d\]", True),
        (r"\[%Y-%m-%d\]", False),  # what stands before and behind would become one word
        ("%Y-%m-%d**", False),
        ("**%Y-%m-%d", False),
        ("{UNB}%Y-%m-%d", False),
        (r"^x(%Y)y", False),
        (r"(?:a|(%Y))b", False),
    ],
)
def test_the_form_of_a_datepattern_says_whether_words_are_kept(
    datepattern: str, expected: bool
) -> None:
    assert keeps(datepattern) is expected


WORD = re.compile(r"(?<=[\x00-\x7f])(?<!\w)\w+(?!\w)(?=[\x00-\x7f])", re.ASCII)
ANY_WORD = re.compile(r"\w+", re.ASCII)
KEPT = ["{DEFAULT}", "{DATE}", "{^LN-BEG}", "TAI64N", "LEPOCH", r"\[({DATE})\]", "%Y-%m-%d"]
DOUBTFUL = [r"\[{DATE}\]", "<{DATE}", "{DATE}>", r"^\[{DATE}\]", r"{^LN-BEG}\[{DATE}", " {DATE} "]


@settings(max_examples=300)
@given(
    TEXTS,
    st.sampled_from([*MOMENTS, *map("[{}]".format, MOMENTS)]),
    TEXTS,
    st.sampled_from([*KEPT, *DOUBTFUL]),
)
def test_words_are_those_of_the_line(before: str, moment: str, after: str, pattern: str) -> None:
    line = f"{before}{moment}{after}"
    assert pattern in DOUBTFUL or keeps(pattern)
    for one in expand(pattern) if keeps(pattern) else ():
        form = form_of(one.text, LAST_YEAR)
        if found := form.find(line):
            begin, end = found.span(form.cut)
            words = WORD.findall(f"{line[:begin]}{line[end:]}")
            assert set(words) <= set(ANY_WORD.findall(line))
