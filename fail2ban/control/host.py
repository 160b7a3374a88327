# SPDX-License-Identifier: GPL-2.0-or-later
"""What the running daemon offers to whoever steers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fail2ban.enforce.tags import Counts
from fail2ban.errors import Fail2BanError
from fail2ban.events import Event
from fail2ban.health.facts import Health
from fail2ban.records import Ban, Id, JailSettings, Problem, Settings, StoreSettings


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
        idle: it reads nothing at present.
    """

    counts: Counts
    sources: tuple[str, ...]
    journal: bool
    bans: tuple[Ban, ...]
    idle: bool = False


@dataclass(frozen=True)
class Held:
    """A ban that is not over.

    Attributes:
        state: "wanted", "applied" or "failed".
        error: why it is not in force, if a command said so.
    """

    ban: Ban
    state: str
    error: str = ""


@dataclass(frozen=True)
class Regard:
    """How a section sees an id.

    Attributes:
        ignored: why it never counts there; None: it does, as far as is known at once.
        times: of the failures that are remembered, in ascending order, each as often as
            it counts.
    """

    ignored: str | None = None
    times: tuple[float, ...] = ()


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

    def held(self, name: str) -> list[Held]:
        """Return the bans of a section, the one that ends first first."""

    def regard(self, name: str, id: Id) -> Regard:
        """Return how a section sees an id."""

    def why(self, id: Id) -> list[Event]:
        """Return what happened to an id, or to a network that contains it, oldest first."""

    def health(self) -> Health:
        """Return how the daemon is; it only looks at memory."""

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

    def enforce(self, name: str, action: str, id: Id, ban: bool) -> None:
        """Have the command of an action run once more, soon, for one id.

        Raises:
            Refused: it is to ban who is not banned, or to unban who is.
        """

    def idle(self, name: str, on: bool) -> None:
        """Have a section read nothing for now, or go on where it was; its bans stay."""

    def add_jail(self, settings: JailSettings) -> None:
        """Add a section, until the next reload; it reads nothing, and has no actions.

        Raises:
            Refused: there is one of this name, or its source cannot be opened.
        """

    def start_jail(self, name: str) -> None:
        """Have a section that was added, stopped or idle run; one that runs goes on.

        Raises:
            Refused: its source cannot be opened, or it is still being stopped.
        """

    def stop_jail(self, name: str) -> None:
        """End a section until it is started, or until the next reload.

        Its actions are stopped; its bans are in force again when it is back.
        """

    def reload(self, jail: str = "", restart: bool = False, unban: bool = False) -> list[Problem]:
        """Read the configuration again; return what is to be said about it.

        Args:
            jail: the section to change; empty: all.
            restart: stop sections, and start them anew: those that run.
            unban: lift their bans first.

        Raises:
            ConfigError: it cannot be used; nothing has changed.
            NoJail: the configuration has no such section.
        """

    def stop(self) -> None:
        """End the daemon, soon."""

    def flush_logs(self) -> None:
        """Open the log targets again."""

    def database(self) -> StoreSettings | None:
        """Return how the database is kept; None: there is none."""

    def change_database(self, settings: StoreSettings) -> None:
        """Keep the database otherwise, until the next reload; its file stays."""

    def change_log(self, level: int | None = None, target: str | None = None) -> None:
        """Log at another level, or elsewhere."""
