# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a ban lasts when somebody comes back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.bantime import BanTimes, attempts
from fail2ban.records import GrowthSettings

DOUBLING = GrowthSettings()


def times(growth: GrowthSettings | None = DOUBLING, base: float | None = 600.0) -> BanTimes:
    return BanTimes("sshd", base, growth, random.Random(1))


def lengths(growth: GrowthSettings, *bans: int) -> list[float | None]:
    return [times(growth).seconds(number) for number in bans]


@pytest.mark.parametrize(
    ("bans", "maxretry", "expected"),
    [(0, 5, 1), (1, 5, 2), (2, 5, 3), (3, 5, 5), (3, 9, 5), (4, 9, 9), (4, 99, 9), (5, 99, 17)]
    + [(20, 10**9, 2**19 + 1), (21, 10**9, 2**19 + 1), (1, 1, 1)],
)
def test_failure_counts_more_after_each_ban(bans: int, maxretry: int, expected: int) -> None:
    assert attempts(bans, maxretry) == expected


def test_without_growth_all_bans_are_as_long() -> None:
    assert [times(None).seconds(number) for number in (0, 1, 9)] == [600] * 3


def test_bans_double_up_to_the_twentieth() -> None:
    expected = [600, 1200, 2400, 600 * 2**20, 600 * 2**20]
    assert lengths(GrowthSettings(), 0, 1, 2, 20, 21) == expected


def test_factor_multiplies_but_no_ban_is_shorter_than_the_first() -> None:
    assert lengths(GrowthSettings(factor=1.5), 1, 2) == [1800, 3600]
    assert lengths(GrowthSettings(factor=0.25), 1, 2, 3) == [600, 600, 1200]


def test_multipliers_replace_the_doubling_and_the_last_is_for_all_that_follow() -> None:
    growth = GrowthSettings(multipliers=(1, 5, 30), factor=2)
    assert lengths(growth, 0, 1, 2, 3, 99) == [600, 6000, 36000, 36000, 36000]


def test_multipliers_may_shorten() -> None:
    assert lengths(GrowthSettings(multipliers=(1, 0.5)), 1) == [300]


def test_formula_is_computed_and_never_below_the_first_ban() -> None:
    growth = GrowthSettings(formula="ban.Time * ban.Count ** 2 * banFactor / 10", factor=2)
    assert lengths(growth, 0, 1, 5) == [600, 600, 3000]


@pytest.mark.parametrize("formula", ["ban.Time / (ban.Count - 1)", "ban.Time *", "nonsense(1)"])
def test_formula_without_result_is_said_once_and_the_usual_time_taken(
    formula: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = times(GrowthSettings(formula=formula))
    assert [broken.seconds(1), broken.seconds(1)] == [600, 600]
    assert caplog.text.count("cannot be computed") == 1 and "[sshd]" in caplog.text


def test_longest_limits_and_the_jitter_comes_after_it() -> None:
    growth = GrowthSettings(longest=1000, jitter=50)
    grown = times(growth)
    drawn = {grown.seconds(5) for _ in range(100)}
    assert len(drawn) > 10
    assert all(one is not None and 1000 <= one <= 1050 and one == int(one) for one in drawn)
    assert grown.seconds(0) == 600


@pytest.mark.parametrize("base", [None, 0.0, -5.0])
def test_what_is_for_ever_or_over_at_once_does_not_grow(base: float | None) -> None:
    assert times(base=base).seconds(7) == base


@given(
    base=st.floats(1, 1e9),
    factor=st.floats(0, 1e300),
    bans=st.integers(0, 10**6),
    jitter=st.floats(0, 1e6),
)
def test_length_is_always_a_finite_whole_number_of_seconds(
    base: float, factor: float, bans: int, jitter: float
) -> None:
    growth = GrowthSettings(factor=factor, jitter=jitter)
    seconds = times(growth, float(int(base))).seconds(bans)
    assert seconds is not None and int(base) <= seconds < float("inf") and seconds == int(seconds)
