# SPDX-License-Identifier: GPL-2.0-or-later
"""One section's way from a failure to a ban."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fail2ban import notices
from fail2ban.decide.bans import Bans, State
from fail2ban.decide.ignore import IgnoreList, OwnAddresses
from fail2ban.decide.tracker import Tracker
from fail2ban.records import Failure, JailSettings, Ticket

log = logging.getLogger(__name__)

#: Seconds between two complaints about one address that gets through its ban.
COMPLAINT_INTERVAL = 60.0


class Judge:
    """Hear the failures of one section and order bans.

    `hear` runs on the section's reader thread, or on that of the resolver.

    Args:
        bans: the table of all sections.
        own: the addresses of this host.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: JailSettings,
        bans: Bans,
        own: OwnAddresses,
        clock: Callable[[], float],
    ) -> None:
        self._bans, self._own, self._clock = bans, own, clock
        self._tracker = Tracker(settings.maxretry, settings.findtime)
        self._adopt(settings)

    def configure(self, settings: JailSettings) -> None:
        """Take over other limits; counts and bans stay, unless now ignored."""
        self._tracker.limit(settings.maxretry, settings.findtime)
        self._adopt(settings)
        for entry in self._bans.of(settings.name):
            if self._ignore.reason(entry.ban.ip):
                self._bans.lift(entry)

    def hear(self, failure: Failure) -> None:
        """Count a failure, and order a ban if it was one too many."""
        if (reason := self._ignore.reason(failure.ip)) is not None:
            log.debug("%s: %s ignored: %s", failure.jail, failure.ip, reason)
            return
        log.debug("%s: found %s", failure.jail, failure.ip)
        now = self._clock()
        ticket = self._tracker.add(failure, now)
        if ticket and not self._bans.ban(ticket, self._settings.bantime, now):
            self._complain(ticket, now)

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        self._tracker.forget(now)

    def _adopt(self, settings: JailSettings) -> None:
        self._settings = settings
        self._ignore = IgnoreList(settings.ignoreip, self._own)

    def _complain(self, ticket: Ticket, now: float) -> None:
        """An address fails although it is banned: say so and ban it once more.

        Somebody may have taken it out of the firewall. What it did before its
        ban was in force means nothing. A flood of lines makes one complaint a
        minute.
        """
        entry = self._bans.get(ticket.jail, ticket.ip)
        if entry is None or entry.state is not State.APPLIED or ticket.time < entry.applied_at:
            return
        if not 0 <= now - entry.complained_at < COMPLAINT_INTERVAL:
            entry.complained_at = now
            notices.already_banned(ticket)
            self._bans.renew(entry)
