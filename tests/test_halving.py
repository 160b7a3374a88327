# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is to blame when a command fails that was run for many."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.enforce.halving import ENOUGH, HUNG, in_halves
from fail2ban.errors import CommandError


class Program:
    """Fails for the guilty; it has done what stands before them.

    Attributes:
        done: for whom it did its work.
        runs: for how many at a time.
    """

    def __init__(self, guilty: set[int], status: int | None = 1) -> None:
        self.guilty, self.status = guilty, status
        self.done: set[int] = set()
        self.runs: list[int] = []

    def __call__(self, some: Sequence[int]) -> None:
        self.runs.append(len(some))
        for one in some:
            if one in self.guilty:
                raise CommandError(f"not {one}", status=self.status)
            self.done.add(one)


def test_one_run_is_enough_where_nobody_is_guilty() -> None:
    program = Program(set())
    assert in_halves(range(1000), program) == [None] * 1000
    assert program.runs == [1000]


def test_nothing_is_run_for_nobody() -> None:
    program = Program(set())
    assert in_halves([], program) == [] and program.runs == []


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=5))
def test_the_innocent_pass_and_the_guilty_get_their_own_message(
    count: int, guilty: set[int]
) -> None:
    program = Program(guilty)
    outcomes = in_halves(range(count), program)
    assert program.done == set(range(count)) - guilty
    for one, outcome in enumerate(outcomes):
        assert (str(outcome) == f"not {one}") if one in guilty else outcome is None


def test_one_guilty_of_many_costs_few_runs() -> None:
    program = Program({77_777})
    in_halves(range(100_000), program)
    assert len(program.runs) <= 2 * 17 + 1


def test_nothing_is_tried_for_ever_where_nothing_works() -> None:
    program = Program(set(range(100_000)))
    outcomes = in_halves(range(100_000), program)
    assert len(program.runs) == ENOUGH and all(outcomes) and len(outcomes) == 100_000


def test_a_command_that_hangs_is_tried_a_few_times_only() -> None:
    program = Program(set(range(100_000)), status=None)
    assert all(in_halves(range(100_000), program))
    assert len(program.runs) == ENOUGH // HUNG
