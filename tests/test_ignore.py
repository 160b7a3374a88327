# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is never banned."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.hosts import ANSWER_AGE, OURSELVES, PATIENCE, RETRY_AGE, Addresses, Hosts
from fail2ban.decide.ignore import (
    OWN_ADDRESSES_AGE,
    IgnoreList,
    OwnAddresses,
    interface_addresses,
)
from fail2ban.decide.ignorecommand import IgnoreCommand
from fail2ban.decide.ignorefile import (
    CHECK_INTERVAL,
    RETRY_INTERVAL,
    IgnoreFile,
    parse,
    parse_network,
)
from fail2ban.decide.networks import Networks
from fail2ban.errors import CommandError
from fail2ban.records import Address, Command, Failure, Id, IgnoreSettings
from tests.helpers import FakeClock, failure


class FakeHosts(Hosts):
    """Names whose addresses are asked for when a test says so.

    Attributes:
        known: what a name server would say; no entry: it does not answer.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.known: dict[str, set[str]] = {OURSELVES: set()}
        self.asked: list[str] = []
        super().__init__(self._answer_now, clock or FakeClock())

    def _answer_now(self, name: str) -> Addresses:
        self.asked.append(name)
        if name not in self.known:
            raise OSError("no name server")
        return frozenset(ip_address(ip) for ip in self.known[name])

    def _start(self) -> None:
        """Have no thread."""

    def answer(self) -> None:
        """Answer all questions that were put."""
        while self._queue:
            self.step()


def ignore_list(
    *networks: str, own: str = "198.51.100.9", hosts: Hosts | None = None, **settings: object
) -> IgnoreList:
    ours = OwnAddresses(FakeClock(), lambda: frozenset({ip_address(own)}))
    given = tuple(ip_network(network) for network in networks)
    ignore = IgnoreSettings(given, **settings)  # type: ignore[arg-type]
    return IgnoreList("sshd", ignore, ours, hosts or FakeHosts(), FakeClock())


def reason(ignored: IgnoreList, id: str) -> str | None:
    return ignored.reason(ip_network(id) if "/" in id else ip_address(id))


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.255.255.255", "::1", "198.51.100.9"])
def test_this_host_is_always_ignored(ip: str) -> None:
    assert reason(ignore_list(), ip) == "ignoreself rule"


def test_without_ignoreself_only_the_loopback_is_ignored() -> None:
    ignored = ignore_list(own="198.51.100.9")
    assert reason(ignored, "198.51.100.9")
    alone = IgnoreSettings(own=False)
    ours = OwnAddresses(FakeClock(), lambda: frozenset({ip_address("198.51.100.9")}))
    hosts = FakeHosts()
    ignored = IgnoreList("sshd", alone, ours, hosts, FakeClock())
    assert reason(ignored, "198.51.100.9") is None
    assert reason(ignored, "127.0.0.1") == "ignoreself rule"
    assert hosts.asked == [] and not ignored.awaited()


@pytest.mark.parametrize("ip", ["192.0.2.0", "192.0.2.255", "2001:db8::1", "203.0.113.7"])
def test_listed_networks_of_both_families_are_ignored(ip: str) -> None:
    ignored = ignore_list("192.0.2.0/24", "2001:db8::/64", "203.0.113.7/32")
    assert reason(ignored, ip) == "ip"


@pytest.mark.parametrize("ip", ["192.0.3.0", "2001:db8:0:1::1", "203.0.113.8", "::", "128.0.0.1"])
def test_others_are_not(ip: str) -> None:
    ignored = ignore_list("192.0.2.0/24", "2001:db8::/64", "203.0.113.7/32")
    assert reason(ignored, ip) is None


def test_the_whole_of_one_family_leaves_the_other_alone() -> None:
    assert reason(ignore_list("0.0.0.0/0"), "203.0.113.8")
    assert reason(ignore_list("0.0.0.0/0"), "2001:db8::8") is None


@pytest.mark.parametrize(
    ("network", "ignored"),
    [
        ("192.0.2.0/24", True),
        ("192.0.2.128/25", True),
        ("192.0.0.0/16", False),
        ("198.51.100.0/24", False),
        ("127.0.0.0/24", True),
        ("2001:db8::/80", True),
        ("2001:db8::/48", False),
    ],
)
def test_network_is_ignored_when_the_whole_of_it_is_listed(network: str, ignored: bool) -> None:
    assert bool(reason(ignore_list("192.0.2.0/24", "2001:db8::/64"), network)) is ignored


def test_text_is_ignored_when_it_is_listed_as_it_is() -> None:
    ignored = ignore_list(texts=("admin",), names=("host.example",))
    assert [ignored.reason(id) for id in ("admin", "Admin", "adm", "host.example")] == [
        "ip",
        None,
        None,
        "ip",
    ]


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


networks = st.builds(
    lambda number, length: ip_network((number, length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(networks, max_size=6), networks, st.integers(0, 2**32 - 1))
def test_set_of_networks_answers_as_each_of_them_would(
    members: list[object], network: object, number: int
) -> None:
    known = Networks(members)  # type: ignore[arg-type]
    ip = ip_address(number)
    assert (ip in known) == any(ip in one for one in members)  # type: ignore[operator]
    assert (network in known) == any(network.subnet_of(one) for one in members)  # type: ignore[attr-defined,operator]


numbers = st.integers(0, 2**32 - 1)


@given(st.lists(networks, max_size=4), st.lists(numbers, max_size=3), numbers, numbers)
def test_who_is_cleared_at_once_is_who_has_no_reason(
    members: list[object], named: list[int], own: int, number: int
) -> None:
    hosts = FakeHosts()
    hosts.known["a.example"] = {str(ip_address(one)) for one in named}
    ignored = ignore_list(
        *map(str, members), own=str(ip_address(own)), hosts=hosts, names=("a.example",)
    )
    asked = [ip_address(one) for one in (*named, own, number)]
    assert not any(map(ignored.clears, asked))  # a name server may know better
    assert [ignored.omits(ip) for ip in asked] == [ignored.reason(ip) is None for ip in asked]
    hosts.answer()
    for clear in (ignored.clears, ignored.omits):
        assert [clear(ip) for ip in asked] == [ignored.reason(ip) is None for ip in asked]


@pytest.mark.parametrize("member", ["192.0.2.0/24", "2001:db8::/64"])
def test_two_sets_of_networks_make_one(member: str) -> None:
    first, second = Networks([ip_network("192.0.2.0/25")]), Networks([ip_network(member)])
    both = first | second
    assert ip_network(member) in both and ip_address("192.0.2.1") in both
    assert ip_address("203.0.113.1") not in both and len(first._prefixes[6]) == 0


# Host names --------------------------------------------------------------------


def test_name_counts_by_its_addresses_once_they_are_known() -> None:
    hosts = FakeHosts()
    hosts.known["friend.example"] = {"192.0.2.1", "2001:db8::1"}
    ignored = ignore_list(hosts=hosts, names=("Friend.example",))
    assert reason(ignored, "192.0.2.1") is None and ignored.awaited()
    hosts.answer()
    assert not ignored.awaited()
    assert [reason(ignored, ip) for ip in ("192.0.2.1", "2001:db8::1")] == ["dns", "dns"]
    assert reason(ignored, "192.0.2.2") is None


def test_what_this_host_is_called_is_this_host() -> None:
    hosts = FakeHosts()
    hosts.known[OURSELVES] = {"203.0.113.80"}
    ignored = ignore_list(hosts=hosts)
    ignored.awaited()
    hosts.answer()
    assert reason(ignored, "203.0.113.80") == "ignoreself rule"


def test_name_is_asked_for_again_when_its_answer_is_old_and_the_old_one_serves_till_then() -> None:
    clock = FakeClock()
    hosts = FakeHosts(clock)
    hosts.known["friend.example"] = {"192.0.2.1"}
    ignored = ignore_list(hosts=hosts, names=("friend.example",))
    ignored.awaited()
    hosts.answer()
    hosts.known["friend.example"] = {"192.0.2.2"}
    clock.advance(ANSWER_AGE)
    assert reason(ignored, "192.0.2.1") == "dns" and not ignored.awaited()
    hosts.answer()
    assert (reason(ignored, "192.0.2.1"), reason(ignored, "192.0.2.2")) == (None, "dns")


def test_name_server_that_is_away_takes_nobody_off_the_list(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    hosts = FakeHosts(clock)
    hosts.known["friend.example"] = {"192.0.2.1"}
    ignored = ignore_list(hosts=hosts, names=("friend.example",))
    ignored.awaited()
    hosts.answer()
    del hosts.known["friend.example"]
    for age in (ANSWER_AGE, RETRY_AGE, RETRY_AGE):
        clock.advance(age)
        reason(ignored, "192.0.2.9")
        hosts.answer()
    assert reason(ignored, "192.0.2.1") == "dns"
    assert caplog.text.count("friend.example cannot be resolved, the addresses it had stay") == 1


def test_name_without_an_answer_counts_for_nobody_and_is_waited_for_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hosts = FakeHosts()
    ignored = ignore_list(hosts=hosts, names=("nobody.example",))
    assert ignored.awaited()
    hosts.answer()
    assert not ignored.awaited()
    assert "nobody.example cannot be resolved, it stands for no address" in caplog.text


def test_patience_with_a_silent_name_server_has_an_end() -> None:
    clock = FakeClock()
    hosts = FakeHosts(clock)
    assert hosts.awaited(["slow.example"])
    clock.advance(PATIENCE)
    assert not hosts.awaited(["slow.example"])


def test_names_are_asked_for_once_at_a_time() -> None:
    hosts = FakeHosts()
    for _ in range(5):
        hosts.have(["a.example"], ip_address("192.0.2.1"))
    hosts.answer()
    assert hosts.asked == ["a.example"]


def test_thread_asks_and_who_waits_is_told() -> None:
    hosts = Hosts(lambda name: frozenset({ip_address("192.0.2.1")}))
    hosts.wait(["friend.example"])
    assert hosts.have(["friend.example"], ip_address("192.0.2.1"))
    hosts.close()


def test_closing_ends_the_wait() -> None:
    hosts = FakeHosts()
    hosts.close()
    hosts.wait(["slow.example"])


# Files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "network"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("192.0.2.7/0.0.0.0", "0.0.0.0/0"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("[2001:db8::1]", "2001:db8::1/128"),
        ("2001:db8::5/64", "2001:db8::/64"),
        ("2001:db8::5/ffff:ffff:ffff::", "2001:db8::/48"),
        ("192.0.2.0/255.0.255.0", None),
        ("192.0.2.0/0.0.0.255", None),
        ("192.0.2.0/ffff::", None),
        ("192.0.2.0/", None),
        ("192.0.2.0/33", None),
        ("192.0.2", None),
        ("host.example", None),
        ("host.example/24", None),
        ("", None),
    ],
)
def test_word_of_a_file_is_a_network_or_not(word: str, network: str | None) -> None:
    assert str(parse_network(word)) == str(network)


def test_words_are_separated_by_blanks_commas_and_lines_and_may_have_comments() -> None:
    listed = parse(
        "# friends, 203.0.113.1\n192.0.2.1,192.0.2.2 ; not 203.0.113.2\n"
        "\tfriend.example  # 203.0.113.3\n  ; 203.0.113.4\n\nuser#1 192.0.2.0/99\n"
    )
    assert all(ip_address(ip) in listed.networks for ip in ("192.0.2.1", "192.0.2.2"))
    assert not any(ip_address(f"203.0.113.{n}") in listed.networks for n in range(1, 5))
    assert listed.names == ("friend.example",)
    assert listed.texts == {"friend.example", "user#1", "192.0.2.0/99"}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    parse(text)


class List:
    """A file that lists whom to ignore, and its reader."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, FakeClock()
        self.file = IgnoreFile("sshd", str(path), self.clock)

    def has(self, ip: str) -> bool:
        return ip_address(ip) in self.file.listed().networks

    def write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.path)


@pytest.fixture
def ignored(tmp_path: Path) -> Iterator[List]:
    yield List(tmp_path / "friends")


def test_file_is_read_again_when_it_changed_but_looked_at_once_a_second(ignored: List) -> None:
    ignored.write("192.0.2.1")
    assert ignored.has("192.0.2.1")
    ignored.write("192.0.2.2")
    assert ignored.has("192.0.2.1")
    ignored.clock.advance(CHECK_INTERVAL)
    assert ignored.has("192.0.2.2") and not ignored.has("192.0.2.1")


def test_file_written_over_with_other_words_of_its_length_is_noticed(ignored: List) -> None:
    ignored.path.write_text("192.0.2.1")
    assert ignored.has("192.0.2.1")
    ignored.path.write_text("192.0.2.2")
    os.utime(ignored.path, (1, 1))
    ignored.clock.advance(CHECK_INTERVAL)
    assert ignored.has("192.0.2.2")


def test_file_that_vanishes_keeps_its_word_is_told_once_and_tried_once_a_minute(
    ignored: List, caplog: pytest.LogCaptureFixture
) -> None:
    ignored.write("192.0.2.1")
    assert ignored.has("192.0.2.1")
    ignored.path.unlink()
    for _ in range(3):
        ignored.clock.advance(RETRY_INTERVAL)
        assert ignored.has("192.0.2.1")
    assert caplog.text.count("cannot read") == 1
    ignored.write("192.0.2.2")
    ignored.clock.advance(RETRY_INTERVAL - 1)
    assert ignored.has("192.0.2.1")
    ignored.clock.advance(1)
    assert ignored.has("192.0.2.2")


def test_pipe_is_no_list_and_keeps_nobody_waiting(
    ignored: List, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(ignored.path)
    assert not ignored.has("192.0.2.1")
    assert "it is no regular file" in caplog.text


def test_those_in_a_file_are_ignored_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "friends"
    path.write_text("192.0.2.0/24 friend.example admin")
    hosts = FakeHosts()
    hosts.known["friend.example"] = {"203.0.113.1"}
    ignored = ignore_list(hosts=hosts, files=(str(path),))
    assert ignored.awaited()
    hosts.answer()
    ids: list[Id] = [ip_address("192.0.2.1"), ip_address("203.0.113.1"), "admin"]
    assert [ignored.reason(id) for id in ids] == [f"file:{path}"] * 3
    assert reason(ignored, "203.0.113.2") is None


def test_those_in_a_file_are_not_cleared_a_second_after_it_has_changed(ignored: List) -> None:
    ignored.write("192.0.2.1")
    settings, own = IgnoreSettings(files=(str(ignored.path),)), OwnAddresses(FakeClock(), frozenset)
    hosts = FakeHosts()
    known = IgnoreList("sshd", settings, own, hosts, ignored.clock)
    known.awaited()
    hosts.answer()
    listed, later = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert known.clears(later) and not known.clears(listed) and not known.omits(listed)
    ignored.clock.advance(CHECK_INTERVAL)
    assert known.reason(later) is None  # looks at the file
    ignored.clock.advance(0.9)
    assert known.clears(later)
    ignored.write("192.0.2.2")
    ignored.clock.advance(0.9)
    assert not known.clears(later) and known.clears(listed)


# The command -------------------------------------------------------------------


class FakeAsker:
    """Answers for a command; raises what it is given."""

    def __init__(self, *answers: int | CommandError) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, str, float]]()

    def run(self, command: Command, failure: Failure, timeout: float) -> int:
        self.asked.append((command.any, str(failure.id), timeout))
        answer = self.answers.pop(0)
        if isinstance(answer, CommandError):
            raise answer
        return answer

    def key(self, text: str, failure: Failure) -> str:
        return text.replace("<ip>", str(failure.ip))


def command(asker: FakeAsker, clock: FakeClock | None = None, **cache: object) -> IgnoreCommand:
    settings = IgnoreSettings(command=Command.same("ask"), timeout=7, **cache)  # type: ignore[arg-type]
    return IgnoreCommand("sshd", settings, asker, clock or FakeClock())


def test_status_of_the_command_decides() -> None:
    asker = FakeAsker(0, 1)
    asked = command(asker)
    assert (asked.ask(failure()), asked.ask(failure())) == (True, False)
    assert asker.asked == [("ask", "192.0.2.1", 7)] * 2
    assert not IgnoreCommand("sshd", IgnoreSettings(), asker, FakeClock())


def test_other_statuses_and_failures_ignore_nobody_and_are_told_when_they_begin_and_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    asked = command(FakeAsker(2, CommandError("took too long"), 1, 127), cache="<ip>")
    assert [asked.ask(failure()) for _ in range(3)] == [False] * 3
    assert caplog.messages == [
        "[sshd] ignorecommand fails, nobody is ignored:"
        " exit status 2, where 0 means ignore and 1 do not",
        "[sshd] ignorecommand works again",
    ]


@pytest.mark.parametrize("status", [0, 1])
def test_answers_are_remembered_under_their_key_for_a_time(status: int) -> None:
    clock, asker = FakeClock(), FakeAsker(status, 1 - status, status)
    asked = command(asker, clock, cache="<ip>", cache_time=60.0)
    assert asked.remembered(failure()) is None
    assert asked.ask(failure()) is (status == 0)
    assert asked.remembered(failure()) is (status == 0)
    assert asked.ask(failure("192.0.2.2")) is (status != 0)
    assert asked.ask(failure()) is (status == 0)
    assert len(asker.asked) == 2
    clock.advance(60)
    assert asked.remembered(failure()) is None


def test_only_so_many_answers_are_remembered() -> None:
    asked = command(FakeAsker(0, 0, 0), cache="<ip>", cache_size=2)
    for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        asked.ask(failure(ip))
    known = [asked.remembered(failure(f"192.0.2.{number}")) for number in (1, 2, 3)]
    assert known == [None, True, True]


def test_without_a_cache_nothing_is_remembered() -> None:
    asked = command(FakeAsker(0))
    asked.ask(failure())
    assert asked.remembered(failure()) is None
