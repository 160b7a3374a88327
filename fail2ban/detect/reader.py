# SPDX-License-Identifier: GPL-2.0-or-later
"""The body of a reader thread: a section's lines through its filter."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fail2ban.detect.filter import Match
from fail2ban.detect.logs import Logs
from fail2ban.detect.names import Addresses, Resolver, is_host_name
from fail2ban.detect.waker import Waker
from fail2ban.records import Failure, UseDns

log = logging.getLogger(__name__)

#: Names that we remember having warned about.
WARNED_NAMES = 1000

_NEVER = threading.Event()


@dataclass
class LogReader:
    """Pass the lines of a section's logs through its filter.

    `match`, `usedns` and `polltime` may be replaced while it runs: each is read
    anew for every line, host name or wait.

    Attributes:
        jail: name of the section served.
        logs: they deal with rotation, truncation and what cannot be read.
        match: the filter, called with a line and the time in seconds since the
            epoch; None for an innocent line.
        report: called with each Failure, in the order of the logs; for a host
            name it may be called later, on the resolver's thread.
        usedns: what to do with a host name in the place of an address.
        clock: seconds since the epoch.
        polltime: seconds between two looks at the logs when nothing wakes us.
        idle: called after each poll with the time.
    """

    jail: str
    logs: Logs
    match: Callable[[str, float], Match | None]
    report: Callable[[Failure], None]
    resolver: Resolver
    usedns: UseDns
    waker: Waker
    clock: Callable[[], float]
    polltime: float
    idle: Callable[[float], None]
    _batch: Iterator[str] | None = field(default=None, init=False, repr=False)
    _revision: int = field(default=-1, init=False, repr=False)
    _timeless: bool = field(default=False, init=False, repr=False)
    _warned: OrderedDict[str, None] = field(default_factory=OrderedDict, init=False, repr=False)

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set; it may be called again to go on.

        Whoever sets `stop` then calls `wake`, or waits for `polltime`.
        """
        while not stop.is_set():
            self.poll(stop)
            if self._revision != self.logs.revision:
                # What was written before it was watched wakes nobody: poll again.
                self._revision = self.logs.revision
                self.waker.watch(self.logs.paths())
            elif not stop.is_set():
                self.waker.wait(min(self.polltime, self.logs.due()))

    def poll(self, stop: threading.Event = _NEVER) -> None:
        """Handle what was appended to the logs since the last call.

        When `stop` is set it returns after the line at hand; the next call
        goes on with the line after it.
        """
        if self._batch is None:
            self._batch = self.logs.poll()
        for line in self._batch:
            self._handle(line)
            if stop.is_set():
                return
        self._batch = None
        self.idle(self.clock())

    def wake(self) -> None:
        """End the wait between two polls. May be called on any thread."""
        self.waker.wake()

    def close(self) -> None:
        """Close the logs; called when `run` has returned for the last time."""
        self._batch = None
        self.logs.close()
        self.waker.close()

    def _handle(self, line: str) -> None:
        match = self.match(line, self.clock())
        if match is None:
            return
        if match.time is None:
            self._warn_timeless()
        elif isinstance(match.host, str):
            self._resolve(match.host, match.time, line)
        else:
            self.report(Failure(self.jail, match.host, match.time, line))

    def _warn_timeless(self) -> None:
        if not self._timeless:
            log.warning(
                "%s: a line matches failregex but has no timestamp that timeregex finds;"
                " such lines are not counted",
                self.jail,
            )
        self._timeless = True

    def _resolve(self, name: str, time: float, line: str) -> None:
        if self.usedns == "no" or not is_host_name(name):
            log.debug("%s: ignoring the host name %r", self.jail, name)
            return
        if self.usedns == "warn":
            self._warn_about(name)

        def report(addresses: Addresses) -> None:
            for ip in addresses:
                self.report(Failure(self.jail, ip, time, line))

        self.resolver.resolve(name, report)

    def _warn_about(self, name: str) -> None:
        if name not in self._warned:
            log.warning(
                "%s: resolving %s, found where an address is expected; names in logs can be"
                " forged (usedns = no ignores them)",
                self.jail,
                name,
            )
        self._warned[name] = None
        self._warned.move_to_end(name)
        if len(self._warned) > WARNED_NAMES:
            self._warned.popitem(last=False)
