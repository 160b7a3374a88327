# SPDX-License-Identifier: GPL-2.0-or-later
"""A pattern as the user wrote it -> a compiled one that knows whom to blame.

`<HOST>` stands for an address or host name. How a pattern without it finds the
address is said in fail2ban-conf-0.6.md, sections 5, 11 and 14; such a pattern
works, but trusts text that an attacker may have written, so the user is warned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fail2ban.detect.addresses import (
    IPV4,
    IPV4_END,
    IPV6,
    IPV6_BEGIN,
    IPV6_END,
    NAME,
    NAME_BEGIN,
    NAME_END,
    find_addresses,
    find_name,
    parse_address,
)
from fail2ban.detect.pieces import SKIPPED, Piece, compile_pieces, cut
from fail2ban.detect.pieces import Report as Report
from fail2ban.records import Address, Problem, Sourced

Blame = Literal["tag", "group", "any group", "nearest"]

#: Named groups that hold the address; the first of them that captured decides.
ADDRESS_GROUPS = ("host", "ip4", "ip6", "ip", "addr", "rhost", "dns")

_IPV4_BEGIN = r"(?<![0-9])(?<![0-9]\.)"


def _host(ipv4_end: str, ipv6_end: str, name_end: str) -> str:
    ipv4 = f"{_IPV4_BEGIN}{IPV4}{ipv4_end}"
    ipv6 = f"{IPV6_BEGIN}(?:{IPV6}){ipv6_end}"
    return rf"(?:\[?(?P<host>{ipv4}|{ipv6}|{NAME_BEGIN}{NAME}{name_end})\]?)"


_HOST = _host(IPV4_END, rf"{IPV6_END}(?!\.\w)", NAME_END)
#: For `<HOST>\.\d+`, a port behind a dot: what follows is the user's to say.
_HOST_JOINED = _host("(?![0-9])", "(?![0-9A-Fa-f])", "")
_JOINED = re.compile(r"(?:\((?:\?:)?)*(?:\\[.-]|\[[^]]*\.|[\w-])")

_TOKEN = re.compile(
    rf"""{SKIPPED}
      | \(\? (?P<flags> [aiLmsux]+ ) \)
      | (?P<tag> <HOST> )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Failregex:
    """One compiled pattern.

    Attributes:
        blame: where the address is: the `<HOST>` tag, a group of
            ADDRESS_GROUPS, any named group, or near the end of the match.
    """

    source: Sourced
    regex: re.Pattern[str]
    blame: Blame

    def host(self, found: re.Match[str]) -> Address | str | None:
        """Return the address, or host name, that a match of `regex` blames."""
        if self.blame == "tag":
            text = found["host"] or ""
            return parse_address(text) or _name(text)
        if self.blame == "group":
            return _in_group(_captured(found, ADDRESS_GROUPS))
        if self.blame == "any group":
            return _in_any(found)
        return _nearest(found.string, found.end())


def _name(text: str) -> str | None:
    return text if re.fullmatch(NAME, text) else None


def _captured(found: re.Match[str], groups: Iterable[str]) -> str:
    texts = (found[group] for group in groups if group in found.re.groupindex)
    return next((text for text in texts if text), "")


def _in_group(text: str) -> Address | str | None:
    return parse_address(text) or _first(text) or find_name(text)


def _in_any(found: re.Match[str]) -> Address | None:
    groups = (found[name] or "" for name in found.re.groupindex)
    return next((ip for text in groups if (ip := _first(text))), None)


def _first(text: str) -> Address | None:
    return next((found.ip for found in find_addresses(text)), None)


def _nearest(line: str, end: int) -> Address | None:
    """Return the address the match ends in, else the next one, else the last before."""
    before = None
    for found in find_addresses(line):
        if found.end >= end:
            return found.ip
        before = found.ip
    return before


def compile_failregex(
    sources: Iterable[Sourced], section: str, report: Report
) -> tuple[Failregex, ...]:
    """Compile the patterns of a section; each bad one is reported and left out.

    However many patterns name no address group, they get one warning.
    """
    compiled = []
    for source in sources:
        if regex := compile_regex(source, section, "failregex", report):
            compiled.append(Failregex(source, regex, _blame(source.text, regex)))
    for blame in _ADVICE:
        _advise(section, blame, [one.source for one in compiled if one.blame == blame], report)
    return tuple(compiled)


@lru_cache(maxsize=512)
def _blame(text: str, regex: re.Pattern[str]) -> Blame:
    if any(token["tag"] for token in _TOKEN.finditer(text)):
        return "tag"
    if any(group in regex.groupindex for group in ADDRESS_GROUPS):
        return "group"
    return "any group" if regex.groupindex else "nearest"


_ADVICE: dict[Blame, str] = {
    "any group": "no group of this pattern says that it holds the address, so the first"
    " address in any named group is blamed",
    "nearest": "this pattern does not say where the address stands, so the one nearest to the"
    " end of the match is blamed",
}


def _advise(section: str, blame: Blame, sources: list[Sourced], report: Report) -> None:
    """Warn once of all patterns of a section that blame in the same unsafe way."""
    if not sources:
        return
    first, *others = sources
    also = f" (so do lines {', '.join(str(s.origin.line) for s in others)})" if others else ""
    text = (
        f"{_ADVICE[blame]}: text that an attacker writes could name another one; put <HOST>"
        f" where the address stands in {first.text!r}{also}"
    )
    report(Problem(first.origin, section, "failregex", text, "warning"))


def compile_regex(
    source: Sourced, section: str, option: str, report: Report
) -> re.Pattern[str] | None:
    """Compile one pattern with its tags; None when it cannot be used.

    Global flags anywhere in the pattern are moved to its front, where Python
    wants them. Whatever `re` warns of is reported too.
    """
    try:
        regex, remarks = _compile(source.text)
    except ValueError as error:
        report(Problem(source.origin, section, option, str(error)))
        return None
    for remark in remarks:
        report(Problem(source.origin, section, option, remark, "warning"))
    return regex


@lru_cache(maxsize=512)  # many sections have the same patterns
def _compile(text: str) -> tuple[re.Pattern[str], list[str]]:
    """Return the compiled pattern and what the user should know about it.

    Raises:
        ValueError: it cannot be used; says why, and what would be right.
    """
    regex, remarks = compile_pieces(text, _expand(text))
    if regex.search(""):
        raise ValueError(
            f"{text!r} matches the empty text, and so every line; expected an expression that"
            " only the lines in question fit"
        )
    return regex, remarks


def _expand(text: str) -> list[Piece]:
    """Cut a pattern into pieces; the first one gathers its global flags.

    Raises:
        ValueError: the pattern is empty, or `<HOST>` stands where it cannot.
    """
    if not text.strip():
        raise ValueError("the expression is empty and would match every line; expected one")
    tokens = list(_TOKEN.finditer(text))
    _check_tags(text, tokens)
    flags = "".join(dict.fromkeys("".join(token["flags"] or "" for token in tokens)))
    changes = [
        Piece(token.start(), token[0], _replacement(token))
        for token in tokens
        if token["flags"] or token["tag"]
    ]
    return cut(text, changes, flags)


def _check_tags(text: str, tokens: list[re.Match[str]]) -> None:
    if sum(token["tag"] is not None for token in tokens) > 1:
        raise ValueError(
            f"<HOST> stands more than once in {text!r}; expected it once an expression"
        )
    for token in tokens:
        if "<HOST>" in (token["set"] or ""):
            raise ValueError(
                f"in {token[0]!r} the tag is only a set of characters; for an address in"
                r" brackets write \[<HOST>\]"
            )


def _replacement(token: re.Match[str]) -> str:
    if not token["tag"]:
        return ""
    return _HOST_JOINED if _JOINED.match(token.string, token.end()) else _HOST
