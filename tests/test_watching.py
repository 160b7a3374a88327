# SPDX-License-Identifier: GPL-2.0-or-later
"""What waits for one who watches: the newest, in order, and how much was lost."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.control.host import NoJail, Refused
from fail2ban.control.watching import KINDS, MOST_EVENTS, MOST_TEXT, Watch, Watcher, as_data, watch
from fail2ban.control.wire import Inbox
from fail2ban.events import Event
from tests.helpers import NOW
from tests.test_commands_control import FakeHost


def event(number: int = 0, kind: Any = "found", jail: str = "one", text: str = "") -> Event:
    return Event(NOW, kind, jail, None, {"number": number, "lines": (text,)})


def taken(watcher: Watcher) -> list[Any]:
    """Take all that waits."""
    found = []
    while watcher:
        data = watcher.take()
        assert data.endswith(b"\n")
        found += [json.loads(line) for line in data.splitlines()]
    return found


def test_events_come_in_their_order_and_once() -> None:
    watcher = Watcher(Watch(), lambda: None)
    assert not watcher and watcher.take() == b""
    for number in range(250):
        watcher(event(number))
    assert [one["facts"]["number"] for one in taken(watcher)] == list(range(250))
    assert not watcher


def test_one_waking_is_enough_for_all_that_waits() -> None:
    wakings: list[None] = []
    watcher = Watcher(Watch(), lambda: wakings.append(None))
    for number in range(5):
        watcher(event(number))
    assert len(wakings) == 1
    taken(watcher)
    watcher(event())
    assert len(wakings) == 2


def test_what_there_is_no_room_for_is_lost_the_oldest_first() -> None:
    watcher = Watcher(Watch(), lambda: None)
    for number in range(MOST_EVENTS + 7):
        watcher(event(number))
    first, *rest = taken(watcher)
    assert first == {"lost": 7}
    assert [one["facts"]["number"] for one in rest] == list(range(7, MOST_EVENTS + 7))


def test_long_lines_take_more_room() -> None:
    watcher = Watcher(Watch(), lambda: None)
    for number in range(10):
        watcher(event(number, text="x" * (MOST_TEXT // 4)))
    assert taken(watcher)[0] == {"lost": 6}
    watcher(event(text="x" * (MOST_TEXT + 1)))
    assert taken(watcher) == [{"lost": 1}]


def test_events_are_chosen_by_section_and_kind() -> None:
    some = Watch(frozenset({"one"}), frozenset({"found", "alarm"}))
    assert some.wants(event()) and some.wants(event(kind="alarm", jail=""))
    assert not some.wants(event(jail="two")) and not some.wants(event(kind="banned"))


def test_an_event_is_told_as_plain_data() -> None:
    facts = {"end": None, "lines": ("a", "b"), "truth": True}
    told = as_data(Event(1.5, "decided", "one", ip_network("192.0.2.0/24"), facts))
    assert told == {
        "time": 1.5,
        "kind": "decided",
        "jail": "one",
        "id": "192.0.2.0/24",
        "facts": {"end": None, "lines": ("a", "b"), "truth": True},
    }


def test_the_words_name_sections_and_kinds() -> None:
    assert watch(FakeHost(), []) == Watch()
    said = "--jail one --kind banned --jail two --kind found".split()
    assert watch(FakeHost(), said) == Watch(
        frozenset({"one", "two"}), frozenset({"banned", "found"})
    )


@pytest.mark.parametrize("said", ["one", "--jail", "--kind", "--jail one --kind", "--id x", "-x y"])
def test_words_that_mean_nothing_are_told(said: str) -> None:
    with pytest.raises(Refused, match="expected --jail NAME or --kind KIND"):
        watch(FakeHost(), said.split())


def test_unknown_sections_and_kinds_are_told() -> None:
    with pytest.raises(NoJail):
        watch(FakeHost(), ["--jail", "nope"])
    with pytest.raises(Refused, match="'bannd' is no kind of event; expected one of found, "):
        watch(FakeHost(), ["--kind", "bannd"])
    assert watch(FakeHost(), [word for kind in KINDS for word in ("--kind", kind)])


STEPS = st.lists(st.integers(1, 2 * MOST_EVENTS) | st.none(), max_size=8)


@settings(deadline=None)
@given(STEPS)
def test_nothing_is_lost_unsaid_however_slowly_it_is_taken(steps: list[int | None]) -> None:
    watcher, told, seen = Watcher(Watch(), lambda: None), 0, 0
    for step in [*steps, None]:
        for _ in range(step or 0):
            watcher(event(told))
            told += 1
        for one in taken(watcher) if step is None else []:
            if "lost" in one:
                seen += one["lost"]
            else:
                assert one["facts"]["number"] == seen
                seen += 1
    assert seen == told


TEXTS = st.text(st.characters(codec="utf-8", categories=None) | st.sampled_from('\n\r\x7f{}"\\'))


@given(st.lists(TEXTS, max_size=5), st.lists(st.integers(1, 9), min_size=1))
def test_whatever_a_line_says_an_event_is_one_line(lines: list[str], cuts: list[int]) -> None:
    watcher = Watcher(Watch(), lambda: None)
    for number, line in enumerate(lines):
        watcher(Event(NOW, "found", line, line, {"lines": [line], "number": number}))
    stream, inbox, messages = watcher.take(), Inbox(), []
    while stream:
        size = cuts[len(messages) % len(cuts)]
        inbox.feed(stream[:size])
        stream = stream[size:]
        while message := inbox.take():
            messages.append(json.loads(message[1]))
    assert [(one["jail"], one["id"], *one["facts"]["lines"]) for one in messages] == [
        (line, line, line) for line in lines
    ]
