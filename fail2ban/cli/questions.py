# SPDX-License-Identifier: GPL-2.0-or-later
"""Ask the daemon, wherever it lets us.

What most commands do without is imported when it is needed: a script may ask often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fail2ban.cli.connection import Forbidden, NoServer, ask, listen
from fail2ban.records import Settings


def answer(
    daemon: Settings, words: Sequence[str], schema: int | None, timeout: float | None = None
) -> object:
    """Return the answer to a command, see `connection.ask`.

    Who may not steer the daemon may ask at the other socket, if there is one.
    """
    try:
        return ask(daemon.socket, words, timeout, schema)
    except Forbidden:
        if (other := _other(daemon, words)) is None:
            raise
        return ask(other, words, timeout, schema)


def named(daemon: Settings, words: Sequence[str], form: str) -> dict[str, Any]:
    """Return the answer to a question as an object with named parts.

    Args:
        form: of the question, a key of `schema.SHAPES`.

    Raises:
        NoServer: the answer has not this shape.
    """
    from fail2ban.control.schema import SHAPES, VERSION, deviations

    found = answer(daemon, words, VERSION)
    if not isinstance(found, dict) or deviations(found, SHAPES[form], strict=False):
        raise NoServer("the answer of the server makes no sense; is it another version?")
    return found


def stream(daemon: Settings, words: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines that follow the answer, see `connection.listen`."""
    try:
        yield from listen(daemon.socket, words)
    except Forbidden:
        if (other := _other(daemon, words)) is None:
            raise
        yield from listen(other, words)


def _other(daemon: Settings, words: Sequence[str]) -> str | None:
    """Return the path of the socket that only answers questions; None: it is of no use."""
    from fail2ban.control.asking import QUERIES

    return daemon.health.socket if words[0] in QUERIES and daemon.health.socket else None
