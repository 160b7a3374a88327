# SPDX-License-Identifier: GPL-2.0-or-later
"""The tags of a filter.d become groups, and what cannot be meant is refused with a reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect.regextags import compile_tagged, names_somebody, target
from fail2ban.records import Origin, Problem, Sourced, UseDns

IP4 = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})"
IP6 = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))"
DNS = r"(?P<dns>[\w\-.^_]*\w)"
ADDR = rf"\[?(?:{IP4}|{IP6})\]?"


def compiled(
    pattern: str, usedns: UseDns = "warn", multiline: bool = False
) -> tuple[re.Pattern[str] | None, list[Problem]]:
    problems: list[Problem] = []
    source = Sourced(pattern, Origin("f.conf", 3))
    regex = compile_tagged(source, "sshd", "failregex", problems.append, usedns, multiline)
    return regex, problems


def expanded(pattern: str, usedns: UseDns = "warn") -> str:
    regex, problems = compiled(pattern, usedns)
    assert regex and not problems
    return regex.pattern


def refusal(pattern: str) -> str:
    regex, (problem,) = compiled(pattern)
    assert regex is None and problem.severity == "error"
    assert str(problem).startswith("f.conf:3: [sshd] failregex: ")
    return problem.text


def remark(pattern: str) -> tuple[str, str]:
    """Return the expression and the one warning."""
    regex, (problem,) = compiled(pattern)
    assert regex and problem.severity == "warning"
    return regex.pattern, problem.text


@pytest.mark.parametrize(
    ("tag", "group"),
    [
        ("<IP4>", IP4),
        ("<F-IP4/>", IP4),
        ("<IP6>", IP6),
        ("<F-IP6/>", IP6),
        ("<DNS>", DNS),
        ("<F-DNS/>", DNS),
        ("<ADDR>", ADDR),
        ("<F-ADDR/>", ADDR),
        ("<HOST>", rf"(?:{ADDR}|{DNS})"),
        ("<CIDR>", r"(?P<cidr>\d+)"),
        ("<F-CIDR/>", r"(?P<cidr>\d+)"),
        ("<SUBNET>", rf"\[?(?:{IP4}|{IP6})(?:/(?P<cidr>\d+))?\]?"),
        ("<F-SUBNET/>", rf"\[?(?:{IP4}|{IP6})(?:/(?P<cidr>\d+))?\]?"),
        ("<F-ID/>", r"(?P<fid>\S+)"),
        ("<F-PORT/>", r"(?P<fport>\w+)"),
        ("<F-ID>x</F-ID>", "(?P<fid>x)"),
        ("<F-PORT>x</F-PORT>", "(?P<fport>x)"),
        (r"<F-USER>\S+|.*?</F-USER>", r"(?P<user>\S+|.*?)"),
        ("<F-MLFID>x</F-MLFID>", "(?P<mlfid>x)"),
        ("<F-ALT_USER_2>x</F-ALT_USER_2>", "(?P<alt_user_2>x)"),
        ("<F-A-B>x</F-A-B>", "(?P<a_b>x)"),
        ("<F-A>x<F-B>y</F-B></F-A>", "(?P<a>x(?P<b>y))"),
    ],
)
def test_each_tag_stands_for_its_group(tag, group):
    assert expanded(f"^a {tag} b$") == f"^a {group} b$"


@pytest.mark.parametrize("text", ["<ID>", "<PORT>", "<F-USER/>", "<host>", "<F-user>", "<foo>"])
def test_what_is_no_tag_is_looked_for_literally(text):
    assert expanded(f"a{text}b") == f"a{text}b"


def test_without_dns_the_host_is_an_address():
    assert expanded("<HOST>", "no") == ADDR
    assert all(
        expanded("<HOST>", usedns) == rf"(?:{ADDR}|{DNS})" for usedns in ("yes", "warn", "raw")
    )
    assert expanded("<HOST> <DNS>", "no") == f"{ADDR} {DNS}"


def test_skipped_lines_are_numbered():
    assert expanded("a<SKIPLINES>b<SKIPLINES>c") == (
        r"a\n(?P<skiplines0>(?:(?:.*\n)*?))b\n(?P<skiplines1>(?:(?:.*\n)*?))c"
    )


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[192.0.2.7]", "192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::", "2001:db8::"),
        ("::1", "::1"),
    ],
)
def test_a_host_is_captured_without_its_brackets(text, ip):
    regex, _ = compiled("^from <HOST> port$")
    assert regex and (found := regex.search(f"from {text} port"))
    assert ip in (found["ip4"], found["ip6"])


def test_lines_have_their_own_ends_only_where_asked():
    assert compiled("^b$", multiline=True)[0].search("a\nb\nc")
    assert not compiled("^b$")[0].search("a\nb\nc")


@pytest.mark.parametrize(
    ("pattern", "local"),
    [("((?i)a|b)c", "(?i:a|b)c"), ("(?:(?i)a)c", "(?i:a)c"), (r"\(a((?is)b)", r"\(a(?is:b)")],
)
def test_flags_at_the_begin_of_a_group_are_its_own(pattern, local):
    assert expanded(pattern) == local


@pytest.mark.parametrize(
    ("pattern", "moved"),
    [("a(?i)b", "(?i)ab"), (r"a\((?i)b", r"(?i)a\(b"), ("a(?s)b(?P<c>(?i)d)", "(?si)ab(?P<c>d)")],
)
def test_other_flags_move_to_the_front_with_a_warning(pattern, moved):
    assert remark(pattern) == (
        moved,
        f"{moved[: moved.index(')') + 1]} concerns the whole expression and belongs at its start",
    )
    assert expanded("(?i)ab") == "(?i)ab"


def test_a_closing_tag_alone_is_literal_with_a_warning():
    expression, text = remark("a</F-USER>b")
    assert expression == "a</F-USER>b"
    assert "</F-USER> closes nothing in 'a</F-USER>b'" in text and "<F-USER> before it" in text


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("<F-USER>a", "<F-USER> is not closed in '<F-USER>a'; expected </F-USER>"),
        ("<F-USER>a</F-HOST>", "<F-USER> is not closed"),
        ("<HOST> <ADDR>", "<HOST> and <ADDR> both stand for the group ip4"),
        ("<HOST> <F-DNS/>", "<HOST> and <F-DNS/> both stand for the group dns"),
        (r"\<HOST>", "a backslash stands before <HOST>"),
        (r"\<F-USER>a</F-USER>", "a backslash stands before <F-USER>"),
        ("[<HOST>]", r"only a set of characters; for brackets around it write \[<HOST>\]"),
        ("[a<F-USER>]", r"only a set of characters; for brackets around it write \[<F-USER>\]"),
        ("<HOST>(", r"at position 6 in '<HOST>(', at '('; write \( for a literal"),
        ("a{3,2}", "min repeat greater than max repeat"),
        ("<F-ID>(?P<fid>x)</F-ID>", "give each named group its own name"),
        ("a{99999999999999}", "expected a simpler expression"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(pattern, words):
    assert words in refusal(pattern)


def test_an_escaped_backslash_before_a_tag_is_the_users():
    assert expanded(r"\\<DNS>") == rf"\\{DNS}"
    assert expanded(r"\[<DNS>\]") == rf"\[{DNS}\]"
    assert expanded(r"[^]]<DNS>(?#<DNS>)") == rf"[^]]{DNS}(?#<DNS>)"


@pytest.mark.parametrize(
    "pattern",
    ["<HOST>", "<ADDR>", "<IP4>", "<IP6>", "<DNS>", "<SUBNET>", "<F-ID/>", "(?P<host>x)"]
    + ["<F-MLFID>x</F-MLFID>", "<F-ALT_ID>x</F-ALT_ID>", "<F-TUPLE_FID_2>x</F-TUPLE_FID_2>"],
)
def test_a_pattern_with_an_address_or_an_id_names_somebody(pattern):
    assert names_somebody(compiled(pattern)[0])


@pytest.mark.parametrize("pattern", ["x", "<CIDR>", "<F-PORT/>", "<F-USER>x</F-USER>"])
def test_other_patterns_name_nobody(pattern):
    assert not names_somebody(compiled(pattern)[0])


@pytest.mark.parametrize(
    ("name", "whose", "how"),
    [
        ("user", "user", ""),
        ("alt_user", "user", "alt"),
        ("alt_user_2", "user", "alt"),
        ("alt_user1", "user1", "alt"),
        ("alt_user_x", "user_x", "alt"),
        ("tuple_id", "fid", "tuple"),
        ("alt_port_12", "fport", "alt"),
        ("alternative", "alternative", ""),
    ],
)
def test_a_name_says_which_group_it_is_an_alternative_or_a_part_of(name, whose, how):
    assert target(name) == (whose, how)


PART = st.sampled_from(
    [
        "<HOST>",
        "<F-USER>",
        "</F-USER>",
        "<SKIPLINES>",
        "(",
        ")",
        "((?i)",
        "(?:(?i)",
        "(?i)",
        "[",
        "]",
    ]
    + ["\\", "|", "a", "*", "<F-ID/>", "(?P<x>", "(?#", "^", "$", "{2}", "<F-4>", "</F-4>"]
)


@given(st.lists(st.one_of(PART, st.text(max_size=3)), max_size=10).map("".join))
def test_any_text_is_compiled_or_refused(pattern):
    regex, problems = compiled(pattern)
    assert (regex is None) == any(problem.severity == "error" for problem in problems)
