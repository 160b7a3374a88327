# SPDX-License-Identifier: GPL-2.0-or-later
"""Resolve the host names found in logs, without a reader ever waiting for it.

Whoever owns a name decides what it resolves to; this is the weakest evidence
there is, and `usedns = no` does without it.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

from fail2ban.detect.addresses import parse_address
from fail2ban.records import Address

log = logging.getLogger(__name__)

Addresses = tuple[Address, ...]
Use = Callable[[Addresses], None]

#: Seconds for which an answer holds, and for which the lack of one does.
POSITIVE_TTL = 300.0
NEGATIVE_TTL = 60.0
CACHE_SIZE = 1000
#: Questions that wait; more are dropped.
QUEUE_SIZE = 1000
#: Addresses of one name that are used; an attacker's name may have thousands.
MAX_ADDRESSES = 16
MAX_NAME = 253

_LABEL = r"[0-9A-Za-z_-]{1,63}"
# The last label starts with a letter: "127.1" or "0x7f.1" would be an address.
_NAME = re.compile(rf"(?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL}")


def is_host_name(text: str) -> bool:
    """Tell whether `text` may be looked up: at least two labels, at most 253 characters."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


class Resolver:
    """Looks names up, one at a time, on a thread of its own.

    Args:
        getaddrinfo: as `socket.getaddrinfo`, called on that thread.
        clock: seconds, never back.
    """

    def __init__(
        self,
        getaddrinfo: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._getaddrinfo, self._clock = getaddrinfo, clock
        self._cache: OrderedDict[str, tuple[float, Addresses]] = OrderedDict()  # name -> end
        self._queue: deque[tuple[str, Use]] = deque()
        self._changed = threading.Condition()  # guards all of this
        self._thread: threading.Thread | None = None
        self._full = False
        self._closed = False

    def resolve(self, name: str, use: Use) -> None:
        """Call `use` once with the addresses of `name`, none if it has none.

        Returns at once. `use` is called on this thread when the answer is
        known, or will never be: for a text that is no host name, or when too
        many names wait already. Else later on the resolver's; not at all after
        `close`.
        """
        name = name.lower()
        answer: Addresses | None = ()
        if not is_host_name(name):
            log.debug("not a host name: %r", name)
        else:
            with self._changed:
                if self._closed:
                    return
                answer = self._cached(name)
                if answer is None and not self._enqueue(name, use):
                    answer = ()
        if answer is not None:
            use(answer)

    def close(self) -> None:
        """Drop all questions. Does not wait for the one that is being asked."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify()

    def _cached(self, name: str) -> Addresses | None:
        until, answer = self._cache.get(name, (0.0, None))
        if answer is None or self._clock() >= until:
            return None
        self._cache.move_to_end(name)
        return answer

    def _enqueue(self, name: str, use: Use) -> bool:
        """Have a name looked up; tell whether there is room."""
        if len(self._queue) >= QUEUE_SIZE:
            if not self._full:
                log.warning("%d host names wait to be resolved: more are ignored", QUEUE_SIZE)
            self._full = True
            return False
        self._queue.append((name, use))
        self._changed.notify()
        if self._thread is None:
            # A daemon thread: the end must not wait for a name server.
            self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)
            self._thread.start()
        elif not self._thread.is_alive():
            # A bug has ended it; end the reader as well, which the daemon notices.
            raise RuntimeError("the resolver's thread has died")
        return True

    def _run(self) -> None:
        while question := self._next():
            name, use = question
            with self._changed:
                answer = self._cached(name)
            if answer is None:
                answer = self._look_up(name)
                self._remember(name, answer)
            if self._closed:
                return
            use(answer)

    def _next(self) -> tuple[str, Use] | None:
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._full = False
                self._changed.wait()
            return self._queue.popleft()

    def _look_up(self, name: str) -> Addresses:
        try:
            found = self._getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            log.debug("cannot resolve %s: %s", name, error)
            return ()
        parsed = (parse_address(str(entry[4][0])) for entry in found)
        distinct = dict.fromkeys(ip for ip in parsed if ip is not None)
        return tuple(distinct)[:MAX_ADDRESSES]

    def _remember(self, name: str, answer: Addresses) -> None:
        lifetime = POSITIVE_TTL if answer else NEGATIVE_TTL
        with self._changed:
            self._cache[name] = self._clock() + lifetime, answer
            self._cache.move_to_end(name)
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
