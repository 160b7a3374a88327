# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs that we are compared with, as Debian packages them.

They are unpacked into a folder, not installed: no service starts, and what this host has
of them is not touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.proc import Failed

PACKAGES = ("fail2ban", "python3-pyinotify", "sshguard")
_PYTHON = "usr/lib/python3/dist-packages"
_MODULES = "fail2ban.server.filter, fail2ban.client.fail2banregex"


@dataclass(frozen=True)
class Peers:
    """What is there of them.

    Attributes:
        root: with "etc" and "usr" of the packages.
        python: an interpreter that runs fail2ban; empty: there is no fail2ban.
        parser: sshguard's; None: there is none.
        versions: package -> version.
    """

    root: Path
    python: str
    parser: Path | None
    versions: dict[str, str]

    @property
    def tree(self) -> Path:
        """The configuration of its fail2ban."""
        return self.root / "etc/fail2ban"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its programs need."""
        return {"PYTHONPATH": str(self.root / _PYTHON), "PYTHONDONTWRITEBYTECODE": "1"}

    @property
    def has_inotify(self) -> bool:
        """Whether its fail2ban can use inotify."""
        return "python3-pyinotify" in self.versions

    def program(self, name: str) -> list[str]:
        """Return the command that runs a program of its fail2ban."""
        return [self.python, str(self.root / "usr/bin" / name)]


def cache() -> Path:
    """Return the folder for the packages unless another is named."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fail2ban-bench"


def install(folder: Path) -> None:
    """Download the packages with apt and unpack them into `folder`.

    Raises:
        Failed: that is not possible here; says why.
    """
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise Failed(f"not installed: {', '.join(missing)}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _do(["apt-get", "download", "-q", *PACKAGES], folder)
    for archive in sorted(folder.glob("*.deb")):
        _do(["dpkg-deb", "--extract", str(archive), str(folder / "root")], folder)


def find(folder: Path) -> Peers:
    """Return what `install` has left in a folder; nothing is there without it."""
    versions = {}
    for archive in sorted(folder.glob("*.deb")):
        name, version = _do(
            ["dpkg-deb", "--show", "--showformat", "${Package} ${Version}", str(archive)], folder
        ).split()
        versions[name] = version
    root = folder / "root"
    parser = root / "usr/libexec/sshguard/sshg-parser"
    return Peers(root, _python(root), parser if parser.exists() else None, versions)


def _python(root: Path) -> str:
    packages = root / _PYTHON
    if not (packages / "fail2ban").is_dir():
        return ""
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {_MODULES}"
    for python in ("/usr/bin/python3", sys.executable):
        command = [python, "-IB", "-c", code, str(packages)]
        if Path(python).exists() and not subprocess.run(command, capture_output=True).returncode:
            return python
    return ""


def _do(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
