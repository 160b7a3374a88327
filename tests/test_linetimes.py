# SPDX-License-Identifier: GPL-2.0-or-later
"""A timestamp that cannot be right is replaced, with a warning once a day."""

from __future__ import annotations

import logging

import pytest

from fail2ban.detect.linetimes import LineTimes
from fail2ban.detect.match import Line

NOW = 1124013600.0
LIVE = Line("x")
OLD = Line("x", live=False)


@pytest.fixture
def times() -> LineTimes:
    return LineTimes("sshd", doubting=True)


@pytest.fixture
def trusting() -> LineTimes:
    return LineTimes("sshd", doubting=False)


@pytest.mark.parametrize("off", [-61, -86400, 61, 86400])
def test_a_new_line_far_off_counts_as_now_with_a_warning_that_names_the_cure(times, off, caplog):
    assert times.settle(LIVE, NOW + off, True, NOW) == NOW
    assert f"[sshd] a new line has a timestamp {abs(off)} seconds" in caplog.text
    assert "logtimezone" in caplog.text


@pytest.mark.parametrize("off", [-60, -1, 0])
def test_a_new_line_near_now_counts_for_its_time(times, off, caplog):
    assert times.settle(LIVE, NOW + off, True, NOW) == NOW + off
    assert not caplog.text


def test_the_future_is_now(times, trusting):
    assert times.settle(LIVE, NOW + 60, True, NOW) == NOW
    assert times.settle(OLD, NOW + 9999, True, NOW) == NOW
    assert times.settle(Line("x", NOW + 9999), None, True, NOW) == NOW
    assert trusting.settle(LIVE, NOW + 9999, True, NOW) == NOW + 9999


def test_an_old_line_counts_for_its_time(times, trusting, caplog):
    assert times.settle(OLD, NOW - 86400, True, NOW) == NOW - 86400
    assert trusting.settle(LIVE, NOW - 86400, True, NOW) == NOW - 86400
    assert not caplog.text


def test_the_time_of_a_journal_is_not_doubted(times, caplog):
    assert times.settle(Line("x", NOW - 86400), None, True, NOW) == NOW - 86400
    assert not caplog.text


def test_without_a_timestamp_a_line_counts_for_the_last_one_while_that_is_new(times, trusting):
    for one in (times, trusting):
        one.note(NOW - 59)
        assert one.settle(LIVE, None, True, NOW) == NOW - 59
        assert one.settle(OLD, None, True, NOW) == NOW - 59


def test_without_a_timestamp_a_new_line_counts_as_now_and_another_not_at_all(
    times, trusting, caplog
):
    for last in (None, NOW - 60):
        if last:
            times.note(last)
            trusting.note(last)
        assert times.settle(LIVE, None, True, NOW) == NOW
        assert times.settle(OLD, None, True, NOW) is None
        assert trusting.settle(LIVE, None, True, NOW) is None
    assert "datepattern" in caplog.text


def test_where_no_timestamp_is_expected_the_line_before_tells_the_time(times, trusting, caplog):
    assert times.settle(LIVE, None, False, NOW) == NOW
    assert times.settle(OLD, None, False, NOW) is None
    for one in (times, trusting):
        one.note(NOW - 86400)
    assert trusting.settle(LIVE, None, False, NOW) == NOW - 86400
    assert times.settle(OLD, None, False, NOW) == NOW - 86400
    assert times.settle(LIVE, None, False, NOW) == NOW
    times.note(NOW - 5)
    assert times.settle(LIVE, None, False, NOW) == NOW - 5
    assert not caplog.text


def test_each_warning_comes_once_a_day(times, caplog):
    caplog.set_level(logging.WARNING)
    for hours, warnings in [(0, 2), (23, 2), (24, 4), (30, 4), (48, 6)]:
        now = NOW + hours * 3600
        times.settle(LIVE, now - 999, True, now)
        times.settle(LIVE, None, True, now)
        assert len(caplog.records) == warnings
