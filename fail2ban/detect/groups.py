# SPDX-License-Identifier: GPL-2.0-or-later
"""What the named groups of the patterns captured of a line, put together.

Source: jail-conf.md sections 7.1 (special groups) and 7.2, point 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fail2ban.detect.factors import parsed
from fail2ban.detect.regextags import target
from fail2ban.records import Capture

#: Groups that say what a line is, not what stands in it.
_MARKS = frozenset({"nofail", "mlfgained", "mlfforget", "content"})


class Groups:
    """The named groups of a pattern.

    Attributes:
        varied: some of them are alternatives to others, or parts of them.
    """

    def __init__(self, regex: re.Pattern[str]) -> None:
        # Of names that differ in case only the last in this order counts.
        names = sorted(regex.groupindex)
        self._keys = [name.lower() for name in names]
        self._as_written = names == self._keys
        self._numbers = [regex.groupindex[name] for name in names]
        self.varied = any(target(key)[1] for key in self._keys)

    def of(self, found: re.Match[str]) -> dict[str, str]:
        """Return what a match of the pattern captured, by lower-case name."""
        if self._as_written:
            return {key: text for key, text in found.groupdict().items() if text is not None}
        texts = found.group(0, *self._numbers)[1:]
        pairs = zip(self._keys, texts, strict=True)
        return {key: text for key, text in pairs if text is not None}


def certain(regex: re.Pattern[str]) -> frozenset[str]:
    """Return the groups that capture some text whenever a pattern matches."""
    # Of names that differ in case the last may always override the others.
    numbers = {name.lower(): regex.groupindex[name] for name in sorted(regex.groupindex)}
    return frozenset(_certain(parsed(regex.pattern, regex.flags), numbers))


def _certain(tree: Any, numbers: Mapping[str, int]) -> Iterator[str]:
    for operation, value in tree:
        if operation.name == "SUBPATTERN":
            number, _, _, inner = value
            if inner.getwidth()[0] > 0:
                yield from (name for name in numbers if numbers[name] == number)
            yield from _certain(inner, numbers)


def together(texts: dict[str, str]) -> dict[str, Capture]:
    """Return captures with what stands in for others, and with their further parts.

    The first alternative that captured something stands in for what is empty, and
    what has further parts becomes a tuple with them; see `regextags.target`.
    """
    groups: dict[str, Capture] = dict(texts)
    for name in sorted(texts):
        whose, how = target(name)
        if how == "alt" and texts[name] and not groups.get(whose):
            groups[whose] = texts[name]
    for name in sorted(texts):
        whose, how = target(name)
        if how == "tuple":
            first = groups.get(whose, "")
            groups[whose] = (*((first,) if isinstance(first, str) else first), texts[name])
    return groups


#: Characters kept of a capture; enough for any command.
LONGEST = 1000


def shown(groups: Mapping[str, Capture]) -> dict[str, Capture]:
    """Return what of the groups may interest who acts on a failure."""
    return {
        name: text[:LONGEST] if isinstance(text, str) else tuple(part[:LONGEST] for part in text)
        for name, text in groups.items()
        if name not in _MARKS and not name.startswith("skiplines")
    }
