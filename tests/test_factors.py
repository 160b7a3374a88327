# SPDX-License-Identifier: GPL-2.0-or-later
"""Which literal texts a pattern cannot do without."""

from __future__ import annotations

import re
import sys
import time

import pytest

from fail2ban.detect.factors import FOLDED, MOST_ARMS, Cut, Factors, factors


def needs(pattern: str, cut: Cut = Cut.NOTHING, flags: int = 0, prefix: str = "") -> Factors:
    found, _ = factors(re.compile(pattern, flags), cut, re.compile(prefix) if prefix else None)
    assert found
    return found


def looked_for(pattern: str, cut: Cut = Cut.NOTHING, flags: int = 0) -> list[set[str]]:
    """Return the literals of each group; those regardless of case end with "/i"."""
    groups = needs(pattern, cut, flags).groups
    return [{one.text + ("/i" if one.caseless else "") for one in group} for group in groups]


def test_texts_are_needed_in_their_order() -> None:
    found = needs(r"^Failed \S+ for .* from (?P<host>\S+)( port \d+)?$")
    assert found.texts == ("Failed ", " for ", " from ")
    assert [[one.text for one in group] for group in found.groups] == [["Failed "]]


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"abc(?P<x>def)ghi", ("abcdefghi",)),
        (r"abc(?:def)?ghi", ("abc", "ghi")),
        (r"abc(?>def)++ghi", ("abcdef", "ghi")),
        (r"abc(?:def){2}ghi", ("abcdef", "ghi")),
        (r"a{5}bc", ("aaaaabc",)),
        (r"a{3,5}bc", ("aaa",)),
        (r"abc\bdef(?=x)ghi$", ("abcdefghi",)),
        (r"abc(?!def)ghi", ("abcghi",)),
        ("abc\ndef", ("abc", "def")),
        ("abcédef", ("abc", "def")),
        ("abc\0def", ("abc", "def")),
        (r"(?x) a b c  # not this", ("abc",)),
        (r"(abc)\1def", ("abc", "def")),
    ],
)
def test_what_stands_together_is_one_text_and_what_may_be_missing_is_none(
    pattern: str, texts: tuple[str, ...]
) -> None:
    assert needs(pattern).texts == texts


def test_alternatives_count_if_each_needs_something() -> None:
    assert looked_for("(?:refused|dropped here)") == [{"refused", "dropped here"}]
    assert looked_for(r"(?:refused|\d+) always") == [{" always"}]
    assert looked_for(r"(x)?(?(1)refused|dropped)") == [{"refused", "dropped"}]


def test_a_choice_is_looked_for_beside_a_text_that_says_little() -> None:
    assert looked_for('"GET .*(?:wget|curl)') == [{'"GET '}, {"wget", "curl"}]
    # Here other texts are checked besides.
    assert looked_for('"GET .* HTTP .*(?:wget|curl)') == [{'"GET '}]


def test_what_says_more_is_looked_for_rather_than_what_every_line_has() -> None:
    assert looked_for(" user .* from .* realm") == [{" realm"}]


def test_a_text_is_looked_for_rather_than_a_choice_that_says_hardly_more() -> None:
    assert looked_for(r"^Failed (?:password|keyboard-interactive) for") == [{"Failed "}]
    assert looked_for(r"^x y (?:refused|dropped)") == [{"refused", "dropped"}]


def test_case_is_ignored_only_where_the_pattern_ignores_it() -> None:
    assert looked_for("(?i)Failed") == [{"FAILED/i"}]
    assert looked_for("Denied(?i: by)") == [{"Denied "}]
    assert looked_for("(?i)x(?-i:Denied)x") == [{"Denied"}]
    assert looked_for("[Aa]uthentication") == [{"uthentication"}]
    assert looked_for("[Dd][Ee]nied") == [{"nied"}]
    assert looked_for("[Dd][Ee][Nn][Ii]ed") == [{"DENIed/i"}]


def test_letters_are_told_that_re_takes_for_others() -> None:
    def letters(pattern: str, flags: int = 0) -> frozenset[str]:
        return factors(re.compile(pattern, flags), Cut.NOTHING)[1]

    assert letters("(?i)risk") == {"i", "s", "k"}
    assert letters("risk(?i:Kelvin)") == {"i", "k"}
    assert letters("(?ia)risk") == letters("risk") == frozenset()
    assert letters("(?i)x(?a:risk)") == frozenset()


def test_re_takes_exactly_these_characters_for_ascii_letters() -> None:
    every = "".join(map(chr, (*range(128, 0xD800), *range(0xE000, sys.maxunicode + 1))))
    for letter in "abcdefghijklmnopqrstuvwxyz":
        both = re.compile(f"[{letter}{letter.upper()}]", re.IGNORECASE).findall(every)
        single = re.compile(letter, re.IGNORECASE).findall(every)
        assert "".join(single) == "".join(both) == FOLDED.get(letter, "")
    others = "".join(chr(code) for code in range(128) if not chr(code).isalpha())
    assert not re.findall(f"[{re.escape(others)}]", every, re.IGNORECASE)


def test_a_cut_in_front_may_part_the_first_two_characters() -> None:
    assert looked_for(r"\[\] \[error\]", Cut.FRONT) == [{" [error]"}]
    assert looked_for(r".\[\] \[error\]", Cut.FRONT) == [{"] [error]"}]
    assert looked_for(r"..\[\] \[error\]", Cut.FRONT) == [{"[] [error]"}]
    assert needs(r"abcde.*fghi", Cut.FRONT).texts == ("cde", "fghi")


def test_a_cut_between_words_leaves_the_words() -> None:
    assert needs("Failed password: x1_y", Cut.WORDS).texts == ("Failed", "password", "x1_y")


def test_a_cut_behind_a_bracket_leaves_what_has_none() -> None:
    found = needs(r'^.* - \S+ \[\] "GET /x', Cut.BRACKET)
    assert found.texts == ('] "GET /x',)
    assert needs(r"xyabc[\[x]def", Cut.BRACKET).texts == ("abc", "def")
    assert needs("^abcde", Cut.BRACKET).texts == needs("^abcde", Cut.FRONT).texts


def test_a_cut_anywhere_leaves_a_half() -> None:
    assert looked_for("authentication", Cut.ANYWHERE) == [{"authenti", "ication"}]


def test_what_prefregex_needs_stands_around_what_its_content_needs() -> None:
    found = needs("Failed", prefix=r"^\S+ sshd: (?P<content>.+) \[preauth\]$")
    assert found.texts == (" sshd: ", "Failed", " [preauth]")
    # What follows a content that is repeated, or may be nothing, need not follow it.
    assert needs("Denied", prefix=r"sshd: (?P<content>.*)").texts == ("Denied",)


def test_a_prefregex_without_content_has_no_unnamed_group_for_it() -> None:
    assert needs("from here", prefix="(?i:x)(?-i:kiss)Failed").texts in (
        ("from here",),
        ("kissFailed",),
    )


def test_very_many_alternatives_are_a_gap() -> None:
    arms = "|".join(f"word{number}x" for number in range(MOST_ARMS + 1))
    assert looked_for(f"(?:{arms}) denied") == [{" denied"}]


def test_a_pattern_that_grows_without_end_is_read_in_no_time() -> None:
    pattern = "(?:a{9}){9}" * 5 + "(?:" * 30 + "denied" + "){1,9}" * 30
    begin = time.process_time()
    assert needs(pattern)
    assert time.process_time() - begin < 5


def test_a_pattern_as_deep_as_re_allows_does_no_harm() -> None:
    for depth in range(50, 400, 50):
        try:
            pattern = re.compile("(?:x?" * depth + "denied" + ")+" * depth)
        except RecursionError:
            break
        factors(pattern, Cut.NOTHING)


@pytest.mark.parametrize("pattern", [r"\d+", "ab", "a?b*", "(?:)", "(?!)", "é", "(?=denied)"])
def test_nothing_certain_is_needed(pattern: str) -> None:
    assert factors(re.compile(pattern), Cut.NOTHING)[0] is None
