# SPDX-License-Identifier: GPL-2.0-or-later
"""`bantime.*` of a section: how bans grow, shown and changed.

Source: jail-conf.md sections 5.5 and 12.3; the shapes of the answers were seen on the
wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from fail2ban.config import tree_growth, values
from fail2ban.config.options import Option
from fail2ban.config.tree_options import spelled
from fail2ban.control import words
from fail2ban.control.host import Refused
from fail2ban.control.jailvalues import Change, Setting, seconds
from fail2ban.records import GrowthSettings, JailSettings

T = TypeVar("T")


def _increment(settings: JailSettings) -> bool | None:
    return None if settings.growth is None else True


def _set_increment(settings: JailSettings, said: Sequence[str]) -> JailSettings:
    if not words.parsed(values.boolean, words.only(said)):
        return replace(settings, growth=None)
    return replace(settings, growth=settings.growth or GrowthSettings())


def _shown(show: Callable[[GrowthSettings], object]) -> Callable[[JailSettings], object]:
    """Return what shows a part of how bans grow, None if they do not."""
    return lambda settings: show(settings.growth) if settings.growth else None


def _option(option: Option[T], put: Callable[[GrowthSettings, T], GrowthSettings]) -> Change:
    return _change(lambda text: words.option(option, text), put)


def _change(
    parse: Callable[[str], T], put: Callable[[GrowthSettings, T], GrowthSettings]
) -> Change:
    def change(settings: JailSettings, said: Sequence[str]) -> JailSettings:
        value = parse(words.only(said))
        if settings.growth is None:
            text = "do not grow; set bantime.increment to true first"
            raise Refused(f"bans of [{settings.name}] {text}")
        return replace(settings, growth=put(settings.growth, value))

    return change


def _multipliers(growth: GrowthSettings) -> str | None:
    return " ".join(spelled(value) for value in growth.multipliers) or None


def _longest(growth: GrowthSettings) -> int | float | None:
    return None if growth.longest is None else seconds(growth.longest)


SETTINGS: dict[str, Setting] = {
    "bantime.increment": Setting(_increment, _set_increment),
    "bantime.factor": Setting(
        _shown(lambda growth: spelled(growth.factor)),
        _option(tree_growth.FACTOR, lambda growth, value: replace(growth, factor=value)),
    ),
    "bantime.formula": Setting(
        _shown(lambda growth: growth.formula or None),
        _option(tree_growth.FORMULA, lambda growth, value: replace(growth, formula=value)),
    ),
    "bantime.multipliers": Setting(
        _shown(_multipliers),
        _option(tree_growth.MULTIPLIERS, lambda growth, value: replace(growth, multipliers=value)),
    ),
    "bantime.maxtime": Setting(
        _shown(_longest),
        _option(tree_growth.MAXTIME, lambda growth, value: replace(growth, longest=value)),
    ),
    "bantime.rndtime": Setting(
        _shown(lambda growth: seconds(growth.jitter) or None),
        _option(tree_growth.RNDTIME, lambda growth, value: replace(growth, jitter=value)),
    ),
    "bantime.overalljails": Setting(
        _shown(lambda growth: growth.all_jails or None),
        _change(
            lambda text: words.parsed(values.boolean, text),
            lambda growth, value: replace(growth, all_jails=value),
        ),
    ),
}
