# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration directory, read as far as it is asked for.

Source: jail-conf.md sections 1, 3 and 4.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

import fail2ban
from fail2ban.config.definition import Definition, Use
from fail2ban.config.fetch import Fetch
from fail2ban.config.files import INCLUDES, files_of
from fail2ban.config.interpolation import Place
from fail2ban.config.merged import Merged, merge
from fail2ban.config.options import DEFAULT, Findings
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import Origin, Problem

__all__ = ["Definition", "Fetch", "Tree"]

#: What the name of a backend starts with that reads systemd's journal.
JOURNAL = "systemd"


class Tree:
    """A configuration directory.

    Nothing raises but ConfigError, whose problems name file and line. Every file is
    read once, when it is first needed.

    Args:
        base: as /etc/fail2ban.
        findings: gets the warnings.
    """

    def __init__(self, base: Path, findings: Findings) -> None:
        self.base = base
        self._findings = findings
        self._merged: dict[str, Merged] = {}
        self._facts = {
            "fail2ban_version": fail2ban.__version__,
            "fail2ban_confpath": str(base),
        }

    def jail_names(self) -> list[str]:
        """Return the names of all jails, enabled or not, in the order of the files.

        Raises:
            ConfigError: there is no such file, one cannot be read, or lines of
                [DEFAULT] fit nothing.
        """
        merged = self._read("jail")
        merged.check()
        return [name for name in merged.headers if name not in (DEFAULT, INCLUDES)]

    def section(self, name: str, section: str) -> Fetch:
        """Return a section of "jail" or "fail2ban".

        One that is not written has the options of [DEFAULT].

        Raises:
            ConfigError: as for `jail_names`, also of lines of this section.
        """
        merged = self._read(name)
        merged.check(section)
        return Fetch(merged, section, self._facts)

    def filter(
        self,
        name: str,
        arguments: Mapping[str, str],
        jail: Fetch,
        *,
        backend: str = "auto",
        place: Place | None = None,
    ) -> Definition:
        """Return filter.d/`name`, as `jail` uses it.

        Args:
            arguments: name, as written -> text.
            jail: what it says itself stands before what the filter says.
            backend: the one really used; the lines of a journal look different.
            place: where the arguments are written, each with the line of its origin.

        Raises:
            ConfigError: it is missing or cannot be read, or lines of it fit nothing.
        """
        logtype = "journal" if backend.startswith(JOURNAL) else "file"
        presets = {"logtype": logtype, "backend": backend}
        use = Use("filter", jail, arguments, place, presets, self._facts)
        return self._definition(name, use)

    def action(
        self,
        name: str,
        arguments: Mapping[str, str],
        jail: Fetch,
        *,
        place: Place | None = None,
    ) -> Definition:
        """Return action.d/`name`, as `jail` uses it; see `filter`.

        Args:
            arguments: also `name` and `actname`, which are otherwise the names of the
                jail and of the file.
            jail: what an action can see of it; the one that knows its filter.
        """
        given = {"name": jail.name, "actname": name, **arguments}
        return self._definition(name, Use("action", jail, given, place, {}, self._facts))

    def _definition(self, name: str, use: Use) -> Definition:
        merged = self._read(f"{use.kind}.d/{name}", use)
        merged.check(*merged.headers)
        return Definition(merged, use, self._findings)

    def _read(self, name: str, use: Use | None = None) -> Merged:
        if name not in self._merged:
            files = files_of(self.base, name, self._findings)
            if not files:
                raise ConfigError([self._missing(name, use)])
            own = next((one for one in files if one.file.startswith(f"{self.base / name}.")), None)
            self._merged[name] = merge(name, Origin((own or files[0]).file), files)
        return self._merged[name]

    def _missing(self, name: str, use: Use | None) -> Problem:
        folder, _, short = name.rpartition("/")
        there = {Path(one).stem for one in _entries(self.base / folder)}
        close = difflib.get_close_matches(short, sorted(there), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "write that file"
        text = f"there is no file {quoted(f'{name}.conf')} in {self.base}; {hint}"
        if use and use.place:
            return use.place.problem(text)
        return Problem(Origin(str(self.base / f"{name}.conf")), "", "", text)


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
