# SPDX-License-Identifier: GPL-2.0-or-later
"""`get` and `set` of what concerns the whole daemon.

Source: jail-conf.md section 12.3; the shapes of the answers were seen on the wire.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from fail2ban.config import common, tree_daemon
from fail2ban.config.options import Option
from fail2ban.control import words
from fail2ban.control.host import Host, Refused
from fail2ban.control.jailvalues import seconds
from fail2ban.levels import LEVELS

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_SOCKET = tree_daemon.SYSLOGSOCKET.default

T = TypeVar("T")

Get = Callable[[Host], object]
#: Called with the words behind the option's name.
Set = Callable[[Host, Sequence[str]], object]


def loglevel(host: Host) -> str:
    """Return the level of our messages, by name if it has one."""
    log = host.settings().log
    level = log.level or _LEVELS[min(log.verbose, len(_LEVELS) - 1)]
    return next((name for name, number in LEVELS.items() if number == level), str(level))


def logtarget(host: Host) -> str:
    """Return where our messages go."""
    return ", ".join(host.settings().log.targets)


def flushlogs(host: Host) -> str:
    """Open the log targets again; return what was done."""
    host.flush_logs()
    files = any(target.startswith("/") for target in host.settings().log.targets)
    return "rolled over" if files else "flushed"


def _syslogsocket(host: Host) -> str:
    path = host.settings().log.syslog_target
    return "auto" if path == _SOCKET else path


def _thread(host: Host) -> dict[str, int]:
    return {"stacksize": host.settings().stack_size}


def _dbfile(host: Host) -> str | None:
    store = host.database()
    return None if store is None else store.file


def _dbpurgeage(host: Host) -> int | float | None:
    store = host.database()
    return None if store is None else seconds(store.purgeage)


def _dbmaxmatches(host: Host) -> int | None:
    store = host.database()
    return None if store is None else store.maxmatches


def _set_loglevel(host: Host, said: Sequence[str]) -> str:
    host.change_log(level=words.parsed(tree_daemon.level, words.only(said)))
    return loglevel(host)


def _set_logtarget(host: Host, said: Sequence[str]) -> str:
    text = words.only(said)
    target = words.option(tree_daemon.LOGTARGET, text).name
    if "[" in text:
        raise _fixed("what a log target has in brackets")
    host.change_log(target=target)
    return logtarget(host)


def _set_syslogsocket(host: Host, said: Sequence[str]) -> str:
    path = words.only(said)
    if words.option(tree_daemon.SYSLOGSOCKET, path) != host.settings().log.syslog_target:
        raise _fixed("syslogsocket")
    return path


def _set_dbfile(host: Host, said: Sequence[str]) -> str | None:
    file = words.option(common.DBFILE, words.only(said))
    if host.jails():
        raise Refused("Cannot change database when there are jails present")
    if file != (_dbfile(host) or ""):
        raise _fixed("dbfile")
    return file or None


def _set_dbpurgeage(host: Host, said: Sequence[str]) -> int | float | None:
    _change_database(host, said, common.DBPURGEAGE, "purgeage")
    return _dbpurgeage(host)


def _set_dbmaxmatches(host: Host, said: Sequence[str]) -> int | None:
    _change_database(host, said, common.DBMAXMATCHES, "maxmatches")
    return _dbmaxmatches(host)


def _change_database(host: Host, said: Sequence[str], option: Option[T], field: str) -> None:
    """Keep the database otherwise; that there is none is no error."""
    value, store = words.option(option, words.only(said)), host.database()
    if store is not None:
        changed: dict[str, T] = {field: value}
        host.change_database(replace(store, **changed))  # type: ignore[arg-type]


def _refuse(name: str) -> Set:
    def refuse(host: Host, said: Sequence[str]) -> object:
        raise _fixed(name)

    return refuse


def _fixed(name: str) -> Refused:
    return Refused(f"{name} cannot be changed while we run; write it into fail2ban.local, restart")


GET: dict[str, Get] = {
    "loglevel": loglevel,
    "logtarget": logtarget,
    "syslogsocket": _syslogsocket,
    "dbfile": _dbfile,
    "dbpurgeage": _dbpurgeage,
    "dbmaxmatches": _dbmaxmatches,
    "thread": _thread,
}
SET: dict[str, Set] = {
    "loglevel": _set_loglevel,
    "logtarget": _set_logtarget,
    "syslogsocket": _set_syslogsocket,
    "dbfile": _set_dbfile,
    "dbpurgeage": _set_dbpurgeage,
    "dbmaxmatches": _set_dbmaxmatches,
    "thread": _refuse("thread"),
    "allowipv6": _refuse("allowipv6"),
}
