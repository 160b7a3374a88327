# SPDX-License-Identifier: GPL-2.0-or-later
"""Many plain commands in few processes, with programs that are played here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.daemon import RUNNER_PATIENCE
from fail2ban.enforce import coalesce
from fail2ban.enforce.bulk import Batch
from fail2ban.enforce.coalesce import LARGEST, LINE_SECONDS, carry_out
from fail2ban.enforce.halving import ENOUGH
from fail2ban.enforce.plain import Line, plain
from fail2ban.errors import CommandError

NFT = "nft add element ip t s { <ip> }"
IPTABLES = "iptables -A c -s <ip> -j DROP"
IPSET = "ipset add s <ip>"


@dataclass
class Host:
    """Plays nft, iptables-restore and ipset, and the shell for what runs alone.

    Attributes:
        guilty: numbers of commands that fail.
        status: with which batches fail for a guilty line.
        broken: the status with which every batch fails; None: of one that was killed.
        done: numbers of the commands that were carried out, in order.
        sent: the commands of each batch.
        ran_alone: the numbers of those that ran alone.
        seconds: that each batch was given.
        final: the commands of batches that failed and were not to be tried again in parts.
    """

    template: str
    guilty: frozenset[int] = frozenset()
    status: int = 1
    broken: int | None = 0
    done: list[int] = field(default_factory=list)
    sent: list[list[int]] = field(default_factory=list)
    ran_alone: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    final: set[int] = field(default_factory=set)

    def lines(self, count: int) -> list[Line | None]:
        return [self.line(number) for number in range(count)]

    def line(self, number: int) -> Line | None:
        found = plain(self.template)
        assert found
        return found.line({"ip": f"n{number}"}.get)

    def carry_out(self, lines: list[Line | None], ready: bool = False) -> list[CommandError | None]:
        return carry_out(lines, self.alone, self.send, 60.0, lambda command: ready)

    def send(
        self,
        command: str,
        feed: str,
        numbers: Sequence[int],
        seconds: float,
        divides: Callable[[CommandError], bool],
    ) -> None:
        assert feed.endswith("\n")
        self.seconds.append(seconds)
        lines = {n: _number(line) for n, line in enumerate(feed.splitlines()) if " n" in line}
        assert list(lines.values()) == list(numbers)
        self.sent.append(list(numbers))
        if self.broken != 0:
            self._fail(CommandError("broken", [], self.broken), divides)
        for at, number in lines.items():
            if number in self.guilty:
                output = [f"ipset: Error in line {at + 1}: no"]
                self._fail(CommandError("batch", output, self.status), divides)
            if "ipset" in command:
                self.done.append(number)
        if "ipset" not in command:
            self.done += numbers

    def _fail(self, error: CommandError, divides: Callable[[CommandError], bool]) -> NoReturn:
        if not divides(error):
            self.final.update(self.sent[-1])
        raise error

    def alone(self, number: int) -> None:
        self.ran_alone.append(number)
        if number in self.guilty:
            raise CommandError(f"{number} failed", [], 1)
        self.done.append(number)


def _number(line: str) -> int:
    (word,) = (word for word in line.split() if word[0] == "n" and word[1:].isdigit())
    return int(word[1:])


def failed(outcomes: Iterable[CommandError | None]) -> dict[int, str]:
    return {n: str(outcome) for n, outcome in enumerate(outcomes) if outcome}


def messages(numbers: Iterable[int]) -> dict[int, str]:
    return {number: f"{number} failed" for number in numbers}


def some_of(count: int) -> st.SearchStrategy[frozenset[int]]:
    """Return some numbers below `count`; not so many that nothing seems to work."""
    return st.frozensets(st.integers(0, count - 1), max_size=ENOUGH - 1)


everybody = pytest.mark.parametrize("template", [NFT, IPTABLES, IPSET])


@everybody
def test_all_are_done_by_one_process_in_their_order(template: str) -> None:
    host = Host(template)
    assert host.carry_out(host.lines(1000)) == [None] * 1000
    assert host.sent == [list(range(1000))]
    assert host.done == list(range(1000)) and not host.ran_alone


def test_the_input_is_in_the_language_of_each_program() -> None:
    feeds = {}

    def send(command: str, feed: str, *more: object) -> None:
        feeds[command] = feed

    lines = [Host(template).line(n) for n in (1, 2) for template in (NFT, IPTABLES, IPSET)]
    carry_out(lines, _never, send, 60.0)
    assert feeds == {
        "nft -f -": "add element ip t s { n1 }\nadd element ip t s { n2 }\n",
        "iptables-restore --noflush -w": (
            "*filter\n-A c -s n1 -j DROP\n-A c -s n2 -j DROP\nCOMMIT\n"
        ),
        "ipset restore": "add s n1\nCOMMIT\nadd s n2\nCOMMIT\n",
    }


def _never(number: int) -> None:
    raise AssertionError("nothing is to run alone")


@everybody
def test_a_lone_one_runs_as_it_is_written(template: str) -> None:
    host = Host(template, guilty=frozenset({0}))
    assert failed(host.carry_out(host.lines(1))) == messages([0])
    assert host.ran_alone == [0] and not host.sent


@everybody
def test_a_lone_one_is_given_to_a_process_that_stands_by(template: str) -> None:
    host = Host(template)
    assert host.carry_out(host.lines(1), ready=True) == [None]
    assert host.sent == [[0]] and host.done == [0] and not host.ran_alone


@everybody
def test_a_lone_one_that_fails_so_runs_as_it_is_written_and_has_its_own_message(
    template: str,
) -> None:
    host = Host(template, guilty=frozenset({0}))
    assert failed(host.carry_out(host.lines(1), ready=True)) == messages([0])
    assert host.sent == [[0]] and host.ran_alone == [0] and not host.final


@everybody
@pytest.mark.parametrize("status", [None, 137])
def test_a_lone_one_whose_process_was_killed_is_not_done_twice(
    template: str, status: int | None
) -> None:
    host = Host(template, broken=status)
    assert failed(host.carry_out(host.lines(1), ready=True)) == {0: "broken"}
    assert host.final == {0} and not host.ran_alone


def test_what_has_no_line_runs_as_it_is_written() -> None:
    host = Host(NFT, guilty=frozenset({4}))
    lines = host.lines(6)
    lines[1] = lines[4] = None
    assert failed(host.carry_out(lines)) == messages([4])
    assert host.sent == [[0, 2, 3, 5]] and host.ran_alone == [1, 4]


@everybody
def test_nothing_to_do_runs_nothing(template: str) -> None:
    host = Host(template)
    assert host.carry_out([]) == [] and not host.sent


def test_a_huge_number_is_done_by_several_processes() -> None:
    host = Host(NFT)
    assert host.carry_out(host.lines(LARGEST + 3)) == [None] * (LARGEST + 3)
    assert [len(batch) for batch in host.sent] == [LARGEST, 3]
    assert host.done == list(range(LARGEST + 3))


def test_a_batch_gets_more_time_the_larger_it_is() -> None:
    host = Host(NFT)
    host.carry_out(host.lines(500))
    assert host.seconds == [60.0 + 500 * LINE_SECONDS]


@given(st.integers(2, 130), st.data())
def test_of_an_atomic_batch_exactly_the_guilty_fail(count: int, data: st.DataObject) -> None:
    guilty = data.draw(some_of(count))
    host = Host(data.draw(st.sampled_from([NFT, IPTABLES])), guilty)
    assert failed(host.carry_out(host.lines(count))) == messages(guilty)
    _check_done(host, count)
    # Each guilty one: at each level its half failed and the other, at worst, was tried.
    levels = math.ceil(math.log2(count))
    assert len(host.sent) <= 1 + len(guilty) * 2 * levels
    assert len(host.sent) < 2 * count
    assert sum(map(len, host.sent)) <= count * (levels + 1)


@given(st.integers(2, 130), st.data())
def test_of_a_batch_that_stops_exactly_the_guilty_fail(count: int, data: st.DataObject) -> None:
    guilty = data.draw(some_of(count))
    host = Host(IPSET, guilty)
    assert failed(host.carry_out(host.lines(count))) == messages(guilty)
    _check_done(host, count)
    assert len(host.sent) <= 1 + 3 * len(guilty)


def _check_done(host: Host, count: int) -> None:
    """See that each innocent is done once and in order, and each guilty alone once."""
    assert host.done == [number for number in range(count) if number not in host.guilty]
    assert host.ran_alone == sorted(set(host.ran_alone)) and host.guilty <= set(host.ran_alone)
    assert not host.final  # nothing but the commands themselves counts as failed


def test_one_guilty_of_many_costs_few_processes() -> None:
    host = Host(NFT, guilty=frozenset({7_777}))
    assert failed(host.carry_out(host.lines(10_000))) == messages([7_777])
    assert len(host.sent) + len(host.ran_alone) <= 2 * 14 + 1


def test_a_half_is_not_tried_if_the_other_was_innocent() -> None:
    host = Host(NFT, guilty=frozenset({1023}))
    assert failed(host.carry_out(host.lines(1024))) == messages([1023])
    assert len(host.sent) <= 10


def test_many_behind_a_guilty_one_are_not_sent_again_for_each() -> None:
    """A set that is full: each is refused from some line on."""
    host = Host(IPSET, guilty=frozenset(range(500, 3_000)))
    found = failed(host.carry_out(host.lines(3_000)))
    assert found.keys() == host.guilty
    assert {n: found[n] for n in range(500, 500 + ENOUGH)} == messages(range(500, 500 + ENOUGH))
    assert all("not tried" in found[n] for n in range(500 + ENOUGH, 3_000))
    assert sum(map(len, host.sent[1:])) < 20 * 2_500


@everybody
def test_where_nothing_works_few_processes_are_enough_to_know(template: str) -> None:
    """The table is gone."""
    host = Host(template, guilty=frozenset(range(10_000)))
    assert len(failed(host.carry_out(host.lines(10_000)))) == 10_000
    assert len(host.ran_alone) == ENOUGH and len(host.sent) <= 2 * ENOUGH


@everybody
def test_many_guilty_among_the_innocent_end_nothing(template: str) -> None:
    """Elements that have timed out by themselves."""
    host = Host(template, guilty=frozenset(range(0, 1_000, 10)))
    assert failed(host.carry_out(host.lines(1_000))) == messages(host.guilty)


@everybody
@pytest.mark.parametrize("status", [None, 137])
def test_a_batch_that_was_killed_fails_as_a_whole(template: str, status: int | None) -> None:
    host = Host(template, broken=status)
    outcomes = host.carry_out(host.lines(100))
    assert failed(outcomes) == dict.fromkeys(range(100), "broken")
    assert len(host.sent) == 1 and not host.ran_alone and host.final == set(range(100))


@everybody
@pytest.mark.parametrize("status", [126, 127])
def test_without_the_program_for_many_each_runs_as_it_is_written(
    template: str, status: int
) -> None:
    host = Host(template, guilty=frozenset({3}), broken=status)
    assert failed(host.carry_out(host.lines(100))) == messages([3])
    assert len(host.sent) == 1 and host.ran_alone == list(range(100)) and not host.final


@pytest.mark.parametrize("template", [NFT, IPTABLES])
def test_a_batch_that_fails_without_reason_is_not_tried_for_ever(template: str) -> None:
    """The program may be too old for what it is given."""
    host = Host(template, broken=2)
    assert host.carry_out(host.lines(1000)) == [None] * 1000
    assert host.ran_alone == list(range(1000)) and len(host.sent) <= 12


def test_a_batch_that_stops_without_reason_is_not_tried_for_ever() -> None:
    host = Host(IPSET, guilty=frozenset({0}))

    def alone(number: int) -> None:
        host.ran_alone.append(number)

    outcomes = carry_out(host.lines(100), alone, host.send, 60.0)
    assert outcomes == [None] * 100
    assert len(host.sent) == 1 and host.ran_alone == list(range(100))


@pytest.mark.parametrize("output", ["no line", "Error in line 0:", "Error in line 999:"])
def test_a_batch_of_which_nobody_knows_how_far_it_came_fails_as_a_whole(output: str) -> None:
    def send(
        command: str,
        feed: str,
        numbers: Sequence[int],
        seconds: float,
        divides: Callable[[CommandError], bool],
    ) -> None:
        error = CommandError("unknown", [output], 1)
        assert not divides(error)
        raise error

    outcomes = carry_out(Host(IPSET).lines(10), _never, send, 60.0)
    assert failed(outcomes) == dict.fromkeys(range(10), "unknown")


def test_what_alone_raises_besides_a_failure_ends_it_all() -> None:
    host = Host(NFT, guilty=frozenset({1}))

    def alone(number: int) -> None:
        raise KeyError(number)

    with pytest.raises(KeyError):
        carry_out(host.lines(4), alone, host.send, 60.0)


def test_each_batch_is_bisected_for_itself() -> None:
    host = Host(NFT, guilty=frozenset({2, 5}))
    other = Batch("other", end="\n")
    lines = host.lines(6)
    for number in (1, 3, 5):
        lines[number] = Line(other, f"x n{number}")
    assert failed(host.carry_out(lines)) == messages([2, 5])
    assert host.sent[0] == [0, 2, 4]
    assert sorted(host.done) == [0, 1, 3, 4]


def test_the_limits_are_what_the_batch_of_a_start_needs() -> None:
    """100,000 stored bans are one batch."""
    assert coalesce.LARGEST >= 100_000
    assert LARGEST * LINE_SECONDS < RUNNER_PATIENCE
