# SPDX-License-Identifier: GPL-2.0-or-later
"""The body of a reader thread: a section's lines through its filter.

Source: jail-conf.md section 7.7 (usedns).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fail2ban.bursts import burst
from fail2ban.detect.dating import Dating
from fail2ban.detect.mainthread import Closed, MainThread
from fail2ban.detect.match import Line, Match, Matcher
from fail2ban.detect.matching import Chunks, Matching, MatchLine
from fail2ban.detect.names import Addresses, Resolver, is_host_name
from fail2ban.detect.source import Source
from fail2ban.detect.waker import Waker
from fail2ban.records import Failure, UseDns
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Names that we remember having warned about.
WARNED_NAMES = 1000
#: Seconds between two polls of what wakes us by itself.
REST = 60.0

_NEVER = threading.Event()


def _nothing(*args: object) -> None:
    """Do nothing, for whoever keeps no account of what has been read."""


def _unnumbered(failure: Failure) -> int:
    """Return the number of a failure where numbers mean nothing."""
    return 0


@dataclass
class LogReader:
    """Pass the lines of a section's logs through its filter.

    `usedns` and `polltime` may be replaced while it is paused.

    Attributes:
        jail: name of the section served.
        source: its lines.
        match: the filter, called on the main thread with a line and the time in
            seconds since the epoch; None for an innocent line. May raise OutOfTime.
        report: called with each Failure, in the order of the lines.
        usedns: what to do with a host name in the place of an address.
        clock: seconds since the epoch.
        polltime: seconds between two looks at the source when nothing wakes us.
        idle: called after each poll with the time.
        main: where the filter works.
        ticks: seconds that only go forward.
        begin: called when a poll has brought the first lines.
        defer: called with a Failure whose `ip` is a host name; returns its number.
        settle: called once with each such number and the failures that it comes to,
            maybe on the resolver's thread. None: they are reported.
        done: called when all lines of a poll are dealt with, with the marks of how
            far that is and what the filter remembers; not when nothing has changed.
        memory: what the filter remembers, see `Matcher`.
        dating: what it notices about timestamps.

    For whoever watches, on any thread, these are counted since the start:

    Attributes:
        matches: that were found on them.
        timeless: of those, which had no timestamp, so do not count.
        last_line, last_match: when the last one was taken or found, seconds since the
            epoch; 0: none was.
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
    ticks: Callable[[], float] = time.monotonic
    begin: Callable[[], object] = _nothing
    defer: Callable[[Failure], int] = _unnumbered
    settle: Callable[[int, Sequence[Failure]], object] | None = None
    done: Callable[[Mapping[str, str]], object] = _nothing
    memory: Callable[[], Mapping[str, str]] = dict
    dating: Dating = field(default_factory=Dating)
    matches: int = field(default=0, init=False)
    timeless: int = field(default=0, init=False)
    last_line: float = field(default=0.0, init=False)
    last_match: float = field(default=0.0, init=False)
    _batch: Iterator[Line] | None = field(default=None, init=False, repr=False)
    _chunks: Chunks = field(default_factory=Chunks, init=False, repr=False)
    _revision: int = field(default=-1, init=False, repr=False)
    _begun: bool = field(default=False, init=False, repr=False)
    _lines: int = field(default=0, init=False, repr=False)
    _seen: float = field(default=0.0, init=False, repr=False)
    _marks: Mapping[str, str] | None = field(default=None, init=False, repr=False)
    _warned: OrderedDict[str, None] = field(default_factory=OrderedDict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._matching = Matching(self.jail, self.main)

    @property
    def lines(self) -> int:
        """How many lines were taken from the source, also those that were passed over."""
        return self._lines + self.source.lines

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
                self._finish()
                return
            self._note()

    def _note(self) -> None:
        """Note that lines have been taken, for a start or some more."""
        if not self._begun:
            self._begun = True
            self.begin()
        self.last_line, self._seen = self.clock(), self.ticks()

    def _finish(self) -> None:
        """Say that all lines of a poll are dealt with."""
        marks = self.source.marks()
        if self._begun or marks is not self._marks:
            self._begun, self._marks = False, marks
            self.done({**marks, **self.memory()})
        self._matching.idle()
        self.idle(self.clock())

    def wake(self) -> None:
        """End the wait between two polls. May be called on any thread."""
        self.waker.wake()

    def follow(self, source: Source) -> None:
        """Read another source from now on; called while it is paused.

        What was taken from the old one is still dealt with.
        """
        self.source.close()
        self._lines += self.source.lines
        self.source, self._batch, self._revision, self._marks = source, None, -1, None

    def use(self, filter: Matcher) -> None:
        """Have the lines to come matched by another filter; called while it is paused."""
        self.match, self.memory, self.dating = filter.match, filter.memory, filter.dating
        self.source.use(filter.sieve)

    def resume(self, number: int, failure: Failure) -> None:
        """Find out what a failure comes to that an earlier run has deferred.

        Called before the first `run`; `settle` is called as for others.
        """
        if self.usedns == "raw":
            self._settle(number, (failure,))
        elif self.usedns == "no":
            self._settle(number, ())
        else:
            self._resolve(number, failure)

    def close(self) -> None:
        """Close the source; called when `run` has returned for the last time."""
        self._batch = None
        self.source.close()
        self.waker.close()

    def _rest(self) -> float:
        wakes = self.source.notifies or self.waker.suffices
        return max(self.polltime, REST) if wakes else self.polltime

    def _handle(self, stop: threading.Event) -> bool:
        """Deal with the chunk at hand; tell whether to go on."""
        chunks = self._chunks
        while not stop.is_set():
            with burst():
                while chunks.matches and not stop.is_set():
                    self._judge(*chunks.matches.popleft())
            if stop.is_set():
                return False
            if not chunks.lines:
                return True
            rest = self._matching.match(chunks, self.match, self.clock)
            self.dating.sample()
            if rest:
                stop.wait(rest)
        return False

    def _judge(self, match: Match, line: Line) -> None:
        self.matches += 1
        self.last_match = self.last_line
        if line.tally is not None:
            line.tally.matches += 1
            line.tally.last_match = self.last_match
        if match.time is None:
            self._warn_timeless()
            return
        seen = self._seen if line.live else 0.0
        failure = Failure(
            self.jail, match.host, match.time, match.lines, match.fid, match.groups, seen
        )
        if not match.is_name or self.usedns == "raw":
            self.report(failure)
        elif self._may_resolve(str(match.host)):
            self._resolve(self.defer(failure), failure)

    def _warn_timeless(self) -> None:
        self.timeless += 1
        if self.timeless == 1:
            log.warning(
                "%s: a line matches failregex but has no timestamp that is understood;"
                " such lines are not counted",
                self.jail,
            )

    def _may_resolve(self, name: str) -> bool:
        if self.usedns == "no" or not is_host_name(name):
            log.debug("%s: ignoring the host name %r", self.jail, name)
            return False
        if self.usedns == "warn":
            self._warn_about(name)
        return True

    def _resolve(self, number: int, failure: Failure) -> None:
        def settle(addresses: Addresses) -> None:
            self._settle(number, [replace(failure, ip=ip) for ip in addresses])

        self.resolver.resolve(str(failure.ip), settle)

    def _settle(self, number: int, failures: Sequence[Failure]) -> None:
        if self.settle is not None:
            self.settle(number, failures)
            return
        for failure in failures:
            self.report(failure)

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
