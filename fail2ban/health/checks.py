# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with a daemon that runs, and how it is noticed.

Every check says of each section, or of the daemon as a whole, what it thinks. A
text says what is seen, what follows from it, and what to do.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple, Protocol

from fail2ban.durations import MINUTE, duration
from fail2ban.events import Event
from fail2ban.health.facts import JailFacts, LogFacts, Observed
from fail2ban.health.growth import Growth
from fail2ban.notices import shown
from fail2ban.records import HealthSettings, Id

#: Lines in a row without a date that mean that we do not understand the dates.
TIMELESS_LINES = 20
#: Looks with new lines at a log whose clock is wrong, all by about the same: at most by
#: so many seconds, or such a share, more or less.
SKEWED_LOOKS, SKEW_SPREAD, SKEW_SHARE = 5, 10.0, 0.1
#: Seconds for which a ban may fail, and below which failing is no news.
FAILED_LONG, FAILED_SHORT = 5 * MINUTE, MINUTE
#: How often in so many seconds somebody must get through his ban; a minute makes one.
LEAKS, LEAK_TIME = 3, 10 * MINUTE
#: Ids that are watched for that; then the oldest is forgotten.
LEAK_IDS = 10_000
#: Share of the capacity below which a section is no longer crowded.
ROOMY = 0.9
#: Seconds for which a log may be missing, as in the middle of a rotation.
MISSING_LONG = 10 * MINUTE
#: Seconds without a line that took too long, after which the patterns are fast again.
SLOW_TIME = 60 * MINUTE
#: Seconds that a job may wait, and below which none has waited long.
STUCK_LONG, STUCK_SHORT = 30.0, 5.0


class Verdict(NamedTuple):
    """What a check thinks.

    Attributes:
        name: of the alarm.
        jail: the section; empty: the daemon as a whole.
        wrong: None: it is not clear; what was said last holds.
        text: where it is wrong; an attacker may have written parts of it.
    """

    name: str
    jail: str
    wrong: bool | None
    text: str = ""


class Check(Protocol):
    """Notices one thing."""

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        """Yield a verdict on every section that runs, or on the daemon.

        Args:
            now: seconds since the epoch.
        """


class Timeless:
    """Lines flow, but no date is understood: without one nothing is counted."""

    def __init__(self) -> None:
        self._growth = Growth()
        self._in_a_row: dict[str, int] = {}

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        for jail in observed.jails:
            timed = self._growth.of((jail.name, True), jail.timed)
            timeless = self._growth.of((jail.name, False), jail.timeless)
            row = 0 if timed else self._in_a_row.get(jail.name, 0) + timeless
            self._in_a_row[jail.name] = row
            wrong = row >= TIMELESS_LINES or (False if timed else None)
            text = f"none of the last {row} lines looked at has a date that is understood;"
            what = " such lines are not counted. Set datepattern to how the log writes dates"
            yield Verdict("timeless", jail.name, wrong, text + what)


class Skewed:
    """The clock of a log is wrong, always by about the same: as that of another zone."""

    def __init__(self) -> None:
        self._growth = Growth()
        self._looks: dict[tuple[str, str], deque[float]] = {}
        self._wrong: set[tuple[str, str]] = set()

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        there = {(jail.name, log.name) for jail in observed.jails for log in jail.logs}
        self._wrong &= there
        self._looks = {key: looks for key, looks in self._looks.items() if key in there}
        for jail in observed.jails:
            wrong = [log for log in jail.logs if self._is_wrong(jail.name, log, settings.skew)]
            yield Verdict("skew", jail.name, bool(wrong), _skew_text(wrong) if wrong else "")

    def _is_wrong(self, jail: str, log: LogFacts, most: float) -> bool:
        key = jail, log.name
        if self._growth.of(key, log.lines) and log.skew is not None:
            looks = self._looks.setdefault(key, deque(maxlen=SKEWED_LOOKS))
            looks.append(log.skew)
            if most <= 0 or abs(log.skew) <= most / 2:
                self._wrong.discard(key)
            elif len(looks) == SKEWED_LOOKS and _is_steady(looks, most):
                self._wrong.add(key)
        return key in self._wrong


def _is_steady(looks: deque[float], most: float) -> bool:
    middle = abs(median(looks))
    spread = max(SKEW_SPREAD, SKEW_SHARE * middle)
    return min(map(abs, looks)) > most and max(looks) - min(looks) <= spread


def _skew_text(logs: list[LogFacts]) -> str:
    worst = max(logs, key=lambda log: abs(log.skew or 0.0))
    off = worst.skew or 0.0
    side = "ahead of" if off > 0 else "behind"
    return (
        f"the clock of {_some([log.name for log in logs])} is {duration(abs(off))} {side} ours;"
        " failures count as of the wrong time, and those too old not at all. Set the clock,"
        " or logtimezone where the log is written in another zone"
    )


class Failed:
    """A ban stays failed."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Id], float] = {}

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        there = {(jail.name, id) for jail in observed.jails for id in jail.failed}
        self._since = {key: self._since.get(key, now) for key in there}
        for jail in observed.jails:
            ages = {id: now - self._since[jail.name, id] for id in jail.failed}
            old = [id for id, age in ages.items() if age >= FAILED_LONG]
            over = all(age < FAILED_SHORT for age in ages.values())
            wrong = True if old else False if over else None
            yield Verdict("failed", jail.name, wrong, _failed_text(jail, old) if old else "")


def _failed_text(jail: JailFacts, old: list[Id]) -> str:
    return (
        f"{_some([shown(id) for id in old])} cannot be banned for {duration(FAILED_LONG)} or"
        " longer and can still connect. Mend the command that fails, see the log or `why`; it"
        " is tried again by itself"
    )


class Leaking:
    """Somebody keeps failing although he is banned, also after he was banned once more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: OrderedDict[tuple[str, Id], deque[float]] = OrderedDict()

    def note(self, event: Event) -> None:
        """Hear of him. Any thread."""
        if event.kind == "already_banned" and event.id is not None:
            with self._lock:
                times = self._times.setdefault((event.jail, event.id), deque(maxlen=LEAKS))
                times.append(event.time)
                self._times.move_to_end((event.jail, event.id))
                if len(self._times) > LEAK_IDS:
                    self._times.popitem(last=False)

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        heard = self._heard(now)
        for jail in observed.jails:
            often = {id: n for (name, id), n in heard.items() if name == jail.name}
            through = [id for id, n in often.items() if n >= LEAKS]
            wrong = True if through else None if often else False
            yield Verdict("leak", jail.name, wrong, _leak_text(through) if through else "")

    def _heard(self, now: float) -> dict[tuple[str, Id], int]:
        """Return how often each was heard of lately; forget what is too long ago."""
        with self._lock:
            for key, times in list(self._times.items()):
                recent = [time for time in times if 0 <= now - time < LEAK_TIME]
                self._times[key] = deque(recent, maxlen=LEAKS)
                if not recent:
                    del self._times[key]
            return {key: len(times) for key, times in self._times.items()}


def _leak_text(ids: list[Id]) -> str:
    return (
        f"{_some([shown(id) for id in ids])} fails on although banned: the ban does not keep"
        " it out. Look whether the action's port and protocol are those of the service, and"
        " whether another rule, a proxy or a container lets it through"
    )


class Crowded:
    """More ids fail than a section can watch."""

    def __init__(self) -> None:
        self._growth = Growth()

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        for jail in observed.jails:
            lost = self._growth.of(jail.name, jail.crowded_out)
            full = 0 < jail.capacity <= jail.tracked
            wrong = True if lost or full else None
            if wrong is None and jail.tracked < ROOMY * jail.capacity:
                wrong = False
            text = f"{jail.tracked} addresses fail at a time, more are not watched; the oldest are"
            what = " forgotten and may never be banned. Lower maxretry or findtime"
            yield Verdict("crowded", jail.name, wrong, text + what)


class Missing:
    """A log is not there, or cannot be read, for long."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        problems = {jail.name: _missing(jail) for jail in observed.jails}
        there = {(name, log) for name, logs in problems.items() for log in logs}
        self._since = {key: self._since.get(key, now) for key in there}
        for name, logs in problems.items():
            old = [log for log in logs if now - self._since[name, log] >= MISSING_LONG]
            wrong = True if old else None if logs else False
            yield Verdict("missing", name, wrong, _missing_text(old, logs) if old else "")


def _missing(jail: JailFacts) -> dict[str, str]:
    """Return what is wrong with logs, by path; empty: with all of them."""
    if jail.idle:
        return {}
    if not jail.logs and not jail.journal:
        return {"": "there is none of the configured names"}
    return {log.name: log.problem for log in jail.logs if log.problem}


def _missing_text(old: list[str], logs: dict[str, str]) -> str:
    which = _some([log for log in old if log]) if any(old) else "a log"
    what = "what is written there is not seen. Look at logpath and at who may read it"
    return f"{which} cannot be read for {duration(MISSING_LONG)} or longer: {logs[old[0]]}; {what}"


class Slow:
    """Lines were given up because the patterns take too long for them."""

    def __init__(self) -> None:
        self._growth = Growth()
        self._last: dict[str, float] = {}

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        for jail in observed.jails:
            if self._growth.of(jail.name, jail.given_up):
                self._last[jail.name] = now
            last = self._last.get(jail.name)
            wrong = last is not None and 0 <= now - last < SLOW_TIME
            text = f"{jail.given_up} lines took the patterns too long and were given up;"
            what = " who writes such lines is overlooked. Simplify failregex, see fail2ban-regex"
            yield Verdict("slow", jail.name, wrong, text + what)


class Unstored:
    """The database cannot be written."""

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        store = observed.store
        text = f"{store.file or 'the database'} cannot be written: {store.failing}; what happens now is forgotten"
        what = " when the daemon ends. Make room, or mend its permissions"
        yield Verdict("store", "", bool(store.failing), text + what)


class Stuck:
    """Bans wait for a command that does not come to an end."""

    def look(self, now: float, observed: Observed, settings: HealthSettings) -> Iterator[Verdict]:
        delay = observed.queue_delay
        wrong = True if delay > STUCK_LONG else False if delay < STUCK_SHORT else None
        text = f"{observed.queue} jobs wait for commands, for up to {duration(delay)}; bans come"
        yield Verdict("stuck", "", wrong, text + " late. Look which command takes so long")


def _some(names: list[str]) -> str:
    """Name one of several, and how many there are besides."""
    more = len(names) - 1
    return f"{names[0]} and {more} more" if more else names[0]
