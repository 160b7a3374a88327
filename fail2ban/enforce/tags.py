# SPDX-License-Identifier: GPL-2.0-or-later
"""Put the facts of a ban into the texts that a user wrote.

What may stand in a shell command is typed: an address, a family, a whole
number, and the section's name, which the user wrote himself. Nothing that came
out of a log line is among it; such text reaches a command only as a variable
of its environment (`environment`), and a mail only with its control
characters escaped.

Source: fail2ban-conf-0.6.md section 7, with the defects 7 and 14 mended. The
tags <family>, <iptables>, <seconds> and <matches> are ours.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

from fail2ban.records import FAMILIES, Address, Ban, Family, family_of
from fail2ban.text import printable

_TAG = re.compile(r"<([a-z]+)>")
_FAMILY_TAG = re.compile(r"<(?:family|iptables)>")

#: Bytes of log text that one command may get; Linux allows 128 KiB a variable.
MATCHES_LIMIT = 32 * 1024


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each <tag> that has a value; `<br>` is a newline.

    A tag without a value stays as it is: `<` also redirects input.
    """
    known = {"br": "\n", **values}
    return _TAG.sub(lambda tag: known.get(tag[1], tag[0]), template)


def needs_families(template: str) -> bool:
    """Tell whether a command speaks of one family at a time."""
    return _FAMILY_TAG.search(template) is not None


def family_values(family: Family) -> dict[str, str]:
    """Return the tags of a family: <family> for `nft`, <iptables> for iptables."""
    return {"family": family, "iptables": "iptables" if family == FAMILIES[0] else "ip6tables"}


def ban_values(ban: Ban, now: float) -> dict[str, str]:
    """Return the tags of `fwban`; `now` is in seconds since the epoch."""
    return {
        **_address_values(ban.ip),
        "section": ban.jail,
        "failures": str(ban.ticket.failures),
        "failtime": str(int(ban.ticket.time)),
        "bantime": str(int(ban.start)),
        "seconds": str(ban.seconds_left(now) or 0),
    }


def unban_values(ban: Ban, now: float) -> dict[str, str]:
    """Return the tags of `fwunban`; `now` is the moment of the unban."""
    return {
        **_address_values(ban.ip),
        "bantime": str(int(ban.start)),
        "unbantime": str(int(now)),
    }


def mail_values(ban: Ban) -> dict[str, str]:
    """Return the tags of a mail's subject and message."""
    return {
        **_address_values(ban.ip),
        "section": ban.jail,
        "failures": str(ban.ticket.failures),
        "failtime": str(int(ban.ticket.time)),
        "bantime": str(int(ban.start)),
        "matches": "\n".join(printable(line) for line in ban.ticket.lines),
    }


def environment(ban: Ban, now: float) -> dict[str, str]:
    """Return the variables that a command about `ban` finds in its environment.

    They carry the same facts as the tags, and F2B_MATCHES, the lines that led
    to the ban: text that an attacker wrote, for commands that know to quote it.
    """
    values = ban_values(ban, now) | {"matches": _matches(ban.ticket.lines)}
    return {f"F2B_{name.upper()}": value for name, value in values.items() if name != "iptables"}


def _address_values(ip: Address) -> dict[str, str]:
    # A zone ("fe80::1%eth0") is free text of whoever wrote the address.
    return {"ip": str(ip).partition("%")[0], **family_values(family_of(ip))}


def _matches(lines: tuple[str, ...]) -> str:
    """Return the newest lines that fit, as text that the environment can carry."""
    encoding = sys.getfilesystemencoding()
    text = "\n".join(lines).replace("\0", "\\x00")
    return text.encode(encoding, "replace")[-MATCHES_LIMIT:].decode(encoding, "ignore")
