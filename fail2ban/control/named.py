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


def ban(jail: str, held: Held) -> Object:
    """Return a ban and how far it has come."""
    ban = held.ban
    return {
        "jail": jail,
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
    return {**jail(host, name), "bans": [ban(name, held) for held in host.held(name)]}


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
        return {"bans": [one for bans in answers.each(host, _bans) for one in bans]}
    held = answers.each(host, lambda host, name: (name, {one.ban.id for one in host.held(name)}))
    ids = [words.identity(word) for word in said]
    return {"ids": [_where(id, held) for id in ids]}


def _bans(host: Host, name: str) -> list[Object]:
    return [ban(name, held) for held in host.held(name)]


def _where(id: Id, held: list[tuple[str, set[Id]]]) -> Object:
    return {"id": address_text(id), "jails": [name for name, ids in held if id in ids]}


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
