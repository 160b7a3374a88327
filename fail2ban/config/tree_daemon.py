# SPDX-License-Identifier: GPL-2.0-or-later
"""What `fail2ban.conf` of a tree says about the daemon itself.

Source: jail-conf.md sections 11, 12.1 and 15.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace

from fail2ban.config import common, values
from fail2ban.config.brackets import BracketError, element
from fail2ban.config.common import health_settings, store_settings
from fail2ban.config.options import Option
from fail2ban.config.tree_options import Options
from fail2ban.config.values import quoted
from fail2ban.levels import LEVELS
from fail2ban.records import FirewallSettings, LogSettings, Settings

# The levels of 0.8, by number.
_OLD_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
# What `-v`, given so often, shows at least.
_VERBOSE = (logging.INFO, logging.DEBUG, LEVELS["HEAVYDEBUG"])

_FILE = "/var/log/fail2ban.log"
_SYSLOG_SOCKET = "/dev/log"
_TARGETS = ("STDOUT", "STDERR", "SYSLOG", "SYSOUT", "SYSTEMD-JOURNAL")
_OF_TARGET = frozenset({"datetime", "padding", "format", "facility"})
_TARGET = re.compile(r"([^\[]*)(\[.*\])?", re.DOTALL)
_DAEMON = values.facility("daemon")


@dataclass(frozen=True)
class _Target:
    """A target of messages, and how they look there."""

    name: str
    clock: bool = True
    padding: bool = True
    pattern: str = ""
    facility: int = _DAEMON


def level(text: str) -> int:
    """Convert a name or a number of a log level; 0 to 4 mean what they did in 0.8."""
    word = text.upper()
    if word in LEVELS:
        return LEVELS[word]
    if re.fullmatch("[0-9]{1,2}", word) and int(word) <= logging.CRITICAL:
        number = int(word)
        return _OLD_LEVELS[number] if number < len(_OLD_LEVELS) else number
    expected = f"expected one of {', '.join(LEVELS)}"
    raise ValueError(f"{quoted(text)} is no log level; {expected}")


def _target(text: str) -> _Target:
    """Convert a target, as `/var/log/fail2ban.log` or `SYSLOG[facility=auth]`."""
    found = _TARGET.fullmatch(text)
    name = found[1].strip() if found else ""
    plain = name.upper()
    if plain not in _TARGETS and not name.startswith("/"):
        expected = f"expected a path that starts with '/', or one of {', '.join(_TARGETS)}"
        raise ValueError(f"{quoted(text)} is not a log target; {expected}")
    target = _Target(plain if plain in _TARGETS else name)
    if target.name in ("SYSOUT", "SYSLOG", "SYSTEMD-JOURNAL"):
        # Who takes them writes the time, and a line that is not aligned.
        target = replace(target, clock=False, padding=target.name == "SYSOUT")
    return _dressed(target, found[2]) if found and found[2] else target


def _dressed(target: _Target, brackets: str) -> _Target:
    try:
        given = element(f"target{brackets}").options
    except BracketError as error:
        raise ValueError(str(error)) from None
    if unknown := sorted(given.keys() - _OF_TARGET):
        expected = f"expected one of {', '.join(sorted(_OF_TARGET))}"
        raise ValueError(f"{quoted(unknown[0])} is unknown; {expected}")
    return replace(
        target,
        clock=_switch(given.get("datetime", ""), target.clock),
        padding=_switch(given.get("padding", ""), target.padding),
        pattern=given.get("format", ""),
        facility=values.facility(given["facility"]) if "facility" in given else target.facility,
    )


def _switch(text: str, default: bool) -> bool:
    return values.boolean(text) if text else default


def _syslog_socket(text: str) -> str:
    return _SYSLOG_SOCKET if text.lower() in ("", "auto") else text


def _ipv6(text: str) -> bool | None:
    return None if text.lower() in ("", "auto") else values.boolean(text)


def _stack_size(text: str) -> int:
    """Convert the size of a thread's stack, in KiB."""
    size = values.integer(text)
    if size and not 32 <= size <= 1 << 20:
        raise ValueError(f"{quoted(text)} is no size of a stack; expected 0, or KiB from 32 on")
    return size


LOGLEVEL = Option("loglevel", level, logging.INFO, shown="INFO")
LOGTARGET = Option("logtarget", _target, _Target(_FILE), shown=_FILE)
SYSLOGSOCKET = Option("syslogsocket", _syslog_socket, _SYSLOG_SOCKET)
SOCKET = Option(common.SOCKET, common.path, common.SOCKET_PATH)
PIDFILE = Option("pidfile", common.path, "/var/run/fail2ban/fail2ban.pid")
ALLOWIPV6: Option[bool | None] = Option("allowipv6", _ipv6, None, shown="auto")
#: Of the section [Thread].
STACKSIZE = Option("stacksize", _stack_size, 0)

#: Every option of the section [Definition].
NAMES = frozenset("loglevel logtarget syslogsocket socket pidfile allowipv6".split()) | {
    option.name for option in common.OF_DAEMON
}


def daemon_settings(options: Options, background: bool | None, verbose: int) -> Settings:
    """Return the settings of the daemon, without jails.

    Args:
        background: what the command line says about it.
        verbose: how often `-v` was given.

    Raises:
        ConfigError: an option cannot be made.
    """
    return Settings(
        background=True if background is None else background,
        pidlock=options.get(PIDFILE),
        log=_log(options, verbose),
        # However often a firewall must be repaired, the others are guarded.
        firewall=FirewallSettings(maxreinits=-1),
        modern=True,
        ipv6=options.get(ALLOWIPV6),
        socket=options.get(SOCKET),
        store=store_settings(options),
        health=health_settings(options),
    )


def _log(options: Options, verbose: int) -> LogSettings:
    found = options.get(LOGLEVEL)
    if verbose:
        found = min(found, _VERBOSE[min(verbose, len(_VERBOSE)) - 1])
    log = LogSettings(syslog_target=options.get(SYSLOGSOCKET), level=found, aligned=True)
    return _to(log, options.get(LOGTARGET))


def with_target(log: LogSettings, text: str) -> LogSettings:
    """Return the same settings with another `logtarget`.

    Raises:
        ValueError: it is none.
    """
    return _to(log, _target(text))


def _to(log: LogSettings, target: _Target) -> LogSettings:
    return replace(
        log,
        targets=(target.name,),
        syslog_facility=target.facility,
        clock=target.clock,
        padding=target.padding,
        pattern=target.pattern,
    )
