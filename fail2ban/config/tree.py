# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration tree, as /etc/fail2ban, -> `Settings`.

What is wrong is reported and costs as little as possible: a bad number its
default, a broken jail, filter or action the jails that need it.

Source: jail-conf.md sections 1, 3, 5, 11 and 16.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fail2ban import collector
from fail2ban.config import tree_daemon, tree_jail
from fail2ban.config.loaded import Effective, Loaded
from fail2ban.config.options import Findings
from fail2ban.config.tree_daemon import daemon_settings
from fail2ban.config.tree_lint import JailLint, about_options, about_tree
from fail2ban.config.tree_options import COMMAND_LINE, Above, Options, between
from fail2ban.config.trees import Fetch, Tree
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import JailSettings, Origin, Problem, Settings

_JAIL, _DAEMON, _DEFINITION, _THREAD = "jail", "fail2ban", "Definition", "Thread"


@dataclass(frozen=True)
class TreeOverrides:
    """What the command line says; it stands above [DEFAULT], below a jail.

    Attributes:
        options: option -> its text and the flag that gave it, as in
            {"bantime": ("60", "-t"), "socket": ("/run/s", "-s")}; those of
            fail2ban.conf stand above everything.
        enable: names of jails to enable, in any case.
        background: detach from the terminal; None: as usual.
        verbose: how often `-v` was given.
    """

    options: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    enable: tuple[str, ...] = ()
    background: bool | None = None
    verbose: int = 0


NOTHING = TreeOverrides()


@collector.paused()
def load(base: Path, overrides: TreeOverrides = NOTHING) -> Loaded:
    """Read the tree in the folder `base`. Never raises."""
    return _Loading(base, overrides).loaded()


class _Loading:
    """A tree on its way to become settings."""

    def __init__(self, base: Path, overrides: TreeOverrides) -> None:
        self._base, self._overrides = base, overrides
        self._findings = Findings()
        self._tree = Tree(base, self._findings)
        self._lint = JailLint(self._tree)
        self._broken: set[str] = set()
        self._disabled: set[str] = set()
        self._skipped: set[str] = set()
        self._effective: list[Effective] = []
        self._own_logs: tuple[str, ...] = ()

    def loaded(self) -> Loaded:
        settings = self._daemon()
        self._own_logs = settings.log.targets
        try:
            names = self._tree.jail_names()
        except ConfigError as error:
            self._add(error, "nothing can run")
            return self._result(None)
        self._check_names(names)
        jails = [jail for name in names if (jail := self._jail(name))]
        settings = replace(settings, jails=tuple(jails))
        self._warn(self._lint.about_default())
        places = {
            one.option: one.origin for one in self._effective if not one.section and one.origin.line
        }
        self._warn(about_tree(self._base, settings, self._broken, places))
        return self._result(settings)

    def _result(self, settings: Settings | None) -> Loaded:
        problems = self._findings.problems()
        problems.sort(key=lambda problem: problem.origin != COMMAND_LINE)
        return Loaded(
            settings,
            tuple(problems),
            frozenset(self._broken),
            frozenset(self._disabled),
            tuple(self._effective),
        )

    def _add(self, error: ConfigError, consequence: str) -> None:
        for problem in error.problems:
            self._findings.add(problem, consequence)

    def _warn(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self._findings.add(problem)

    # The daemon ----------------------------------------------------------------

    def _daemon(self) -> Settings:
        """Return what concerns the daemon; what cannot be read is as usual."""
        try:
            fetch = self._tree.section(_DAEMON, _DEFINITION)
            settings = self._daemon_of(fetch)
            names = fetch.options()
            self._warn(about_options(_DEFINITION, fetch, tree_daemon.NAMES, names))
            return replace(settings, stack_size=self._stack_size())
        except ConfigError as error:
            self._add(error, "using the usual values of fail2ban.conf instead")
            return self._daemon_of(None)

    def _stack_size(self) -> int:
        fetch = self._tree.section(_DAEMON, _THREAD)
        options = Options(fetch, "", fetch.origin, self._findings, f"[{_THREAD}]")
        size = options.get(tree_daemon.STACKSIZE)
        self._effective += options.effective.values()
        return size

    def _daemon_of(self, fetch: Fetch | None) -> Settings:
        header = Origin(str(self._base / "fail2ban.conf"))
        above = Above(fetch, self._overrides.options)
        options = Options(above, "", header, self._findings)
        overrides = self._overrides
        settings = daemon_settings(options, overrides.background, overrides.verbose)
        self._effective += options.effective.values()
        return settings

    # The jails -----------------------------------------------------------------

    def _check_names(self, names: Iterable[str]) -> None:
        """Report names of the command line that no section has."""
        known = {name.casefold(): name for name in names}
        for name in self._overrides.enable:
            if name.casefold() not in known:
                close = difflib.get_close_matches(name.casefold(), known, n=1)
                hint = (
                    f"did you mean {known[close[0]]!r}?"
                    if close
                    else "expected a section of jail.conf"
                )
                text = f"there is no jail {quoted(name)}; {hint}"
                self._findings.add(Problem(COMMAND_LINE, "", "-e", text))

    def _jail(self, name: str) -> JailSettings | None:
        try:
            fetch = self._tree.section(_JAIL, name)
            return self._enabled(name, fetch)
        except ConfigError as error:
            self._broken.add(name)
            self._add(error, f"[{name}] is left out")
            return None

    def _enabled(self, name: str, fetch: Fetch) -> JailSettings | None:
        given = self._overrides.options
        options = Options(between(fetch, given), name, fetch.origin, self._findings)
        written = options.truth("enabled", False)
        wanted = name.casefold() in map(str.casefold, self._overrides.enable)
        if not (written or wanted):
            self._disabled.add(name)
            return None
        built = tree_jail.build(self._tree, fetch, given, self._findings, self._own_logs)
        self._effective += [*options.effective.values(), *built.effective]
        if built.settings is None:
            self._disabled.add(name)
            self._skipped.add(name)
            return None
        self._warn(self._lint.about(fetch, built.settings, built))
        return built.settings
