# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens, as data: for `watch`, `why`, counters and alarms.

Everything that is decided or done about somebody is told here once; who wants to
know listens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from fail2ban.records import Id

#: What can happen, and its facts besides section and id:
#:
#: found          a failure counts: time, lines, attempts (1, unless the next is told)
#: found_again    the same failure counts as several: time, attempts (how many), bans
#:                (that there were before)
#: ignored        a failure does not count: time, lines, by (what ignores it)
#: expired        failures suffice for a ban that would be over: time
#: decided        a ban is decided: start, end (None: never), failures, count, lines,
#:                manual (a hand did it)
#: banned         it is in force: start, end, count, restored, seconds (from the line
#:                to the kernel; None: not from a line), dryrun
#: rebanned       it is in force again: as banned
#: ban_failed     it is not in force: reason, dryrun
#: prolonged      it lasts longer: end, dryrun
#: already_banned a failure of an id whose ban is in force: time
#: unbanned       everything has let go of the id: dryrun
#: repealed       the same, because its section ends: dryrun
#: command        a command has run: action (empty: that of all sections), verb ("start",
#:                "check", "ban", "reban", "prolong", "unban", "flush", "repair",
#:                "reload", "stop"), seconds, error (empty: none), status (of the
#:                command, None: it has none), dryrun, count (of one for many bans: how
#:                many; such a one has no id), divided (true: it has failed for them all, and
#:                is tried again for some of them at a time, of which more is told)
#: alarm          something is wrong, or no more: name, on, text
#: jail           a section: state ("started", "stopped", "changed")
#:
#: An event of the history with the fact "more" stands for as many of its kind that
#: came too fast to be kept one by one, see `health.keeping`.
Kind = Literal[
    "found",
    "found_again",
    "ignored",
    "expired",
    "decided",
    "banned",
    "rebanned",
    "ban_failed",
    "prolonged",
    "already_banned",
    "unbanned",
    "repealed",
    "command",
    "alarm",
    "jail",
]


@dataclass(slots=True)
class Event:
    """One thing that happened; frozen as a `Failure` is.

    Attributes:
        time: when, seconds since the epoch.
        jail: the section; empty where it concerns none.
        id: whom it concerns; None: nobody, or many.
        facts: plain data (text, numbers, truths, None, lists of them), see `Kind`;
            an attacker wrote the lines.
        ids: whom it concerns, where these are many.
    """

    time: Final[float]
    kind: Final[Kind]
    jail: Final[str] = ""
    id: Final[Id | None] = None
    facts: Final[Mapping[str, object]] = field(default_factory=dict)
    ids: Final[Sequence[Id]] = ()


#: Every kind.
KINDS: frozenset[Kind] = frozenset(get_args(Kind))

#: Gets events, on the thread that tells it; must return at once.
Listener = Callable[[Event], None]


class Events:
    """Passes events on to all who listen. Any thread.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._listeners: dict[Kind, tuple[Listener, ...]] = dict.fromkeys(KINDS, ())

    def listen(self, listener: Listener, kinds: Collection[Kind] = KINDS) -> None:
        """Pass events of some kinds on to one more; at the start, or on the control thread."""
        for kind in kinds:
            self._listeners[kind] = (*self._listeners[kind], listener)

    def ignore(self, listener: Listener) -> None:
        """Pass no more on to one; where `listen` was called."""
        for kind, listeners in self._listeners.items():
            self._listeners[kind] = tuple(one for one in listeners if one != listener)

    def reach(self, kind: Kind) -> bool:
        """Tell whether anybody listens to a kind: of a flood nobody gathers facts in vain."""
        return bool(self._listeners[kind])

    def tell(self, kind: Kind, jail: str = "", id: Id | None = None, **facts: object) -> None:
        """Say that something has happened just now."""
        if listeners := self._listeners[kind]:
            event = Event(self._clock(), kind, jail, id, facts)
            for listener in listeners:
                listener(event)

    def tell_of(self, kind: Kind, jail: str, ids: Sequence[Id], **facts: object) -> None:
        """Say that something has happened to some ids, or to nobody."""
        if len(ids) < 2:
            return self.tell(kind, jail, ids[0] if ids else None, **facts)
        if listeners := self._listeners[kind]:
            event = Event(self._clock(), kind, jail, None, {**facts, "count": len(ids)}, ids)
            for listener in listeners:
                listener(event)
