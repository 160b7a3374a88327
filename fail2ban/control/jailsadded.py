# SPDX-License-Identifier: GPL-2.0-or-later
"""Sections that are added by hand, and those that rest.

Source: jail-conf.md sections 5.1, 5.7 and 12.3; what a section has before anything is
set of it was seen of a server.
"""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.config.tree_options import COMMAND_LINE
from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Host, Refused
from fail2ban.records import FilterSettings, IgnoreSettings, JailSettings, JournalSettings

_AUTO, _JOURNAL = "auto", "systemd"
_BACKENDS = ("pyinotify", "gamin", "polling", _JOURNAL)


def add(host: Host, said: Sequence[str]) -> str:
    """Add a section that has no pattern, no log and no action; return its name."""
    name = words.some(said)[0]
    backend = words.only(said[1:]).lower() if said[1:] else _AUTO
    if not name or name.startswith("-"):
        expected = "expected a text that does not begin with '-'"
        raise Refused(f"{quoted(name)} is no name of a jail; {expected}")
    if backend not in (*_BACKENDS, _AUTO):
        expected = f"Must be among {list(_BACKENDS)} or {_AUTO!r}"
        raise Refused(f"Unknown backend {backend}. {expected}")
    host.add_jail(_blank(name, JournalSettings() if backend == _JOURNAL else None))
    return name


def idle(host: Host, jail: str, said: Sequence[str]) -> bool:
    """Have a section read nothing, or go on; return which."""
    host.jail(jail)
    word = words.only(said)
    if word not in ("on", "off"):
        raise Refused("Invalid idle option, must be 'on' or 'off'")
    host.idle(jail, word == "on")
    return word == "on"


def _blank(name: str, journal: JournalSettings | None) -> JailSettings:
    return JailSettings(
        name=name,
        origin=COMMAND_LINE,
        enabled=True,
        logs=(),
        filter=FilterSettings(name, (), tagged=True),
        actions=(),
        maxretry=3,
        findtime=600.0,
        bantime=600.0,
        ignore=IgnoreSettings(),
        polltime=1.0,
        journal=journal,
    )
