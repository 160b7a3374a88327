# SPDX-License-Identifier: GPL-2.0-or-later
"""How a section stands, in the shapes that travel to a client and are laid out there.

Source: jail-conf.md sections 12.3 to 12.5; the shapes were seen on the wire.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from fail2ban import durations
from fail2ban.control.host import Host, NoJail, Standing
from fail2ban.enforce.tags import address_text
from fail2ban.records import Ban

#: Name -> value, in the order in which they are shown.
Pairs = list[tuple[str, object]]

T = TypeVar("T")

# The end of a ban that has none.
_NEVER = "9999-12-31 23:59:59"
_CYMRU = ("Banned ASN list", "Banned Country list", "Banned RIR list")


def each(host: Host, show: Callable[[Host, str], T]) -> list[T]:
    """Return something of each section; one that goes meanwhile is left out."""
    shown = []
    for name in host.jails():
        with contextlib.suppress(NoJail):
            shown.append(show(host, name))
    return shown


def standings(host: Host) -> dict[str, Standing]:
    """Return how all sections stand, by name."""
    return dict(each(host, lambda host, name: (name, host.standing(name))))


def overview(names: Sequence[str]) -> Pairs:
    """Return the answer to `status`."""
    return [("Number of jail", len(names)), ("Jail list", ", ".join(names))]


def status(standing: Standing, flavor: str = "basic") -> Pairs:
    """Return the answer to `status JAIL FLAVOR`; a flavor we do not know is `basic`."""
    counts = standing.counts
    source = "Journal matches" if standing.journal else "File list"
    found: Pairs = [
        ("Currently failed", counts.found),
        ("Total failed", counts.found_total),
        (source, list(standing.sources)),
    ]
    banned: Pairs = [
        ("Currently banned", counts.banned),
        ("Total banned", counts.banned_total),
    ]
    return [("Filter", found), ("Actions", banned + _lists(standing, flavor))]


def _lists(standing: Standing, flavor: str) -> Pairs:
    if flavor == "short":
        return []
    lists: Pairs = [("Banned IP list", banned(standing))]
    if flavor == "cymru":
        # Whom an address belongs to is asked of a stranger; we do not.
        lists += [(name, ["error"]) for name in _CYMRU]
    return lists


def row(standing: Standing) -> list[object]:
    """Return a section's row of `stats`: backend, failed and banned, each now and in total."""
    counts = standing.counts
    backend = "systemd" if standing.journal else "polling"
    return [backend, (counts.found, counts.found_total), (counts.banned, counts.banned_total)]


def banned(standing: Standing) -> list[str]:
    """Return whom a section has banned, the first first."""
    return [address_text(ban.id) for ban in sorted(standing.bans, key=_start)]


def by_end(bans: Iterable[Ban], show: Callable[[Ban], str]) -> list[str]:
    """Return the bans of a section as texts, those that end first first."""
    return [show(ban) for ban in sorted(bans, key=_end)]


def name(ban: Ban) -> str:
    """Return whom a ban is for."""
    return address_text(ban.id)


def with_time(ban: Ban) -> str:
    """Return whom a ban is for, and from when till when."""
    start = durations.moment(ban.start)
    length = -1 if ban.end is None else round(ban.end - ban.start)
    end = _NEVER if ban.end is None else durations.moment(ban.end)
    return f"{name(ban)} \t{start} + {length} = {end}"


def _start(ban: Ban) -> float:
    return ban.start


def _end(ban: Ban) -> float:
    return float("inf") if ban.end is None else ban.end
