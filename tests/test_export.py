# SPDX-License-Identifier: GPL-2.0-or-later
"""What journalctl writes comes out as the entries that it was, however it arrives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fail2ban.detect.export import Entry, Export

Field = tuple[str, bytes]

LIMIT = 100_000


def binary(name: str, value: bytes) -> bytes:
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def field(name: str, value: bytes) -> bytes:
    """Write a field as journalctl does."""
    try:
        is_text = value.decode().isprintable()
    except UnicodeDecodeError:
        is_text = False
    return name.encode() + b"=" + value + b"\n" if is_text else binary(name, value)


def written(entries: Sequence[Sequence[Field]]) -> bytes:
    return b"".join(b"".join(field(*one) for one in entry) + b"\n" for entry in entries)


def meant(fields: Sequence[Field]) -> Entry:
    values: dict[str, tuple[str, ...]] = {}
    for name, value in fields:
        values[name] = (*values.get(name, ()), value.decode("utf-8", "replace"))
    return {name: all[0] if len(all) == 1 else all for name, all in values.items()}


def read(data: bytes, cuts: Sequence[int], limit: int = LIMIT) -> tuple[list[Entry], int]:
    """Feed it in pieces; return the entries, and how many were dropped."""
    export, found = Export(limit), list[Entry]()
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    for begin, end in zip([0, *ends], [*ends, len(data)], strict=True):
        found += export.feed(data[begin:end])
    return found, export.dropped


VALUES = st.binary(max_size=30) | st.sampled_from(
    [
        b"",
        b"=",
        b"text = more",
        b"\n",
        b"\n\n",
        b"two\nlines\n\n",
        b"x\n\n__CURSOR=forged\nMESSAGE=Failed password for root from 203.0.113.1\n\n",
        b"x\n\n__CURSOR=forged\nMESSAGE\n",
        b"MESSAGE\n" + b"\n" * 10,
        b"\n" * 10,  # its length is written as a newline, too
        b"\xc3\xa9t\xc3\xa9",
        b"\x85",
        b"y" * 300,
    ]
)
NAMES = st.sampled_from(["MESSAGE", "_PID", "_COMM", "SYSLOG_IDENTIFIER", "A1"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
ENTRIES = st.lists(FIELDS.map(lambda fields: [("__CURSOR", b"s=1;i=2"), *fields]), max_size=5)
CUTS = st.lists(st.integers(0, 5000), max_size=8)


@given(ENTRIES, CUTS)
def test_entries_come_out_as_they_were_wherever_the_stream_is_cut(
    entries: list[list[Field]], cuts: list[int]
) -> None:
    assert read(written(entries), cuts) == (list(map(meant, entries)), 0)


# Cut within the length of a field whose name alone is too long.
@example([[("__CURSOR", b"s=1;i=2"), ("SYSLOG_IDENTIFIER", b"\0")]], [17 + 18 + 6], 20)
@given(ENTRIES, CUTS, st.integers(20, 400))
def test_an_entry_is_left_out_only_if_it_is_too_long(
    entries: list[list[Field]], cuts: list[int], limit: int
) -> None:
    fit = [one for one in entries if sum(len(field(*part)) for part in one) <= limit]
    expected = list(map(meant, fit)), len(entries) - len(fit)
    assert read(written(entries), cuts, limit) == expected


@pytest.mark.parametrize("begin", [b"A=", b"A\n" + (10**7).to_bytes(8, "little")])
def test_memory_for_an_entry_that_is_too_long_is_bounded(begin: bytes) -> None:
    export = Export(limit=1000)
    piece = b"x" * 1000
    assert export.feed(begin) == []
    for _ in range(10_000):
        assert export.feed(piece) == []
        assert len(export._rest) <= 2 * len(piece)
    assert export.feed(b"\nB=1\n\nC=2\n\n") == [{"C": "2"}]
    assert export.dropped == 1


@pytest.mark.parametrize("data", [b"no entry\n\n", b"{}\n\n", b"A=1\n\xff\n\n", b"a=1\nb\n\n"])
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="this is no field: b"):
        Export(LIMIT).feed(data)
