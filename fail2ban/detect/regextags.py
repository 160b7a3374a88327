# SPDX-License-Identifier: GPL-2.0-or-later
"""A pattern of a filter.d, with its tags -> a compiled one.

A tag stands for a named group, which says what the text it captures is: whom to
blame, a user, the id of a connection. Unlike the patterns of `failregex`, one
that has no such tag blames nobody, and is refused.

Source: jail-conf.md sections 7 and 7.1; section 15 for the group `host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from fail2ban.detect.pieces import SKIPPED, Piece, Report, compile_pieces, cut
from fail2ban.records import Problem, Sourced, UseDns

#: Groups that name whom to blame, the likeliest to be right first.
ADDRESS_GROUPS = ("ip4", "ip6", "dns", "host")
#: A failregex, or the prefregex before it, has one of these.
ID_GROUPS = frozenset({"fid", "mlfid", *ADDRESS_GROUPS})
#: What a group is called where a tag has another name.
GROUP_OF = {"id": "fid", "port": "fport"}

_IP4 = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})"
_IP6 = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))"
_DNS = r"(?P<dns>[\w\-.^_]*\w)"
_CIDR = r"(?P<cidr>\d+)"
_ADDR = rf"\[?(?:{_IP4}|{_IP6})\]?"
_TAGS = {
    "IP4": _IP4,
    "IP6": _IP6,
    "DNS": _DNS,
    "ADDR": _ADDR,
    "HOST": rf"(?:{_ADDR}|{_DNS})",
    "CIDR": _CIDR,
    "SUBNET": rf"\[?(?:{_IP4}|{_IP6})(?:/{_CIDR})?\]?",
    "ID": r"(?P<fid>\S+)",
    "PORT": r"(?P<fport>\w+)",
}
_LONG_ONLY = {"ID", "PORT"}  # written <F-ID/>, never <ID>
_NAMES = "|".join(name for name in _TAGS if name not in _LONG_ONLY)
_TAG = rf"<(?:{_NAMES}|SKIPLINES)>|</?F-[A-Z0-9_-]+/?>"
_TOKEN = re.compile(
    rf"""(?P<escaped> \\ (?: {_TAG} ) )
      | {SKIPPED}
      | \( (?: \?: )? \(\? (?P<local> [aiLmsux]+ ) \)
      | \(\? (?P<flags> [aiLmsux]+ ) \)
      | < (?P<short> {_NAMES} ) >
      | <F- (?P<long> {"|".join(_TAGS)} ) />
      | (?P<skiplines> <SKIPLINES> )
      | <F- (?P<open> [A-Z0-9_-]+ ) >
      | </F- (?P<close> [A-Z0-9_-]+ ) >""",
    re.VERBOSE | re.DOTALL,
)


def compile_tagged(
    source: Sourced,
    section: str,
    option: str,
    report: Report,
    usedns: UseDns = "warn",
    multiline: bool = False,
) -> re.Pattern[str] | None:
    """Compile one pattern with its tags; None when it cannot be used.

    Args:
        usedns: with "no", <HOST> takes no host name.
        multiline: "^" and "$" fit at each line of the text.
    """
    try:
        regex, remarks = _compile(source.text, usedns, multiline)
    except ValueError as error:
        report(Problem(source.origin, section, option, str(error)))
        return None
    for remark in remarks:
        report(Problem(source.origin, section, option, remark, "warning"))
    return regex


def names_somebody(regex: re.Pattern[str]) -> bool:
    """Tell whether a group of `regex` says whom to blame, or on which connection."""
    return any(target(name)[0] in ID_GROUPS for name in regex.groupindex)


_VARIANT = re.compile(r"(alt|tuple)_(.+?)(?:_[0-9]+)?")


def target(name: str) -> tuple[str, str]:
    """Return the group that the lower-case `name` speaks of, and how.

    How is "" for the group itself, "alt" for an alternative to it, and "tuple"
    for a further part of it: `alt_user_2` is an "alt" of `user`.
    """
    found = _VARIANT.fullmatch(name)
    return (GROUP_OF.get(found[2], found[2]), found[1]) if found else (name, "")


@lru_cache(maxsize=512)  # many sections have the same patterns
def _compile(text: str, usedns: UseDns, multiline: bool) -> tuple[re.Pattern[str], list[str]]:
    """Return the compiled pattern and what the user should know about it.

    Raises:
        ValueError: it cannot be used; says why, and what would be right.
    """
    if not text.strip():
        raise ValueError("the expression is empty and would match every line; expected one")
    tokens = list(_TOKEN.finditer(text))
    _check(text, tokens, usedns)
    flags = "".join(dict.fromkeys("".join(token["flags"] or "" for token in tokens)))
    expansion = _Expansion(text, usedns)
    changes = [change for token in tokens if (change := expansion.change(token))]
    expansion.close()
    regex, warned = compile_pieces(text, cut(text, changes, flags), multiline)
    return regex, expansion.remarks + warned


def _check(text: str, tokens: Iterable[re.Match[str]], usedns: UseDns) -> None:
    """Refuse what cannot be meant as it is written.

    Raises:
        ValueError: says what it is.
    """
    standing: dict[str, str] = {}
    for token in tokens:
        if token["escaped"]:
            raise ValueError(
                f"in {text!r} a backslash stands before {token[0][1:]}; expected the tag alone"
            )
        if token["set"] and (tag := re.search(_TAG, token["set"])):
            raise ValueError(
                f"in {token[0]!r} the tag is only a set of characters; for brackets around it"
                rf" write \[{tag[0]}\]"
            )
        for group in re.findall(r"\(\?P<(\w+)>", _standalone(token, usedns)):
            if first := standing.get(group):
                raise ValueError(
                    f"{first} and {token[0]} both stand for the group {group} in {text!r};"
                    " expected it once an expression"
                )
            standing[group] = token[0]


def _standalone(token: re.Match[str], usedns: UseDns) -> str:
    """Return what a tag that is a whole group is replaced with; "" for any other token."""
    name = token["short"] or token["long"]
    if name == "HOST" and usedns == "no":
        name = "ADDR"
    return _TAGS[name] if name else ""


class _Expansion:
    """The replacement of one pattern's tags, from left to right.

    Attributes:
        remarks: what the user should know.
    """

    def __init__(self, text: str, usedns: UseDns) -> None:
        self.remarks: list[str] = []
        self._text, self._usedns = text, usedns
        self._opened: list[str] = []
        self._skiplines = 0

    def change(self, token: re.Match[str]) -> Piece | None:
        """Return what a token becomes; None where it stays as it is."""
        new = self._new(token)
        return None if new is None else Piece(token.start(), token[0], new)

    def close(self) -> None:
        """Note the end of the pattern.

        Raises:
            ValueError: a tag is still open.
        """
        for name in self._opened:
            raise ValueError(f"<F-{name}> is not closed in {self._text!r}; expected </F-{name}>")

    def _new(self, token: re.Match[str]) -> str | None:
        if replaced := _standalone(token, self._usedns):
            return replaced
        if token["local"]:
            return f"(?{token['local']}:"
        if token["flags"]:
            return ""
        if token["skiplines"]:
            self._skiplines += 1
            return rf"\n(?P<skiplines{self._skiplines - 1}>(?:(?:.*\n)*?))"
        if name := token["open"]:
            self._opened.append(name)
            group = name.lower().replace("-", "_")
            return f"(?P<{GROUP_OF.get(group, group)}>"
        if name := token["close"]:
            return self._closed(name)
        return None

    def _closed(self, name: str) -> str | None:
        if name in self._opened:
            self._opened.remove(name)
            return ")"
        self.remarks.append(
            f"</F-{name}> closes nothing in {self._text!r}, and so is looked for literally;"
            f" expected <F-{name}> before it"
        )
        return None
