# SPDX-License-Identifier: GPL-2.0-or-later
"""Say what has become of bans: in our log, to those who listen, by mail.

A ban is reported once it is in force (promise F1) and would outlive us (promise
S1); what was never reported does not end aloud either.
"""

from __future__ import annotations

from collections.abc import Callable

from fail2ban.decide.bans import Bans, Entry, State
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.events import Kind
from fail2ban.notices import Notices
from fail2ban.records import Ban


class Reporter:
    """Report bans; everything runs on the runner's thread.

    Args:
        scaffold: knows whose commands are only shown, and who listens.
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
        applied: called when a new ban is in force.
    """

    def __init__(
        self,
        bans: Bans,
        scaffold: Scaffold,
        notices: Notices,
        clock: Callable[[], float],
        ticks: Callable[[], float],
        applied: Callable[[Ban], None],
    ) -> None:
        self._bans, self._scaffold, self._notices = bans, scaffold, notices
        self._clock, self._ticks, self._applied = clock, ticks, applied
        #: Of those in force, but not reported: seconds since their line was taken.
        self._delays: dict[Entry, float] = {}

    def in_force(self, entry: Entry) -> None:
        """Note that all actions have carried out a ban just now."""
        entry.applied_at = self._clock()
        seen = entry.ban.ticket.seen
        if entry.announced:
            self._notices.rebanned(entry.ban)
            self._tell_applied("rebanned", entry, None)
        elif seen > 0 and not entry.ban.restored:
            self._delays.setdefault(entry, self._ticks() - seen)

    def announce(self, entry: Entry) -> None:
        """Report a ban for the first time, if it is in force and would outlive us."""
        if entry.announced or entry.lifting or not entry.durable:
            return
        if entry.reached is State.APPLIED and self._bans.holds(entry):
            entry.announced = True
            self._notices.banned(entry.ban)
            self._tell_applied("banned", entry, self._delays.pop(entry, None))
            if not entry.ban.restored and not self._scaffold.is_dry(entry.ban.jail):
                self._applied(entry.ban)

    def failed(self, entry: Entry, reason: str, quiet: bool = False) -> None:
        """Report that a ban is not in force.

        Args:
            quiet: leave it out of our log.
        """
        if not quiet:
            self._notices.ban_failed(entry.ban, reason)
        self._tell("ban_failed", entry, reason=reason)

    def prolonged(self, entry: Entry) -> None:
        """Report that a ban lasts longer."""
        self._tell("prolonged", entry, end=entry.ban.end)

    def ended(self, entry: Entry, repeal: bool = False) -> None:
        """Report that a ban is no more, if it was ever reported.

        Args:
            repeal: the reason is that its section ends.
        """
        self._delays.pop(entry, None)
        if not entry.announced:
            return
        entry.announced = False
        (self._notices.repealed if repeal else self._notices.unbanned)(entry.ban)
        self._tell("repealed" if repeal else "unbanned", entry)

    def _tell_applied(self, kind: Kind, entry: Entry, seconds: float | None) -> None:
        ban = entry.ban
        self._tell(
            kind,
            entry,
            start=ban.start,
            end=ban.end,
            count=ban.count,
            restored=ban.restored,
            seconds=seconds,
        )

    def _tell(self, kind: Kind, entry: Entry, **facts: object) -> None:
        jail = entry.ban.jail
        dry = self._scaffold.is_dry(jail)
        self._scaffold.events.tell(kind, jail, entry.ban.id, **facts, dryrun=dry)
