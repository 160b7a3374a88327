# SPDX-License-Identifier: GPL-2.0-or-later
"""An old log is begun near the lines that still matter, and never behind one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fail2ban.detect.encoding import Encoding
from fail2ban.detect.seek import DATED, GRAIN, LONGEST, SLACK, SMALL, TRIED, Times, first_at

untimed = hypothesis_settings(deadline=None, max_examples=60)  # the machine may be busy

MOMENT = 1_800_000_000.0
Line = tuple[float | None, int]  # its timestamp, and how many characters follow


def when(line: str) -> float | None:
    """Understand "@SECONDS text"."""
    stamp = line.partition(" ")[0]
    return float(stamp[1:]) if stamp.startswith("@") else None


class File:
    """Lines as bytes in memory, and what was asked about them."""

    def __init__(self, lines: Sequence[Line], codec: str = "utf-8", rest: str = "") -> None:
        self.lines, self.encoding = lines, Encoding(codec)
        texts = [("x" if time is None else f"@{time}") + " " + "é" * n for time, n in lines]
        encoded = [(text + "\n").encode(codec) for text in texts]
        self.starts = [0]
        for line in encoded:
            self.starts.append(self.starts[-1] + len(line))
        self.data = b"".join(encoded) + rest.encode(codec)
        self.asked: list[str] = []
        self.read_bytes = 0

    def read(self, count: int, offset: int) -> bytes:
        data = self.data[offset : offset + count]
        self.read_bytes += len(data)
        return data

    def when(self, line: str) -> float | None:
        self.asked.append(line)
        return when(line)

    def first(self, moment: float = MOMENT) -> int:
        """Return the offset; it is the start of a line."""
        offset = first_at(self.read, len(self.data), moment, self.when, self.encoding)
        assert offset in self.starts
        return offset

    def skipped(self, moment: float = MOMENT) -> Sequence[Line]:
        return self.lines[: self.starts.index(self.first(moment))]


def steady(count: int, last: float = MOMENT, step: float = 1.0, size: int = 80) -> list[Line]:
    """Return lines that were written one a `step`."""
    return [(last - step * (count - 1 - number), size) for number in range(count)]


def young(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line[0] is not None and line[0] >= MOMENT]


# What must hold for every log ------------------------------------------------------------

sizes = st.integers(0, 3000)
gaps = st.one_of(st.just(0.0), st.floats(0, 10), st.floats(0, 10_000))
codecs = st.sampled_from(["utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le"])


@st.composite
def logs(draw: st.DrawFn, undated: bool = False) -> list[Line]:
    """Return lines with growing timestamps; the moment is somewhere among them, or not."""
    spaces = draw(st.lists(st.tuples(gaps, sizes), min_size=100, max_size=250))
    time, lines = 0.0, list[Line]()
    for gap, size in spaces:
        time += gap
        gone = undated and draw(st.integers(0, 3)) == 0
        lines.append((None if gone else time, size))
    end = MOMENT + draw(st.floats(-1000, time + 1000))
    return [(None if t is None else t - time + end, size) for t, size in lines]


@untimed
@given(lines=logs(), codec=codecs)
def test_no_young_line_is_skipped_and_of_the_others_most_are(lines: list[Line], codec: str) -> None:
    file = File(lines, codec)
    first = file.first()
    assert not young(lines[: file.starts.index(first)])
    old = [number for number, (time, _) in enumerate(lines) if time and time < MOMENT - SLACK]
    if len(file.data) > SMALL and old:
        longest = max(end - start for start, end in pairwise(file.starts))
        most = GRAIN + (DATED + 1) * longest
        if longest <= LONGEST:
            assert file.starts[old[-1] + 1] - first <= most


@untimed
@given(
    lines=logs(undated=True),
    late=st.lists(st.floats(0, SLACK - 1), min_size=1),
    rest=st.sampled_from(["", "@0 half", "é" * 100_000]),
)
def test_neither_disorder_nor_undated_nor_half_lines_hide_a_young_one(
    lines: list[Line], late: list[float], rest: str
) -> None:
    shuffled: list[Line] = [
        (None if time is None else time - late[number % len(late)], size)
        for number, (time, size) in enumerate(lines)
    ]
    assert not young(File(shuffled, rest=rest).skipped())


@untimed
@given(st.binary(max_size=300), st.integers(1, 2000), codecs)
def test_any_bytes_lead_to_a_place_within_them(piece: bytes, times: int, codec: str) -> None:
    data = piece * times
    stamps: Callable[[str], float | None] = lambda line: 0.0 if "a" in line else None  # noqa: E731
    offset = first_at(lambda n, at: data[at : at + n], len(data), 1e9, stamps, Encoding(codec))
    assert 0 <= offset <= len(data)
    assert offset == 0 or data[:offset].endswith(Encoding(codec).newline)


# Cases ------------------------------------------------------------------------------------


def test_a_long_log_costs_a_few_looks() -> None:
    file = File(steady(200_000))
    skipped = file.skipped(MOMENT - 600)
    assert 200_000 - 601 - SLACK - 200 < len(skipped) < 200_000 - 600
    assert len(file.asked) < 200


def test_the_dates_of_a_place_are_asked_for_at_one_go() -> None:
    """A thread that does it for many readers is gone to once, not for every line."""
    file, goes = File(steady(200_000, last=0.0)), list[int]()

    def at_once(work: Callable[[], Times]) -> Times:
        asked = len(file.asked)
        times = work()
        goes.append(len(file.asked) - asked)
        return times

    encoding, size = file.encoding, len(file.data)
    offset = first_at(file.read, size, MOMENT, file.when, encoding, at_once)
    assert offset == file.first()
    assert set(goes) == {DATED} and len(goes) < 30


def test_lines_without_dates_are_asked_for_a_few_at_a_time() -> None:
    """Each may take long, and others wait meanwhile."""
    file, goes = File([(None, 50)] * 5000), list[int]()

    def at_once(work: Callable[[], Times]) -> Times:
        times = work()
        goes.append(len(times))
        return times

    first_at(file.read, len(file.data), MOMENT, file.when, file.encoding, at_once)
    assert goes and max(goes) == DATED


def test_a_log_of_old_lines_is_begun_near_its_end() -> None:
    file = File(steady(5000, last=MOMENT - 1000))
    assert 0 < len(file.data) - file.first() <= GRAIN


def test_a_log_of_young_lines_is_read_whole() -> None:
    assert File(steady(5000, last=MOMENT + 6000)).first() == 0


def test_a_small_log_is_read_whole_and_not_searched() -> None:
    file = File([(0.0, 20)] * 500)
    assert 0 < len(file.data) <= SMALL
    assert file.first() == 0 and file.asked == []


def test_a_log_without_timestamps_is_read_whole_after_a_bounded_search() -> None:
    file = File([(None, 50)] * 50_000)
    assert file.first() == 0
    assert len(file.asked) < 100 * TRIED


def test_a_stack_trace_is_no_obstacle() -> None:
    trace: list[Line] = [(None, 60)] * (TRIED - DATED)
    lines = [line for time in range(300) for line in [(float(time), 60), *trace]]
    file = File([*lines, (MOMENT, 60)])
    assert len(file.data) - file.first() < GRAIN + 2 * TRIED * 130


def test_an_undated_stretch_in_the_middle_is_passed() -> None:
    old: list[Line] = [(0.0, 50)] * 3000
    file = File([*old, (None, 400_000), *old, (MOMENT, 9)])
    assert len(file.data) - file.first() < GRAIN + 1000


def test_an_undated_half_at_the_end_is_read_and_the_half_before_it_is_not() -> None:
    file = File([*[(0.0, 50)] * 5000, *[(None, 50)] * 6000])
    assert 0 <= file.starts[5000] - file.first() <= GRAIN


def test_a_single_line_with_an_old_date_does_not_hide_young_ones() -> None:
    """Say an undated line is written by an attacker, who puts a date into it."""
    lines = steady(4000, last=MOMENT + 5000)
    forged = [
        (0.0, size) if number % DATED == 0 else (t, size) for number, (t, size) in enumerate(lines)
    ]
    assert File(forged).first() == 0


def test_young_lines_before_some_that_are_late_are_not_skipped() -> None:
    early = steady(1000, last=MOMENT - 1000)
    late: list[Line] = [(MOMENT + 1 - SLACK, 80)] * 3000
    assert not young(File([*early, (MOMENT, 80), *late]).skipped())


def test_nothing_is_searched_in_lines_that_are_longer_than_any_that_matters() -> None:
    file = File([(0.0, LONGEST)] * 50)
    assert file.first() == 0 and file.asked == []


def test_what_was_written_after_the_size_was_taken_is_not_skipped() -> None:
    file = File(steady(5000, last=0.0))
    size = file.starts[2500] + 7
    assert size - GRAIN <= first_at(file.read, size, MOMENT, when) <= file.starts[2500]


def test_dates_behind_that_size_are_not_looked_at() -> None:
    file = File([*steady(1000, last=0.0), *[(None, 50)] * (TRIED - DATED), *steady(1000, last=0.0)])
    size = file.starts[1000 + TRIED - DATED]
    assert first_at(file.read, size, MOMENT, when) <= file.starts[1000]


def test_a_file_that_is_shorter_by_now_is_no_trouble() -> None:
    file = File(steady(1000, last=0.0))
    first_at(file.read, 50 * len(file.data), MOMENT, when)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le"])
def test_nuls_before_a_line_do_not_hide_its_date(codec: str) -> None:
    """A log that was truncated under its writer begins with a hole."""
    line = ("\0" * 100 + "@0 x\n").encode(codec)
    data = line * 2000
    offset = first_at(lambda n, at: data[at : at + n], len(data), MOMENT, when, Encoding(codec))
    assert len(data) - GRAIN <= offset and offset % len(line) == 0


def test_half_a_character_is_no_line_end() -> None:
    """U+0A0A and U+010A hold the byte of a newline."""
    line = ("@0 " + "\u0a0a\u010a\u0a01" * 20 + "\n").encode("utf-16-le")
    data = line * 2000
    offset = first_at(
        lambda n, at: data[at : at + n], len(data), MOMENT, when, Encoding("utf-16-le")
    )
    assert len(data) - GRAIN <= offset and offset % len(line) == 0


def test_what_cannot_be_read_raises() -> None:
    def read(count: int, offset: int) -> bytes:
        raise OSError

    with pytest.raises(OSError):
        first_at(read, 10 * SMALL, MOMENT, when)
