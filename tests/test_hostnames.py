# SPDX-License-Identifier: GPL-2.0-or-later
"""The name of an address: cleaned, and soon or not at all."""

from __future__ import annotations

import threading
from ipaddress import ip_address

import pytest

from fail2ban.enforce.hostnames import OPEN_LIMIT, host_name

IP = ip_address("192.0.2.1")


def test_name_is_returned() -> None:
    assert host_name(IP, lambda address: f"host-{address}.example") == "host-192.0.2.1.example"


def test_address_without_a_name_has_an_empty_one() -> None:
    def fail(address: str) -> str:
        raise OSError("unknown host")

    assert host_name(IP, fail) == ""


@pytest.mark.parametrize("name", ["$(reboot)", "a b", "a\nb", "-rf", "a;b", "x" * 300, ""])
def test_name_that_is_none_is_not_believed(name: str) -> None:
    assert host_name(IP, lambda address: name) == ""


def test_scope_of_an_address_is_not_asked_for() -> None:
    asked: list[str] = []

    def ask(address: str) -> str:
        asked.append(address)
        return "x"

    host_name(ip_address("fe80::1%eth0"), ask)
    assert asked == ["fe80::1"]


def test_silent_name_servers_cost_little_and_are_not_asked_without_end() -> None:
    answer, asked = threading.Event(), []

    def hang(address: str) -> str:
        asked.append(address)
        answer.wait(30)
        return "late.example"

    assert [host_name(IP, hang, patience=0.01) for _ in range(OPEN_LIMIT + 5)] == [""] * (
        OPEN_LIMIT + 5
    )
    assert len(asked) == OPEN_LIMIT
    answer.set()
    for _ in range(1000):  # as soon as they have ended, others may ask
        if host_name(IP, lambda address: "soon.example") == "soon.example":
            break
        threading.Event().wait(0.01)
    else:
        pytest.fail("nobody may ask any more")
