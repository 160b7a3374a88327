# SPDX-License-Identifier: GPL-2.0-or-later
"""The frozen records that travel between the stages.

Detection and enforcement meet only here. A configuration of either language
becomes one `Settings`; two that are equal mean the same, wherever their lines
stand (an `Origin` never takes part in a comparison).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Family = Literal["ip", "ip6"]

FAMILIES: tuple[Family, Family] = ("ip", "ip6")


def family_of(ip: Address) -> Family:
    """Name the family of `ip` as `nft` does: "ip" or "ip6"."""
    return "ip" if ip.version == 4 else "ip6"


# What detection reports ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """One line that matched.

    Attributes:
        jail: the section whose filter matched.
        ip: whom to blame; never an IPv4-mapped IPv6 address.
        time: when the line says it happened, seconds since the epoch.
        line: the line without its end; an attacker wrote parts of it.
    """

    jail: str
    ip: Address
    time: float
    line: str


# What decision concludes -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticket:
    """The tracker's decision: this address has failed too often.

    Attributes:
        failures: how many failures led here.
        time: the moment of the last of them, seconds since the epoch.
        lines: the newest of their lines, oldest first.
    """

    jail: str
    ip: Address
    failures: int
    time: float
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ban:
    """A ticket in force until its end.

    Attributes:
        start: when it was decided, seconds since the epoch.
        end: when it is to be lifted, seconds since the epoch; None for never.
        ticket: why.
    """

    start: float
    end: float | None
    ticket: Ticket

    @property
    def jail(self) -> str:
        return self.ticket.jail

    @property
    def ip(self) -> Address:
        return self.ticket.ip

    @property
    def family(self) -> Family:
        return family_of(self.ip)

    def seconds_left(self, now: float) -> int | None:
        """Return the whole seconds until the end, at least 1; None for ever."""
        return None if self.end is None else max(1, round(self.end - now))


# What the configuration says -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written.

    Attributes:
        file: the path as the user gave it, or "command line".
        line: counted from 1; 0 where there is no line.
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the user should know about the configuration.

    Attributes:
        origin: the place to look at.
        section: the section's name; empty for the file itself.
        option: the option's name; empty for the section itself.
        text: what was found and what would be right, one sentence.
        severity: an "error" makes `--check` fail, a "warning" does not.
    """

    origin: Origin
    section: str
    option: str
    text: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"[{self.section}] " if self.section else ""
        what = f"{self.option}: " if self.option else ""
        return f"{self.origin}: {where}{what}{self.text}"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A text of the configuration that is compiled later, and its place.

    Compiling can still fail, and the message must then name the line.
    """

    text: str
    origin: Origin = field(compare=False)


UseDns = Literal["yes", "warn", "no"]


@dataclass(frozen=True)
class FilterSettings:
    """How a failure looks.

    Attributes:
        section: for messages.
        failregex: tried in order, the first that matches decides.
        ignoreregex: a line that matches one of these is innocent.
        timeregex: finds the timestamp in the line; None: recognise it.
        timepattern: `strptime` format of what `timeregex` found, or "tai64n".
            Given if, and only if, `timeregex` is.
        usedns: what to do with a host name where an address is expected:
            resolve it, resolve it and warn, or leave it.
    """

    section: str
    failregex: tuple[Sourced, ...]
    ignoreregex: tuple[Sourced, ...] = ()
    timeregex: Sourced | None = None
    timepattern: Sourced | None = None
    usedns: UseDns = "warn"


@dataclass(frozen=True)
class ActionSettings:
    """The commands that enforce a ban and lift it; an empty one does nothing.

    Attributes:
        families: whom `ban` can ban.
        timeout: seconds a command may take before it is killed.
    """

    start: str = ""
    stop: str = ""
    check: str = ""
    ban: str = ""
    unban: str = ""
    families: tuple[Family, ...] = FAMILIES
    timeout: float = 60.0


@dataclass(frozen=True)
class JailSettings:
    """One section: a log, a filter, its limits and its commands.

    Attributes:
        origin: the section's header line.
        enabled: False: checked, but not run.
        logs: paths or wildcards.
        maxretry: failures within `findtime` that lead to a ban.
        findtime: length of the sliding window, in seconds.
        bantime: seconds; None for a permanent ban.
        ignoreip: whom never to ban, besides this host itself.
        polltime: seconds between two looks at the logs.
    """

    name: str
    origin: Origin = field(compare=False)
    enabled: bool
    logs: tuple[str, ...]
    filter: FilterSettings
    action: ActionSettings
    maxretry: int
    findtime: float
    bantime: float | None
    ignoreip: tuple[Network, ...]
    polltime: float


@dataclass(frozen=True)
class MailSettings:
    """How to tell somebody about a ban.

    Attributes:
        localtime: Date header in local time, else in UTC with "-0000".
        subject, message: texts with tags, see `enforce.tags`.
        tls: "" for none, "starttls", or "ssl" from the first byte.
        digest: seconds to collect bans for one mail; 0: one mail each.
    """

    host: str = "localhost"
    port: int = 25
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = "root"
    to: tuple[str, ...] = ("root",)
    localtime: bool = False
    subject: str = "[Fail2Ban] Banned <ip>"
    message: str = "Fail2Ban notification"
    tls: Literal["", "starttls", "ssl"] = ""
    digest: float = 0.0


@dataclass(frozen=True)
class LogSettings:
    """Where the daemon's own messages go.

    Attributes:
        targets: "STDERR", "SYSLOG" or absolute paths of files.
        syslog_target: path of a socket, "host" or "host:port".
        syslog_facility: unshifted number, 1 for user.
        verbose: 0 WARNING, 1 INFO, 2 DEBUG, 3 also file and line.
    """

    targets: tuple[str, ...] = ("/var/log/fail2ban.log",)
    syslog_target: str = "/dev/log"
    syslog_facility: int = 1
    verbose: int = 0


@dataclass(frozen=True)
class FirewallSettings:
    """What concerns the commands of all sections together.

    Attributes:
        start: run before the first section's start.
        stop: run after the last section's stop.
        polltime: seconds between the first attempts to start.
        reinittime: seconds between two repairs, and between two checks.
        maxreinits: repairs in a row before we give up; negative: never.
        dryrun: show commands instead of running them.
    """

    start: str = ""
    stop: str = ""
    polltime: float = 1.0
    reinittime: float = 100.0
    maxreinits: int = 100
    dryrun: bool = False


@dataclass(frozen=True)
class Settings:
    """A whole configuration.

    Attributes:
        background: detach from the terminal.
        pidlock: path of the PID file.
        locale: for the names of months and days in logs; empty: the environment's.
        mail: None when nobody is to be told.
        jails: every section that can be used, in the order of the file,
            the disabled ones too.
    """

    background: bool = False
    pidlock: str = "/var/run/fail2ban.pid"
    locale: str = ""
    log: LogSettings = LogSettings()
    firewall: FirewallSettings = FirewallSettings()
    mail: MailSettings | None = None
    jails: tuple[JailSettings, ...] = ()
