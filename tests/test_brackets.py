# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that a jail gives its filter and its actions, in brackets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config.brackets import BracketError, Element, element, elements


def options(text: str) -> dict[str, str]:
    return element(text).options


def test_name_alone_has_no_options() -> None:
    assert element(" sshd \n") == Element("sshd")
    assert element("sshd[]") == Element("sshd")


def test_values_are_plain_or_in_either_quotes() -> None:
    assert options("""a[x=1, y = "2, ]" ,z='3"'][w=it's]""") == {
        "x": "1",
        "y": "2, ]",
        "z": '3"',
        "w": "it's",
    }


def test_blanks_around_values_go_and_lines_inside_quotes_stay() -> None:
    assert options("a[x=  b c ,\n  y=' d\ne ', z=]") == {"x": "b c", "y": "d\ne", "z": ""}


def test_names_keep_their_case_and_may_be_of_a_family() -> None:
    assert options("a[Opt=1, lt_x.y-z=2, t?family=inet6=::1]") == {
        "Opt": "1",
        "lt_x.y-z": "2",
        "t?family=inet6": "::1",
    }


def test_last_of_two_options_of_a_name_wins_also_across_groups() -> None:
    assert options("a[x=1, x=2][x=3]") == {"x": "3"}


def test_actions_of_0_8_stand_one_a_line() -> None:
    text = "iptables[name=SSH, port=ssh, protocol=tcp]\nsendmail-whois[name=SSH, dest=root]"
    assert [(one.name, one.line, one.options["name"]) for one in elements(text)] == [
        ("iptables", 0, "SSH"),
        ("sendmail-whois", 1, "SSH"),
    ]


def test_actions_may_share_a_line() -> None:
    assert [one.name for one in elements("a b[x=1] c.py[y=2]d")] == ["a", "b", "c.py", "d"]


def test_blank_before_the_bracket_is_remarked() -> None:
    found = element("a [x=1]")
    assert found.options == {"x": "1"}
    assert found.remarks == ("there is a blank before the bracket of 'a'; expected 'a['",)
    assert element("a[x=1] [y=2]").remarks == ()


@pytest.mark.parametrize(
    ("text", "found", "expected", "line"),
    [
        ("a[x", "'x'", "expected 'option=value' or ']' in the brackets of 'a'", 0),
        ("a\nb[x=1", "'1'", "expected as value of 'x' a text", 1),
        ('a[x="1"2]', "'\"1\"2]'", "expected as value of 'x'", 0),
        ('a[x="1]', "'\"1]'", "in quotes that are closed", 0),
        ("[x=1]", "'[x=1]'", "expected a name before it", 0),
        ("a\n]", "']'", "expected a name before it", 1),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_line(
    text: str, found: str, expected: str, line: int
) -> None:
    with pytest.raises(BracketError, match=re.escape(f"cannot read {found}; ")) as caught:
        elements(text)
    assert expected in str(caught.value)
    assert caught.value.line == line


def test_exactly_one_filter_is_expected() -> None:
    with pytest.raises(BracketError, match="names nothing"):
        element(" ")
    with pytest.raises(BracketError, match="'b' follows 'a'; expected one name only"):
        element("a b")


@given(st.text(alphabet="ab[]=,\"' \n?.", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = elements(text)
    except BracketError as error:
        assert 0 <= error.line <= text.count("\n")
    else:
        assert all(one.name for one in found)


_plain = st.text(alphabet="ab c=.;<>", max_size=8)


@given(st.dictionaries(st.text(alphabet="abc_", min_size=1, max_size=5), _plain, max_size=4))
def test_quoted_values_come_back_as_they_were(given_options: dict[str, str]) -> None:
    written = ",".join(f'{name}="{value}"' for name, value in given_options.items())
    assert options(f"name[{written}]") == {k: v.strip() for k, v in given_options.items()}
