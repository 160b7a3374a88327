# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tag has a value where, and what never gets into a command."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fail2ban.enforce import escape, shell, tags
from fail2ban.enforce.escape import script
from fail2ban.enforce.tags import Counts, Facts, Lore, Merged
from fail2ban.records import Address, Ban, Capture, Id, Ticket

NOW = 1_700_000_100.9
START = 1_700_000_000.7
V4: Address = ip_address("192.0.2.1")
V6: Address = ip_address("2001:db8::1")


def a_ban(
    ip: Id = V4, jail: str = "SSH", end: float | None = START + 600, lines: tuple[str, ...] = ()
) -> Ban:
    return Ban(START, end, Ticket(jail, ip, 5, 1_699_999_999.9, lines))


def lore() -> Lore:
    return Lore(
        merged=lambda ban, all_jails: Merged(("all", "of it") if all_jails else ("own",), 7),
        counts=lambda jail: Counts(1, 2, 3, 4),
        host=lambda address: f"host-of-{address}",
    )


def filled(where: str, template: str, ban: Ban) -> str:
    facts: dict[str, Callable[[], Facts]] = {
        "ban": lambda: Facts(ban.jail, ban.family, NOW, ban, lore=lore()),
        "unban": lambda: Facts(ban.jail, ban.family, NOW, ban, lifting=True, lore=lore()),
        "start": lambda: Facts(ban.jail, ban.family, NOW, lore=lore()),
    }
    return escape.fill(template, facts[where]().lookup)


# The tables of jail-conf.md section 9.2 and of fail2ban-conf-0.6.md section 7, with
# their defects mended, and our own tags. None: the tag stays as it is.
TABLE: list[tuple[str, str | None, str | None, str | None]] = [
    ("<ip>", "192.0.2.1", "192.0.2.1", None),
    ("<fid>", "192.0.2.1", "192.0.2.1", None),
    ("<family>", "inet4", "inet4", "inet4"),
    ("<ip-rev>", "1.2.0.192.", "1.2.0.192.", None),
    ("<ip-host>", "host-of-192.0.2.1", "host-of-192.0.2.1", None),
    ("<failures>", "5", "5", None),
    ("<time>", "1699999999", "1699999999", "1700000100"),
    ("<bantime>", "600", "600", None),
    ("<bancount>", "1", "1", None),
    ("<restored>", "0", "0", None),
    ("<matches>", "first\nsecond", "first\nsecond", None),
    ("<ipmatches>", "all\nof it", "all\nof it", None),
    ("<ipjailmatches>", "own", "own", None),
    ("<ipfailures>", "7", "7", None),
    ("<ipjailfailures>", "7", "7", None),
    ("<F-USER>", "", "", None),
    ("<jail.name>", "SSH", "SSH", "SSH"),
    ("<jail.banned>", "1", "1", "1"),
    ("<jail.banned_total>", "2", "2", "2"),
    ("<jail.found>", "3", "3", "3"),
    ("<jail.found_total>", "4", "4", "4"),
    ("<br>", "\n", "\n", "\n"),
    ("<sp>", " ", " ", " "),
    ("<banstart>", "1700000000", "1700000000", None),
    ("<seconds>", "500", "500", None),
    ("<unbantime>", None, "1700000100", None),
    ("<host>", None, None, None),
    ("<F-user>", None, None, None),
]


@pytest.mark.parametrize("column", ["ban", "unban", "start"])
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_each_tag_has_its_value_where_it_has_one(
    row: tuple[str, str | None, str | None, str | None], column: str
) -> None:
    tag, value = row[0], row[1 + ["ban", "unban", "start"].index(column)]
    ban = a_ban(lines=("first", "second"))
    expected = tag if value is None else value
    assert filled(column, f"a{tag}b{tag}", ban) == f"a{expected}b{expected}"


def test_an_address_of_six_names_its_own_family() -> None:
    assert filled("ban", "<family> <ip>", a_ban(V6)) == "inet6 2001:db8::1"
    nibbles = "1." + "0." * 23 + "8.b.d.0.1.0.0.2."
    assert filled("ban", "<ip-rev>", a_ban(V6)) == nibbles


def test_text_in_place_of_an_address_has_no_family_and_no_name() -> None:
    ban = a_ban("alice's session")
    assert filled("ban", "<ip>|<fid>|<family>|<ip-rev>|<ip-host>|", ban) == (
        "alice's session|alice's session||||"
    )


def test_network_is_written_with_its_length() -> None:
    ban = a_ban(ip_network("192.0.2.0/24"))
    assert filled("ban", "<ip> <family> <ip-rev><ip-host>", ban) == "192.0.2.0/24 inet4 "


def test_id_of_its_own_is_told_apart_from_the_address() -> None:
    ban = a_ban()
    ban = replace(ban, ticket=replace(ban.ticket, fid="alice"))
    assert filled("ban", "<ip> <fid>", ban) == "192.0.2.1 alice"


def test_what_a_pattern_captured_has_its_tag() -> None:
    groups: dict[str, Capture] = {"user": "alice", "alt_user": "bob", "tuple": ("a", "b")}
    ban = a_ban()
    ban = replace(ban, ticket=replace(ban.ticket, groups=groups))
    text = "<F-USER> <F-ALT_USER> <F-ALT-USER> <F-TUPLE> <F-NONE>."
    assert filled("ban", text, ban) == "alice bob bob a b ."


def test_a_permanent_ban_is_minus_one_long_and_has_no_seconds_left() -> None:
    assert filled("ban", "<bantime> <seconds>", a_ban(end=None)) == "-1 0"


def test_a_ban_that_is_late_still_lasts_a_second() -> None:
    assert filled("ban", "<seconds>", a_ban(end=NOW - 50)) == "1"


def test_restored_ban_and_its_number_are_told() -> None:
    ban = replace(a_ban(), restored=True, count=4)
    assert filled("ban", "<restored> <bancount>", ban) == "1 4"


def test_without_anybody_to_ask_the_lines_are_those_of_the_ban() -> None:
    facts = Facts("SSH", "ip", NOW, a_ban(lines=("x", "y")))
    for name in ("matches", "ipmatches", "ipjailmatches"):
        assert facts.lookup(name) == "x\ny"
    assert (facts.lookup("ipfailures"), facts.lookup("jail.found")) == ("5", "0")


def test_name_servers_are_asked_only_for_a_tag_that_needs_them() -> None:
    asked: list[Address] = []

    def host(address: Address) -> str:
        asked.append(address)
        return ""

    facts = Facts("SSH", "ip", NOW, a_ban(), lore=Lore(host=host))
    script("ban <ip> <matches>", facts.lookup)
    assert asked == []
    script("ban <ip-host> <ip-host>", facts.lookup)
    assert asked == [V4]


def test_names_of_this_host_are_known() -> None:
    facts = Facts("SSH", None, NOW)
    assert facts.lookup("fq-hostname") and "." not in (facts.lookup("sh-hostname") or ".")


def test_other_text_in_angle_brackets_stays() -> None:
    text = "grep x <file> <IP> <ip6> < ip> <> <<unknown>> 2<&1 >out"
    assert filled("ban", text, a_ban()) == text


def test_a_section_that_looks_like_a_tag_stays_itself() -> None:
    assert filled("ban", "<jail.name> <ip>", a_ban(jail="<ip><br>")) == "<ip><br> 192.0.2.1"


# Mails ---------------------------------------------------------------------------


def test_a_mail_has_the_classic_names() -> None:
    text = "<ip> <family> <iptables> <section> <failures> <failtime> <bantime><br><matches> <host>"
    assert tags.fill(text, tags.mail_values(a_ban(lines=("a", "b")))) == (
        "192.0.2.1 ip iptables SSH 5 1699999999 1700000000\na\nb <host>"
    )
    assert tags.fill("<iptables> <family>", tags.mail_values(a_ban(V6))) == "ip6tables ip6"


def test_a_mail_shows_the_lines_safely() -> None:
    values = tags.mail_values(a_ban(lines=("one\x1b]0;x\x07", "two\r")))
    assert tags.fill("<matches>", values) == "one\\x1b]0;x\\x07\ntwo\\r"


# Foreign text -------------------------------------------------------------------

anything = st.text(st.characters(exclude_categories=()))
foreign_lines = st.lists(
    st.one_of(anything, st.text("\0\x1b\n\r\ud800\udc80aü"), st.just("x$(reboot)`id`;")),
    max_size=5,
).map(tuple)
PLAIN = re.compile(r"[A-Za-z0-9:. -]*")
EVERY_TAG = " ".join(row[0] for row in TABLE if row[0] not in ("<br>", "<host>", "<F-user>"))


@given(foreign_lines, st.sampled_from([V4, V6]), anything)
def test_no_text_of_a_log_line_stands_in_a_command(
    lines: tuple[str, ...], ip: Address, user: str
) -> None:
    ban = a_ban(ip, lines=lines)
    ban = replace(ban, ticket=replace(ban.ticket, groups={"user": user}, fid=user))
    values = Facts("SSH", ban.family, NOW, ban, lifting=True, lore=Lore(host=lambda ip: user))
    text = script(EVERY_TAG + " <raw-ticket>", values.lookup).text
    inert = re.sub(r'"\$\{f2bV_\w+\}"|^(?:f2bV_\w+=\$\{\d+\} ?)+; set --\n', "", text)
    assert all(
        PLAIN.fullmatch(word) or re.fullmatch("[A-Za-z0-9_.:/@,+-]*", word)
        for word in inert.split(" ")
    )


def test_the_environment_has_the_facts_of_a_ban_and_the_lines() -> None:
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


@given(foreign_lines, anything)
@example(("\udcff\ud800",), "\0")
@example(("a\0b",), "\ud800")
def test_the_environment_has_no_nul_and_no_surrogate(lines: tuple[str, ...], name: str) -> None:
    for value in tags.environment(a_ban(name, lines=lines), NOW).values():
        assert "\0" not in value
        assert len(value.encode("utf-8")) <= tags.MATCHES_LIMIT


def test_a_command_gets_such_lines_for_real(tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    variables = tags.environment(a_ban(lines=("a\0b\udc80 $(echo evil) ü",)), NOW)
    shell.run(f"printf %s \"$F2B_MATCHES\" > '{out}'", variables, 10.0)
    assert out.read_text("utf-8") == "a\\x00b? $(echo evil) ü"


@given(st.lists(st.text("aü東", min_size=1), min_size=1).map(tuple))
def test_of_many_lines_the_newest_are_kept(lines: tuple[str, ...]) -> None:
    lines = ("東" * tags.MATCHES_LIMIT, *lines)
    matches = tags.environment(a_ban(lines=lines), NOW)["F2B_MATCHES"]
    size = len(matches.encode("utf-8"))
    assert "\n".join(lines).endswith(matches)
    assert tags.MATCHES_LIMIT - 3 < size <= tags.MATCHES_LIMIT


@pytest.mark.parametrize("where", ["ban", "unban"])
def test_the_scope_of_an_address_does_not_reach_a_command(where: str) -> None:
    ip = ip_address("fe80::1%$(reboot)")
    assert filled(where, "<ip>", a_ban(ip)) == "fe80::1"
    assert filled(where, "<ip-rev>", a_ban(ip)).endswith(".0.8.e.f.")
