# SPDX-License-Identifier: GPL-2.0-or-later
"""A section at run time: a reader, a judge and the thread they share."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fail2ban.decide.court import Court
from fail2ban.decide.judge import Judge
from fail2ban.detect.guard import Guard
from fail2ban.detect.journal import Journal, JournalSource
from fail2ban.detect.logs import Logs
from fail2ban.detect.logstate import LogState
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.match import Matcher
from fail2ban.detect.names import Resolver
from fail2ban.detect.reader import LogReader
from fail2ban.detect.seek import Since
from fail2ban.detect.source import Source
from fail2ban.detect.waker import Waker
from fail2ban.detect.watches import Watches
from fail2ban.ledger import Remembered
from fail2ban.records import Ban, JailSettings, JournalSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """What all sections share.

    Attributes:
        load: returns what an earlier run has left of a section.
        restore: hands bans of an earlier run to whoever carries them out: the
            section, those in force, and those that are over.
        watches: what tells of changes to logs.
    """

    court: Court
    resolver: Resolver
    journal: Journal
    main: MainThread
    guard: Guard
    load: Callable[[str], Remembered] = lambda jail: Remembered()
    restore: Callable[[str, Sequence[Ban], Sequence[Ban]], None] = lambda jail, bans, over: None
    watches: Watches = field(default_factory=Watches)


class Jail:
    """Starts, stops and changes one section; called on the main thread.

    Raises:
        OSError, ValueError: its source cannot be opened.
    """

    def __init__(self, settings: JailSettings, filter: Matcher, services: Services) -> None:
        self.settings = settings
        self._filter = filter
        self._services = services
        self._waker = Waker(services.watches)
        # What an earlier run has left, until we have begun.
        self._left: Remembered | None = services.load(settings.name)
        since = services.court.clock() - settings.findtime
        self._source = self._open(settings, since, self._left.marks)
        filter.recall(self._left.marks)
        self.judge = Judge(settings, services.court)
        services.court.bans.recount(settings.name)
        self.reader = LogReader(
            jail=settings.name,
            source=self._source,
            match=filter.match,
            report=self.judge.hear,
            resolver=services.resolver,
            usedns=settings.filter.usedns,
            waker=self._waker,
            clock=services.court.clock,
            polltime=settings.polltime,
            idle=self.judge.forget,
            main=services.main,
            begin=self.judge.begin,
            defer=self.judge.defer,
            settle=self.judge.settle,
            done=self.judge.done,
            memory=filter.memory,
            dating=filter.dating,
        )
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read; at first, what an earlier run has left comes back."""
        if (left := self._left) is not None:
            self._left = None
            restore = functools.partial(self._services.restore, self.settings.name)
            self.judge.remember(left, restore)
            self.judge.resume(self.reader.resume)
        self._stop = stop = threading.Event()
        name = f"reader/{self.settings.name}"
        thread = threading.Thread(
            target=self._services.guard, args=(name, lambda: self.reader.run(stop)), name=name
        )
        thread.start()
        self._thread = thread  # for one that the system has no room for, nobody waits

    def halt(self) -> None:
        """Ask for a pause; returns at once."""
        self._stop.set()
        self.reader.wake()

    def pause(self) -> None:
        """Stop reading; `start` goes on at the same place."""
        self.halt()
        if self._thread is not None:
            self._services.main.join(self._thread)
            self._thread = None
            self.judge.rest()

    def close(self) -> None:
        """Stop for good."""
        self.pause()
        self.reader.close()
        self.judge.close()

    def change(self, settings: JailSettings, filter: Matcher) -> None:
        """Take over other settings while paused; counts and positions stay.

        Raises:
            OSError, ValueError: the other source cannot be opened.
        """
        self._redirect(settings)
        filter.recall(self._filter.memory())
        self._filter = filter
        self.reader.use(filter)
        self.reader.usedns = settings.filter.usedns
        self.reader.polltime = settings.polltime
        self.settings = settings
        self.judge.configure(settings)

    def followed(self) -> list[LogState]:
        """Return how the files are getting on that are read; any thread."""
        return self._source.states() if isinstance(self._source, Logs) else []

    # Where the lines come from -------------------------------------------------

    def _open(
        self, settings: JailSettings, since: float, marks: Mapping[str, str] = MappingProxyType({})
    ) -> Source:
        """Open the source where an earlier run has left it.

        Of what is there without a mark only what is younger than `since`.
        """
        if settings.journal is None:
            at_once = self._services.main.call  # there a search can be interrupted
            young = Since(lambda: max(since, self._window()), self._when, at_once)
            return Logs(
                settings.logs,
                tails=settings.tails,
                encoding=settings.encoding,
                since=young,
                marks=marks,
                sieve=self._filter.sieve,
            )
        journal, wake = self._services.journal, self._waker.wake
        sieve = self._filter.sieve
        return journal.source(settings.name, settings.journal, since, wake, marks, sieve)

    def _window(self) -> float:
        """Return from when on failures count at present."""
        return self._services.court.clock() - self.settings.findtime

    def _when(self, line: str) -> float | None:
        """Return the timestamp of a line."""
        return self._filter.when(line, self._services.court.clock())

    def _redirect(self, settings: JailSettings) -> None:
        """Read what the settings say from now on; a source that stays keeps its place."""
        old, source = self.settings, self._source
        if isinstance(source, Logs) and settings.journal is None:
            if _files(settings) != _files(old):
                source.repattern(settings.logs, settings.tails, settings.encoding)
        elif isinstance(source, JournalSource) and _same_journal(old.journal, settings.journal):
            source.rematch(settings.journal or JournalSettings())
        elif old.journal != settings.journal:
            # What was written before was counted, or belongs to others.
            from_now_on = replace(settings, tails=frozenset(settings.logs))
            self._source = self._open(from_now_on, self._services.court.clock())
            self.reader.follow(self._source)


def _files(settings: JailSettings) -> tuple[object, ...]:
    return settings.logs, settings.tails, settings.encoding


def _same_journal(old: JournalSettings | None, new: JournalSettings | None) -> bool:
    """Tell whether two sections differ at most in what they want of a journal."""
    if old is None or new is None:
        return False
    return replace(old, matches=()) == replace(new, matches=())
