# SPDX-License-Identifier: GPL-2.0-or-later
"""What reading a configuration of either language came to."""

from __future__ import annotations

from dataclasses import dataclass

from fail2ban.records import Origin, Problem, Settings


@dataclass(frozen=True)
class Effective:
    """One value in force, and where it was written.

    Attributes:
        section: the jail's name; empty for the daemon itself.
        part: the filter or action of the jail that it belongs to, as
            "filter sshd" or "action iptables"; empty for the jail's own.
        option: its name.
        text: the value after every substitution that the configuration can do.
        origin: where it was written; file "built-in" where nowhere was.
    """

    section: str
    part: str
    option: str
    text: str
    origin: Origin


@dataclass(frozen=True)
class Loaded:
    """What a configuration came to.

    Attributes:
        settings: None when nothing can run.
        problems: in the order of the file, the command line's first.
        broken: names of the sections that are left out.
        disabled: names of the sections that are not to run anyway.
        effective: every value in force, section by section.
    """

    settings: Settings | None
    problems: tuple[Problem, ...]
    broken: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    effective: tuple[Effective, ...] = ()
