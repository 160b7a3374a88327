# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's fail2ban, unpacked into a folder: what ours is compared with.

Nothing is installed and no service is started. Its configuration is copied
before it is used, its client only prints what it would do, and its engine runs
in a process of its own (`oracle.py`).
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: The scene of the sample suite, see samples.md section 2.
ZONE = "CET-01CEST-02,M3.5.0,M10.5.0"
NOW = 1124013600.0
#: Seconds of processor time that the peer may take for one line.
LINE_SECONDS = 5.0

_PACKAGE = "fail2ban"
_PACKAGES = "usr/lib/python3/dist-packages"
_MODULES = "fail2ban.client.jailsreader, fail2ban.client.fail2bancmdline, fail2ban.server.filter"
_ORACLE = Path(__file__).with_name("oracle.py")


@dataclass(frozen=True)
class Peer:
    """The unpacked package.

    Attributes:
        root: its files, below "etc" and "usr".
        python: an interpreter that can run it.
        version: as its package has it, without Debian's revision.
    """

    root: Path
    python: str
    version: str

    @property
    def packages(self) -> Path:
        return self.root / _PACKAGES

    def tree(self, config_dir: str = "config") -> Path:
        """Return the tree that the corpus calls `config_dir`."""
        if config_dir == "config":
            return self.root / "etc/fail2ban"
        return self.packages / config_dir

    def names(self, kind: str) -> list[str]:
        """Return the names in "filter.d" or "action.d", without mere collections of parts."""
        names = sorted(path.stem for path in (self.tree() / kind).glob("*.conf"))
        return [name for name in names if not name.endswith("common")]

    def ask(self, requests: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers of the oracle, one for each request."""
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        done = subprocess.run(
            [self.python, "-IB", str(_ORACLE), str(self.packages), str(NOW)],
            input=lines,
            env={**os.environ, "TZ": ZONE},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def dump(self, tree: Path) -> list[list[Any]]:
        """Return the commands that its client prints for a tree."""
        done = subprocess.run(
            [self.python, "-B", str(self.root / "usr/bin/fail2ban-client"), "-c", str(tree), "-d"],
            env={**os.environ, "PYTHONPATH": str(self.packages), "TZ": ZONE},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [ast.literal_eval(line) for line in done.stdout.splitlines()]


def fetch(folder: Path) -> Peer:
    """Download the package into `folder` and unpack it; without a usable apt, skip the test."""
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    got = _run(["apt-get", "download", "-q", _PACKAGE], folder)
    archives = list(folder.glob("*.deb"))
    if got.returncode or not archives:
        pytest.skip(f"apt-get cannot download {_PACKAGE}: {got.stderr.strip()}")
    root = folder / "root"
    _run(["dpkg-deb", "--extract", str(archives[0]), str(root)], folder).check_returncode()
    # Filters of its own tests include parts by the path they have where Debian builds it.
    (root / "usr/config").symlink_to(root / "etc/fail2ban")
    version = _run(["dpkg-deb", "--field", str(archives[0]), "Version"], folder).stdout
    python = _python(root / _PACKAGES)
    if python is None:
        pytest.skip(f"no Python here runs {_PACKAGE} {version.strip()}")
    return Peer(root, python, version.strip().rpartition("-")[0])


def _python(packages: Path) -> str | None:
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {_MODULES}"
    for python in ("/usr/bin/python3", sys.executable):
        if _run([python, "-IB", "-c", code, str(packages)], packages).returncode == 0:
            return python
    return None


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
