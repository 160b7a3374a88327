# SPDX-License-Identifier: GPL-2.0-or-later
"""Replace %(name)s in a value by the value of another option.

A `Scope` is what one section can see: layers of options, the nearest first.
Text is expanded line by line, so that a mistake is reported where it stands,
which may be another option, in another section, than the one that was asked for.

Source: fail2ban-conf-0.6.md section 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fail2ban.config.ini import Value
from fail2ban.config.values import quoted
from fail2ban.errors import Fail2BanError
from fail2ban.records import Problem

#: How many references may lead from a value to the text they stand for.
DEPTH = 10
#: Characters that references may bring into one value. Ten levels of doubling
#: a text would otherwise fill any memory.
GROWTH = 1 << 18

# A name ends at the next `%` at the latest: a line full of `%(` is searched once.
_TOKEN = re.compile(r"%(?:(%)|\(([^)%]+)\)s)?")
_ESCAPE = "write %% for a percent sign"


class InterpolationError(Fail2BanError):
    """A value refers to nothing, or without end."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(frozen=True)
class Place:
    """An option that was found.

    Attributes:
        section: where it is written; empty for the command line.
        option: its name there, for messages.
        literal: a `%` in it is just a character.
    """

    section: str
    option: str
    value: Value
    literal: bool = False

    def problem(self, text: str, number: int | None = None) -> Problem:
        """Make an error about this option, or about the line `number` of it."""
        origin = self.value.origin if number is None else self.value.place(number)
        return Problem(origin, self.section, self.option, text)


@dataclass(frozen=True)
class Layer:
    """Options that are looked at together.

    Attributes:
        section: where they are written, see `Place`.
        options: lower-case name -> value.
        literal: see `Place`.
        labels: what messages call an option, where that is not its name.
    """

    section: str
    options: Mapping[str, Value]
    literal: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def place(self, name: str) -> Place:
        label = self.labels.get(name, name)
        return Place(self.section, label, self.options[name], self.literal)


def references(text: str) -> set[str]:
    """Return the names that `text` refers to, in lower case."""
    return {token[2].lower() for token in _TOKEN.finditer(text) if token[2]}


@dataclass(frozen=True)
class _Expanded:
    """A text without references; `depth` and `growth` are what led to it."""

    text: str
    depth: int = 0
    growth: int = 0


@dataclass(frozen=True)
class _Spot:
    """A line of an option; `trail` names the options that led there, and itself."""

    place: Place
    number: int
    trail: tuple[str, ...]

    def error(self, text: str) -> InterpolationError:
        return InterpolationError(self.place.problem(text, self.number))


class Scope:
    """What one section can see.

    Args:
        layers: where an option is looked for, nearest first.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._known: dict[str, _Expanded] = {}

    def find(self, *names: str) -> Place | None:
        """Return the nearest option of one of these names, the first name first."""
        for layer in self._layers:
            for name in names:
                if name in layer.options:
                    return layer.place(name)
        return None

    def expand(self, place: Place) -> Value:
        """Return the value with every reference replaced.

        What a reference brings in carries the number of the line it stands in.

        Raises:
            InterpolationError: a name is unknown, a `%` stands alone, or the
                references go too deep, in a circle, or bring in too much text.
        """
        if place.literal:
            return place.value
        lines = [
            (piece, number)
            for expanded, number in self._lines(place, (place.option,))
            for piece in expanded.text.split("\n")
        ]
        return Value(tuple(lines), place.value.origin)

    def _lines(self, place: Place, trail: tuple[str, ...]) -> list[tuple[_Expanded, int]]:
        lines, growth = [], 0
        for text, number in place.value.lines:
            spot = _Spot(place, number, trail)
            expanded = self._line(text, spot, growth)
            growth = expanded.growth
            lines.append((expanded, number))
        return lines

    def _line(self, text: str, spot: _Spot, growth: int) -> _Expanded:
        """Expand one line; `growth` is that of the value so far."""
        parts, depth, end = [], 0, 0
        for token in _TOKEN.finditer(text):
            piece = self._piece(token, text, spot)
            growth += len(piece.text)
            if growth > GROWTH:
                raise spot.error(f"{quoted(token[0])} makes the text too long; refer to less")
            parts += [text[end : token.start()], piece.text]
            depth, end = max(depth, piece.depth), token.end()
        return _Expanded("".join([*parts, text[end:]]), depth, growth)

    def _piece(self, token: re.Match[str], text: str, spot: _Spot) -> _Expanded:
        if token[1]:
            return _Expanded("%")
        if token[2]:
            return self._reference(token[2].lower(), spot)
        # What stands behind the sign may be half of a password.
        secret = spot.place.option == "password"
        found = "%" if secret else text[token.start() : token.start() + 20]
        raise spot.error(f"{quoted(found)} is not '%(option)s'; {_ESCAPE}")

    def _reference(self, name: str, spot: _Spot) -> _Expanded:
        found = quoted(f"%({name})s")
        if name in spot.trail:
            circle = quoted(" -> ".join([*spot.trail, name]))
            raise spot.error(f"{found} leads back to itself, {circle}; refer to another option")
        target = self._target(name, spot) if len(spot.trail) <= DEPTH else None
        if target is None or len(spot.trail) + target.depth > DEPTH:
            expected = f"expected at most {DEPTH} references that lead from one to the next"
            raise spot.error(f"{found} leads too deep; {expected}")
        return _Expanded(target.text, target.depth + 1)

    def _target(self, name: str, spot: _Spot) -> _Expanded:
        """Return the whole text of the option `name`.

        Kept, since a few references in each of ten options multiply.
        """
        if name not in self._known:
            place = self.find(name)
            if place is None:
                raise spot.error(self._unknown(name))
            self._known[name] = self._whole(place, (*spot.trail, name))
        return self._known[name]

    def _whole(self, place: Place, trail: tuple[str, ...]) -> _Expanded:
        if place.literal:
            return _Expanded(place.value.text)
        lines = [expanded for expanded, _ in self._lines(place, trail)]
        text = "\n".join(expanded.text for expanded in lines)
        return _Expanded(text, max(expanded.depth for expanded in lines))

    def _unknown(self, name: str) -> str:
        known = {option for layer in self._layers for option in layer.options}
        close = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean '%({close[0]})s'?" if close else f"define {name!r}, or {_ESCAPE}"
        return f"{quoted(f'%({name})s')} names no option of the section or of [DEFAULT]; {hint}"
