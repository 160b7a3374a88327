# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep what happens in the history, though not all of a flood.

Whoever attacks decides how many failures there are. So of one id only a few events
of a kind are kept in a minute, and of all ids together not more than a disk bears;
those beyond are counted, and one event tells how many they were.
"""

from __future__ import annotations

import threading
from collections import Counter

from fail2ban.decide.keys import Key, id_of, key
from fail2ban.events import Event, Kind
from fail2ban.ledger import Batch, Ledger

#: What an attacker can cause at will, as often as he likes.
CHEAP: frozenset[Kind] = frozenset(
    {"found", "found_again", "ignored", "expired", "already_banned", "command"}
)
#: Events of a kind that are kept of one id in a minute.
SHARE = 30
#: Events of these kinds that are kept of all ids in a minute, and ids told apart in one.
TOTAL = 6000
#: Seconds in which so many are kept.
MINUTE = 60.0

_Key = tuple[str, Key | None, Kind]


class Keeping:
    """Puts events into the store. Any thread; never waits.

    Args:
        ledger: the store.

    Attributes:
        unkept: events that were only counted, or not even that.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.unkept = 0
        self._ledger = ledger
        self._lock = threading.Lock()
        # Of this minute; what is in the second is in the first, too.
        self._kept: Counter[_Key] = Counter()
        self._surplus: Counter[_Key] = Counter()
        self._total, self._begun = 0, 0.0

    def note(self, event: Event) -> None:
        """Keep an event, or count it; a `Listener`."""
        if event.kind not in CHEAP:
            return self._save([event])
        with self._lock:
            told = self._turn(event.time)
            if self._has_room(event):
                told.append(event)
        self._save(told)

    def step(self, now: float) -> None:
        """Tell of the minute before, if it is over; to be called now and then."""
        with self._lock:
            surplus = self._turn(now)
        self._save(surplus)

    def _turn(self, now: float) -> list[Event]:
        """Begin a new minute if it is time; return what is to be said of the last."""
        # A clock that was set back begins a new one as well.
        if 0 <= now - self._begun < MINUTE:
            return []
        surplus, self._surplus = self._surplus, Counter()
        self._kept, self._total, self._begun = Counter(), 0, now
        return [
            Event(now, kind, jail, None if who is None else id_of(who), {"more": count})
            for (jail, who, kind), count in surplus.items()
        ]

    def _has_room(self, event: Event) -> bool:
        about = event.jail, None if event.id is None else key(event.id), event.kind
        kept = self._kept.get(about, 0)
        # One of many is there for each of them, not one more for nobody.
        if (kept < SHARE or event.ids) and self._total < TOTAL:
            self._kept[about] = kept + 1
            self._total += 1
            return True
        self.unkept += 1
        if kept:
            self._surplus[about] += 1
        return False

    def _save(self, events: list[Event]) -> None:
        if events:
            self._ledger.save(Batch(events=events))
