# SPDX-License-Identifier: GPL-2.0-or-later
"""Ids as keys: two are equal exactly where the ids are."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.keys import id_of, key
from fail2ban.records import Id

numbers = st.integers(0, 300) | st.integers(0, 2**32 - 1)
ids = st.one_of(
    numbers.map(IPv4Address),
    numbers.map(IPv6Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    numbers.map(lambda number: ip_network((number, 32))),
    numbers.map(str),
    st.sampled_from([ip_address("fe80::1%eth0"), ip_address("fe80::1%eth1")]),
)


@given(ids, ids)
def test_keys_are_equal_where_ids_are(one: Id, other: Id) -> None:
    assert (key(one) == key(other)) == (one == other)


@given(ids)
def test_an_id_comes_back(one: Id) -> None:
    back = id_of(key(one))
    assert back == one and type(back) is type(one)


@pytest.mark.parametrize("text", ["0.0.0.0", "255.255.255.255", "::", "::ffff:ffff", "ff::"])
def test_the_ends_of_the_families_do_not_meet(text: str) -> None:
    assert id_of(key(ip_address(text))) == ip_address(text)
