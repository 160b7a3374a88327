# SPDX-License-Identifier: GPL-2.0-or-later
"""A compiled pattern -> literal texts without which it matches no line.

`Failed \\S+ for .* from (?P<host>\\S+)$` cannot do without "Failed ", " for " and " from ",
in this order. That says much less than the pattern, so it is sound for whatever `re`
understands, and cheap to look for: what is not understood here is a gap.

It is read from the tree that `re` itself makes of the pattern. Alternatives count if
each of them needs something; what may be left out is a gap, and so is all that is no
ASCII, which has other bytes in other encodings. Characters that `re` takes for each
other regardless of case, as "k" and the Kelvin sign, are told beside (`FOLDED`).

What a pattern sees is not always a piece of the line: a timestamp was cut out of it,
and a text that stood at both sides of the cut is in two parts in the line, see `Cut`.
"""

from __future__ import annotations

import enum
import importlib
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Characters that `re.IGNORECASE` takes for an ASCII letter, besides the letter itself.
FOLDED = {"i": "\u0130\u0131", "k": "\u212a", "s": "\u017f"}
#: Alternatives of one choice; more become a gap.
MOST_ARMS = 1000
#: How many characters a text must have to say something: two are in every other line.
LEAST = 3
#: How many characters of what is looked for say enough.
_ENOUGH = 6
#: How many texts are checked at most where what is looked for was found.
_MOST_TEXTS = 8
#: Words that are in every other line of some log, and so say hardly anything.
_COMMON = frozenset(
    "and client closed connection error failed for from get host http https info login message"
    " password port post request root server session ssh ssh2 sshd the user with".split()
)
#: How many characters a set may have to be a part of a text.
_SET = 4
_REPEATED = 16
#: Characters before the cut, see `Cut.FRONT`.
FRONT = 2


class Cut(enum.Enum):
    """Where a timestamp may have been taken out of what the patterns see.

    Attributes:
        NOTHING: nowhere, or only at the very beginning of the line.
        FRONT: behind at most two characters.
        BRACKET: behind at most two characters, or right behind a "[", as web servers
            write it.
        WORDS: anywhere, but not within a word: not between two of letters, digits and
            "_". So it is with the usual formats, which begin and end with a digit or a
            letter and are only recognised where that is all of a word.
        ANYWHERE: anywhere.
    """

    NOTHING = "nothing"
    FRONT = "front"
    BRACKET = "bracket"
    WORDS = "words"
    ANYWHERE = "anywhere"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that must occur.

    Attributes:
        places: for each character the ASCII characters that it may be.
        at: before it stand at least as many characters of what the pattern sees,
            as far as `Cut.FRONT` cares.
    """

    places: tuple[bytes, ...]
    at: int = FRONT


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several chains, each with at least one text, must occur."""

    arms: tuple[Chain, ...]


#: What must occur in this order, without overlapping.
Chain = tuple[Text | Choice, ...]


class Literal(NamedTuple):
    """Bytes to look for.

    Attributes:
        text: ASCII, without NUL.
        caseless: letters of either case will do.
    """

    text: str
    caseless: bool


class Factors(NamedTuple):
    """What a line must have for a pattern to match; `None` instead: nothing certain.

    Attributes:
        groups: of each one literal at least.
        texts: all of them, in this order, without overlapping.
    """

    groups: tuple[tuple[Literal, ...], ...]
    texts: tuple[str, ...]


def factors(
    pattern: re.Pattern[str], cut: Cut, prefix: re.Pattern[str] | None = None
) -> tuple[Factors | None, frozenset[str]]:
    """Find out what a pattern needs of a single line.

    Returns it, and the letters that may also be one of `FOLDED`: a line that has one of
    those may match all the same.

    Args:
        pattern: sees the line, perhaps without its timestamp and with a newline behind.
        cut: where the timestamp stood.
        prefix: must match, too. If it has a group `content` that takes something,
            `pattern` sees only that.
    """
    folded: set[str] = set()
    try:
        chain = _both(pattern, prefix, cut, folded)
    except RecursionError:  # `re` had just enough room
        return None, frozenset()
    groups = _groups(chain)
    if not groups:
        return None, frozenset()
    texts = [text for term in chain if len(text := _sure(term)) >= LEAST]
    longest = sorted(texts, key=len, reverse=True)[:_MOST_TEXTS]
    kept = tuple(text for text in texts if text in longest)[:_MOST_TEXTS]
    return Factors(groups, kept), frozenset(folded)


def _both(
    pattern: re.Pattern[str], prefix: re.Pattern[str] | None, cut: Cut, folded: set[str]
) -> Chain:
    """Return what `pattern` and `prefix` need together."""
    if prefix is None:
        return _as_cut(_walked(pattern, _nodes(pattern), folded), cut)
    nodes = _nodes(prefix)
    content = prefix.groupindex.get("content", 0)  # no group has the number 0
    for index, (op, value) in enumerate(nodes):
        # Where it stands in a repetition or an alternative, it may have taken nothing.
        if op.name == "SUBPATTERN" and value[0] == content and value[3].getwidth()[0]:
            before = _walked(prefix, nodes[:index], folded)
            inner = _walked(pattern, _nodes(pattern), folded, _width(nodes[:index]))
            after = _walked(prefix, nodes[index + 1 :], folded)
            return _as_cut((*before, *inner, *after), cut)
    inner = _as_cut(_walked(pattern, _nodes(pattern), folded), cut)
    outer = _as_cut(_walked(prefix, nodes, folded), cut)
    return max(inner, outer, key=_weight)


# The tree of `re` -> a chain -----------------------------------------------------------------


def parsed(regex: str, flags: int = 0) -> Any:
    """Return the tree that `re` makes of an expression that it has compiled before."""
    parser = importlib.import_module("re._parser")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told when it was compiled
        return parser.parse(regex, flags & ~re.DEBUG)


def _nodes(pattern: re.Pattern[str]) -> Any:
    return parsed(pattern.pattern, pattern.flags)


def _width(nodes: Any) -> int:
    """Return how many characters some nodes take at least, as far as it matters."""
    least: int = nodes.getwidth()[0]
    return min(FRONT, least)


def _walked(pattern: re.Pattern[str], nodes: Any, folded: set[str], at: int = 0) -> Chain:
    walk = _Walk(folded, at)
    walk.through(nodes, pattern.flags)
    return walk.chain()


class _Walk:
    """One way through the tree of a pattern, from left to right.

    Args:
        folded: gets the letters that may also be one of `FOLDED`.
        at: how many characters stand before, at least.
    """

    def __init__(self, folded: set[str], at: int) -> None:
        self._folded, self._at = folded, at
        self._terms: list[Text | Choice] = []
        self._text: list[bytes] = []
        self._begin = at

    def chain(self) -> Chain:
        self._gap()
        return tuple(self._terms)

    def through(self, nodes: Any, flags: int) -> None:
        for op, value in nodes:
            self._step(op.name, value, flags, nodes)

    def _gap(self) -> None:
        """End the text: what comes next need not stand right behind it."""
        if self._text:
            self._terms.append(Text(tuple(self._text), self._begin))
        self._text = []

    def _step(self, op: str, value: Any, flags: int, nodes: Any) -> None:
        if op in ("LITERAL", "IN"):
            self._character(_options(op, value, flags, self._folded))
        elif op in ("ANY", "NOT_LITERAL"):
            self._character(None)
        elif op == "SUBPATTERN":
            _, added, removed, inner = value
            self.through(inner, _combined(flags, added, removed))
        elif op == "ATOMIC_GROUP":
            self.through(value, flags)
        elif op == "BRANCH":
            self._choice(value[1], flags)
        elif op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            self._repeat(value[0], value[1], value[2], flags)
        elif op == "GROUPREF_EXISTS":
            self._choice(value[1:], flags)
        elif op not in ("AT", "ASSERT", "ASSERT_NOT", "FAILURE"):  # which take nothing
            self._gap()

    def _character(self, options: bytes | None) -> None:
        if options is None:
            self._gap()
        else:
            if not self._text:
                self._begin = self._at
            self._text.append(options)
        self._at = min(FRONT, self._at + 1)

    def _choice(self, arms: Sequence[Any], flags: int) -> None:
        self._gap()
        walks = []
        for arm in arms:
            walks.append(_Walk(self._folded, self._at))
            walks[-1].through(arm or (), flags)
        chains = tuple(walk.chain() for walk in walks)
        if all(chains):
            self._terms.append(Choice(chains))
        self._at = min(walk._at for walk in walks)

    def _repeat(self, least: int, most: int, inner: Any, flags: int) -> None:
        if not least:
            self._gap()
            return
        # Several of a whole group would multiply with those of a group in it.
        times = min(least, _REPEATED) if len(inner) == 1 and _is_character(inner[0]) else 1
        for _ in range(times):
            self.through(inner, flags)
        if times != most:
            self._gap()


def _is_character(node: Any) -> bool:
    return node[0].name in ("LITERAL", "IN")


def _combined(flags: int, added: int, removed: int) -> int:
    """Return the flags in a group such as `(?i-s:...)`."""
    if added & (re.ASCII | re.UNICODE):
        flags &= ~(re.ASCII | re.UNICODE)
    return (flags | added) & ~removed


def _options(op: str, value: Any, flags: int, folded: set[str]) -> bytes | None:
    """Return the characters that a node may take; None for too many, or no ASCII."""
    codes = [value] if op == "LITERAL" else _members(value)
    if codes is None or not all(0 < code < 128 and code != 10 for code in codes):
        return None
    letters = {chr(code) for code in codes}
    if flags & re.IGNORECASE:
        letters |= {letter.swapcase() for letter in letters}
    if not letters or len(letters) > 2 * _SET:
        return None
    if flags & re.IGNORECASE and not flags & re.ASCII:
        folded.update(FOLDED.keys() & letters)
    return "".join(sorted(letters)).encode()


def _members(items: Any) -> list[int] | None:
    """Return the members of a small set, None for any other."""
    codes: list[int] = []
    for op, value in items:
        if op.name == "LITERAL":
            codes.append(value)
        elif op.name == "RANGE" and value[1] - value[0] < _SET:
            codes.extend(range(value[0], value[1] + 1))
        else:
            return None
    return codes if len(codes) <= _SET else None


# What a cut leaves of a chain ----------------------------------------------------------------


def _as_cut(chain: Chain, cut: Cut) -> Chain:
    """Return what the bytes of the whole line must have where a chain is seen after a cut."""
    if cut is Cut.NOTHING:
        return chain
    return tuple(part for term in chain for part in _term_as_cut(term, cut))


def _term_as_cut(term: Text | Choice, cut: Cut) -> Iterator[Text | Choice]:
    if isinstance(term, Text):
        yield from _CUTS[cut](term)
        return
    arms = tuple(_as_cut(arm, cut) for arm in term.arms)
    if all(arms):
        yield Choice(arms)


def _without_begin(text: Text) -> Iterator[Text]:
    """Yield what stands behind a cut behind two characters, or is whole before it."""
    if left := text.places[FRONT - text.at :]:
        yield Text(left)


def _between_brackets(text: Text) -> Iterator[Text | Choice]:
    """Yield the parts of what a cut in front leaves that end with a "["."""
    for left in _without_begin(text):
        places: list[bytes] = []
        for place in left.places:
            places.append(place)
            if _BRACKET in place:
                yield Text(tuple(places))
                places = []
        if places:
            yield Text(tuple(places))


def _words(text: Text) -> Iterator[Text | Choice]:
    """Yield the words of a text; if it has none that says something, its halves."""
    parts: list[list[bytes]] = [[]]
    for place in text.places:
        if parts[-1] and not (_is_word(parts[-1][-1]) and _is_word(place)):
            parts.append([])
        parts[-1].append(place)
    if max(map(len, parts)) < LEAST:
        yield from _halves(text)
    else:
        yield from (Text(tuple(part)) for part in parts if len(part) >= LEAST)


def _halves(text: Text) -> Iterator[Text | Choice]:
    """Yield what is whole of a text wherever it is cut in two.

    If it is cut in the first half, all that follows is whole, and the other way round;
    the character in the middle is part of both.
    """
    middle = len(text.places) // 2
    front, back = Text(text.places[: middle + 1]), Text(text.places[middle:])
    yield text if len(text.places) < 2 else Choice(((front,), (back,)))


_CUTS: dict[Cut, Callable[[Text], Iterator[Text | Choice]]] = {
    Cut.FRONT: _without_begin,
    Cut.BRACKET: _between_brackets,
    Cut.WORDS: _words,
    Cut.ANYWHERE: _halves,
}


def _is_word(options: bytes) -> bool:
    return all(chr(option).isalnum() or option == _UNDERSCORE for option in options)


_UNDERSCORE, _BRACKET = ord("_"), ord("[")


# A chain -> literals -------------------------------------------------------------------------


def _weight(chain: Chain) -> int:
    """Return how much the literal says that says most of those whatever matches has."""
    return max(map(_term_weight, chain), default=0)


def _term_weight(term: Text | Choice) -> int:
    if isinstance(term, Text):
        return _telling(_literal(term).text)
    return min(map(_weight, term.arms)) if _arms(term) <= MOST_ARMS else 0


def _telling(text: str) -> int:
    """Return how much a text says: its characters, less if it is likely to be anywhere."""
    word = text.strip()
    if len(text) < LEAST:
        return 0
    return LEAST if word.lower() in _COMMON else max(LEAST, len(word))


def _arms(term: Text | Choice) -> int:
    """Return how many alternatives a term has, with those within them."""
    if isinstance(term, Text):
        return 1
    return sum(max(map(_arms, arm), default=1) for arm in term.arms)


def _groups(chain: Chain) -> tuple[tuple[Literal, ...], ...]:
    """Return the literals of what says most, and of the best choice if that says little.

    Of the texts only the best is looked for: the others are checked where it was found,
    which is cheaper than to be told of one more that stands in many lines.
    """
    weighed = [(_term_weight(term), -_arms(term), term) for term in chain]
    weighed = [one for one in weighed if one[0] >= LEAST]
    weighed.sort(key=lambda one: one[:2], reverse=True)
    chosen = weighed[:1]
    checked = sum(_term_weight(term) for term in chain if isinstance(term, Text))
    if chosen and max(chosen[0][0], checked) < _ENOUGH:
        chosen += [one for one in weighed[1:] if isinstance(one[2], Choice)][:1]
    return tuple(tuple(dict.fromkeys(_literals(term))) for _, _, term in chosen)


def _literals(term: Text | Choice) -> Iterator[Literal]:
    if isinstance(term, Text):
        yield _literal(term)
        return
    for arm in term.arms:
        yield from _literals(max(arm, key=lambda one: (_term_weight(one), -_arms(one))))


def _literal(text: Text) -> Literal:
    """Return the longest part that is one text, regardless of case if it must be."""
    exact = _longest(text.places, _is_one)
    either = _longest(text.places, lambda place: _is_one(place) or _is_letter(place))
    # "[Aa]uthentication" is found by what follows the first letter.
    if len(exact) >= max(LEAST, 2 * len(either) / 3):
        return Literal(_first_options(exact), False)
    return Literal(_first_options(either), True)


def _sure(term: Text | Choice) -> str:
    """Return the longest part of a term that is one text; empty for none."""
    return _first_options(_longest(term.places, _is_one)) if isinstance(term, Text) else ""


def _longest(places: tuple[bytes, ...], is_part: Callable[[bytes], bool]) -> tuple[bytes, ...]:
    """Return the longest run of places that are such."""
    runs = [tuple(run) for fits, run in itertools.groupby(places, is_part) if fits]
    return max(runs, key=len, default=())


def _first_options(places: Iterable[bytes]) -> str:
    return "".join(chr(place[0]) for place in places)


def _is_one(place: bytes) -> bool:
    return len(place) == 1


def _is_letter(place: bytes) -> bool:
    """Tell whether a place is one letter in either case."""
    return len(place) == 2 and place.lower() == place[1:] * 2
