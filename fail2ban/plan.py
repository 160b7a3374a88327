# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration made ready to run: its patterns compiled, what is broken left out."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fail2ban import collector
from fail2ban.config.loaded import Loaded
from fail2ban.detect.blank import Blank
from fail2ban.detect.compiled import Cache
from fail2ban.detect.filter import Filter
from fail2ban.detect.match import Matcher
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.errors import ConfigError
from fail2ban.records import (
    FilterSettings,
    JailSettings,
    Origin,
    Problem,
    Settings,
    StoreSettings,
)

#: The place of what is wrong with a configuration as a whole.
CONFIGURATION = Origin("configuration")
#: The folder of compiled patterns, beside the database.
COMPILED = "compiled"


@dataclass(frozen=True)
class Plan:
    """What can be run, and everything that is to be said about it.

    Attributes:
        settings: None when nothing can be run at all.
        filters: the compiled filter of each section of `settings`, by name.
        problems: errors and warnings, in the order of the file.
        broken: names of the enabled sections that were left out.
        disabled: names of the sections that are not to run.
    """

    settings: Settings | None
    filters: Mapping[str, Matcher]
    problems: tuple[Problem, ...]
    broken: frozenset[str]
    disabled: frozenset[str] = frozenset()

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def jails(self) -> list[JailSettings]:
        """The sections to run: enabled, and free of errors that matter."""
        jails = self.settings.jails if self.settings else ()
        return [jail for jail in jails if jail.enabled]

    @property
    def empty(self) -> bool:
        """Whether the configuration speaks of no section at all."""
        return not (self.jails or self.broken or self.disabled)

    @property
    def hopeless(self) -> bool:
        """Whether there is nothing to run, because of errors."""
        return self.settings is None or not self.jails and bool(self.broken)


@collector.paused()
def make_plan(loaded: Loaded) -> Plan:
    """Compile every pattern, also those of disabled sections."""
    if loaded.settings is None:
        return Plan(None, {}, loaded.problems, loaded.broken, loaded.disabled)
    filters: dict[str, Matcher] = {}
    cache = _cache_beside(loaded.settings.store)
    problems = list(loaded.problems)
    broken = set(loaded.broken)
    for jail in loaded.settings.jails:
        try:
            filters[jail.name] = make_filter(jail.filter, loaded.settings.locale, cache)
            problems += filters[jail.name].problems if jail.enabled else ()
        except ConfigError as error:
            problems += [_leaving_out(jail, problem) for problem in error.problems]
            broken.add(jail.name)
    settings = _without(loaded.settings, broken)
    left_out = frozenset(broken - loaded.disabled)
    return Plan(settings, filters, _sorted(problems), left_out, loaded.disabled)


def _cache_beside(store: StoreSettings | None) -> Cache | None:
    """Return what keeps compiled patterns, beside the database; None where there is none."""
    file = Path(store.file if store else "")
    return Cache(file.with_name(COMPILED)) if file.is_absolute() else None


def make_filter(settings: FilterSettings, locale: str = "", cache: Cache | None = None) -> Matcher:
    """Compile the patterns of a section.

    Args:
        cache: keeps what is compiled when the section begins to read.

    Raises:
        ConfigError: there is no pattern that works.
    """
    if settings.tagged:
        return TaggedFilter(settings, cache=cache)
    return Filter(settings, locale, cache)


def filter_by_hand(settings: FilterSettings, locale: str = "") -> Matcher:
    """Compile the patterns of a section that is changed by hand: it may have none yet.

    Raises:
        ConfigError: there are some, but none that works.
    """
    return make_filter(settings, locale) if settings.failregex else Blank()


def _leaving_out(jail: JailSettings, problem: Problem) -> Problem:
    """Say of an error in a pattern what follows from it, as of every other error."""
    if problem.severity == "warning":
        return problem
    return replace(problem, text=f"{problem.text}; [{jail.name}] is left out")


def objections(new: Plan, old: Plan, jail: str = "") -> list[Problem]:
    """Say why a configuration cannot take the place of the one in force, if it cannot.

    It is taken as a whole or not at all. What leaves out a section stands against it,
    and so does every other error, unless the one in force has it, too: that costs no
    more than it did. Sections that are not to run may be as broken as they like.

    Args:
        jail: the only section that is to change; empty: all.
    """
    errors = [one for one in new.errors if one.section not in new.disabled]
    if new.settings is None:
        return new.errors
    if new.empty:
        # An empty or cut file is an accident. Who wants no protection disables the
        # sections, or ends the daemon.
        return [*errors, Problem(CONFIGURATION, "", "", "there is no section")]
    if jail:
        errors = [one for one in errors if one.section in ("", jail)]
    if {jail} & new.broken if jail else new.broken:
        return errors
    known = {_without_place(one) for one in old.errors}
    return [one for one in errors if _without_place(one) not in known]


def _without_place(problem: Problem) -> tuple[str, str, str]:
    return problem.section, problem.option, problem.text


def fixed(old: Settings, new: Settings) -> list[str]:
    """Return the options that have changed and take effect at the next start only."""
    differ = {
        "background": old.background != new.background,
        "pidlock": old.pidlock != new.pidlock,
        "locale": old.locale != new.locale,
        "debug": old.firewall.dryrun != new.firewall.dryrun,
        "stacksize": old.stack_size != new.stack_size,
        "socket": old.socket != new.socket,
        "monitorsocket": old.health.socket != new.health.socket,
        "monitorgroup": old.health.group != new.health.group,
        "metricsport": old.health.port != new.health.port,
        "dbfile": _database(old) != _database(new),
        "the language": old.modern != new.modern,
    }
    return [option for option, differs in differ.items() if differs]


def _database(settings: Settings) -> str:
    return settings.store.file if settings.store else ""


def missing_logs(plan: Plan) -> list[Problem]:
    """Warn of enabled sections none of whose logs is there at the moment.

    A tree has to look at its logs when it is read, and says so then.
    """
    if plan.settings is None or plan.settings.modern:
        return []
    return [
        Problem(jail.origin, jail.name, "logfile", _nothing_there(jail), "warning")
        for jail in plan.jails
        if not any(glob.glob(path) for path in jail.logs)
    ]


def _nothing_there(jail: JailSettings) -> str:
    paths = ", ".join(repr(path) for path in jail.logs)
    return f"{paths} does not exist now; it will be read as soon as it does"


def _without(settings: Settings, broken: set[str]) -> Settings:
    jails = tuple(jail for jail in settings.jails if jail.name not in broken)
    return replace(settings, jails=jails)


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    """Put problems in the order of the file; the command line comes first."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: _place(problem.origin)))


def _place(origin: Origin) -> tuple[str, int]:
    return ("", 0) if origin.line == 0 else (origin.file, origin.line)
