# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell people about bans by SMTP, from a thread of its own.

Nobody waits for a mail: `Mailer.notify` only remembers the ban. A server that
is down is tried again with growing pauses; what waits for it is bounded, and
what was pushed out is counted in the next mail.

Source: fail2ban-conf-0.6.md section 10. The options `tls` and `digest` are ours.
"""

from __future__ import annotations

import base64
import logging
import smtplib
import threading
import time
from collections import deque
from collections.abc import Callable

from fail2ban.enforce.letter import Letter, compose, message_id, one_line
from fail2ban.enforce.smtp import Connect, Refused, explain, is_final, list_refused, session
from fail2ban.records import Ban, MailSettings

log = logging.getLogger(__name__)

#: Bans remembered while they wait for a mail: each its own, or all in one.
WAITING_LIMIT = 1000
#: Characters of a server's answer in our log.
REASON_LIMIT = 500
#: Seconds to wait for each answer of the server.
TIMEOUT = 10.0
#: Seconds between the first two attempts; doubled up to the longest pause.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 600.0


class _Waiting:
    """The bans that no mail was written for yet, in bounded memory. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bans: deque[Ban] = deque()
        self._forgotten = 0
        self._overflowing = False
        self._since: float | None = None

    @property
    def since(self) -> float | None:
        """When the first of them came; None if there is none."""
        with self._lock:
            return self._since

    def count(self) -> int:
        with self._lock:
            return len(self._bans) + self._forgotten

    def add(self, ban: Ban, now: float) -> bool:
        """Remember a ban, if need be instead of the oldest.

        Returns:
            True if that happened for the first time since all was well.
        """
        with self._lock:
            if self._since is None:
                self._since = now
            self._bans.append(ban)
            if len(self._bans) <= WAITING_LIMIT:
                return False
            self._bans.popleft()
            self._forgotten += 1
            began, self._overflowing = not self._overflowing, True
            return began

    def take(self, most: int) -> tuple[tuple[Ban, ...], int]:
        """Hand over the oldest bans and the number of those forgotten before them."""
        with self._lock:
            bans = tuple(self._bans.popleft() for _ in range(min(most, len(self._bans))))
            forgotten, self._forgotten = self._forgotten, 0
            if not self._bans:
                self._since, self._overflowing = None, False
            return bans, forgotten


class Mailer:
    """Send a mail for each ban, or with `digest` one for all bans of that time.

    Its thread should be a daemonic one: a name server that does not answer
    cannot be interrupted, and nobody should wait for it at the end.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: MailSettings,
        clock: Callable[[], float] = time.time,
        connect: Connect = session,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connect = connect
        self._waiting = _Waiting()
        self._awake = threading.Event()
        # Held by whoever talks to the server: the thread, or finish().
        self._sending = threading.Lock()
        self._letter: Letter | None = None
        self._failed_at = 0.0
        self._pause = 0.0  # seconds; 0 while the server works
        self._refused: frozenset[str] = frozenset()
        self._finishing = False
        self._finished = False

    def notify(self, ban: Ban) -> None:
        """Have a ban reported. From any thread; returns at once."""
        overflow = self._waiting.add(ban, self._clock())
        if overflow and not self._settings.digest:
            log.error(
                "mail: more than %d mails wait for %s; the oldest are dropped, "
                "the next one tells how many",
                WAITING_LIMIT,
                self._server(),
            )
        self._awake.set()

    def run(self, stop: threading.Event) -> None:
        """Send what is due until `stop` is set and `wake` was called: the thread's body."""
        while not (stop.is_set() or self._finishing):
            self._awake.wait(self.step(self._clock()))
            self._awake.clear()

    def wake(self) -> None:
        """Make `run` look at its `stop`."""
        self._awake.set()

    def step(self, now: float) -> float | None:
        """Send what is due.

        Returns:
            the seconds until there is more to do; None: nothing is waiting.
        """
        with self._sending:
            if self._wait(now) == 0:
                self._deliver(now)
            return self._wait(now)

    def finish(self, seconds: float = 5.0) -> None:
        """Try once more to send what is waiting, also the unfinished digest.

        Returns after `seconds` at most and logs how many bans nobody was told
        of. To be called after the last `notify`, by another thread than run()'s.
        """
        self._finishing = True
        self._awake.set()
        last = threading.Thread(target=self._last_step, name="mail/last", daemon=True)
        last.start()
        last.join(seconds)
        self._finished = True
        letter = self._letter
        if unsent := self._waiting.count() + (letter.total if letter else 0):
            log.error("mail: %d ban(s) could not be reported to %s", unsent, self._server())

    def _last_step(self) -> None:
        self.step(self._clock())

    def _wait(self, now: float) -> float | None:
        since = self._waiting.since
        if self._finished or (self._letter is None and since is None):
            return None
        if self._finishing:
            return 0.0
        pause = _left(self._failed_at, self._pause, now)
        if self._letter or since is None:
            return pause
        return max(pause, _left(since, self._settings.digest, now))

    def _deliver(self, now: float) -> None:
        try:
            with self._connect(self._settings, TIMEOUT) as smtp:
                while letter := self._next_letter(now):
                    self._send(smtp, letter)
                    self._letter = None
        except (OSError, smtplib.SMTPException) as error:
            self._failed(error, now)

    def _next_letter(self, now: float) -> Letter | None:
        """Return the letter that could not be sent before, else a new one if one is due.

        Bans stay in `_waiting`, whose size is limited, until a server listens.
        """
        since = self._waiting.since
        if self._finished:
            return None
        if self._letter is None and since is not None:
            if self._finishing or not _left(since, self._settings.digest, now):
                self._letter = self._new_letter()
        return self._letter

    def _new_letter(self) -> Letter:
        bans, forgotten = self._waiting.take(WAITING_LIMIT if self._settings.digest else 1)
        return Letter(bans, forgotten, message_id(self._settings.sender))

    def _send(self, smtp: smtplib.SMTP, letter: Letter) -> None:
        """Send one mail, or drop it if the server will never take it.

        Raises:
            OSError, smtplib.SMTPException: it is to be tried again.
        """
        sender = one_line(self._settings.sender)
        to = [one_line(address) for address in self._settings.to]
        try:
            refused = smtp.send_message(compose(self._settings, letter), sender, to)
        except smtplib.SMTPException as error:
            if not is_final(error):
                raise
            reason = self._without_secrets(explain(error))
            log.error("mail: %s refuses the mail about %s: %s", self._server(), letter, reason)
        else:
            self._worked(refused)

    def _worked(self, refused: Refused) -> None:
        """Note that a mail was taken, if not for everybody; tell what is new about that."""
        if self._pause:
            self._pause = 0.0
            log.info("mail: %s works again", self._server())
        if refused and self._refused != refused.keys():
            reason = self._without_secrets(list_refused(refused))
            log.error("mail: %s refuses some recipients: %s", self._server(), reason)
        self._refused = frozenset(refused)

    def _failed(self, error: Exception, now: float) -> None:
        """Plan the next attempt; only the first failure in a row is an error.

        After `finish` has counted what is lost there is none, and no news.
        """
        level = logging.DEBUG if self._pause or self._finished else logging.ERROR
        self._failed_at = now
        self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
        reason = self._without_secrets(explain(error))
        log.log(level, "mail: cannot send to %s, will try again: %s", self._server(), reason)

    def _without_secrets(self, text: str) -> str:
        """Return the answer of a server for our log: some repeat what they were sent."""
        user, password = self._settings.user, self._settings.password
        for secret in (f"\0{user}\0{password}", password):
            if password:
                encoded = base64.b64encode(secret.encode("utf-8", "replace")).decode()
                text = text.replace(encoded, "***").replace(secret, "***")
        return one_line(text)[:REASON_LIMIT]

    def _server(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"


def _left(since: float, seconds: float, now: float) -> float:
    """Return what is left of `seconds`; nothing if the clock was set back meanwhile."""
    return max(0.0, since + seconds - now) if now >= since else 0.0
