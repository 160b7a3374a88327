# SPDX-License-Identifier: GPL-2.0-or-later
"""Find those for whom a command fails that is run for many at once.

Which of them are to blame a command does not say. So those of a failure are tried
again in halves, until each is done or has failed alone; but not for ever, where
nothing works at present.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from fail2ban.errors import CommandError

T = TypeVar("T")

#: Failures in a row after which the rest is not tried. To find one of a million takes 20.
ENOUGH = 40
#: As how many failures one counts that took until somebody killed the command.
HUNG = 10


class Patience:
    """Ends where one command after the other fails.

    Attributes:
        refusal: what has become of those that are not tried any more; None: all are.
    """

    def __init__(self) -> None:
        self.refusal: CommandError | None = None
        self._strikes = 0

    def note(self, error: CommandError | None) -> None:
        """Note how a command failed; None: it has done something."""
        if error is None:
            self._strikes = 0
            return
        self._strikes += HUNG if error.status is None else 1
        if self._strikes >= ENOUGH:
            text = f"not tried, since one command after the other has failed: {error}"
            self.refusal = CommandError(text, status=error.status)


def in_halves(items: Sequence[T], run: Callable[[Sequence[T]], None]) -> list[CommandError | None]:
    """Run a command for many, and for smaller parts of them as long as it fails.

    It has to bear that some get their turn again: nobody knows how far a failed one came.

    Args:
        run: raises CommandError.

    Returns:
        what has become of each; None: it is done.
    """
    outcomes: list[CommandError | None] = []
    left, patience = [items] if items else [], Patience()
    while left:
        some = left.pop()
        if patience.refusal is not None:
            outcomes += [patience.refusal] * len(some)
            continue
        error = outcome(run, some)
        patience.note(error)
        if error is not None and len(some) > 1:
            middle = len(some) // 2
            left += [some[middle:], some[:middle]]
        else:
            outcomes += [error] * len(some)
    return outcomes


def outcome(command: Callable[[T], None], about: T) -> CommandError | None:
    """Run a command; return how it failed, or None if it did not."""
    try:
        command(about)
    except CommandError as error:
        return error
    return None
