# SPDX-License-Identifier: GPL-2.0-or-later
"""One line for each failure, as `-o` asks for it.

Source: jail-conf.md sections 9.2 and 14. `<time>` is as exact as the log is, for
whoever computes with it; the tags of a ban that does not exist stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fail2ban.cli.regex_run import Failure
from fail2ban.detect.match import Line
from fail2ban.enforce.escape import fill
from fail2ban.enforce.tags import Facts
from fail2ban.records import Ban, Ticket
from fail2ban.text import printable

_TAG = re.compile(r"<[A-Za-z][\w.-]*>")
#: Tags about a failure; others are about a ban.
_FAILURE_TAGS = frozenset(
    "ip fid family ip-rev ip-host failures time matches raw-ticket br sp fq-hostname"
    " sh-hostname msg".split()
)
_CAPTURE = "F-"


def of_failure(token: str, jail: str, clock: Callable[[], float], failure: Failure) -> str:
    """Return what `-o token` prints for a failure; several lines for some tokens.

    Args:
        jail: its name, or that of the filter.
        clock: seconds since the epoch, where a line has no time.
    """
    match token:
        case "id" | "fid":
            return printable(str(failure.id))
        case "ip":
            return printable(str(failure.ip))
        case "msg" | "matches":
            return _evidence(failure)
        case "row":
            return printable_row(failure)
    if not _TAG.search(token):
        return printable(str(failure.groups.get(token)))
    match = failure.match
    time = clock() if match.time is None else match.time
    ticket = Ticket(jail, failure.ip, 0, time, match.lines, match.fid, match.groups)
    ban = Ban(time, None, ticket)
    facts = Facts(jail, ban.family, time, ban)
    return fill(token, lambda name: _value(facts, failure, time, name))


def of_line(token: str, line: Line) -> str:
    """Return what `-o token` prints for a line that is no failure."""
    text = printable(line.stamp + line.text)
    if not _TAG.search(token):
        return text
    values = {"msg": text, "matches": text, "br": "\n", "sp": " "}

    def value(name: str) -> str | None:
        known = name in _FAILURE_TAGS or name.startswith(_CAPTURE)
        return values.get(name, "") if known else None

    return fill(token, value)


def printable_row(failure: Failure) -> str:
    """Return a failure as the elements of a list in Python."""
    groups = ", ".join(f"{name!r}: {_spelled(text)}" for name, text in failure.groups.items())
    return printable(f"[{str(failure.id)!r},\0{failure.match.time!r},\0{{{groups}}}],").replace(
        "\\x00", "\t"
    )


def _spelled(text: object) -> str:
    if isinstance(text, set):
        return "{" + ", ".join(map(repr, sorted(text))) + "}"
    return repr(text)


def _evidence(failure: Failure) -> str:
    return "\n".join(map(printable, failure.match.lines))


def _value(facts: Facts, failure: Failure, time: float, name: str) -> str | None:
    if name not in _FAILURE_TAGS and not name.startswith(_CAPTURE):
        return None
    if name == "time":
        return str(time)
    if name in ("msg", "matches"):
        return _evidence(failure)
    value = facts.lookup(name)
    return value if value is None or name == "br" else printable(value)
