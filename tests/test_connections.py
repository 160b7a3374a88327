# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of one connection are put together, and an attacker cannot make that grow."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect.connections import (
    LENGTH,
    LIFETIME,
    MAX_LINES,
    MAX_USERS,
    SIZE,
    Connections,
    Outcome,
)
from fail2ban.detect.identity import Identity, NoAddress

NOW = 1124013600.0
WHO = {"ip4": "192.0.2.7"}
NOBODY = {"nofail": "Connection from"}
GAINED = {"mlfgained": "Accepted"}
FORGET = {"mlfforget": "closed"}


class Log:
    """A connection's lines; each is named by its number."""

    def __init__(self) -> None:
        self.connections = Connections("warn")
        self.now = NOW
        self.count = 0

    def add(self, *groups: dict[str, str], id: str = "sshd[7]") -> Outcome:
        self.count += 1
        merged = {"mlfid": id}
        for one in groups:
            merged |= one
        return self.connections.add(merged, (f"line {self.count}",), self.now)


def lines(*numbers: int) -> tuple[str, ...]:
    return tuple(f"line {number}" for number in numbers)


def blamed(outcome: Outcome) -> str | None:
    return str(outcome.identity.host) if outcome.identity else None


def test_a_line_that_says_all_is_a_failure_at_once():
    outcome = Log().add(WHO, {"user": "root"})
    assert (outcome.verdict, outcome.lines) == ("failure", lines(1))
    assert outcome.identity == Identity(ipaddress.ip_address("192.0.2.7"))
    assert outcome.groups == {
        "mlfid": "sshd[7]", "ip4": "192.0.2.7", "user": "root", "users": ("root",)
    }  # fmt: skip


def test_a_failure_of_somebody_unknown_counts_once_when_a_later_line_names_him():
    log = Log()
    assert (log.add({"user": "root"}).verdict, log.add().verdict) == ("pending", "pending")
    outcome = log.add(NOBODY, WHO)
    assert (outcome.verdict, outcome.lines, blamed(outcome)) == (
        "failure", lines(1, 2, 3), "192.0.2.7"
    )  # fmt: skip
    assert log.add(NOBODY, WHO).verdict == "nofail"


def test_a_line_that_names_somebody_without_blame_is_evidence_of_the_next_failure():
    log = Log()
    first = log.add(NOBODY, WHO)
    assert (first.verdict, blamed(first)) == ("nofail", "192.0.2.7")
    second = log.add()
    assert (second.verdict, second.lines) == ("failure", lines(1, 2))
    assert (blamed(second), log.add().lines) == ("192.0.2.7", lines(3))


def test_success_clears_what_was_pending():
    log = Log()
    assert log.add().verdict == "pending"
    assert log.add(GAINED, WHO).verdict == "nofail"
    assert log.add(NOBODY).verdict == "nofail"


def test_success_as_a_second_user_is_a_failure():
    log = Log()
    log.add(NOBODY, WHO, {"user": "root"})
    assert log.add(GAINED, WHO, {"user": "root"}).verdict == "nofail"
    outcome = log.add(GAINED, WHO, {"user": "known"})
    assert (outcome.verdict, outcome.groups["users"]) == ("failure", ("known", "root"))


def test_marks_of_an_earlier_line_say_nothing_of_a_later_one():
    log = Log()
    log.add(NOBODY, GAINED, WHO)
    outcome = log.add()
    assert outcome.verdict == "failure"
    assert not {"nofail", "mlfgained"} & outcome.groups.keys()


def test_an_empty_mark_is_none():
    assert Log().add({"nofail": ""}, WHO).verdict == "failure"


def test_a_connection_is_forgotten_after_its_last_line():
    log = Log()
    log.add(NOBODY, WHO)
    outcome = log.add(FORGET)
    assert (outcome.verdict, blamed(outcome), len(log.connections)) == ("failure", "192.0.2.7", 0)
    assert log.add().verdict == "pending"


def test_the_last_line_of_an_unknown_connection_is_not_remembered():
    log = Log()
    outcome = log.add(FORGET, WHO, {"user": "root"})
    assert (outcome.verdict, len(log.connections)) == ("failure", 0)
    assert "users" not in outcome.groups
    assert (log.add(FORGET).verdict, len(log.connections)) == ("pending", 0)


def test_later_texts_override_earlier_ones_unless_they_are_empty():
    log = Log()
    log.add(NOBODY, {"a": "1", "b": "1", "c": ""})
    groups = log.add(NOBODY, {"a": "2", "b": "", "d": ""}).groups
    assert {name: groups[name] for name in "abcd"} == {"a": "2", "b": "1", "c": "", "d": ""}


def test_an_address_replaces_every_address_of_an_earlier_line():
    log = Log()
    log.add(NOBODY, {"ip4": "192.0.2.7", "cidr": "24"})
    outcome = log.add({"ip6": "2001:db8::1"})
    assert blamed(outcome) == "2001:db8::1"
    assert not {"ip4", "cidr"} & outcome.groups.keys()


@pytest.mark.parametrize("group", ["ip4", "dns", "host"])
def test_a_name_does_not_replace_an_address(group):
    log = Log()
    log.add(NOBODY, {group: "192.0.2.7"})
    outcome = log.add({"dns": "evil.example"})
    assert blamed(outcome) == "192.0.2.7"
    assert log.add({"ip4": "192.0.2.8"}).groups.get("dns") is None


def test_a_name_replaces_a_name():
    log = Log()
    log.add(NOBODY, {"dns": "a.example"})
    assert blamed(log.add({"dns": "b.example"})) == "b.example"


def test_what_should_be_an_address_and_is_none_changes_nothing():
    log = Log()
    log.add({"user": "root"})
    with pytest.raises(NoAddress):
        log.add({"ip4": "300.1.1.1"})
    assert log.add(NOBODY, WHO).lines == lines(1, 3)


def test_a_line_without_a_connection_stands_alone():
    log = Log()
    assert log.add({"user": "a"}, id="").verdict == "nobody"
    assert log.add(NOBODY, WHO, id="").verdict == "nofail"
    outcome = log.add(WHO, {"user": "b"}, id="")
    assert (outcome.verdict, outcome.lines, len(log.connections)) == ("failure", lines(3), 0)
    assert "users" not in outcome.groups


def test_connections_do_not_mix():
    log = Log()
    log.add({"user": "a"}, id="sshd[1]")
    outcome = log.add(WHO, {"user": "b"}, id="sshd[2]")
    assert (outcome.lines, outcome.groups["users"]) == (lines(2), ("b",))


def test_a_connection_is_forgotten_after_its_time_and_each_line_renews_it():
    log = Log()
    log.add(NOBODY, WHO)
    log.now += LIFETIME - 1
    assert log.add(NOBODY).verdict == "nofail"
    log.now += LIFETIME - 1
    assert log.add().verdict == "failure"
    log.now += LIFETIME
    assert log.add().verdict == "pending"


def test_the_connection_that_is_longest_unused_makes_room():
    log = Log()
    for number in range(SIZE):
        log.add(NOBODY, WHO, id=f"sshd[{number}]")
    log.add(NOBODY, WHO, id="sshd[0]")
    log.add(NOBODY, WHO, id="one more")
    assert len(log.connections) == SIZE
    assert log.add(id="sshd[0]").verdict == "failure"
    assert log.add(id="sshd[1]").verdict == "pending"


def test_what_is_kept_of_one_connection_is_bounded():
    log = Log()
    for number in range(MAX_LINES + MAX_USERS + 5):
        log.add({"user": f"user {number}"})
    outcome = log.add(WHO)
    last = log.count
    assert outcome.lines == lines(*range(last - MAX_LINES + 1, last + 1))
    assert len(outcome.groups["users"]) == MAX_USERS


def test_long_texts_are_cut_before_they_are_remembered():
    connections, groups = Connections("warn"), {"mlfid": "7", "user": "u" * 9999}
    connections.add(groups, ("x" * 9999,), NOW)
    outcome = connections.add({"mlfid": "7"} | WHO, ("y" * 9999,), NOW)
    assert outcome.lines == ("x" * LENGTH, "y" * 9999)
    assert outcome.groups["users"] == ("u" * LENGTH,)


GROUPS = st.fixed_dictionaries(
    {"mlfid": st.sampled_from(["", "a", "b"])},
    optional={
        name: st.sampled_from(["", "x"])
        for name in ("nofail", "mlfgained", "mlfforget", "fid", "dns", "user")
    },
)


@given(st.lists(GROUPS, max_size=12))
def test_every_failure_names_somebody_and_no_line_is_evidence_twice(steps):
    connections = Connections("warn")
    told: list[str] = []
    for number, groups in enumerate(steps):
        outcome = connections.add(groups, (str(number),), NOW)
        assert outcome.lines[-1] == str(number)
        if outcome.verdict == "failure":
            assert outcome.identity
            told += outcome.lines
        assert (outcome.verdict == "nobody") <= (not groups["mlfid"])
    assert len(told) == len(set(told))


# Lines that may be of a connection that is known -----------------------------------------

IDS = st.text("a1[]: é_", min_size=1, max_size=8)


@given(st.lists(IDS, max_size=4), IDS, st.text("a1 é]", max_size=4), st.text("a1 é[", max_size=4))
def test_a_line_of_a_connection_that_is_known_is_never_overlooked(
    ids: list[str], id: str, before: str, after: str
) -> None:
    log = Log()
    for one in (*ids, id, *ids):
        log.add(WHO, id=one)
    # The id is a piece of the line: what stands beside it is of no word that matters.
    assert log.connections.may_know(f"{before}{id}{after}".encode())


def test_a_line_of_another_connection_is_told_from_those_of_known_ones() -> None:
    log = Log()
    log.add(WHO, id="h sshd[7]: ")
    assert log.connections.may_know(b"Aug 14 11:59:30 h sshd[7]: Accepted")
    assert not log.connections.may_know(b"Aug 14 11:59:30 h sshd[8]: Accepted")
    assert not log.connections.may_know(b"Aug 14 11:59:30 h sshd[77]: Accepted")


def test_what_is_forgotten_is_not_known() -> None:
    log = Log()
    line = b"h sshd[7]: Accepted"
    assert not log.connections.may_know(line)
    for _ in range(2):
        log.add(WHO, id=" sshd[7]: ")
    log.add(WHO, id=" h[7]: ")
    log.add(FORGET, id=" h[7]: ")
    assert log.connections.may_know(line)
    log.now += LIFETIME + 1
    log.add(WHO, id="x [8] y")
    assert not log.connections.may_know(line)
    recalled = Connections("warn")
    recalled.recall(log.connections.memory())
    assert recalled.may_know(b"x [8] y") and not recalled.may_know(line)


def test_where_an_id_has_no_word_any_line_may_be_of_its_connection() -> None:
    log = Log()
    log.add(WHO, id="[+]")
    assert log.connections.may_know(b"anything")
    log.add(FORGET, id="[+]")
    assert not log.connections.may_know(b"anything")
