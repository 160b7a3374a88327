# SPDX-License-Identifier: GPL-2.0-or-later
"""What a careful colleague would say about a configuration tree that can be used.

Everything here is a warning, about what is enabled. Options that mean nothing are
often there for other options to refer to; only what nothing refers to is told.

Source: jail-conf.md sections 5, 7, 9.1 and 16.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from fail2ban.config.common import about_daemon, about_jail
from fail2ban.config.interpolation import references
from fail2ban.config.loaded import Effective
from fail2ban.config.tree_filter import OPTIONS as _OF_FILTER
from fail2ban.config.tree_jail import Built
from fail2ban.config.trees import Definition, Fetch, Tree
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import ActionSettings, JailSettings, Origin, Problem, Settings

_DEFAULT = "DEFAULT"

#: The options of a jail.
OF_JAIL = frozenset(
    (
        "enabled filter backend logpath skip_if_nologs systemd_if_nologs logencoding logtimezone "
        "maxretry findtime bantime maxmatches ignoreself ignoreip ignorecommand ignorecache action "
        "bantime.increment bantime.factor bantime.formula bantime.multipliers bantime.maxtime "
        "bantime.rndtime bantime.overalljails onstop dryrun"
    ).split()
) | set(_OF_FILTER)
#: What jail.conf is known to define for its own %(...)s.
_HELPERS = frozenset(
    (
        "mode banaction banaction_allports destemail sender sendername mta protocol chain port "
        "fail2ban_agent fail2ban_version fail2ban_confpath action_ action_mw action_mwl action_m "
        "action_xarf action_cf_mwl action_blocklist_de action_badips action_badips_report "
        "action_abuseipdb default_backend journalmatch"
    ).split()
)
# The keys of paths-*.conf, of which no file needs all.
_PATHS = re.compile(r".*_(?:log|logs|backend|daemon|authpriv|user|ftp|mail|local0|cfg|file)")
_OF_ACTION = frozenset(
    (
        "actionstart actionstart_on_demand actionstop actioncheck actionban actionunban actionreban "
        "actionprolong actionbanmany actionunbanmany actionflush actionreload actionrepair "
        "actionrepair_on_unban norestored timeout families"
    ).split()
)
# Whoever helps another option has a name of his own; a mistyped one differs by a letter.
_CLOSE = 0.9
_WHOM = re.compile(r"<(?:ip|fid|F-[A-Z]|ip-|raw-ticket|ipmatches|matches)|f2bV_")


def about_options(
    section: str, fetch: Fetch, known: frozenset[str], names: Iterable[str]
) -> Iterator[Problem]:
    """Warn of options of a section that mean nothing, if they look like ones that do."""
    for name in names:
        close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
        place = fetch.place(name)
        if name not in known and close and place:
            text = f"unknown option {quoted(name)}, did you mean {close[0]!r}?"
            yield _warning(place.value.origin, section, name, text)


class JailLint:
    """Says what is odd about the jails of a tree, one by one."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._used: frozenset[str] | None = None

    def about(self, fetch: Fetch, jail: JailSettings, built: Built) -> Iterator[Problem]:
        """Return the warnings about one jail that runs."""
        yield from self._unknown(fetch)
        places = {(one.part, one.option): one for one in built.effective}
        if built.filter:
            yield from _mistyped_in_filter(built.filter)
        yield from _mistyped_in_actions(built.effective)
        for action in jail.actions:
            yield from _about_action(jail, action, places)
        if jail.bantime == 0:
            text = "0 lifts every ban at once; expected a duration as 10m, or -1 for ever"
            yield _warning(places["", "bantime"].origin, jail.name, "bantime", text)
        for option, text in about_jail(jail, "actioncheck"):
            yield _warning(places["", option].origin, jail.name, option, text)

    def about_default(self) -> Iterator[Problem]:
        """Return the warnings about what all jails share."""
        try:
            default = self._tree.section("jail", _DEFAULT)
        except ConfigError:
            return
        used = self._references() | _HELPERS
        names = [name for name in default.options() if name not in used]
        yield from about_options(_DEFAULT, default, OF_JAIL, names)

    def _unknown(self, fetch: Fetch) -> Iterator[Problem]:
        meant = OF_JAIL | _HELPERS | self._references()
        for name in fetch.options():
            place = fetch.place(name)
            if place is None or name in meant or _PATHS.fullmatch(name):
                continue
            close = difflib.get_close_matches(name, sorted(OF_JAIL), n=1)
            hint = f"did you mean {close[0]!r}?" if close else "it has no effect"
            text = f"unknown option {quoted(name)}, {hint}"
            yield _warning(place.value.origin, fetch.name, name, text)

    def _references(self) -> frozenset[str]:
        """Return the names that any section of jail.conf refers to."""
        if self._used is None:
            self._used = frozenset(
                name.rpartition("/")[2]
                for section in [_DEFAULT, *self._tree.jail_names()]
                for line in self._raw(section)
                for name in references(line)
            )
        return self._used

    def _raw(self, section: str) -> Iterator[str]:
        try:
            fetch = self._tree.section("jail", section)
        except ConfigError:
            return
        for name in fetch.options():
            if place := fetch.place(name):
                yield place.value.text


def about_tree(
    base: Path, settings: Settings, others: Iterable[str], places: Mapping[str, Origin]
) -> Iterator[Problem]:
    """Return the warnings about the tree as a whole.

    Args:
        places: where options of the daemon are written.
        others: enabled jails that do not run, as was said.
    """
    if not settings.jails and not set(others):
        text = "no log is watched; expected a jail that says 'enabled = true'"
        yield _warning(Origin(str(base)), "", "", text)
    for option, text in about_daemon(settings):
        yield _warning(places.get(option, Origin(str(base))), "", option, text)


def _mistyped_in_filter(definition: Definition) -> Iterator[Problem]:
    known = frozenset(_OF_FILTER)
    for name in definition.options():
        try:
            value = definition.get(name) if _close(name, known) else None
        except ConfigError:
            continue
        if value:
            yield from _mistyped(name, value.origin, known)


def _mistyped_in_actions(effective: Iterable[Effective]) -> Iterator[Problem]:
    for one in effective:
        if one.part.startswith("action ") and one.origin.line:
            yield from _mistyped(one.option.partition("?")[0], one.origin, _OF_ACTION)


def _mistyped(name: str, origin: Origin, known: frozenset[str]) -> Iterator[Problem]:
    if close := _close(name, known):
        text = f"unknown option {quoted(name)}, did you mean {close!r}?"
        yield _warning(origin, "", name, text)


@lru_cache(maxsize=1024)  # the options of a file that many jails use
def _close(name: str, known: frozenset[str]) -> str:
    """Return the option that a name is all but equal to; empty if it is none, or one."""
    if name in known or name.startswith("_"):
        return ""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=_CLOSE)), "")


def _about_action(
    jail: JailSettings, action: ActionSettings, places: dict[tuple[str, str], Effective]
) -> Iterator[Problem]:
    ban = "\n".join((action.ban.any, action.ban.ip, action.ban.ip6))
    option = "actionban" if action.ban else "actionbanmany"
    place = places.get((f"action {action.name}", option))
    if not (action.ban or action.banmany) or place is None:
        return
    if action.enforces and action.ban and not _WHOM.search(ban):
        text = "the command does not say whom to ban; expected '<ip>' in it"
        yield _warning(place.origin, jail.name, "actionban", text)
    lifts = action.unban or action.unbanmany or action.flush
    if action.enforces and not lifts and jail.bantime is not None:
        text = f"{option} has no actionunban; expected one, or 'bantime = -1' for permanent bans"
        yield _warning(place.origin, jail.name, option, text)


def _warning(origin: Origin, section: str, option: str, text: str) -> Problem:
    return Problem(origin, section, option, text, severity="warning")
