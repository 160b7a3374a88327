# SPDX-License-Identifier: GPL-2.0-or-later
"""One jail of the tree.

Source: jail-conf.md sections 4.1, 5.1, 5.4 and 16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fail2ban.config import arithmetic, tree_logs, values
from fail2ban.config.brackets import BracketError, Element, element
from fail2ban.config.common import DRYRUN, ONSTOP
from fail2ban.config.loaded import Effective
from fail2ban.config.options import Findings, Option
from fail2ban.config.tree_action import Actions
from fail2ban.config.tree_action import Reader as ActionReader
from fail2ban.config.tree_filter import LOGENCODING, filter_settings
from fail2ban.config.tree_growth import growth_settings
from fail2ban.config.tree_ignore import ignore_settings
from fail2ban.config.tree_logs import Backend, Logs
from fail2ban.config.tree_options import Options, between
from fail2ban.config.trees import Definition, Fetch, Tree
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import GrowthSettings, JailSettings, JournalSettings, Problem

# Firewalls cut the names that some actions make of longer ones.
_LONGEST_NAME = 25
_POLLTIME = 1.0


def _maxretry(text: str) -> int:
    # 0 bans at the first failure, as 1 does.
    return max(1, values.integer(text))


def _maxmatches(text: str) -> int | None:
    return max(0, values.integer(text)) if text else None


MAXRETRY = Option("maxretry", _maxretry, 3)
MAXMATCHES: Option[int | None] = Option("maxmatches", _maxmatches, 5)
FINDTIME = Option("findtime", arithmetic.positive_duration, 600.0)
BANTIME: Option[float | None] = Option("bantime", arithmetic.ban_duration, 600.0)


@dataclass(frozen=True)
class Built:
    """A jail that was read.

    Attributes:
        settings: None: it is not to run for want of logs, as its section says.
        effective: every value in force of it; none if it is not to run.
        filter: None: it names none.
    """

    settings: JailSettings | None
    effective: tuple[Effective, ...]
    filter: Definition | None = None


def build(
    tree: Tree,
    fetch: Fetch,
    given: Mapping[str, tuple[str, str]],
    findings: Findings,
    ours: Iterable[str] = (),
) -> Built:
    """Read an enabled jail.

    Args:
        fetch: its section.
        given: what the command line says, see `TreeOverrides`.
        ours: logs that we write ourselves.

    Raises:
        ConfigError: it cannot run.
    """
    return _Building(tree, fetch, given, findings).built(ours)


class _Building:
    """A jail on its way."""

    def __init__(
        self, tree: Tree, fetch: Fetch, given: Mapping[str, tuple[str, str]], findings: Findings
    ) -> None:
        self._tree, self._fetch, self._given, self._findings = tree, fetch, given, findings
        self._options = self._options_of(fetch)
        self._definition: Definition | None = None

    def built(self, ours: Iterable[str]) -> Built:
        self._check_name()
        backend = tree_logs.backend(self._options)
        patterns = self._filter(backend.name)
        logs = Logs() if backend.journal else tree_logs.logs(self._options, ours)
        journal = self._journal(backend.journal, patterns)
        if backend.journal is None and self._turns_to_journal(backend, logs, patterns):
            # The filter is read anew: lines of the journal begin in another way.
            patterns = self._filter(tree_logs.SYSTEMD)
            journal = self._journal(JournalSettings(), patterns)
            text = f"{_listed(logs)} does not exist now"
            follows = "the journal is read instead, unless systemd_if_nologs is false"
            self._options.report("logpath", text, follows, severity="warning")
        if journal is None and not self._can_wait(logs):
            return Built(None, ())
        settings = self._settings(patterns, logs, journal)
        if self._definition and not settings.filter.failregex:
            text = "'' matches nothing; expected patterns, one a line"
            follows = "it finds nobody"
            patterns.report("failregex", text, follows, severity="warning")
        actions = self._actions()
        settings = replace(settings, actions=tuple(actions.settings))
        patterns.value("journalmatch")  # in force, even while files are read
        own = [*self._options.effective.values(), *patterns.effective.values()]
        return Built(settings, (*own, *actions.effective), self._definition)

    def _options_of(self, fetch: Fetch) -> Options:
        return Options(between(fetch, self._given), fetch.name, fetch.origin, self._findings)

    def _check_name(self) -> None:
        name = self._fetch.name
        if name == "--all":
            text = "'--all' means every jail; expected another name"
            raise ConfigError([Problem(self._fetch.origin, name, "", text)])
        if len(name) > _LONGEST_NAME:
            expected = f"expected at most {_LONGEST_NAME} characters"
            text = f"the name is too long for what some firewalls call a chain; {expected}"
            problem = Problem(self._fetch.origin, name, "", text, severity="warning")
            self._findings.add(problem)

    # The filter ----------------------------------------------------------------

    def _filter(self, backend: str) -> Options:
        """Read the filter; the jail's section sees it from now on."""
        found = self._named()
        if found is None:
            return Options(self._fetch, self._fetch.name, self._fetch.origin, self._findings)
        definition = self._tree.filter(
            found.name,
            found.options,
            self._fetch,
            backend=backend,
            place=self._fetch.place("filter"),
        )
        self._definition = definition
        self._fetch = self._fetch.knowing(definition.known())
        options = self._options_of(self._fetch)
        options.effective.update(self._options.effective)
        self._options = options
        part = f"filter {found.name}"
        return Options(definition, self._fetch.name, definition.origin, self._findings, part)

    def _named(self) -> Element | None:
        text = self._options.text("filter")
        if not text:
            warning = "'' names no filter; expected a name as sshd"
            self._options.report("filter", warning, severity="warning")
            return None
        try:
            found = element(text)
        except BracketError as error:
            raise self._options.refuse("filter", str(error), error.line) from None
        for remark in found.remarks:
            self._options.report("filter", remark, severity="warning")
        return found

    # What is read --------------------------------------------------------------

    def _journal(
        self, settings: JournalSettings | None, patterns: Options
    ) -> JournalSettings | None:
        if settings is None:
            return None
        lines = patterns.lines("journalmatch")
        matches = tree_logs.matches(patterns, lines)
        if not matches and settings == JournalSettings():
            text = "'' chooses nothing; expected conditions as _SYSTEMD_UNIT=sshd.service"
            follows = "every entry of the journal is read"
            patterns.report("journalmatch", text, follows, severity="warning")
        return replace(settings, matches=matches)

    def _turns_to_journal(self, backend: Backend, logs: Logs, patterns: Options) -> bool:
        """Whether a jail without any log is to read the journal instead."""
        return (
            backend.name == tree_logs.AUTO
            and self._options.truth("systemd_if_nologs", True)
            and not logs.found
            and bool(patterns.lines("journalmatch"))
        )

    def _can_wait(self, logs: Logs) -> bool:
        """Whether the jail runs if no log is there; either way it is told."""
        skips = self._options.truth("skip_if_nologs", False)
        if logs.found:
            return True
        if not logs.paths:
            text = "'' names no log; expected paths or wildcards, one a line"
            follows = "it finds nobody"
        else:
            text = f"{_listed(logs)} does not exist now"
            follows = "it will be read as soon as it does"
        if skips:
            follows = f"[{self._fetch.name}] is skipped, as skip_if_nologs says"
        self._options.report("logpath", text, follows, severity="warning")
        return not skips

    # What is done --------------------------------------------------------------

    def _settings(
        self, patterns: Options, logs: Logs, journal: JournalSettings | None
    ) -> JailSettings:
        options = self._options
        return JailSettings(
            name=self._fetch.name,
            origin=self._fetch.origin,
            enabled=True,
            logs=() if journal else logs.paths,
            filter=filter_settings(self._fetch.name, patterns, options),
            actions=(),
            maxretry=options.get(MAXRETRY),
            findtime=options.get(FINDTIME),
            bantime=options.get(BANTIME),
            ignore=ignore_settings(options),
            polltime=_POLLTIME,
            tails=frozenset() if journal else logs.tails,
            encoding=options.get(LOGENCODING),
            journal=journal,
            growth=self._growth(),
            maxmatches=options.get(MAXMATCHES),
            onstop=options.get(ONSTOP),
            dryrun=options.get(DRYRUN),
        )

    def _growth(self) -> GrowthSettings | None:
        grows = self._options.truth("bantime.increment", False)
        all_jails = self._options.truth("bantime.overalljails", False)
        growth = growth_settings(self._options, all_jails)
        return growth if grows else None

    def _actions(self) -> Actions:
        reader = ActionReader(self._tree, self._fetch, self._options, self._findings)
        actions = reader.actions()
        if not actions.settings and not actions.refused:
            text = "'' names no action; expected one as iptables[port=ssh]"
            follows = "nobody is kept out"
            self._options.report("action", text, follows, severity="warning")
        if actions.refused and not any(one.enforces for one in actions.settings):
            raise ConfigError(actions.refused)
        for problem in actions.refused:
            self._findings.add(problem, "the other actions run")
        return actions


def _listed(logs: Logs) -> str:
    return ", ".join(map(quoted, logs.paths)) or "a log"
