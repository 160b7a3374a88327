# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tags of commands and mails stand for.

One vocabulary for both languages; the classic one has its own names rewritten
when it is read. What a tag may stand for is no matter of trust here: addresses
and numbers are harmless by their nature, and `enforce.escape` keeps any other
text out of the shell's reach.

Source: jail-conf.md section 9.2, with the defect 13 of section 16 mended, and
fail2ban-conf-0.6.md section 7, with the defects 7 and 14 mended. The tags
<banstart>, <seconds> and <unbantime> are ours, and so is the environment.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fail2ban.enforce import escape
from fail2ban.enforce.escape import VALUE_LIMIT, carried
from fail2ban.enforce.hostnames import host_name
from fail2ban.records import FAMILIES, Address, Ban, Capture, Family, Id, family_of
from fail2ban.text import printable

#: Bytes of log text that one command may get; Linux allows 128 KiB a variable.
MATCHES_LIMIT = VALUE_LIMIT

_CAPTURE = re.compile(r"F-[A-Z0-9_-]+")
_NAMES: dict[Family | None, str] = {"ip": "inet4", "ip6": "inet6", None: ""}


@dataclass(frozen=True)
class Merged:
    """What is known of an id from several bans.

    Attributes:
        lines: oldest first.
        failures: how many there were.
    """

    lines: tuple[str, ...]
    failures: int


@dataclass(frozen=True)
class Counts:
    """What the tags <jail.banned> to <jail.found_total> say of a section."""

    banned: int = 0
    banned_total: int = 0
    found: int = 0
    found_total: int = 0


def _own(ban: Ban, all_jails: bool) -> Merged:
    return Merged(ban.ticket.lines, ban.ticket.failures)


def _no_counts(jail: str) -> Counts:
    return Counts()


@dataclass(frozen=True)
class Lore:
    """Whom to ask for what a ban itself does not say. All on the runner's thread.

    Attributes:
        merged: everything known of a ban's id, of its own section or of all.
        counts: the numbers of a section.
        host: the name of an address; empty if there is none.
    """

    merged: Callable[[Ban, bool], Merged] = _own
    counts: Callable[[str], Counts] = _no_counts
    host: Callable[[Address], str] = host_name


@dataclass(frozen=True)
class Facts:
    """What a command is about; `lookup` gives its tags.

    Attributes:
        jail: the section.
        family: whom the command is for; None for what has none, or for all.
        now: seconds since the epoch.
        ban: None for a command that is about no ban.
        lifting: the ban ends at `now`.
        lore: see `Lore`.
    """

    jail: str
    family: Family | None
    now: float
    ban: Ban | None = None
    lifting: bool = False
    lore: Lore = field(default_factory=Lore)

    def lookup(self, name: str) -> str | None:
        """Return the value of a tag, or None if this command has no such tag."""
        if (general := _GENERAL.get(name)) is not None:
            return general(self)
        if self.ban is None:
            return None
        if name == "unbantime":
            return str(int(self.now)) if self.lifting else None
        if _CAPTURE.fullmatch(name):
            return _captured(self.ban.ticket.groups, name)
        special = _BAN.get(name)
        return None if special is None else special(self, self.ban)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each <tag> that has a value; `<br>` is a newline. Not for a shell."""
    return escape.fill(template, {"br": "\n", **values}.get)


def mail_values(ban: Ban) -> dict[str, str]:
    """Return the tags of the subject and the message of [MAIL], by their classic names."""
    family = family_of(ban.ip)
    return {
        "ip": address_text(ban.ip),
        "family": family or "",
        "iptables": "ip6tables" if family == FAMILIES[1] else "iptables",
        "section": ban.jail,
        "failures": str(ban.ticket.failures),
        "failtime": str(int(ban.ticket.time)),
        "bantime": str(int(ban.start)),
        "matches": "\n".join(printable(line) for line in ban.ticket.lines),
    }


def environment(ban: Ban, now: float) -> dict[str, str]:
    """Return the variables that a command about `ban` finds in its environment.

    F2B_MATCHES are the lines that led to the ban: text that an attacker wrote,
    for commands that know to quote it.
    """
    values = {
        "IP": carried(address_text(ban.ip)),
        "FAMILY": family_of(ban.ip) or "",
        "SECTION": carried(ban.jail),
        "FAILURES": str(ban.ticket.failures),
        "FAILTIME": str(int(ban.ticket.time)),
        "BANTIME": str(int(ban.start)),
        "SECONDS": str(ban.seconds_left(now) or 0),
        "MATCHES": _text(ban.ticket.lines),
    }
    return {f"F2B_{name}": value for name, value in values.items()}


def address_text(id: Id) -> str:
    """Write an address, network or text as a command gets it."""
    if isinstance(id, str):
        return id
    # A zone ("fe80::1%eth0") is free text of whoever wrote the address.
    return str(id).partition("%")[0]


def reverse_pointer(id: Id) -> str:
    """Return the name under which DNS keeps an address, without its domain: "1.2.0.192."."""
    if not isinstance(id, Address):
        return ""
    pointer = ipaddress.ip_address(address_text(id)).reverse_pointer
    return pointer.removesuffix("in-addr.arpa").removesuffix("ip6.arpa")


def _captured(groups: Mapping[str, Capture], name: str) -> str:
    """Return the text of `<F-NAME>`; a name that captured nothing is empty."""
    key = name.removeprefix("F-").lower()
    found = groups.get(key, groups.get(key.replace("-", "_"), ""))
    return found if isinstance(found, str) else " ".join(found)


def _text(lines: Iterable[str]) -> str:
    return carried("\n".join(lines))


def _host(facts: Facts, ban: Ban) -> str:
    return facts.lore.host(ban.ip) if isinstance(ban.ip, Address) else ""


def _length(ban: Ban) -> str:
    return "-1" if ban.end is None else str(round(ban.end - ban.start))


def _time(facts: Facts) -> str:
    return str(int(facts.now if facts.ban is None else facts.ban.ticket.time))


@functools.cache
def _full_host() -> str:
    return socket.getfqdn()


_GENERAL: dict[str, Callable[[Facts], str]] = {
    "time": _time,
    "family": lambda facts: _NAMES[facts.family],
    "br": lambda facts: "\n",
    "sp": lambda facts: " ",
    "fq-hostname": lambda facts: _full_host(),
    "sh-hostname": lambda facts: socket.gethostname().partition(".")[0],
    "jail.name": lambda facts: facts.jail,
    "jail.banned": lambda facts: str(facts.lore.counts(facts.jail).banned),
    "jail.banned_total": lambda facts: str(facts.lore.counts(facts.jail).banned_total),
    "jail.found": lambda facts: str(facts.lore.counts(facts.jail).found),
    "jail.found_total": lambda facts: str(facts.lore.counts(facts.jail).found_total),
}

_BAN: dict[str, Callable[[Facts, Ban], str]] = {
    "ip": lambda facts, ban: address_text(ban.ip),
    "fid": lambda facts, ban: address_text(ban.id),
    "ip-rev": lambda facts, ban: reverse_pointer(ban.ip),
    "ip-host": _host,
    "failures": lambda facts, ban: str(ban.ticket.failures),
    "bantime": lambda facts, ban: _length(ban),
    "bancount": lambda facts, ban: str(ban.count),
    "restored": lambda facts, ban: str(int(ban.restored)),
    "banstart": lambda facts, ban: str(int(ban.start)),
    "seconds": lambda facts, ban: str(ban.seconds_left(facts.now) or 0),
    "matches": lambda facts, ban: _text(ban.ticket.lines),
    "ipmatches": lambda facts, ban: _text(facts.lore.merged(ban, True).lines),
    "ipjailmatches": lambda facts, ban: _text(facts.lore.merged(ban, False).lines),
    "ipfailures": lambda facts, ban: str(facts.lore.merged(ban, True).failures),
    "ipjailfailures": lambda facts, ban: str(facts.lore.merged(ban, False).failures),
    "raw-ticket": lambda facts, ban: printable(repr(ban.ticket)),
}
