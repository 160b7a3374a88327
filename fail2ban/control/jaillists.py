# SPDX-License-Identifier: GPL-2.0-or-later
"""What a section ignores and reads: shown, added to and removed from.

Source: jail-conf.md sections 5.6, 5.7 and 12.3; the shapes of the answers were seen on
the wire.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from fail2ban.config import tree_ignore, tree_logs
from fail2ban.config.values import quoted
from fail2ban.control import words
from fail2ban.control.host import Refused
from fail2ban.control.jailvalues import Setting
from fail2ban.records import IgnoreSettings, JailSettings, JournalSettings, Network

Matches = tuple[tuple[str, ...], ...]

T = TypeVar("T")

# Who is ignored --------------------------------------------------------------


def _ignoreip(settings: JailSettings) -> list[str]:
    ignore = settings.ignore
    networks = [_network(one) for one in ignore.networks]
    return [*networks, *ignore.texts, *(f"file:{path}" for path in ignore.files)]


def _network(network: Network) -> str:
    return str(network.network_address if network.num_addresses == 1 else network)


def _entries(said: Sequence[str]) -> IgnoreSettings:
    """Return the entries that the words of a command are; all must be right."""
    text = " ".join(words.some(said))
    return words.understood({"ignoreip": text}, tree_ignore.ignore_settings)


def _add_ignoreip(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    old, new = settings.ignore, _entries(said)
    ignore = replace(
        old,
        networks=_joined(old.networks, new.networks),
        names=_joined(old.names, new.names),
        texts=_joined(old.texts, new.texts),
        files=_joined(old.files, new.files),
    )
    return replace(settings, ignore=ignore)


def _del_ignoreip(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    old, gone = settings.ignore, _entries(said)
    _check_there(_ignoreip(settings), _ignoreip(replace(settings, ignore=gone)))
    ignore = replace(
        old,
        networks=_without(old.networks, gone.networks),
        names=_without(old.names, gone.names),
        texts=_without(old.texts, gone.texts),
        files=_without(old.files, gone.files),
    )
    return replace(settings, ignore=ignore)


# What is read ----------------------------------------------------------------


def _logpath(settings: JailSettings) -> list[str]:
    return list(settings.logs)


def _add_logpath(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    if len(words.some(said)) > 2:
        words.only(said[1:])
    path, end = said[0], said[1] if len(said) == 2 else "head"
    if end not in ("head", "tail"):
        raise Refused("File option must be 'head' or 'tail'")
    if settings.journal:
        raise Refused(f"[{settings.name}] reads the journal; expected addjournalmatch")
    if not path.startswith("/"):
        raise Refused(f"{quoted(path)} is no path; expected one that starts with '/'")
    if path in settings.logs:
        return settings
    tails = settings.tails | {path} if end == "tail" else settings.tails
    return replace(settings, logs=(*settings.logs, path), tails=tails)


def _del_logpath(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    path = words.only(said)
    _check_there(settings.logs, (path,))
    return replace(settings, logs=_without(settings.logs, (path,)), tails=settings.tails - {path})


def _journalmatch(settings: JailSettings) -> list[list[str]]:
    return [list(terms) for terms in settings.journal.matches] if settings.journal else []


def _add_journalmatch(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    journal = _journal(settings)
    matches = _joined(journal.matches, _matches(words.some(said)))
    return replace(settings, journal=replace(journal, matches=matches))


def _del_journalmatch(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    """Remove alternatives, all of them if none is named."""
    journal = _journal(settings)
    gone = _matches(said) if said else journal.matches
    _check_there(
        [" ".join(terms) for terms in journal.matches], [" ".join(terms) for terms in gone]
    )
    matches = _without(journal.matches, gone)
    return replace(settings, journal=replace(journal, matches=matches))


def _journal(settings: JailSettings) -> JournalSettings:
    if settings.journal is None:
        raise Refused(f"[{settings.name}] reads files, not the journal; expected addlogpath")
    return settings.journal


def _matches(said: Sequence[str]) -> Matches:
    text = shlex.join(said)
    return words.understood(
        {"journalmatch": text},
        lambda options: tree_logs.matches(options, options.lines("journalmatch")),
    )


def _joined(old: tuple[T, ...], new: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*old, *new)))


def _without(old: tuple[T, ...], gone: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(one for one in old if one not in gone)


def _check_there(there: Sequence[str], asked: Sequence[str]) -> None:
    """Refuse to remove what is not there."""
    for one in asked:
        if one not in there:
            expected = f"expected one of {', '.join(there)}" if there else "the list is empty"
            raise Refused(f"{quoted(one)} is not in the list; {expected}")


SHOW: dict[str, Callable[[JailSettings], object]] = {
    "ignoreip": _ignoreip,
    "logpath": _logpath,
    "journalmatch": _journalmatch,
}
VERBS: dict[str, Setting] = {
    "addignoreip": Setting(_ignoreip, _add_ignoreip),
    "delignoreip": Setting(_ignoreip, _del_ignoreip),
    "addlogpath": Setting(_logpath, _add_logpath),
    "dellogpath": Setting(_logpath, _del_logpath),
    "addjournalmatch": Setting(_journalmatch, _add_journalmatch),
    "deljournalmatch": Setting(_journalmatch, _del_journalmatch),
}
