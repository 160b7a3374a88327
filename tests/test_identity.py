# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured texts become whom to blame and what to count, and look-alikes blame nobody."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect.identity import NoAddress, identify
from fail2ban.records import UseDns

EVERY: tuple[UseDns, ...] = ("yes", "warn", "no", "raw")


def who(usedns: UseDns = "warn", **groups: str) -> str | None:
    """Return the host, "?" behind one to be resolved, and " = " before a fid."""
    found = identify(groups, usedns)
    if not found:
        return None
    return f"{found.host}{'?' * found.is_name}{'' if found.fid is None else f' = {found.fid}'}"


@pytest.mark.parametrize("usedns", EVERY)
def test_addresses_are_addresses_whatever_is_asked_for(usedns):
    assert who(usedns, ip4="192.0.2.7") == "192.0.2.7"
    assert who(usedns, ip6="2001:DB8::0:7") == "2001:db8::7"
    assert who(usedns, ip6="::ffff:192.0.2.7") == "192.0.2.7"
    assert who(usedns, dns="192.0.2.7") == "192.0.2.7"
    assert who(usedns, host="[2001:db8::7]") == "2001:db8::7"
    assert isinstance(identify({"ip4": "192.0.2.7"}, usedns).host, ipaddress.IPv4Address)


def test_the_likeliest_group_is_asked_first():
    groups = {"ip4": "192.0.2.1", "ip6": "2001:db8::2", "dns": "a.example", "host": "b.example"}
    for expected in ("192.0.2.1", "2001:db8::2", "a.example?", "b.example?"):
        assert who(**groups) == expected
        groups[next(name for name, text in groups.items() if text)] = ""


def test_names_are_resolved_left_or_taken_as_they_are():
    assert [who(usedns, dns="a.example") for usedns in EVERY] == [
        "a.example?", "a.example?", None, "a.example"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["300.1.1.1", "192.030.0.6", "127.1", "10", "1.2.3.4.5", "12:34:56", "fe80::x", "[a"]
)
def test_a_look_alike_is_no_address_unless_texts_are_asked_for(text):
    for group in ("ip4", "ip6", "dns", "host"):
        for usedns in ("yes", "warn", "no"):
            with pytest.raises(NoAddress, match="is no address"):
                who(usedns, **{group: text})
        assert who("raw", **{group: text}) == text


@pytest.mark.parametrize(
    ("groups", "network"),
    [
        ({"ip4": "192.0.2.77", "cidr": "24"}, "192.0.2.0/24"),
        ({"ip6": "2001:db8::1", "cidr": "32"}, "2001:db8::/32"),
        ({"ip6": "::ffff:192.0.2.77", "cidr": "120"}, "192.0.2.0/24"),
        ({"ip4": "192.0.2.77", "cidr": "120"}, "192.0.2.0/24"),
        ({"ip4": "192.0.2.7", "cidr": "32"}, "192.0.2.7"),
        ({"ip4": "192.0.2.7", "cidr": "33"}, "192.0.2.7"),
        ({"ip4": "192.0.2.7", "cidr": "0"}, "192.0.2.7"),
        ({"ip6": "2001:db8::1", "cidr": "129"}, "2001:db8::1"),
        ({"ip4": "192.0.2.7", "cidr": "9" * 9999}, "192.0.2.7"),
        ({"ip4": "192.0.2.7", "cidr": "٢"}, "192.0.2.7"),
        ({"ip4": "192.0.2.7", "cidr": ""}, "192.0.2.7"),
    ],
)
def test_a_network_is_masked_and_never_the_whole_world(groups, network):
    assert who(**groups) == network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("session 7", "session 7"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("192.0.2.7/", "192.0.2.7/"),
        ("a/b", "a/b"),
        ("a.example", "a.example"),
        ("300.1.1.1", "300.1.1.1"),
    ],
)
def test_an_id_alone_is_whom_to_blame_as_an_address_if_it_looks_like_one(text, expected):
    for usedns in EVERY:
        assert who(usedns, fid=text) == expected


def test_an_id_and_an_address_are_told_apart():
    assert who(fid="root", ip4="192.0.2.7") == "192.0.2.7 = root"
    assert who(fid="a", dns="a.example") == "a.example? = a"
    assert who("no", fid="a", dns="a.example") == "a"
    assert who(fid="198.51.100.1", ip4="192.0.2.7") == "192.0.2.7 = 198.51.100.1"


def test_an_id_that_is_the_address_is_no_other():
    assert who(fid="192.0.2.7", ip4="192.0.2.7") == "192.0.2.7"
    assert who(fid="[2001:db8:0::7]", ip6="2001:db8::7") == "2001:db8::7"
    assert who(fid="a.example", dns="a.example") == "a.example?"


def test_nothing_captured_names_nobody():
    assert who() is None
    assert who(ip4="", fid="", user="root", cidr="24") is None


def test_parts_of_an_id_are_put_together():
    found = identify({"fid": ("root", "web")}, "warn")
    assert found and found.host == "root web"


@given(st.dictionaries(st.sampled_from(["ip4", "ip6", "dns", "host", "fid", "cidr"]), st.text()))
def test_no_text_makes_it_fail(groups):
    for usedns in EVERY:
        try:
            identify(groups, usedns)
        except NoAddress:
            assert usedns != "raw"


def test_an_id_without_end_is_none():
    assert who("raw", dns="a" * 1000) == "a" * 1000 and who(fid="b" * 1000) == "b" * 1000
    for groups in ({"dns": "a" * 1001}, {"fid": "b" * 1001}):
        with pytest.raises(NoAddress, match="too long"):
            who("raw", **groups)
