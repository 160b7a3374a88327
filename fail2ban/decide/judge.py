# SPDX-License-Identifier: GPL-2.0-or-later
"""One section's way from a failure to a ban.

Source: jail-conf.md sections 5.5, 5.6, 7.8 and 10.1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from fail2ban.decide import returning
from fail2ban.decide.bans import State
from fail2ban.decide.bantime import BanTimes, attempts
from fail2ban.decide.court import Court
from fail2ban.decide.docket import Docket
from fail2ban.decide.history import NO_PAST, Past
from fail2ban.decide.ignoring import Ignoring
from fail2ban.decide.inquiry import SHARE, Inquiry
from fail2ban.decide.tracker import Tracker
from fail2ban.ledger import Deferred, Remembered, Suspect
from fail2ban.records import Ban, Failure, Id, JailSettings, Ticket

#: Seconds between two complaints about one address that gets through its ban.
COMPLAINT_INTERVAL = 60.0

#: Seconds for which a failure is as good as of now: clocks differ, and many logs
#: show whole seconds.
FRESH = 60.0

#: Gets bans of an earlier run: those in force, and those that are over.
Restore = Callable[[Sequence[Ban], Sequence[Ban]], None]


class Judge:
    """Hear the failures of one section and order bans.

    `begin`, `hear` and `done` run on the section's reader thread, `settle` on any.
    What takes time about a failure (a command, a name server) is found out on
    another thread, and counts as of the moment when it was heard.

    Attributes:
        found_total: failures that counted, since the start.
    """

    def __init__(self, settings: JailSettings, court: Court) -> None:
        self._court, self._bans = court, court.bans
        self.found_total = 0
        self._tracker = Tracker(settings.maxretry, settings.findtime, settings.maxmatches)
        self._inquiry = Inquiry(settings.name)
        self._docket = Docket(settings.name, self._tracker, court.bans, court.history)
        self._adopt(settings)

    @property
    def tracker(self) -> Tracker:
        """Who fails; for whoever watches."""
        return self._tracker

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

    # The reader's calls -------------------------------------------------------

    def begin(self) -> None:
        """Expect failures that belong together with the place that `done` names."""
        self._docket.begin()

    def hear(self, failure: Failure) -> None:
        """Count a failure, and order a ban if it was one too many."""
        with self._docket:
            self._hear(failure, self._court.clock())

    def defer(self, failure: Failure, named: bool = True) -> int:
        """Note a failure that waits for an answer; return its number for `settle`.

        Args:
            named: its `ip` is a host name.
        """
        with self._docket:
            return self._docket.defer(Deferred(failure, named, self._court.clock()))

    def settle(self, number: int, failures: Sequence[Failure]) -> None:
        """Hear what a deferred failure has come to; a second time it is nothing."""
        with self._docket:
            if deferred := self._docket.settle(number):
                for failure in failures:
                    self._hear(failure, deferred.heard)

    def done(self, marks: Mapping[str, str]) -> None:
        """Note how far the source was read: all up to there was heard."""
        self._docket.done(marks)

    # By hand -------------------------------------------------------------------

    def ban(self, id: Id) -> bool:
        """Ban by hand, even who is ignored; tell whether the id was not banned already.

        Any thread.
        """
        now = self._court.clock()
        with self._docket:
            bans = self._past(id, now).bans
            ticket = Ticket(self._settings.name, id, failures=0, time=now)
            is_new = self._order(ticket, self._times.seconds(bans), now, bans)
            self._docket.save_bans()
        return is_new

    def pardon(self, id: Id | None) -> None:
        """Forget that an id was ever banned; None: that anybody was. Any thread."""
        history, name = self._court.history, self._settings.name
        with self._docket:
            for one in history.ids(name) if id is None else [id]:
                history.forget(name, one)
                self._docket.banned(one)

    # Beyond the end of the process ---------------------------------------------

    def remember(self, left: Remembered, restore: Restore) -> None:
        """Take over what an earlier run has left, before anything is read.

        Args:
            restore: puts bans in force, and those that are over, into the table.
        """
        now = self._court.clock()
        with self._docket:
            self._docket.load(left.marks, left.deferred)
            counting = {id: one for id, one in left.suspects.items() if not self.ignores(id)}
            self._tracker.load(counting, now)
            self._tracker.touch(left.suspects.keys() - counting.keys())
            bans, over = returning.sort(
                self._settings, left.bans, left.unknown, now, self._ignoring.spares
            )
            restore(bans, over)
            # The others stand as they are stored.
            stored = set(map(id, left.bans))
            for ban in [*over, *(ban for ban in bans if id(ban) not in stored)]:
                self._docket.banned(ban.id)

    def resume(self, resolve: Callable[[int, Failure], None]) -> None:
        """Go on with the failures that an earlier run had no answer for; any thread.

        Args:
            resolve: has the host name in a failure resolved, and settles its number.
        """
        for number, deferred in self._docket.waiting():
            if deferred.named:
                resolve(number, deferred.failure)
            else:
                self.settle(number, [deferred.failure])

    def renew(self) -> None:
        """Have everything stored once more: what was stored is lost. Any thread."""
        self._docket.renew()

    def suspect(self, id: Id) -> Suspect | None:
        """Return what counts against an id so far; None: nothing. Any thread."""
        return self._tracker.suspect(id)

    def ignores(self, id: Id) -> str | None:
        """Say why an id is ignored, or None if, as far as is known at once, it is not."""
        return self._ignoring.reason(id)

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        self._tracker.forget(now)

    def rest(self) -> None:
        """Have bans saved although the poll that led to them was broken off."""
        self._docket.save_bans()

    def close(self) -> None:
        """Hear no more of what still takes time: a later run begins with what is stored."""
        self._inquiry.close()
        self._docket.close()

    def _adopt(self, settings: JailSettings, old: JailSettings | None = None) -> None:
        court, name = self._court, settings.name
        self._settings = settings
        self._times = BanTimes(name, settings.bantime, settings.growth, court.rng)
        if old is None or settings.ignore != old.ignore:
            self._ignoring = Ignoring(
                name, settings.ignore, court.own, court.hosts, court.asker, court.ticks
            )

    # Whom to ignore ----------------------------------------------------------

    def _inquire(self, number: int, failure: Failure) -> None:
        """Do what takes time; on the thread of the inquiry."""
        reason = self._ignoring.find_out(failure)
        with self._docket:
            if not self._inquiry.closed and (deferred := self._docket.settle(number)):
                self._conclude(failure, deferred.heard, reason)

    def _acquit(self) -> None:
        """Lift the bans of those who are ignored now, once more when all names are known."""
        self._lift_ignored()
        if self._ignoring.awaited:
            self._inquiry.put(None, self._acquit_later)

    def _acquit_later(self) -> None:
        self._ignoring.wait()
        if not self._inquiry.closed:
            self._lift_ignored()

    def _lift_ignored(self) -> None:
        for entry in self._bans.of(self._settings.name):
            if self._ignoring.spares(entry.ban):
                self._bans.lift(entry)

    # Counting and banning; within a change of the docket ----------------------

    def _hear(self, failure: Failure, now: float) -> None:
        if self._ignoring.clears(failure):
            return self._conclude(failure, now, None)
        reason = self._ignoring.known_reason(failure)
        if reason is None and self._ignoring.takes_time(failure):
            number = self._docket.defer(Deferred(failure, False, now))
            share = max(SHARE, self._settings.maxretry)
            work = functools.partial(self._inquire, number, failure)
            if not self._inquiry.put(failure.id, work, share):
                self._docket.settle(number)
        else:
            self._conclude(failure, now, reason)

    def _conclude(self, failure: Failure, heard: float, reason: str | None) -> None:
        if reason is not None:
            self._court.notices.ignored(failure, reason)
            return
        self._court.notices.found(failure)
        self.found_total += 1
        weight, past = 1, NO_PAST
        if self._settings.growth:
            past = self._past(failure.id, heard)
            if failure.time > past.last:
                weight = attempts(past.bans, self._settings.maxretry)
        ticket = self._tracker.add(failure, heard, weight)
        if weight > 1:
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
        self._docket.banned(ticket.id)
        self._tell(entry.ban)
        if bans and self._settings.growth and self._settings.bantime is not None:
            self._court.notices.increased(entry.ban)
        return True

    def _tell(self, ban: Ban) -> None:
        self._court.events.tell(
            "decided",
            ban.jail,
            ban.id,
            start=ban.start,
            end=ban.end,
            failures=ban.ticket.failures,
            count=ban.count,
            lines=list(ban.ticket.lines),
            manual=ban.ticket.failures == 0,
        )

    def _start(self, ticket: Ticket, now: float) -> float:
        """Return when a ban begins: in the classic language now, in a tree with its failure."""
        late = self._settings.filter.tagged and now - ticket.time > FRESH
        return ticket.time if late else now

    def _complain(self, ticket: Ticket, now: float) -> None:
        """An address fails although it is banned: say so, ban it once more, and for longer.

        Somebody may have taken it out of the firewall. What it did before its
        ban was in force, and told, means nothing. A flood of lines makes one
        complaint a minute.
        """
        entry = self._bans.get(ticket.jail, ticket.id)
        if entry is None or entry.state is not State.APPLIED or not entry.announced:
            return
        if ticket.time < entry.applied_at:
            return
        if not 0 <= now - entry.complained_at < COMPLAINT_INTERVAL:
            entry.complained_at = now
            self._court.notices.already_banned(ticket)
            seconds = self._times.seconds(entry.ban.count - 1)
            if self._bans.extend(entry, None if seconds is None else ticket.time + seconds):
                self._docket.banned(ticket.id)
            self._bans.renew(entry)
