# SPDX-License-Identifier: GPL-2.0-or-later
"""What waits for the runner, in the order it was asked for.

Orders that wait one behind the other are taken together, so that one command can
carry out many. Nobody waits for a second one to come: a lone ban is a batch of one.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass

from fail2ban.decide.bans import Entry, Verb
from fail2ban.records import Id

#: Orders that are taken at a time: others wait no longer for one whole batch than some
#: hundredths of a second, and what starting a process costs counts little for each.
MOST = 2000

#: One thing to do; runs on the runner's thread.
Job = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be done with a ban."""

    verb: Verb
    entry: Entry


class Agenda:
    """Jobs and orders, first come, first served.

    Args:
        ticks: seconds that only go forward.
        joins: tells of an order whether it gains by being carried out together
            with others; on the runner's thread.
    """

    def __init__(self, ticks: Callable[[], float], joins: Callable[[Order], bool]) -> None:
        self._ticks, self._joins = ticks, joins
        self._waiting: queue.SimpleQueue[tuple[float, Job | Order]] = queue.SimpleQueue()
        #: Taken from the queue, but no part of the last batch; the runner's alone.
        self._next: tuple[float, Job | Order] | None = None

    def __len__(self) -> int:
        """Return how many jobs and orders wait; any thread."""
        return self._waiting.qsize() + (self._next is not None)

    def put(self, job: Job | Order) -> None:
        """Add something to do; any thread, returns at once."""
        self._waiting.put((self._ticks(), job))

    def take(self) -> tuple[float, Job | list[Order]]:
        """Wait for the next job, or for an order with all that can join it.

        Returns:
            when it was asked for, in ticks, and what is to be done.
        """
        asked, first = self._pop() or self._waiting.get()
        if not isinstance(first, Order):
            return asked, first
        batch = _Batch(first)
        if self._joins(first):
            self._fill(batch)
        return asked, batch.orders

    def _fill(self, batch: _Batch) -> None:
        """Add the orders that wait now, up to the first thing that must come later."""
        while len(batch.orders) < MOST and (found := self._pop()) is not None:
            order = found[1]
            if not (isinstance(order, Order) and self._joins(order) and batch.add(order)):
                self._next = found
                return

    def _pop(self) -> tuple[float, Job | Order] | None:
        """Return what is next, or None if nothing waits."""
        if self._next is not None:
            found, self._next = self._next, None
            return found
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None


class _Batch:
    """Orders whose sequence does not matter.

    Of one ban there is one order, or its beginning and the news of it. No address
    is both banned and lifted, not even by different sections, whose commands may
    fill one list (promise F2).
    """

    def __init__(self, first: Order) -> None:
        self.orders: list[Order] = []
        self._verbs: dict[tuple[str, Id], Verb] = {}
        self._addresses: dict[Id, Verb] = {}
        self.add(first)

    def add(self, order: Order) -> bool:
        """Take one more order, if it fits; tell whether it does."""
        fits = self._fits_as_news(order) if order.verb is Verb.TELL else self._is_new(order)
        if fits:
            self.orders.append(order)
        return fits

    def _fits_as_news(self, order: Order) -> bool:
        return self._verbs.setdefault(_key(order), Verb.TELL) in (Verb.TELL, Verb.BAN)

    def _is_new(self, order: Order) -> bool:
        verb = order.verb
        if _key(order) in self._verbs:
            return False
        if self._addresses.setdefault(order.entry.ban.ip, verb) is not verb:
            return False
        self._verbs[_key(order)] = verb
        return True


def _key(order: Order) -> tuple[str, Id]:
    ticket = order.entry.ban.ticket
    return ticket.jail, ticket.id
