# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be known to remove what a section has set up, should all else be forgotten.

A *farewell* is written for each section whenever it is set up, and outlives the
process. Who finds one at the next start knows whether bans were left in the
firewall on purpose, and can remove what is no part of the configuration any more.
These are the user's own commands, as they were written, with their tags.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fail2ban.enforce.errands import Scope
from fail2ban.enforce.site import Site, key_of
from fail2ban.records import FAMILIES, ActionSettings, Command, Id

_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Relic:
    """What one action may have left.

    Attributes:
        action: its name and the commands that remove something; no others.
        print: differs if any of its commands does.
        scopes: whom its `start` has run for.
        held: the ids that it keeps out, see `key_of`.
    """

    action: ActionSettings
    print: str
    scopes: tuple[Scope, ...]
    held: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Farewell:
    """What one section may have left, or what all share.

    Attributes:
        boot: what tells one run of the machine from another.
        kept: it was left on purpose, and is exactly what is said here.
        relics: by action, in the order of the configuration.
        start, stop: the commands of what all share.
    """

    boot: str
    kept: bool = False
    relics: tuple[Relic, ...] = ()
    start: str = ""
    stop: str = ""

    def write(self) -> str:
        """Return it as a text."""
        actions = [
            {
                "name": relic.action.name,
                "print": relic.print,
                "flush": asdict(relic.action.flush),
                "stop": asdict(relic.action.stop),
                "unban": asdict(relic.action.unban),
                "unbanmany": asdict(relic.action.unbanmany),
                "timeout": relic.action.timeout,
                "scopes": relic.scopes,
                "held": sorted(relic.held),
            }
            for relic in self.relics
        ]
        base = {"start": self.start, "stop": self.stop}
        return json.dumps({"boot": self.boot, "kept": self.kept, "actions": actions, **base})

    @classmethod
    def read(cls, text: str) -> Farewell:
        """Return what was written.

        Raises:
            ValueError: it is none of ours.
        """
        try:
            found = json.loads(text)
            relics = tuple(_relic(one) for one in found["actions"])
            return cls(found["boot"], found["kept"], relics, found["start"], found["stop"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the commands of a section: {error}") from error


def boot_id() -> str:
    """Return what tells this run of the machine from others; empty: unknown."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def relic_of(site: Site, held: Iterable[Id] | None = None) -> Relic:
    """Return what an action leaves if nobody takes it down.

    Args:
        held: whom it is left to keep out; None: it is not to be left.
    """
    commands = site.commands
    action = ActionSettings(
        name=commands.name,
        flush=commands.flush,
        stop=commands.stop,
        unban=commands.unban,
        unbanmany=commands.unbanmany,
        timeout=commands.timeout,
    )
    if held is None:
        return Relic(action, print_of(site), site.firewall.scopes)
    keys = frozenset(map(key_of, held)) | site.left
    return Relic(action, print_of(site), tuple(site.scopes), keys)


def print_of(site: Site) -> str:
    """Return a text that differs if any command of an action does, or whom it can ban."""
    return hashlib.sha256(repr((site.commands, site.firewall.scopes)).encode()).hexdigest()


def _relic(found: dict[str, Any]) -> Relic:
    action = ActionSettings(
        name=found["name"],
        flush=Command(**found["flush"]),
        stop=Command(**found["stop"]),
        unban=Command(**found["unban"]),
        unbanmany=Command(**found.get("unbanmany", {})),  # an earlier version had none
        timeout=float(found["timeout"]),
        families=tuple(family for family in FAMILIES if family in found["scopes"]),
    )
    return Relic(action, found["print"], tuple(found["scopes"]), frozenset(found["held"]))
