# SPDX-License-Identifier: GPL-2.0-or-later
"""Which sections are to read which old logs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fail2ban.cli.flags import Flags
from fail2ban.cli.regex_arguments import Arguments
from fail2ban.cli.regex_patterns import find_rules
from fail2ban.cli.replay_logs import STDIN, fits
from fail2ban.config.loaded import Loaded
from fail2ban.detect.match import Matcher
from fail2ban.errors import ConfigError, Fail2BanError
from fail2ban.plan import Plan, make_filter, make_plan
from fail2ban.records import JailSettings


@dataclass(frozen=True)
class Reading:
    """A section, and the files that it is to read.

    Attributes:
        logs: their names.
    """

    settings: JailSettings
    filter: Matcher
    logs: tuple[str, ...]


@dataclass(frozen=True)
class Readings:
    """What is to be replayed.

    Attributes:
        age: seconds for which a ban that is over is remembered, as the database would.
        notes: what the user should know, one sentence each.
    """

    each: tuple[Reading, ...]
    age: float
    notes: tuple[str, ...] = ()


def choose(flags: Flags, names: Sequence[str], logs: Sequence[str]) -> Readings:
    """Decide who reads what.

    Args:
        names: of the sections that are to read all logs, also disabled ones; none:
            those whose own logs have the names of these. A log that fits none is for
            all that are enabled.

    Raises:
        Fail2BanError: there is nothing to do, or a section cannot be used.
    """
    enabling = replace(flags.overrides, enable=tuple(names))
    loaded = replace(flags, overrides=enabling).read()
    plan = make_plan(loaded)
    if plan.settings is None:
        raise ConfigError(plan.errors)
    known = {jail.name: jail for jail in plan.jails}
    if names:
        missing = [name for name in names if name not in known]
        if missing:
            raise _refused(missing, plan)
        wanted = {name: list(logs) for name in dict.fromkeys(names)}
        notes: list[str] = []
    else:
        wanted, notes = _by_name(loaded, plan, logs)
    readings = [_reading(flags, known[name], plan, files) for name, files in wanted.items()]
    store = plan.settings.store
    age = _AGE if store is None else store.purgeage
    return Readings(tuple(readings), age, tuple([*notes, *_left_out(plan)]))


_AGE = 86400.0


def _refused(names: Iterable[str], plan: Plan) -> Fail2BanError:
    """Say why sections cannot be replayed."""
    wanted = set(names)
    about = [one for one in plan.problems if one.section in wanted or one.origin.line == 0]
    if about:
        return ConfigError(about)
    listed = ", ".join(repr(name) for name in sorted(wanted))
    return Fail2BanError(f"there is no jail {listed} that could run; see fail2ban-client -t")


def _left_out(plan: Plan) -> list[str]:
    return [
        f"{name} is broken and left out; see fail2ban-client -t" for name in sorted(plan.broken)
    ]


# By name -----------------------------------------------------------------------------


def _by_name(
    loaded: Loaded, plan: Plan, logs: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the logs of each section, and notes about those that fit none."""
    patterns = {jail.name: _patterns(loaded, jail) for jail in plan.jails}
    if not patterns:
        raise Fail2BanError("no jail is enabled; name one, as in --jail sshd")
    wanted: dict[str, list[str]] = {name: [] for name in patterns}
    notes = []
    for log in logs:
        fitting = [name for name, own in patterns.items() if any(fits(log, one) for one in own)]
        if not fitting:
            shown = "standard input" if log == STDIN else log
            notes.append(f"no jail reads a log named as {shown}: all that are enabled read it")
        for name in fitting or patterns:
            wanted[name].append(log)
    return {name: files for name, files in wanted.items() if files}, notes


def _patterns(loaded: Loaded, jail: JailSettings) -> list[str]:
    """Return the logs of a section, also of one that has turned to the journal."""
    if jail.logs:
        return list(jail.logs)
    texts = [
        one.text
        for one in loaded.effective
        if (one.section, one.part, one.option) == (jail.name, "", "logpath")
    ]
    return [words[0] for text in texts for line in text.split("\n") if (words := line.split())]


def _reading(flags: Flags, jail: JailSettings, plan: Plan, logs: Iterable[str]) -> Reading:
    if jail.journal is None or not os.path.isdir(flags.config):
        return Reading(jail, plan.filters[jail.name], tuple(logs))
    # The patterns of one that reads the journal expect other lines than a file has.
    arguments = Arguments(config=flags.config, regex=jail.name)
    rules = find_rules(arguments, journal=False)
    jail = replace(jail, filter=rules.filter, encoding=rules.encoding, journal=None)
    return Reading(jail, make_filter(jail.filter), tuple(logs))
