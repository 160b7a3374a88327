# SPDX-License-Identifier: GPL-2.0-or-later
"""The bans of a section, and of all: asked for, made and lifted by hand.

Source: jail-conf.md section 12.3; the shapes of the answers were seen on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fail2ban.control import answers, words
from fail2ban.control.host import Host, Refused
from fail2ban.enforce.tags import address_text
from fail2ban.records import Address, Id, Network

_REPORT_ABSENT = "--report-absent"
_WITH_TIME = "--with-time"
_ALL = "--all"


def ban(host: Host, jail: str, said: Sequence[str]) -> int:
    """Ban ids; return how many were not banned already."""
    host.jail(jail)
    return host.ban(jail, [words.identity(word) for word in words.some(said)])


def unban(host: Host, jail: str, said: Sequence[str]) -> int:
    """Lift bans; return how many there were.

    Raises:
        Refused: some were not banned, and it was asked to tell; the others are lifted.
    """
    report = list(said[:1]) == [_REPORT_ABSENT]
    ids = [words.identity(word) for word in words.some(said[1:] if report else said)]
    before = [one.id for one in host.standing(jail).bans] if report else []
    count = host.unban([jail], ids)
    absent = [address_text(id) for id in ids if not _among(id, before)]
    if report and absent:
        raise Refused(f"not banned: {absent}")
    return count


def attempt(host: Host, jail: str, said: Sequence[str]) -> int:
    """Count a failure for each line; return 1, or 0 if the id is ignored."""
    host.jail(jail)
    id = words.identity(words.some(said)[0])
    return int(host.attempt(jail, id, said[1:] or ("",)))


def listed(host: Host, jail: str, said: Sequence[str]) -> list[str]:
    """Return the bans, those that end first first; the client puts its separator."""
    show = answers.with_time if list(said[:1]) == [_WITH_TIME] else answers.name
    return answers.by_end(host.standing(jail).bans, show)


def banned(host: Host, jail: str, said: Sequence[str]) -> object:
    """Return whom a section has banned; for each of some ids 1 or 0 instead."""
    standing = host.standing(jail)
    if not said:
        return answers.banned(standing)
    ids = {one.id for one in standing.bans}
    found = [int(words.identity(word) in ids) for word in said]
    return found[0] if len(found) == 1 else found


# All sections ----------------------------------------------------------------


def banned_anywhere(host: Host, said: Sequence[str]) -> object:
    """Return who is banned in each section; for each of some ids in which ones instead."""
    standings = answers.standings(host)
    if not said:
        return [{name: answers.banned(standing)} for name, standing in standings.items()]
    held = {name: {one.id for one in standing.bans} for name, standing in standings.items()}
    ids = [words.identity(word) for word in said]
    return [[name for name, here in held.items() if id in here] for id in ids]


def unban_anywhere(host: Host, said: Sequence[str]) -> int:
    """Lift the bans of ids, or all, in every section; return how many there were."""
    if not said:
        raise words.unknown()
    if _ALL in said:
        words.only(said)
        return host.unban(host.jails(), None)
    return host.unban(host.jails(), [words.identity(word) for word in said])


def _among(id: Id, banned: Iterable[Id]) -> bool:
    """Tell whether an id, or for a network anything within it, is banned."""
    return any(one == id or _within(one, id) for one in banned)


def _within(one: Id, network: Id) -> bool:
    return (
        isinstance(one, Address)
        and isinstance(network, Network)
        and one.version == network.version
        and one in network
    )
