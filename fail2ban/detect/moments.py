# SPDX-License-Identifier: GPL-2.0-or-later
"""What a timestamp tells, in parts -> the moment it means.

Sources: fail2ban-conf-0.6.md sections 6 and 12 (defect 8); jail-conf.md section 8.4.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache, partial

Parts = Mapping[str, int]  # what a text tells: {"month": 6, "day": 21, "hour": 16}

_DAY = 86400.0
#: Days after today at which a moment may be that is at most a day from now somewhere.
_AHEAD = timedelta(3)
#: Seconds that a clock without a date may be ahead of ours before it means yesterday.
_SKEW = 60.0
#: A year before this one is what programs write that know none.
_FIRST_YEAR = 2000
#: The last second that `datetime` can show in any zone.
_LAST = 253402214400


def moment(parts: Parts, now: float, first_year: int = _FIRST_YEAR) -> float:
    """Return the moment, in seconds since the epoch, that `parts` describe.

    Without a year it is the latest such moment at most a day after `now`,
    since clocks differ and January follows December. Without any date it is
    the latest at most a minute after `now`; with only the day of a month, one
    at most a day after it. Without a zone it is local time.

    Args:
        first_year: a year before this one counts as none.

    Raises:
        ValueError: there is no such moment, as in "Feb 30".
    """
    if "epoch" in parts:
        if parts["epoch"] > _LAST:
            raise ValueError("it is after the year 9999")
        return parts["epoch"] + parts.get("microsecond", 0) / 1e6
    try:
        if (year := parts.get("year", 0)) >= first_year:
            return _at(_date(parts, year), parts, now)
        return _latest(parts, now)
    except OverflowError as error:
        raise ValueError(f"no such moment: {error}") from error


def _latest(parts: Parts, now: float) -> float:
    # `map` and no generators: a signal's exception is lost while one is closed.
    today = datetime.fromtimestamp(now).date()
    days: Iterable[date | None]
    limit = now + _DAY
    if parts.keys() & {"month", "yearday", "week", "isoweek"}:
        # Feb 29 may be eight years back: 2100 is no leap year.
        days = map(partial(_in_this_year, parts), range(today.year + 1, today.year - 9, -1))
    elif "day" in parts:
        this_month = today.year * 12 + today.month - 1
        days = map(partial(_in_this_month, parts), range(this_month + 1, this_month - 4, -1))
    else:
        days = (today + timedelta(1), today, today - timedelta(1))
        limit = now + _SKEW
    # Most years need no closer look; no two zones are as far apart.
    last = today + _AHEAD
    for day in days:
        if day and day <= last and (result := _at(day, parts, now)) <= limit:
            return result
    raise ValueError("no such day in any year")


def _in_this_year(parts: Parts, year: int) -> date | None:
    try:
        return _date(parts, year)
    except ValueError:
        return None


def _in_this_month(parts: Parts, month: int) -> date | None:
    """Return the day of a month that is counted from the year 0."""
    try:
        return date(month // 12, month % 12 + 1, parts["day"])
    except ValueError:
        return None


def _date(parts: Parts, year: int) -> date:
    if "isoweek" in parts:
        return date.fromisocalendar(year, parts["isoweek"], parts.get("weekday", 0) + 1)
    if "yearday" in parts:
        return _in_year(year, parts["yearday"] - 1)
    if "week" in parts and "weekday" in parts:
        return _in_year(year, _days_into_year(year, parts))
    return date(year, parts.get("month", 1), parts.get("day", 1))


def _days_into_year(year: int, parts: Parts) -> int:
    """Count the days from January 1 to a weekday of a week.

    Week 1 starts with the first `weekstart` (0 Monday, 6 Sunday) of the year.
    """
    start = parts["weekstart"]
    first = (start - date(year, 1, 1).weekday()) % 7
    return first + 7 * (parts["week"] - 1) + (parts["weekday"] - start) % 7


def _in_year(year: int, days: int) -> date:
    day = date(year, 1, 1) + timedelta(days)
    if day.year != year:
        raise ValueError(f"{year} has no such day")
    return day


def _at(day: date, parts: Parts, now: float) -> float:
    """Return the moment of a day at the time of `parts`."""
    hour = parts.get("hour", parts.get("hour12", 0) % 12 + 12 * parts.get("half", 0))
    minute = parts.get("minute", 0)
    seconds = parts.get("second", 0) + parts.get("microsecond", 0) / 1e6
    if "offset" in parts:
        naive = datetime(day.year, day.month, day.day, hour, minute)
        return calendar.timegm(naive.timetuple()) - parts["offset"] + seconds
    first, second = _minute(day, hour, minute, (time.tzname, time.timezone))
    if first == second:
        return first + seconds
    # When the clock is set back an hour comes twice: a live log means the near one.
    return min(first + seconds, second + seconds, key=lambda at: abs(at - now))


@lru_cache(maxsize=1024)  # clocks are set at full minutes only, so a minute has 60 lines
def _minute(day: date, hour: int, minute: int, zone: object) -> tuple[float, float]:
    """Return when a minute of the local time begins: before clocks are set back, and after.

    Args:
        zone: the local one; with another there are other answers.
    """
    naive = datetime(day.year, day.month, day.day, hour, minute)
    return naive.timestamp(), naive.replace(fold=1).timestamp()
