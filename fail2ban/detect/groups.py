# SPDX-License-Identifier: GPL-2.0-or-later
"""What the named groups of the patterns captured of a line, put together.

Source: jail-conf.md sections 7.1 (special groups) and 7.2, point 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fail2ban.detect.regextags import target
from fail2ban.records import Capture

#: Groups that say what a line is, not what stands in it.
_MARKS = frozenset({"nofail", "mlfgained", "mlfforget", "content"})


def captured(*matches: re.Match[str] | None) -> dict[str, Capture]:
    """Return what the groups of some matches captured, by lower-case name.

    A later match overrides an earlier one, also with an empty text. Then the
    first alternative that captured something stands in for what is empty, and
    what has further parts becomes a tuple with them; see `regextags.target`.
    """
    texts: dict[str, str] = {}
    for found in matches:
        if found:
            own = {name: text for name, text in found.groupdict().items() if text is not None}
            texts |= {name.lower(): own[name] for name in sorted(own)}
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
