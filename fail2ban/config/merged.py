# SPDX-License-Identifier: GPL-2.0-or-later
"""Lay the files of one configuration name over each other.

Source: jail-conf.md sections 1 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fail2ban.config.files import INCLUDES
from fail2ban.config.ini import Ini, Value
from fail2ban.config.interpolation import Layer
from fail2ban.config.options import DEFAULT
from fail2ban.errors import ConfigError
from fail2ban.records import Origin, Problem


@dataclass(frozen=True)
class Merged:
    """All files of one name as if they were one.

    Attributes:
        name: as "jail" or "filter.d/sshd".
        origin: the file that the name comes first from.
        sections: name -> its options, in the order of the files; each `[S?c]` is a
            part of `S`, with options that are called `option?c`.
        headers: name of a section -> its first header.
        problems: the errors of lines, in the order of the files.
    """

    name: str
    origin: Origin
    sections: Mapping[str, Layer]
    headers: Mapping[str, Origin]
    problems: tuple[Problem, ...]

    def layer(self, section: str) -> Layer:
        """Return the options of a section, none if it is not written."""
        return self.sections.get(section) or Layer(section, {})

    def check(self, *sections: str) -> None:
        """Refuse these sections if lines of theirs, or of [DEFAULT], fit nothing.

        Raises:
            ConfigError: with the problems of these lines.
        """
        wanted = {"", DEFAULT, INCLUDES, *sections}
        problems = [one for one in self.problems if _unconditional(one.section) in wanted]
        if problems:
            raise ConfigError(problems)


def merge(name: str, origin: Origin, files: Iterable[Ini]) -> Merged:
    """Merge files, later ones overriding earlier ones option by option."""
    merging = _Merging()
    for one in files:
        merging.add(one)
    layers = {
        section: Layer(
            section,
            {option: values[0] for option, values in options.items()},
            older={option: values[1:] for option, values in options.items() if values[1:]},
            parameters=section == DEFAULT,
        )
        for section, options in merging.values.items()
    }
    return Merged(name, origin, layers, merging.headers, tuple(merging.problems))


def _unconditional(section: str) -> str:
    return section.partition("?")[0]


class _Merging:
    """The files of one name, while they are laid over each other.

    Attributes:
        values: section -> option -> its values, the newest first.
    """

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[Value]]] = {}
        self.headers: dict[str, Origin] = {}
        self.problems: list[Problem] = []

    def add(self, one: Ini) -> None:
        # A file that is included twice is read once, and its mistakes are told once.
        errors = [problem for problem in one.problems if problem.severity == "error"]
        self.problems += [problem for problem in errors if problem not in self.problems]
        for section in one.sections.values():
            name, _, condition = section.name.partition("?")
            self.headers.setdefault(name, section.origin)
            options = self.values.setdefault(name, {})
            for option, value in section.options.items():
                label = f"{option}?{condition.lower()}" if condition else option
                options.setdefault(label, []).insert(0, value)
