# SPDX-License-Identifier: GPL-2.0-or-later
"""Lay out the answers of the daemon for people, and for scripts that read what people do.

Whatever comes from the daemon may have been written by an attacker and is made
printable, piece by piece: only we begin lines.

Source: jail-conf.md sections 12.3 to 12.5, followed to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fail2ban.cli import health
from fail2ban.cli.layouts import NotLaidOut, branches, flat, items, pairs, status_lines
from fail2ban.cli.statstable import table
from fail2ban.text import printable

#: Lays out the answer to some words.
Layout = Callable[[Sequence[str], object], str]


def beautify(words: Sequence[str], result: object, fancy: bool = True) -> str:
    """Return what is to be shown of the answer to a command, without a newline at its end.

    An answer of a shape that is not known is shown as it is.

    Args:
        words: the command, as in ["status", "sshd"].
        result: what JSON made of the answer.
        fancy: the terminal can draw lines.
    """
    try:
        if words[:1] in (["stats"], ["statistics"]):
            return table(result, fancy)
        return _layout(words)(words, result)
    except NotLaidOut:
        return _plain(words, result)


def _layout(words: Sequence[str]) -> Layout:
    match words:
        case ["get", option] | ["set", option, _] if option in _DAEMON:
            return _DAEMON[option]
        case ["get" | "set", _, option, *_] if option in _JAIL:
            return _JAIL[option]
        case ["get", _, "banip", *_]:
            return _banned
        case [command, *_] if command in _COMMANDS:
            return _COMMANDS[command]
    return _plain


def _plain(words: Sequence[str], result: object) -> str:
    return flat(result)


# Commands ---------------------------------------------------------------------


def _status(words: Sequence[str], result: object) -> str:
    heading = "Status"
    if len(words) > 1 and words[1] != "--all":
        heading = f"Status for the jail: {printable(words[1])}"
    return "\n".join([heading, *status_lines(pairs(result))])


def _ping(words: Sequence[str], result: object) -> str:
    return f"Server replied: {flat(result)}"


def _echo(words: Sequence[str], result: object) -> str:
    return " ".join(items(result))


def _flushed(words: Sequence[str], result: object) -> str:
    return f"logs: {flat(result)}"


def _added(words: Sequence[str], result: object) -> str:
    return f"Added jail {flat(result)}"


def _started(words: Sequence[str], result: object) -> str:
    return "Jail started" if len(words) > 1 else flat(result)


def _stopped(words: Sequence[str], result: object) -> str:
    return "Jail stopped" if len(words) > 1 else "Shutdown successful"


_COMMANDS: dict[str, Layout] = {
    "add": _added,
    "alarms": health.lay_out_alarms,
    "echo": _echo,
    "flushlogs": _flushed,
    "health": health.lay_out_health,
    "metrics": health.lay_out_metrics,
    "ping": _ping,
    "start": _started,
    "status": _status,
    "stop": _stopped,
}


# Options of the daemon ----------------------------------------------------------


def _loglevel(words: Sequence[str], result: object) -> str:
    return f"Current logging level is '{flat(result)}'"


def _named(heading: str) -> Layout:
    return lambda words, result: f"{heading}\n`- {flat(result)}"


def _of_database(heading: str, unit: str = "") -> Layout:
    def lay_out(words: Sequence[str], result: object) -> str:
        if result is None:
            return "Database currently disabled"
        return f"{heading}\n`- {flat(result)}{unit}"

    return lay_out


_DAEMON: dict[str, Layout] = {
    "loglevel": _loglevel,
    "logtarget": _named("Current logging target is:"),
    "syslogsocket": _named("Current syslog socket is:"),
    "dbfile": _of_database("Current database file is:"),
    "dbpurgeage": _of_database("Current database purge age is:", "seconds"),
}


# Options of a jail --------------------------------------------------------------


def _list(heading: str, none: str, numbered: bool = False) -> Layout:
    def lay_out(words: Sequence[str], result: object) -> str:
        found = items(result)
        if not found:
            return none
        if numbered:
            found = [f"[{number}]: {text}" for number, text in enumerate(found)]
        return "\n".join([heading, *branches(found)])

    return lay_out


def _journal(words: Sequence[str], result: object) -> str:
    if not isinstance(result, list):
        raise NotLaidOut
    terms = [" ".join(items(one)) if isinstance(one, list) else flat(one) for one in result]
    if not terms:
        return "No journal match filter set"
    return f"Current match filter:\n{' + '.join(terms)}"


def _datepattern(words: Sequence[str], result: object) -> str:
    match result:
        case None:
            shown = "Not set/required"
        case [None, name]:
            shown = flat(name)
        case [pattern, name]:
            shown = f"{flat(pattern)} ({flat(name)})"
        case _:
            raise NotLaidOut
    return f"Current date pattern set to: {shown}"


def _encoding(words: Sequence[str], result: object) -> str:
    return f"Current log encoding is set to:\n{flat(result)}"


def _banned(words: Sequence[str], result: object) -> str:
    between = words[3] if len(words) > 3 else " "
    return ("\n" if between == "--with-time" else between).join(items(result))


def _actions(words: Sequence[str], result: object) -> str:
    names, jail = items(result), printable(words[1])
    if not names:
        return f"No actions for jail {jail}"
    return f"The jail {jail} has the following actions:\n{', '.join(names)}"


def _of_action(what: str) -> Layout:
    def lay_out(words: Sequence[str], result: object) -> str:
        action = printable(words[3]) if len(words) > 3 else ""
        heading = f"The jail {printable(words[1])} action {action} has the following {what}:"
        return f"{heading}\n{', '.join(items(result))}"

    return lay_out


def _property(words: Sequence[str], result: object) -> str:
    """Show a command with its lines; it comes from the configuration."""
    return "\n".join(map(printable, flat(result, raw=True).split("\n")))


_LOGS = _list("Current monitored log file(s):", "No file is currently monitored")
_IGNORED = _list("These IP addresses/networks are ignored:", "No IP address/network is ignored")
_PATTERNS = _list(
    "The following regular expression are defined:", "No regular expression is defined", True
)
_JAIL: dict[str, Layout] = {
    **dict.fromkeys(("logpath", "addlogpath", "dellogpath"), _LOGS),
    **dict.fromkeys(("ignoreip", "addignoreip", "delignoreip"), _IGNORED),
    **dict.fromkeys(("failregex", "addfailregex", "delfailregex"), _PATTERNS),
    **dict.fromkeys(("ignoreregex", "addignoreregex", "delignoreregex"), _PATTERNS),
    **dict.fromkeys(("journalmatch", "addjournalmatch", "deljournalmatch"), _journal),
    "logencoding": _encoding,
    "datepattern": _datepattern,
    "actions": _actions,
    "actionproperties": _of_action("properties"),
    "actionmethods": _of_action("methods"),
    "action": _property,
}
