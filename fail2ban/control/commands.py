# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that a client may send, and what it gets.

Results have the shapes that clients of this family expect and lay out themselves.

Source: jail-conf.md sections 12.3 to 12.5; the shapes of the answers were seen on the
wire.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import fail2ban
from fail2ban.control import (
    answers,
    daemonvalues,
    health,
    jailactions,
    jailbans,
    jailgrowth,
    jaillists,
    jailpatterns,
    jailsadded,
    jailvalues,
    named,
    reloading,
    schema,
    watching,
    why,
    words,
)
from fail2ban.control.host import Host, Refused
from fail2ban.control.jailvalues import Setting
from fail2ban.records import JailSettings

log = logging.getLogger(__name__)

#: Gets the words behind the command, or behind the names of the jail and the option.
Command = Callable[[Host, Sequence[str]], object]
JailCommand = Callable[[Host, str, Sequence[str]], object]

# "stats" is a flavor elsewhere, too; its table has a command of its own here.
_FLAVORS = ("basic", "short", "cymru", "stats")
_ALL = "--all"


class Commands:
    """Carries out commands.

    Args:
        host: the running daemon.
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def execute(self, said: Sequence[object], wanted: int | None = None) -> object:
        """Carry out one command; return text, numbers, truths, None, or lists of those.

        Any thread but the main one may call, one at a time; questions at any time.

        Args:
            said: the command and its words; `reload` may have lists among them.
            wanted: the schema of the answer; None: the shape that clients of this family
                lay out.

        Raises:
            NoJail: a section is named that does not run.
            Fail2BanError: it cannot be done, and nothing has changed unless the
                text says so.
        """
        if wanted is None:
            return self._execute(said)
        if wanted != schema.VERSION:
            raise Refused(f"there is no schema {wanted}; expected {schema.VERSION}")
        result = self._named(said)
        return result if isinstance(result, watching.Watch) else schema.versioned(result)

    def _named(self, said: Sequence[object]) -> named.Object | watching.Watch:
        query = _NAMED.get(words.plain(said[0])) if said else None
        if query is not None:
            return query(self._host, [words.plain(word) for word in said[1:]])
        result = self._execute(said)
        if isinstance(result, watching.Watch):
            return result
        return named.value([str(word) for word in said], result)

    def _execute(self, said: Sequence[object]) -> object:
        if not said:
            raise words.unknown()
        name = words.plain(said[0])
        if name == "reload":
            return reloading.reload(self._host, said[1:])
        if (command := COMMANDS.get(name)) is None:
            raise words.unknown()
        return command(self._host, [words.plain(word) for word in said[1:]])


# The daemon ------------------------------------------------------------------


def _ping(host: Host, said: Sequence[str]) -> str:
    return "pong"


def _version(host: Host, said: Sequence[str]) -> str:
    return fail2ban.__version__


def _echo(host: Host, said: Sequence[str]) -> list[str]:
    return list(said)


def _ready(host: Host, said: Sequence[str]) -> str:
    return "Server ready"


def _flushlogs(host: Host, said: Sequence[str]) -> str:
    return daemonvalues.flushlogs(host)


def _start(host: Host, said: Sequence[str]) -> None:
    host.start_jail(words.only(said))


def _stop(host: Host, said: Sequence[str]) -> None:
    if not said:
        return host.stop()
    host.stop_jail(words.only(said))


def _internal(host: Host, said: Sequence[str]) -> object:
    raise Refused("the daemon reads its configuration itself; expected reload")


# How it stands ---------------------------------------------------------------


def _status(host: Host, said: Sequence[str]) -> object:
    if len(said) > 2:
        raise words.unknown("Invalid command (no status)")
    if not said:
        return answers.overview(host.jails())
    flavor = _flavor(said[1]) if len(said) == 2 else _FLAVORS[0]
    if said[0] == _ALL:
        return _status_of_all(host, flavor)
    return answers.status(host.standing(said[0]), flavor)


def _status_of_all(host: Host, flavor: str) -> answers.Pairs:
    standings = answers.standings(host)
    each = [(name, answers.status(standing, flavor)) for name, standing in standings.items()]
    return [*answers.overview(list(standings)), ("Status for the jails", each)]


def _flavor(word: str) -> str:
    if word not in _FLAVORS:
        log.warning("%r is no flavor of a status; expected %s", word, ", ".join(_FLAVORS))
        return _FLAVORS[0]
    return word


def _stats(host: Host, said: Sequence[str]) -> dict[str, list[object]]:
    return {name: answers.row(standing) for name, standing in answers.standings(host).items()}


# get and set -----------------------------------------------------------------


def _get(host: Host, said: Sequence[str]) -> object:
    first, *rest = words.some(said)
    if first in daemonvalues.GET:
        return daemonvalues.GET[first](host)
    if not rest:
        raise words.incomplete()
    host.jail(first)  # an unknown section is told before an unknown option
    option, *more = rest
    if (command := GET.get(option)) is None:
        raise words.unknown("Invalid command (no get action or not yet implemented)")
    return command(host, first, more)


def _set(host: Host, said: Sequence[str]) -> object:
    first, *rest = words.some(said)
    if first in daemonvalues.SET:
        return daemonvalues.SET[first](host, rest)
    if not rest:
        raise words.incomplete()
    host.jail(first)
    option, *more = rest
    if (command := SET.get(option)) is None:
        text = f"Invalid command '{option}' (no set action or not yet implemented)"
        raise words.unknown(text)
    return command(host, first, more)


def _show(show: Callable[[JailSettings], object]) -> JailCommand:
    return lambda host, jail, said: show(host.jail(jail))


def _change(setting: Setting) -> JailCommand:
    def change(host: Host, jail: str, said: Sequence[str]) -> object:
        return setting.show(host.change(jail, lambda settings: setting.change(settings, said)))

    return change


def _logpath(host: Host, jail: str, said: Sequence[str]) -> list[str]:
    standing = host.standing(jail)
    return [] if standing.journal else list(standing.sources)


_SETTINGS = {**jailvalues.SETTINGS, **jailgrowth.SETTINGS, **jailpatterns.SETTINGS}
_VERBS = {**jaillists.VERBS, **jailpatterns.VERBS}

GET: dict[str, JailCommand] = {
    **{name: _show(setting.show) for name, setting in _SETTINGS.items()},
    **{name: _show(show) for name, show in {**jaillists.SHOW, **jailpatterns.SHOW}.items()},
    "logpath": _logpath,
    "banip": jailbans.listed,
    "banned": jailbans.banned,
    "actions": jailactions.names,
    "actionproperties": jailactions.properties,
    "actionmethods": jailactions.methods,
    "action": jailactions.show,
}
SET: dict[str, JailCommand] = {
    **{name: _change(setting) for name, setting in {**_SETTINGS, **_VERBS}.items()},
    "idle": jailsadded.idle,
    "banip": jailbans.ban,
    "unbanip": jailbans.unban,
    "attempt": jailbans.attempt,
    "addaction": jailactions.add,
    "delaction": jailactions.remove,
    "action": jailactions.change,
}
_NAMED = {**named.QUERIES, **health.QUERIES, "why": why.why, "why-not": why.why_not}
#: `reload` apart, whose words may be lists.
COMMANDS: dict[str, Command] = {
    "ping": _ping,
    "version": _version,
    "echo": _echo,
    "status": _status,
    "stats": _stats,
    "statistic": _stats,
    "statistics": _stats,
    "banned": jailbans.banned_anywhere,
    "unban": jailbans.unban_anywhere,
    "flushlogs": _flushlogs,
    "get": _get,
    "set": _set,
    "start": _start,
    "stop": _stop,
    "add": jailsadded.add,
    "why": why.why,
    "why-not": why.why_not,
    "watch": watching.watch,
    **health.COMMANDS,
    "server-status": _ready,
    "server-stream": _internal,
    "config-error": _internal,
    "multi-set": _internal,
}
