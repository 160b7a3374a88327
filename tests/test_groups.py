# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured groups of a prefregex and a failregex are put together."""

from __future__ import annotations

import re

import pytest

from fail2ban.detect.groups import Groups, certain, shown, together
from fail2ban.records import Capture


def captured(*matches: re.Match[str] | None) -> dict[str, Capture]:
    """Put together what some matches captured, each overriding those before it."""
    texts: dict[str, str] = {}
    for match in matches:
        texts |= Groups(match.re).of(match) if match else {}
    return together(texts)


def found(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text)
    assert match
    return match


def test_a_later_match_overrides_an_earlier_one_also_with_nothing():
    first = found("(?P<a>x)(?P<b>y)(?P<c>z)", "xyz")
    second = found("(?P<a>q?)(?P<b>w)?(?P<d>y)", "y")
    assert captured(first, second) == {"a": "", "b": "y", "c": "z", "d": "y"}
    assert captured(None, second) == {"a": "", "d": "y"}
    assert captured() == {}


def test_names_are_lower_case_and_those_in_lower_case_win():
    assert captured(found("(?P<USER>a)", "a")) == {"user": "a"}
    assert captured(found("(?P<user>a)(?P<User>b)", "ab")) == {"user": "a"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("(?P<A>x)(?P<b>(?P<c>y)z*)", {"a", "b", "c"}),
        ("(?P<a>x*)(?P<b>y)?(?P<c>z)*", set()),
        ("(?P<a>x)|(?P<b>y)", set()),
        ("(?=(?P<a>x))", set()),
        # It may capture nothing, and counts rather than the other.
        ("(?P<A>x)(?P<a>y*)", set()),
        ("(?P<a>x)(?P<A>y*)", {"a"}),
    ],
)
def test_a_group_is_certain_if_it_captures_some_text_whenever_the_pattern_matches(pattern, names):
    assert certain(re.compile(pattern)) == names


@pytest.mark.parametrize(
    ("text", "user"),
    [("u123", "u"), ("123", "1"), ("23", "2"), ("3", "3"), ("", "")],
)
def test_the_first_alternative_stands_in_for_what_is_empty(text, user):
    pattern = "^(?P<user>u?)(?P<alt_user>1?)(?P<alt_user_1>2?)(?P<alt_user_2>3?)$"
    assert captured(found(pattern, text))["user"] == user


def test_an_alternative_stands_in_for_a_group_that_is_missing():
    assert captured(found("(?P<alt_id>x)", "x")) == {"alt_id": "x", "fid": "x"}


def test_further_parts_make_a_tuple():
    pattern = "(?P<user>a?)(?P<tuple_user>b)(?P<tuple_user_1>c?)"
    assert captured(found(pattern, "abc"))["user"] == ("a", "b", "c")
    assert captured(found(pattern, "b"))["user"] == ("", "b", "")
    assert captured(found("(?P<tuple_id>b)", "b"))["fid"] == ("", "b")


def test_marks_and_skipped_lines_are_not_shown():
    groups = {"nofail": "1", "mlfgained": "2", "mlfforget": "3", "content": "4", "skiplines0": "5"}
    assert shown({**groups, "user": "root", "mlfid": "7"}) == {"user": "root", "mlfid": "7"}


def test_captures_are_kept_to_a_length_that_many_can_have():
    kept = shown({"user": "x" * 5000, "users": ("y" * 5000, "z")})
    assert kept == {"user": "x" * 1000, "users": ("y" * 1000, "z")}
