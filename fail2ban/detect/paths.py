# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths and wildcards -> the files that are there now.

What is wrong with a path is said once when it begins and once when it ends.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import logging
import os
import stat
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Set

from fail2ban.detect.position import Ident, ident_of

log = logging.getLogger(__name__)

#: Seconds for which a path may be missing in a rotation before we complain.
ABSENCE = 5.0
#: Seconds between two looks at the wildcards.
INTERVAL = 1.0
#: A wildcard leaves these out: they are old, and not text.
COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z")

Found = dict[Ident, tuple[str, os.stat_result]]

_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


class Troubles:
    """What was complained about and is not over."""

    def __init__(self) -> None:
        self._current: set[Hashable] = set()

    def start(self, key: Hashable, level: int, text: str, *args: object) -> bool:
        """Log a message, unless there was one about `key` that still holds."""
        if key in self._current:
            return False
        self._current.add(key)
        log.log(level, text, *args)
        return True

    def end(self, key: Hashable, path: str) -> None:
        """Say that `path` can be read, if there was a complaint about `key`."""
        if key in self._current:
            self._current.remove(key)
            log.info("%s can be read now", path)

    def forget_others(self, keys: Set[Hashable]) -> None:
        """Forget complaints about anything but `keys`: it is of no concern any more."""
        self._current &= keys


class Paths:
    """The wanted paths and what they lead to.

    Args:
        last: what paths led to when they last led anywhere.

    Attributes:
        patterns: paths or wildcards.
        expected: the files at the paths, as of the last look.
        matching: the files that only wildcards match, as of the last look at those.
        kept: the files at paths that lead nowhere at the moment.
        stale: the last look left the wildcards out.
    """

    def __init__(
        self, patterns: Iterable[str], troubles: Troubles, last: Mapping[str, Ident] | None = None
    ) -> None:
        self.patterns = tuple(patterns)
        self.expected: Found = {}
        self.matching: Found = {}
        self.kept: set[Ident] = set()
        self.stale = True
        self._troubles = troubles
        self._matched: list[str] = []
        self._looked = float("-inf")
        self._last = dict(last or {})
        self._absent: dict[str, float] = {}  # path -> since when it leads nowhere

    def look(self, now: float) -> Found:
        """Look what is there; the wildcards are looked at once an `INTERVAL`."""
        self.expected, self.kept = {}, set()
        for path in self.patterns:
            if not glob.has_magic(path):
                self._find(path, now)
        wildcards = [pattern for pattern in self.patterns if glob.has_magic(pattern)]
        self.stale = bool(wildcards) and 0 <= now - self._looked < INTERVAL
        if not self.stale:
            self._looked = now
            self.matching, self._matched = {}, []
            for pattern in wildcards:
                self._expand(pattern)
        return {**self.matching, **self.expected}

    def change(self, patterns: tuple[str, ...]) -> None:
        """Want other paths from the next look on."""
        self.patterns = patterns
        self._looked = float("-inf")
        self._absent.clear()

    def wants(self, path: str) -> bool:
        return any(leads_to(want, path) for want in self.patterns)

    def names(self) -> set[str]:
        """Return every path and wildcard that the last looks dealt with."""
        return {*self.patterns, *self._matched}

    def _find(self, path: str, now: float) -> None:
        try:
            status = os.stat(path)
        except OSError as error:
            self._missing(path, error, now)
            return
        self._absent.pop(path, None)
        if stat.S_ISREG(status.st_mode):
            self._last[path] = ident_of(status)
            self.expected.setdefault(ident_of(status), (path, status))
        elif path != os.devnull:
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
            text = "cannot follow %s: it is %s, not a regular file"
            self._troubles.start(path, logging.ERROR, text, path, kind)

    def _missing(self, path: str, error: OSError, now: float) -> None:
        last = self._last.get(path)
        if last is not None:
            self.kept.add(last)
        # A rotation may take the path away for a moment.
        if last is None or now - self._absent.setdefault(path, now) >= ABSENCE:
            # Scripts look for this message, so the reason is another one.
            if self._troubles.start(path, logging.ERROR, "Unable to get stat on %s", path):
                log.warning("waiting for %s: %s", path, error.strerror)

    def _expand(self, pattern: str) -> None:
        paths = [path for path in glob.glob(pattern) if not path.endswith(COMPRESSED)]
        if os.path.lexists(pattern):
            paths.append(pattern)  # a name that looks like a wildcard
        if paths:
            self._troubles.end(pattern, pattern)
        else:
            self._troubles.start(pattern, logging.INFO, "no file matches %s so far", pattern)
        self._matched += paths
        for path in paths:
            try:
                status = os.stat(path)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    text = "cannot follow %s: %s"
                    self._troubles.start(path, logging.WARNING, text, path, error.strerror)
                continue
            if stat.S_ISREG(status.st_mode):
                self.matching.setdefault(ident_of(status), (path, status))


class FirstLook:
    """The files that were there when their pattern was looked at for the first time.

    Args:
        patterns: paths or wildcards.
        known: tells of a pattern whether it was looked at in an earlier run.

    Attributes:
        sizes: how long such files were then; whoever has dealt with one removes it.
    """

    def __init__(
        self, patterns: Iterable[str], known: Callable[[str], bool] = lambda pattern: False
    ) -> None:
        self.sizes: dict[Ident, int] = {}
        self._patterns = frozenset(patterns)
        self._new = frozenset(pattern for pattern in self._patterns if not known(pattern))

    def look(self, visible: Found, known: Container[Ident]) -> None:
        """Note what the first look at new patterns has found."""
        for ident, (path, status) in visible.items() if self._new else ():
            if ident not in known and any(leads_to(pattern, path) for pattern in self._new):
                self.sizes[ident] = status.st_size
        self._new = frozenset()

    def change(self, patterns: frozenset[str]) -> None:
        """Care for other patterns from the next look on."""
        self._new = patterns - self._patterns
        self._patterns = patterns


def leads_to(pattern: str, path: str) -> bool:
    """Tell whether a wildcard, or a path, may have found `path`."""
    return path == pattern or fnmatch.fnmatch(path, pattern)


def watchable(pattern: str) -> str:
    """Return the path, or in place of a wildcard one whose directory surely matters."""
    while glob.has_magic(os.path.dirname(pattern)):
        pattern = os.path.dirname(pattern)
    return pattern
