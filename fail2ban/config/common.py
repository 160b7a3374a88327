# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that both languages have under the same names.

What outlives the process, who may look at it, and what becomes of bans at its end.
In a tree those of the daemon stand in `fail2ban.conf`, in the language of 0.6 in
[DEFAULT].

Source: jail-conf.md section 11. `dbmaxsize`, `onstop`, `dryrun` and all that is about
looking are ours.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol, TypeVar

from fail2ban.config import arithmetic, values
from fail2ban.config.options import Option
from fail2ban.config.values import quoted
from fail2ban.records import HealthSettings, JailSettings, Settings, StoreSettings

T = TypeVar("T")

#: A database in memory: it ends with the process.
IN_MEMORY = ":memory:"
#: The option that says where clients find the daemon, and its default.
SOCKET, SOCKET_PATH = "socket", "/var/run/fail2ban/fail2ban.sock"
# The names that mean "none of it".
_NONE = frozenset({"", "none"})
# What a path of a Unix socket may have, without the zero at its end. Source: unix(7).
_LONGEST_SOCKET = 107
_SMALLEST = 1 << 20

_STORE, _HEALTH = StoreSettings(), HealthSettings()


class Source(Protocol):
    """The options of a section, in either language."""

    def get(self, option: Option[T]) -> T: ...


def path(text: str) -> str:
    """Return an absolute path."""
    if not text.startswith("/"):
        raise ValueError(f"{quoted(text)} is no path; expected one that starts with '/'")
    return text


def socket_or_none(text: str) -> str:
    """Return the path of a Unix socket; empty for `none`."""
    return "" if text.lower() in _NONE else path(text)


def database(text: str) -> str:
    """Return the path of a database; empty for `none`."""
    if text.lower() in _NONE:
        return ""
    if text != IN_MEMORY and not text.startswith("/"):
        expected = f"expected a path that starts with '/', {IN_MEMORY} or none"
        raise ValueError(f"{quoted(text)} is no path; {expected}")
    return text


def _database_size(text: str) -> int:
    found = values.size(text)
    if found < _SMALLEST:
        raise ValueError(f"{quoted(text)} is too small for a database; expected at least 1M")
    return found


def _metrics_port(text: str) -> int:
    return 0 if text.lower() in _NONE | {"0"} else values.port(text)


def on_stop(text: str) -> Literal["unban", "keep"]:
    """Convert what becomes of bans when the daemon ends."""
    match text.lower():
        case "unban":
            return "unban"
        case "keep":
            return "keep"
    raise ValueError(f"{quoted(text)} is unknown; expected unban or keep")


_from_zero = functools.partial(values.integer_from, 0)

DBFILE = Option("dbfile", database, _STORE.file)
DBMAXMATCHES = Option("dbmaxmatches", _from_zero, _STORE.maxmatches)
DBPURGEAGE = Option("dbpurgeage", arithmetic.duration, _STORE.purgeage, shown="1d")
DBMAXSIZE = Option("dbmaxsize", _database_size, _STORE.maxsize, shown="256M")
MONITORSOCKET = Option("monitorsocket", socket_or_none, _HEALTH.socket, shown="none")
MONITORGROUP = Option("monitorgroup", values.group, _HEALTH.group)
METRICSPORT = Option("metricsport", _metrics_port, _HEALTH.port)
QUIETTIME = Option("quiettime", arithmetic.duration, _HEALTH.quiet, shown="7d")
CLOCKSKEW = Option("clockskew", arithmetic.positive_duration, _HEALTH.skew)

#: Those of the daemon.
OF_DAEMON: tuple[Option[object], ...] = (
    (DBFILE, DBMAXMATCHES, DBPURGEAGE, DBMAXSIZE)
    + (MONITORSOCKET, MONITORGROUP, METRICSPORT, QUIETTIME, CLOCKSKEW)
)  # fmt: skip

ONSTOP: Option[Literal["unban", "keep"]] = Option("onstop", on_stop, "unban")
DRYRUN = Option("dryrun", values.boolean, False)


def store_settings(source: Source) -> StoreSettings | None:
    """Return how the database is kept; None: there is none."""
    settings = StoreSettings(
        file=source.get(DBFILE),
        maxmatches=source.get(DBMAXMATCHES),
        purgeage=source.get(DBPURGEAGE),
        maxsize=source.get(DBMAXSIZE),
    )
    return settings if settings.file else None


def health_settings(source: Source) -> HealthSettings:
    """Return who may look at the daemon, and what it watches."""
    return HealthSettings(
        socket=source.get(MONITORSOCKET),
        group=source.get(MONITORGROUP),
        port=source.get(METRICSPORT),
        quiet=source.get(QUIETTIME),
        skew=source.get(CLOCKSKEW),
    )


# What a careful colleague would say about them --------------------------------


class Remark(NamedTuple):
    """A warning about an option, wherever it is written."""

    option: str
    text: str


def about_daemon(settings: Settings) -> Iterator[Remark]:
    """Return the warnings about what concerns all jails that run."""
    health, jails = settings.health, [jail for jail in settings.jails if jail.enabled]
    for option, place in ((SOCKET, settings.socket), (MONITORSOCKET.name, health.socket)):
        if (length := len(place.encode(errors="surrogateescape"))) > _LONGEST_SOCKET:
            expected = f"expected at most {_LONGEST_SOCKET} bytes, not {length}"
            yield Remark(option, f"{quoted(place)} is too long for a socket; {expected}")
    if health.group and not health.socket:
        text = f"{quoted(health.group)} gets no socket; expected a monitorsocket, too"
        yield Remark(MONITORGROUP.name, text)
    if health.socket and health.socket == settings.socket:
        text = f"{quoted(health.socket)} is the control socket; expected another path"
        yield Remark(MONITORSOCKET.name, text)
    if jails and all(jail.dryrun for jail in jails):
        text = "every section only shows its commands, nobody is locked out"
        yield Remark(DRYRUN.name, f"{text}; expected 'dryrun = false' in some")
    if settings.store is None and not settings.firewall.dryrun:
        yield from _about_no_database(jails)


def _about_no_database(jails: Iterable[JailSettings]) -> Iterator[Remark]:
    jails = list(jails)
    if growing := ", ".join(jail.name for jail in jails if jail.growth):
        text = f"without a database earlier bans are forgotten at the end; {growing} needs them"
        yield Remark(DBFILE.name, text)
    if keeping := ", ".join(jail.name for jail in jails if jail.onstop == "keep"):
        text = "without a database nobody lifts the bans that are kept in the firewall"
        yield Remark(DBFILE.name, f"{text}; {keeping} keeps them")


def about_jail(jail: JailSettings, check: str) -> Iterator[Remark]:
    """Return the warnings about one section that runs.

    Args:
        check: what its language calls the command that looks at the firewall.
    """
    if jail.onstop != "keep" or jail.dryrun:
        return
    blind = [
        one for one in jail.actions if one.enforces and (one.ban or one.banmany) and not one.check
    ]
    for action in blind:
        text = f"{action.name!r} has no {check}: bans that the firewall lost while the daemon"
        yield Remark(ONSTOP.name, f"{text} did not run stay lost; expected one, or unban")
