# SPDX-License-Identifier: GPL-2.0-or-later
"""`watch`: pass events on to a client as they happen.

A client that reads too slowly loses the oldest of what waits for it, and is told how
many; nobody else waits for him.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from fail2ban.config.values import quoted
from fail2ban.control.discreet import discreet
from fail2ban.control.host import Host, Refused
from fail2ban.control.plain import plain
from fail2ban.enforce.tags import address_text
from fail2ban.events import Event, Kind

#: Events that may wait for one client, and characters of log lines in them.
MOST_EVENTS, MOST_TEXT = 1000, 1 << 20
#: Events that are written at a time.
_PORTION = 100

KINDS: tuple[str, ...] = get_args(Kind)
_JAIL, _KIND = "--jail", "--kind"


@dataclass(frozen=True)
class Watch:
    """Which events somebody wants to see; an empty set: all.

    Attributes:
        jails: by section; what concerns none is shown, too.
        kinds: by kind.
        discreet: without the texts of commands, see `control.discreet`.
    """

    jails: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    discreet: bool = False

    def wants(self, event: Event) -> bool:
        """Tell whether an event is one of them."""
        if self.kinds and event.kind not in self.kinds:
            return False
        return not self.jails or not event.jail or event.jail in self.jails


def watch(host: Host, said: Sequence[str]) -> Watch:
    """Understand the words `--jail NAME` and `--kind KIND`, each as often as one likes.

    Raises:
        NoJail: there is no such section.
        Refused: there is no such kind, or a word means nothing.
    """
    wanted: dict[str, set[str]] = {_JAIL: set(), _KIND: set()}
    words = iter(said)
    for option in words:
        value = next(words, None)
        if option not in wanted or value is None:
            raise Refused(f"watch: {quoted(option)}; expected --jail NAME or --kind KIND")
        wanted[option].add(value)
    for jail in wanted[_JAIL]:
        host.jail(jail)
    for kind in wanted[_KIND].difference(KINDS):
        raise Refused(f"{quoted(kind)} is no kind of event; expected one of {', '.join(KINDS)}")
    return Watch(frozenset(wanted[_JAIL]), frozenset(wanted[_KIND]))


class Watcher:
    """What waits to be sent to one client who watches.

    It is called with each event, on any thread; `take` belongs to the server's.

    Args:
        wake: has the server look at us, soon; called once for all that waits.
    """

    def __init__(self, watch: Watch, wake: Callable[[], object]) -> None:
        self._watch, self._wake = watch, wake
        self._events: deque[Event] = deque()
        self._text = self._lost = 0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Remember an event; returns at once."""
        if not self._watch.wants(event):
            return
        with self._lock:
            is_first = not self._events and not self._lost
            self._events.append(event)
            self._text += _length(event)
            while len(self._events) > MOST_EVENTS or self._text > MOST_TEXT:
                self._text -= _length(self._events.popleft())
                self._lost += 1
        if is_first:
            self._wake()

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._events or self._lost)

    def take(self) -> bytes:
        """Take the oldest of what waits, as lines of JSON."""
        with self._lock:
            lost, self._lost = self._lost, 0
            count = min(len(self._events), _PORTION)
            events = [self._events.popleft() for _ in range(count)]
            self._text -= sum(map(_length, events))
        lines: list[object] = [{"lost": lost}] if lost else []
        told: list[object] = list(map(as_data, events))
        return _written([*lines, *(map(discreet, told) if self._watch.discreet else told)])


def as_data(event: Event) -> dict[str, object]:
    """Return an event as plain data."""
    id = None if event.id is None else address_text(event.id)
    facts = {name: plain(fact) for name, fact in event.facts.items()}
    return {"time": event.time, "kind": event.kind, "jail": event.jail, "id": id, "facts": facts}


def _written(objects: Iterable[object]) -> bytes:
    return "".join(f"{json.dumps(one)}\n" for one in objects).encode("ascii")


def _length(event: Event) -> int:
    """Return about how much room an event takes: only lines are ever long."""
    lines = event.facts.get("lines")
    return sum(len(line) for line in lines) if isinstance(lines, list | tuple) else 0
