# SPDX-License-Identifier: GPL-2.0-or-later
"""What the running daemon offers to whoever steers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fail2ban.enforce.tags import Counts
from fail2ban.errors import Fail2BanError
from fail2ban.records import Ban, Id, JailSettings, Problem, Settings


class NoJail(Fail2BanError):
    """There is no running section of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Sorry but the jail '{name}' does not exist")


class Refused(Fail2BanError):
    """What was asked for cannot be done; says why, and what would be right."""


@dataclass(frozen=True)
class Standing:
    """How a section stands.

    Attributes:
        counts: ids that fail and are banned, now and since the start.
        sources: the files it follows, or the matches of its journal.
        journal: whether it reads a journal.
        bans: those in force, the one that ends first first.
    """

    counts: Counts
    sources: tuple[str, ...]
    journal: bool
    bans: tuple[Ban, ...]


class Host(Protocol):
    """The running daemon; any thread but the main one may call.

    What names a section raises NoJail if there is none.
    """

    def jails(self) -> list[str]:
        """Return the names of the running sections, sorted."""

    def settings(self) -> Settings:
        """Return the settings in force."""

    def jail(self, name: str) -> JailSettings:
        """Return the settings of a section in force, changes by hand included."""

    def standing(self, name: str) -> Standing:
        """Return how a section stands."""

    def change(self, name: str, change: Callable[[JailSettings], JailSettings]) -> JailSettings:
        """Run a section with other settings from now on, until the next reload.

        Raises:
            ConfigError: a pattern cannot be used; nothing has changed.
        """

    def ban(self, name: str, ids: Sequence[Id]) -> int:
        """Ban by hand, whoever it is; return how many were not banned already."""

    def unban(self, names: Sequence[str], ids: Sequence[Id] | None) -> int:
        """Lift the bans of ids, all if None, in some sections; return how many there were.

        A network means all addresses within it, too. A section that is gone costs the
        others nothing; only if all are, NoJail is raised.
        """

    def attempt(self, name: str, ip: Id, lines: Sequence[str]) -> bool:
        """Count failures by hand, one for each line; return whether they are not ignored."""

    def reload(self) -> list[Problem]:
        """Read the configuration again; return what is to be said about it."""

    def stop(self) -> None:
        """End the daemon, soon."""

    def flush_logs(self) -> None:
        """Open the log targets again."""

    def change_log(self, level: int | None = None, target: str | None = None) -> None:
        """Log at another level, or elsewhere."""
