# SPDX-License-Identifier: GPL-2.0-or-later
"""Text of an attacker that is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.text import printable

ANYTHING = st.text(st.characters())


@given(ANYTHING)
def test_shown_text_is_one_line_that_can_be_written_and_turns_nothing_around(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert len(shown.splitlines()) <= 1
    for character in shown:
        assert character == "\t" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in ("LRE", "RLE", "LRO", "RLO", "PDF")


@given(ANYTHING)
def test_harmless_text_is_shown_as_it_is(text: str) -> None:
    harmless = "".join(c for c in text if c.isprintable())
    assert printable(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\tb", "a\tb"),
        ("a\nb\rc", "a\\nb\\rc"),
        ("\0\x7f\x9b\u2028\udc80", "\\x00\\x7f\\x9b\\u2028\\udc80"),
        ("\u202eevil", "\\u202eevil"),
        ("Grüße 東", "Grüße 東"),
    ],
)
def test_dangerous_characters_are_written_as_python_does(text: str, shown: str) -> None:
    assert printable(text) == shown
