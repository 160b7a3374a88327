# SPDX-License-Identifier: GPL-2.0-or-later
"""Patterns that span lines see the last ones, and use up those they match."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect.linebuffer import LineBuffer, Seen, window

A, B, C, D = (Seen(text, f"at noon {text}") for text in "ABCD")


def split(pattern: str, *lines: Seen) -> tuple[tuple[Seen, ...], tuple[Seen, ...]]:
    view = window(*lines)
    found = re.search(pattern, view.text, re.MULTILINE)
    assert found
    return view.split(found)


def test_a_window_is_the_text_of_its_lines_each_with_its_end():
    assert window(A, B).text == "A\nB\n"
    assert window(A, B).lines == (A, B)


def test_a_buffer_shows_as_many_lines_as_it_is_long():
    buffer = LineBuffer(3)
    for line, text in [(A, "A\n"), (B, "A\nB\n"), (C, "A\nB\nC\n"), (D, "B\nC\nD\n")]:
        view = buffer.with_line(line)
        assert view.text == text
        buffer.keep(view.lines)


def test_looking_changes_nothing():
    buffer = LineBuffer(3)
    buffer.keep((A,))
    assert buffer.with_line(B).text == buffer.with_line(B).text == "A\nB\n"
    assert len(buffer) == 1


def test_a_buffer_of_one_line_keeps_none():
    for size in (1, 0, -1):
        buffer = LineBuffer(size)
        buffer.keep((A, B))
        assert len(buffer) == 0 and buffer.with_line(C).text == "C\n"


def test_matched_lines_are_taken_and_the_others_left():
    assert split(r"^B$", A, B, C) == ((B,), (A, C))
    assert split(r"^A\nB$", A, B, C) == ((A, B), (C,))
    assert split(r"^B\n", A, B, C) == ((B,), (A, C))
    assert split(r"B$\nC\n", A, B, C) == ((B, C), (A,))


def test_an_empty_match_takes_the_line_it_stands_in():
    assert split(r"(?=B)", A, B, C) == ((B,), (A, C))


def test_skipped_lines_are_left():
    skip = r"\n(?P<skiplines0>(?:(?:.*\n)*?))"
    assert split(rf"^A${skip}^D$", A, B, C, D) == ((A, D), (B, C))
    assert split(rf"^A${skip}^B$", A, B, C, D) == ((A, B), (C, D))
    again = skip.replace("0", "1")
    assert split(rf"^A${skip}^C${again}^D$", A, B, C, D) == ((A, C, D), (B,))


def test_the_only_line_is_taken_whatever_matched():
    assert split("$", A) == ((A,), ())


@given(st.lists(st.text(alphabet="ab", max_size=3), min_size=1, max_size=6), st.data())
def test_a_line_is_taken_if_the_match_has_a_part_of_it_and_order_is_kept(texts, data):
    lines = [Seen(text, str(number)) for number, text in enumerate(texts)]
    view = window(*lines)
    start = data.draw(st.integers(0, len(view.text) - 1))
    end = data.draw(st.integers(start + 1, len(view.text)))
    found = re.compile(rf"(?s).{{{end - start}}}").match(view.text, start)
    taken, others = view.split(found)
    first, last = view.text[:start].count("\n"), view.text[: end - 1].count("\n")
    assert list(taken) == lines[first : last + 1]
    assert list(others) == lines[:first] + lines[last + 1 :]
