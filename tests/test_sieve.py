# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sieve passes over changes nothing that a filter finds, or remembers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.detect.budget import OutOfTime
from fail2ban.detect.encoding import UTF8, Encoding
from fail2ban.detect.factors import Cut
from fail2ban.detect.lines import LINE_LIMIT, Block
from fail2ban.detect.match import Line, Match, Matcher, Tally, Unfinished
from fail2ban.detect.prefilter import Named
from fail2ban.detect.sieve import Sieve
from fail2ban.detect.tagged import MANY
from fail2ban.plan import make_filter
from fail2ban.records import FilterSettings, Origin, Sourced
from tests import needs

NOON = 1124013600.0  # 2005-08-14 12:00:00 CEST


@pytest.fixture(autouse=True, scope="module")
def _zurich() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-01CEST-02,M3.5.0,M10.5.0")
        time.tzset()
        yield
    time.tzset()


class FakePrefilter:
    """Finds what it is told to find."""

    def __init__(self, found: Sequence[Named]) -> None:
        self._found = list(found)

    def named(self, block: bytes) -> list[Named]:
        return self._found


def picked(data: bytes, *found: Named, encoding: Encoding = UTF8) -> list[Line]:
    sieve = Sieve(lambda encoding: FakePrefilter(found))  # type: ignore[arg-type, return-value]
    sieve.settle(encoding)
    return list(sieve.pick(Block(data, encoding)))


def brief(lines: Sequence[Line]) -> list[tuple[str, tuple[int, ...] | None, bool]]:
    return [(line.text, line.named, line.closes) for line in lines]


# The sieve -------------------------------------------------------------------------------


def test_only_lines_that_were_hit_come_through_and_the_last() -> None:
    found = picked(b"one\ntwo\nthree\nfour\n", (4, 8, (2, 5)))
    assert brief(found) == [("two", (2, 5), False), ("four", (), True)]


def test_the_last_line_comes_through_once() -> None:
    assert brief(picked(b"one\ntwo\n", (0, 4, (0,)), (4, 8, (1,)))) == [
        ("one", (0,), False),
        ("two", (1,), True),
    ]


def test_a_hit_of_no_pattern_in_particular_means_any() -> None:
    assert brief(picked(b"one\ntwo\n", (0, 4, (-1, 3)))) == [
        ("one", None, False),
        ("two", (), True),
    ]


def test_without_a_prefilter_all_lines_come_through_and_any_pattern_may_match() -> None:
    assert brief(list(Sieve().pick(Block(b"one\ntwo\n")))) == [
        ("one", None, False),
        ("two", None, True),
    ]


def test_all_lines_of_another_encoding_come_through() -> None:
    """Say the encoding was changed while the rest of an old log is read."""
    block = Block("one\ntwo\n".encode("utf-16-le"), Encoding("utf-16-le"))
    sieve = Sieve(lambda encoding: FakePrefilter([]))  # type: ignore[arg-type, return-value]
    sieve.settle(UTF8)
    assert [line.text for line in sieve.pick(block)] == ["one", "two"]


def test_nothing_comes_of_an_empty_block() -> None:
    assert picked(b"") == []
    assert list(Sieve().pick(Block(b""))) == []


def test_lines_know_where_they_come_from() -> None:
    tally = Tally()
    sieve = Sieve()
    (line,) = sieve.pick(Block(b"one\n"), False, tally)
    assert line.tally is tally and not line.live
    assert line.passage is not None and line.passage.names is sieve


def test_what_was_passed_over_can_be_looked_at_backwards() -> None:
    *_, last = picked(b"one\ntwo\nthree\n")
    assert last.passage is not None
    assert list(last.passage.before(last.end)) == ["two", "one"]
    last.passage.seen = 4
    assert list(last.passage.before(last.end)) == ["two"]


# Blocks ----------------------------------------------------------------------------------

PIECES = st.sampled_from([b"\0", b"\r", b"a", b"\xe2\x82\xac", b"\xff", "\ufeff".encode(), b"\x85"])
LINES = st.lists(st.lists(PIECES, max_size=4).map(b"".join), max_size=6)


@given(LINES, st.sampled_from(["utf-8", "iso-8859-1", "ascii"]))
def test_a_line_of_a_block_is_the_same_alone(lines: list[bytes], codec: str) -> None:
    block = Block(b"".join(line + b"\n" for line in lines), Encoding(codec))
    texts, end = [], len(block.data)
    while end:
        begin = block.begin_of(end)
        texts.append(block.text(begin, end))
        end = begin
    assert texts[::-1] == list(block)
    assert block.count == len(lines)


@given(st.lists(st.integers(LINE_LIMIT - 2, LINE_LIMIT + 2), max_size=4), st.booleans())
def test_an_overlong_line_is_noticed_wherever_it_stands(sizes: list[int], returns: bool) -> None:
    end = b"\r\n" if returns else b"\n"
    block = Block(b"".join(b"x" * size + end for size in sizes))
    assert block.has_overlong() == any(size > LINE_LIMIT for size in sizes)
    assert [len(text) for text in block] == [min(size, LINE_LIMIT) for size in sizes]


# On and off (promise D1) -----------------------------------------------------------------


def sourced(*texts: str) -> tuple[Sourced, ...]:
    return tuple(Sourced(text, Origin("f.conf", line)) for line, text in enumerate(texts, 1))


PREFIX = r"^<F-MLFID>\s*\S+ sshd\[\d+\]: </F-MLFID><F-CONTENT>.+</F-CONTENT>$"
GAINED = "<F-MLFFORGET><F-MLFGAINED>Accepted \\w+</F-MLFGAINED></F-MLFFORGET>"
CONNECTED = (
    r"^Failed \S+ for <F-USER>\S+</F-USER> from <HOST>",
    r"^<F-NOFAIL>Connection from</F-NOFAIL> <HOST>",
    r"^Too many failures$",
    rf"^{GAINED} for \S+ from <HOST>",
    r"^<F-MLFFORGET>Disconnected</F-MLFFORGET> by <HOST>",
)


NO_FAILURE = "<F-NOFAIL><F-MLFFORGET>{}</F-MLFFORGET></F-NOFAIL>"
FAREWELLS = (
    r"^Failed \S+ for <F-USER>\S+</F-USER> from <HOST>",
    rf"^{GAINED} for <F-USER>\S+</F-USER> from <HOST>",
    rf"^{NO_FAILURE.format('Disconnected')} by <HOST>",
    r"^Too many failures$",
    r"^<F-NOFAIL>Connection from</F-NOFAIL> <HOST>",
)


def tagged(*failregex: str, **others: object) -> FilterSettings:
    return FilterSettings("sshd", sourced(*failregex), tagged=True, **others)  # type: ignore[arg-type]


FILTERS = {
    "connections": tagged(*CONNECTED, prefregex=sourced(PREFIX)[0]),
    "connections, dates at the begin": tagged(
        *CONNECTED, prefregex=sourced(PREFIX)[0], datepattern=sourced("{^LN-BEG}")
    ),
    "farewells": tagged(*FAREWELLS, prefregex=sourced(PREFIX)[0]),
    "farewells, ids at the end": tagged(
        *(rf"{one} id <F-MLFID>\S+</F-MLFID>" for one in FAREWELLS[:3]), *FAREWELLS[3:]
    ),
    "farewells, ids that may be anything": tagged(
        *FAREWELLS, prefregex=sourced(r"<F-MLFID>\[.*\]</F-MLFID>: <F-CONTENT>.+</F-CONTENT>")[0]
    ),
    "farewells, ids of parts": tagged(
        *FAREWELLS,
        prefregex=sourced(
            r"<F-MLFID>\S</F-MLFID> sshd(?P<tuple_mlfid>[^:]+): <F-CONTENT>.+</F-CONTENT>"
        )[0],
    ),
    "farewells, dates within words": tagged(
        *FAREWELLS,
        prefregex=sourced(PREFIX)[0],
        datepattern=sourced("{UNB}%b %d %H:%M:%S**"),
    ),
    "farewells, dates in brackets": tagged(
        *FAREWELLS, prefregex=sourced(PREFIX)[0], datepattern=sourced(r"\[{DATE}\]")
    ),
    "farewells, marks of two spellings": tagged(
        r"^(?P<NOFAIL>Accepted \w+) (?P<mlfforget>for)(?P<nofail>X?) \S+ from <HOST>", FAREWELLS[0]
    ),
    "no dates expected": tagged(*CONNECTED, datepattern=sourced("{^LN-BEG}", "{NONE}")),
    "dates in brackets": tagged(
        r"^h \[\] Failed \S+ for \S+ from <HOST>",
        r"\[\] refused <HOST>",
        r"^h? ?refused <HOST>",
        datepattern=sourced(r"^[^\[]*\[({DATE})", "{^LN-BEG}"),
    ),
    "ambiguous dates": tagged(r"Failed \S+ for \S+ from <HOST>", r"\[\] refused <HOST>"),
    "ignoring": tagged(
        r"from <HOST>", "refused <HOST>", r"by <HOST>", "x", ignoreregex=sourced("root")
    ),
    "several lines": tagged(r"Connection from <HOST><SKIPLINES>Too many", maxlines=3),
    "not to be expressed": tagged(r"^\S+ <HOST>$", r"from <HOST>"),
    "regardless of case": tagged(r"(?i)FAILED \S+ FOR \S+ from <HOST>", r"(?i)by kis <HOST>"),
    "classic": FilterSettings("SSH", sourced(r"Failed .* from <HOST>", r"refused <HOST>")),
}
TEXTS = [
    "Failed password for root from 203.0.113.{n}",
    "Failed password for bob from 203.0.113.{n} port 22",
    "Connection from 203.0.113.{n}",
    "Too many failures",
    "Accepted publickey for bob from 203.0.113.{n}",
    "Disconnected by 203.0.113.{n}",
    "refused 203.0.113.{n}",
    "by \u212ais 203.0.113.{n}",
    "failed password for \u017f from 203.0.113.{n}",
    "x 203.0.113.{n}",
    "session opened for user bob",
    "from nowhere",
    "\xe9t\xe9",
    "",
]
DATES = [
    "Aug 14 11:5{n}:30 ",
    "2005-08-14 11:59:3{n} ",
    "[Sun Aug 14 11:59:3{n} 2005] ",
    "[] ",
    "08-13-2005 11:5{n}:00 ",
    "08-07-2005 11:5{n}:00 ",
    "h [14/Aug/2005:11:5{n}:00 +0200] ",
    "",
]
LAYOUTS = [
    "{date}h sshd[1]: {text}",
    "{date}h sshd[2]: {text}",
    "{date}{text}",
    "{date}h sshd[{n}]: {text}",
    "{date}h sshd[10{n}]: {text} id [{n}]",
    "h sshd[{date}1]: {text}",
    "h sshd[1{date}]: {text}",
    "h sshd[1]: {date}{text} id x{n}",
]
LOGS = st.lists(
    st.lists(
        st.builds(
            lambda layout, date, text, n: layout.format(
                date=date.format(n=n), text=text.format(n=n), n=n
            ),
            st.sampled_from(LAYOUTS),
            st.sampled_from(DATES),
            st.sampled_from(TEXTS),
            st.integers(0, 3),
        ),
        max_size=12,
    ),
    max_size=4,
)


def matches(filter: Matcher, line: Line) -> list[Match]:
    """Have a line matched, and before it those that must be."""
    found, lines = [], [line]
    while lines:
        try:
            if match := filter.match(lines[-1], NOON):
                found.append(match)
            lines.pop()
        except Unfinished as error:
            if error.first is not None:
                lines.append(error.first)
    return found


def outcome(
    filter: Matcher, sieve: Sieve, blocks: list[list[str]]
) -> tuple[list[Match], dict[str, str]]:
    sieve.settle(UTF8)
    found = []
    for lines in blocks:
        block = Block("".join(f"{line}\n" for line in lines).encode())
        for line in list(sieve.pick(block, live=False)):
            found += matches(filter, line)
    return found, dict(filter.memory())


@pytest.mark.parametrize("name", FILTERS)
@settings(max_examples=60)
@given(blocks=LOGS)
def test_a_filter_finds_and_remembers_the_same_with_and_without_a_prefilter(
    name: str, blocks: list[list[str]]
) -> None:
    on, off = make_filter(FILTERS[name]), make_filter(FILTERS[name])
    assert outcome(on, on.sieve, blocks) == outcome(off, Sieve(), blocks)


ACCEPTED = "Accepted publickey for bob from 203.0.113.1"


@needs.module("hyperscan")
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        # What is known is part of a longer word of the line.
        (
            "farewells, dates within words",
            [
                "Aug 14 11:59:30h sshd[77]: Too many failures",
                f"h sshd[Aug 14 11:59:3077]: {ACCEPTED}",
            ],
        ),
        # What is known is in two parts in the line.
        (
            "farewells, dates in brackets",
            [
                "h sshd[77]: Too many failures",
                f"h sshd[7[2005-08-14 11:59:30]7]: {ACCEPTED}",
            ],
        ),
        # It is written otherwise than in the line.
        (
            "farewells, ids of parts",
            ["h sshd[\t77]: Too many failures", f"h sshd[\t77]: {ACCEPTED}"],
        ),
        # It has no word.
        (
            "farewells, ids that may be anything",
            ["[77 +]: Too many failures", "[+]: Too many failures", f"[+]: {ACCEPTED}"],
        ),
        # It is put aside before it is known.
        ("farewells", ["h sshd[77]: Too many failures", f"h sshd[77]: {ACCEPTED}"]),
    ],
)
def test_a_login_on_a_connection_that_is_known_is_not_passed_over(
    name: str, lines: list[str]
) -> None:
    on, off = make_filter(FILTERS[name]), make_filter(FILTERS[name])
    blocks = [[*lines, "x"]]
    assert outcome(on, on.sieve, blocks) == outcome(off, Sieve(), blocks)
    before = make_filter(FILTERS[name])
    assert outcome(before, before.sieve, [[*lines[:-1], "x"]]) != outcome(off, Sieve(), [["x"]])


@needs.module("hyperscan")
def test_a_login_whose_mark_may_be_overridden_with_nothing_is_not_passed_over() -> None:
    on, off = (make_filter(FILTERS["farewells, marks of two spellings"]) for _ in range(2))
    found, _ = outcome(on, on.sieve, [[ACCEPTED, "x"]])
    assert [str(match.host) for match in found] == ["203.0.113.1"]
    assert found == outcome(off, Sieve(), [[ACCEPTED, "x"]])[0]


@needs.module("hyperscan")
def test_logins_are_passed_over_where_nobody_asks_for_them() -> None:
    filter = make_filter(FILTERS["farewells"])
    sieve = filter.sieve
    sieve.settle(UTF8)
    logins = [f"h sshd[{number}]: {ACCEPTED}" for number in range(100, 200)]
    lines = ["h sshd[150]: Too many failures", *logins, "x"]
    block = Block("".join(f"{line}\n" for line in lines).encode())
    picked, looked_at = list(sieve.pick(block, live=False)), []
    while picked:
        try:
            looked_at.append(picked[0].text)
            filter.match(picked[0], NOON)
            picked.pop(0)
        except Unfinished as error:
            looked_at.pop()
            if error.first is not None:
                picked.insert(0, error.first)
    assert looked_at == [lines[0], f"h sshd[150]: {ACCEPTED}", "x"]


@needs.module("hyperscan")
def test_logins_among_others_do_not_keep_others_from_their_turn() -> None:
    filter = make_filter(FILTERS["farewells"])
    filter.sieve.settle(UTF8)
    texts = [
        "h sshd[77]: Too many failures",
        *[f"h sshd[2]: {ACCEPTED}"] * (2 * MANY),
        "Aug 14 11:59:30 x",
    ]
    first, last = filter.sieve.pick(Block("".join(f"{text}\n" for text in texts).encode()))
    assert filter.match(first, NOON) is None
    for _ in range(2):
        with pytest.raises(Unfinished) as raised:
            filter.match(last, NOON)
        assert raised.value.first is None
    assert filter.match(last, NOON) is None


@needs.module("hyperscan")
def test_innocent_lines_are_passed_over() -> None:
    filter = make_filter(FILTERS["connections"])
    filter.sieve.settle(UTF8)
    block = Block(b"Aug 14 11:59:30 h sshd[1]: session opened for user bob\n" * 1000)
    assert len(list(filter.sieve.pick(block))) == 1


def test_a_log_is_learned_from_as_it_is_read() -> None:
    filter = make_filter(FILTERS["ambiguous dates"])
    sieve = Sieve()
    lines = list(sieve.pick(Block(b"08-13-2005 11:50:00 a\n08-13-2005 11:51:00 b\n"), live=False))
    assert not lines[0].closes and filter.match(lines[0], NOON) is None
    assert "filter:dates" not in filter.memory()
    assert lines[1].closes and filter.match(lines[1], NOON) is None
    assert "filter:dates" in filter.memory()


@needs.module("hyperscan")
def test_lines_of_a_log_that_were_picked_for_another_filter_are_tried_with_all_patterns() -> None:
    old, new = make_filter(FILTERS["classic"]), make_filter(FILTERS["connections"])
    old.sieve.settle(UTF8)
    text = b"Aug 14 11:59:30 h sshd[1]: Connection from 203.0.113.9 refused 203.0.113.9\n"
    (line,) = old.sieve.pick(Block(text))
    assert line.named == (1,)
    assert new.match(line, NOON) is None  # it is no failure, but it is remembered
    assert new.memory()  # of the connection


@needs.module("hyperscan")
def test_lines_that_were_put_aside_for_another_filter_are_tried_too() -> None:
    old = make_filter(FILTERS["farewells"])
    new = make_filter(FILTERS["connections"])  # there a good bye is a failure
    old.sieve.settle(UTF8)
    text = b"Aug 14 11:59:30 h sshd[1]: Disconnected by 203.0.113.9\nx\n"
    (line,) = old.sieve.pick(Block(text))
    (match,) = matches(new, line)
    assert str(match.host) == "203.0.113.9"


ON_AND_OFF = [pytest.param(True, marks=needs.module("hyperscan")), False]


@pytest.mark.parametrize("before", ON_AND_OFF)
@pytest.mark.parametrize("after", ON_AND_OFF)
def test_a_filter_that_comes_in_the_middle_of_a_block_sees_the_rest(
    before: bool, after: bool
) -> None:
    old, new = (
        make_filter(tagged(r"^Failed for <HOST>", *one)) for one in ((), ["Refused <HOST>"])
    )
    sieves = [filter.sieve if on else Sieve() for filter, on in ((old, before), (new, after))]
    for sieve in sieves:
        sieve.settle(UTF8)
    texts = ["Failed for 203.0.113.1", "x", "Refused 203.0.113.2", "Refused 203.0.113.3", "x"]
    lines = sieves[0].pick(Block("".join(f"{text}\n" for text in texts).encode()))
    assert len(matches(old, next(lines))) == 1
    sieves[0].give_way(sieves[1])
    rest = [(line.closes, match) for line in lines for match in matches(new, line) or [None]]
    found = [str(match.host) for _, match in rest if match]
    assert found == ["203.0.113.2", "203.0.113.3"]
    assert [closes for closes, _ in rest].count(True) == 1 and rest[-1][0]


@needs.module("hyperscan")
def test_nothing_is_learned_from_a_login_with_an_impossible_address_either() -> None:
    settings = tagged(rf"{GAINED} for \S+ from <F-ID>\S+</F-ID>", "Failed .* from <HOST>")
    blocks = [[f"08-13-2005 11:50:00 Accepted pin for bob from {'x' * 3000}", "x", "y"]]
    on, off = make_filter(settings), make_filter(settings)
    assert outcome(on, on.sieve, blocks) == outcome(off, Sieve(), blocks)


# Others' turns ---------------------------------------------------------------------------


@needs.module("hyperscan")
def test_looking_for_the_last_timestamp_among_many_lines_lets_others_have_their_turn() -> None:
    filter = make_filter(FILTERS["ambiguous dates"])
    filter.sieve.settle(UTF8)
    texts = [b"2005-08-14 11:59:30 a", *[b"x"] * 5, b"Failed password for x from 203.0.113.1"]
    (line,) = filter.sieve.pick(Block(b"".join(text + b"\n" for text in texts)), live=False)
    for _ in range(5):
        with pytest.raises(Unfinished):
            filter.match(line, NOON)
    match = filter.match(line, NOON)
    assert match is not None and match.time == NOON - 30


@needs.module("hyperscan")
def test_lines_whose_date_is_understood_are_told_from_others() -> None:
    filter = make_filter(FILTERS["ambiguous dates"])
    texts = {
        b"08-13-2005 11:50:00 a\nb\n" * 9: (1, 1),
        b"a\n" * 9: (0, 1),
        b"08-13-2005 11:50:00 a\n" * 9: (1, 0),
    }
    filter.sieve.settle(UTF8)
    for text, (dated, undated) in texts.items():
        before = filter.dating.dated, filter.dating.undated
        for line in filter.sieve.pick(Block(text)):
            matches(filter, line)
        after = filter.dating.dated, filter.dating.undated
        assert (after[0] - before[0], after[1] - before[1]) == (dated, undated)
        filter.dating.sample()
    assert filter.dating.skew == 86400 + 600


@needs.module("hyperscan")
def test_a_last_line_whose_timestamp_takes_too_long_is_given_up_as_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(line: str, now: float) -> None:
        raise OutOfTime("the patterns took too long")

    filter = make_filter(FILTERS["ambiguous dates"])
    monkeypatch.setattr(
        filter, "stamps", SimpleNamespace(cut=Cut.ANYWHERE, expects=True, find=find)
    )
    filter.sieve.settle(UTF8)
    (line,) = filter.sieve.pick(Block(b"x\nx\n"))
    with pytest.raises(OutOfTime):
        filter.match(line, NOON)
