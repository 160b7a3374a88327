# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever `re` finds in a line, the prefilter has named for that line (promise D1)."""

from __future__ import annotations

import logging
import random
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fail2ban.config.classic import load
from fail2ban.detect import prefilter as module
from fail2ban.detect.compiled import Cache, Uncompiled
from fail2ban.detect.encoding import UTF8, Encoding
from fail2ban.detect.factors import Cut
from fail2ban.detect.prefilter import ANY, Prefilter, prefilter
from fail2ban.plan import make_plan

pytest.importorskip("hyperscan")

CONFIG = Path(__file__).parent.parent / "config"
FAILED = r"^Failed \S+ for .* from (?P<host>\S+)( port \d+)?$"


def regexes(*patterns: str, flags: int = 0) -> list[re.Pattern[str]]:
    return [re.compile(pattern, flags) for pattern in patterns]


def made(*patterns: str, cut: Cut = Cut.NOTHING, prefix: str = "", encoding: str = "") -> Prefilter:
    found = prefilter(
        regexes(*patterns), cut, Encoding(encoding), re.compile(prefix) if prefix else None
    )
    assert found
    return found


def named(found: Prefilter, *lines: str | bytes) -> list[set[int]]:
    """Return the numbers that each line gets."""
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    places, end = [], 0
    for line in raw:
        places.append((end, end := end + len(line) + 1))
    told = found.named(b"".join(line + b"\n" for line in raw))
    assert told == sorted(told)
    by_line = {(begin, end): numbers for begin, end, numbers in told}
    assert len(by_line) == len(told) and by_line.keys() <= set(places)
    assert all(numbers and list(numbers) == sorted(set(numbers)) for numbers in by_line.values())
    return [set(by_line.get(place, ())) for place in places]


# What is named -----------------------------------------------------------------------------


def test_a_line_is_named_once_for_each_pattern_that_may_match() -> None:
    found = made(FAILED, "^Invalid user .* from", "Connection closed by")
    assert named(
        found,
        "Nov 22 05:00:00 h sshd[1]: Failed password for root from 203.0.113.7 port 1",
        "session opened",
        "Failed x for Failed y for z from u from v",
        "Invalid user from from x: Connection closed by y",
        "",
        "Failed",
    ) == [{0}, set(), {0}, {1, 2}, set(), set()]


def test_texts_of_two_lines_do_not_make_one() -> None:
    assert named(made(FAILED), "Failed x", " for y from z", "for y Failed x from") == [set()] * 3


def test_patterns_that_need_the_same_are_all_named() -> None:
    found = made(r"denied by \d+$", "Login failed", "denied by (?!x)", r"denied by \w")
    assert named(found, "denied by 1", "Login failed", "denied by 1, Login failed") == [
        {0, 2, 3},
        {1},
        {0, 1, 2, 3},
    ]


def test_a_block_without_lines_names_nothing() -> None:
    assert made(FAILED).named(b"") == []


def test_a_letter_that_only_re_takes_for_another_lets_any_pattern_match() -> None:
    found = made("(?i)kiss from", "Failed for")
    assert re.search("(?i)kiss from", "\u212a\u0130\u017fs from")
    assert named(found, "KiSS from", "\u212a\u0130\u017fs from", "\u017f", "kiss") == [
        {0},
        {ANY},
        {ANY},
        set(),
    ]


def test_such_letters_are_looked_for_only_where_case_is_ignored() -> None:
    assert named(made("kiss from", "(?ia)bliss"), "\u212a \u017f \u0131") == [set()]


def test_such_letters_have_the_bytes_of_the_encoding() -> None:
    turkish = made("(?i)Login failed", encoding="iso8859-9")
    assert named(turkish, "log\u0131n fa\u0131led".encode("iso8859-9"), b"log\xc4n") == [
        {ANY},
        set(),
    ]
    assert named(made("(?i)Login failed", encoding="latin-1"), b"\xdd\xfd") == [set()]


def test_what_a_prefix_needs_is_needed_too() -> None:
    found = made("^Failed for", r"^\d+$", prefix=r"^\w+ sshd\[\d+\]: (?P<content>.+) end$")
    assert named(found, "x sshd[1]: Failed for end", "Failed for", "x sshd[1]: 12 end") == [
        {0, 1},
        set(),
        {1},
    ]


def test_a_prefix_whose_content_may_be_nothing_stands_beside_the_pattern() -> None:
    # Where `content` is empty the pattern sees all of the line.
    pattern, prefix = "a sshd: Failed", "sshd: (?P<content>[xy]*)Failed"
    line = "a sshd: Failed"
    seen = re.search(prefix, line)
    assert seen and not seen["content"] and re.search(pattern, line)
    assert named(made(pattern, prefix=prefix), line) == [{0}]


# Where nothing is filtered -------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [r"^\d+ \S+$", "(?:a|Failed)", "é+", r"\w*(?=Failed)x?", "x"])
def test_a_pattern_that_needs_no_text_means_that_nothing_is_filtered(pattern: str) -> None:
    assert prefilter(regexes(FAILED, pattern), Cut.NOTHING, UTF8) is None


def test_no_patterns_filter_nothing() -> None:
    assert prefilter([], Cut.NOTHING, UTF8) is None


@pytest.mark.parametrize(
    ("encoding", "usable"),
    [
        ("utf-8", True),
        ("utf-8-sig", True),
        ("ascii", True),
        ("latin-1", True),
        ("cp1252", True),
        ("koi8-r", True),
        ("iso8859-15", True),
        ("utf-16", False),
        ("utf-16-le", False),
        ("utf-32", False),
        ("utf-7", False),
        ("cp037", False),  # EBCDIC
        ("mac-arabic", False),  # has ASCII characters twice
        ("shift_jis", False),  # an ASCII byte may be the second half of a character
        ("gbk", False),
        ("iso2022_jp", False),
        ("raw_unicode_escape", False),
        ("hz", False),
    ],
)
def test_only_encodings_in_which_ascii_is_as_always_are_filtered(
    encoding: str, usable: bool
) -> None:
    assert (prefilter(regexes(FAILED), Cut.NOTHING, Encoding(encoding)) is not None) is usable


def test_without_the_package_everything_is_tried_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    module._tell_of_missing.cache_clear()
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    assert prefilter(regexes(FAILED), Cut.NOTHING, UTF8) is None
    assert prefilter(regexes(FAILED), Cut.NOTHING, UTF8) is None
    said = [record for record in caplog.records if "hyperscan" in record.message]
    assert [record.levelno for record in said] == [logging.WARNING]


def test_what_hyperscan_refuses_means_that_nothing_is_filtered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: object) -> None:
        raise Uncompiled("Hyperscan says: too large")

    monkeypatch.setattr(module, "compiled", refuse)
    with caplog.at_level(logging.INFO):
        assert prefilter(regexes(FAILED), Cut.NOTHING, UTF8) is None
    assert "too large" in caplog.text


# Kept on disk --------------------------------------------------------------------------------


def test_what_was_compiled_before_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "kept")
    patterns = regexes("denied by", "Failed for", "denied by (?!x)", "(?i)kisses")
    first = prefilter(patterns, Cut.FRONT, UTF8, None, cache)
    monkeypatch.setattr(module, "compiled", lambda _: pytest.fail("compiled again"))
    again = prefilter(patterns, Cut.FRONT, UTF8, None, cache)
    lines = "denied by 1, Failed for", "KISSES", "\u017f", "x"
    assert first and again
    assert named(first, *lines) == named(again, *lines) == [{0, 1, 2}, {3}, {ANY}, set()]


def test_whatever_decides_what_is_compiled_decides_what_is_taken_from_disk(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    cache = Cache(folder)
    one, prefix = regexes("Failed for"), re.compile("sshd: (?P<content>.+)")
    prefilter(one, Cut.NOTHING, UTF8, None, cache)
    prefilter(regexes("Failed for", flags=re.IGNORECASE), Cut.NOTHING, UTF8, None, cache)
    prefilter([*one, *one], Cut.NOTHING, UTF8, None, cache)
    prefilter(one, Cut.WORDS, UTF8, None, cache)
    prefilter(one, Cut.NOTHING, Encoding("latin-1"), None, cache)
    prefilter(one, Cut.NOTHING, UTF8, prefix, cache)
    prefilter([*one, prefix], Cut.NOTHING, UTF8, None, cache)
    assert len(list(folder.iterdir())) == 7
    prefilter(one, Cut.NOTHING, UTF8, None, cache)
    assert len(list(folder.iterdir())) == 7


def test_a_database_that_hyperscan_refuses_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "kept")
    monkeypatch.setattr(Cache, "read", lambda *_: b"[[[[0, 1]]], [[[0], 1, []]]]\nrubbish")
    found = prefilter(regexes("Failed for"), Cut.NOTHING, UTF8, None, cache)
    assert found and named(found, "Failed for") == [{0}]


# The patterns that we ship -------------------------------------------------------------------


def shipped() -> list[Path]:
    return sorted(CONFIG.glob("fail2ban.conf.*"))


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.name)
def test_every_section_that_we_ship_is_filtered(file: Path) -> None:
    for name, matcher in make_plan(load(file)).filters.items():
        found = [one.regex for one in getattr(matcher, "_failregex", ())]
        if found:
            assert prefilter(found, Cut.NOTHING, UTF8), name


# D1 -------------------------------------------------------------------------------------------

WORDS = ["Failed", " from ", "user", "kiss", "[error] ", ": ", "x", "is", "é", "\u017f", "Ж", "12"]
SETS = {
    "[Ff]": "fF",
    "[^a]": "bé ",
    r"\d": "7",
    r"\S": "~é",
    ".": "ab ",
    r"\w": "wÄ_",
    "[a-c]": "abc",
    r"[\[x]": "[x",
}
ANCHORS = ["^", "$", r"\b", r"\B", r"\A", r"\Z", "(?=[a-z ])", "(?!Q)", "(?<!Q)", r"(?<=\w)", "\n?"]
QUANTIFIERS = {"?": 0, "*": 0, "+": 1, "{2}": 2, "{1,2}": 1, "{0,3}": 0, "{3,}": 3}
MODES = ["", "?", "+"]


@dataclass
class Written:
    """A pattern as it grows, and a text that it probably matches.

    Attributes:
        groups: what those that are closed took; None: nothing.
    """

    random: random.Random
    groups: list[str | None] = field(default_factory=list)

    def several(self, depth: int) -> tuple[str, str]:
        parts = [self.part(depth) for _ in range(self.random.randint(1, 3))]
        return "".join(part[0] for part in parts), "".join(part[1] for part in parts)

    def part(self, depth: int) -> tuple[str, str]:
        choose = self.random.random()
        if depth <= 0 or choose < 0.4:
            word = self.random.choice(WORDS)
            return re.escape(word), word
        if choose < 0.5:
            written = self.random.choice(list(SETS))
            return written, self.random.choice(SETS[written])
        if choose < 0.57:
            return self.random.choice(ANCHORS), ""
        kinds = (self.group, self.branch, self.repeat, self.flagged, self.again, self.condition)
        return self.random.choice(kinds)(depth - 1)

    def group(self, depth: int) -> tuple[str, str]:
        written, text = self.several(depth)
        kind = self.random.choice(["(", "(?:", "(?>", "(?P<{}>", "(?=", "(?P<{}>"])
        if kind == "(?=":
            return f"(?={written}){written}".replace("(?P<", "(?P<a"), text
        if kind in ("(?:", "(?>"):
            return f"{kind}{written})", text
        self.groups.append(text)
        return (
            f"{kind.format(f'g{len(self.groups)}x{self.random.random() * 1e9:.0f}')}{written})",
            text,
        )

    def branch(self, depth: int) -> tuple[str, str]:
        arms = [self.several(depth) for _ in range(self.random.randint(2, 3))]
        return f"(?:{'|'.join(arm[0] for arm in arms)})", self.random.choice(arms)[1]

    def repeat(self, depth: int) -> tuple[str, str]:
        written, text = self.several(depth)
        quantifier = self.random.choice(list(QUANTIFIERS))
        times = QUANTIFIERS[quantifier] + (quantifier == "+" and self.random.randint(0, 1))
        return f"(?:{written}){quantifier}{self.random.choice(MODES)}", text * times

    def flagged(self, depth: int) -> tuple[str, str]:
        written, text = self.several(depth)
        flags = self.random.choice(["i", "i", "-i", "a", "s", "ai", "u", "m"])
        if "i" in flags and "-" not in flags:
            text = self.random.choice([text.upper(), text.swapcase(), folded(text), text])
        return f"(?{flags}:{written})", text

    def again(self, depth: int) -> tuple[str, str]:
        if not self.groups:
            return self.part(0)
        number = self.random.randrange(len(self.groups))
        return rf"(?:\{number + 1})", self.groups[number] or ""

    def condition(self, depth: int) -> tuple[str, str]:
        if not self.groups:
            return self.part(0)
        yes, text = self.several(0)
        no = self.several(0)[0]
        return f"(?({self.random.randint(1, len(self.groups))}){yes}|{no})", text


def folded(text: str) -> str:
    return text.replace("k", "\u212a").replace("s", "\u017f").replace("i", "\u0130")


@dataclass
class Case:
    """Patterns, and lines in which one of them is likely to match."""

    patterns: list[re.Pattern[str]]
    texts: list[str]
    prefix: re.Pattern[str] | None


def case(seed: int) -> Case | None:
    """Return the patterns and lines of a seed; None where `re` refuses one."""
    chance = random.Random(seed)
    patterns, texts = [], []
    flags = chance.choice([0, 0, re.IGNORECASE, re.IGNORECASE | re.ASCII, re.MULTILINE])
    try:
        for _ in range(chance.randint(1, 3)):
            written, text = Written(chance).several(3)
            patterns.append(re.compile(written, flags))
            texts += [text, text.swapcase(), folded(text)] if flags & re.IGNORECASE else [text]
        before, text = Written(chance).several(1)
        prefix = None
        if chance.random() < 0.3:
            content = chance.choice(
                ["(?P<content>.+)", "(?P<content>.*)", "(?:(?P<content>.+)|x)", ""]
            )
            prefix = re.compile(before + content, flags)
            texts = [text + one for one in texts]
    except (re.error, OverflowError, RecursionError):
        return None
    return Case(patterns, texts, prefix)


NOISE = ["", " ", "[", "a", "Failed ", "é", "x: ", "\u212a", "Nov"]
BYTES = [b"", b"", b"", b"\xff", b"\xe2\x82", b"\xc5\xbf", b"\0"]
STAMPS = ["Nov 22 05:00:00", "2026-11-22T05:00:00Z", "", "<x>", "1700000000"]
ENCODINGS = ["utf-8", "utf-8", "latin-1", "iso8859-9", "cp1252", "ascii"]


def places(text: str, cut: Cut) -> list[int]:
    """Return where a timestamp may have been."""
    return [at for at in range(len(text) + 1) if may_stand(text[:at], text[at:], cut)]


def may_stand(before: str, after: str, cut: Cut) -> bool:
    if cut is Cut.FRONT:
        return len(before) <= 2
    if cut is Cut.BRACKET:
        return len(before) <= 2 or before.endswith("[")
    if cut is Cut.WORDS:
        return not (re.search(r"\w\Z", before) and re.match(r"\w", after))
    return cut is Cut.ANYWHERE


def shown(chance: random.Random, text: str, cut: Cut, encoding: Encoding) -> tuple[bytes, str]:
    """Return a line with a timestamp in it, and what the patterns see of it."""
    text = chance.choice(NOISE) + text + chance.choice(NOISE)
    at = chance.choice(places(text, cut) or [0])
    stamp = chance.choice(STAMPS) if cut is not Cut.NOTHING else ""
    name = encoding.name
    before = text[:at].encode(name, "replace").replace(b"\n", b"")
    after = text[at:].encode(name, "replace").replace(b"\n", b"") + chance.choice(BYTES)
    raw = before + stamp.encode() + after
    line = chance.choice([b"", b"\0\0"]) + raw + chance.choice([b"", b"\r"])
    whole, _ = encoding.text(encoding.without_nuls(line))
    begin = len(encoding.text(before)[0])
    return line, whole[:begin] + whole[begin + len(stamp) :]


def found_in(one: Case, seen: str, newline: str) -> Iterator[int]:
    """Yield the patterns that match, as a filter tries them."""
    if one.prefix:
        prefix = one.prefix.search(f"{seen}{newline}")
        if not prefix:
            return
        seen = prefix.groupdict().get("content") or seen
    for number, pattern in enumerate(one.patterns):
        if pattern.search(f"{seen}{newline}"):
            yield number


def check(seed: int, cut: Cut) -> int:
    """Compare what is named with what matches; return how many matches there were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = case(seed)
    chance = random.Random(seed)
    encoding = Encoding(chance.choice(ENCODINGS))
    filtered = prefilter(one.patterns, cut, encoding, one.prefix) if one else None
    if not one or not filtered:
        return 0
    lines = [shown(chance, text, cut, encoding) for text in (*one.texts, "innocent", *one.texts)]
    numbers = named(filtered, *(raw for raw, _ in lines))
    newline = chance.choice(["", "\n"])
    matches = 0
    for (raw, seen), hits in zip(lines, numbers, strict=True):
        for number in found_in(one, seen, newline):
            matches += 1
            assert hits & {number, ANY}, (one, raw, seen, number, hits, encoding.name)
    return matches


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())
def test_whatever_re_finds_has_been_named(cut: Cut) -> None:
    matches = 0

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        nonlocal matches
        matches += check(seed, cut)

    run()
    assert matches > 100


@pytest.mark.parametrize(
    ("pattern", "encoding", "reason"),
    [
        (r"^\S+ \d+$", "utf-8", r"nothing that must occur stands in '^\\S+ \\d+$'"),
        ("Failed", "utf-16-le", "in utf-16-le ASCII is not what it is elsewhere"),
    ],
)
def test_it_is_said_why_patterns_are_tried_on_every_line(
    pattern: str, encoding: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert prefilter(regexes(FAILED, pattern), Cut.NOTHING, Encoding(encoding)) is None
    assert [r.message for r in caplog.records] == [
        f"2 pattern(s) are tried on every line: {reason}"
    ]
