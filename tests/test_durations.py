# SPDX-License-Identifier: GPL-2.0-or-later
"""Lengths and moments as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.durations import DAY, HOUR, MINUTE, WEEK, YEAR, duration, moment

SECONDS = {"y": YEAR, "w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": 1}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (1, "1s"),
        (600, "10m"),
        (3594, "59m 54s"),
        (3595, "1h"),
        (3600, "1h"),
        (3604.9, "1h"),
        (3605, "1h 10s"),
        (86400, "1d"),
        (86400 + 29, "1d"),
        (86400 + 31, "1d 1m"),
        (WEEK + 3 * HOUR, "1w 3h"),
        (390 * DAY, "1y 3w 4d"),
        (80_000_000, "2y 28w"),
        (-600, "-10m"),
    ],
)
def test_length_is_rounded_to_what_matters(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e11))
def test_length_read_again_is_near_what_it_was_and_has_at_most_three_units(seconds: float) -> None:
    text = duration(seconds)
    words = re.findall(r"(\d+)([ywdhms])", text)
    assert len(words) <= 3
    again = sum(int(count) * SECONDS[unit] for count, unit in words)
    step = next((s for m, s in ((YEAR, DAY), (WEEK, HOUR), (DAY, MINUTE)) if seconds >= m), 10)
    assert abs(again - seconds) <= (step if seconds >= 3595 else 1) / 2


def test_moment_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", moment(1_700_000_000.9))


@pytest.mark.parametrize("seconds", [1e20, -1e20])
def test_moment_that_no_calendar_has_is_a_number(seconds: float) -> None:
    assert float(moment(seconds)) == seconds
