# SPDX-License-Identifier: GPL-2.0-or-later
"""The body of a reader thread: a section's lines through its filter.

Source: jail-conf.md section 7.7 (usedns).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fail2ban.detect.mainthread import Closed, MainThread
from fail2ban.detect.match import Line, Match
from fail2ban.detect.matching import Chunks, Matching, MatchLine
from fail2ban.detect.names import Addresses, Resolver, is_host_name
from fail2ban.detect.source import Source
from fail2ban.detect.waker import Waker
from fail2ban.records import Failure, Id, UseDns
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Names that we remember having warned about.
WARNED_NAMES = 1000
#: Seconds between two polls of a source that wakes us itself.
REST = 60.0

_NEVER = threading.Event()


@dataclass
class LogReader:
    """Pass the lines of a section's logs through its filter.

    `match`, `usedns` and `polltime` may be replaced while it is paused.

    Attributes:
        jail: name of the section served.
        source: its lines.
        match: the filter, called on the main thread with a line and the time in
            seconds since the epoch; None for an innocent line. May raise OutOfTime.
        report: called with each Failure, in the order of the lines; for a host
            name it may be called later, on the resolver's thread.
        usedns: what to do with a host name in the place of an address.
        clock: seconds since the epoch.
        polltime: seconds between two looks at the source when nothing wakes us.
        idle: called after each poll with the time.
        main: where the filter works.
    """

    jail: str
    source: Source
    match: MatchLine
    report: Callable[[Failure], None]
    resolver: Resolver
    usedns: UseDns
    waker: Waker
    clock: Callable[[], float]
    polltime: float
    idle: Callable[[float], None]
    main: MainThread = field(default_factory=MainThread)
    _batch: Iterator[Line] | None = field(default=None, init=False, repr=False)
    _chunks: Chunks = field(default_factory=Chunks, init=False, repr=False)
    _revision: int = field(default=-1, init=False, repr=False)
    _timeless: bool = field(default=False, init=False, repr=False)
    _warned: OrderedDict[str, None] = field(default_factory=OrderedDict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._matching = Matching(self.jail, self.main)

    @property
    def given_up(self) -> int:
        """How many lines were given up because the patterns took too long."""
        return self._matching.given_up

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set; it may be called again to go on.

        Whoever sets `stop` then calls `wake`, or waits for `polltime`. On the
        main thread he waits with `MainThread.join`, for a line may be at hand.
        """
        while not stop.is_set():
            try:
                self.poll(stop)
            except Closed:
                return
            if self._revision != self.source.revision:
                # What was written before it was watched wakes nobody: poll again.
                self._revision = self.source.revision
                self.waker.watch(self.source.paths())
            elif not stop.is_set():
                self.waker.wait(min(self._rest(), self.source.due()))

    def poll(self, stop: threading.Event = _NEVER) -> None:
        """Handle what was appended to the logs since the last call.

        When `stop` is set it returns soon; the next call goes on with the line
        after the last that was dealt with.

        Raises:
            Closed: the main thread matches no more; nothing is lost.
        """
        if self._batch is None:
            self._batch = self.source.poll()
        while self._handle(stop):
            if not self._chunks.fill(self._batch):
                self._batch = None
                self._matching.idle()
                self.idle(self.clock())
                return

    def wake(self) -> None:
        """End the wait between two polls. May be called on any thread."""
        self.waker.wake()

    def follow(self, source: Source) -> None:
        """Read another source from now on; called while it is paused.

        What was taken from the old one is still dealt with.
        """
        self.source.close()
        self.source, self._batch, self._revision = source, None, -1

    def close(self) -> None:
        """Close the source; called when `run` has returned for the last time."""
        self._batch = None
        self.source.close()
        self.waker.close()

    def _rest(self) -> float:
        return max(self.polltime, REST) if self.source.notifies else self.polltime

    def _handle(self, stop: threading.Event) -> bool:
        """Deal with the chunk at hand; tell whether to go on."""
        chunks = self._chunks
        while not stop.is_set():
            while chunks.matches:
                self._judge(chunks.matches.popleft())
                if stop.is_set():
                    return False
            if not chunks.lines:
                return True
            if rest := self._matching.match(chunks, self.match, self.clock):
                stop.wait(rest)
        return False

    def _judge(self, match: Match) -> None:
        if match.time is None:
            self._warn_timeless()
        elif not match.is_name or self.usedns == "raw":
            self._blame(match, match.host)
        else:
            self._resolve(str(match.host), match)

    def _blame(self, match: Match, host: Id) -> None:
        assert match.time is not None
        failure = Failure(self.jail, host, match.time, match.lines, match.fid, match.groups)
        self.report(failure)

    def _warn_timeless(self) -> None:
        if not self._timeless:
            log.warning(
                "%s: a line matches failregex but has no timestamp that is understood;"
                " such lines are not counted",
                self.jail,
            )
        self._timeless = True

    def _resolve(self, name: str, match: Match) -> None:
        if self.usedns == "no" or not is_host_name(name):
            log.debug("%s: ignoring the host name %r", self.jail, name)
            return
        if self.usedns == "warn":
            self._warn_about(name)

        def report(addresses: Addresses) -> None:
            for ip in addresses:
                self._blame(match, ip)

        self.resolver.resolve(name, report)

    def _warn_about(self, name: str) -> None:
        if name not in self._warned:
            log.warning(
                "%s: resolving %s, found where an address is expected; names in logs can be"
                " forged (usedns = no ignores them)",
                self.jail,
                printable(name),
            )
        self._warned[name] = None
        self._warned.move_to_end(name)
        if len(self._warned) > WARNED_NAMES:
            self._warned.popitem(last=False)
