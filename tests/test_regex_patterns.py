# SPDX-License-Identifier: GPL-2.0-or-later
"""What the argument REGEX of fail2ban-regex means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli.regex_arguments import parse
from fail2ban.cli.regex_patterns import Rules, find_rules
from fail2ban.errors import ConfigError

FILTER = """
[INCLUDES]
before = common.inc
[Definition]
failregex = ^%(word)s from <HOST> to <where>
            second <HOST>
ignoreregex = a
              b
datepattern = ^%%Y
maxlines = 3
journalmatch = _COMM=a + _COMM=b
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "jail.conf": "[DEFAULT]\nusedns = raw\n[both]\nfilter = both[where=jail]\nlogtimezone = CET\n"
        "[empty]\nfilter =\n[failing]\nfilter = none\n",
        "filter.d/both.conf": FILTER,
        "filter.d/both.local": "[Definition]\nwhere = local\n",
        "filter.d/only.conf": FILTER,
        "filter.d/common.inc": "[DEFAULT]\nword = fail\n",
        "alone.conf": "[Definition]\nfailregex = alone <HOST>\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rules(*words: str, journal: bool = False) -> Rules:
    return find_rules(parse(["-c", ".", "log", *words]), journal)


def texts(found: Rules) -> list[str]:
    return [pattern.text for pattern in found.filter.failregex]


def test_a_jail_is_meant_before_a_filter(tree: Path) -> None:
    found = rules("both")
    assert found.head == (("jail", "both"),)
    assert texts(found)[0] == "^fail from <HOST> to jail"
    assert (found.filter.usedns, found.filter.logtimezone) == ("raw", 3600)


def test_options_stand_before_those_of_the_jail(tree: Path) -> None:
    assert texts(rules("both[where=here]"))[0] == "^fail from <HOST> to here"


@pytest.mark.parametrize(
    "name", ["only", "only.conf", "filter.d/only.conf", "./filter.d/only.conf"]
)
def test_a_filter_may_be_named_or_given_by_its_path(tree: Path, name: str) -> None:
    found = rules(f"{name}[where=x]")
    assert found.head[0] == ("filter file", "only, basedir: .")
    assert found.head[1] == ("filter options", "{'where': 'x'}")
    assert texts(found) == ["^fail from <HOST> to x", "second <HOST>"]
    assert found.says == {"maxlines", "datepattern"}
    assert found.journal == (("_COMM=a",), ("_COMM=b",))
    assert found.filter.usedns == "warn"


def test_a_path_in_filter_d_passes_the_jail_of_its_name_by(tree: Path) -> None:
    assert texts(rules("filter.d/both.conf"))[0] == "^fail from <HOST> to local"


def test_another_path_is_read_alone(tree: Path) -> None:
    found = rules("./alone.conf")
    assert (found.head, texts(found)) == ((("filter file", "./alone.conf"),), ["alone <HOST>"])


@pytest.mark.parametrize("text", ["from <HOST>", "x[y", "./none.conf", "a/b <HOST>", "[", ""])
def test_anything_else_is_a_pattern(tree: Path, text: str) -> None:
    found = rules(text)
    assert (texts(found), found.head) == ([text], (("failregex line", text),))


def test_a_misspelled_name_is_pointed_out(tree: Path) -> None:
    (problem,) = rules("bth").problems
    assert "did you mean 'both'?" in problem.text


@pytest.mark.parametrize("name", ["empty", "failing", "./log.txt"])
def test_what_cannot_be_read_is_refused(tree: Path, name: str) -> None:
    Path("log.txt").write_text("")
    with pytest.raises(ConfigError):
        rules(name)


def test_the_command_line_stands_before_the_filter(tree: Path) -> None:
    found = rules("only", "c", "-d", "%H", "-L", "7", "--TZ", "UTC", "-r", "-m", "A=1 + B=2")
    assert [pattern.text for pattern in found.filter.ignoreregex] == ["c"]
    assert [pattern.text for pattern in found.filter.datepattern] == ["%H"]
    assert (found.filter.maxlines, found.filter.logtimezone, found.filter.usedns) == (7, 0, "raw")
    assert found.journal == (("A=1",), ("B=2",))


def test_an_ignoreregex_may_be_that_of_a_file(tree: Path) -> None:
    found = rules("x <HOST>", "./filter.d/only.conf")
    assert [pattern.text for pattern in found.filter.ignoreregex] == ["a", "b"]


def test_a_broken_jail_conf_does_not_keep_a_filter_from_being_tried(tree: Path) -> None:
    Path("jail.conf").write_text("[DEFAULT]\nno option\n[both]\n")
    found = rules("only")
    assert found.head[0][0] == "filter file"
    assert any("no jail is looked for" in problem.text for problem in found.problems)


def test_lines_of_the_journal_are_told_to_the_filter(tree: Path) -> None:
    Path("alone.conf").write_text("[Definition]\nfailregex = <logtype> <HOST>\n")
    assert texts(rules("./alone.conf")) == ["file <HOST>"]
    assert texts(rules("./alone.conf", journal=True)) == ["journal <HOST>"]


@given(st.text(max_size=12))
def test_any_text_means_something_or_is_refused(text: str) -> None:
    try:
        find_rules(parse(["-c", "/nonexistent", "log", "--", text]), False)
    except ConfigError as error:
        assert str(error)
