# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell as events what else is told in the log about those who fail.

What becomes of a ban is told as an event by whoever carries it out, who knows how
long it took; here it only goes to the log.
"""

from __future__ import annotations

from fail2ban.events import Events, Kind
from fail2ban.notices import Notices
from fail2ban.records import Ban, Failure, Ticket

#: Characters of a line that are told.
LINE_LENGTH = 512


class Recording:
    """Notices that are events, too. Any thread.

    Args:
        notices: writes them to the log.
    """

    def __init__(self, notices: Notices, events: Events) -> None:
        self._notices, self._events = notices, events

    def found(self, failure: Failure) -> None:
        self._notices.found(failure)
        if self._events.reach("found"):
            self._tell("found", failure, lines=_lines(failure), attempts=1)

    def found_again(self, failure: Failure, bans: int, attempts: int, enough: bool) -> None:
        self._notices.found_again(failure, bans, attempts, enough)
        self._tell("found_again", failure, attempts=attempts, bans=bans)

    def ignored(self, failure: Failure, reason: str) -> None:
        self._notices.ignored(failure, reason)
        if self._events.reach("ignored"):
            self._tell("ignored", failure, lines=_lines(failure), by=reason)

    def expired(self, ticket: Ticket) -> None:
        self._notices.expired(ticket)
        self._tell("expired", ticket)

    def already_banned(self, ticket: Ticket) -> None:
        self._notices.already_banned(ticket)
        self._tell("already_banned", ticket)

    def increased(self, ban: Ban) -> None:
        self._notices.increased(ban)

    def banned(self, ban: Ban) -> None:
        self._notices.banned(ban)

    def rebanned(self, ban: Ban) -> None:
        self._notices.rebanned(ban)

    def unbanned(self, ban: Ban) -> None:
        self._notices.unbanned(ban)

    def repealed(self, ban: Ban) -> None:
        self._notices.repealed(ban)

    def ban_failed(self, ban: Ban, reason: str) -> None:
        self._notices.ban_failed(ban, reason)

    def restoring(self) -> None:
        self._notices.restoring()

    def _tell(self, kind: Kind, about: Failure | Ticket, **facts: object) -> None:
        self._events.tell(kind, about.jail, about.id, time=about.time, **facts)


def _lines(failure: Failure) -> list[str]:
    return [line[:LINE_LENGTH] for line in failure.lines]
