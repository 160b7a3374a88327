# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep to ourselves what the commands of the configuration say, passwords included.

Why a ban is not in force is told with the command that failed, as the log tells it.
Whoever may only ask gets the status of the command, but not its text.
"""

from __future__ import annotations

from collections.abc import Mapping

#: The parts of answers and events in which such a text may be.
PRIVATE = frozenset({"error", "reason"})
#: What stands in its place.
HIDDEN = "a command failed; the log and the steering socket tell which"


def discreet(value: object) -> object:
    """Return an answer, as plain data, without the texts of commands."""
    if isinstance(value, Mapping):
        return {name: _part(name, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(discreet, value))
    return value


def _part(name: object, value: object) -> object:
    if name in PRIVATE and isinstance(value, str):
        return HIDDEN if value else value
    return discreet(value)
