# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that sends mails about bans."""

from __future__ import annotations

import threading

from fail2ban.detect.guard import Guard
from fail2ban.enforce.mail import Mailer
from fail2ban.records import MailSettings

#: Seconds that the thread gets to notice the end.
PATIENCE = 1.0


class MailThread:
    """A mailer and its thread, which may outlive the settings it was made for."""

    def __init__(self, settings: MailSettings, guard: Guard) -> None:
        self.mailer = Mailer(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=guard,
            args=("mail", lambda: self.mailer.run(self._stop)),
            name="mail",
            daemon=True,  # a server that never answers must not keep us from ending
        )
        self._thread.start()

    def end(self) -> None:
        """Try once more to send what is left, for a few seconds."""
        self._stop.set()
        self.mailer.wake()
        self.mailer.finish()
        self._thread.join(PATIENCE)
