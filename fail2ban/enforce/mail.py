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
import re
import smtplib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email import policy
from email.headerregistry import BaseHeader, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import Policy
from email.utils import formatdate, make_msgid

from fail2ban.enforce.tags import fill, mail_values
from fail2ban.records import Ban, MailSettings
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Bans remembered while they wait for a mail: each its own, or all in one.
WAITING_LIMIT = 1000
#: Characters of a mail's text and of its subject.
BODY_LIMIT = 1024 * 1024
SUBJECT_LIMIT = 250
#: Characters of a server's answer in our log.
REASON_LIMIT = 500
#: Seconds to wait for each answer of the server.
TIMEOUT = 10.0
#: Seconds between the first two attempts; doubled up to the longest pause.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 600.0

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_DOMAIN = re.compile(r"@([A-Za-z0-9.-]+)>?$")

#: Opens a session with the server, ready to take mails; gets the seconds to
#: wait for each answer; raises OSError or smtplib.SMTPException.
Connect = Callable[[MailSettings, float], AbstractContextManager[smtplib.SMTP]]


# The text --------------------------------------------------------------------


@dataclass(frozen=True)
class Letter:
    """One mail that is to be sent, and stays the same if that takes several attempts.

    Attributes:
        bans: oldest first, at least one.
        forgotten: how many earlier ones it can only count.
        message_id: with its angle brackets.
    """

    bans: tuple[Ban, ...]
    forgotten: int
    message_id: str

    @property
    def total(self) -> int:
        return len(self.bans) + self.forgotten

    def __str__(self) -> str:
        return f"{self.total} bans" if self.total > 1 else f"the ban of {self.bans[0].ip}"


class _Verbatim(UniqueUnstructuredHeader, BaseHeader):  # type: ignore[misc]  # typeshed's doubt
    """A header as the user wrote it, not parsed as addresses.

    The parser of Python 3.11 fails on some texts that are no addresses. The
    folding would encode an address that is longer than a line: allow the
    longest lines that RFC 5322, section 2.1.1 does.
    """

    def fold(self, *, policy: Policy) -> str:
        return super().fold(policy=policy.clone(max_line_length=998) if self.isascii() else policy)


def _headers() -> HeaderRegistry:
    headers = HeaderRegistry()
    for name in ("from", "to"):
        headers.map_to_type(name, _Verbatim)
    return headers


# 7bit: not every server announces that it takes 8-bit text.
_POLICY = policy.SMTP.clone(header_factory=_headers(), cte_type="7bit")


def compose(settings: MailSettings, letter: Letter) -> EmailMessage:
    """Write the mail. It is dated from its newest ban, however late it is sent."""
    mail = EmailMessage(_POLICY)
    mail["From"] = _one_line(settings.sender)
    mail["To"] = _one_line(", ".join(settings.to))
    mail["Date"] = formatdate(letter.bans[-1].start, localtime=settings.localtime)
    mail["Message-ID"] = letter.message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail["Subject"] = _subject(settings.subject, letter)
    mail.set_content(_body(settings.message, letter))
    return mail


def _subject(template: str, letter: Letter) -> str:
    if letter.total > 1:
        return f"[Fail2Ban] {letter.total} bans"
    return _one_line(fill(template, mail_values(letter.bans[0])))[:SUBJECT_LIMIT]


def _body(template: str, letter: Letter) -> str:
    """Return the text for each ban, newest last; the oldest give way if it gets too long."""
    texts: list[str] = []
    room = BODY_LIMIT
    for ban in reversed(letter.bans):
        lines = fill(template, mail_values(ban)).split("\n")
        text = "\n".join(map(printable, lines))
        if texts and len(text) > room:
            break
        texts.append(text[:room])
        room -= len(text)
    if missing := letter.total - len(texts):
        texts.append(f"({missing} earlier bans are not listed.)")
    return "\n\n".join(reversed(texts))


def _one_line(text: str) -> str:
    """Return `text` as a header or an address: no control characters, no encoded word.

    Python up to 3.11.9 decodes an encoded word that stands in a header's value
    and writes the newline it finds there (CVE-2024-6923).
    """
    return _CONTROL.sub(" ", text).replace("=?", "= ?").strip()


def _domain(sender: str) -> str:
    """Return the right side of a Message-ID: the sender's domain, else this host."""
    if found := _DOMAIN.search(sender.strip()):
        return found[1]
    return re.sub("[^A-Za-z0-9.-]", "", socket.gethostname()) or "localhost"


# The server ------------------------------------------------------------------


@contextmanager
def session(
    settings: MailSettings, timeout: float, context: ssl.SSLContext | None = None
) -> Iterator[smtplib.SMTP]:
    """Open a session with the server of `settings`: connect, encrypt, log in.

    Args:
        timeout: seconds to wait for each answer.
        context: instead of the system's certificate authorities.

    Raises:
        OSError, smtplib.SMTPException: it did not work.
    """
    _check(settings)
    smtp = _dial(settings, timeout, context)
    try:
        if settings.tls == "starttls":
            smtp.starttls(context=context or ssl.create_default_context())
        if settings.user:
            smtp.login(settings.user, settings.password)
        yield smtp
        _hang_up(smtp)
    finally:
        smtp.close()


def _check(settings: MailSettings) -> None:
    """Refuse what smtplib would answer with a UnicodeError."""
    try:
        settings.host.encode("idna")
    except UnicodeError as error:
        raise smtplib.SMTPException(f"{settings.host!r} is not a host name") from error
    if not (settings.user.isascii() and settings.password.isascii()):
        raise smtplib.SMTPNotSupportedError("user and password must be ASCII")


def _dial(settings: MailSettings, timeout: float, context: ssl.SSLContext | None) -> smtplib.SMTP:
    if settings.tls != "ssl":
        return smtplib.SMTP(settings.host, settings.port, timeout=timeout)
    context = context or ssl.create_default_context()
    return smtplib.SMTP_SSL(settings.host, settings.port, timeout=timeout, context=context)


def _hang_up(smtp: smtplib.SMTP) -> None:
    """Say good-bye; the mails are delivered even if there is no answer."""
    try:
        smtp.quit()
    except (OSError, smtplib.SMTPException) as error:
        log.debug("mail: no good-bye from the server: %s", error)


def _is_final(error: smtplib.SMTPException) -> bool:
    """Tell whether the server will never take this mail: it said 5xx, to all recipients."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code // 100 == 5 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError):
        return error.smtp_code // 100 == 5
    return False


def _explain(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _list_refused(error.recipients)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"login refused: {error.smtp_code} {_decode(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_decode(error.smtp_error)}"
    return str(error) or type(error).__name__


_Refused = dict[str, tuple[int, bytes]]


def _list_refused(refused: _Refused) -> str:
    return ", ".join(f"{to}: {code} {_decode(text)}" for to, (code, text) in refused.items())


def _decode(answer: bytes | str) -> str:
    return answer if isinstance(answer, str) else answer.decode("utf-8", "replace")


# The sender ------------------------------------------------------------------


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
        return Letter(bans, forgotten, make_msgid(domain=_domain(self._settings.sender)))

    def _send(self, smtp: smtplib.SMTP, letter: Letter) -> None:
        """Send one mail, or drop it if the server will never take it.

        Raises:
            OSError, smtplib.SMTPException: it is to be tried again.
        """
        sender = _one_line(self._settings.sender)
        to = [_one_line(address) for address in self._settings.to]
        try:
            refused = smtp.send_message(compose(self._settings, letter), sender, to)
        except smtplib.SMTPException as error:
            if not _is_final(error):
                raise
            reason = self._without_secrets(_explain(error))
            log.error("mail: %s refuses the mail about %s: %s", self._server(), letter, reason)
        else:
            self._worked(refused)

    def _worked(self, refused: _Refused) -> None:
        """Note that a mail was taken, if not for everybody; tell what is new about that."""
        if self._pause:
            self._pause = 0.0
            log.info("mail: %s works again", self._server())
        if refused and self._refused != refused.keys():
            reason = self._without_secrets(_list_refused(refused))
            log.error("mail: %s refuses some recipients: %s", self._server(), reason)
        self._refused = frozenset(refused)

    def _failed(self, error: Exception, now: float) -> None:
        """Plan the next attempt; only the first failure in a row is an error.

        After `finish` has counted what is lost there is none, and no news.
        """
        level = logging.DEBUG if self._pause or self._finished else logging.ERROR
        self._failed_at = now
        self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
        reason = self._without_secrets(_explain(error))
        log.log(level, "mail: cannot send to %s, will try again: %s", self._server(), reason)

    def _without_secrets(self, text: str) -> str:
        """Return the answer of a server for our log: some repeat what they were sent."""
        user, password = self._settings.user, self._settings.password
        for secret in (f"\0{user}\0{password}", password):
            if password:
                encoded = base64.b64encode(secret.encode("utf-8", "replace")).decode()
                text = text.replace(encoded, "***").replace(secret, "***")
        return _CONTROL.sub(" ", text)[:REASON_LIMIT]

    def _server(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"


def _left(since: float, seconds: float, now: float) -> float:
    """Return what is left of `seconds`; nothing if the clock was set back meanwhile."""
    return max(0.0, since + seconds - now) if now >= since else 0.0
