# SPDX-License-Identifier: GPL-2.0-or-later
"""`why` and `why-not`: what has been decided about somebody, and how he stands now.

A network that contains him counts, too.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence

from fail2ban.control import named, words
from fail2ban.control.host import Held, Host, NoJail, Regard
from fail2ban.control.watching import as_data
from fail2ban.enforce.tags import address_text
from fail2ban.records import Id, JailSettings, Network

Clock = Callable[[], float]


def why(host: Host, said: Sequence[str], clock: Clock = time.time) -> named.Object:
    """Return what happened to an id, oldest first, and which of its bans are in force.

    Args:
        said: the id, and a section if only that one matters.
        clock: seconds since the epoch.

    Raises:
        NoJail: there is no such section.
    """
    id, jails = _understood(host, said)
    events = [as_data(event) for event in host.why(id) if jails is None or event.jail in jails]
    names = host.jails() if jails is None else jails
    bans = [ban for name in names for ban in _bans(host, name, id)]
    return {"id": address_text(id), "now": clock(), "events": events, "bans": bans}


def why_not(host: Host, said: Sequence[str], clock: Clock = time.time) -> named.Object:
    """Return the same, and for each section what keeps the id from being banned there."""
    id, jails = _understood(host, said)
    known = [settings.name for settings in host.settings().jails]
    names = sorted({*known, *host.jails()}) if jails is None else jails
    now = clock()
    checks = [_check(host, name, id, now) for name in names]
    return {**why(host, said, lambda: now), "checks": checks}


def covers(one: Id, id: Id) -> bool:
    """Tell whether a ban of `one` keeps `id` out."""
    if one == id or not isinstance(one, Network) or isinstance(id, str):
        return one == id
    # Types are those of one family here, which the checker cannot see.
    return one.version == id.version and ipaddress.ip_network(id).subnet_of(one)  # type: ignore[arg-type]


def _understood(host: Host, said: Sequence[str]) -> tuple[Id, list[str] | None]:
    """Return whom the words name, and which sections; None: all."""
    id, *more = words.some(said)
    if not more:
        return words.identity(id), None
    name = words.only(more)
    if name not in [settings.name for settings in host.settings().jails]:
        host.jail(name)
    return words.identity(id), [name]


def _held(host: Host, name: str, id: Id) -> list[Held]:
    try:
        return [held for held in host.held(name) if covers(held.ban.id, id)]
    except NoJail:
        return []


def _bans(host: Host, name: str, id: Id) -> list[named.Object]:
    try:
        return named.bans(host, name, lambda one: covers(one, id))
    except NoJail:
        return []


# What keeps it from being banned ------------------------------------------------


def _check(host: Host, name: str, id: Id, now: float) -> named.Object:
    try:
        settings, regard = host.jail(name), host.regard(name, id)
        idle = host.standing(name).idle
    except NoJail:
        return {"jail": name, "verdict": "not running"}
    counting = [time for time in regard.times if time >= now - settings.findtime]
    return {
        "jail": name,
        "verdict": _verdict(_held(host, name, id), regard, bool(counting), idle),
        "ignored": regard.ignored,
        "entry": _entry(settings, regard, id),
        "failures": len(counting),
        "maxretry": settings.maxretry,
        "findtime": settings.findtime,
        "until": min(counting) + settings.findtime if counting else None,
        "dryrun": settings.dryrun,
    }


def _verdict(held: Sequence[Held], regard: Regard, counting: bool, idle: bool) -> str:
    if states := {one.state for one in held}:
        return next(state for state in ("applied", "failed", "wanted") if state in states)
    if regard.ignored is not None:
        return "ignored"
    if idle:
        return "idle"
    return "too few" if counting else "nothing"


def _entry(settings: JailSettings, regard: Regard, id: Id) -> str:
    """Return the entry of the configuration that has an id ignored; empty if it is none."""
    if regard.ignored is None:
        return ""
    ignore = settings.ignore
    found = [address_text(network) for network in ignore.networks if covers(network, id)]
    found += [text for text in (*ignore.texts, *ignore.names) if text == id]
    return found[0] if found else ""
