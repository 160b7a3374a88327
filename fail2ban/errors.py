# SPDX-License-Identifier: GPL-2.0-or-later
"""The errors we raise on purpose; anything else that escapes is a bug."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fail2ban.records import Problem


class Fail2BanError(Exception):
    """Base of every error that a user is meant to read."""


class ConfigError(Fail2BanError):
    """The configuration, or a part of it, cannot be used.

    Attributes:
        problems: everything that was found wrong, in the order of the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


#: What a shell adds to the number of the signal that killed its program.
_KILLED = 128


class CommandError(Fail2BanError):
    """A shell command of the configuration failed or took too long.

    Attributes:
        output: what it printed, by line, safe to be shown.
        status: its exit status; None if it did not end by itself.
    """

    def __init__(self, text: str, output: Iterable[str] = (), status: int | None = None) -> None:
        self.output, self.status = tuple(output), status
        super().__init__(text)

    @property
    def in_doubt(self) -> bool:
        """Whether it may have done its work all the same: somebody killed it."""
        return self.status is None or self.status > _KILLED


class LockError(Fail2BanError):
    """The PID lock is held by a running instance, or cannot be made."""


class LogTargetError(Fail2BanError):
    """A target of the daemon's own messages cannot be opened."""


class StoreError(Fail2BanError):
    """The database cannot be used as asked."""
