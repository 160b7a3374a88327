# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of a date mean the nearest moment that fits them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect.moments import moment

NOON = datetime(2005, 8, 14, 12, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True, scope="module")
def _utc():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()


def test_without_a_month_it_is_the_latest_such_day():
    assert moment({"day": 14, "hour": 10}, NOON) == at(2005, 8, 14, 10)
    assert moment({"day": 15, "hour": 10}, NOON) == at(2005, 8, 15, 10)  # clocks differ
    assert moment({"day": 16, "hour": 10}, NOON) == at(2005, 7, 16, 10)


def test_without_a_month_days_that_the_last_month_lacks_are_of_the_one_before():
    assert moment({"day": 31}, at(2005, 5, 2, 12)) == at(2005, 3, 31)
    assert moment({"day": 1}, at(2005, 12, 31, 12)) == at(2006, 1, 1)
    assert moment({"day": 31}, at(2006, 1, 1, 12)) == at(2005, 12, 31)


def test_a_year_before_the_first_counts_as_none():
    parts = {"year": 1970, "month": 8, "day": 14}
    assert moment(parts, NOON) == at(2005, 8, 14)
    assert moment(parts, NOON, first_year=1) == at(1970, 8, 14)


def test_a_zone_wins_over_local_time():
    assert moment({"hour": 11, "offset": 3600}, NOON) == at(2005, 8, 14, 10)


def test_no_moment_is_after_the_year_9999():
    assert moment({"epoch": 253402214400}, NOON) == 253402214400
    with pytest.raises(ValueError, match="after the year 9999"):
        moment({"epoch": 253402214401}, NOON)


@given(st.integers(1, 31), st.integers(0, 23), st.floats(0, 4e9))
def test_a_day_and_hour_are_never_more_than_a_day_ahead_nor_a_season_ago(day, hour, now):
    found = moment({"day": day, "hour": hour}, now)
    assert now - 93 * 86400 <= found <= now + 86400
    assert datetime.fromtimestamp(found, UTC).day == day
