# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses of the host names that a configuration trusts.

Nobody waits for a name server: a thread of its own asks, and an answer is used
until there is a newer one. A name server that is away changes nothing.

Source: jail-conf.md section 5.6.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fail2ban.detect.addresses import parse_address
from fail2ban.records import Address

log = logging.getLogger(__name__)

Addresses = frozenset[Address]

#: Seconds for which an answer holds; after which a question without one is put again.
ANSWER_AGE, RETRY_AGE = 300.0, 60.0

#: Seconds to wait for the first answer; then the name counts as one without addresses.
PATIENCE = 10.0

#: Stands for whatever names this host has.
OURSELVES = ""


def look_up(name: str) -> Addresses:
    """Return the addresses of a name, or of `OURSELVES`; takes its time.

    Raises:
        OSError, UnicodeError: there is no answer.
    """
    if name != OURSELVES:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        parsed = (parse_address(str(entry[4][0])) for entry in found)
        return frozenset(ip for ip in parsed if ip is not None)
    ours: set[Address] = set()
    for own in {socket.gethostname(), socket.getfqdn(), "localhost"}:
        with contextlib.suppress(OSError, UnicodeError):  # a host need not know its own name
            ours |= look_up(own)
    return frozenset(ours)


@dataclass(slots=True)
class _Answer:
    """What is known of a name; `addresses` is None until somebody has answered."""

    asked: float
    addresses: Addresses | None = None
    until: float = 0.0
    waiting: bool = False
    failing: bool = False


class Hosts:
    """Answers what addresses names have; any thread.

    Args:
        look_up: called on our own thread.
        clock: seconds, never back.

    Attributes:
        revision: another one as soon as there is another answer.
    """

    def __init__(
        self,
        look_up: Callable[[str], Addresses] = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.revision = 0
        self._look_up, self._clock = look_up, clock
        self._answers: dict[str, _Answer] = {}
        self._queue: deque[str] = deque()
        self._changed = threading.Condition()  # guards all of this
        self._thread: threading.Thread | None = None
        self._closed = False

    def have(self, names: Iterable[str], ip: Address) -> bool:
        """Tell whether one of the names is known to have the address; at once."""
        with self._changed:
            answers = [self._answer(name) for name in names]
        return any(ip in one.addresses for one in answers if one.addresses is not None)

    def addresses(self, names: Iterable[str]) -> Addresses:
        """Return all addresses that the names are known to have; at once."""
        with self._changed:
            answers = [self._answer(name) for name in names]
        return frozenset(ip for one in answers for ip in one.addresses or ())

    def awaited(self, names: Iterable[str]) -> bool:
        """Tell whether an answer about one of the names is still worth waiting for."""
        with self._changed:
            answers = [self._answer(name) for name in names]  # all are asked for
            return any(map(self._is_awaited, answers))

    def wait(self, names: Iterable[str]) -> None:
        """Wait until nothing is awaited any more, `PATIENCE` at most; not for readers."""
        wanted = tuple(names)
        while not self._closed and self.awaited(wanted):
            with self._changed:
                self._changed.wait(0.5)

    def close(self) -> None:
        """Ask no more. Does not wait for the answer to the question at hand."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify_all()

    def step(self) -> None:
        """Put the next question, and remember the answer; our thread's work."""
        with self._changed:
            name = self._queue.popleft()
        addresses, error = None, ""
        try:
            addresses = self._look_up(name)
        except (OSError, UnicodeError) as failed:
            error = str(failed)
        with self._changed:
            self._remember(name, addresses, error)
            self._changed.notify_all()

    def _answer(self, name: str) -> _Answer:
        now = self._clock()
        answer = self._answers.setdefault(name, _Answer(now))
        if now >= answer.until and not answer.waiting and not self._closed:
            answer.waiting = True
            self._queue.append(name)
            self._start()
            self._changed.notify_all()
        return answer

    def _is_awaited(self, answer: _Answer) -> bool:
        return answer.addresses is None and self._clock() < answer.asked + PATIENCE

    def _remember(self, name: str, addresses: Addresses | None, error: str) -> None:
        answer = self._answers[name]
        self.revision += 1
        answer.waiting = False
        if addresses is None:
            if not answer.failing:
                state = (
                    "the addresses it had stay" if answer.addresses else "it stands for no address"
                )
                log.warning("ignoreip: %s cannot be resolved, %s: %s", name, state, error)
            answer.addresses = answer.addresses or frozenset()
        else:
            answer.addresses = addresses
        answer.failing = addresses is None
        answer.until = self._clock() + (RETRY_AGE if answer.failing else ANSWER_AGE)

    def _start(self) -> None:
        if self._thread is None:
            # A daemon thread: the end must not wait for a name server.
            self._thread = threading.Thread(target=self._run, name="hosts", daemon=True)
            self._thread.start()
        elif not self._thread.is_alive():
            # A bug has ended it; end the reader as well, which the daemon notices.
            raise RuntimeError("the thread that resolves ignoreip has died")

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
            self.step()
