# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a section that have one value each: how to show and to change them.

Source: jail-conf.md sections 5.3 to 5.6 and 12.3; the shapes of the answers were seen
on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fail2ban.config import tree_filter, tree_ignore, tree_jail, values
from fail2ban.config.options import Option
from fail2ban.control import words
from fail2ban.decide.tracker import LINES
from fail2ban.records import Command, JailSettings

#: Makes other settings of those in force and what somebody says; raises Refused.
Change = Callable[[JailSettings, Sequence[str]], JailSettings]

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """A setting that a client may ask for.

    Attributes:
        show: what the client gets, also after a change.
        change: by the words that follow the option's name.
    """

    show: Callable[[JailSettings], object]
    change: Change


def seconds(value: float) -> int | float:
    """Return a length of time without a fraction that is none."""
    return int(value) if value == int(value) else value


def _option(option: Option[T], put: Callable[[JailSettings, T], JailSettings]) -> Change:
    """Return the change of what is written as one option of the configuration."""

    def change(settings: JailSettings, said: Sequence[str]) -> JailSettings:
        return put(settings, words.option(option, words.only(said)))

    return change


def _boolean(put: Callable[[JailSettings, bool], JailSettings]) -> Change:
    def change(settings: JailSettings, said: Sequence[str]) -> JailSettings:
        return put(settings, words.parsed(values.boolean, words.only(said)))

    return change


# What is shown ---------------------------------------------------------------


def _bantime(settings: JailSettings) -> int | float:
    return -1 if settings.bantime is None else seconds(settings.bantime)


def _timezone(settings: JailSettings) -> str | None:
    offset = settings.filter.logtimezone
    if offset is None:
        return None
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"UTC{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"


def _ignorecommand(settings: JailSettings) -> str | bool:
    return settings.ignore.command.any or False


def _ignorecache(settings: JailSettings) -> list[object] | None:
    ignore = settings.ignore
    if not ignore.cache:
        return None
    return [ignore.cache, ignore.cache_size, seconds(ignore.cache_time)]


# What is changed -------------------------------------------------------------


def _set_ignorecommand(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    command = Command.same(words.only(said))
    return replace(settings, ignore=replace(settings.ignore, command=command))


def _set_ignorecache(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    text = words.only(said)
    read = words.understood({"ignorecache": text}, tree_ignore.ignore_settings)
    ignore = replace(
        settings.ignore,
        cache=read.cache,
        cache_size=read.cache_size,
        cache_time=read.cache_time,
    )
    return replace(settings, ignore=ignore)


SETTINGS: dict[str, Setting] = {
    "bantime": Setting(
        _bantime, _option(tree_jail.BANTIME, lambda jail, value: replace(jail, bantime=value))
    ),
    "findtime": Setting(
        lambda jail: seconds(jail.findtime),
        _option(tree_jail.FINDTIME, lambda jail, value: replace(jail, findtime=value)),
    ),
    "maxretry": Setting(
        lambda jail: jail.maxretry,
        _option(tree_jail.MAXRETRY, lambda jail, value: replace(jail, maxretry=value)),
    ),
    "maxmatches": Setting(
        lambda jail: LINES if jail.maxmatches is None else jail.maxmatches,
        _option(tree_jail.MAXMATCHES, lambda jail, value: replace(jail, maxmatches=value)),
    ),
    "maxlines": Setting(
        lambda jail: jail.filter.maxlines,
        _option(
            tree_filter.MAXLINES,
            lambda jail, value: replace(jail, filter=replace(jail.filter, maxlines=value)),
        ),
    ),
    "usedns": Setting(
        lambda jail: jail.filter.usedns,
        _option(
            tree_filter.USEDNS,
            lambda jail, value: replace(jail, filter=replace(jail.filter, usedns=value)),
        ),
    ),
    "logtimezone": Setting(
        _timezone,
        _option(
            tree_filter.LOGTIMEZONE,
            lambda jail, value: replace(jail, filter=replace(jail.filter, logtimezone=value)),
        ),
    ),
    "logencoding": Setting(
        lambda jail: jail.encoding or "UTF-8",
        _option(tree_filter.LOGENCODING, lambda jail, value: replace(jail, encoding=value)),
    ),
    "ignoreself": Setting(
        lambda jail: jail.ignore.own,
        _boolean(lambda jail, value: replace(jail, ignore=replace(jail.ignore, own=value))),
    ),
    "ignorecommand": Setting(_ignorecommand, _set_ignorecommand),
    "ignorecache": Setting(_ignorecache, _set_ignorecache),
}
