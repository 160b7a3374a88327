# SPDX-License-Identifier: GPL-2.0-or-later
"""What is passed over in a journal changes nothing that a filter finds, or remembers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.detect.entries import Said, said_by
from fail2ban.detect.journal import SIEVED, JournalSource
from fail2ban.detect.lines import Block
from fail2ban.detect.match import Match
from fail2ban.detect.sieve import Sieve
from fail2ban.plan import make_filter
from fail2ban.records import JournalSettings
from tests import needs
from tests.test_sieve import DATES, FILTERS, NOON, TEXTS, matches


@pytest.fixture(autouse=True, scope="module")
def _zurich() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-01CEST-02,M3.5.0,M10.5.0")
        time.tzset()
        yield
    time.tzset()


class Nobody:
    """Follows nothing."""

    def add(self, source: object) -> None:
        pass

    def look(self) -> None:
        pass

    def restart(self) -> None:
        pass


def source_for(sieve: Sieve | None, opened: float = NOON) -> JournalSource:
    wanted = JournalSettings()
    nobody: object = Nobody()
    return JournalSource("x", wanted, nobody, 0.0, lambda: None, opened, sieve=sieve)  # type: ignore[arg-type]


def said(message: str, number: int = 0, received: float = NOON, pid: str = "1") -> Said:
    return said_by(
        {
            "__CURSOR": f"c{number}",
            "__REALTIME_TIMESTAMP": str(int(received * 1e6)),
            "_SOURCE_REALTIME_TIMESTAMP": str(int((received - number) * 1e6)),
            "_HOSTNAME": "h",
            "SYSLOG_IDENTIFIER": "sshd",
            "_PID": pid,
            "MESSAGE": message,
        }
    )


MESSAGES = st.builds(
    lambda date, text, n: (date + text).format(n=n),
    st.sampled_from([*DATES, "", "\0", "\ufeff", "\u2028", "a\nb ", "\ufffd"]),
    st.sampled_from([*TEXTS, "ends with a return\r"]),
    st.integers(0, 3),
)
JOURNALS = st.lists(
    st.lists(
        st.tuples(MESSAGES, st.sampled_from([-100.0, 0.0, 5.0]), st.sampled_from("12")),
        max_size=10,
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", FILTERS)
@settings(max_examples=30)
@given(journal=JOURNALS, dated=st.booleans())
def test_a_filter_finds_and_remembers_the_same_of_a_journal_with_and_without_a_sieve(
    name: str, journal: list[list[tuple[str, float, str]]], dated: bool
) -> None:
    def outcome(is_sieved: bool) -> tuple[object, ...]:
        filter = make_filter(FILTERS[name])
        for line in Sieve().pick(Block(b"Aug 14 11:59:30 h x: a\n")) if dated else ():
            matches(filter, line)  # the section has read a log before, and expects dates
        source = source_for(filter.sieve if is_sieved else None)
        found: list[Match] = []
        places = []
        number = 0
        for batch in journal:
            for message, received, pid in batch:
                number += 1
                source.offer([said(message, number, NOON + received, pid)])
            for line in list(source.poll()):
                found += matches(filter, line)
            places.append(source.marks())
        dating = filter.dating
        counts = dating.dated, dating.undated, dating.offset if name == "classic" else None
        return found, dict(filter.memory()), places, source.lines, counts

    assert outcome(True) == outcome(False)


@needs.module("hyperscan")
def test_innocent_entries_are_passed_over_and_counted() -> None:
    filter = make_filter(FILTERS["connections"])
    source = source_for(filter.sieve)
    source.offer([said("session opened for user bob", number) for number in range(1000)])
    lines = list(source.poll())
    assert len(lines) == -(-1000 // SIEVED)  # the last of each block, so that time goes on
    assert source.lines == 1000
    assert not any(matches(filter, line) for line in lines)
    (mark,) = source.marks().values()
    assert '"c999"' in mark


@needs.module("hyperscan")
def test_what_is_picked_of_a_journal_has_its_own_time_and_place() -> None:
    filter = make_filter(FILTERS["farewells"])
    source = source_for(filter.sieve)
    texts = ["x", "Failed password for root from 203.0.113.1", "y", "Accepted pin for bob"]
    source.offer([said(text, number, NOON + number - 1) for number, text in enumerate(texts)])
    taken = source.poll()
    line = next(taken)
    assert (line.text, line.time, line.live) == (f"h sshd[1]: {texts[1]}", NOON - 1, True)
    assert line.stamp == "2005-08-14T11:59:59+02:00 " and line.named
    (mark,) = source.marks().values()
    assert '"c1"' in mark
    list(taken)
    (mark,) = source.marks().values()
    assert '"c3"' in mark


@needs.module("hyperscan")
def test_of_a_backlog_only_what_came_after_something_new_is_live() -> None:
    filter = make_filter(FILTERS["classic"])
    source = source_for(filter.sieve)
    ages = [-2.0, -1.0, 0.0, -1.0]
    text = "Failed password for root from 203.0.113.1"
    source.offer([said(text, number, NOON + age) for number, age in enumerate(ages)])
    assert [line.live for line in source.poll()] == [False, False, True, True]
    source.offer([said(text, 9, NOON - 9)])
    assert [line.live for line in source.poll()] == [True]


def test_a_section_without_a_prefilter_gets_all_entries_each_by_itself() -> None:
    filter = make_filter(FILTERS["several lines"])
    source = source_for(filter.sieve)
    source.offer([said(text) for text in "abc"])
    lines = list(source.poll())
    assert [line.text[-1] for line in lines] == list("abc")
    assert all(line.passage is None and line.named is None for line in lines)


@needs.module("hyperscan")
def test_a_filter_that_comes_later_picks_from_then_on() -> None:
    old, new = make_filter(FILTERS["several lines"]), make_filter(FILTERS["classic"])
    source = source_for(old.sieve)
    source.offer([said(text) for text in "ab"])
    assert len(list(source.poll())) == 2
    source.use(new.sieve)
    source.offer([said(text) for text in "ab"])
    (line,) = source.poll()
    assert line.passage is not None and line.passage.names is new.sieve


@pytest.mark.parametrize(
    "text", ["\0\ufeff refused 203.0.113.1", f"{'x' * 70_000} refused 203.0.113.1"]
)
def test_an_entry_is_whole_where_a_line_of_a_log_would_not_be(text: str) -> None:
    source = source_for(make_filter(FILTERS["classic"]).sieve)
    source.offer([Said(text, "c", "0", "")])
    (line,) = source.poll()
    assert line.text == text
