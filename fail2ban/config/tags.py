# SPDX-License-Identifier: GPL-2.0-or-later
"""Replace <tag> in a value by the value of another option.

The innermost tag comes first, so that `<lt_<logtype>/prefix>` can choose what it
names. A tag that nobody knows stays: a pattern has its own, a command is filled
again at run time, and `<` also redirects input.

Source: jail-conf.md section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from fail2ban.config.ini import Value
from fail2ban.config.interpolation import GROWTH, InterpolationError, Place
from fail2ban.config.values import quoted

#: How many tags may lead from a value to the text they stand for. Each takes a few
#: frames of the stack, and a tag can lead on to a percent form that leads to tags.
DEPTH = 50

_PIECE = re.compile(r"[<>]|[^<>]+")
_TAG = re.compile(r"<([^ <>]+)>")
#: Where a tag may begin in the name of another.
_NESTED = re.compile(r"<[^ <>]*<")
#: What ends a name: a tag has no blank and no other tag in it.
_NO_NAME = re.compile(r"[ <>]")


class Spot(NamedTuple):
    """A line of an option.

    Attributes:
        trail: keys and names of the values that led there, and its own.
    """

    place: Place
    number: int
    trail: tuple[tuple[tuple[int, int], str], ...]

    def error(self, text: str) -> InterpolationError:
        return InterpolationError(self.place.problem(text, self.number))


class Tags:
    """Fills the tags of values, each once.

    Args:
        refer: name of a tag, and the place where it stands -> the option it means.
        expand: option -> its value without percent forms; raises InterpolationError.
        stays: told of each tag that means nothing: its name and where it stands.
    """

    def __init__(
        self,
        refer: Callable[[str, Place], Place | None],
        expand: Callable[[Place], Value],
        stays: Callable[[str, Spot], None],
    ) -> None:
        self._refer, self._expand, self._stays = refer, expand, stays
        self._filled: dict[tuple[int, int], Value] = {}

    def fill(self, place: Place) -> Value:
        """Return the value with every tag replaced that means something.

        What a tag brings in carries the number of the line it stands in.

        Raises:
            InterpolationError: tags lead too deep, in a circle, or bring in too much.
        """
        return self._value(place, ((place.key, place.option),))

    def _value(self, place: Place, trail: tuple[tuple[tuple[int, int], str], ...]) -> Value:
        if place.key not in self._filled:
            value = self._expand(place)
            if "<" in value.text:
                value = self._made(value, place, trail)
            self._filled[place.key] = value
        return self._filled[place.key]

    def _made(
        self, value: Value, place: Place, trail: tuple[tuple[tuple[int, int], str], ...]
    ) -> Value:
        lines, growth = [], 0
        for text, number in value.lines:
            filled = text
            if "<" in text:
                filled, growth = self._line(text, Spot(place, number, trail), growth)
            lines += [(piece, number) for piece in filled.split("\n")]
        return Value(tuple(lines), value.origin)

    def _line(self, text: str, spot: Spot, growth: int) -> tuple[str, int]:
        """Fill one line; `growth` is how much was brought into the value so far."""
        if _NESTED.search(text):
            return self._nested(text, spot, growth)
        parts: list[str] = []
        end = 0
        for tag in _TAG.finditer(text):
            if (target := self._target(tag[1], spot, growth)) is not None:
                growth += len(target)
                parts += (text[end : tag.start()], target)
                end = tag.end()
        return "".join([*parts, text[end:]]), growth

    def _nested(self, text: str, spot: Spot, growth: int) -> tuple[str, int]:
        """Fill a line in which a tag may stand in the name of another."""
        line = _Line()
        for piece in _PIECE.findall(text):
            if (name := line.add(piece)) is None:
                continue
            if (target := self._target(name, spot, growth)) is None:
                line.keep()
            else:
                growth += len(target)
                line.replace(target)
        return line.text(), growth

    def _target(self, name: str, spot: Spot, growth: int) -> str | None:
        """Return what a tag is replaced with; None: it stays, and that was told."""
        target = self._meant(name, spot)
        if target is None:
            self._stays(name, spot)
        elif growth + len(target) > GROWTH:
            raise spot.error(f"{quoted(f'<{name}>')} makes the text too long; refer to less")
        return target

    def _meant(self, name: str, spot: Spot) -> str | None:
        place = self._refer(name, spot.place)
        if place is None:
            return None
        key = place.key
        if any(passed == key for passed, _ in spot.trail):
            circle = quoted(" -> ".join([*(called for _, called in spot.trail), name]))
            found = quoted(f"<{name}>")
            raise spot.error(f"{found} leads back to itself, {circle}; refer to another option")
        if len(spot.trail) > DEPTH:
            expected = f"expected at most {DEPTH} tags that lead from one to the next"
            raise spot.error(f"{quoted(f'<{name}>')} leads too deep; {expected}")
        return self._value(place, (*spot.trail, (key, name))).text


class _Line:
    """A line while its tags are replaced: pieces, and where tags may have begun."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        # Index of each `<` that is still open, and whether what follows may be a name.
        self._open: list[tuple[int, bool]] = []

    def add(self, piece: str) -> str | None:
        """Add a piece of the text; return the name of a tag that it completes.

        A caller who gets a name then calls `keep` or `replace`.
        """
        if piece == "<":
            self._open.append((len(self._pieces), True))
        self._pieces.append(piece)
        if piece == ">" and self._open:
            start, is_name = self._open[-1]
            if is_name and len(self._pieces) > start + 2:
                return "".join(self._pieces[start + 1 : -1])
            self.keep()
        elif piece != "<" and _NO_NAME.search(piece):
            self._spoil()
        return None

    def keep(self) -> None:
        """Leave the tag that was completed as it is."""
        self._open.pop()
        self._spoil()

    def replace(self, text: str) -> None:
        """Put `text` in the place of the tag that was completed."""
        start, _ = self._open.pop()
        del self._pieces[start:]
        self._pieces.append(text)
        if _NO_NAME.search(text):
            self._spoil()

    def text(self) -> str:
        return "".join(self._pieces)

    def _spoil(self) -> None:
        """Note that the tag around has something in it that no name has."""
        if self._open:
            self._open[-1] = (self._open[-1][0], False)
