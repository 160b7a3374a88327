# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of a ban's life, whose wording scripts and filters rely on.

Source: fail2ban-conf-0.6.md section 9.
"""

from __future__ import annotations

import logging

from fail2ban.records import Ban, Ticket

log = logging.getLogger(__name__)


def banned(ban: Ban) -> None:
    """Tell that the firewall holds an address that it did not hold before."""
    log.info("%s: %s has %d login failure(s). Banned.", ban.jail, ban.ip, ban.ticket.failures)
    length = "permanent" if ban.end is None else f"{ban.end - ban.start:.0f} s"
    log.warning("%s: Ban (%s) %s", ban.jail, length, ban.ip)


def rebanned(ban: Ban) -> None:
    """Tell that the firewall holds an address again that it had lost."""
    log.warning("%s: ReBan %s", ban.jail, ban.ip)


def unbanned(ban: Ban) -> None:
    """Tell that the firewall has let go of an address."""
    log.warning("%s: Unban %s", ban.jail, ban.ip)


def already_banned(ticket: Ticket) -> None:
    """Tell that an address still gets through although it is banned."""
    log.error("%s: %s already in ban list", ticket.jail, ticket.ip)


def ban_failed(ban: Ban, reason: str) -> None:
    """Tell, once, that a ban is not in force; retries are told at INFO."""
    log.error("%s: Ban of %s failed, it can still connect: %s", ban.jail, ban.ip, reason)


def restoring() -> None:
    """Tell that everything is being taken down."""
    log.warning("Restoring firewall rules...")
