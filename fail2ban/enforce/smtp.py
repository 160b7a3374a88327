# SPDX-License-Identifier: GPL-2.0-or-later
"""Talk to a mail server, and understand its answers."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fail2ban.records import MailSettings

log = logging.getLogger(__name__)

#: Opens a session with the server, ready to take mails; gets the seconds to
#: wait for each answer; raises OSError or smtplib.SMTPException.
Connect = Callable[[MailSettings, float], AbstractContextManager[smtplib.SMTP]]

#: Recipient -> the server's code and text.
Refused = dict[str, tuple[int, bytes]]


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


def is_final(error: smtplib.SMTPException) -> bool:
    """Tell whether the server will never take this mail: it said 5xx, to all recipients."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code // 100 == 5 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError):
        return error.smtp_code // 100 == 5
    return False


def explain(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return list_refused(error.recipients)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"login refused: {error.smtp_code} {_decode(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_decode(error.smtp_error)}"
    return str(error) or type(error).__name__


def list_refused(refused: Refused) -> str:
    return ", ".join(f"{to}: {code} {_decode(text)}" for to, (code, text) in refused.items())


def _decode(answer: bytes | str) -> str:
    return answer if isinstance(answer, str) else answer.decode("utf-8", "replace")
