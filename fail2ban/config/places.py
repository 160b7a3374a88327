# SPDX-License-Identifier: GPL-2.0-or-later
"""Where an option is written, and what it was before it was overridden.

Source: jail-conf.md sections 3 and 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from fail2ban.config.ini import Value
from fail2ban.records import Problem


@dataclass(frozen=True)
class Place:
    """An option that was found.

    Attributes:
        section: where it is written; empty for the command line.
        option: its name there, for messages.
        literal: a `%` in it is just a character.
        age: how many newer values of this option there are in its section.
    """

    section: str
    option: str
    value: Value
    literal: bool = False
    age: int = 0

    @cached_property
    def key(self) -> tuple[int, int]:
        """Tell values apart, even two that are written in the same line."""
        return id(self.value), self.age

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
        older: name -> the values that `options` overrides, the newest first.
        given: not written in a section, as the arguments of a jail are; nothing
            of it is `known`, except to itself.
        parameters: to others, the newest value is the `known` one already.
    """

    section: str
    options: Mapping[str, Value]
    literal: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    older: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    given: bool = False
    parameters: bool = False

    def place(self, name: str) -> Place:
        label = self.labels.get(name, name)
        return Place(self.section, label, self.options[name], self.literal)

    def places(self, name: str) -> list[Place]:
        """Return where the option is written, the newest first; [] if nowhere."""
        if name not in self.options:
            return []
        newest = self.place(name)
        older = enumerate(self.older.get(name, ()), start=1)
        return [newest, *(replace(newest, value=value, age=age) for age, value in older)]

    def has(self, place: Place, name: str) -> bool:
        """Tell whether `place` is a value of the option `name` of this layer."""
        return any(one.key == place.key for one in self.places(name))


def section_of(name: str, sections: Mapping[str, Layer]) -> Layer | None:
    """Return the section of this name, or else of one that differs in case."""
    if name in sections:
        return sections[name]
    plain = name.casefold()
    return next((layer for key, layer in sections.items() if key.casefold() == plain), None)


def known(name: str, place: Place | None, layers: Sequence[Layer]) -> Place | None:
    """Return the value that an option had before it was overridden.

    Args:
        place: where the reference stands. In a value of the same option, the next older
            one is meant; elsewhere, what the newest value of its section overrides.
    """
    places = [place for layer in layers for place in layer.places(name)]
    keys = [place.key for place in places]
    if place and place.key in keys:
        return next(iter(places[keys.index(place.key) + 1 :]), None)
    return _overridden(name, [layer for layer in layers if not layer.given])


def _overridden(name: str, layers: Sequence[Layer]) -> Place | None:
    """Return what the newest value of a section overrides, or else that value itself."""
    newest = None
    for layer in layers:
        places = layer.places(name)
        if places and (newest or layer.parameters):
            return places[0]
        if len(places) > 1:
            return places[1]
        newest = newest or (places[0] if places else None)
    return newest
