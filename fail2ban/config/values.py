# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn the text of one option into a value, or say what would be right.

Every parser takes text without blanks around it and raises ValueError with a
sentence that names what was found and what was expected.

Source: fail2ban-conf-0.6.md sections 1, 3, 5 and 10; units of time:
jail-conf.md section 5.3.
"""

from __future__ import annotations

import grp
import ipaddress
import re
from typing import Literal

from fail2ban.records import Network, UseDns

_TRUE = frozenset({"1", "yes", "true", "on"})
_FALSE = frozenset({"0", "no", "false", "off"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")

_MINUTE, _HOUR, _DAY, _WEEK, _YEAR = 60, 3600, 86400, 604800, 31557600
_SPELLINGS = {
    1: "s ss se sec second seconds",
    _MINUTE: "m mm mi min minute minutes",
    _HOUR: "h hh ho hou hour hours",
    _DAY: "d dd da day days",
    _WEEK: "w ww we wee week weeks",
    _YEAR // 12: "mo mon month months",
    _YEAR: "y yy ye yea year years",
}
UNITS = {name: seconds for seconds, names in _SPELLINGS.items() for name in names.split()}
_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_SECONDS = re.compile(rf"([+-]?)\s*({_NUMBER})")
_GROUP = re.compile(rf"({_NUMBER})\s*([a-z]+)\s*")
_GROUPS = re.compile(rf"([+-]?)\s*((?:{_NUMBER}\s*[a-z]+\s*)+)")
_LONGEST = 1000.0 * _YEAR

_SIZE = re.compile(r"([0-9]{1,12})\s*([kmg]?)")
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_FACILITIES = (
    "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp 12 13 14 15 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()
_USER = _FACILITIES.index("user")

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_MASK = re.compile(r"/[0-9]+\.")


def quoted(text: str, limit: int = 60) -> str:
    """Show what was found: `repr`, shortened, so that a message stays one line."""
    return repr(text if len(text) <= limit else f"{text[:limit]}...")


def boolean(text: str) -> bool:
    """Convert `1 yes true on` and `0 no false off`, in any case."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{quoted(text)} is neither yes nor no; expected true or false")
    return word in _TRUE


def integer(text: str) -> int:
    """Convert a plain decimal number of up to 18 digits; a sign is allowed."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a whole number; expected digits, as in 5")
    return int(text)


def integer_from(low: int, text: str) -> int:
    """Convert a whole number that is at least `low`."""
    number = integer(text)
    if number < low:
        raise ValueError(f"{quoted(text)} is too small; expected a whole number of at least {low}")
    return number


def port(text: str) -> int:
    """Convert the number of a TCP port."""
    number = integer(text)
    if not 1 <= number <= 65535:
        raise ValueError(f"{quoted(text)} is not a port; expected a number from 1 to 65535")
    return number


def size(text: str) -> int:
    """Convert a number of bytes, or of KiB, MiB or GiB with k, M or G behind it."""
    found = _SIZE.fullmatch(text.lower())
    if not found:
        expected = "expected bytes, or a number with k, M or G as in 256M"
        raise ValueError(f"{quoted(text)} is not a size; {expected}")
    return int(found[1]) * _SIZES[found[2]]


def group(text: str) -> str:
    """Return the name of a group of this host, given by name or number; empty for none."""
    if text.lower() in ("", "none"):
        return ""
    try:
        return (grp.getgrgid(int(text)) if text.isdecimal() else grp.getgrnam(text)).gr_name
    except (KeyError, OverflowError):
        expected = "expected the name or the number of one that exists"
        raise ValueError(f"{quoted(text)} is no group of this host; {expected}") from None


def signed_duration(text: str) -> float:
    """Convert plain seconds, or numbers with units that add up, to seconds.

    "600", "1h30m", "1.5 H", "1d 12h", "-1". Only a number that stands alone may lack
    its unit: nobody can tell whether "1h30" means minutes or seconds.
    """
    word = text.lower()
    if alone := _SECONDS.fullmatch(word):
        sign, seconds = alone[1], float(alone[2])
    elif groups := _GROUPS.fullmatch(word):
        sign, seconds = groups[1], _sum(groups[2], text)
    else:
        raise ValueError(_not_a_duration(text))
    if seconds > _LONGEST:
        raise ValueError(f"{quoted(text)} is too long; expected at most 1000 years")
    return -seconds if sign == "-" else seconds


def duration(text: str) -> float:
    """Convert a duration that is not negative, in seconds."""
    seconds = signed_duration(text)
    if seconds < 0:
        raise ValueError(f"{quoted(text)} is negative; expected 0 or a duration as 10m")
    return seconds


def positive_duration(text: str) -> float:
    """Convert a duration that is longer than nothing, in seconds."""
    seconds = signed_duration(text)
    if seconds <= 0:
        raise ValueError(f"{quoted(text)} is not above 0; expected a duration as 600 or 10m")
    return seconds


def ban_duration(text: str) -> float | None:
    """Convert the length of a ban, in seconds; any negative one is None, for ever."""
    seconds = signed_duration(text)
    return None if seconds < 0 else seconds


def _sum(groups: str, text: str) -> float:
    pairs = _GROUP.findall(groups)
    if unknown := [unit for _, unit in pairs if unit not in UNITS]:
        raise ValueError(f"{_not_a_duration(text)}, not {quoted(unknown[0])}")
    return sum(float(number) * UNITS[unit] for number, unit in pairs)


def _not_a_duration(text: str) -> str:
    return (
        f"{quoted(text)} is not a duration; "
        "expected seconds, or numbers with the units s, m, h, d, w as in 1h30m"
    )


def network(text: str) -> Network:
    """Convert an address or a network; bits behind the prefix are cleared.

    An IPv4 address has four decimal parts without leading zeros. IPv4 that is mapped
    into IPv6 is unwrapped.
    """
    try:
        if "%" in text:
            raise ValueError("a zone names an interface, not an address")
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(
            f"{quoted(text)} is not a valid IP address; "
            "expected one as 192.0.2.7 or 2001:db8::7, or a network as 192.0.2.0/24"
        ) from error
    return _unmapped(found) if isinstance(found, ipaddress.IPv6Network) else found


def _unmapped(found: ipaddress.IPv6Network) -> Network:
    if not found.subnet_of(_MAPPED):
        return found
    low = int(found.network_address) & 0xFFFFFFFF
    return ipaddress.IPv4Network((low, found.prefixlen - _MAPPED.prefixlen))


def any_network(text: str) -> Network:
    """Convert what `network` does, and an IPv6 network with a mask, as 2001:db8::/ffff:ffff::."""
    address, slash, mask = text.partition("/")
    if not slash or ":" not in mask:
        return network(text)
    try:
        bits = f"{int(ipaddress.IPv6Address(mask)):0128b}"
    except ValueError:
        return network(text)
    prefix = bits.rstrip("0")
    if "0" in prefix:
        raise ValueError(f"{quoted(mask)} is no mask; expected ones before zeros, as ffff:ffff::")
    return network(f"{address}/{len(prefix)}")


def is_mask(text: str) -> bool:
    """Tell whether a network is written with a mask, as 192.0.2.0/255.255.255.0."""
    return _MASK.search(text) is not None


def facility(text: str) -> int:
    """Convert a syslog facility, by name or unshifted number; -1 is user."""
    word = text.lower()
    if word == "-1":
        return _USER
    if word in _FACILITIES:
        return _FACILITIES.index(word)
    if _INTEGER.fullmatch(word) and 0 <= int(word) < len(_FACILITIES):
        return int(word)
    raise ValueError(
        f"{quoted(text)} is not a syslog facility; "
        f"expected a number from 0 to {len(_FACILITIES) - 1}, or a name as daemon or local0"
    )


def tls(text: str) -> Literal["", "starttls", "ssl"]:
    """Convert how a mail connection is protected."""
    match text.lower():
        case "" | "none" | "no" | "off" | "false" | "0":
            return ""
        case "starttls":
            return "starttls"
        case "ssl" | "tls":
            return "ssl"
    raise ValueError(f"{quoted(text)} is not a way to encrypt; expected none, starttls or ssl")


def use_dns(text: str) -> UseDns:
    """Convert what to do with host names: yes, warn or no."""
    word = text.lower()
    if word == "warn":
        return "warn"
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{quoted(text)} is unknown; expected yes, warn or no")
    return "yes" if word in _TRUE else "no"


def some_text(text: str) -> str:
    """Return `text`, which must not be empty."""
    if not text:
        raise ValueError("'' is empty; expected a text")
    return text


def words(text: str) -> tuple[str, ...]:
    """Split at blanks; at least one word is expected."""
    return tuple(some_text(text).split())


def log_targets(text: str) -> tuple[str, ...]:
    """Split a list of STDERR, SYSLOG and absolute paths."""
    targets = words(text)
    for target in targets:
        if target not in ("STDERR", "SYSLOG") and not target.startswith("/"):
            raise ValueError(
                f"{quoted(target)} is not a log target; "
                "expected STDERR, SYSLOG or a path that starts with '/'"
            )
    return targets
