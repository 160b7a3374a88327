# SPDX-License-Identifier: GPL-2.0-or-later
"""The single file of Fail2Ban 0.6 -> `Settings`.

Every section but [DEFAULT] and [MAIL] is a jail. What is wrong is reported and
costs as little as possible: a bad number its default, a text that cannot be
expanded its section, and only a bad `cmdstart` or `cmdend`, or a line in
[DEFAULT] that fits nothing, the whole file.

Source: fail2ban-conf-0.6.md sections 1 to 4, 10, 12 and 14.
"""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fail2ban.config import batch, ini, values
from fail2ban.config import classic_options as options
from fail2ban.config.classic_options import VOCABULARY
from fail2ban.config.common import health_settings, store_settings
from fail2ban.config.ini import CLASSIC, Ini, Section, Value
from fail2ban.config.interpolation import Layer
from fail2ban.config.lint import lint
from fail2ban.config.loaded import Effective, Loaded
from fail2ban.config.options import DEFAULT, Findings, Option, Reader
from fail2ban.config.tree_growth import growth_settings
from fail2ban.records import (
    FAMILIES,
    ActionSettings,
    Command,
    Family,
    FilterSettings,
    FirewallSettings,
    GrowthSettings,
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


# The whole file --------------------------------------------------------------


@dataclass(frozen=True)
class _Limits:
    """What a jail takes from [DEFAULT] or the command line."""

    maxretry: int
    findtime: float
    bantime: float | None
    polltime: float
    usedns: UseDns
    onstop: Literal["unban", "keep"]
    dryrun: bool


class _Parsing:
    """A file on its way to become settings."""

    def __init__(self, read: Ini, overrides: Overrides) -> None:
        self.ini, self.overrides = read, overrides
        self.findings = Findings()
        self.broken: set[str] = set()
        self.disabled: set[str] = set()
        self.effective: list[Effective] = []
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
        effective = (*default.effective.values(), *self.effective)
        return Loaded(None if fatal else settings, tuple(problems), broken, disabled, effective)

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
        said = {name: Value(((text, 0),), COMMAND_LINE) for name, (text, _) in given.items()}
        labels = {name: flag for name, (_, flag) in given.items()}
        return Layer("", said, literal=True, labels=labels)

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
        firewall, store = _firewall_settings(default), store_settings(default)
        # A dry run is a trial: it leaves the place of the real one alone.
        socket = "" if firewall.dryrun else options.SOCKET.default
        return Settings(
            background=default.get(options.BACKGROUND),
            pidlock=default.get(options.PIDLOCK),
            locale=default.get(options.LOCALE),
            log=self._log(default),
            firewall=firewall,
            mail=mail,
            jails=self._jails(default),
            socket=default.get_or(options.SOCKET, socket),
            store=None if firewall.dryrun else store,
            health=health_settings(default),
        )

    def _log(self, default: Reader) -> LogSettings:
        verbose = default.get(options.VERBOSE)
        return LogSettings(
            targets=default.get(options.LOGTARGETS),
            syslog_target=default.get(options.SYSLOG_TARGET) or options.SYSLOG_TARGET.default,
            syslog_facility=default.get(options.SYSLOG_FACILITY),
            verbose=min(self.overrides.verbose or verbose, MOST_VERBOSE),
        )

    def _mail(self) -> MailSettings | None:
        if MAIL not in self.ini.sections:
            return None
        reader = self._reader(self.ini.sections[MAIL])
        enabled = self._is_enabled(reader)
        mail = _mail_settings(reader)
        self.effective += reader.effective.values()
        return mail if enabled and self._is_usable(reader) else None

    def _jails(self, default: Reader) -> tuple[JailSettings, ...]:
        limits = _limits(default)
        # Read here for its problems, even if every section has its own.
        default.addresses(options.IGNOREIP)
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
            maxretry=reader.get_or(options.MAXFAILURES, limits.maxretry),
            findtime=reader.get_or(options.FINDTIME, limits.findtime),
            bantime=reader.get_or(options.BANTIME, limits.bantime),
            ignore=IgnoreSettings(reader.addresses(options.IGNOREIP)),
            polltime=reader.get_or(options.POLLTIME, limits.polltime),
            growth=_growth(reader),
            onstop=reader.get_or(options.ONSTOP, limits.onstop),
            dryrun=reader.get_or(options.DRYRUN, limits.dryrun),
        )
        if enabled:
            self.effective += reader.effective.values()
        return jail if self._is_usable(reader) else None

    def _is_enabled(self, reader: Reader) -> bool:
        # Both are looked at, so that a bad value is reported either way.
        written = reader.get(options.ENABLED)
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
        maxretry=default.get(options.MAXFAILURES),
        findtime=default.get(options.FINDTIME),
        bantime=default.get(options.BANTIME),
        polltime=default.get(options.POLLTIME),
        usedns=default.get(options.USEDNS),
        onstop=default.get(options.ONSTOP),
        dryrun=default.get(options.DRYRUN),
    )


def _firewall_settings(default: Reader) -> FirewallSettings:
    return FirewallSettings(
        start=default.get(options.CMDSTART),
        stop=default.get(options.CMDEND),
        polltime=default.get(options.POLLTIME),
        reinittime=default.get(options.REINITTIME),
        maxreinits=default.get(options.MAXREINITS),
        dryrun=default.get(options.DEBUG),
    )


def _mail_settings(reader: Reader) -> MailSettings:
    return MailSettings(
        host=reader.get(options.HOST),
        port=reader.get(options.PORT),
        user=reader.get(options.USER),
        password=reader.get(options.PASSWORD),
        sender=reader.get(options.FROM),
        to=reader.get(options.TO),
        localtime=reader.get(options.LOCALTIME),
        subject=reader.get(options.SUBJECT),
        message=reader.get(options.MESSAGE),
        tls=reader.get(options.TLS),
        digest=reader.get(options.DIGEST),
    )


def _logs(reader: Reader, enabled: bool) -> tuple[str, ...]:
    logs = tuple(entry.text for entry in reader.lines(options.LOGFILE))
    if enabled and not logs:
        reader.refuse(options.LOGFILE, "'' names no log; expected paths or wildcards, one a line")
    return logs


def _filter(reader: Reader, limits: _Limits) -> FilterSettings:
    failregex = reader.lines(options.FAILREGEX)
    if not failregex:
        reader.refuse(options.FAILREGEX, "'' would match every line; expected patterns, one a line")
    timeregex, timepattern = _one(reader, options.TIMEREGEX), _one(reader, options.TIMEPATTERN)
    if timeregex and not timepattern:
        reader.refuse(
            options.TIMEREGEX, _unpaired(timeregex, options.TIMEPATTERN), options.TIMEPATTERN
        )
    if timepattern and not timeregex:
        reader.refuse(
            options.TIMEPATTERN, _unpaired(timepattern, options.TIMEREGEX), options.TIMEREGEX
        )
    return FilterSettings(
        section=reader.section.name,
        failregex=failregex,
        ignoreregex=reader.lines(options.IGNOREREGEX),
        timeregex=timeregex,
        timepattern=timepattern,
        usedns=reader.get_or(options.USEDNS, limits.usedns),
    )


def _growth(reader: Reader) -> GrowthSettings | None:
    grows = reader.get(options.INCREMENT)
    growth = growth_settings(reader, reader.get(options.OVERALLJAILS))
    return growth if grows else None


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
    ban, unban = reader.get(options.FWBAN), reader.get(options.FWUNBAN)
    banmany = _many(reader, options.FWBANMANY, ban)
    return ActionSettings(
        name="firewall",
        start=_set_up(reader.get(options.FWSTART)),
        stop=_set_up(reader.get(options.FWEND)),
        check=_set_up(reader.get(options.FWCHECK)),
        ban=_about_ban(ban),
        unban=_about_ban(unban),
        banmany=_about_ban(banmany),
        unbanmany=_about_ban(_many(reader, options.FWUNBANMANY, unban)),
        flush=_set_up(reader.get(options.FWFLUSH)),
        repair_on_unban=True,
        families=_families(ban or banmany),
    )


def _many(reader: Reader, option: Option[str], one: str) -> str:
    """Return the command that carries out many bans or unbans.

    Args:
        one: what carries out one of them, and stands in for a wrong one.
    """
    wrong = batch.check(line.text for line in reader.lines(option))
    if wrong is None:
        return reader.get(option)
    if one:
        reader.report(option, *wrong, "they are carried out one by one")
    else:
        reader.refuse(option, wrong[1])
    return ""


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
