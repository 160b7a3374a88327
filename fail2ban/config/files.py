# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the files of one configuration name, with what they include, in their order.

Source: jail-conf.md section 1.
"""

from __future__ import annotations

import codecs
import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from fail2ban.config import ini
from fail2ban.config.ini import TREE, Ini
from fail2ban.config.interpolation import Layer, Scope
from fail2ban.config.options import DEFAULT, Findings
from fail2ban.config.values import quoted
from fail2ban.errors import ConfigError
from fail2ban.records import Origin, Problem

INCLUDES = "INCLUDES"
#: Bytes that a file may have: enough for any configuration, and `/dev/zero` ends.
LARGEST = 1 << 24
#: Files that one name may read, one that is included twice counted twice. Each of
#: twenty files that includes the next one twice would otherwise make a million.
MOST = 1000
#: Files of which each includes the next.
DEEPEST = 50


def files_of(base: Path, name: str, findings: Findings) -> list[Ini]:
    """Read the files of a name, later ones overriding earlier ones; [] if there is none.

    Args:
        name: as "jail" or "filter.d/sshd".
        findings: gets what is worth a warning.

    Raises:
        ConfigError: a file cannot be read, or an include cannot be expanded.
    """
    reading = _Reading(findings)
    for path in _own(base, name):
        if found := reading.open(path):
            reading.enter(path, found, ())
    return reading.listed


def _own(base: Path, name: str) -> Iterator[Path]:
    """Yield the paths that a name stands for, those of a `.d` only if they exist."""
    for suffix in (".conf", ".local"):
        yield base / f"{name}{suffix}"
        try:
            names = os.listdir(base / f"{name}.d")
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except (OSError, ValueError) as error:
            raise _unreadable(base / f"{name}.d", error) from error
        # A name with a dot in front is an editor's.
        own = [one for one in sorted(names) if one.endswith(suffix) and one[0] != "."]
        yield from (base / f"{name}.d" / one for one in own)


class _Reading:
    """The files of one name, while they are collected.

    Attributes:
        listed: what was read so far, in order.
    """

    def __init__(self, findings: Findings) -> None:
        self.listed: list[Ini] = []
        self._findings = findings
        self._read: dict[Path, Ini | None] = {}
        self._paths: set[Path] = set()

    def open(self, path: Path) -> Ini | None:
        """Read a file, once; None if it does not exist."""
        if path not in self._read:
            raw = _contents(path)
            self._read[path] = None if raw is None else self._parsed(path, raw)
        return self._read[path]

    def enter(self, path: Path, found: Ini, above: tuple[Path, ...]) -> None:
        """List a file and what it includes; `above` are the files that led to it."""
        here = (*above, Path(os.path.realpath(path)))
        for entry, origin in self._includes(found, "before"):
            self._include(path, entry, origin, here)
        self.listed.append(found)
        self._paths.add(here[-1])
        if len(self.listed) > MOST:
            text = f"more than {MOST} files are read for one name; include fewer files"
            raise ConfigError([Problem(Origin(found.file), INCLUDES, "", text)])
        for entry, origin in self._includes(found, "after"):
            self._include(path, entry, origin, here)

    def _include(self, path: Path, entry: str, origin: Origin, above: tuple[Path, ...]) -> None:
        wanted = _shortest(path.parent / entry)
        found = self.open(wanted)
        if found is None:
            self._missing(wanted, entry, origin)
        elif Path(os.path.realpath(wanted)) in above:
            text = f"{quoted(entry)} includes this file, which is not read once more"
            self._findings.add(Problem(origin, INCLUDES, "", text, "warning"))
        elif len(above) >= DEEPEST:
            text = f"{quoted(entry)} is included too deep; expected at most {DEEPEST} levels"
            raise ConfigError([Problem(origin, INCLUDES, "", text)])
        else:
            self.enter(wanted, found, above)
            self._beside(wanted, above)

    def _beside(self, wanted: Path, above: tuple[Path, ...]) -> None:
        """List the `.local` of an included file, if it is not listed yet."""
        local = wanted.with_suffix(".local")
        if Path(os.path.realpath(local)) in {*self._paths, *above}:
            return
        if found := self.open(local):
            self.enter(local, found, above)

    def _missing(self, wanted: Path, entry: str, origin: Origin) -> None:
        """Tell of a file that is not there, unless it is one that nobody need have."""
        if wanted.suffix == ".local":
            return
        try:
            near = difflib.get_close_matches(wanted.name, sorted(os.listdir(wanted.parent)), n=1)
        except (OSError, ValueError):
            near = []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        text = f"there is no file {quoted(entry)} to include{hint}"
        self._findings.add(Problem(origin, INCLUDES, "", text, "warning"))

    def _includes(self, found: Ini, option: str) -> list[tuple[str, Origin]]:
        """Return the entries of `before` or `after`; only this file is asked for them."""
        sections = {
            name: Layer(name, found.sections[name].options)
            for name in (INCLUDES, DEFAULT)
            if name in found.sections
        }
        if INCLUDES not in sections or option not in sections[INCLUDES].options:
            return []
        scope = Scope(list(sections.values()), sections)
        value = scope.expand(sections[INCLUDES].place(option))
        return [(line, value.place(number)) for line, number in value.lines if line]

    def _parsed(self, path: Path, raw: bytes) -> Ini:
        found = ini.read(self._decoded(path, raw), str(path), TREE)
        for problem in found.problems:
            if problem.severity == "warning":
                self._findings.add(problem)
        return found

    def _decoded(self, path: Path, raw: bytes) -> str:
        """Decode UTF-8, or else Latin-1, in which every byte means something."""
        raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            origin = Origin(str(path), raw.count(b"\n", 0, error.start) + 1)
            text = "the file is not UTF-8; it is read as Latin-1"
            self._findings.add(Problem(origin, "", "", text, "warning"))
            return raw.decode("latin-1")


def _shortest(path: Path) -> Path:
    """Return a path without `..`, unless that leads elsewhere: behind a link to a folder."""
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def _contents(path: Path) -> bytes | None:
    """Return what stands in a file; None if there is none."""
    try:
        # A pipe would make us wait for its writer.
        with open(path, "rb", opener=_opener) as file:
            raw = file.read(LARGEST + 1) or b""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(raw) > LARGEST:
        text = f"the file is too large; expected at most {LARGEST >> 20} MiB"
        raise ConfigError([Problem(Origin(str(path)), "", "", text)])
    return raw


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _unreadable(path: Path, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    text = f"cannot read it ({reason}); expected a readable configuration file"
    return ConfigError([Problem(Origin(str(path)), "", "", text)])
