# SPDX-License-Identifier: GPL-2.0-or-later
"""Host names are resolved in the background, and no flood of them does harm."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fail2ban.detect.names import (
    CACHE_SIZE,
    MAX_ADDRESSES,
    NEGATIVE_TTL,
    POSITIVE_TTL,
    QUEUE_SIZE,
    Addresses,
    Resolver,
    is_host_name,
)

PATIENCE = 60  # seconds; only reached when a test fails
ONE = ipaddress.ip_address("192.0.2.1")


class FakeDns:
    """Answers from a table; can be held up; notes who asked for what."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.asking = threading.Event()
        self.now = 0.0

    def getaddrinfo(self, name: str, port: None, type: int) -> list[tuple[Any, ...]]:
        self.asking.set()
        assert self.open.wait(PATIENCE)
        self.asked.append(name)
        if name not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (text, 0)) for text in self.answers[name]]

    def clock(self) -> float:
        return self.now


Ask = Callable[[str], tuple[Addresses, bool]]


@pytest.fixture
def dns() -> FakeDns:
    return FakeDns(a_example=["192.0.2.1"], b_example=["192.0.2.2", "2001:db8::2"])


@pytest.fixture
def resolver(dns: FakeDns) -> Iterator[Resolver]:
    resolver = Resolver(dns.getaddrinfo, dns.clock)
    yield resolver
    dns.open.set()
    resolver.close()


@pytest.fixture
def ask(resolver: Resolver) -> Ask:
    """Return a function: name -> its addresses, and whether we got them on our own thread."""

    def ask(name: str) -> tuple[Addresses, bool]:
        got: list[tuple[Addresses, bool]] = []
        done = threading.Event()
        asker = threading.get_ident()

        def use(addresses: Addresses) -> None:
            got.append((addresses, threading.get_ident() == asker))
            done.set()

        resolver.resolve(name, use)
        assert done.wait(PATIENCE)
        assert len(got) == 1
        return got[0]

    return ask


def test_a_name_is_resolved_on_another_thread_and_then_known(ask: Ask, dns: FakeDns) -> None:
    both = (ipaddress.ip_address("192.0.2.2"), ipaddress.ip_address("2001:db8::2"))
    assert ask("b.example") == (both, False)
    assert ask("B.Example") == (both, True)
    assert dns.asked == ["b.example"]


def test_an_answer_is_asked_for_again_when_it_is_old(ask: Ask, dns: FakeDns) -> None:
    ask("a.example")
    dns.now += POSITIVE_TTL - 1
    assert ask("a.example") == ((ONE,), True)
    dns.now += 1
    assert ask("a.example") == ((ONE,), False)


def test_the_lack_of_an_answer_is_remembered_for_a_shorter_time(ask: Ask, dns: FakeDns) -> None:
    assert ask("none.example") == ((), False)
    dns.now += NEGATIVE_TTL - 1
    assert ask("none.example") == ((), True)
    dns.answers["none.example"] = ["192.0.2.1"]
    dns.now += 1
    assert ask("none.example") == ((ONE,), False)


def test_mapped_addresses_are_unwrapped_and_doubles_and_zones_dropped(
    ask: Ask, dns: FakeDns
) -> None:
    dns.answers["x.example"] = ["::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1%eth0"]
    assert ask("x.example")[0] == (ONE, ipaddress.ip_address("2001:db8::1"))


def test_a_name_with_thousands_of_addresses_yields_a_few(ask: Ask, dns: FakeDns) -> None:
    dns.answers["x.example"] = [f"198.51.{n // 250}.{n % 250}" for n in range(3000)]
    assert len(ask("x.example")[0]) == MAX_ADDRESSES


@pytest.mark.parametrize(
    "text",
    ["host", "127.1", "192.0.2.1", "0x7f.0x1", "1.2.3.0xa", "a..b", ".a.b", "a.b\n", "a.b c",
     "a.b%eth0", "2001:db8::1", "", "-", "a/b.example", "a.ex\u00e4mple", f"{'x' * 64}.example",
     "x." * 126 + "xy"],
)  # fmt: skip
def test_what_is_no_host_name_is_never_looked_up(
    resolver: Resolver, ask: Ask, dns: FakeDns, text: str
) -> None:
    used: list[Addresses] = []
    resolver.resolve(text, used.append)
    assert used == [()]
    ask("a.example")
    assert dns.asked == ["a.example"]


@pytest.mark.parametrize("text", ["a.b", "x_1.y-2.example", "1.2.example", "x." * 126 + "x"])
def test_what_may_be_looked_up(text: str) -> None:
    assert is_host_name(text)


def test_asking_returns_at_once_and_a_flood_is_dropped_with_one_warning(
    resolver: Resolver, dns: FakeDns, caplog: pytest.LogCaptureFixture
) -> None:
    dns.open.clear()
    used: list[Addresses] = []
    done = threading.Event()
    # One question may be with the name server already.
    for number in range(QUEUE_SIZE + 100):
        resolver.resolve(f"x{number}.example", used.append)
    assert len(caplog.records) == 1 and caplog.records[0].levelno == logging.WARNING
    assert 99 <= len(used) <= 100 and set(used) == {()}  # nothing will come of these
    dns.open.set()
    while not done.is_set():
        resolver.resolve("a.example", lambda addresses: addresses and done.set())
        done.wait(0.01)
    assert len(used) == QUEUE_SIZE + 100


def test_the_cache_is_bounded_and_keeps_what_was_used_last(ask: Ask, dns: FakeDns) -> None:
    ask("a.example")
    for number in range(CACHE_SIZE - 1):
        ask(f"x{number}.example")
    assert ask("a.example")[1]
    ask("one-more.example")
    assert ask("a.example")[1]
    assert not ask("x0.example")[1]


def test_a_name_asked_for_twice_is_looked_up_once(
    resolver: Resolver, ask: Ask, dns: FakeDns
) -> None:
    dns.open.clear()
    used: list[Addresses] = []
    for _ in range(3):
        resolver.resolve("a.example", used.append)
    dns.open.set()
    ask("b.example")
    assert used == [(ONE,)] * 3
    assert dns.asked == ["a.example", "b.example"]


def test_after_close_nothing_is_used(resolver: Resolver, dns: FakeDns) -> None:
    dns.open.clear()
    used: list[Addresses] = []
    resolver.resolve("a.example", used.append)
    resolver.resolve("b.example", used.append)
    assert dns.asking.wait(PATIENCE)
    resolver.close()
    dns.open.set()
    worker = next(thread for thread in threading.enumerate() if thread.name == "resolver")
    worker.join(PATIENCE)
    assert not worker.is_alive()
    resolver.resolve("a.example", used.append)
    assert used == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_use_of_an_answer_is_loud(resolver: Resolver, ask: Ask) -> None:
    resolver.resolve("a.example", lambda addresses: 1 / 0)
    worker = next(thread for thread in threading.enumerate() if thread.name == "resolver")
    worker.join(PATIENCE)
    with pytest.raises(RuntimeError, match="has died"):
        resolver.resolve("b.example", lambda addresses: None)
