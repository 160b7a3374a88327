# SPDX-License-Identifier: GPL-2.0-or-later
"""Run `journalctl` and read what it writes.

Source: journalctl's manual (systemd 236 and newer); jail-conf.md section 5.7.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import selectors
import subprocess
from collections.abc import Iterable, Iterator

from fail2ban.detect.entries import FIELDS, Point
from fail2ban.detect.export import Entry, Export
from fail2ban.detect.position import Ident, ident_of
from fail2ban.detect.terms import Wanted
from fail2ban.records import JournalSettings
from fail2ban.text import printable

#: Bytes of one entry; a longer one is left out.
ENTRY_LIMIT = 1024 * 1024
#: Bytes read at once, and bytes of complaints that are kept.
_CHUNK, _COMPLAINTS = 64 * 1024, 1000
#: Rotated files have such names; so have those that were found damaged.
_ROTATED = "*@*.journal*"

# Flags of sd_journal_open.
_LOCAL_ONLY, _RUNTIME_ONLY, _SYSTEM, _CURRENT_USER, _OS_ROOT, _ALL, _DEFAULT_TOO = (
    1 << bit for bit in range(7)
)


def form(all_wanted: Iterable[Wanted]) -> list[str]:
    """Return the options that say how `Journalctl` wants to have the entries.

    With the fields that lines are made of, and those that decide who wants them.
    """
    fields = {*FIELDS, *(field for wanted in all_wanted for field in wanted.fields)}
    return [
        *("--quiet", "--no-pager", "--all", "--output=export"),
        f"--output-fields={','.join(sorted(fields))}",
    ]


def options(settings: JournalSettings, files: list[str]) -> list[str]:
    """Return the options that say which journal to read.

    A directory is read with the files that were rotated away, whatever
    `rotated` says: one process reads for all sections, and a rotation loses nothing.

    Args:
        files: to be read, if the settings name any.
    """
    if settings.files:
        return ["--merge", *(f"--file={file}" for file in files)]
    flags = settings.flags
    if flags is None:
        flags = 0 if settings.path else _SYSTEM
    found = [] if flags & _LOCAL_ONLY and not settings.path else ["--merge"]
    found += ["--system"] if flags & _SYSTEM else []
    found += ["--user"] if flags & _CURRENT_USER else []
    if settings.path:
        found.append(f"--{'root' if flags & _OS_ROOT else 'directory'}={settings.path}")
    elif flags & _RUNTIME_ONLY:
        found.append("--directory=/run/log/journal")
    if flags & _ALL:
        found.append("--namespace=*")
    elif settings.namespace:
        found.append(f"--namespace={'+' * bool(flags & _DEFAULT_TOO)}{settings.namespace}")
    return found


def files_of(settings: JournalSettings, known: frozenset[Ident]) -> dict[Ident, str]:
    """Return the files that the settings name, as they are now.

    Args:
        known: such as were read already are found under another name, too, for
            they may have been rotated before their end was read.
    """
    found: dict[Ident, str] = {}
    for pattern in settings.files:
        for path in glob.glob(pattern):
            rotated = fnmatch.fnmatch(os.path.basename(path), _ROTATED)
            if settings.rotated or not rotated or path == pattern:
                _add(found, path)
    for folder in {os.path.dirname(pattern) for pattern in settings.files} if known else ():
        for path in glob.glob(os.path.join(folder, "*.journal*")):
            _add(found, path, known)
    return found


def _add(found: dict[Ident, str], path: str, among: frozenset[Ident] | None = None) -> None:
    with contextlib.suppress(OSError):  # it is gone
        ident = ident_of(os.stat(path))
        if among is None or ident in among:
            found.setdefault(ident, path)


def beginning(point: Point) -> str:
    """Return the option that says where to begin."""
    if point.cursor:
        return f"--after-cursor={point.cursor}"
    return f"--since=@{max(0, int(point.time))}"


class Journalctl:
    """One run of `journalctl`.

    Args:
        words: the program and its arguments, among them those of `form`.

    Attributes:
        patience: seconds without anything to read after which `read` yields an
            empty list; None: it waits.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, words: list[str]) -> None:
        self._export = Export(ENTRY_LIMIT)
        self.patience: float | None = None
        self._complaints = b""
        self._killed = False
        self._nonsense = ""
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )

    @property
    def dropped(self) -> int:
        """How many entries were too long so far."""
        return self._export.dropped

    def read(self) -> Iterator[list[Entry]]:
        """Yield the entries that it writes, until it ends."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout and stderr
        with selectors.DefaultSelector() as selector, stdout, stderr:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(self.patience)
                if not ready:
                    yield []
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stderr:
                        self._complaints = (self._complaints + data)[-_COMPLAINTS:]
                    else:
                        yield self._entries(data)

    def _entries(self, data: bytes) -> list[Entry]:
        """Return the entries that some more bytes complete; end it if there are none."""
        if self._nonsense:
            return []
        try:
            return self._export.feed(data)
        except ValueError as error:
            self._nonsense = f"does not write entries: {printable(str(error))}"
            self._process.kill()
            return []

    def kill(self) -> None:
        """End it; on any thread."""
        self._killed = True
        self._process.kill()

    @property
    def was_killed(self) -> bool:
        return self._killed

    def end(self) -> str:
        """Wait for its end; return what it complained about, safe to be shown."""
        status = self._process.wait()
        if self._nonsense:
            return f"journalctl {self._nonsense}"
        complaint = " / ".join(self._complaints.decode("utf-8", "replace").split("\n")).strip(" /")
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"journalctl {how}" + (f": {printable(complaint)}" if complaint else "")
