# SPDX-License-Identifier: GPL-2.0-or-later
"""Abbreviations of time zones and offsets become seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.zones import ABBREVIATIONS, offset


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("UTC", 0),
        ("Z", 0),
        ("CET", 1),
        ("CEST", 2),
        ("EST", -5),
        ("PST", -8),
        ("NST", -3.5),
        ("NPT", 5.75),
        ("+02", 2),
        ("-0530", -5.5),
        ("+05:45", 5.75),
        ("UTC+0200", 2),
        ("GMT-01:30", -1.5),
        ("CET+01", 2),
        ("A", 1),
        ("M", 12),
        ("N", -1),
        ("Y", -12),
        ("+0000", 0),
    ],
)
def test_what_is_an_offset(text, hours):
    assert offset(text) == hours * 3600


@pytest.mark.parametrize(
    "text",
    ["", "Europe/Paris", "cet", "IST", "XYZ", "J", "+1", "UTC+1", "+", "+2400", "+0160"]
    + ["EST5EDT", "UTC +01", " UTC", "UTC\n", "+٠١"],
)
def test_what_is_none(text):
    assert offset(text) is None


def test_the_table_is_large_and_plausible():
    assert len(ABBREVIATIONS) > 200
    assert all(re.fullmatch("[A-Z]{1,5}", name) for name in ABBREVIATIONS)
    assert all(-12 * 3600 <= seconds <= 14 * 3600 for seconds in ABBREVIATIONS.values())
    assert all(seconds % 900 == 0 for seconds in ABBREVIATIONS.values())


def test_every_letter_but_j_is_a_zone():
    letters = {name for name in ABBREVIATIONS if len(name) == 1}
    assert letters == set("ABCDEFGHIKLMNOPQRSTUVWXYZ")


@pytest.mark.parametrize(
    ("place", "winter", "summer"),
    [
        ("Europe/Zurich", "CET", "CEST"),
        ("Europe/Helsinki", "EET", "EEST"),
        ("Europe/London", "GMT", "BST"),
        ("Europe/Moscow", "MSK", "MSK"),
        ("America/New_York", "EST", "EDT"),
        ("America/Chicago", "CST", "CDT"),
        ("America/Denver", "MST", "MDT"),
        ("America/Los_Angeles", "PST", "PDT"),
        ("America/Anchorage", "AKST", "AKDT"),
        ("America/Halifax", "AST", "ADT"),
        ("America/St_Johns", "NST", "NDT"),
        ("Pacific/Honolulu", "HST", "HST"),
        ("Asia/Tokyo", "JST", "JST"),
        ("Asia/Seoul", "KST", "KST"),
        ("Asia/Hong_Kong", "HKT", "HKT"),
        ("Asia/Karachi", "PKT", "PKT"),
        ("Asia/Jakarta", "WIB", "WIB"),
        ("Australia/Sydney", "AEST", "AEST"),
        ("Africa/Johannesburg", "SAST", "SAST"),
        ("Africa/Lagos", "WAT", "WAT"),
        ("Africa/Nairobi", "EAT", "EAT"),
    ],
)
def test_zones_are_as_the_database_of_this_system_says(place, winter, summer):
    try:
        zone = ZoneInfo(place)
    except ZoneInfoNotFoundError:
        pytest.skip("needs the IANA time zone database")
    names = set()
    for month in (1, 7):
        moment = datetime(2024, month, 15, tzinfo=UTC).astimezone(zone)
        difference = moment.utcoffset()
        assert difference is not None
        names.add(moment.tzname())
        assert offset(moment.tzname() or "") == difference.total_seconds()
    assert {winter, summer} <= names


@given(st.text(max_size=12))
def test_any_text_is_an_offset_or_none(text):
    seconds = offset(text)
    assert seconds is None or abs(seconds) <= 38 * 3600


@given(
    st.sampled_from(["", *ABBREVIATIONS]),
    st.sampled_from("+-"),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from(["", ":"]),
)
def test_name_and_offset_add_up(name, sign, hours, minutes, colon):
    seconds = (hours * 60 + minutes) * 60 * (-1 if sign == "-" else 1)
    assert offset(f"{name}{sign}{hours:02}{colon}{minutes:02}") == ABBREVIATIONS.get(name, 0) + (
        seconds
    )
