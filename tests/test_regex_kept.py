# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that are counted, and kept as far as they are to be printed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli.regex_kept import Kept

LINE = st.text(st.characters(exclude_characters="\n"), max_size=5)


@given(st.lists(LINE, max_size=10), st.none() | st.integers(0, 10))
def test_all_lines_are_kept_until_there_are_too_many(lines: list[str], limit: int | None) -> None:
    kept = Kept(limit)
    for line in lines:
        kept.add(line)
    assert kept.count == len(lines)
    assert kept.too_many == (limit is not None and len(lines) >= limit)
    if not kept.too_many:
        assert list(kept) == lines


def test_what_is_too_much_for_the_memory_is_still_there() -> None:
    kept = Kept()
    for number in range(50_000):
        kept.add(f"line {number} of many")
    lines = list(kept)
    assert (len(lines), lines[-1]) == (50_000, "line 49999 of many")


def test_too_many_lines_take_no_memory() -> None:
    kept = Kept(20)
    for _ in range(100):
        kept.add("x" * 1000)
    assert kept._file.tell() <= 20_000
