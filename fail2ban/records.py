# SPDX-License-Identifier: GPL-2.0-or-later
"""The frozen records that travel between the stages.

Detection and enforcement meet only here. A configuration of either language
becomes one `Settings`; two that are equal mean the same, wherever their lines
stand (an `Origin` never takes part in a comparison).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Whom a failure is counted under and a ban is for. A text is what a pattern
#: took from a log line for an id (a session, an account, a name that is not
#: resolved): an attacker may have written it.
Id = Address | Network | str
Family = Literal["ip", "ip6"]
#: What a group of a pattern captured; several texts where a tuple was asked for.
Capture = str | tuple[str, ...]

FAMILIES: tuple[Family, Family] = ("ip", "ip6")

#: What a pattern has captured that captures nothing.
NOTHING: Mapping[str, Capture] = MappingProxyType({})


def family_of(ip: Id) -> Family | None:
    """Name the family of `ip` as `nft` does: "ip" or "ip6"; None for a text."""
    if isinstance(ip, str):
        return None
    return "ip" if ip.version == 4 else "ip6"


# What detection reports ------------------------------------------------------

# There is one of these for each line that matches. They are frozen to the type checker
# only (`Final`): a class that is frozen takes three times as long to make.


def _nothing() -> Mapping[str, Capture]:
    return NOTHING


@dataclass(slots=True)
class Failure:
    """One event that matched, on one line or on several of one connection.

    Attributes:
        jail: the section whose filter matched.
        ip: whom to blame; never an IPv4-mapped IPv6 address.
        time: when the line says it happened, seconds since the epoch.
        lines: the evidence without line ends, oldest first, at least one line;
            an attacker wrote parts of it.
        fid: what to count and ban instead, where a pattern names it apart.
        groups: what the pattern captured besides, by lower-case name; an
            attacker wrote it.
        seen: when we took its last line from the log, in seconds of a clock that
            only goes forward; 0: it was not written while we watched.
    """

    jail: Final[str]
    ip: Final[Id]
    time: Final[float]
    lines: Final[tuple[str, ...]]
    fid: Final[Id | None] = None
    groups: Final[Mapping[str, Capture]] = field(default_factory=_nothing)
    seen: Final[float] = field(default=0.0, compare=False)

    @property
    def id(self) -> Id:
        return self.ip if self.fid is None else self.fid


# What decision concludes -----------------------------------------------------


@dataclass(slots=True)
class Ticket:
    """The tracker's decision: this id has failed too often.

    Attributes:
        failures: how many failures led here.
        time: the moment of the last of them, seconds since the epoch.
        lines: the newest of their lines, oldest first.
        fid, groups, seen: see `Failure`; those of the last failure.
    """

    jail: Final[str]
    ip: Final[Id]
    failures: Final[int]
    time: Final[float]
    lines: Final[tuple[str, ...]] = ()
    fid: Final[Id | None] = None
    groups: Final[Mapping[str, Capture]] = field(default_factory=_nothing)
    seen: Final[float] = field(default=0.0, compare=False)

    @property
    def id(self) -> Id:
        return self.ip if self.fid is None else self.fid


@dataclass(slots=True)
class Ban:
    """A ticket in force until its end.

    Attributes:
        start: when it was decided, seconds since the epoch.
        end: when it is to be lifted, seconds since the epoch; None for never.
        ticket: why.
        count: how often the id has been banned, this time included.
        restored: it was decided by an earlier run of the daemon.
        prolonged: its end was moved, since its id went on failing.
    """

    start: Final[float]
    end: Final[float | None]
    ticket: Final[Ticket]
    count: Final[int] = 1
    restored: Final[bool] = False
    prolonged: Final[bool] = False

    @property
    def jail(self) -> str:
        return self.ticket.jail

    @property
    def ip(self) -> Id:
        return self.ticket.ip

    @property
    def id(self) -> Id:
        return self.ticket.id

    @property
    def family(self) -> Family | None:
        return family_of(self.ip)

    def seconds_left(self, now: float) -> int | None:
        """Return the whole seconds until the end, at least 1; None for ever."""
        return None if self.end is None else max(1, math.ceil(round(self.end - now, 3)))


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


UseDns = Literal["yes", "warn", "no", "raw"]


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
            resolve it, resolve it and warn, leave it, or ban the name itself.
        tagged: the patterns are those of a filter.d: they see the line without
            its timestamp, and know the tags of jail-conf.md section 7.1. What
            follows here is only looked at then.
        prefregex: must match before any failregex is tried.
        maxlines: lines that the patterns see at a time.
        datepattern: in order; empty: the usual ones.
        logtimezone: seconds east of Greenwich of timestamps that name no zone;
            None: local time.
    """

    section: str
    failregex: tuple[Sourced, ...]
    ignoreregex: tuple[Sourced, ...] = ()
    timeregex: Sourced | None = None
    timepattern: Sourced | None = None
    usedns: UseDns = "warn"
    tagged: bool = False
    prefregex: Sourced | None = None
    maxlines: int = 1
    datepattern: tuple[Sourced, ...] = ()
    logtimezone: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A shell command as the user wrote it, by whom it concerns.

    What the configuration can say has been put in; tags that only a ban can
    fill are left, see `enforce.tags`.

    Attributes:
        any: for what is of no family, or of every.
        ip, ip6: for one family; often equal.
    """

    any: str = ""
    ip: str = ""
    ip6: str = ""

    @classmethod
    def same(cls, text: str) -> Command:
        """Return a command that is the same for everybody."""
        return cls(text, text, text)

    def of(self, family: Family | None) -> str:
        """Return the text for a family; None: for what has none."""
        return self.any if family is None else self.ip if family == "ip" else self.ip6

    def __bool__(self) -> bool:
        """Whether it does anything for anybody."""
        return bool((self.any + self.ip + self.ip6).strip())


NO_COMMAND = Command()


@dataclass(frozen=True)
class ActionSettings:
    """One way to enforce a ban and lift it; an empty command does nothing.

    Attributes:
        name: unique within the section; for messages.
        start, stop: set up and take down what bans need. Run once, or once for
            each family if the texts differ.
        check: fails if what `start` made is gone.
        ban, unban: enforce and lift one ban.
        reban: `ban` after a repair; empty: `ban` itself.
        prolong: a ban in force lasts longer now.
        banmany, unbanmany: enforce and lift many bans: run once for all, one line
            "ADDRESS FAMILY SECONDS" each on standard input; empty: there is none.
        flush: lifts all bans at once; empty: `unban` for each.
        repair: instead of `stop` and `start`.
        reload: runs when a reload has kept this action.
        on_demand: `start` waits for the first ban, of each family apart.
        repair_on_unban: repair also if an `unban` failed.
        norestored: does not run for bans of an earlier run of the daemon.
        families: whom `ban` can ban; texts that are no address always.
        timeout: seconds a command may take before it is killed.
        mail: our own action that tells by mail; then there are no commands.
        enforces: it keeps somebody out; otherwise it only tells of a ban.
    """

    name: str = ""
    start: Command = NO_COMMAND
    stop: Command = NO_COMMAND
    check: Command = NO_COMMAND
    ban: Command = NO_COMMAND
    unban: Command = NO_COMMAND
    reban: Command = NO_COMMAND
    prolong: Command = NO_COMMAND
    banmany: Command = NO_COMMAND
    unbanmany: Command = NO_COMMAND
    flush: Command = NO_COMMAND
    repair: Command = NO_COMMAND
    reload: Command = NO_COMMAND
    on_demand: bool = False
    repair_on_unban: bool = False
    norestored: bool = False
    families: tuple[Family, ...] = FAMILIES
    timeout: float = 60.0
    mail: MailActionSettings | None = None
    enforces: bool = True


@dataclass(frozen=True)
class IgnoreSettings:
    """Whom never to ban.

    Source: jail-conf.md section 5.6.

    Attributes:
        networks: addresses and networks.
        names: host names, whose addresses are ignored.
        texts: ids that are no address, compared as they are.
        files: paths of lists that are read again when they change.
        own: this host's own addresses, too.
        command: says by its exit status 0 that the id of its tags is ignored.
        timeout: seconds that `command` may take.
        cache: a text with tags, under which answers are remembered; empty: none are.
        cache_size: answers remembered at a time.
        cache_time: seconds for which they are.
    """

    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    own: bool = True
    command: Command = NO_COMMAND
    timeout: float = 60.0
    cache: str = ""
    cache_size: int = 100
    cache_time: float = 300.0


@dataclass(frozen=True)
class GrowthSettings:
    """How bans of one who comes back grow longer.

    Source: jail-conf.md section 5.5.

    Attributes:
        factor: multiplies the result.
        formula: an expression of `fail2ban.arithmetic`; empty: double each time.
        multipliers: of the ban time, by number of earlier bans, instead of
            the formula; the last is for all that follow.
        longest: seconds; None: no limit.
        jitter: up to so many seconds are added at random, after the limit.
        all_jails: count the bans of all sections.
    """

    factor: float = 1.0
    formula: str = ""
    multipliers: tuple[float, ...] = ()
    longest: float | None = None
    jitter: float = 0.0
    all_jails: bool = False


@dataclass(frozen=True)
class JournalSettings:
    """Which entries of systemd's journal a section reads.

    Source: jail-conf.md section 5.7.

    Attributes:
        matches: alternatives, each of terms as "_SYSTEMD_UNIT=sshd.service";
            none: everything.
        path: a directory of journal files; empty: the system's.
        files: journal files or wildcards, instead of a directory.
        namespace: of the journal; empty: the default one.
        flags: as sd_journal_open takes them; None: the usual ones.
        rotated: read files that were rotated away, too.
    """

    matches: tuple[tuple[str, ...], ...] = ()
    path: str = ""
    files: tuple[str, ...] = ()
    namespace: str = ""
    flags: int | None = None
    rotated: bool = False


@dataclass(frozen=True)
class JailSettings:
    """One section: a log, a filter, its limits and its commands.

    Attributes:
        origin: the section's header line.
        enabled: False: checked, but not run.
        logs: paths or wildcards.
        filter: how a failure looks.
        actions: what a ban does, in order; lifted in the reverse order.
        maxretry: failures within `findtime` that lead to a ban.
        findtime: length of the sliding window, in seconds.
        bantime: seconds; None for a permanent ban.
        ignore: whom never to ban.
        polltime: seconds between two looks at the logs.
        tails: those of `logs` that are read from their present end on.
        encoding: of the logs, a codec of Python; empty: UTF-8.
        journal: read instead of `logs`.
        growth: None: every ban is as long as the first.
        maxmatches: lines kept of an id; None: a few.
        onstop: what becomes of its bans when the daemon ends: they are lifted, or
            kept in the firewall until it runs again.
        dryrun: show its commands instead of running them.
    """

    name: str
    origin: Origin = field(compare=False)
    enabled: bool
    logs: tuple[str, ...]
    filter: FilterSettings
    actions: tuple[ActionSettings, ...]
    maxretry: int
    findtime: float
    bantime: float | None
    ignore: IgnoreSettings
    polltime: float
    tails: frozenset[str] = frozenset()
    encoding: str = ""
    journal: JournalSettings | None = None
    growth: GrowthSettings | None = None
    maxmatches: int | None = None
    onstop: Literal["unban", "keep"] = "unban"
    dryrun: bool = False


@dataclass(frozen=True)
class MailActionSettings:
    """The built-in action that tells by mail when a section starts, stops and bans.

    Source: jail-conf.md section 9.7. A text has the tags of `enforce.tags`.

    Attributes:
        host, user, password: the server "name" or "name:port", and who we are there.
        sender_name, sender: whom the mail is from.
        to: whom it is for.
        matches: whether to add log lines, and which.
        tls: start TLS before anything is said.
    """

    host: str = "localhost"
    user: str = ""
    password: str = field(default="", repr=False)
    sender_name: str = "Fail2Ban"
    sender: str = "fail2ban"
    to: tuple[str, ...] = ("root",)
    matches: Literal["", "matches", "ipmatches", "ipjailmatches"] = ""
    tls: bool = False


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
        targets: "STDERR", "STDOUT", "SYSLOG", "SYSOUT", "SYSTEMD-JOURNAL" or
            absolute paths of files.
        syslog_target: path of a socket, "host" or "host:port".
        syslog_facility: unshifted number, 1 for user.
        verbose: 0 WARNING, 1 INFO, 2 DEBUG, 3 also file and line.
        level: numeric level of `logging`; 0: as `verbose` says.
        aligned: lines as jail-conf.md section 11 has them, with the name of the
            part that speaks; otherwise those of 0.6.
        clock: write the time; of aligned lines only.
        padding: align them.
        pattern: a format of `logging` for what follows the time, instead.
    """

    targets: tuple[str, ...] = ("/var/log/fail2ban.log",)
    syslog_target: str = "/dev/log"
    syslog_facility: int = 1
    verbose: int = 0
    level: int = 0
    aligned: bool = False
    clock: bool = True
    padding: bool = True
    pattern: str = ""


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
class StoreSettings:
    """The database, see jail-conf.md section 11.

    Attributes:
        file: its path; empty: there is none; ":memory:": it ends with us.
        maxmatches: lines kept of a ticket.
        purgeage: seconds after which a ban that is over is forgotten.
        maxsize: bytes; then the oldest of what is over is forgotten earlier.
    """

    file: str = "/var/lib/fail2ban/fail2ban.sqlite3"
    maxmatches: int = 10
    purgeage: float = 86400.0
    maxsize: int = 256 * 1024 * 1024


@dataclass(frozen=True)
class HealthSettings:
    """Who may look at the daemon without the power to steer it, and what it watches.

    Attributes:
        socket: path of a second socket that only answers questions; empty: none.
        group: whose members may use it; empty: root's alone.
        port: of the loopback interface, where the metrics are served by HTTP; 0: none.
        quiet: seconds without a match, although lines flow, after which a section
            that used to have some raises an alarm; 0: never.
        skew: seconds by which the clock of a log may be wrong.
    """

    socket: str = ""
    group: str = ""
    port: int = 0
    quiet: float = 7 * 86400.0
    skew: float = 60.0


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
        modern: bans are told in the log as `[jail] Ban IP`, which the recidive
            filter reads; otherwise in the words of 0.6.
        ipv6: ban IPv6 addresses; None: if this host speaks it.
        socket: path of the control socket; empty: none.
        store: the database; None: none.
        health: see there.
        stack_size: of each thread, in KiB; 0: the system's.
    """

    background: bool = False
    pidlock: str = "/var/run/fail2ban.pid"
    locale: str = ""
    log: LogSettings = LogSettings()
    firewall: FirewallSettings = FirewallSettings()
    mail: MailSettings | None = None
    jails: tuple[JailSettings, ...] = ()
    modern: bool = False
    ipv6: bool | None = None
    socket: str = ""
    store: StoreSettings | None = None
    health: HealthSettings = HealthSettings()
    stack_size: int = 0
