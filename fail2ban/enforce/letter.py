# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the mail about one ban or many.

No text can add a header: what a header gets is one line without encoded words.

Source: fail2ban-conf-0.6.md section 10.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from email import policy
from email.headerregistry import BaseHeader, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import Policy
from email.utils import formatdate, make_msgid

from fail2ban.enforce.tags import fill, mail_values
from fail2ban.records import Ban, MailSettings
from fail2ban.text import printable

#: Characters of a mail's text and of its subject.
BODY_LIMIT = 1024 * 1024
SUBJECT_LIMIT = 250

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_DOMAIN = re.compile(r"@([A-Za-z0-9.-]+)>?$")


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
POLICY = policy.SMTP.clone(header_factory=_headers(), cte_type="7bit")


def compose(settings: MailSettings, letter: Letter) -> EmailMessage:
    """Write the mail. It is dated from its newest ban, however late it is sent."""
    mail = EmailMessage(POLICY)
    mail["From"] = one_line(settings.sender)
    mail["To"] = one_line(", ".join(settings.to))
    mail["Date"] = formatdate(letter.bans[-1].start, localtime=settings.localtime)
    mail["Message-ID"] = letter.message_id
    mail["Auto-Submitted"] = "auto-generated"
    mail["Subject"] = _subject(settings.subject, letter)
    mail.set_content(_body(settings.message, letter))
    return mail


def _subject(template: str, letter: Letter) -> str:
    if letter.total > 1:
        return f"[Fail2Ban] {letter.total} bans"
    return one_line(fill(template, mail_values(letter.bans[0])))[:SUBJECT_LIMIT]


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


def one_line(text: str) -> str:
    """Return `text` as a header or an address: no control characters, no encoded word.

    Python up to 3.11.9 decodes an encoded word that stands in a header's value
    and writes the newline it finds there (CVE-2024-6923).
    """
    return _CONTROL.sub(" ", text).replace("=?", "= ?").strip()


def message_id(sender: str) -> str:
    """Return a new Message-ID in the domain of the sender, else of this host."""
    return make_msgid(domain=_domain(sender))


def _domain(sender: str) -> str:
    """Return the right side of a Message-ID: the sender's domain, else this host."""
    if found := _DOMAIN.search(sender.strip()):
        return found[1]
    return re.sub("[^A-Za-z0-9.-]", "", socket.gethostname()) or "localhost"
