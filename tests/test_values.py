# SPDX-License-Identifier: GPL-2.0-or-later
"""From the text of one option to a value."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config import values

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@pytest.mark.parametrize("text", ["1", "yes", "true", "on", "YES", "On"])
def test_words_for_yes_are_true(text: str) -> None:
    assert values.boolean(text) is True


@pytest.mark.parametrize("text", ["0", "no", "false", "off", "NO", "Off"])
def test_words_for_no_are_false(text: str) -> None:
    assert values.boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "maybe", "true # really", "tru e"])
def test_other_words_are_no_boolean_and_are_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="expected true or false") as error:
        values.boolean(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("-5", -5), ("+5", 5)])
def test_integer_is_decimal_with_an_optional_sign(text: str, number: int) -> None:
    assert values.integer(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "0x10", "1_000", "5 # five", "٣", "9" * 5000, "- 1"])
def test_other_texts_are_no_integer(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number; expected"):
        values.integer(text)


def test_integer_from_has_its_low_end_inside() -> None:
    assert values.integer_from(1, "1") == 1
    with pytest.raises(ValueError, match="'0' is too small; .* at least 1"):
        values.integer_from(1, "0")


@pytest.mark.parametrize(("text", "good"), [("1", True), ("65535", True), ("0", False),
                                            ("65536", False), ("smtp", False)])  # fmt: skip
def test_port_is_a_number_from_1_to_65535(text: str, good: bool) -> None:
    if good:
        assert values.port(text) == int(text)
    else:
        with pytest.raises(ValueError, match="expected"):
            values.port(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600),
        ("0", 0),
        ("10m", 600),
        ("90s", 90),
        ("1h30m", 5400),
        ("1H 30M", 5400),
        ("1 h 30 min", 5400),
        ("1d", 86400),
        ("1w", 604800),
        ("1w1d", 691200),
        ("1.5h", 5400),
        (".5m", 30),
        ("0.25", 0.25),
        ("2 days", 172800),
        ("1mo", 2629800),
        ("1y", 31557600),
    ],
)
def test_duration_is_seconds_or_groups_that_add_up(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "-", "m", "10 fortnights", "1h30", "30 1h", "1.h", "1e3", "10*60", "inf", "nan", "0x1f",
     "1h,30m", "600 # ten minutes", "__import__('os')", "1h-30m", "٣m", "--1"],
)  # fmt: skip
def test_other_texts_are_no_duration_and_are_never_evaluated(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; expected"):
        values.signed_duration(text)


def test_unknown_unit_is_named() -> None:
    with pytest.raises(ValueError, match="not 'x'$"):
        values.signed_duration("1h 3x")


@pytest.mark.parametrize("text", ["9" * 400, "1001y", "9" * 400 + "w"])
def test_duration_beyond_all_reason_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        values.signed_duration(text)


@pytest.mark.parametrize("text", ["-1", "-600", "-1h", "- 1h30m"])
def test_any_negative_ban_is_for_ever_and_no_other_duration_may_be_negative(text: str) -> None:
    assert values.ban_duration(text) is None
    for parse in (values.duration, values.positive_duration):
        with pytest.raises(ValueError, match="expected"):
            parse(text)


def test_only_a_positive_duration_refuses_0() -> None:
    assert values.ban_duration("0") == values.duration("0") == 0
    with pytest.raises(ValueError, match="'0s' is not above 0"):
        values.positive_duration("0s")


GROUPS = st.lists(st.tuples(st.integers(0, 999), st.sampled_from("smhdwSMHDW")), min_size=1)
BLANKS = st.sampled_from(["", " ", "\t", "  "])


@given(GROUPS, BLANKS, BLANKS)
def test_duration_written_in_groups_reads_back_as_their_sum(
    groups: list[tuple[int, str]], between: str, inside: str
) -> None:
    text = between.join(f"{number}{inside}{unit}" for number, unit in groups)
    expected = sum(number * UNIT_SECONDS[unit.lower()] for number, unit in groups)
    assert values.signed_duration(text) == expected


@given(st.integers(-(10**9), 10**9))
def test_duration_in_plain_seconds_reads_back_the_same(seconds: int) -> None:
    assert values.signed_duration(str(seconds)) == seconds


@given(st.text() | st.text("0123456789.smhdw -+", max_size=40))
def test_any_text_is_a_finite_duration_or_a_value_error(text: str) -> None:
    try:
        assert abs(values.signed_duration(text)) <= 1000 * 31557600
    except ValueError as error:
        assert "expected" in str(error)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("2001:DB8::7/32", "2001:db8::/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::fffe:192.0.2.7", "::fffe:c000:207/128"),
    ],
)
def test_addresses_and_networks_of_both_families_are_understood(text: str, network: str) -> None:
    assert values.network(text) == ipaddress.ip_network(network)


@pytest.mark.parametrize(
    "text",
    ["", "10", "127.1", "192.0.2.010", "192.0.2.256", "192.0.2.7x", "192.0.2.7/33", "192.0.2.7/-1",
     "192.0.2.7/x", "0x7f.0.0.1", "localhost", "2001:db8::7/129", "fe80::1%eth0", "192.0.2.7/"],
)  # fmt: skip
def test_defect_20_only_a_strict_dotted_quad_is_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid IP address; expected") as error:
        values.network(text)
    assert str(error.value).startswith(repr(text))


def test_mask_is_told_from_a_prefix() -> None:
    assert values.is_mask("10.0.0.0/255.0.0.0")
    assert not values.is_mask("10.0.0.0/8")
    assert not values.is_mask("10.0.0.0")


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("1", 1), ("3", 3), ("23", 23), ("-1", 1), ("kern", 0), ("user", 1), ("mail", 2),
     ("daemon", 3), ("DAEMON", 3), ("auth", 4), ("cron", 9), ("authpriv", 10), ("ftp", 11),
     ("local0", 16), ("local7", 23)],
)  # fmt: skip
def test_defect_18_facility_is_a_name_or_a_number_and_minus_1_is_user(
    text: str, number: int
) -> None:
    assert values.facility(text) == number


@pytest.mark.parametrize("text", ["", "24", "-2", "local8", "kernel", "1.5"])
def test_defect_18_other_facilities_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a syslog facility; expected"):
        values.facility(text)


@pytest.mark.parametrize(
    ("text", "tls"),
    [("", ""), ("none", ""), ("No", ""), ("off", ""), ("STARTTLS", "starttls"), ("ssl", "ssl"),
     ("tls", "ssl")],
)  # fmt: skip
def test_encryption_of_mail_is_none_starttls_or_ssl(text: str, tls: str) -> None:
    assert values.tls(text) == tls


def test_unknown_encryption_is_refused_not_taken_for_none() -> None:
    with pytest.raises(ValueError, match="'start-tls' .* expected none, starttls or ssl"):
        values.tls("start-tls")


@pytest.mark.parametrize(("text", "use"), [("yes", "yes"), ("Warn", "warn"), ("no", "no"),
                                           ("true", "yes"), ("off", "no")])  # fmt: skip
def test_use_of_names_is_yes_warn_or_no(text: str, use: str) -> None:
    assert values.use_dns(text) == use


def test_other_use_of_names_is_refused() -> None:
    with pytest.raises(ValueError, match="'raw' is unknown; expected yes, warn or no"):
        values.use_dns("raw")


def test_log_targets_are_separated_by_any_blanks() -> None:
    assert values.log_targets("STDERR \t/a\nSYSLOG") == ("STDERR", "/a", "SYSLOG")


@pytest.mark.parametrize("text", ["", "syslog", "fail2ban.log", "/a stderr"])
def test_other_log_targets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        values.log_targets(text)


def test_quoted_text_is_short_and_on_one_line() -> None:
    assert values.quoted("a\nb\x1b") == r"'a\nb\x1b'"
    assert values.quoted("x" * 100) == repr("x" * 60 + "...")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2001:db8::/ffff:ffff::", "2001:db8::/32"),
        ("2001:db8::1/::", "::/0"),
        ("192.0.2.1/255.255.255.0", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
    ],
)
def test_networks_of_both_families_may_have_masks(text: str, expected: str) -> None:
    assert str(values.any_network(text)) == expected


@pytest.mark.parametrize("text", ["2001:db8::/ffff:0:ffff::", "2001:db8::/g::", "x/ffff::", "::/"])
def test_mask_with_holes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no mask|is not a valid IP address"):
        values.any_network(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("4096", 4096), ("1k", 1024), ("256M", 256 << 20), ("2 g", 2 << 30)],
)
def test_size_is_in_bytes_or_has_a_unit(text: str, expected: int) -> None:
    assert values.size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "1T", "256MB", "1k1", "9" * 13])
def test_other_text_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; expected bytes, or a number with k, M"):
        values.size(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("none", ""), ("root", "root"), ("0", "root")]
)
def test_group_is_one_that_this_host_has(text: str, expected: str) -> None:
    assert values.group(text) == expected


@pytest.mark.parametrize("text", ["no such group", "4294967294", "9" * 40, "-1", "root\n"])
def test_a_group_that_this_host_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no group of this host; expected the name or the num"):
        values.group(text)
