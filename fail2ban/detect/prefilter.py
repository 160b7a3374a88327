# SPDX-License-Identifier: GPL-2.0-or-later
"""Where in a block of lines it is worth trying which pattern (promise D1).

Hyperscan looks for what the patterns cannot do without, see `factors`, in all lines of
a block at once. It never decides: `re` does, for the few lines that are named here. A
line that is not named matches no pattern.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fail2ban import __version__
from fail2ban.detect.compiled import Cache, Compiled, Uncompiled, compiled, engine, loaded
from fail2ban.detect.encoding import Encoding
from fail2ban.detect.factors import FOLDED, Cut, Factors, factors

log = logging.getLogger(__name__)

#: The number that stands for all patterns.
ANY = -1
#: Sets of literals of which it is kept what they are needed for.
MOST_KEPT = 1000
#: Characters of a pattern that a message shows.
SHOWN = 100

#: The modules that decide what is made of patterns, and kept.
_MAKERS = ("factors.py", "prefilter.py")


class Need(NamedTuple):
    """What a line must have to be named.

    Attributes:
        numbers: the patterns that it is named with, or `ANY`.
        all: a bit for each of the groups of which it must have a literal.
        texts: what it must have in this order.
    """

    numbers: tuple[int, ...]
    all: int
    texts: tuple[bytes, ...]


#: Where a line begins, where the next one does, and the patterns that may match it,
#: ascending; `ANY` among them: all may.
Named = tuple[int, int, tuple[int, ...]]

#: For each literal the needs that it serves, with the bit of its group.
Serves = Sequence[Sequence[tuple[int, int]]]


class Prefilter:
    """The patterns of one section, as far as they can be told from bytes.

    Used on one thread at a time.
    """

    def __init__(self, compiled: Compiled, serves: Serves, needs: Sequence[Need]) -> None:
        self._compiled, self._serves, self._needs = compiled, serves, needs
        # Most lines that have any of the literals have those of some line before them.
        self._served = lru_cache(maxsize=MOST_KEPT)(self._serving)

    def named(self, block: bytes) -> list[Named]:
        """Return the lines that some pattern may match, in their order.

        Args:
            block: whole lines, each with its newline.
        """
        places: list[tuple[int, int]] = []
        note = places.append

        def report(literal: int, begin: int, end: int, flags: int, context: object) -> None:
            note((end, literal))

        self._compiled.scan(block, report)
        # In one line there is no order of what ends at the same place.
        places.sort()
        places.append((len(block) + 1, -1))  # behind the last line, so that it is dealt with
        named: list[Named] = []
        begin = end = 0
        had: list[int] = []
        for place, literal in places:
            if place <= end:
                had.append(literal)
                continue
            numbers: tuple[int, ...] = ()
            for need in self._served(frozenset(had)):
                if _has(block, need.texts, begin, end):
                    numbers += need.numbers
            if numbers:
                ascending = tuple(sorted(numbers)) if len(numbers) > 1 else numbers
                named.append((begin, end, ascending))
            begin = block.rfind(b"\n", end, place) + 1 or end
            end = block.find(b"\n", place) + 1 or len(block)
            had = [literal]
        return named

    def _serving(self, had: frozenset[int]) -> list[Need]:
        """Return the needs of whose groups a line has literals."""
        bits: dict[int, int] = {}
        for literal in had:
            for number, bit in self._serves[literal]:
                bits[number] = bits.get(number, 0) | bit
        needs = ((self._needs[number], having) for number, having in bits.items())
        return [need for need, having in needs if having == need.all]


def _has(block: bytes, texts: Sequence[bytes], begin: int, end: int) -> bool:
    """Tell whether a line has some texts in their order, without overlapping."""
    for text in texts:
        begin = block.find(text, begin, end)
        if begin < 0:
            return False
        begin += len(text)
    return True


def prefilter(
    patterns: Sequence[re.Pattern[str]],
    cut: Cut,
    encoding: Encoding,
    prefix: re.Pattern[str] | None = None,
    cache: Cache | None = None,
) -> Prefilter | None:
    """Return what finds the lines that some pattern may match.

    None where all lines must be tried: one of the patterns needs nothing that could be
    looked for, the encoding is not one in which ASCII is as always, or Hyperscan is
    missing. That makes a section slower; what it finds is the same.

    Args:
        patterns: searched for in single lines.
        cut: where a timestamp was taken out of what they see.
        prefix: must match before they are tried, see `factors`.
        cache: keeps what was made.
    """
    if not patterns:
        return None
    try:
        if not encoding.keeps_ascii:
            raise Uncompiled(f"in {encoding.name} ASCII is not what it is elsewhere")
        key = _key(patterns, cut, encoding, prefix) if cache else ""
        if cache and (kept := _kept(cache.read(key))):
            return kept
        made = _made(patterns, cut, encoding, prefix)
        if cache:
            cache.write(key, _dumped(made))
        return Prefilter(*made)
    except ImportError as error:
        _tell_of_missing(str(error))
    except Uncompiled as error:
        log.info("%d pattern(s) are tried on every line: %s", len(patterns), error)
    return None


def _made(
    patterns: Sequence[re.Pattern[str]],
    cut: Cut,
    encoding: Encoding,
    prefix: re.Pattern[str] | None,
) -> tuple[Compiled, Serves, list[Need]]:
    numbers: dict[Factors, tuple[int, ...]] = {}
    folded = set[str]()
    for number, pattern in enumerate(patterns):
        found, letters = factors(pattern, cut, prefix)
        if found is None:
            raise Uncompiled(f"nothing that must occur stands in {pattern.pattern[:SHOWN]!r}")
        numbers[found] = (*numbers.get(found, ()), number)
        folded |= letters
    serves: dict[tuple[bytes, bool], list[tuple[int, int]]] = {}
    needs: list[Need] = []
    for found, ones in numbers.items():
        for group, literals in enumerate(found.groups):
            for text, caseless in literals:
                serves.setdefault((text.encode(), caseless), []).append((len(needs), 1 << group))
        texts = tuple(text.encode() for text in found.texts)
        needs.append(Need(ones, (1 << len(found.groups)) - 1, texts))
    for character in _folded(folded, encoding):
        serves.setdefault((character, False), []).append((len(needs), 1))
    needs.append(Need((ANY,), 1, ()))
    return compiled(list(serves)), list(serves.values()), needs


def _folded(letters: Iterable[str], encoding: Encoding) -> Iterator[bytes]:
    """Yield the bytes of the characters that only `re` takes for one of these letters."""
    for character in "".join(FOLDED[letter] for letter in sorted(letters)):
        with contextlib.suppress(UnicodeEncodeError):
            yield character.encode(encoding.name.removesuffix("-sig"))


# Kept on disk --------------------------------------------------------------------------------


def _dumped(made: tuple[Compiled, Serves, list[Need]]) -> bytes:
    database, serves, needs = made
    texts = [(need.numbers, need.all, [text.decode() for text in need.texts]) for need in needs]
    return json.dumps((serves, texts)).encode() + b"\n" + database.dumped()


def _kept(content: bytes | None) -> Prefilter | None:
    if content is None:
        return None
    said, _, data = content.partition(b"\n")
    serves, needs = json.loads(said)
    try:
        database = loaded(data)
    except Uncompiled as error:
        log.info("What was compiled before cannot be used: %s; it is made anew", error)
        return None
    return Prefilter(
        database,
        serves,
        [
            Need(tuple(numbers), every, tuple(text.encode() for text in texts))
            for numbers, every, texts in needs
        ],
    )


def _key(
    patterns: Sequence[re.Pattern[str]],
    cut: Cut,
    encoding: Encoding,
    prefix: re.Pattern[str] | None,
) -> str:
    """Return a digest of all that decides what is made."""
    texts = [(one.pattern, one.flags) for one in (*patterns, prefix) if one]
    said = (texts, prefix is None, cut.value, encoding.name, sys.version, _maker(), engine())
    return hashlib.blake2b(repr(said).encode(errors="surrogatepass"), digest_size=20).hexdigest()


@lru_cache(maxsize=1)
def _maker() -> str:
    """Return what says which `factors` made an expression, and how it is written down."""
    try:
        source = b"".join(Path(__file__).with_name(name).read_bytes() for name in _MAKERS)
    except OSError:  # only what was made of it is installed
        source = b""
    return f"{__version__} {hashlib.blake2b(source, digest_size=16).hexdigest()}"


@lru_cache(maxsize=1)
def _tell_of_missing(reason: str) -> None:
    log.warning(
        "The package hyperscan is not there (%s): every line is tried with every pattern,"
        " which finds the same and takes longer",
        reason,
    )
