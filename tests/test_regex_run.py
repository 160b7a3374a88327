# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines are counted as the daemon would judge them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from fail2ban.cli.regex_output import of_failure, of_line
from fail2ban.cli.regex_run import Failure, Run, Tally, Wishes, resolve
from fail2ban.decide.hosts import Addresses
from fail2ban.detect.match import Line
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.records import FilterSettings, Origin, Sourced, UseDns

NOW = 1_795_200_000.0
HERE = Origin("here", 1)


def look_up(name: str) -> Addresses:
    if name == "two.example":
        return frozenset({ip_address("2001:db8::7"), ip_address("192.0.2.7")})
    raise OSError("unknown")


def sourced(*patterns: str) -> tuple[Sourced, ...]:
    return tuple(Sourced(text, HERE) for text in patterns)


def ran(
    lines: list[str],
    *patterns: str,
    ignoring: str = "",
    maxlines: int = 1,
    usedns: UseDns = "warn",
    every: bool = True,
    listing: bool = False,
) -> tuple[Tally, list[Failure], list[str]]:
    settings = FilterSettings(
        "svc",
        sourced(*patterns),
        sourced(ignoring) if ignoring else (),
        tagged=True,
        maxlines=maxlines,
        usedns=usedns,
    )
    failures: list[Failure] = []
    left: list[str] = []
    wishes = Wishes(every, listing, {"ignored": None, "matched": None, "missed": None}, maxlines)
    run = Run(
        TaggedFilter(settings, doubting=False),
        wishes,
        failures.append,
        lambda line: left.append(line.text),
        look_up,
        lambda: NOW,
    )
    return run.run(map(Line, lines)), failures, left


def counts(tally: Tally) -> tuple[int, int, int]:
    return (
        tally.kept["ignored"].count,
        tally.kept["matched"].count,
        tally.kept["missed"].count,
    )


def test_each_line_is_counted_as_one_kind() -> None:
    lines = ["fail from 192.0.2.1", "fail from 192.0.2.2 evil", "well"]
    tally, failures, left = ran(lines, "fail from <HOST>", ignoring="evil")
    assert counts(tally) == (1, 1, 1)
    assert (tally.hits, tally.ignoring, tally.total) == ([1], [1], 3)
    assert [str(failure.id) for failure in failures] == ["192.0.2.1"]
    assert left == lines[1:]


def test_hits_of_all_patterns_count_but_the_first_decides() -> None:
    patterns = ("from <HOST>", "<F-NOFAIL>fail</F-NOFAIL> from <HOST>")
    tally, failures, _ = ran(["fail from 192.0.2.1"], *patterns)
    assert (tally.hits, counts(tally), len(failures)) == ([1, 1], (0, 1, 0), 1)
    tally, failures, _ = ran(["fail from 192.0.2.1"], *reversed(patterns))
    assert (tally.hits, counts(tally), len(failures)) == ([1, 1], (1, 0, 0), 0)
    tally, _, _ = ran(["fail from 192.0.2.1"], *patterns, every=False)
    assert tally.hits == [1, 0]


def test_all_addresses_of_a_name_are_blamed() -> None:
    tally, failures, _ = ran(["fail from two.example"], "fail from <HOST>", listing=True)
    assert [str(failure.ip) for failure in failures] == ["192.0.2.7", "2001:db8::7"]
    assert (tally.hits, len(list(tally.hit_lists[0]))) == ([1], 2)


def test_who_cannot_be_blamed_is_missed() -> None:
    lines = ["fail from none.example", "fail from 300.1.1.1"]
    tally, failures, _ = ran(lines, "fail from <HOST>")
    assert (tally.hits, counts(tally), failures) == ([0], (0, 0, 2), [])


def test_a_failure_of_somebody_unknown_is_matched_but_not_yet_a_failure() -> None:
    lines = ["c1 fail", "c1 from 192.0.2.1"]
    patterns = (
        "^<F-MLFID>c1</F-MLFID> fail",
        "^<F-MLFID>c1</F-MLFID> <F-NOFAIL>from</F-NOFAIL> <HOST>",
    )
    tally, failures, _ = ran(lines, *patterns, listing=True)
    assert (tally.hits, counts(tally)) == ([1, 1], (0, 2, 0))
    assert failures[0].match.lines == tuple(lines)
    assert next(iter(tally.hit_lists[0])).startswith("None  ")


def test_a_line_that_a_later_one_completes_is_matched() -> None:
    lines = ["a", "b", "c 192.0.2.1", "d"]
    tally, failures, _ = ran(lines, r"^b\nc <HOST>$", maxlines=3)
    assert counts(tally) == (0, 2, 2)
    assert list(tally.kept["matched"]) == ["b", "c 192.0.2.1"]
    assert list(tally.kept["missed"]) == ["a", "d"]
    assert failures[0].match.lines == ("b", "c 192.0.2.1")


def test_what_is_skipped_between_matching_lines_is_missed() -> None:
    lines = ["b", "between", "c 192.0.2.1"]
    tally, _, _ = ran(lines, r"^b<SKIPLINES>c <HOST>$", maxlines=3)
    assert list(tally.kept["missed"]) == ["between"]


@pytest.mark.parametrize("maxlines", [1, 2, 5])
def test_no_line_is_lost_or_counted_twice(maxlines: int) -> None:
    lines = [["b", "c 192.0.2.1", "x", "b"][number * number % 7 % 4] for number in range(100)]
    tally, _, _ = ran(lines, r"b\nc <HOST>", r"^c <HOST>$", maxlines=maxlines)
    everything = [line for kept in tally.kept.values() for line in kept]
    assert sorted(everything) == sorted(lines)


def test_what_prefregex_captures_is_told_of_few_lines_only() -> None:
    settings = FilterSettings("svc", sourced("x <HOST>"), tagged=True,
                              prefregex=Sourced("<F-CONTENT>x.*</F-CONTENT>", HERE))  # fmt: skip
    wishes = Wishes(True, True, {"ignored": 0, "matched": 0, "missed": 0})
    run = Run(TaggedFilter(settings, doubting=False), wishes)
    tally = run.run(Line(f"x 192.0.2.{number}") for number in range(50))
    assert (tally.prefixes, len(tally.prefix_list), tally.prefix_list[-1]) == (50, 21, "...")


def test_only_host_names_are_looked_up() -> None:
    assert resolve(lambda name: frozenset({ip_address("192.0.2.1")}), "127.1") == ()


# Output ------------------------------------------------------------------------------


def failure(line: str = "fail from 192.0.2.1 by joe 7") -> Failure:
    pattern = "from <HOST> by <F-USER>.*</F-USER> <F-ID>\\d+</F-ID>"
    return ran([line], pattern)[1][0]


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("id", "7"),
        ("fid", "7"),
        ("ip", "192.0.2.1"),
        ("user", "joe"),
        ("msg", "fail from 192.0.2.1 by joe 7"),
        ("no group", "None"),
        ("<fid>/<ip>/<F-USER>/<F-NONE>/<ip-rev>", "7/192.0.2.1/joe//1.2.0.192."),
        ("<msg><br><time>", f"fail from 192.0.2.1 by joe 7\n{NOW}"),
        ("<nosuch><bantime>", "<nosuch><bantime>"),
    ],
)
def test_a_token_says_what_is_printed_of_a_failure(token: str, text: str) -> None:
    assert of_failure(token, "svc", lambda: NOW, failure()) == text


def test_a_tag_within_a_captured_text_is_no_tag() -> None:
    found = failure("fail from 192.0.2.1 by <ip> 7")
    assert of_failure("<F-USER>", "svc", lambda: NOW, found) == "<ip>"


@pytest.mark.parametrize("token", ["user", "msg", "row", "<F-USER>", "<msg>", "<matches>"])
def test_what_was_captured_is_made_harmless(token: str) -> None:
    found = failure("fail from 192.0.2.1 by \x1b[2J\0 7")
    text = of_failure(token, "svc", lambda: NOW, found)
    assert "\x1b" not in text and "\0" not in text


def test_a_line_that_is_no_failure_has_only_its_text() -> None:
    line = Line("a line", stamp="2026 ")
    assert of_line("ip", line) == "2026 a line"
    assert of_line("<ip>|<msg>|<F-USER>|<x>", line) == "|2026 a line||<x>"
