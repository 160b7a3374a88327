# SPDX-License-Identifier: GPL-2.0-or-later
"""The built-in action that mails, made when a section has need of it.

The modules that write and send mails are a fifth of the daemon's memory, and most
daemons never mail. What needs them is known at the start, so a daemon that is being
upgraded does not load files of two versions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from fail2ban.enforce.tags import Lore
from fail2ban.records import Ban, MailActionSettings


class Mailing(Protocol):
    """What `MailAction` does; see there."""

    def started(self, settings: MailActionSettings, jail: str) -> None: ...

    def stopped(self, settings: MailActionSettings, jail: str) -> None: ...

    def banned(self, settings: MailActionSettings, ban: Ban) -> None: ...

    def run(self, stop: threading.Event) -> None: ...

    def finish(self) -> None: ...


def _mail_action(lore: Lore) -> Mailing:
    from fail2ban.enforce.mailaction import MailAction

    return MailAction(lore)


class LatePost:
    """Stands for a `MailAction` that is made at its first mail; see there.

    Args:
        lore: whom to ask for log lines; on the runner's thread.
        make: makes it.
    """

    def __init__(self, lore: Lore, make: Callable[[Lore], Mailing] = _mail_action) -> None:
        self._lore, self._make = lore, make
        self._made: Mailing | None = None
        self._needed = threading.Event()  # or there is nothing to wait for any more

    def started(self, settings: MailActionSettings, jail: str) -> None:
        """Mail that a section is guarded now; on the runner's thread, as the next two."""
        self._action().started(settings, jail)

    def stopped(self, settings: MailActionSettings, jail: str) -> None:
        """Mail that a section is no longer guarded."""
        self._action().stopped(settings, jail)

    def banned(self, settings: MailActionSettings, ban: Ban) -> None:
        """Mail that a ban is in force."""
        self._action().banned(settings, ban)

    def _action(self) -> Mailing:
        if self._made is None:
            self._made = self._make(self._lore)
            self._needed.set()
        return self._made

    def run(self, stop: threading.Event) -> None:
        """Send what is due until `stop` is set and `finish` was called: the thread's body."""
        self._needed.wait()
        if self._made is not None:
            self._made.run(stop)

    def finish(self) -> None:
        """Try once more to send what is waiting, if there was ever a mail; then the thread ends."""
        self._needed.set()
        if self._made is not None:
            self._made.finish()
