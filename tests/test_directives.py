# SPDX-License-Identifier: GPL-2.0-or-later
"""Directives of `datepattern` look and are read as the tree's manual says."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect.directives import C_NAMES, Translator, read_parts
from fail2ban.detect.treetokens import tree_tokens


def parts(pattern: str, text: str, last_year: int = 2029) -> dict[str, int] | None:
    """Return what `text` tells; None where it does not fit."""
    translator = Translator(C_NAMES, tokens=tree_tokens(last_year))
    found = re.fullmatch(translator.regex(pattern), text)
    return dict(read_parts(found, translator.readers)) if found else None


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("%Y", "1999", {"year": 1999}),
        ("%ExY", "2029", {"year": 2029}),
        ("%ExY", "2030", None),
        ("%ExY", "1999", None),
        ("%y", "99", {"year": 2099}),
        ("%Exy", "05", {"year": 2005}),
        ("%m", "7", {"month": 7}),
        ("%m", "13", None),
        ("%Exm", "7", None),
        ("%Exm", "07", {"month": 7}),
        ("%d", " 7", {"day": 7}),
        ("%Exd", "7", None),
        ("%d", "32", None),
        ("%b", "feb", {"month": 2}),
        ("%B", "MAY", {"month": 5}),
        ("%a", "Sun", {"weekday": 6}),
        ("%A", "Monday", {"weekday": 0}),
        ("%w", "0", {"weekday": 6}),
        ("%u", "7", {"weekday": 6}),
        ("%j", "366", {"yearday": 366}),
        ("%j", "001", {"yearday": 1}),
        ("%j", "367", None),
        ("%j", "000", None),
        ("%U", "53", {"week": 53, "weekstart": 6}),
        ("%W", "00", {"week": 0, "weekstart": 0}),
        ("%H", "24", None),
        ("%H", "9", {"hour": 9}),
        ("%ExH", "9", None),
        ("%k", " 9", {"hour": 9}),
        ("%Exk", "23", {"hour": 23}),
        ("%I%p", "12AM", {"hour12": 12, "half": 0}),
        ("%l", " 1", {"hour12": 1}),
        ("%Exl", "12", {"hour12": 12}),
        ("%M", "5", {"minute": 5}),
        ("%ExM", "5", None),
        ("%S", "61", {"second": 61}),
        ("%ExS", "5", None),
        ("%S.%f", "5.123456", {"second": 5}),
        ("%f", "1234567", None),
        ("%z", "Z", {"offset": 0}),
        ("%z", "GMT", {"offset": 0}),
        ("%z", "-0530", {"offset": -19800}),
        ("%z", "+02", {"offset": 7200}),
        ("%z", "+02:00", {"offset": 7200}),
        ("%z", "CET", None),
        ("%Z", "CEST", {"offset": 7200}),
        ("%Z", "Z", {"offset": 0}),
        ("%Z", "A", None),
        ("%Z", "cest", None),
        ("%Z", "HOST", None),
        ("%ExZ", "A", {"offset": 3600}),
        ("%ExZ", "PST", {"offset": -28800}),
        ("%Exz", "PST", {"offset": -28800}),
        ("%Exz", "+01", {"offset": 3600}),
        ("%Exz", "CET+0100", {"offset": 7200}),
        ("{EPOCH}", "1106513999", {"epoch": 1106513999, "microsecond": 0}),
        ("{EPOCH}", "1106513999.123", {"epoch": 1106513999, "microsecond": 123000}),
        ("{EPOCH}", "110651399", None),
        ("{EPOCH}", "1106513999123", None),
        ("{LEPOCH}", "1106513999", {"epoch": 1106513999}),
        ("{LEPOCH}", "1106513999123", {"epoch": 1106513999, "microsecond": 123000}),
        ("{LEPOCH}", "1106513999123.45", {"epoch": 1106513999, "microsecond": 123450}),
        ("{LEPOCH}", "1106513999123456", {"epoch": 1106513999, "microsecond": 123456}),
        ("{LEPOCH}", "110651399912345", None),
        ("{TAI64N}", "@4000000041f4104f00000000", {"epoch": 0x41F4104F}),
        ("%%Y", "%Y", {}),
    ],
)
def test_a_directive_fits_and_tells(pattern, text, expected):
    found = parts(pattern, text)
    if found is not None and expected is not None and "microsecond" not in expected:
        found.pop("microsecond", None)
    assert found == expected


def test_years_may_be_of_another_century():
    assert parts("%ExY", "2105", last_year=2109) == {"year": 2105}
    assert parts("%ExY", "2110", last_year=2109) is None


def test_an_unknown_directive_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match=r"'%Q' is no directive; expected one of %A, .*%ExY"):
        parts("%Y-%Q", "")


@pytest.mark.parametrize("pattern", ["%", "%Y%", "%Ex", "%ExQ", "% "])
def test_half_a_directive_is_an_error(pattern):
    with pytest.raises(ValueError, match="is no directive"):
        parts(pattern, "")


@pytest.mark.parametrize(("directive", "text"), [("%b", "\u017fep"), ("%a", "FR\u0130")])
def test_what_only_resembles_a_name_is_a_value_error(directive, text):
    with pytest.raises(ValueError, match="unknown name"):
        parts(directive, text)


@given(st.sampled_from(sorted(string.ascii_letters)), st.booleans(), st.text(max_size=20))
def test_no_text_that_fits_fails_to_be_read(letter, extended, text):
    try:
        parts(f"%{'Ex' if extended else ''}{letter}", text)
    except ValueError as error:
        assert "is no directive" in str(error)
