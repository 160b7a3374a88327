# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter of a jail of the tree.

Source: jail-conf.md sections 3, 5.4 and 7.
"""

from __future__ import annotations

import codecs

from fail2ban import zones
from fail2ban.config import values
from fail2ban.config.options import Option
from fail2ban.config.tree_options import Options
from fail2ban.config.values import quoted
from fail2ban.records import FilterSettings, Sourced, UseDns


def _maxlines(text: str) -> int:
    return values.integer_from(1, text)


def _usedns(text: str) -> UseDns:
    if text.lower() == "raw":
        return "raw"
    try:
        return values.use_dns(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is unknown; expected yes, warn, no or raw") from None


def _encoding(text: str) -> str:
    """Convert the name of a codec; empty for `auto`."""
    if text.lower() in ("", "auto"):
        return ""
    try:
        "".encode(text)
        return codecs.lookup(text).name
    except (LookupError, ValueError):
        expected = "expected auto, or a name as utf-8 or latin-1"
        raise ValueError(f"{quoted(text)} is no encoding; {expected}") from None


def _timezone(text: str) -> int | None:
    if text.lower() in ("", "none"):
        return None
    found = zones.offset(text)
    if found is None:
        expected = "expected one as UTC, CET or UTC+0200"
        raise ValueError(f"{quoted(text)} is no time zone; {expected}")
    return found


MAXLINES = Option("maxlines", _maxlines, 1)
USEDNS: Option[UseDns] = Option("usedns", _usedns, "warn")
LOGENCODING = Option("logencoding", _encoding, "")
LOGTIMEZONE: Option[int | None] = Option("logtimezone", _timezone, None)

#: Options of a filter that a jail may replace.
OPTIONS = tuple("prefregex failregex ignoreregex datepattern maxlines journalmatch usedns".split())


def filter_settings(section: str, patterns: Options, jail: Options) -> FilterSettings:
    """Put a filter together.

    Args:
        section: the jail's name.
        patterns: what the filter says, and the jail in its place.
        jail: the other options of the jail.

    Raises:
        ConfigError: an option cannot be made.
    """
    prefregex = patterns.lines("prefregex")
    return FilterSettings(
        section=section,
        failregex=patterns.lines("failregex"),
        ignoreregex=patterns.lines("ignoreregex"),
        usedns=_usedns_of(patterns, jail),
        tagged=True,
        prefregex=_whole(prefregex),
        maxlines=patterns.get(MAXLINES),
        datepattern=tuple(
            Sourced(line.text.strip(), line.origin) for line in patterns.lines("datepattern")
        ),
        logtimezone=jail.get(LOGTIMEZONE),
    )


def _usedns_of(patterns: Options, jail: Options) -> UseDns:
    # What is wrong must not have names resolved.
    return (jail if jail.says(USEDNS.name) else patterns).get_or(USEDNS, "no")


def _whole(lines: tuple[Sourced, ...]) -> Sourced | None:
    """Return a text that is one, whatever lines it has."""
    if not lines:
        return None
    return Sourced("\n".join(line.text for line in lines), lines[0].origin)
