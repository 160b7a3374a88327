# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers as objects with named parts, for programs; see `control.schema`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import fail2ban
from fail2ban.control import answers, health, words
from fail2ban.control.host import Held, Host
from fail2ban.enforce.tags import address_text
from fail2ban.records import Id

Object = dict[str, object]
#: Gets the words behind the command.
Query = Callable[[Host, Sequence[str]], Object]

_ALL, _SHORT = "--all", "short"


def bans(host: Host, name: str, wanted: Callable[[Id], bool] = lambda id: True) -> list[Object]:
    """Return the bans of a section, or some of them, and how far they have come.

    Raises:
        NoJail: there is none.
    """
    dryrun = host.jail(name).dryrun
    return [_ban(name, dryrun, held) for held in host.held(name) if wanted(held.ban.id)]


def _ban(jail: str, dryrun: bool, held: Held) -> Object:
    ban = held.ban
    return {
        "jail": jail,
        "dryrun": dryrun,
        "id": address_text(ban.id),
        "start": ban.start,
        "end": ban.end,
        "count": ban.count,
        "failures": ban.ticket.failures,
        "restored": ban.restored,
        "state": held.state,
        "error": held.error,
    }


def jail(host: Host, name: str) -> Object:
    """Return how a section stands, in numbers.

    Raises:
        NoJail: there is none.
    """
    settings, standing, held = host.jail(name), host.standing(name), host.held(name)
    states, counts = Counter(one.state for one in held), standing.counts
    return {
        "name": name,
        "backend": "systemd" if standing.journal else "polling",
        "sources": list(standing.sources),
        "idle": standing.idle,
        "dryrun": settings.dryrun,
        "failed": {"now": counts.found, "total": counts.found_total},
        "banned": {
            "now": counts.banned,
            "total": counts.banned_total,
            **{state: states[state] for state in ("wanted", "applied", "failed")},
        },
    }


def _with_bans(host: Host, name: str) -> Object:
    return {**jail(host, name), "bans": bans(host, name)}


# Commands ---------------------------------------------------------------------


def _ping(host: Host, said: Sequence[str]) -> Object:
    return {"reply": "pong"}


def _version(host: Host, said: Sequence[str]) -> Object:
    return {"version": fail2ban.__version__}


def _echo(host: Host, said: Sequence[str]) -> Object:
    return {"words": list(said)}


def _status(host: Host, said: Sequence[str]) -> Object:
    if len(said) > 2:
        raise words.unknown("Invalid command (no status)")
    if not said:
        overview = {"version": fail2ban.__version__, **_stats(host, said)}
        return {**overview, "health": health.health(host, said)}
    show = jail if said[1:] == [_SHORT] else _with_bans
    if said[0] == _ALL:
        return {"jails": answers.each(host, show)}
    return {"jail": show(host, said[0])}


def _stats(host: Host, said: Sequence[str]) -> Object:
    return {"jails": answers.each(host, jail)}


def _banned(host: Host, said: Sequence[str]) -> Object:
    if not said:
        return {"bans": [one for found in answers.each(host, bans) for one in found]}
    held = answers.each(host, lambda host, name: (name, {one.ban.id for one in host.held(name)}))
    jails = answers.each(host, lambda host, name: host.jail(name))
    dry = {settings.name for settings in jails if settings.dryrun}
    return {"ids": [_where(words.identity(word), held, dry) for word in said]}


def _where(id: Id, held: list[tuple[str, set[Id]]], dry: set[str]) -> Object:
    jails = [name for name, ids in held if id in ids]
    return {"id": address_text(id), "jails": jails, "dryrun": [one for one in jails if one in dry]}


#: Command -> what it answers. `get` and what changes something are not among them.
QUERIES: dict[str, Query] = {
    "ping": _ping,
    "version": _version,
    "echo": _echo,
    "status": _status,
    "stats": _stats,
    "statistic": _stats,
    "statistics": _stats,
    "banned": _banned,
}


def value(said: Sequence[str], result: object) -> Object:
    """Name the parts of the answer to any other command.

    Args:
        said: the command and its words.
        result: in the shape of the classic language.
    """
    match said:
        case ["get", option]:
            return {"option": option, "value": result}
        case ["get", name, *option]:
            return {"jail": name, "option": " ".join(option), "value": result}
    return {"result": result}
