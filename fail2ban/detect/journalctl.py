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
from collections.abc import Iterator

from fail2ban.detect.entries import Point
from fail2ban.detect.position import Ident, ident_of
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
        words: the program and its arguments.

    Attributes:
        dropped: entries that were too long so far.
        patience: seconds without anything to read after which `read` yields an
            empty list; None: it waits.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, words: list[str]) -> None:
        self.dropped = 0
        self.patience: float | None = None
        self._complaints = b""
        self._killed = False
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )

    def read(self) -> Iterator[list[bytes]]:
        """Yield the entries that it writes, until it ends."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout and stderr
        half = b""
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
                        *whole, half = (half + data).split(b"\n")
                        half = half[: ENTRY_LIMIT + 1]
                        yield self._reasonable(whole)

    def _reasonable(self, entries: list[bytes]) -> list[bytes]:
        kept = [entry for entry in entries if len(entry) <= ENTRY_LIMIT]
        self.dropped += len(entries) - len(kept)
        return kept

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
        complaint = " / ".join(self._complaints.decode("utf-8", "replace").split("\n")).strip(" /")
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"journalctl {how}" + (f": {printable(complaint)}" if complaint else "")
