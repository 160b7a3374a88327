# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a failure counts at all: the list, the names and the command of a section.

Source: jail-conf.md section 5.6.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from fail2ban.decide.hosts import Hosts
from fail2ban.decide.ignore import IgnoreList, OwnAddresses
from fail2ban.decide.ignorecommand import Asker, IgnoreCommand
from fail2ban.records import Ban, Failure, Id, IgnoreSettings

_ADDRESSES = IPv4Address, IPv6Address


class Ignoring:
    """Whom one section ignores. Any thread; only `find_out` and `wait` take time.

    Args:
        jail: name of the section.
        ticks: seconds that only go forward.
    """

    def __init__(
        self,
        jail: str,
        settings: IgnoreSettings,
        own: OwnAddresses,
        hosts: Hosts,
        asker: Asker,
        ticks: Callable[[], float],
    ) -> None:
        self._list = IgnoreList(jail, settings, own, hosts, ticks)
        self._command = IgnoreCommand(jail, settings, asker, ticks)
        self._asks = bool(self._command)
        self._list.awaited()  # asks the name servers in good time

    @property
    def awaited(self) -> bool:
        """Whether a name server has still to answer."""
        return self._list.awaited()

    def wait(self) -> None:
        """Wait for the name servers."""
        self._list.wait()

    def reason(self, id: Id) -> str | None:
        """Say why an id is ignored, or None if, as far as is known at once, it is not."""
        return self._list.reason(id)

    def spares(self, ban: Ban) -> bool:
        """Tell whether a ban must not be, as far as is known at once."""
        ip = ban.ticket.ip
        if ban.ticket.fid is None and isinstance(ip, _ADDRESSES) and self._list.omits(ip):
            return False
        return bool(self.reason(ban.id) or self.reason(ban.ip))

    def clears(self, failure: Failure) -> bool:
        """Tell, in no time, that a failure surely counts; False: `known_reason` may say so, too.

        Almost all do, and each line that matches asks.
        """
        ip = failure.ip
        if self._asks or failure.fid is not None or not isinstance(ip, _ADDRESSES):
            return False
        return self._list.clears(ip)

    def known_reason(self, failure: Failure) -> str | None:
        """Say why a failure does not count, as far as is known at once."""
        reason = self.reason(failure.id)
        if reason is None and failure.fid is not None:
            reason = self.reason(failure.ip)
        if reason is None and self._command and self._command.remembered(failure):
            reason = "command"
        return reason

    def takes_time(self, failure: Failure) -> bool:
        """Tell whether `find_out` might know more than `known_reason`."""
        return self.awaited or bool(self._command) and self._command.remembered(failure) is None

    def find_out(self, failure: Failure) -> str | None:
        """Say why a failure does not count; takes its time."""
        self.wait()
        reason = self.known_reason(failure)
        if reason is None and self._command and self._command.ask(failure):
            reason = "command"
        return reason
