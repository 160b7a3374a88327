# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses are found where they stand, and nothing else is taken for one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fail2ban.detect.addresses import find_addresses, find_name, parse_address

untimed = hypothesis_settings(deadline=None)  # the machine may be busy

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
BESIDE = st.sampled_from(["", " ", "(", ")", "[", "]", "'", '"', ",", ";", "=", "/", "<", ">", "|"])


def found(text: str) -> list[str]:
    return [str(address.ip) for address in find_addresses(text)]


@untimed
@given(IPV4, BESIDE, BESIDE)
def test_every_ipv4_address_is_found_between_separators(ip, before, after):
    assert found(f"from {before}{ip}{after} port") == [str(ip)]


def forms(ip: ipaddress.IPv6Address) -> list[str]:
    return [str(ip), ip.exploded, str(ip).upper(), f"[{ip}]", f"{ip}%eth0", f"[{ip}]:4022"]


@untimed
@given(IPV6, BESIDE, BESIDE)
def test_every_ipv6_address_is_found_in_all_its_forms(ip, before, after):
    if not any(digit in str(ip) for digit in "0123456789"):
        return  # "dead::beef" could be words
    for form in forms(ip):
        assert found(f"from {before}{form}{after} port") == [str(ip.ipv4_mapped or ip)]


@untimed
@given(IPV4)
def test_an_ipv4_mapped_address_is_the_ipv4_address(ip):
    mapped = ipaddress.IPv6Address(f"::ffff:{ip}")
    for text in (f"::ffff:{ip}", f"::FFFF:{ip}", f"[::ffff:{ip}]"):
        assert parse_address(text) == ip
        assert found(f"rip={text}, lip") == [str(ip)]
    assert parse_address(str(mapped)) == ip


@untimed
@given(st.text(alphabet="0123456789abcdefABCDEF:.%[]- x", max_size=60))
@example("1:2:3:4:5:6:7:192.0.2.1")
@example("16:47:48:192.0.2.7")
def test_what_is_found_is_an_address_and_stands_there(text):
    for address in find_addresses(text):
        written = text[address.start : address.end].partition("%")[0]
        ip = ipaddress.ip_address(written)
        assert address.ip in (ip, getattr(ip, "ipv4_mapped", None))


@pytest.mark.parametrize(
    "text",
    [
        "at 12:34:56 sharp",
        "version 1.2.3.4.5",
        "OpenSSH_7.4.1.2",
        "v1.2.3.4",
        "300.1.1.1 256.0.0.1 1.2.3.999",
        "010.1.1.1 and 10.01.1.1",
        "10 127.1 0x7f.0.0.1",
        "00:11:22:33:44:55",
        "00:11:22:33:44:55:66:77",
        "std::string and :: and dead::beef",
        "1:2:3:4:5:6:7:8:9",
        "2001:db8:::1",
        "192.0.2.7.dynamic.example.net",
        "host.192.0.2.7",
        "192.0.2.7-pool.example.net",
        "",
    ],
)
def test_look_alikes_are_no_addresses(text):
    assert found(text) == []


def test_an_address_may_end_a_sentence_or_carry_a_port():
    assert found("from 192.0.2.1. Then 192.0.2.2:4022, 2001:db8::1: and ip:2001:db8::2") == [
        "192.0.2.1",
        "192.0.2.2",
        "2001:db8::1",
        "2001:db8::2",
    ]


def test_a_time_glued_to_an_address_does_not_hide_it():
    assert found("16:47:48:192.0.2.7 failed") == ["192.0.2.7"]


@pytest.mark.parametrize("text", ["", "10", "127.1", "192.0.2.1 ", "192.0.2.1/32", "::1::", "[::1"])
def test_a_text_with_more_or_less_than_an_address_is_not_parsed(text):
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mail.example.com", "mail.example.com"),
        ("[mail.example.com]:25", "mail.example.com"),
        ("192.0.2.7.dynamic.example.net", "192.0.2.7.dynamic.example.net"),
        ("example.com", None),
        ("1.2.3.4.5", None),
        ("300.1.1.1", None),
        ("0x7f.0.0.0x1", None),
    ],
)
def test_a_host_name_has_two_dots_and_does_not_look_like_a_number(text, name):
    assert find_name(text) == name
