# SPDX-License-Identifier: GPL-2.0-or-later
"""The running daemon as those see it who steer it: see `control.host.Host`.

What changes how sections run is done on the main thread, as at a reload.
"""

from __future__ import annotations

import functools
import glob
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fail2ban.config.tree_daemon import with_target
from fail2ban.control.host import NoJail, Refused, Standing
from fail2ban.decide.bans import Bans
from fail2ban.decide.judge import Judge
from fail2ban.detect.mainthread import MainThread
from fail2ban.enforce.tags import Counts
from fail2ban.errors import ConfigError, Fail2BanError
from fail2ban.jail import Jails
from fail2ban.messages import Messages
from fail2ban.plan import make_filter
from fail2ban.records import (
    Ban,
    Failure,
    Id,
    JailSettings,
    JournalSettings,
    LogSettings,
    Network,
    Problem,
    Settings,
)


@dataclass(frozen=True)
class Wheel:
    """What of the daemon can be turned.

    Attributes:
        settings: returns those in force.
        lift_all: ends all bans of a section, returns how many.
        act: has the actions of all sections, by name, be those of their settings.
        reload, stop: see `Host`; `reload` runs on the main thread.
        fail: ends the daemon as broken, soon.
        clock: seconds since the epoch.
    """

    jails: Jails
    bans: Bans
    main: MainThread
    messages: Messages
    settings: Callable[[], Settings]
    lift_all: Callable[[str], int]
    act: Callable[[Mapping[str, JailSettings]], None]
    reload: Callable[[], list[Problem]]
    stop: Callable[[], None]
    fail: Callable[[], None]
    clock: Callable[[], float]


class Steering:
    """The `Host` of a daemon."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._log: LogSettings | None = None

    # What there is ------------------------------------------------------------

    def jails(self) -> list[str]:
        return self._wheel.jails.names()

    def settings(self) -> Settings:
        settings = self._wheel.settings()
        return settings if self._log is None else replace(settings, log=self._log)

    def jail(self, name: str) -> JailSettings:
        settings = self._wheel.jails.settings(name)
        if settings is None:
            raise NoJail(name)
        return settings

    def standing(self, name: str) -> Standing:
        settings, judge = self.jail(name), self._judge(name)
        bans = sorted(self._bans(name), key=_end)
        counts = Counts(len(bans), judge.banned_total, judge.found, judge.found_total)
        if settings.journal is not None:
            return Standing(counts, _matches(settings.journal), True, tuple(bans))
        return Standing(counts, _files(settings.logs), False, tuple(bans))

    # What can be changed ------------------------------------------------------

    def change(self, name: str, change: Callable[[JailSettings], JailSettings]) -> JailSettings:
        return self._wheel.main.call(functools.partial(self._change, name, change))

    def _change(self, name: str, change: Callable[[JailSettings], JailSettings]) -> JailSettings:
        old = self.jail(name)
        settings, locale = change(old), self._wheel.settings().locale
        filter = make_filter(settings.filter, locale)
        known = make_filter(old.filter, locale).problems
        # A file's bad pattern is left out, and said; a hand's is refused.
        if wrong := [one for one in filter.problems if one not in known and _is_error(one)]:
            raise ConfigError(wrong)
        try:
            self._wheel.jails.alter(settings, filter)
        except (OSError, ValueError) as error:
            raise Refused(str(error)) from error
        except BaseException:
            # Its reader may stand still, and the init system starts us again.
            self._wheel.fail()
            raise
        if settings.actions != old.actions:
            self._wheel.act({one: self.jail(one) for one in self.jails()})
        return settings

    def ban(self, name: str, ids: Sequence[Id]) -> int:
        judge = self._judge(name)
        return sum([judge.ban(id) for id in ids])

    def unban(self, names: Sequence[str], ids: Sequence[Id] | None) -> int:
        # Of all sections that there were, a reload may have taken one away meanwhile.
        there = [name for name in names if self._wheel.jails.settings(name) is not None]
        if names and not there:
            raise NoJail(names[0])
        if ids is None:
            return sum(self._wheel.lift_all(name) for name in there)
        return sum(self._lift(name, id) for name in there for id in ids)

    def _lift(self, name: str, id: Id) -> int:
        entries = [entry for entry in self._wheel.bans.of(name) if not entry.lifting]
        meant = [entry for entry in entries if _means(id, entry.ban.id)]
        for entry in meant:
            self._wheel.bans.lift(entry)
        return len(meant)

    def attempt(self, name: str, ip: Id, lines: Sequence[str]) -> bool:
        judge, now = self._judge(name), self._wheel.clock()
        if judge.ignores(ip) is not None:
            return False
        for line in lines or ("",):
            judge.hear(Failure(name, ip, now, (line,)))
        return True

    def reload(self) -> list[Problem]:
        return self._wheel.main.call(self._reload)

    def _reload(self) -> list[Problem]:
        before = self._wheel.settings()
        try:
            problems = self._wheel.reload()
        except Fail2BanError:
            raise
        except BaseException:
            self._wheel.fail()  # as above
            raise
        after = self._wheel.settings()
        if self._log is not None and after is not before:
            # The configuration counts again, also if it is still the same.
            self._log = None
            self._wheel.messages.configure(after.log)
        return problems

    def stop(self) -> None:
        self._wheel.stop()

    def flush_logs(self) -> None:
        self._wheel.main.call(self._wheel.messages.reopen)

    def change_log(self, level: int | None = None, target: str | None = None) -> None:
        self._wheel.main.call(functools.partial(self._change_log, level, target))

    def _change_log(self, level: int | None, target: str | None) -> None:
        old = self.settings().log
        new = old if level is None else replace(old, level=level)
        if target is not None:
            try:
                new = with_target(new, target)
            except ValueError as error:
                raise Refused(str(error)) from error
        if errors := self._wheel.messages.configure(new):
            self._wheel.messages.configure(old)
            raise Refused("; ".join(errors))
        self._log = new

    def _judge(self, name: str) -> Judge:
        judge = self._wheel.jails.judge(name)
        if judge is None:
            raise NoJail(name)
        return judge

    def _bans(self, name: str) -> list[Ban]:
        return [entry.ban for entry in self._wheel.bans.of(name) if not entry.lifting]


def _is_error(problem: Problem) -> bool:
    return problem.severity == "error"


def _end(ban: Ban) -> float:
    return float("inf") if ban.end is None else ban.end


def _files(patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(path for pattern in patterns for path in sorted(glob.glob(pattern)) or [pattern])


def _matches(journal: JournalSettings) -> tuple[str, ...]:
    return tuple(" ".join(terms) for terms in journal.matches)


def _means(wanted: Id, banned: Id) -> bool:
    """Tell whether a ban is meant by an id; a network means what lies within it."""
    if wanted == banned or not isinstance(wanted, Network):
        return wanted == banned
    if isinstance(banned, str) or banned.version != wanted.version:
        return False
    # Types are those of one family here, which the checker cannot see.
    return ipaddress.ip_network(banned).subnet_of(wanted)  # type: ignore[arg-type]
