# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of fail2ban-regex."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli.regex_arguments import USAGE, Arguments, UsageError, parse


def test_log_regex_and_ignoreregex_are_told_apart() -> None:
    found = parse(["a.log", "sshd", "joe"])
    assert (found.log, found.regex, found.ignoreregex) == ("a.log", "sshd", "joe")
    assert parse(["a.log", "sshd"]).ignoreregex is None


def test_flags_may_follow_the_words_and_be_shortened() -> None:
    found = parse(["a.log", "-v", "sshd", "--print-all-mis", "--datepattern=%Y", "-v"])
    assert (found.log, found.regex, found.verbose) == ("a.log", "sshd", 2)
    assert (found.print_all, found.datepattern) == (frozenset({"missed"}), "%Y")


def test_a_value_may_begin_with_a_hyphen() -> None:
    assert parse(["-o", "-<ip>", "l", "r"]).out == "-<ip>"


def test_every_flag_is_understood() -> None:
    words = (
        "-c /etc/x -d %Y --TZ UTC+0200 -e latin1 -L 3 -m A=1 -l debug -v --VD -D"
        " --no-check-all -o id -i --print-no-missed --print-no-ignored --print-all-matched"
        " --print-all-missed --print-all-ignored -t --full-traceback --usedns no"
        " --require-match l r"
    )
    assert parse(words.split()) == Arguments(
        log="l",
        regex="r",
        config="/etc/x",
        datepattern="%Y",
        timezone=7200,
        encoding="latin1",
        usedns="no",
        maxlines=3,
        journalmatch="A=1",
        level=logging.DEBUG,
        verbose=1,
        verbose_date=True,
        debuggex=True,
        check_all=False,
        out="id",
        invert=True,
        print_all=frozenset({"matched", "missed", "ignored"}),
        print_no=frozenset({"missed", "ignored"}),
        traceback=True,
        require_match=True,
    )


def test_raw_means_usedns_raw() -> None:
    assert parse(["-r", "l", "r"]).usedns == "raw"


def test_verbosity_sets_what_v_counts() -> None:
    assert parse(["-v", "--verbosity", "3", "l", "r"]).verbose == 3


@pytest.mark.parametrize(
    ("flag", "show"),
    [("-h", "help"), ("--help", "help"), ("-V", "number"), ("--version", "version")],
)
def test_help_and_version_need_nothing_else(flag: str, show: str) -> None:
    assert parse([flag]).show == show


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["l"],
        ["l", "r", "i", "more"],
        ["--nonsense", "l", "r"],
        ["-L", "0", "l", "r"],
        ["-L", "three", "l", "r"],
        ["--usedns", "maybe", "l", "r"],
        ["--TZ", "Europe/Paris", "l", "r"],
        ["-l", "loud", "l", "r"],
        ["--verbosity", "-1", "l", "r"],
        ["-i", "l", "r"],
        ["--explain", "line"],
        ["--explain", "line", "sshd", "more"],
    ],
)
def test_nonsense_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(words)


def test_explain_takes_a_jail() -> None:
    found = parse(["--explain", "a line", "sshd"])
    assert (found.explain, found.regex, found.log) == ("a line", "sshd", "")


def test_the_help_names_every_flag() -> None:
    from fail2ban.cli import regex_arguments

    for name in regex_arguments._LONG:
        assert f"--{name.rstrip('=')}" in USAGE
    for letter in regex_arguments._SHORT.replace(":", ""):
        assert f"-{letter}" in USAGE


@given(st.lists(st.text(max_size=8), max_size=6))
def test_anything_is_parsed_or_refused(words: list[str]) -> None:
    try:
        parse(words)
    except UsageError as error:
        assert str(error)
