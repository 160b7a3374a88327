# SPDX-License-Identifier: GPL-2.0-or-later
"""The running daemon as those see it who steer it: see `control.host.Host`.

What changes how sections run is done on the main thread, as at a reload.
"""

from __future__ import annotations

import functools
import glob
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fail2ban import __version__
from fail2ban.config.tree_daemon import with_target
from fail2ban.control.host import Held, NoJail, Refused, Regard, Standing
from fail2ban.decide.bans import Bans, Entry
from fail2ban.decide.judge import Judge
from fail2ban.detect.mainthread import MainThread
from fail2ban.enforce.tags import Counts
from fail2ban.errors import Fail2BanError
from fail2ban.events import Event
from fail2ban.health.facts import Health
from fail2ban.jails import Jails
from fail2ban.messages import Messages
from fail2ban.notices import shown
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
    StoreSettings,
    Ticket,
)
from fail2ban.sections import Sections

#: Seconds that a client waits for the actions of a section to be stopped.
PATIENCE = 20.0


@dataclass(frozen=True)
class Wheel:
    """What of the daemon can be turned.

    Attributes:
        settings: returns those in force.
        lift_all: ends all bans of a section, returns how many.
        act: has the actions of all sections, by name, be those of their settings.
        reload, stop: see `Host`; `reload` runs on the main thread.
        settled: waits so many seconds at most until what was ordered of the actions
            is done, and tells whether it is; not on the main thread.
        let_go: has an action lift what is no ban, see `Host`.
        forget: drops the history of an id in a section.
        store: changes how the database is kept; None: there is none.
        fail: ends the daemon as broken, soon.
        clock: seconds since the epoch.
        health: returns how the daemon is.
        recorded: returns what happened to some ids, oldest first.
    """

    jails: Jails
    bans: Bans
    main: MainThread
    messages: Messages
    settings: Callable[[], Settings]
    lift_all: Callable[[str], int]
    act: Callable[[Mapping[str, JailSettings]], None]
    reload: Callable[[str, bool, bool], list[Problem]]
    stop: Callable[[], None]
    fail: Callable[[], None]
    clock: Callable[[], float]
    settled: Callable[[float], bool]
    let_go: Callable[[str, Ban], None]
    forget: Callable[[str, Id], None]
    store: Callable[[StoreSettings], None] | None = None
    recorded: Callable[[Sequence[Id]], list[Event]] = lambda ids: []
    health: Callable[[], Health] = lambda: Health(time.time(), 0.0, __version__)


class Steering:
    """The `Host` of a daemon."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._sections = Sections(wheel.jails, wheel.settings, wheel.act, wheel.fail)
        self._log: LogSettings | None = None
        self._store: StoreSettings | None = None

    # What there is ------------------------------------------------------------

    def jails(self) -> list[str]:
        return self._wheel.jails.names()

    def settings(self) -> Settings:
        settings = self._wheel.settings()
        jails = {one.name: one for one in settings.jails} | self._wheel.jails.all()
        return replace(
            settings,
            jails=tuple(jails.values()),
            log=self._log or settings.log,
            store=self.database(),
        )

    def database(self) -> StoreSettings | None:
        return self._store or self._wheel.settings().store

    def jail(self, name: str) -> JailSettings:
        return self._sections.jail(name)

    def standing(self, name: str) -> Standing:
        settings, judge = self.jail(name), self._judge(name)
        bans = sorted(self._bans(name), key=_end)
        counts = Counts(len(bans), judge.banned_total, judge.found, judge.found_total)
        if settings.journal is not None:
            sources, journal = _matches(settings.journal), True
        else:
            sources, journal = _files(settings.logs), False
        return Standing(counts, sources, journal, tuple(bans), self._wheel.jails.rests(name))

    def held(self, name: str) -> list[Held]:
        self.jail(name)
        entries = [entry for entry in self._wheel.bans.of(name) if not entry.lifting]
        held = [Held(entry.ban, entry.reached.value, entry.error) for entry in entries]
        return sorted(held, key=lambda one: _end(one.ban))

    def regard(self, name: str, id: Id) -> Regard:
        judge = self._judge(name)
        suspect = judge.suspect(id)
        return Regard(judge.ignores(id), suspect.times if suspect else ())

    def why(self, id: Id) -> list[Event]:
        return self._wheel.recorded([id, *_containing(id)])

    def health(self) -> Health:
        return self._wheel.health()

    # What can be changed ------------------------------------------------------

    def change(self, name: str, change: Callable[[JailSettings], JailSettings]) -> JailSettings:
        return self._wheel.main.call(lambda: self._sections.change(name, change))

    def idle(self, name: str, on: bool) -> None:
        self._wheel.main.call(lambda: self._sections.idle(name, on))

    def add_jail(self, settings: JailSettings) -> None:
        self._wheel.main.call(lambda: self._sections.add(settings))

    def start_jail(self, name: str) -> None:
        # Else its bans could be taken for those that are still being let go.
        if self._wheel.jails.stopped(name) and not self._wheel.settled(PATIENCE):
            raise Refused(f"[{name}] is still being stopped; try again later")
        self._wheel.main.call(lambda: self._sections.start(name))

    def stop_jail(self, name: str) -> None:
        self._wheel.main.call(lambda: self._sections.stop(name))
        self._wheel.settled(PATIENCE)

    # Bans ------------------------------------------------------------------------

    def ban(self, name: str, ids: Sequence[Id]) -> int:
        judge = self._judge(name)
        return sum([judge.ban(id) for id in ids])

    def unban(self, names: Sequence[str], ids: Sequence[Id] | None) -> int:
        # Of all sections that there were, a reload may have taken one away meanwhile.
        there = [name for name in names if self._wheel.jails.settings(name) is not None]
        if names and not there:
            raise NoJail(names[0])
        if ids is None:
            return sum(self._lift_all(name) for name in there)
        return sum(self._lift(name, id) for name in there for id in ids)

    def _lift(self, name: str, id: Id) -> int:
        entries = [entry for entry in self._wheel.bans.of(name) if not entry.lifting]
        meant = [entry for entry in entries if _means(id, entry.ban.id)]
        for entry in meant:
            self._wheel.bans.lift(entry)
        for one in {id, *(entry.ban.id for entry in meant)}:
            self._wheel.forget(name, one)
        return len(meant)

    def _lift_all(self, name: str) -> int:
        for entry in self._wheel.bans.of(name):
            self._wheel.forget(name, entry.ban.id)
        return self._wheel.lift_all(name)

    def enforce(self, name: str, action: str, id: Id, ban: bool) -> None:
        entry = self._held(name, id)
        if ban and entry is None:
            raise Refused(f"{shown(id)} is not banned; expected set {name} banip")
        if not ban and entry is not None:
            raise Refused(f"{shown(id)} is banned; expected set {name} unbanip")
        if entry is not None:
            self._wheel.bans.renew(entry)
        else:
            now = self._wheel.clock()
            self._wheel.let_go(action, Ban(now, now, Ticket(name, id, 0, now)))

    def _held(self, name: str, id: Id) -> Entry | None:
        self.jail(name)
        entry = self._wheel.bans.get(name, id)
        return None if entry is None or entry.lifting else entry

    def attempt(self, name: str, ip: Id, lines: Sequence[str]) -> bool:
        judge, now = self._judge(name), self._wheel.clock()
        if judge.ignores(ip) is not None:
            return False
        for line in lines or ("",):
            judge.hear(Failure(name, ip, now, (line,)))
        return True

    # The whole ------------------------------------------------------------------

    def reload(self, jail: str = "", restart: bool = False, unban: bool = False) -> list[Problem]:
        return self._wheel.main.call(functools.partial(self._reload, jail, restart, unban))

    def _reload(self, jail: str, restart: bool, unban: bool) -> list[Problem]:
        try:
            problems = self._wheel.reload(jail, restart, unban)
        except Fail2BanError:
            raise
        except BaseException:
            self._wheel.fail()  # as above
            raise
        if not jail:
            self._configure_again()
        return problems

    def _configure_again(self) -> None:
        """Have the configuration count again, also if it is still the same."""
        settings = self._wheel.settings()
        if self._log is not None:
            self._log = None
            self._wheel.messages.configure(settings.log)
        if self._store is not None:
            self._store = None
            self._configure_store(settings.store)

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

    def change_database(self, settings: StoreSettings) -> None:
        self._wheel.main.call(functools.partial(self._change_database, settings))

    def _change_database(self, settings: StoreSettings) -> None:
        self._store = settings
        self._configure_store(settings)

    def _configure_store(self, settings: StoreSettings | None) -> None:
        if settings is not None and self._wheel.store is not None:
            self._wheel.store(settings)

    def _judge(self, name: str) -> Judge:
        judge = self._wheel.jails.judge(name)
        if judge is None:
            raise NoJail(name)
        return judge

    def _bans(self, name: str) -> list[Ban]:
        return [entry.ban for entry in self._wheel.bans.of(name) if not entry.lifting]


def _end(ban: Ban) -> float:
    return float("inf") if ban.end is None else ban.end


def _containing(id: Id) -> list[Id]:
    """Return the networks that contain an address or a network, itself apart."""
    if isinstance(id, str):
        return []
    network = ipaddress.ip_network(id)
    return [network.supernet(new_prefix=bits) for bits in range(network.prefixlen)]


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
