# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetch the options of one section of a configuration tree.

Source: jail-conf.md sections 3 and 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fail2ban.config.ini import Value
from fail2ban.config.interpolation import Layer, Place, Scope
from fail2ban.config.merged import Merged
from fail2ban.config.options import DEFAULT
from fail2ban.records import Origin


class Lazy(Mapping[str, Value]):
    """Values that are made when they are asked for, each once.

    Args:
        names: the options there are.
        make: name -> its value.
    """

    def __init__(self, names: frozenset[str], make: Callable[[str], Value]) -> None:
        self._names, self._make = names, make
        self._made: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Fetch:
    """The options of one section.

    Args:
        facts: what a percent form can say besides options, as `__name__`.
        known: what `%(known/x)s` sees before older values.

    Attributes:
        name: of the section.
        origin: its first header, or where there is none the file.
    """

    def __init__(
        self, merged: Merged, name: str, facts: Mapping[str, str], known: Layer | None = None
    ) -> None:
        self.name = name
        self.origin = merged.headers.get(name, merged.origin)
        self._merged, self._facts = merged, facts
        self._own = merged.layer(name)
        written = [self._own] if name == DEFAULT else [self._own, merged.layer(DEFAULT)]
        self._scope = Scope([fact_layer(name, facts), *written], merged.sections, known)
        self._written = Scope(written)

    def get(self, option: str) -> Value | None:
        """Return an option of the section or of [DEFAULT], with percent forms replaced.

        Raises:
            InterpolationError: a ConfigError with one problem.
        """
        place = self.place(option)
        return self._scope.expand(place) if place else None

    def place(self, option: str) -> Place | None:
        """Return where the option is written, as it is written; None if nowhere."""
        return self._written.find(option)

    def options(self) -> list[str]:
        """Return the names of the section's own options, in the order of the files."""
        return list(self._own.options)

    def knowing(self, known: Layer) -> Fetch:
        """Return the same section, whose `%(known/x)s` sees `known` first: its filter."""
        return Fetch(self._merged, self.name, self._facts, known)


def fact_layer(section: str, facts: Mapping[str, str]) -> Layer:
    """Return what nobody writes, but a percent form can say."""
    said = {"__name__": section, **facts}
    options = {name: Value(((text, 0),), Origin("built-in")) for name, text in said.items()}
    return Layer("", options, literal=True, given=True)
