# SPDX-License-Identifier: GPL-2.0-or-later
"""A filter that goes on with the memory of another judges as that one would."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fail2ban.detect import memory
from fail2ban.detect.connections import LIFETIME, SIZE, STORED, Connections
from fail2ban.detect.match import Line, Match
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.plan import make_filter
from fail2ban.records import FilterSettings, Origin, Sourced

NOW = 1124013600.0


def sourced(*texts: str) -> tuple[Sourced, ...]:
    return tuple(Sourced(text, Origin("f.conf", line)) for line, text in enumerate(texts, 1))


#: As the filter of sshd puts the lines of a connection together.
SESSIONS = FilterSettings(
    "sshd",
    sourced(
        r"^<F-NOFAIL>Connection</F-NOFAIL> from <HOST>$",
        r"^Failed password for <F-USER>\S+</F-USER>(?: from <HOST>)?$",
        r"^Invalid user <F-USER>\S+</F-USER>$",
        r"^<F-MLFGAINED>Accepted</F-MLFGAINED> for \S+$",
        r"^<F-MLFFORGET>Closed</F-MLFFORGET>$",
    ),
    tagged=True,
    prefregex=sourced(r"^<F-MLFID>s\[\d\]</F-MLFID>: <F-CONTENT>.+</F-CONTENT>$")[0],
)
SEVERAL_LINES = FilterSettings(
    "web",
    sourced(r"^begin (\d)$<SKIPLINES>^(?:fail) \1 from <HOST>$", r"^both$\n^lines <HOST>$"),
    tagged=True,
    maxlines=4,
)
DATES = FilterSettings(
    "dates",
    sourced(r"^\s*from <HOST>$"),
    tagged=True,
    datepattern=sourced("%m/%d/%y %H:%M:%S", "%d/%m/%y %H:%M:%S", "%y/%m/%d %H:%M:%S"),
)

WHO = ["192.0.2.1", "192.0.2.2"]
LINES = {
    SESSIONS: [
        f"s[{number}]: {text}"
        for number in (1, 2)
        for text in (
            *(f"Connection from {who}" for who in WHO),
            "Failed password for root",
            "Failed password for joe from 192.0.2.1",
            "Invalid user jack",
            "Accepted for joe",
            "Closed",
        )
    ],
    SEVERAL_LINES: [
        *("begin 1", "begin 2", "fail 1 from 192.0.2.1", "fail 2 from 192.0.2.2", "noise"),
        *("both", "lines 192.0.2.1"),
    ],
    DATES: [
        f"{date} 11:59:{second} from 192.0.2.1"
        for second in (10, 20)
        for date in ("08/14/05", "14/08/05", "05/08/14", "05/06/07", "01/02/05")
    ]
    + ["from 192.0.2.2"],
}
STEPS = st.sampled_from(list(LINES)).flatmap(
    lambda chosen: st.tuples(
        st.just(chosen),
        st.lists(
            st.tuples(st.sampled_from(LINES[chosen]), st.sampled_from([0.0, 1.0, 30.0, LIFETIME])),
            max_size=25,
        ),
        st.sets(st.integers(0, 24), max_size=5),
    )
)


def judged(
    filter: FilterSettings, lines: list[tuple[str, float]], cuts: set[int], live: bool
) -> list[Match | None]:
    """Return what a filter says of lines; it is replaced before some of them."""
    matcher, now, matches = make_filter(filter), NOW, []
    for number, (line, later) in enumerate(lines):
        now += later
        if number in cuts:
            texts, matcher = dict(matcher.memory()), make_filter(filter)
            matcher.recall(texts | {"log:1:2:x": "of somebody else"})
        matches.append(matcher.match(Line(line, live=live), now))
    return matches


EUROPEAN = [("14/08/05 11:59:10 from 192.0.2.1", 0.0), ("01/02/05 11:59:10 from 192.0.2.1", 0.0)]


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
@example((DATES, EUROPEAN, {1}), False)
def test_a_restart_changes_no_match(
    steps: tuple[FilterSettings, list[tuple[str, float]], set[int]], live: bool
) -> None:
    filter, lines, cuts = steps
    assert judged(filter, lines, cuts, live) == judged(filter, lines, set(), live)


def test_what_did_not_change_keeps_its_text_and_what_is_over_is_gone() -> None:
    filter = TaggedFilter(SESSIONS)
    filter.match(Line("s[1]: Connection from 192.0.2.1"), NOW)
    filter.match(Line("s[2]: Connection from 192.0.2.2"), NOW)
    first = dict(filter.memory())
    filter.match(Line("s[2]: Invalid user jack"), NOW)
    second = dict(filter.memory())
    changed = {key for key in first if first[key] is not second.get(key)}
    assert len(first) == len(second) == 2 and len(changed) == 1
    filter.match(Line("s[2]: Closed"), NOW)
    assert filter.memory().keys() == first.keys() - changed


def test_a_filter_without_memory_has_none() -> None:
    classic = make_filter(FilterSettings("SSH", sourced("from <HOST>$")))
    classic.match(Line("1124013600 from 192.0.2.1"), NOW)
    assert classic.memory() == {} and TaggedFilter(SESSIONS).memory() == {}


def test_what_expired_is_forgotten_in_the_memory_too() -> None:
    connections = Connections("warn")
    for number in range(2 * SIZE):
        connections.add({"mlfid": str(number)}, ("x",), NOW)
    assert len(connections.memory()) == SIZE
    connections.add({"mlfid": "new"}, ("x",), NOW + LIFETIME)
    assert len(connections.memory()) == 1


def test_what_is_stored_of_a_connection_is_bounded_and_the_newest() -> None:
    connections = Connections("warn")
    for number in range(200):
        groups = {"mlfid": "7", "user": f"{number} " + "u" * 999}
        connections.add(groups, (f"{number} " + "x" * 999,), NOW)
    [text] = connections.memory().values()
    assert len(text) < 2.5 * STORED and '"199 xxx' in text


@pytest.mark.parametrize(
    "damage", ["", "{}", "[]", "null", "7", '"x"', "[[1,2]]", "[1,2,3]", "NaN", "[" * 99999]
)
def test_a_damaged_memory_is_left_out(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    keys = (memory.LINES, memory.LAST, memory.DATES, memory.CONNECTION + "0")
    for filter in (SESSIONS, SEVERAL_LINES):
        fresh = TaggedFilter(filter)
        fresh.recall(dict.fromkeys(keys, damage))
        assert fresh.match(Line("1124013600 nothing"), NOW) is None
    assert all("left out" in record.getMessage() for record in caplog.records)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats() | st.text(max_size=3),
    lambda part: (
        st.lists(part, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "groups", "users", "lines", "end"]), part)
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_memory_holds_does_no_harm(said: object) -> None:
    keys = (memory.LINES, memory.LAST, memory.DATES, memory.CONNECTION + "0")
    fresh = TaggedFilter(DATES)
    fresh.recall(dict.fromkeys(keys, memory.dumped(said)))
    fresh.match(Line("14/08/05 11:59:10 from 192.0.2.1"), NOW)
    fresh.memory()
