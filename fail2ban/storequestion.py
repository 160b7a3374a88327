# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody wants to know of the store, and waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from fail2ban.errors import StoreError
from fail2ban.queries import Queries

T = TypeVar("T")


class Question(Generic[T]):
    """Asked on one thread, answered on another.

    Args:
        work: finds the answer; whatever it raises reaches whoever asked.
    """

    def __init__(self, work: Callable[[Queries], T]) -> None:
        self._work = work
        self._answered = threading.Event()
        self._dropped = False
        self._answer: T | None = None
        self._error: BaseException | None = None

    def wait(self, seconds: float | None) -> T:
        """Return the answer; None: wait as long as it takes.

        Raises:
            StoreError: there is none in time, or the database cannot be read.
        """
        if not self._answered.wait(seconds):
            self._dropped = True
            raise StoreError(f"the database has not answered within {seconds:g} s")
        if self._error is not None:
            raise self._error
        return cast(T, self._answer)

    def answer(self, read: Callable[[Callable[[Queries], T]], T]) -> None:
        """Find the answer, unless nobody waits for it any more.

        Args:
            read: calls something with the database.
        """
        if self._dropped:
            return
        try:
            self._answer = read(self._work)
        except Exception as error:
            self._error = error
        self._answered.set()

    def refuse(self, error: StoreError) -> None:
        """Give no answer, but the reason why."""
        self._error = error
        self._answered.set()
