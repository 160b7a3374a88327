# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered of one id, in one flat tuple."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide import suspicion
from fail2ban.decide.suspicion import Suspicion, Text

texts = st.none() | st.sampled_from(["", "a", "b"]) | st.tuples(st.just("c"), st.just("d"))
failures = st.tuples(st.integers(0, 30), texts, st.integers(1, 3))


def lines_of(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text or ()


@given(st.lists(failures, max_size=40), st.integers(0, 30), st.integers(0, 4))
def test_it_is_what_one_gets_by_keeping_everything_and_looking_last(
    steps: list[tuple[int, Text, int]], findtime: int, most: int
) -> None:
    found: Suspicion = ()
    told: list[tuple[float, Text]] = []
    now = 0
    for time, text, attempts in steps:
        now = max(now, time)
        begin = float(now - findtime)
        if time < begin:
            continue
        kept = text if most else None
        found = suspicion.more(found, float(time), begin, kept, most, attempts)
        # `sorted` leaves what is of one time in the order in which it came.
        told = sorted(
            [*told, (float(time), kept), *[(float(time), None)] * (attempts - 1)], key=first
        )
        told = [one for one in told if one[0] >= begin]
        told = newest(told, most)
        assert list(found[::2]) == [time for time, _ in told]
        assert suspicion.written(found, most) == newest_lines(told, most)
        again = suspicion.read(suspicion.stored(found), begin, float(now))
        assert again[::2] == found[::2]
        assert suspicion.written(again, 1000) == suspicion.written(found, 1000)


def first(one: tuple[float, Text]) -> float:
    return one[0]


def newest_lines(told: list[tuple[float, Text]], most: int) -> tuple[str, ...]:
    lines = [line for _, text in told for line in lines_of(text)]
    return tuple(lines[-most:]) if most else ()


def newest(told: list[tuple[float, Text]], most: int) -> list[tuple[float, Text]]:
    """Drop one line after the other, the oldest first."""
    while sum(len(lines_of(text)) for _, text in told) > most:
        at = next(at for at, (_, text) in enumerate(told) if lines_of(text))
        rest = lines_of(told[at][1])[1:]
        told = [*told[:at], (told[at][0], rest or None), *told[at + 1 :]]
    return told
