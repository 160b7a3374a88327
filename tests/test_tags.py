# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tag has a value where, and what never gets into a command."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fail2ban.enforce import shell, tags
from fail2ban.records import Ban, Ticket

NOW = 1_700_000_100.9
START = 1_700_000_000.7
V4 = ipaddress.ip_address("192.0.2.1")
V6 = ipaddress.ip_address("2001:db8::1")


def a_ban(ip=V4, jail="SSH", end: float | None = START + 600, lines: tuple[str, ...] = ()) -> Ban:
    return Ban(START, end, Ticket(jail, ip, 5, 1_699_999_999.9, lines))


def filled(where: str, template: str, ban: Ban) -> str:
    values = {
        "ban": lambda: tags.ban_values(ban, NOW),
        "unban": lambda: tags.unban_values(ban, NOW),
        "mail": lambda: tags.mail_values(ban),
    }
    return tags.fill(template, values[where]())


# The table of fail2ban-conf-0.6.md section 7, with defects 7 and 14 mended, and
# our own tags. None: the tag stays as it is.
TABLE = [
    ("<ip>", "192.0.2.1", "192.0.2.1", "192.0.2.1"),
    ("<family>", "ip", "ip", "ip"),
    ("<iptables>", "iptables", "iptables", "iptables"),
    ("<section>", "SSH", None, "SSH"),
    ("<failures>", "5", None, "5"),
    ("<failtime>", "1699999999", None, "1699999999"),
    ("<bantime>", "1700000000", "1700000000", "1700000000"),
    ("<unbantime>", None, "1700000100", None),
    ("<seconds>", "500", None, None),
    ("<matches>", None, None, "first\nsecond"),
    ("<br>", "\n", "\n", "\n"),
    ("<host>", None, None, None),
]


@pytest.mark.parametrize("column", ["ban", "unban", "mail"])
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_each_tag_has_its_value_where_it_has_one(row, column):
    tag, value = row[0], row[1 + ["ban", "unban", "mail"].index(column)]
    ban = a_ban(lines=("first", "second"))
    assert filled(column, f"a{tag}b{tag}", ban) == f"a{value or tag}b{value or tag}"


@pytest.mark.parametrize("where", ["ban", "unban", "mail"])
def test_an_address_of_six_names_its_own_family_and_program(where):
    assert filled(where, "<iptables> <family> <ip>", a_ban(V6)) == "ip6tables ip6 2001:db8::1"


def test_a_permanent_ban_lasts_zero_seconds():
    assert filled("ban", "<seconds>", a_ban(end=None)) == "0"


def test_a_ban_that_is_late_still_lasts_a_second():
    assert filled("ban", "<seconds>", a_ban(end=NOW - 50)) == "1"


def test_other_text_in_angle_brackets_stays():
    text = "grep x <file> <IP> <ip6> < ip> <> <<unknown>> 2<&1 >out"
    assert filled("ban", text, a_ban()) == text


def test_a_value_is_not_filled_again():
    values = {"a": "<b><a><br>", "b": "B"}
    assert tags.fill("<a><b>", values) == "<b><a><br>B"


def test_a_section_that_looks_like_a_tag_stays_itself():
    assert filled("ban", "<section> <ip>", a_ban(jail="<ip><br>")) == "<ip><br> 192.0.2.1"


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("nft add element <family> x", True),
        ("<iptables> -I x", True),
        ("iptables -s <ip>", False),
        ("<famil>", False),
        ("", False),
    ],
)
def test_a_command_that_names_a_family_is_recognised(command, needed):
    assert tags.needs_families(command) is needed


@given(
    st.text(alphabet="<>abcip br"),
    st.dictionaries(st.sampled_from(["a", "b", "ip", "c"]), st.text("<>abcip ")),
)
def test_fill_is_a_single_pass_from_left_to_right(template, values):
    expected, rest = "", template
    known = {"<br>": "\n"} | {f"<{name}>": value for name, value in values.items()}
    while rest:
        tag = next((tag for tag in known if rest.startswith(tag)), None)
        expected += known[tag] if tag else rest[0]
        rest = rest[len(tag or rest[0]) :]
    assert tags.fill(template, values) == expected


# Foreign text -------------------------------------------------------------------

anything = st.text(st.characters(exclude_categories=()))
foreign_lines = st.lists(
    st.one_of(anything, st.text("\0\x1b\n\r\ud800\udc80aü"), st.just("x$(reboot)`id`;")),
    max_size=5,
).map(tuple)
PLAIN = re.compile(r"[A-Za-z0-9:.]+")


@given(foreign_lines, st.sampled_from([V4, V6]))
def test_no_value_of_a_command_comes_from_a_log_line(lines, ip):
    with_lines, without = a_ban(ip, lines=lines), a_ban(ip)
    assert tags.ban_values(with_lines, NOW) == tags.ban_values(without, NOW)
    assert tags.unban_values(with_lines, NOW) == tags.unban_values(without, NOW)
    for values in (tags.ban_values(with_lines, NOW), tags.unban_values(with_lines, NOW)):
        assert all(PLAIN.fullmatch(value) for value in values.values())


def test_the_environment_has_the_tags_of_a_ban_and_the_lines():
    assert tags.environment(a_ban(lines=("first", "second")), NOW) == {
        "F2B_IP": "192.0.2.1",
        "F2B_FAMILY": "ip",
        "F2B_SECTION": "SSH",
        "F2B_FAILURES": "5",
        "F2B_FAILTIME": "1699999999",
        "F2B_BANTIME": "1700000000",
        "F2B_SECONDS": "500",
        "F2B_MATCHES": "first\nsecond",
    }


@given(foreign_lines)
@example(("\udcff\ud800",))
@example(("a\0b",))
def test_the_lines_in_the_environment_have_no_nul_and_no_surrogate(lines):
    matches = tags.environment(a_ban(lines=lines), NOW)["F2B_MATCHES"]
    assert "\0" not in matches
    assert len(matches.encode("utf-8")) <= tags.MATCHES_LIMIT


def test_a_command_gets_such_lines_for_real(tmp_path):
    out = tmp_path / "out"
    variables = tags.environment(a_ban(lines=("a\0b\udc80 $(echo evil) ü",)), NOW)
    command = f"printf %s \"$F2B_MATCHES\" > '{out}'"
    shell.run(command, variables, 10.0)
    assert out.read_text("utf-8") == "a\\x00b? $(echo evil) ü"


@given(st.lists(st.text("aü東", min_size=1), min_size=1).map(tuple))
def test_of_many_lines_the_newest_are_kept(lines):
    lines = ("東" * tags.MATCHES_LIMIT, *lines)
    matches = tags.environment(a_ban(lines=lines), NOW)["F2B_MATCHES"]
    size = len(matches.encode("utf-8"))
    assert "\n".join(lines).endswith(matches)
    assert tags.MATCHES_LIMIT - 3 < size <= tags.MATCHES_LIMIT


def test_a_mail_shows_the_lines_safely():
    lines = ("one\x1b]0;x\x07", "two\r")
    assert filled("mail", "<matches>", a_ban(lines=lines)) == "one\\x1b]0;x\\x07\ntwo\\r"


# Defects of tags.py that these tests found ---------------------------------------


@pytest.mark.parametrize("where", ["ban", "unban"])
def test_the_scope_of_an_address_does_not_reach_a_command(where):
    ip = ipaddress.ip_address("fe80::1%$(reboot)")
    assert filled(where, "<ip>", a_ban(ip)) == "fe80::1"


def test_the_lines_in_the_environment_suit_a_locale_that_is_not_utf_8(monkeypatch):
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "iso8859-1")
    matches = tags.environment(a_ban(lines=("東 ü",)), NOW)["F2B_MATCHES"]
    assert matches.encode("iso8859-1", "surrogateescape")
