# SPDX-License-Identifier: GPL-2.0-or-later
"""What REGEX and IGNOREREGEX mean: a jail, a filter, a file, or a pattern itself.

Source: jail-conf.md sections 5.2 and 14. The `usedns` of a jail is honoured, which
mends half of item 24 of section 16.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fail2ban
from fail2ban.cli.regex_arguments import Arguments
from fail2ban.config import tree_logs
from fail2ban.config.brackets import BracketError, Element, element
from fail2ban.config.definition import Definition, Use
from fail2ban.config.fetch import Fetch
from fail2ban.config.files import files_of
from fail2ban.config.merged import merge
from fail2ban.config.options import Findings
from fail2ban.config.tree_filter import LOGENCODING, filter_settings
from fail2ban.config.tree_options import COMMAND_LINE, Above, Options
from fail2ban.config.trees import Tree
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import FilterSettings, Origin, Problem, Sourced

_NAME = re.compile(r"[\w.-]+")
_JAIL_FILES = ("jail.conf", "jail.local", "jail.d")


@dataclass(frozen=True)
class Rules:
    """The patterns to try, and what the report says of where they are from.

    Attributes:
        head: label and text of each line of the report about it.
        real: the options of the filter; empty: there is none.
        says: those of "maxlines" and "datepattern" that the filter says.
        encoding: of the logs, as the jail says; empty: as usual.
        journal: alternatives, see `JournalSettings.matches`.
        problems: warnings.
    """

    filter: FilterSettings
    head: tuple[tuple[str, str], ...]
    real: Mapping[str, str] = field(default_factory=dict)
    says: frozenset[str] = frozenset()
    encoding: str = ""
    journal: tuple[tuple[str, ...], ...] = ()
    problems: tuple[Problem, ...] = ()


def find_rules(arguments: Arguments, journal: bool) -> Rules:
    """Return what REGEX means, with all that the command line says instead.

    Args:
        journal: lines come from systemd's journal.

    Raises:
        ConfigError: it cannot be read.
    """
    search = _Search(Path(arguments.config), journal)
    rules = search.find(arguments.regex)
    filter = replace(rules.filter, **_changes(arguments))
    if arguments.ignoreregex is not None:
        filter = replace(filter, ignoreregex=search.ignoring(arguments.ignoreregex))
        rules = replace(rules, head=(*rules.head, ("ignoreregex line", arguments.ignoreregex)))
    if arguments.journalmatch:
        rules = replace(rules, journal=_matches(arguments.journalmatch))
    problems = tuple(search.findings.problems())
    return replace(rules, filter=filter, problems=problems)


def _changes(arguments: Arguments) -> dict[str, Any]:
    said: dict[str, Any] = {
        "maxlines": arguments.maxlines,
        "logtimezone": arguments.timezone,
        "usedns": arguments.usedns,
        "datepattern": _lines(arguments.datepattern) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _lines(text: str) -> tuple[Sourced, ...]:
    lines = (line.strip() for line in text.split("\n"))
    return tuple(Sourced(line, COMMAND_LINE) for line in lines if line)


def _matches(text: str) -> tuple[tuple[str, ...], ...]:
    options = Options(Above(None, {}), "", COMMAND_LINE, Findings())
    return tree_logs.matches(options, _lines(text))


class _Search:
    """Looks for what an argument may name, nearest first.

    Attributes:
        findings: gets the warnings.
    """

    def __init__(self, base: Path, journal: bool) -> None:
        self.findings = Findings()
        self._base, self._backend = base, tree_logs.SYSTEMD if journal else tree_logs.AUTO
        self._tree = Tree(base, self.findings)

    def find(self, text: str) -> Rules:
        """Return what REGEX names, or the failregex that it is.

        Raises:
            ConfigError: what it names cannot be read.
        """
        found = _element(text)
        if found is None:
            return _pattern(text)
        if "/" in found.name:
            return self._of_path(found) or _pattern(text)
        name = found.name.removesuffix(".conf")
        if found.name in self._jails():
            return self._of_jail(found)
        if self._has_filter(self._base, name):
            return self._of_filter(self._tree, replace(found, name=name), self._base)
        return self._guess(text, found)

    def ignoring(self, text: str) -> tuple[Sourced, ...]:
        """Return the patterns that IGNOREREGEX is or, if it is a filter file, has."""
        if "/" in text and (found := _element(text)) and (rules := self._of_path(found)):
            return rules.filter.ignoreregex
        return (Sourced(text, COMMAND_LINE),)

    # What there is ---------------------------------------------------------------

    def _jails(self) -> list[str]:
        """Return the names of jails; a tree may have none, and a broken one may still do."""
        if not any((self._base / name).exists() for name in _JAIL_FILES):
            return []
        try:
            return self._tree.jail_names()
        except ConfigError as error:
            for problem in error.problems:
                self.findings.add(replace(problem, severity="warning"), "no jail is looked for")
            return []

    def _has_filter(self, base: Path, name: str) -> bool:
        files = (base / "filter.d" / f"{name}{suffix}" for suffix in (".conf", ".local"))
        return _NAME.fullmatch(name) is not None and any(file.exists() for file in files)

    def _guess(self, text: str, found: Element) -> Rules:
        """Take a text for a pattern; say so if it looks like a misspelled name."""
        rules = _pattern(text)
        if _NAME.fullmatch(found.name):
            folder = self._base / "filter.d"
            files = os.listdir(folder) if folder.is_dir() else []
            names = {*self._jails(), *(file.rpartition(".")[0] for file in files)}
            close = difflib.get_close_matches(found.name, sorted(names), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            remark = f"{quoted(found.name)} is no jail or filter in {self._base}{hint}"
            remark += " It is taken for a pattern" if hint else "; it is taken for a pattern"
            self.findings.add(Problem(COMMAND_LINE, "", "REGEX", remark, "warning"))
        return rules

    # Jails -----------------------------------------------------------------------

    def _of_jail(self, found: Element) -> Rules:
        fetch = self._tree.section("jail", found.name)
        jail = Options(fetch, found.name, fetch.origin, self.findings)
        head = [("jail", found.name)]
        if found.options:
            head.append(("jail/flt options", str(found.options)))
        text = jail.text("filter")
        if not text:
            raise jail.refuse("filter", "'' names no filter; expected a name as sshd")
        try:
            named = element(text)
        except BracketError as error:
            raise jail.refuse("filter", str(error), error.line) from None
        definition = self._tree.filter(
            named.name,
            {**named.options, **found.options},
            fetch,
            backend=self._backend,
            place=fetch.place("filter"),
        )
        return self._rules(definition, fetch.knowing(definition.known()), head)

    # Filters ---------------------------------------------------------------------

    def _of_filter(self, tree: Tree, found: Element, base: Path) -> Rules:
        fetch = _no_jail(found.name)
        definition = tree.filter(found.name, found.options, fetch, backend=self._backend)
        head = [("filter file", f"{found.name}, basedir: {base}"), *_options(found)]
        return self._rules(definition, fetch, head)

    def _of_path(self, found: Element) -> Rules | None:
        """Return the filter in a file; None if there is no such file.

        One in a folder "filter.d" belongs to the tree around it; any other is read
        with what it includes only.
        """
        path = Path(found.name)
        if not path.exists() and path.parts[:1] == ("filter.d",):
            path = self._base / path
        if not path.is_file():
            return None
        if path.suffix not in (".conf", ".local"):
            text = f"{quoted(found.name)} is no filter file; expected one that ends in .conf"
            raise ConfigError([Problem(COMMAND_LINE, "", "REGEX", text)])
        if path.parent.name == "filter.d":
            base = path.parent.parent
            return self._of_filter(Tree(base, self.findings), replace(found, name=path.stem), base)
        fetch = _no_jail(path.stem)
        definition = self._alone(path, found, fetch)
        return self._rules(definition, fetch, [("filter file", found.name), *_options(found)])

    def _alone(self, path: Path, found: Element, fetch: Fetch) -> Definition:
        files = files_of(path.parent, path.stem, self.findings)
        merged = merge(f"filter.d/{path.stem}", Origin(str(path)), files)
        merged.check(*merged.headers)
        logtype = "journal" if self._backend == tree_logs.SYSTEMD else "file"
        presets = {"logtype": logtype, "backend": self._backend}
        facts = {"fail2ban_version": fail2ban.__version__, "fail2ban_confpath": str(path.parent)}
        use = Use("filter", fetch, found.options, None, presets, facts)
        return Definition(merged, use, self.findings)

    def _rules(self, definition: Definition, fetch: Fetch, head: list[tuple[str, str]]) -> Rules:
        name, findings = fetch.name, self.findings
        patterns = Options(definition, name, definition.origin, findings)
        jail = Options(fetch, name, fetch.origin, findings)
        journal = tree_logs.matches(patterns, patterns.lines("journalmatch"))
        return Rules(
            filter=filter_settings(name, patterns, jail),
            head=tuple(head),
            real=_real(definition),
            says=frozenset(one for one in ("maxlines", "datepattern") if patterns.says(one)),
            encoding=jail.get(LOGENCODING),
            journal=journal,
        )


def _element(text: str) -> Element | None:
    """Return a name and its options; None for what can be none."""
    try:
        return element(text)
    except BracketError:
        return None


def _pattern(text: str) -> Rules:
    source = Sourced(text, COMMAND_LINE)
    return Rules(FilterSettings("", (source,), tagged=True), (("failregex line", text),))


def _no_jail(name: str) -> Fetch:
    """Return the jail of a filter that none uses."""
    return Fetch(merge("jail", COMMAND_LINE, []), name, {})


def _options(found: Element) -> list[tuple[str, str]]:
    return [("filter options", str(found.options))] if found.options else []


def _real(definition: Definition) -> dict[str, str]:
    """Return what a filter says besides its patterns."""
    names = [name for name in definition.options() if name not in _PATTERNS]
    return {name: value.text for name in names if (value := definition.get(name))}


_PATTERNS = ("failregex", "ignoreregex", "prefregex", "before", "after")
