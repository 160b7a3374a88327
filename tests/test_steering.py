# SPDX-License-Identifier: GPL-2.0-or-later
"""What those who steer the daemon see and change, without any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from fail2ban import notices
from fail2ban.control.host import NoJail, Refused
from fail2ban.decide.bans import Bans, Entry, Verb
from fail2ban.decide.court import Court
from fail2ban.decide.history import Memory
from fail2ban.decide.hosts import Hosts
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.timer import Timer
from fail2ban.detect.journal import Journal
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.names import Resolver
from fail2ban.enforce.asker import ShellAsker
from fail2ban.errors import ConfigError
from fail2ban.jail import Services
from fail2ban.jails import Jails
from fail2ban.messages import Messages
from fail2ban.plan import Plan, make_filter
from fail2ban.records import (
    FilterSettings,
    Id,
    JailSettings,
    LogSettings,
    Origin,
    Problem,
    Settings,
    Sourced,
    StoreSettings,
)
from fail2ban.steering import Steering, Wheel
from tests.e2e.daemon import wait_until
from tests.helpers import NOW, FakeClock, FakeShell, jail_settings

HERE = Origin("jail.conf", 3)


class World:
    """A daemon without a runner: what is ordered of him is written down."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock()
        self.orders: list[tuple[Verb, Id]] = []
        self.stopped = 0
        self.failures: list[str] = []
        self.reloads: list[Problem] = []  # why the configuration cannot be used
        self.asked: list[tuple[str, bool, bool]] = []
        self.quiet = True  # whether all that was ordered is done
        self.let_go: list[tuple[str, str, Id]] = []
        self.stores: list[StoreSettings] = []
        self.acts: list[dict[str, tuple[str, ...]]] = []
        self.bans = Bans(Timer(self.clock, self.clock), self._order)
        self.main = MainThread()
        self.history = Memory()
        court = Court(
            bans=self.bans,
            own=OwnAddresses(self.clock, frozenset),
            hosts=Hosts(),
            history=self.history,
            notices=notices.of(True),
            asker=ShellAsker(FakeShell()),
            clock=self.clock,
            ticks=self.clock,
        )
        services = Services(court, Resolver(), Journal(), self.main, lambda name, body: body())
        self.told: list[tuple[dict[str, int], tuple[str, ...]]] = []
        self.jails = Jails(services, self._tell)
        one = replace(jail_settings("one"), logs=(str(root / "one.log"), str(root / "x*.log")))
        self.settings = Settings(
            jails=(one, jail_settings("two")),
            modern=True,
            log=LogSettings(targets=(str(root / "f2b.log"),), aligned=True, level=logging.INFO),
        )
        filters = {jail.name: make_filter(jail.filter) for jail in self.settings.jails}
        self.jails.prepare(Plan(self.settings, filters, (), frozenset()))
        self.jails.start()
        self.messages = Messages(self.settings.log, console=False)
        self.steering = Steering(
            Wheel(
                jails=self.jails,
                bans=self.bans,
                main=self.main,
                messages=self.messages,
                settings=lambda: self.settings,
                lift_all=lambda name: self.bans.end_all(name, lambda entries: None),
                settled=lambda seconds: self.quiet,
                let_go=lambda action, ban: self.let_go.append((action, ban.jail, ban.id)),
                forget=court.history.forget,
                store=self.stores.append,
                act=self._act,
                reload=self._reload,
                stop=self._stop,
                fail=lambda: self.failures.append("failed"),
                clock=self.clock,
            )
        )

    def _order(self, verb: Verb, entry: Entry) -> None:
        self.orders.append((verb, entry.ban.id))

    def _act(self, jails: Mapping[str, JailSettings]) -> None:
        self.acts.append({name: tuple(a.name for a in jails[name].actions) for name in jails})

    def _tell(self, jails: Mapping[str, JailSettings], anew: Collection[str]) -> None:
        counts = {name: len(settings.actions) for name, settings in jails.items()}
        self.told.append((counts, tuple(anew)))

    def _reload(self, jail: str, restart: bool, unban: bool) -> list[Problem]:
        self.asked.append((jail, restart, unban))
        if self.reloads:
            raise ConfigError(self.reloads)
        return [Problem(HERE, "one", "", "a remark", "warning")]

    def _stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    level = logging.getLogger().level
    made = World(tmp_path)
    yield made
    made.jails.close()
    made.messages.close()
    logging.getLogger().setLevel(level)


IP, OTHER, SIX = ip_address("192.0.2.77"), ip_address("192.0.2.99"), ip_address("2001:db8::7")


def test_sections_and_their_settings_are_told(world: World) -> None:
    assert world.steering.jails() == ["one", "two"]
    assert world.steering.jail("one") == world.settings.jails[0]
    for ask in (world.steering.jail, world.steering.standing):
        with pytest.raises(NoJail, match="Sorry but the jail 'x' does not exist"):
            ask("x")


def test_standing_tells_files_counts_and_bans_by_their_end(world: World, tmp_path: Path) -> None:
    (tmp_path / "x1.log").touch()
    world.steering.ban("one", [IP])
    world.clock.advance(5)
    world.steering.ban("one", [OTHER])
    standing = world.steering.standing("one")
    assert standing.sources == (f"{tmp_path}/one.log", f"{tmp_path}/x1.log")
    assert [ban.id for ban in standing.bans] == [IP, OTHER]
    assert (standing.counts.banned, standing.counts.banned_total) == (2, 2)


def test_ban_by_hand_takes_the_time_of_the_section_and_counts_who_was_not_banned(
    world: World,
) -> None:
    assert world.steering.ban("one", [IP, IP, "alice"]) == 2
    assert world.orders == [(Verb.BAN, IP), (Verb.BAN, "alice")]
    (first, _) = world.steering.standing("one").bans
    assert (first.start, first.end, first.ticket.failures) == (NOW, NOW + 600, 0)


def test_unban_lifts_ids_networks_or_all(world: World) -> None:
    world.steering.ban("one", [IP, OTHER, SIX, "alice"])
    world.steering.ban("two", [IP])
    assert world.steering.unban(["one", "two"], [IP]) == 2
    assert world.steering.unban(["one"], [ip_network("192.0.2.96/27"), "alice"]) == 2
    assert world.steering.unban(["one"], [IP]) == 0
    assert world.steering.unban(["one", "gone", "two"], None) == 1
    with pytest.raises(NoJail):
        world.steering.unban(["x"], None)


def test_failures_by_hand_lead_to_a_ban_but_not_of_who_is_ignored(world: World) -> None:
    assert world.steering.attempt("one", IP, ["a", "b", "c"])
    # This host's own names may still be asked for: then it takes a moment.
    wait_until(lambda: world.orders == [(Verb.BAN, IP)])
    assert not world.steering.attempt("one", ip_address("127.0.0.1"), ["a"])


def test_change_holds_for_one_section(world: World) -> None:
    def longer(jail: JailSettings) -> JailSettings:
        return replace(jail, bantime=7200.0)

    assert world.steering.change("one", longer).bantime == 7200
    assert world.steering.jail("one").bantime == 7200
    assert world.steering.jail("two").bantime == 600
    assert [one.bantime for one in world.steering.settings().jails] == [7200, 600]
    world.steering.ban("one", [IP])
    assert world.steering.standing("one").bans[0].end == NOW + 7200


def test_bad_pattern_by_hand_is_refused_although_others_would_do(world: World) -> None:
    def worse(jail: JailSettings) -> JailSettings:
        patterns = (Sourced("by <HOST>", HERE), Sourced("(<HOST>", HERE))
        return replace(jail, filter=FilterSettings("one", patterns, tagged=True))

    before = world.steering.jail("one")
    with pytest.raises(ConfigError, match="failregex"):
        world.steering.change("one", worse)
    assert world.steering.jail("one") == before


def test_log_goes_elsewhere_and_a_target_that_cannot_be_opened_changes_nothing(
    world: World, tmp_path: Path
) -> None:
    world.steering.change_log(level=logging.ERROR)
    world.steering.change_log(target=str(tmp_path / "new.log"))
    log = world.steering.settings().log
    assert (log.level, log.targets) == (logging.ERROR, (str(tmp_path / "new.log"),))
    for target in ("/nowhere/at/all.log", "nonsense"):
        with pytest.raises(Refused):
            world.steering.change_log(target=target)
    assert world.steering.settings().log == log
    logging.getLogger("fail2ban").error("still here")
    assert "still here" in (tmp_path / "new.log").read_text()


def test_reload_and_stop_are_passed_on(world: World) -> None:
    assert [str(one) for one in world.steering.reload()] == ["jail.conf:3: [one] a remark"]
    world.steering.reload("one", restart=True, unban=True)
    assert world.asked == [("", False, False), ("one", True, True)]
    world.steering.stop()
    assert world.stopped == 1


def test_a_reload_ends_a_level_set_by_hand(world: World) -> None:
    world.steering.change_log(level=logging.DEBUG)
    world.steering.reload()
    assert world.steering.settings().log.level == logging.INFO
    assert logging.getLogger().level == logging.INFO


def test_a_reload_that_is_not_done_leaves_the_level_as_it_was_set(world: World) -> None:
    world.steering.change_log(level=logging.DEBUG)
    world.reloads = [Problem(HERE, "one", "filter", "is broken")]
    with pytest.raises(ConfigError, match="is broken"):
        world.steering.reload()
    assert world.steering.settings().log.level == logging.DEBUG
    assert logging.getLogger().level == logging.DEBUG


def test_actions_changed_by_hand_are_told_to_who_runs_them(world: World) -> None:
    world.steering.change("one", lambda jail: replace(jail, findtime=1200.0))
    assert world.acts == []
    there = tuple(action.name for action in world.settings.jails[1].actions)
    world.steering.change("one", lambda jail: replace(jail, actions=()))
    assert world.acts == [{"one": (), "two": there}]


def test_a_section_that_cannot_go_on_ends_the_daemon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError):
        world.steering.change("one", lambda jail: replace(jail, findtime=1200.0))
    assert world.failures == ["failed"]


def test_a_change_that_is_refused_does_not_end_the_daemon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alter(*_: object) -> None:
        raise OSError("no journal")

    monkeypatch.setattr(world.jails, "alter", alter)
    with pytest.raises(Refused, match="no journal"):
        world.steering.change("one", lambda jail: replace(jail, findtime=1200.0))
    assert world.failures == []


def test_a_reload_of_one_section_leaves_the_level_as_it_was_set(world: World) -> None:
    world.steering.change_log(level=logging.DEBUG)
    world.steering.reload("one")
    assert world.steering.settings().log.level == logging.DEBUG


# Sections that come, rest and go -----------------------------------------------


def blank(name: str, root: Path) -> JailSettings:
    empty = FilterSettings(name, (), tagged=True)
    return replace(jail_settings(name), logs=(str(root / name),), filter=empty, actions=())


def test_a_section_that_rests_keeps_its_bans_and_can_be_changed(world: World) -> None:
    world.steering.ban("one", [IP])
    world.steering.idle("one", True)
    world.steering.idle("one", True)
    assert world.steering.standing("one").idle
    world.steering.change("one", lambda jail: replace(jail, findtime=1200.0))
    assert world.steering.standing("one").idle
    assert [ban.id for ban in world.steering.standing("one").bans] == [IP]
    world.steering.idle("one", False)
    world.steering.idle("one", False)
    assert not world.steering.standing("one").idle
    assert world.told == []
    with pytest.raises(NoJail):
        world.steering.idle("x", True)


def test_a_section_that_is_stopped_is_gone_until_it_is_started(world: World) -> None:
    world.steering.change("one", lambda jail: replace(jail, bantime=7200.0))
    world.steering.stop_jail("one")
    assert world.steering.jails() == ["two"]
    assert world.told == [({"two": 1}, ())]
    for ask in (world.steering.stop_jail, world.steering.standing):
        with pytest.raises(NoJail):
            ask("one")
    world.steering.start_jail("one")
    assert world.told[-1] == ({"one": 1, "two": 1}, ())
    assert world.steering.jail("one").bantime == 7200
    with pytest.raises(NoJail):
        world.steering.start_jail("x")


def test_a_section_is_not_started_while_it_is_still_being_stopped(world: World) -> None:
    world.quiet = False
    world.steering.stop_jail("one")
    with pytest.raises(Refused, match="still being stopped"):
        world.steering.start_jail("one")
    assert world.steering.jails() == ["two"]
    world.steering.start_jail("two")  # it runs, and nothing is to be waited for


def test_an_added_section_gets_its_settings_and_acts_from_its_start_on(
    world: World, tmp_path: Path
) -> None:
    world.steering.add_jail(blank("new", tmp_path))
    assert world.steering.jails() == ["new", "one", "two"]
    assert world.steering.standing("new").idle
    with pytest.raises(Refused, match="^The jail 'new' already exists$"):
        world.steering.add_jail(blank("new", tmp_path))
    pattern = (Sourced("failed from <HOST>$", HERE),)

    def armed(jail: JailSettings) -> JailSettings:
        filter = replace(jail.filter, failregex=pattern)
        return replace(jail, filter=filter, actions=jail_settings("new").actions)

    world.steering.change("new", armed)
    assert world.acts[-1]["new"] == ()
    assert world.steering.ban("new", [IP]) == 1
    world.steering.start_jail("new")
    assert world.told[-1][0] == {"new": 1, "one": 1, "two": 1}
    assert not world.steering.standing("new").idle
    assert [ban.id for ban in world.steering.standing("new").bans] == [IP]


def test_a_broken_first_pattern_by_hand_is_refused(world: World, tmp_path: Path) -> None:
    world.steering.add_jail(blank("new", tmp_path))
    broken = (Sourced("(<HOST>", HERE),)
    with pytest.raises(ConfigError, match="failregex"):
        world.steering.change(
            "new", lambda jail: replace(jail, filter=replace(jail.filter, failregex=broken))
        )
    assert world.steering.jail("new").filter.failregex == ()


def test_a_section_whose_source_cannot_be_opened_is_not_added(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(*_: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(world.jails, "add", add)
    with pytest.raises(Refused, match="too many open files"):
        world.steering.add_jail(blank("new", tmp_path))
    assert world.failures == []


# Bans and actions by hand --------------------------------------------------------


def test_who_is_unbanned_by_hand_has_no_history(world: World) -> None:
    history = world.history
    world.steering.ban("one", [IP, OTHER, SIX])
    world.steering.ban("two", [IP])
    world.steering.unban(["one"], [IP])
    assert history.past("one", IP, NOW).bans == 0
    assert history.past("two", IP, NOW).bans == 1
    world.steering.unban(["one"], [ip_network("192.0.2.96/27")])
    assert history.past("one", OTHER, NOW).bans == 0
    assert history.past("one", SIX, NOW).bans == 1
    world.steering.unban(["one"], None)
    assert history.past("one", SIX, NOW).bans == 0


def test_who_is_not_banned_any_more_is_forgotten_by_hand_all_the_same(world: World) -> None:
    world.steering.ban("one", [IP])
    world.bans.lift(world.bans.of("one")[0])
    assert world.steering.unban(["one"], [IP]) == 0
    assert world.history.past("one", IP, NOW).bans == 0


def test_an_action_bans_again_who_is_banned_and_lets_go_who_is_not(world: World) -> None:
    world.steering.ban("one", [IP])
    world.orders.clear()
    world.steering.enforce("one", "one", IP, ban=True)
    assert world.orders == [(Verb.RENEW, IP)]
    world.steering.enforce("one", "one", OTHER, ban=False)
    assert world.let_go == [("one", "one", OTHER)]
    with pytest.raises(Refused, match=r"192\.0\.2\.99 is not banned; expected set one banip"):
        world.steering.enforce("one", "one", OTHER, ban=True)
    with pytest.raises(Refused, match=r"192\.0\.2\.77 is banned; expected set one unbanip"):
        world.steering.enforce("one", "one", IP, ban=False)
    with pytest.raises(NoJail):
        world.steering.enforce("x", "one", IP, ban=True)


# The database ----------------------------------------------------------------------


def test_the_database_is_kept_otherwise_until_the_next_reload(world: World) -> None:
    assert world.steering.database() is None
    world.settings = replace(world.settings, store=StoreSettings(file="/f2b.sqlite3"))
    changed = StoreSettings(file="/f2b.sqlite3", maxmatches=3)
    world.steering.change_database(changed)
    assert world.steering.database() == world.steering.settings().store == changed
    world.steering.reload()
    assert world.steering.database() == world.settings.store
    assert world.stores == [changed, world.settings.store]
