# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is never banned."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from fail2ban.decide.ignore import (
    OWN_ADDRESSES_AGE,
    IgnoreList,
    OwnAddresses,
    interface_addresses,
)
from fail2ban.records import Address
from tests.helpers import FakeClock


def ignore_list(*networks: str, own: str = "198.51.100.9") -> IgnoreList:
    ours = OwnAddresses(FakeClock(), lambda: frozenset({ip_address(own)}))
    return IgnoreList([ip_network(network) for network in networks], ours)


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.255.255.255", "::1", "198.51.100.9"])
def test_this_host_is_always_ignored(ip: str) -> None:
    assert ignore_list().reason(ip_address(ip))


@pytest.mark.parametrize("ip", ["192.0.2.0", "192.0.2.255", "2001:db8::1", "203.0.113.7"])
def test_listed_networks_of_both_families_are_ignored(ip: str) -> None:
    ignored = ignore_list("192.0.2.0/24", "2001:db8::/64", "203.0.113.7/32")
    assert ignored.reason(ip_address(ip))


@pytest.mark.parametrize("ip", ["192.0.3.0", "2001:db8:0:1::1", "203.0.113.8", "::", "128.0.0.1"])
def test_others_are_not(ip: str) -> None:
    ignored = ignore_list("192.0.2.0/24", "2001:db8::/64", "203.0.113.7/32")
    assert ignored.reason(ip_address(ip)) is None


def test_the_whole_of_one_family_leaves_the_other_alone() -> None:
    assert ignore_list("0.0.0.0/0").reason(ip_address("203.0.113.8"))
    assert ignore_list("0.0.0.0/0").reason(ip_address("2001:db8::8")) is None


def test_reason_names_the_network() -> None:
    assert ignore_list("192.0.2.0/24").reason(ip_address("192.0.2.5")) == "in 192.0.2.0/24"


def test_own_addresses_are_looked_up_again_when_they_are_old() -> None:
    clock, current = FakeClock(), {ip_address("192.0.2.1")}
    own = OwnAddresses(clock, lambda: frozenset(current))
    assert ip_address("192.0.2.1") in own
    current = {ip_address("192.0.2.2")}
    assert ip_address("192.0.2.2") not in own
    clock.advance(OWN_ADDRESSES_AGE)
    assert ip_address("192.0.2.2") in own


def test_last_known_addresses_stay_when_the_kernel_does_not_tell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, answers = FakeClock(), [frozenset({ip_address("192.0.2.1")})]

    def look_up() -> frozenset[Address]:
        if not answers:
            raise OSError("no interfaces")
        return answers.pop()

    own = OwnAddresses(clock, look_up)
    assert ip_address("192.0.2.1") in own
    clock.advance(OWN_ADDRESSES_AGE)
    assert ip_address("192.0.2.1") in own
    assert "no interfaces" in caplog.text


def test_interfaces_of_this_machine_include_the_loopback() -> None:
    assert ip_address("127.0.0.1") in interface_addresses()
