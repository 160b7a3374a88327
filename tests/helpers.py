# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins that many tests plug in where time, commands and records come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from fail2ban.errors import CommandError
from fail2ban.records import (
    ActionSettings,
    Command,
    Failure,
    FilterSettings,
    IgnoreSettings,
    JailSettings,
    Network,
    Origin,
    Sourced,
    Ticket,
)

NOW = 1_700_000_000.0


class FakeClock:
    """A clock that stands until it is told to move."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeShell:
    """Remembers commands instead of running them; fails when asked to.

    Attributes:
        fails: decides for each command whether it fails.
    """

    commands: list[str] = field(default_factory=list)
    variables: list[Mapping[str, str]] = field(default_factory=list)
    arguments: list[tuple[str, ...]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    feeds: list[str | None] = field(default_factory=list)
    fails: Callable[[str], bool] = lambda command: False

    def __call__(
        self,
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        if not command.strip():
            return
        self.commands.append(command)
        self.variables.append(variables)
        self.arguments.append(arguments)
        self.timeouts.append(timeout)
        self.feeds.append(feed)
        if self.fails(command):
            raise CommandError(f"'{command}' returned 256 (exit status 1)", status=1)

    def taken(self) -> list[str]:
        """Return the commands since the last call."""
        commands, self.commands = self.commands, []
        return commands


def failure(
    ip: str = "192.0.2.1", time: float = NOW, line: str = "x", jail: str = "SSH"
) -> Failure:
    return Failure(jail, ip_address(ip), time, (line,))


def ticket(ip: str = "192.0.2.1", time: float = NOW, jail: str = "SSH") -> Ticket:
    return Ticket(jail, ip_address(ip), 5, time, ("first line", "last line"))


def action(name: str = "SSH", **changes: object) -> ActionSettings:
    """Return commands that tell what they are."""
    commands = {
        "start": f"start {name}",
        "stop": f"stop {name}",
        "check": f"check {name}",
        "ban": f"ban {name} <ip>",
        "unban": f"unban {name} <ip>",
    }
    given = {
        option: Command.same(value) if isinstance(value, str) else value
        for option, value in {**commands, **changes}.items()
    }
    return ActionSettings(name=name, **given)  # type: ignore[arg-type]


def jail_settings(
    name: str = "SSH",
    maxretry: int = 3,
    findtime: float = 600.0,
    bantime: float | None = 600.0,
    ignoreip: tuple[Network, ...] = (),
) -> JailSettings:
    origin = Origin("fail2ban.conf", 1)
    return JailSettings(
        name=name,
        origin=origin,
        enabled=True,
        logs=("/var/log/auth.log",),
        filter=FilterSettings(name, (Sourced("failed from <HOST>", origin),)),
        actions=(action(name),),
        maxretry=maxretry,
        findtime=findtime,
        bantime=bantime,
        ignore=IgnoreSettings(ignoreip),
        polltime=1.0,
    )
