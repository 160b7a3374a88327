# SPDX-License-Identifier: GPL-2.0-or-later
"""One section's way from a failure to a ban.

Source: jail-conf.md sections 5.5, 5.6, 7.8 and 10.1.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fail2ban.decide.bans import Bans, State
from fail2ban.decide.bantime import BanTimes, attempts
from fail2ban.decide.history import History, Past
from fail2ban.decide.hosts import Hosts
from fail2ban.decide.ignore import IgnoreList, OwnAddresses
from fail2ban.decide.ignorecommand import Asker, IgnoreCommand
from fail2ban.decide.inquiry import SHARE, Inquiry
from fail2ban.decide.tracker import Tracker
from fail2ban.notices import Notices
from fail2ban.records import Failure, Id, JailSettings, Ticket

#: Seconds between two complaints about one address that gets through its ban.
COMPLAINT_INTERVAL = 60.0

#: Seconds for which a failure is as good as of now: clocks differ, and many logs
#: show whole seconds.
FRESH = 60.0


@dataclass(frozen=True)
class Court:
    """What the judges of all sections share.

    Attributes:
        bans: the table of all sections.
        own: the addresses of this host.
        hosts: those of names in `ignoreip`.
        history: earlier bans.
        notices: tells what happens, in the wording that was asked for.
        asker: runs `ignorecommand`.
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
        rng: for bans of random length.
    """

    bans: Bans
    own: OwnAddresses
    hosts: Hosts
    history: History
    notices: Notices
    asker: Asker
    clock: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)


class Judge:
    """Hear the failures of one section and order bans.

    `hear` runs on the section's reader thread, or on that of the resolver. What
    takes time about a failure (a command, a name server) is found out on
    another thread, and counts as of the moment when it was heard.

    Attributes:
        found_total: failures that counted, since the start.
    """

    def __init__(self, settings: JailSettings, court: Court) -> None:
        self._court, self._bans = court, court.bans
        self.found_total = 0
        self._tracker = Tracker(settings.maxretry, settings.findtime, settings.maxmatches)
        self._inquiry = Inquiry(settings.name)
        self._lock = threading.Lock()  # guards the sum
        self._adopt(settings)

    @property
    def found(self) -> int:
        """How many ids are watched at the moment."""
        return len(self._tracker)

    @property
    def banned_total(self) -> int:
        """How many bans were decided since the start."""
        return self._bans.total(self._settings.name)

    def configure(self, settings: JailSettings) -> None:
        """Take over other limits; counts and bans stay, unless now ignored."""
        self._tracker.limit(settings.maxretry, settings.findtime, settings.maxmatches)
        self._adopt(settings, self._settings)
        self._acquit()

    def hear(self, failure: Failure) -> None:
        """Count a failure, and order a ban if it was one too many."""
        now = self._court.clock()
        reason = self._known_reason(failure)
        if reason is None and self._takes_time(failure):
            share = max(SHARE, self._settings.maxretry)
            self._inquiry.put(failure.id, functools.partial(self._inquire, failure, now), share)
        else:
            self._conclude(failure, now, reason)

    def ban(self, id: Id) -> bool:
        """Ban by hand, even who is ignored; tell whether the id was not banned already.

        Any thread.
        """
        now = self._court.clock()
        bans = self._past(id, now).bans
        ticket = Ticket(self._settings.name, id, failures=0, time=now)
        return self._order(ticket, self._times.seconds(bans), now, bans)

    def ignores(self, id: Id) -> str | None:
        """Say why an id is ignored, or None if, as far as is known at once, it is not."""
        return self._ignore.reason(id)

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        self._tracker.forget(now)

    def close(self) -> None:
        """Hear no more of what still takes time."""
        self._inquiry.close()

    def _adopt(self, settings: JailSettings, old: JailSettings | None = None) -> None:
        court, name = self._court, settings.name
        self._settings = settings
        self._times = BanTimes(name, settings.bantime, settings.growth, court.rng)
        if old is None or settings.ignore != old.ignore:
            ignore = settings.ignore
            self._ignore = IgnoreList(name, ignore, court.own, court.hosts, court.ticks)
            self._command = IgnoreCommand(name, ignore, court.asker, court.ticks)
            self._ignore.awaited()  # asks the name servers in good time

    # Whom to ignore ----------------------------------------------------------

    def _known_reason(self, failure: Failure) -> str | None:
        reason = self._ignore.reason(failure.id)
        if reason is None and failure.fid is not None:
            reason = self._ignore.reason(failure.ip)
        if reason is None and self._command and self._command.remembered(failure):
            reason = "command"
        return reason

    def _takes_time(self, failure: Failure) -> bool:
        if self._ignore.awaited():
            return True
        return bool(self._command) and self._command.remembered(failure) is None

    def _inquire(self, failure: Failure, heard: float) -> None:
        """Do what takes time; on the thread of the inquiry."""
        self._ignore.wait()
        reason = self._known_reason(failure)
        if reason is None and self._command and self._command.ask(failure):
            reason = "command"
        if not self._inquiry.closed:
            self._conclude(failure, heard, reason)

    def _acquit(self) -> None:
        """Lift the bans of those who are ignored now, once more when all names are known."""
        self._lift_ignored()
        if self._ignore.awaited():
            self._inquiry.put(None, self._acquit_later)

    def _acquit_later(self) -> None:
        self._ignore.wait()
        if not self._inquiry.closed:
            self._lift_ignored()

    def _lift_ignored(self) -> None:
        for entry in self._bans.of(self._settings.name):
            if self._ignore.reason(entry.ban.id) or self._ignore.reason(entry.ban.ip):
                self._bans.lift(entry)

    # Counting and banning ----------------------------------------------------

    def _conclude(self, failure: Failure, heard: float, reason: str | None) -> None:
        if reason is not None:
            self._court.notices.ignored(failure, reason)
            return
        self._court.notices.found(failure)
        with self._lock:
            self.found_total += 1
        past = self._past(failure.id, heard) if self._settings.growth else Past()
        weight = 1
        if failure.time > past.last:
            weight = attempts(past.bans, self._settings.maxretry)
        ticket = self._tracker.add(failure, heard, weight)
        if past.bans and weight > 1:
            self._court.notices.found_again(failure, past.bans, weight, ticket is not None)
        if ticket is not None:
            self._ban(ticket)

    def _past(self, id: Id, now: float) -> Past:
        growth = self._settings.growth
        everywhere = growth is not None and growth.all_jails
        return self._court.history.past(None if everywhere else self._settings.name, id, now)

    def _ban(self, ticket: Ticket) -> None:
        """Order a ban, as long as it is to be from the first moment on."""
        now = self._court.clock()
        bans = self._past(ticket.id, now).bans
        seconds, start = self._times.seconds(bans), self._start(ticket, now)
        if seconds is not None and start < now and start + seconds <= now:
            self._court.notices.expired(ticket)
            return
        if not self._order(ticket, seconds, start, bans):
            self._complain(ticket, now)

    def _order(self, ticket: Ticket, seconds: float | None, start: float, bans: int) -> bool:
        """Order a ban after `bans` earlier ones; tell whether there was none in force."""
        entry = self._bans.ban(ticket, seconds, start, bans + 1)
        if entry is None:
            return False
        self._court.history.add(entry.ban)
        if bans and self._settings.growth and self._settings.bantime is not None:
            self._court.notices.increased(entry.ban)
        return True

    def _start(self, ticket: Ticket, now: float) -> float:
        """Return when a ban begins: in the classic language now, in a tree with its failure."""
        late = self._settings.filter.tagged and now - ticket.time > FRESH
        return ticket.time if late else now

    def _complain(self, ticket: Ticket, now: float) -> None:
        """An address fails although it is banned: say so, ban it once more, and for longer.

        Somebody may have taken it out of the firewall. What it did before its
        ban was in force means nothing. A flood of lines makes one complaint a
        minute.
        """
        entry = self._bans.get(ticket.jail, ticket.id)
        if entry is None or entry.state is not State.APPLIED or ticket.time < entry.applied_at:
            return
        if not 0 <= now - entry.complained_at < COMPLAINT_INTERVAL:
            entry.complained_at = now
            self._court.notices.already_banned(ticket)
            seconds = self._times.seconds(entry.ban.count - 1)
            self._bans.extend(entry, None if seconds is None else ticket.time + seconds)
            self._bans.renew(entry)
