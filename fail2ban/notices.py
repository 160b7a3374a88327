# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of a ban's life, whose wording scripts and filters rely on.

There are two wordings: that of 0.6, and that which the `recidive` filter and
the log watchers of today read.

Source: fail2ban-conf-0.6.md section 9; jail-conf.md sections 5.5, 5.6, 7.8 and
10.1, and lines of a log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Protocol

from fail2ban.durations import duration, moment
from fail2ban.levels import NOTICE
from fail2ban.records import Ban, Failure, Id, Ticket

log = logging.getLogger(__name__)

# Watchers of our log ask for these names.
_filter = logging.getLogger("fail2ban.filter")
_actions = logging.getLogger("fail2ban.actions")
_observer = logging.getLogger("fail2ban.observer")

# What may come with each line is put into words only where somebody reads them.

_HARMLESS = re.compile(r"[\w.:@%/+=-]+", re.ASCII)


class Notices(Protocol):
    """Tells what happens to those who fail. Any thread."""

    def found(self, failure: Failure) -> None:
        """Tell that a failure counts."""

    def found_again(self, failure: Failure, bans: int, attempts: int, enough: bool) -> None:
        """Tell that it counts as several, after so many bans; `enough` for another."""

    def ignored(self, failure: Failure, reason: str) -> None:
        """Tell that a failure does not count."""

    def increased(self, ban: Ban) -> None:
        """Tell that a ban is longer than the first one would be."""

    def banned(self, ban: Ban) -> None:
        """Tell that the firewall holds an address that it did not hold before."""

    def rebanned(self, ban: Ban) -> None:
        """Tell that the firewall holds an address again that it had lost."""

    def unbanned(self, ban: Ban) -> None:
        """Tell that the firewall has let go of an address."""

    def repealed(self, ban: Ban) -> None:
        """Tell the same when the reason is that the section ends."""

    def already_banned(self, ticket: Ticket) -> None:
        """Tell that an address still gets through although it is banned."""

    def expired(self, ticket: Ticket) -> None:
        """Tell that a ban would be over already, since its failures are old."""

    def ban_failed(self, ban: Ban, reason: str) -> None:
        """Tell, once, that a ban is not in force; retries are told at INFO."""

    def restoring(self) -> None:
        """Tell that everything is being taken down."""


def of(modern: bool, is_dry: Callable[[str], bool] | None = None) -> Notices:
    """Return the wording that the configuration asks for.

    Args:
        is_dry: tells of a section whether its commands are only shown; any thread.
    """
    words: Notices = Modern() if modern else Classic()
    return words if is_dry is None else Rehearsed(words, is_dry)


def shown(id: Id) -> str:
    """Write an id; quoted unless it can only be read as what it is.

    `]  Ban 192.0.2.7` as the name of an account would else look like another
    message of ours to those who read our log.
    """
    text = str(id)
    return text if _HARMLESS.fullmatch(text) else repr(text)


class Classic:
    """The words of 0.6."""

    def found(self, failure: Failure) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: found %s", failure.jail, shown(failure.id))

    def found_again(self, failure: Failure, bans: int, attempts: int, enough: bool) -> None:
        if log.isEnabledFor(logging.DEBUG):
            who = shown(failure.id)
            log.debug("%s: %s counts %d times after %d bans", failure.jail, who, attempts, bans)

    def ignored(self, failure: Failure, reason: str) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s ignored: %s", failure.jail, shown(failure.id), reason)

    def increased(self, ban: Ban) -> None:
        who, count = shown(ban.id), ban.count
        log.info("%s: %s is banned for the %d. time, longer now", ban.jail, who, count)

    def banned(self, ban: Ban) -> None:
        who, failures = shown(ban.id), ban.ticket.failures
        if not ban.restored:
            log.info("%s: %s has %d login failure(s). Banned.", ban.jail, who, failures)
        length = "permanent" if ban.end is None else f"{ban.end - ban.start:.0f} s"
        what = "Restore Ban" if ban.restored else "Ban"
        log.warning("%s: %s (%s) %s", ban.jail, what, length, who)

    def rebanned(self, ban: Ban) -> None:
        log.warning("%s: ReBan %s", ban.jail, shown(ban.id))

    def unbanned(self, ban: Ban) -> None:
        log.warning("%s: Unban %s", ban.jail, shown(ban.id))

    def repealed(self, ban: Ban) -> None:
        self.unbanned(ban)

    def already_banned(self, ticket: Ticket) -> None:
        log.error("%s: %s already in ban list", ticket.jail, shown(ticket.id))

    def expired(self, ticket: Ticket) -> None:
        log.debug("%s: a ban of %s would be over", ticket.jail, shown(ticket.id))

    def ban_failed(self, ban: Ban, reason: str) -> None:
        who = shown(ban.id)
        log.error("%s: Ban of %s failed, it can still connect: %s", ban.jail, who, reason)

    def restoring(self) -> None:
        log.warning("Restoring firewall rules...")


class Modern:
    """The words of the versions with a tree of files."""

    def found(self, failure: Failure) -> None:
        if _filter.isEnabledFor(logging.INFO):
            when = moment(failure.time)
            _filter.info("[%s] Found %s - %s", failure.jail, shown(failure.id), when)

    def found_again(self, failure: Failure, bans: int, attempts: int, enough: bool) -> None:
        if _observer.isEnabledFor(logging.INFO):
            _observer.info(
                "[%s] Found %s, bad - %s, %d # -> %.1f%s",
                failure.jail,
                shown(failure.id),
                moment(failure.time),
                bans,
                attempts,
                ", Ban" if enough else "",
            )

    def ignored(self, failure: Failure, reason: str) -> None:
        if _filter.isEnabledFor(logging.INFO):
            _filter.info("[%s] Ignore %s by %s", failure.jail, shown(failure.id), reason)

    def increased(self, ban: Ban) -> None:
        if ban.end is None:
            return
        length, end = duration(ban.end - ban.start), moment(ban.end)
        text = "[%s] Increase Ban %s (%d # %s -> %s)"
        _observer.log(NOTICE, text, ban.jail, shown(ban.id), ban.count, length, end)

    def banned(self, ban: Ban) -> None:
        text = "[%s] Restore Ban %s" if ban.restored else "[%s] Ban %s"
        _actions.log(NOTICE, text, ban.jail, shown(ban.id))

    def rebanned(self, ban: Ban) -> None:
        _actions.log(NOTICE, "[%s] Reban %s", ban.jail, shown(ban.id))

    def unbanned(self, ban: Ban) -> None:
        _actions.log(NOTICE, "[%s] Unban %s", ban.jail, shown(ban.id))

    def repealed(self, ban: Ban) -> None:
        _actions.log(NOTICE, "[%s] Repeal Ban %s", ban.jail, shown(ban.id))

    def already_banned(self, ticket: Ticket) -> None:
        _actions.log(NOTICE, "[%s] %s already banned", ticket.jail, shown(ticket.id))

    def expired(self, ticket: Ticket) -> None:
        _actions.info("[%s] Ignore %s, expired bantime", ticket.jail, shown(ticket.id))

    def ban_failed(self, ban: Ban, reason: str) -> None:
        text = "[%s] %s could not be banned, it can still connect: %s"
        _actions.error(text, ban.jail, shown(ban.id), reason)

    def restoring(self) -> None:
        _actions.info("Taking down all bans and what they need")


class Rehearsed:
    """Tells of sections whose commands are only shown in words of their own.

    Nobody who looks for "Ban" or "Unban" in our log takes them for real. What is
    seen in a section's logs is told as ever.

    Args:
        words: for all other sections.
        is_dry: tells of a section whether its commands are only shown; any thread.
    """

    def __init__(self, words: Notices, is_dry: Callable[[str], bool]) -> None:
        self._words, self._is_dry = words, is_dry

    def found(self, failure: Failure) -> None:
        self._words.found(failure)

    def found_again(self, failure: Failure, bans: int, attempts: int, enough: bool) -> None:
        self._words.found_again(failure, bans, attempts, enough)

    def ignored(self, failure: Failure, reason: str) -> None:
        self._words.ignored(failure, reason)

    def increased(self, ban: Ban) -> None:
        if not self._say(ban, "would be banned for longer than before"):
            self._words.increased(ban)

    def banned(self, ban: Ban) -> None:
        if not self._say(ban, "would still be banned" if ban.restored else "would be banned"):
            self._words.banned(ban)

    def rebanned(self, ban: Ban) -> None:
        if not self._say(ban, "would be banned again"):
            self._words.rebanned(ban)

    def unbanned(self, ban: Ban) -> None:
        if not self._say(ban, "would not be banned any more"):
            self._words.unbanned(ban)

    def repealed(self, ban: Ban) -> None:
        if not self._say(ban, "would not be banned any more: the section ends"):
            self._words.repealed(ban)

    def already_banned(self, ticket: Ticket) -> None:
        if not self._say(ticket, "would have been kept out"):
            self._words.already_banned(ticket)

    def expired(self, ticket: Ticket) -> None:
        self._words.expired(ticket)

    def ban_failed(self, ban: Ban, reason: str) -> None:
        if not self._say(ban, f"could not be banned: {reason}"):
            self._words.ban_failed(ban, reason)

    def restoring(self) -> None:
        self._words.restoring()

    def _say(self, what: Ban | Ticket, text: str) -> bool:
        """Tell what would happen in a section that is dry; return whether it is."""
        if not self._is_dry(what.jail):
            return False
        _actions.log(NOTICE, "[%s] dry run: %s %s", what.jail, shown(what.id), text)
        return True
