# SPDX-License-Identifier: GPL-2.0-or-later
"""Which bans of an earlier run are in force again, and until when.

Source: jail-conf.md section 10.3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from fail2ban.records import Ban, Id, JailSettings


def sort(
    settings: JailSettings,
    bans: Iterable[Ban],
    unknown: Collection[Id],
    now: float,
    spares: Callable[[Ban], bool],
) -> tuple[list[Ban], list[Ban]]:
    """Tell the bans that are in force again from those that are over.

    A firewall that outlived the daemon may hold both.

    Args:
        bans: of one section, as they were stored.
        unknown: whose ban's length was not stored; it is the section's.
        now: seconds since the epoch.
        spares: tells that a ban is not to come back, since its id is ignored now.
    """
    back: list[Ban] = []
    over: list[Ban] = []
    for ban in bans:
        known = replace(ban, end=_usual_end(settings, ban)) if ban.id in unknown else ban
        cut = _cut(settings, known, now)
        is_over = cut.end is not None and cut.end <= now
        (over if is_over or spares(ban) else back).append(cut)
    return back, over


def _usual_end(settings: JailSettings, ban: Ban) -> float | None:
    return None if settings.bantime is None else ban.start + settings.bantime


def _cut(settings: JailSettings, ban: Ban, now: float) -> Ban:
    """Return a ban that is not longer than the longest of its section.

    One that was prolonged, for its id went on, may be so long from now on.
    """
    growth = settings.growth
    longest = settings.bantime if growth is None else growth.longest
    if longest is None:
        return ban
    latest = (now if ban.prolonged else ban.start) + longest
    return ban if ban.end is not None and ban.end <= latest else replace(ban, end=latest)
