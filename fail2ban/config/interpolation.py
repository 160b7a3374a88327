# SPDX-License-Identifier: GPL-2.0-or-later
"""Replace %(name)s in a value by the value of another option.

A `Scope` is what one section can see: layers of options, the nearest first.
Text is expanded line by line, so that a mistake is reported where it stands,
which may be another option, in another section, than the one that was asked for.

%(known/name)s is the value that an option had before: the next older one if the
text is itself a value of that option, so that a chain of overrides has any length.
%(default/name)s and %(section/name)s name the section to look in.

Source: fail2ban-conf-0.6.md section 1, jail-conf.md sections 3 and 4.1, with the
defects 4 and 5 of its section 16 mended.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fail2ban.config.ini import Value
from fail2ban.config.places import Layer, Place, known, section_of
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import Problem

__all__ = ["Layer", "Place", "Scope", "InterpolationError", "references"]

#: How many references may lead from a value to the text they stand for.
DEPTH = 10
#: How many overrides of one option `known` goes back, which count as no reference.
AGES = 50
#: Characters that references may bring into one value. Ten levels of doubling
#: a text would otherwise fill any memory.
GROWTH = 1 << 18

# A name ends at the next `%` at the latest: a line full of `%(` is searched once.
_TOKEN = re.compile(r"%(?:(%)|\(([^)%]+)\)s)?")
_ESCAPE = "write %% for a percent sign"


class InterpolationError(ConfigError):
    """A value refers to nothing, or without end."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__([problem])


def references(text: str) -> set[str]:
    """Return the names that `text` refers to, in lower case."""
    return {token[2].lower() for token in _TOKEN.finditer(text) if token[2]}


class _Expanded(NamedTuple):
    """A text without references; `depth` and `growth` are what led to it."""

    text: str
    depth: int = 0
    growth: int = 0


class _Step(NamedTuple):
    """A value that was gone to, and the name by which it was called.

    Attributes:
        back: it is an older value of an option.
    """

    key: tuple[int, int]
    name: str
    back: bool = False


class _Spot(NamedTuple):
    """A line of an option; `trail` names the values that led there, and itself."""

    place: Place
    number: int
    trail: tuple[_Step, ...]

    def error(self, text: str) -> InterpolationError:
        return InterpolationError(self.place.problem(text, self.number))


class Scope:
    """What one section can see.

    Args:
        layers: where an option is looked for, nearest first.
        sections: the others, which %(section/name)s can see.
        filter: what is `known` before anything else: the filter of a jail.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        sections: Mapping[str, Layer] | None = None,
        filter: Layer | None = None,
    ) -> None:
        self._layers = tuple(layers)
        self._sections = sections or {}
        self._filter = filter
        self._known: dict[tuple[int, int], _Expanded] = {}
        self._found: dict[tuple[str, ...], Place | None] = {}

    def find(self, *names: str) -> Place | None:
        """Return the nearest option of one of these names, the first name first."""
        if names not in self._found:
            self._found[names] = self._search(names)
        return self._found[names]

    def _search(self, names: Sequence[str]) -> Place | None:
        for layer in self._layers:
            for name in names:
                if name in layer.options:
                    return layer.place(name)
        return None

    def refer(self, name: str, place: Place | None = None) -> Place | None:
        """Return what a reference means that stands in `place`.

        Args:
            name: as written, maybe with a section. Its case counts only where two names
                differ in nothing else.
            place: where it stands, for `known`.
        """
        head, slash, tail = name.rpartition("/")
        if found := self.find(name, name.lower()):
            return found
        if not slash:
            return None
        option = tail.lower()
        if head.lower() == "known":
            return self._before(option, place)
        layer = section_of(head, self._sections)
        if head.lower() == "default" or (layer and option not in layer.options):
            layer = next(iter(self._default()), None)
        return layer.place(option) if layer and option in layer.options else None

    def _default(self) -> list[Layer]:
        return [layer for name, layer in self._sections.items() if name == "DEFAULT"]

    def _before(self, name: str, place: Place | None) -> Place | None:
        """Return the value that the option had before the one that `place` is in."""
        if self._filter and name in self._filter.options:
            return self._filter.place(name)
        home = self._sections.get(place.section) if place else None
        if home and place and home.has(place, name) and not self._has(place, name):
            # The text comes from another section, which has a past of its own.
            return known(name, place, [home, *self._default()])
        return known(name, place, self._layers)

    def _has(self, place: Place, name: str) -> bool:
        return any(layer.has(place, name) for layer in self._layers)

    def expand(self, place: Place) -> Value:
        """Return the value with every reference replaced.

        What a reference brings in carries the number of the line it stands in.

        Raises:
            InterpolationError: a name is unknown, a `%` stands alone, or the
                references go too deep, in a circle, or bring in too much text.
        """
        if place.literal or "%" not in place.value.text:
            return place.value
        lines = [
            (piece, number)
            for expanded, number in self._lines(place, (_Step(place.key, place.option),))
            for piece in expanded.text.split("\n")
        ]
        return Value(tuple(lines), place.value.origin)

    def _lines(self, place: Place, trail: tuple[_Step, ...]) -> list[tuple[_Expanded, int]]:
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
            return self._reference(token[2], spot)
        # What stands behind the sign may be half of a password.
        secret = spot.place.option == "password"
        found = "%" if secret else text[token.start() : token.start() + 20]
        raise spot.error(f"{quoted(found)} is not '%(option)s'; {_ESCAPE}")

    def _reference(self, name: str, spot: _Spot) -> _Expanded:
        place = self.refer(name, spot.place)
        if place is None:
            raise spot.error(self._unknown(name))
        key = place.key
        found = f"%({name.lower()})s"
        if any(step.key == key for step in spot.trail):
            names = [step.name for step in spot.trail]
            circle = quoted(" -> ".join([*names, name.lower()]))
            text = f"{quoted(found)} leads back to itself, {circle}; refer to another option"
            raise spot.error(text)
        back = name.lower().startswith("known/")
        taken = sum(not step.back for step in spot.trail) + (not back)
        within = taken <= DEPTH + 1 and len(spot.trail) <= DEPTH + AGES
        step = _Step(key, name.lower(), back)
        target = self._target(place, (*spot.trail, step)) if within else None
        if target is None or taken + target.depth > DEPTH + 1:
            expected = f"expected at most {DEPTH} references that lead from one to the next"
            raise spot.error(f"{quoted(found)} leads too deep; {expected}")
        return _Expanded(target.text, target.depth + (not back))

    def _target(self, place: Place, trail: tuple[_Step, ...]) -> _Expanded:
        """Return the whole text of `place`.

        Kept, since a few references in each of ten options multiply.
        """
        if place.key not in self._known:
            self._known[place.key] = self._whole(place, trail)
        return self._known[place.key]

    def _whole(self, place: Place, trail: tuple[_Step, ...]) -> _Expanded:
        if place.literal or "%" not in place.value.text:
            return _Expanded(place.value.text)
        lines = [expanded for expanded, _ in self._lines(place, trail)]
        text = "\n".join(expanded.text for expanded in lines)
        return _Expanded(text, max(expanded.depth for expanded in lines))

    def _unknown(self, name: str) -> str:
        options = {option for layer in self._layers for option in layer.options}
        close = difflib.get_close_matches(name.lower(), sorted(options), n=1)
        hint = f"did you mean '%({close[0]})s'?" if close else f"define {name!r}, or {_ESCAPE}"
        found = quoted(f"%({name.lower()})s")
        return f"{found} names no option of the section or of [DEFAULT]; {hint}"
