# SPDX-License-Identifier: GPL-2.0-or-later
"""The single file of Fail2Ban 0.6 -> `Settings`.

Every section but [DEFAULT] and [MAIL] is a jail. What is wrong is reported and
costs as little as possible: a bad number its default, a text that cannot be
expanded its section, and only a bad `cmdstart` or `cmdend`, or a line in
[DEFAULT] that fits nothing, the whole file.

Source: fail2ban-conf-0.6.md sections 1 to 4, 10, 12 and 14. `ignoreregex`, `usedns`, `tls`,
`digest`, the aliases `maxretry` and `logpath`, and units of time are ours.
"""

from __future__ import annotations

import codecs
import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fail2ban.config import ini, values
from fail2ban.config.ini import CLASSIC, Ini, Section, Value
from fail2ban.config.interpolation import Layer
from fail2ban.config.lint import Vocabulary, lint
from fail2ban.config.loaded import Loaded
from fail2ban.config.options import DEFAULT, Findings, Option, Reader
from fail2ban.records import (
    FAMILIES,
    ActionSettings,
    Command,
    Family,
    FilterSettings,
    FirewallSettings,
    IgnoreSettings,
    JailSettings,
    LogSettings,
    MailSettings,
    Origin,
    Problem,
    Settings,
    Sourced,
    UseDns,
)

MAIL = "MAIL"
COMMAND_LINE = Origin("command line")
MOST_VERBOSE = 3

_IPTABLES = re.compile(r"\biptables\b")
_BOTH_FAMILIES = re.compile(r"ip6tables|<iptables>|<family>")

# What comes in and goes out --------------------------------------------------


@dataclass(frozen=True)
class Overrides:
    """What the command line says; it stands above [DEFAULT], below a section.

    Attributes:
        options: option of [DEFAULT] -> its text and the flag that gave it, as in
            {"bantime": ("60", "-t")}.
        enable: names of sections to enable, in any case; "mail" for [MAIL].
        verbose: how often `-v` was given.
    """

    options: Mapping[str, tuple[str, str]]
    enable: tuple[str, ...] = ()
    verbose: int = 0


NOTHING = Overrides({})


def load(path: Path, overrides: Overrides = NOTHING) -> Loaded:
    """Read a file; one that cannot be read is a problem, not an exception."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        text = f"cannot read it ({error.strerror}); expected a readable configuration file"
        return Loaded(None, (Problem(Origin(str(path)), "", "", text),))
    return parse(_decode(raw), str(path), overrides)


def parse(text: str, file: str, overrides: Overrides = NOTHING) -> Loaded:
    """Read the text of a file that is called `file`. Never raises."""
    return _Parsing(ini.read(text, file, CLASSIC), overrides).result()


def _decode(raw: bytes) -> str:
    """Decode UTF-8, or else Latin-1, in which every byte means something."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


# The options -----------------------------------------------------------------


_from_zero = functools.partial(values.integer_from, 0)
_from_one = functools.partial(values.integer_from, 1)
_firewall, _log, _mail = FirewallSettings(), LogSettings(), MailSettings()

BACKGROUND = Option("background", values.boolean, False)
DEBUG = Option("debug", values.boolean, _firewall.dryrun)
VERBOSE = Option("verbose", _from_zero, _log.verbose)
LOGTARGETS = Option("logtargets", values.log_targets, _log.targets)
SYSLOG_TARGET = Option("syslog-target", str, _log.syslog_target)
SYSLOG_FACILITY = Option("syslog-facility", values.facility, _log.syslog_facility)
PIDLOCK = Option("pidlock", values.some_text, Settings().pidlock)
LOCALE = Option("locale", str, Settings().locale)
# Vital: what one of them opens, the other closes.
CMDSTART = Option("cmdstart", str, _firewall.start, vital=True)
CMDEND = Option("cmdend", str, _firewall.stop, vital=True)
REINITTIME = Option("reinittime", values.duration, _firewall.reinittime)
MAXREINITS = Option("maxreinits", values.integer, _firewall.maxreinits)

POLLTIME = Option("polltime", values.positive_duration, _firewall.polltime)
MAXFAILURES = Option("maxfailures", _from_one, 5, alias="maxretry")
FINDTIME = Option("findtime", values.positive_duration, 600.0)
BANTIME: Option[float | None] = Option("bantime", values.ban_duration, 600.0)
IGNOREIP = Option("ignoreip", str, "")
USEDNS: Option[UseDns] = Option("usedns", values.use_dns, "warn")

ENABLED = Option("enabled", values.boolean, False)
LOGFILE = Option("logfile", str, "", alias="logpath")
FAILREGEX = Option("failregex", str, "")
IGNOREREGEX = Option("ignoreregex", str, "")
TIMEREGEX = Option("timeregex", str, "")
TIMEPATTERN = Option("timepattern", str, "")
FWSTART = Option("fwstart", str, "")
FWEND = Option("fwend", str, "")
FWCHECK = Option("fwcheck", str, "")
FWBAN = Option("fwban", str, "")
FWUNBAN = Option("fwunban", str, "")

HOST = Option("host", values.some_text, _mail.host)
PORT = Option("port", values.port, _mail.port)
USER = Option("user", str, _mail.user)
PASSWORD = Option("password", str, _mail.password)
FROM = Option("from", values.some_text, _mail.sender)
TO = Option("to", values.words, _mail.to)
LOCALTIME = Option("localtime", values.boolean, _mail.localtime)
SUBJECT = Option("subject", str, _mail.subject)
MESSAGE = Option("message", str, _mail.message)
TLS = Option("tls", values.tls, _mail.tls)
DIGEST = Option("digest", values.duration, _mail.digest)

_OF_DAEMON = (
    (BACKGROUND, DEBUG, VERBOSE, LOGTARGETS, SYSLOG_TARGET, SYSLOG_FACILITY)
    + (PIDLOCK, LOCALE, CMDSTART, CMDEND, REINITTIME, MAXREINITS)
)  # fmt: skip
_OF_JAIL = (
    (ENABLED, LOGFILE, FAILREGEX, IGNOREREGEX, TIMEREGEX, TIMEPATTERN, USEDNS, IGNOREIP)
    + (MAXFAILURES, FINDTIME, BANTIME, POLLTIME, FWSTART, FWEND, FWCHECK, FWBAN, FWUNBAN)
)  # fmt: skip
_OF_MAIL = (
    (ENABLED, HOST, PORT, USER, PASSWORD, FROM, TO, LOCALTIME, SUBJECT, MESSAGE, TLS, DIGEST)
)  # fmt: skip


def _names(options: Iterable[Option[object]]) -> frozenset[str]:
    return frozenset(name for option in options for name in option.names)


VOCABULARY = Vocabulary(
    daemon=_names(_OF_DAEMON),
    jail=_names(_OF_JAIL),
    mail=_names(_OF_MAIL),
    # Shipped files define these for %(...)s; they mean nothing by themselves.
    helpers=frozenset({"port", "protocol", "hostsdeny", "fwchain"}),
)


# The whole file --------------------------------------------------------------


@dataclass(frozen=True)
class _Limits:
    """What a jail takes from [DEFAULT] or the command line."""

    maxretry: int
    findtime: float
    bantime: float | None
    polltime: float
    usedns: UseDns


class _Parsing:
    """A file on its way to become settings."""

    def __init__(self, read: Ini, overrides: Overrides) -> None:
        self.ini, self.overrides = read, overrides
        self.findings = Findings()
        self.broken: set[str] = set()
        self.disabled: set[str] = set()
        self.wanted = {_plain(name) for name in overrides.enable}

    def result(self) -> Loaded:
        default = self._reader(self.ini.sections.get(DEFAULT) or self._no_default())
        self._check_names()
        self._check_lines()
        settings = self._settings(default)
        fatal = default.broken or not self.broken.isdisjoint({"", DEFAULT})
        problems = self.findings.problems() + lint(self.ini, settings, VOCABULARY)
        problems.sort(key=lambda problem: (problem.origin != COMMAND_LINE, problem.origin.line))
        broken = frozenset(self.broken - {"", DEFAULT})
        disabled = frozenset(self.disabled)
        return Loaded(None if fatal else settings, tuple(problems), broken, disabled)

    def _no_default(self) -> Section:
        return Section(DEFAULT, Origin(self.ini.file), {})

    def _reader(self, section: Section) -> Reader:
        default = self.ini.sections.get(DEFAULT) or self._no_default()
        below = [self._command_line(), Layer(DEFAULT, default.options)]
        if section.name == DEFAULT:
            return Reader(section, below, self.findings)
        name = Value(((section.name, section.origin.line),), section.origin)
        above = [Layer("", {"__name__": name}, literal=True), Layer(section.name, section.options)]
        return Reader(section, above + below, self.findings)

    def _command_line(self) -> Layer:
        given = self.overrides.options
        options = {name: Value(((text, 0),), COMMAND_LINE) for name, (text, _) in given.items()}
        labels = {name: flag for name, (_, flag) in given.items()}
        return Layer("", options, literal=True, labels=labels)

    def _check_names(self) -> None:
        """Report names of `-e` that no section has."""
        known = {_plain(name): name for name in self.ini.sections if name != DEFAULT}
        for name in self.overrides.enable:
            if _plain(name) not in known:
                close = difflib.get_close_matches(_plain(name), known, n=1)
                hint = f"did you mean {known[close[0]]!r}?" if close else _choice(known.values())
                text = f"there is no section {values.quoted(name)}; {hint}"
                self.findings.add(Problem(COMMAND_LINE, "", "-e", text))

    def _check_lines(self) -> None:
        for problem in self.ini.problems:
            self.broken.add(problem.section)
            whole = problem.section in ("", DEFAULT)
            consequence = "nothing can run" if whole else f"[{problem.section}] is left out"
            self.findings.add(problem, consequence)

    def _settings(self, default: Reader) -> Settings:
        mail = self._mail()
        return Settings(
            background=default.get(BACKGROUND),
            pidlock=default.get(PIDLOCK),
            locale=default.get(LOCALE),
            log=self._log(default),
            firewall=_firewall_settings(default),
            mail=mail,
            jails=self._jails(default),
        )

    def _log(self, default: Reader) -> LogSettings:
        verbose = default.get(VERBOSE)
        return LogSettings(
            targets=default.get(LOGTARGETS),
            syslog_target=default.get(SYSLOG_TARGET) or SYSLOG_TARGET.default,
            syslog_facility=default.get(SYSLOG_FACILITY),
            verbose=min(self.overrides.verbose or verbose, MOST_VERBOSE),
        )

    def _mail(self) -> MailSettings | None:
        if MAIL not in self.ini.sections:
            return None
        reader = self._reader(self.ini.sections[MAIL])
        enabled = self._is_enabled(reader)
        mail = _mail_settings(reader)
        return mail if enabled and self._is_usable(reader) else None

    def _jails(self, default: Reader) -> tuple[JailSettings, ...]:
        limits = _limits(default)
        # Read here for its problems, even if every section has its own.
        default.addresses(IGNOREIP)
        return tuple(
            jail
            for section in self.ini.sections.values()
            if section.name not in (DEFAULT, MAIL)
            and (jail := self._jail(self._reader(section), limits))
        )

    def _jail(self, reader: Reader, limits: _Limits) -> JailSettings | None:
        enabled = self._is_enabled(reader)
        jail = JailSettings(
            name=reader.section.name,
            origin=reader.section.origin,
            enabled=enabled,
            logs=_logs(reader, enabled),
            filter=_filter(reader, limits),
            actions=(_action(reader),),
            maxretry=reader.get_or(MAXFAILURES, limits.maxretry),
            findtime=reader.get_or(FINDTIME, limits.findtime),
            bantime=reader.get_or(BANTIME, limits.bantime),
            ignore=IgnoreSettings(reader.addresses(IGNOREIP)),
            polltime=reader.get_or(POLLTIME, limits.polltime),
        )
        return jail if self._is_usable(reader) else None

    def _is_enabled(self, reader: Reader) -> bool:
        # Both are looked at, so that a bad value is reported either way.
        written = reader.get(ENABLED)
        enabled = written or _plain(reader.section.name) in self.wanted
        if not enabled:
            self.disabled.add(reader.section.name)
        return enabled

    def _is_usable(self, reader: Reader) -> bool:
        if reader.broken:
            self.broken.add(reader.section.name)
        return reader.section.name not in self.broken


def _plain(name: str) -> str:
    """Return a section's name as `-e` knows it."""
    return name.strip().casefold()


def _choice(names: Iterable[str]) -> str:
    return f"expected one of {', '.join(sorted(names)) or 'none, since the file has no section'}"


def _limits(default: Reader) -> _Limits:
    return _Limits(
        maxretry=default.get(MAXFAILURES),
        findtime=default.get(FINDTIME),
        bantime=default.get(BANTIME),
        polltime=default.get(POLLTIME),
        usedns=default.get(USEDNS),
    )


def _firewall_settings(default: Reader) -> FirewallSettings:
    return FirewallSettings(
        start=default.get(CMDSTART),
        stop=default.get(CMDEND),
        polltime=default.get(POLLTIME),
        reinittime=default.get(REINITTIME),
        maxreinits=default.get(MAXREINITS),
        dryrun=default.get(DEBUG),
    )


def _mail_settings(reader: Reader) -> MailSettings:
    return MailSettings(
        host=reader.get(HOST),
        port=reader.get(PORT),
        user=reader.get(USER),
        password=reader.get(PASSWORD),
        sender=reader.get(FROM),
        to=reader.get(TO),
        localtime=reader.get(LOCALTIME),
        subject=reader.get(SUBJECT),
        message=reader.get(MESSAGE),
        tls=reader.get(TLS),
        digest=reader.get(DIGEST),
    )


def _logs(reader: Reader, enabled: bool) -> tuple[str, ...]:
    logs = tuple(entry.text for entry in reader.lines(LOGFILE))
    if enabled and not logs:
        reader.refuse(LOGFILE, "'' names no log; expected paths or wildcards, one a line")
    return logs


def _filter(reader: Reader, limits: _Limits) -> FilterSettings:
    failregex = reader.lines(FAILREGEX)
    if not failregex:
        reader.refuse(FAILREGEX, "'' would match every line; expected patterns, one a line")
    timeregex, timepattern = _one(reader, TIMEREGEX), _one(reader, TIMEPATTERN)
    if timeregex and not timepattern:
        reader.refuse(TIMEREGEX, _unpaired(timeregex, TIMEPATTERN), TIMEPATTERN)
    if timepattern and not timeregex:
        reader.refuse(TIMEPATTERN, _unpaired(timepattern, TIMEREGEX), TIMEREGEX)
    return FilterSettings(
        section=reader.section.name,
        failregex=failregex,
        ignoreregex=reader.lines(IGNOREREGEX),
        timeregex=timeregex,
        timepattern=timepattern,
        usedns=reader.get_or(USEDNS, limits.usedns),
    )


def _one(reader: Reader, option: Option[str]) -> Sourced | None:
    """Return a text that is a whole, whatever lines it has; None if it is empty."""
    lines = reader.lines(option)
    if not lines:
        return None
    return Sourced("\n".join(line.text for line in lines), lines[0].origin)


def _unpaired(found: Sourced, missing: Option[str]) -> str:
    return (
        f"{values.quoted(found.text)} needs a {missing.name}; "
        "expected both, or neither to have the usual formats recognised"
    )


def _action(reader: Reader) -> ActionSettings:
    ban = reader.get(FWBAN)
    return ActionSettings(
        name="firewall",
        start=_set_up(reader.get(FWSTART)),
        stop=_set_up(reader.get(FWEND)),
        check=_set_up(reader.get(FWCHECK)),
        ban=_about_ban(ban),
        unban=_about_ban(reader.get(FWUNBAN)),
        repair_on_unban=True,
        families=_families(ban),
    )


def _families(ban: str) -> tuple[Family, ...]:
    """Tell whom a command can ban: `iptables` alone knows only IPv4."""
    only_ipv4 = _IPTABLES.search(ban) and not _BOTH_FAMILIES.search(ban)
    return FAMILIES[:1] if only_ipv4 else FAMILIES


#: The tags of a ban by their classic names, and what enforcement calls them.
#: Source: fail2ban-conf-0.6.md section 7.
_BAN_TAGS = {"section": "jail.name", "failtime": "time", "bantime": "banstart"}
_TAG = re.compile(r"<([a-z]+)>")


def _set_up(text: str) -> Command:
    """Return a command of a section; one that speaks of a family is one for each."""
    return Command(text, _of_family(text, "ip"), _of_family(text, "ip6"))


def _about_ban(text: str) -> Command:
    renamed = _TAG.sub(lambda tag: f"<{_BAN_TAGS.get(tag[1], tag[1])}>", text)
    return _set_up(renamed)


def _of_family(text: str, family: Family) -> str:
    names = {"family": family, "iptables": "iptables" if family == "ip" else "ip6tables"}
    return _TAG.sub(lambda tag: names.get(tag[1], tag[0]), text)
