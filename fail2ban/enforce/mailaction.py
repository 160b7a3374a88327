# SPDX-License-Identifier: GPL-2.0-or-later
"""The built-in action that mails when a section starts, stops and bans.

Nobody waits for a mail: it is written on the runner's thread and sent by one of
its own. Mails for a server that is down are kept for a while, in bounded
memory, and tried again with growing pauses; other servers are not held up by
more than one attempt. No text can add a header: each gets one line.

Source: jail-conf.md section 9.7.
"""

from __future__ import annotations

import base64
import logging
import re
import smtplib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, quote

from fail2ban.enforce.letter import BODY_LIMIT, POLICY, SUBJECT_LIMIT, message_id, one_line
from fail2ban.enforce.pauses import growing_pause
from fail2ban.enforce.smtp import Connect, explain, is_final, session
from fail2ban.enforce.tags import Lore, address_text
from fail2ban.records import Ban, MailActionSettings, MailSettings
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Mails that wait for one server; then the oldest are dropped.
WAITING_LIMIT = 1000
#: Characters of a server's answer in our log.
REASON_LIMIT = 500
#: Seconds to wait for each answer of a server.
TIMEOUT = 10.0
#: Seconds between the first two attempts; doubled up to the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0

SMTP_PORT = 25

#: A name that needs no quotes in a header.
_PHRASE = re.compile(r"[\w !#$%&'*+/=?^`{|}~-]*")


@dataclass
class _Outbox:
    """The mails for one server and recipient.

    Attributes:
        dropped: how many were too many.
        failures: attempts in a row.
        not_before: when to try again, seconds since the epoch.
    """

    settings: MailActionSettings
    mails: deque[EmailMessage] = field(default_factory=deque)
    dropped: int = 0
    failures: int = 0
    not_before: float = 0.0


class MailAction:
    """Write mails and send them; see `enforce.scaffold.Post`.

    Its thread should be a daemonic one: a name server that does not answer
    cannot be interrupted, and nobody should wait for it at the end.

    Args:
        lore: whom to ask for log lines; on the runner's thread.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        lore: Lore | None = None,
        clock: Callable[[], float] = time.time,
        connect: Connect = session,
    ) -> None:
        self._lore, self._clock, self._connect = lore or Lore(), clock, connect
        self._lock = threading.Lock()
        self._boxes: dict[MailActionSettings, _Outbox] = {}
        self._sending = threading.Lock()  # held by whoever talks to a server
        self._awake = threading.Event()
        self._finishing = False

    # What the runner calls ----------------------------------------------------

    def started(self, settings: MailActionSettings, jail: str) -> None:
        """Mail that a section is guarded now."""
        host = socket.gethostname()
        self._put(settings, f"{jail}: started on {host}", f"{host} guards [{jail}] from now on.")

    def stopped(self, settings: MailActionSettings, jail: str) -> None:
        """Mail that a section is no longer guarded."""
        host = socket.gethostname()
        self._put(settings, f"{jail}: stopped on {host}", f"{host} no longer guards [{jail}].")

    def banned(self, settings: MailActionSettings, ban: Ban) -> None:
        """Mail that a ban is in force."""
        host, who = socket.gethostname(), printable(address_text(ban.id))
        text = f"{host} has banned {who} in [{ban.jail}] after {ban.ticket.failures} failure(s)."
        if lines := self._lines(settings, ban):
            text += "\n\nLines of the log:\n\n" + "\n".join(map(printable, lines))
        self._put(settings, f"{ban.jail}: banned {who} from {host}", text)

    def _lines(self, settings: MailActionSettings, ban: Ban) -> tuple[str, ...]:
        if settings.matches in ("", "matches"):
            return ban.ticket.lines if settings.matches else ()
        return self._lore.merged(ban, settings.matches == "ipmatches").lines

    def _put(self, settings: MailActionSettings, subject: str, text: str) -> None:
        mail = compose(settings, subject, text, self._clock())
        with self._lock:
            box = self._boxes.setdefault(settings, _Outbox(settings))
            box.mails.append(mail)
            if too_many := len(box.mails) > WAITING_LIMIT:
                box.mails.popleft()
                box.dropped += 1
            begins = too_many and box.dropped == 1
        if begins:
            text = "mail: more than %d mails wait for %s; the oldest are dropped"
            log.error(text, WAITING_LIMIT, settings.host)
        self._awake.set()

    # The thread ---------------------------------------------------------------

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
            for box in self._waiting():
                # The clock may have been set back: no pause is longer than it can be.
                if self._finishing or not 0 < box.not_before - now <= LONGEST_PAUSE:
                    self._deliver(box, now)
        pauses = [max(0.0, box.not_before - now) for box in self._waiting()]
        return min(pauses, default=None)

    def finish(self, seconds: float = 5.0) -> None:
        """Try once more to send what is waiting; to be called after the last mail.

        Returns after `seconds` at most and logs how many mails were not sent.
        """
        self._finishing = True
        self._awake.set()
        last = threading.Thread(target=self._last_step, name="mail/last", daemon=True)
        last.start()
        last.join(seconds)
        for box in self._waiting():
            log.error("mail: %d mail(s) were not taken by %s", len(box.mails), box.settings.host)

    def _last_step(self) -> None:
        self.step(self._clock())

    def _waiting(self) -> list[_Outbox]:
        with self._lock:
            return [box for box in self._boxes.values() if box.mails]

    def _deliver(self, box: _Outbox, now: float) -> None:
        try:
            with self._connect(server_of(box.settings), TIMEOUT) as smtp:
                while (mail := self._first(box)) is not None:
                    self._send(smtp, box, mail)
                    self._done(box, mail)
        except (OSError, smtplib.SMTPException) as error:
            self._failed(box, error, now)

    def _send(self, smtp: smtplib.SMTP, box: _Outbox, mail: EmailMessage) -> None:
        """Send one mail, or drop it if the server will never take it."""
        sender = one_line(box.settings.sender)
        to = [one_line(address) for address in box.settings.to]
        try:
            smtp.send_message(mail, sender, to)
        except smtplib.SMTPException as error:
            if not is_final(error):
                raise
            reason = _without_secrets(explain(error), box.settings)
            log.error("mail: %s refuses a mail: %s", box.settings.host, reason)

    def _first(self, box: _Outbox) -> EmailMessage | None:
        with self._lock:
            return box.mails[0] if box.mails else None

    def _done(self, box: _Outbox, mail: EmailMessage) -> None:
        if box.failures:
            log.info("mail: %s works again", box.settings.host)
        with self._lock:
            box.failures, box.not_before, box.dropped = 0, 0.0, 0
            if box.mails and box.mails[0] is mail:  # else it was dropped meanwhile
                box.mails.popleft()

    def _failed(self, box: _Outbox, error: Exception, now: float) -> None:
        """Plan the next attempt; only the first failure in a row is an error."""
        level = logging.DEBUG if box.failures or self._finishing else logging.ERROR
        box.failures += 1
        box.not_before = now + growing_pause(FIRST_PAUSE, box.failures, LONGEST_PAUSE)
        reason = _without_secrets(explain(error), box.settings)
        log.log(level, "mail: cannot send to %s, will try again: %s", box.settings.host, reason)


def compose(settings: MailActionSettings, subject: str, text: str, now: float) -> EmailMessage:
    """Write a mail; what would be a second line of a header becomes a blank."""
    mail = EmailMessage(POLICY)
    sender = one_line(settings.sender)
    mail["From"] = _from(one_line(settings.sender_name), sender)
    mail["To"] = one_line(", ".join(settings.to))
    mail["Date"] = formatdate(now, localtime=True)
    mail["Message-ID"] = message_id(sender)
    mail["Auto-Submitted"] = "auto-generated"
    mail["Subject"] = one_line(f"[Fail2Ban] {subject}")[:SUBJECT_LIMIT]
    mail.set_content("\n".join(map(printable, text[:BODY_LIMIT].split("\n"))))
    return mail


def _from(name: str, sender: str) -> str:
    if not name or "<" in sender:
        return sender
    shown = name if _PHRASE.fullmatch(name) else f'"{quote(name)}"'
    return f"{shown} <{sender}>"


def server_of(settings: MailActionSettings) -> MailSettings:
    """Return how to reach the server: "name", "name:port" or "[address]:port"."""
    host, port = settings.host.strip(), SMTP_PORT
    name, colon, number = host.rpartition(":")
    if colon and number.isascii() and number.isdigit() and (":" not in name or name[0] == "["):
        host, port = name, int(number)
    return MailSettings(
        host=host.strip("[]"),
        port=port,
        user=settings.user,
        password=settings.password,
        sender=settings.sender,
        to=settings.to,
        tls="starttls" if settings.tls else "",
    )


def _without_secrets(text: str, settings: MailActionSettings) -> str:
    """Return the answer of a server for our log: some repeat what they were sent."""
    for secret in (f"\0{settings.user}\0{settings.password}", settings.password):
        if settings.password:
            encoded = base64.b64encode(secret.encode("utf-8", "replace")).decode()
            text = text.replace(encoded, "***").replace(secret, "***")
    return one_line(text)[:REASON_LIMIT]
