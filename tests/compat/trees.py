# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of the peer's tree that are safe to read: no path leads out of a test's folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

#: An absolute path where a value, or a line of one, begins.
_PATH = re.compile(r"^(\s*|[\w-]+\s*=\s*)(/\S+)$")
_HEADER = re.compile(r"^\[(?!INCLUDES\])(.+)\]", re.MULTILINE)
#: What a wildcard of the tree becomes in the name of a file that it matches.
_MATCHING = {"[0-9]": "1", "*": "x"}


def everything(source: Path, folder: Path, default: str = "") -> Path:
    """Return a copy with every jail enabled and every log there, empty.

    Args:
        folder: gets the copy and the logs.
        default: lines for [DEFAULT] of its jail.local.
    """
    tree = folder / "fail2ban"
    shutil.copytree(source, tree)
    for file in (tree / "jail.conf", *tree.glob("paths-*.conf")):
        lines = file.read_text(encoding="utf-8").split("\n")
        file.write_text("\n".join(_moved(line, folder / "logs") for line in lines), "utf-8")
    names = _HEADER.findall((tree / "jail.conf").read_text(encoding="utf-8"))
    sections = [f"[{name}]\nenabled = true\n" for name in names if name != "DEFAULT"]
    text = "".join([f"[DEFAULT]\n{default}\n", *sections])
    (tree / "jail.local").write_text(text, encoding="utf-8")
    return tree


def _moved(line: str, folder: Path) -> str:
    """Return a line whose path is one below `folder`; the file is made."""
    found = _PATH.match(line)
    if not found or line.lstrip().startswith("#"):
        return line
    name = found[2]
    for wildcard, text in _MATCHING.items():
        name = name.replace(wildcard, text)
    file = folder / name.lstrip("/")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return f"{found[1]}{folder}{found[2]}"


def of_jails(source: Path, folder: Path, jails: Mapping[str, Mapping[str, str]]) -> Path:
    """Return a tree of these jails only, name -> options; they read an empty log.

    Its filters and actions are those of `source` where they are: some include others by
    a path that leads out of the tree.
    """
    tree = folder / "fail2ban"
    tree.mkdir()
    for name in ("filter.d", "action.d", "fail2ban.conf"):
        (tree / name).symlink_to(source / name)
    log = folder / "empty.log"
    log.touch()
    lines = ["[DEFAULT]", "enabled = true", f"logpath = {log}"]
    for name, options in jails.items():
        lines += [f"[{name}]", *(f"{option} = {text}" for option, text in options.items())]
    (tree / "jail.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return tree
