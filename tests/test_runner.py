# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner: order, retry, check, repair, start and end; no threads, no shell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban import notices
from fail2ban.decide.bans import Entry, State
from fail2ban.decide.timer import Timer
from fail2ban.enforce.enforcer import LIFT_BUDGET
from fail2ban.enforce.pauses import RETRY_LONGEST, START_LONGEST, growing_pause
from fail2ban.enforce.runner import Runner
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.site import Modes
from fail2ban.events import Event, Events
from fail2ban.ledger import Batch
from fail2ban.records import (
    FAMILIES,
    ActionSettings,
    Ban,
    Command,
    Family,
    FirewallSettings,
    Id,
    MailActionSettings,
)
from tests.helpers import FakeClock, FakeShell, action, ticket
from tests.test_scaffold import FakePost

REINIT = 10.0


class FakeLedger:
    """Makes durable what it got when it is told to.

    Attributes:
        rows: the bans that are durable.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, Id], Ban] = {}
        self._pending = Batch()

    def save(self, batch: Batch) -> None:
        self._pending.merge(batch)

    def drop(self) -> None:
        """What `kill -9` does to what was not written yet."""
        self._pending = Batch()

    def commit(self) -> None:
        batch, self._pending = self._pending, Batch()
        for key, ban in batch.bans.items():
            self.rows.pop(key, None)
            self.rows |= {} if ban is None else {key: ban}
        for call in batch.done:
            call()


class World:
    """A runner, and a firewall that commands change and tests break.

    The firewall knows of each name in a command whether it is started and whom
    it bans; commands fail as real ones would: a check or ban without a start does.

    Attributes:
        doubles: addresses that were banned where they were banned already.
        told: what actions that only tell were run for.
        ledger: None: every ban is durable from the first.
    """

    def __init__(
        self,
        maxreinits: int = -1,
        base: bool = True,
        families: tuple[Family, ...] = FAMILIES,
        modes: Modes | None = None,
        ledger: FakeLedger | None = None,
        boot: str = "this one",
        **actions: ActionSettings | tuple[ActionSettings, ...],
    ) -> None:
        self.clock, self.shell = FakeClock(), FakeShell()
        self.shown: list[str] = []  # commands of sections that are dry
        self.texts: Mapping[str, str] = {}  # what the next run gets to know
        self.happened: list[Event] = []
        self.started: dict[str, set[str]] = {}
        self.base = not base
        self.doubles: list[str] = []
        self.told: list[str] = []
        self.post = FakePost()
        self.broken: set[str] = set()  # commands that fail whatever the firewall holds
        self.shell.fails = self._execute
        self.notified: list[Ban] = []
        self.gave_up: list[str] = []
        self.timer = Timer(self.clock, self.clock)
        ground = ("start all", "stop all") if base else ("", "")
        self.settings = FirewallSettings(*ground, 1.0, REINIT, maxreinits)
        self.actions = {
            name: several if isinstance(several, tuple) else (several,)
            for name, several in (actions or {"SSH": action()}).items()
        }
        self.ledger, self.modes, self.base_exists = ledger, modes or Modes(), base
        events = Events(self.clock)
        events.listen(self.happened.append)
        scaffold = Scaffold(
            self.settings,
            self.actions,
            self.shell,
            families,
            post=self.post,
            modes=self.modes,
            events=events,
            rehearsal=lambda jail: lambda command, *_, feed=None: self.shown.append(command),
        )
        self.runner = Runner(
            self.settings,
            scaffold,
            self.timer,
            self.clock,
            self.clock,
            notices.of(False, scaffold.is_dry),
            self.notified.append,
            self.gave_up.append,
            ledger,
            self._remember,
            boot,
        )
        self.bans = self.runner.bans

    def _remember(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def _execute(self, command: str) -> bool:
        """Change the firewall; tell whether the command fails."""
        verb, name, *rest = command.split()
        if command in self.broken or f"{verb} {name}" in self.broken:
            return True
        if name == "all":
            self.base = verb == "start"
            return False
        if verb == "tell":
            self.told.append(rest[0])
            return False
        if verb == "repair":
            self.started.setdefault(name, set())
            return False
        if verb == "start":
            already = name in self.started
            self.started.setdefault(name, set())
            return already or not self.base
        if name not in self.started:
            return True
        if verb == "stop":
            del self.started[name]
        elif verb in ("ban", "reban"):
            self.doubles += [rest[0]] if rest[0] in self.started[name] else []
            self.started[name].add(rest[0])
        elif verb == "flush":
            self.started[name].clear()
        elif verb == "prolong":
            return rest[0] not in self.started[name]
        elif verb == "unban":
            if rest[0] not in self.started[name]:
                return True
            self.started[name].remove(rest[0])
        return False

    def flush(self) -> None:
        """What `nft flush ruleset` by somebody else does."""
        self.started, self.base = {}, not self.settings.start

    def start(self) -> None:
        self.runner._builder.set_up()
        self.shell.taken()

    def ban(self, ip: str, jail: str = "SSH", bantime: float | None = 600) -> Entry:
        entry = self.bans.ban(ticket(ip, jail=jail), bantime, self.clock())
        assert entry is not None
        self.save(ip, jail)
        return entry

    def save(self, ip: str, jail: str = "SSH") -> None:
        """Have a ban stored, as its section does when it has decided it."""
        self.bans.write(Batch(), jail, [ip_address(ip)])

    def kinds(self) -> list[str]:
        """Return what has happened to bans, by kind."""
        return [event.kind for event in self.happened if event.kind != "command"]

    def check(self, jail: str) -> None:
        """What the regular check does."""
        self.runner._put(lambda: self.runner._repairer.check_jail(jail))

    def work(self) -> list[str]:
        """Do all that is due; return the commands that were run."""
        self.timer.step()
        while self.runner.pending:
            self.runner.step()
        return self.shell.taken()

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        until = self.clock() + seconds
        while self.clock() < until:
            self.clock.advance(step)
            self.work()


def test_start_runs_cmdstart_then_each_section() -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.runner._builder.set_up()
    assert world.shell.taken() == ["start all", "start SSH", "start Apache"]


def test_ban_is_checked_applied_and_told() -> None:
    world = World()
    world.start()
    entry = world.ban("192.0.2.1")
    assert world.work() == ["check SSH", "ban SSH 192.0.2.1"]
    assert entry.state is State.APPLIED
    assert world.notified == [entry.ban]


def test_ban_is_told_only_when_it_is_in_force(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.start()
    world.broken.add("ban SSH")
    entry = world.ban("192.0.2.1")
    world.work()
    assert entry.state is State.FAILED and entry.error
    assert "SSH: Ban (600 s) 192.0.2.1" not in caplog.text
    assert caplog.text.count("Ban of 192.0.2.1 failed, it can still connect") == 1
    world.broken.clear()
    world.clock.advance(1)
    world.work()
    assert entry.state is State.APPLIED and not entry.error
    assert caplog.text.count("SSH: Ban (600 s) 192.0.2.1") == 1
    assert len(world.notified) == 1


def test_failed_ban_is_retried_with_growing_pauses_until_it_ends() -> None:
    world = World()
    world.start()
    world.broken.add("ban SSH")
    entry = world.ban("192.0.2.1", bantime=100)
    tries = []
    for _ in range(300):
        tries += [world.clock() for command in world.work() if command.startswith("ban")]
        world.clock.advance(0.5)
    pauses = [round(later - earlier) for earlier, later in zip(tries, tries[1:], strict=False)]
    assert pauses == [1, 2, 4, 8, 16, 32]
    assert not world.bans.holds(entry)


def test_expired_ban_is_lifted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.clock.advance(600)
    assert world.work()[-2:] == ["check SSH", "unban SSH 192.0.2.1"]
    assert "SSH: Unban 192.0.2.1" in caplog.text
    assert world.bans.of("SSH") == []


def test_ban_and_unban_of_an_address_run_in_the_order_decided() -> None:
    world = World()
    world.start()
    first = world.ban("192.0.2.1")
    world.work()
    world.bans.lift(first)
    world.ban("192.0.2.1")
    commands = [command for command in world.work() if not command.startswith("check")]
    assert commands == ["unban SSH 192.0.2.1", "ban SSH 192.0.2.1"]
    assert world.started == {"SSH": {"192.0.2.1"}}


def test_late_retry_of_an_unban_does_not_hit_the_next_ban() -> None:
    world = World()
    world.start()
    first = world.ban("192.0.2.1")
    world.work()
    world.broken.add("unban SSH")
    world.bans.lift(first)
    world.work()
    world.ban("192.0.2.1")
    world.work()
    world.broken.clear()
    world.pass_time(60)
    assert world.started == {"SSH": {"192.0.2.1"}}


def test_ban_that_is_over_before_its_turn_runs_no_command() -> None:
    world = World()
    world.start()
    world.bans.lift(world.ban("192.0.2.1"))
    assert world.work() == []
    assert world.bans.of("SSH") == []


def test_flushed_firewall_is_set_up_and_everybody_banned_again_at_the_next_ban(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.start()
    for jail in ("SSH", "Apache"):
        world.ban("192.0.2.1", jail)
    world.work()
    world.flush()
    world.ban("192.0.2.2")
    world.work()
    assert world.started == {"SSH": {"192.0.2.1", "192.0.2.2"}, "Apache": {"192.0.2.1"}}
    assert "#1 reinitialization of firewalls" in caplog.text
    assert "SSH: ReBan 192.0.2.1" in caplog.text
    assert "SSH: Ban (600 s) 192.0.2.2" in caplog.text
    assert len(world.notified) == 3


def test_flush_is_noticed_without_any_new_ban() -> None:
    world = World()
    world.start()
    world.runner._check_regularly()
    world.ban("192.0.2.1")
    world.work()
    world.pass_time(35)
    for _ in range(3):  # again and again
        world.flush()
        world.pass_time(REINIT + 0.5)
        assert world.started == {"SSH": {"192.0.2.1"}}


def test_ban_that_somebody_lifted_by_hand_comes_back_when_its_address_is_noticed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.started["SSH"].clear()
    world.clock.advance(5)
    entry.complained_at = world.clock()
    world.bans.renew(entry)
    commands = ["check SSH", "unban SSH 192.0.2.1", "check SSH", "ban SSH 192.0.2.1"]
    assert world.work() == commands
    assert world.started == {"SSH": {"192.0.2.1"}}
    assert "SSH: ReBan 192.0.2.1" in caplog.text
    assert len(world.notified) == 1


def test_doubt_about_a_ban_in_a_flushed_firewall_brings_everybody_back_once() -> None:
    world = World()
    world.start()
    entry = world.ban("192.0.2.1")
    world.ban("192.0.2.2")
    world.work()
    world.flush()
    world.clock.advance(5)
    entry.complained_at = world.clock()
    world.bans.renew(entry)
    assert world.work().count("ban SSH 192.0.2.1") == 1
    assert world.started == {"SSH": {"192.0.2.1", "192.0.2.2"}}


def test_regular_check_rests_while_nobody_is_banned() -> None:
    world = World()
    world.start()
    world.runner._check_regularly()
    world.clock.advance(REINIT)
    assert world.work() == []


def test_ban_after_reban_fills_all_tags() -> None:
    """Defect 14 of 0.6."""
    world = World(SSH=action(ban="ban SSH <ip>-<jail.name>-<failures>"))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.flush()
    world.ban("192.0.2.2")
    assert "ban SSH 192.0.2.1-SSH-5" in world.work()


def test_one_command_that_fails_does_not_disturb_the_others() -> None:
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.broken.add("ban SSH 192.0.2.66")
    bad, good = world.ban("192.0.2.66"), world.ban("192.0.2.2")
    commands = world.work()
    assert "stop SSH" not in commands
    assert (bad.state, good.state) == (State.FAILED, State.APPLIED)


def test_failing_ban_without_a_check_sets_up_everything_as_before() -> None:
    world = World(SSH=action(check=""))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.flush()
    world.ban("192.0.2.2")
    world.work()
    assert world.started == {"SSH": {"192.0.2.1", "192.0.2.2"}}


def test_repairs_are_spaced_by_reinittime_and_nothing_is_given_up() -> None:
    """Defect 10 of 0.6: the time of the last change of a log decided, and the daemon ended."""
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.work()
    repairs = []
    for _ in range(100):
        world.flush()
        world.clock.advance(1)
        world.bans.ban(ticket(f"198.51.100.{len(repairs)}"), 600, world.clock())
        repairs += [world.clock() for command in world.work() if command == "start all"]
    gaps = [later - earlier for earlier, later in zip(repairs, repairs[1:], strict=False)]
    assert len(repairs) >= 9 and min(gaps) >= REINIT
    assert not world.gave_up


def test_repairs_that_do_not_help_grow_rare_and_end_at_maxreinits() -> None:
    """A check that can never pass must not tear down everything every few seconds."""
    world = World(maxreinits=3)
    world.start()
    world.runner._check_regularly()
    world.ban("192.0.2.1")
    world.broken.add("check SSH")
    repairs = []
    for _ in range(400):
        repairs += [world.clock() for command in world.work() if command == "start all"]
        world.clock.advance(0.5)
    gaps = [round(later - earlier) for earlier, later in zip(repairs, repairs[1:], strict=False)]
    assert gaps == [REINIT, 2 * REINIT]
    assert world.gave_up[0] == "reinits follow too often, or too many reinit attempts"


def test_ban_that_always_fails_without_a_check_sets_up_everything_only_once() -> None:
    world = World(SSH=action(check=""))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.broken.add("ban SSH 192.0.2.66")
    world.ban("192.0.2.66")
    commands = []
    for _ in range(600):
        commands += world.work()
        world.clock.advance(0.5)
    assert commands.count("start all") == 1
    assert commands.count("ban SSH 192.0.2.66") > 5


def test_slow_checks_do_not_pile_up_and_let_bans_pass() -> None:
    world = World(SSH=action(), Apache=action("Apache"), FTP=action("FTP"))
    world.start()
    for jail in ("SSH", "Apache", "FTP"):
        world.ban("192.0.2.1", jail)
    world.work()
    world.runner._check_regularly()
    for _ in range(20):  # no job is done for a long time
        world.clock.advance(REINIT)
        world.timer.step()
    assert world.runner.pending == 1
    world.ban("192.0.2.2")
    assert world.work() == [
        "check Apache", "check FTP", "check SSH", "ban SSH 192.0.2.2", "check SSH",
    ]  # fmt: skip


def test_flood_of_bans_in_a_flushed_firewall_asks_for_one_check() -> None:
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.work()
    for network in (51, 52):  # the second flush comes before another repair is allowed
        world.flush()
        for number in range(50):
            world.bans.ban(ticket(f"198.{network}.100.{number}"), None, world.clock())
        world.work()
    waiting = len(world.timer)
    world.pass_time(REINIT + 1)
    assert waiting == 1 + 50 + 1  # the end of the first ban, retries, one check
    assert len(world.started["SSH"]) == 101


def test_reloads_while_nothing_can_be_set_up_do_not_multiply_the_attempts() -> None:
    world = World()
    world.broken.add("start SSH")
    world.start()
    for _ in range(10):
        world.runner.reconfigure(world.settings, world.actions)
        world.work()
    assert len(world.timer) == 1
    assert not world.gave_up


def test_address_banned_again_while_it_was_lifted_is_released_at_the_end() -> None:
    """Also where no fwend would remove it."""
    world = World(SSH=action(stop=""))
    world.start()
    first = world.ban("192.0.2.1")
    world.work()
    world.bans.lift(first)
    world.ban("192.0.2.1")
    world.runner.finish()
    world.runner.run()
    assert world.started == {"SSH": set()}


def test_end_does_not_wait_for_each_of_many_hanging_commands() -> None:
    world = World()
    world.start()
    for number in range(5):
        world.ban(f"192.0.2.{number}")
    world.work()

    def hang(command: str) -> bool:
        if command.startswith("unban"):
            world.clock.advance(LIFT_BUDGET + 1)
        return command.startswith("unban")

    world.shell.fails = hang
    world.runner.finish()
    world.runner.run()
    commands = world.shell.taken()
    assert [command.split()[0] for command in commands] == ["unban", "stop", "stop"]


def test_everything_is_taken_down_even_if_a_bug_ends_the_thread() -> None:
    world = World()
    world.runner._put(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        world.runner.run()
    assert (world.started, world.base) == ({}, False)


def test_maxreinits_allows_as_many_repairs_in_a_row_as_it_says() -> None:
    """Defect 11 of 0.6 (one too few) and 10 (never reset)."""
    world = World(maxreinits=2)
    world.start()
    world.ban("192.0.2.1")
    for _ in range(10):  # each succeeds
        world.work()
        world.flush()
        world.clock.advance(REINIT + 1)
        world.check("SSH")
    assert not world.gave_up


@pytest.mark.parametrize("maxreinits", [0, 1, 3])
def test_start_is_attempted_again_maxreinits_times(
    maxreinits: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(maxreinits)
    world.broken.add("start SSH")
    world.runner._builder.set_up()
    world.pass_time(600)
    assert world.shell.commands.count("start SSH") == 0  # all taken by pass_time
    assert caplog.text.count("attempt to initialize the firewalls") == maxreinits
    assert world.gave_up == ["Too many attempts to initialize the firewall"]


def test_section_that_cannot_start_does_not_hold_up_the_others() -> None:
    world = World(Bad=action("Bad"), SSH=action())
    world.broken.add("start Bad")
    world.start()
    waiting, fine = world.ban("192.0.2.1", "Bad"), world.ban("192.0.2.1", "SSH")
    world.work()
    assert (waiting.state, fine.state) == (State.FAILED, State.APPLIED)
    world.broken.clear()
    world.pass_time(2)
    assert waiting.state is State.APPLIED
    assert world.started == {"Bad": {"192.0.2.1"}, "SSH": {"192.0.2.1"}}


def test_half_made_start_is_removed_before_the_next_attempt() -> None:
    world = World(SSH=action(start="start SSH\nstart SSH"))
    world.broken.add("start SSH\nstart SSH")
    world.runner._builder.set_up()
    assert world.shell.taken() == ["start all", "start SSH\nstart SSH", "stop SSH"]


def test_bans_are_shown_as_failed_while_the_firewall_cannot_be_set_up() -> None:
    world = World()
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.flush()
    world.broken.add("start SSH")
    world.check("SSH")
    world.work()
    assert entry.state is State.FAILED
    world.broken.clear()
    world.pass_time(5)
    assert entry.state is State.APPLIED


def test_flush_while_a_section_is_down_is_noticed_by_the_next_attempt() -> None:
    world = World(Bad=action("Bad"), SSH=action())
    world.broken.add("start Bad")
    world.start()
    world.flush()  # nobody is banned, so no regular check tells
    world.broken.clear()
    world.pass_time(5)
    assert world.started == {"Bad": set(), "SSH": set()} and world.base
    world = World()
    world.broken.add("start SSH")
    world.start()
    world.flush()
    world.broken.clear()
    world.pass_time(5)
    assert world.started == {"SSH": set()} and world.base


def test_failing_cmdstart_is_tried_again_before_any_section() -> None:
    world = World()
    world.broken.add("start all")
    world.runner._builder.set_up()
    assert world.shell.taken() == ["start all", "stop all"]
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["start all", "start SSH"]


def test_address_of_a_family_the_command_does_not_know_is_failed_without_retry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=action(families=("ip",)))
    world.start()
    entry = world.ban("2001:db8::1")
    assert world.work() == []
    assert entry.state is State.FAILED
    world.pass_time(300)
    assert caplog.text.count("its commands are not for IPv6") == 1
    world.clock.advance(600)
    assert "unban SSH 2001:db8::1" not in world.work()
    assert world.bans.of("SSH") == []


def test_unban_that_fails_is_tried_until_it_works_and_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.broken.add("unban SSH")
    world.bans.lift(entry)
    world.pass_time(7200, step=5)
    assert caplog.text.count("the ban of 192.0.2.1 is over, but it is still locked out") == 1
    assert "SSH: Unban 192.0.2.1" not in caplog.text
    world.broken.clear()
    world.pass_time(RETRY_LONGEST, step=5)
    assert "SSH: Unban 192.0.2.1" in caplog.text
    assert world.started == {"SSH": set()} and world.bans.of("SSH") == []


def test_end_lifts_every_ban_and_stops_every_section(caplog: pytest.LogCaptureFixture) -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.runner._builder.set_up()
    world.ban("192.0.2.1")
    world.ban("2001:db8::1", "Apache")
    world.work()
    world.ban("192.0.2.3")  # ordered, but not carried out any more
    world.runner.finish()
    world.runner.run()
    assert world.shell.taken() == [
        "unban SSH 192.0.2.1",
        "stop SSH",
        "unban Apache 2001:db8::1",
        "stop Apache",
        "stop all",
    ]
    assert "Restoring firewall rules..." in caplog.text
    assert (world.started, world.base) == ({}, False)


def test_errors_at_the_end_do_not_keep_the_rest_from_being_removed() -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.start()
    world.ban("192.0.2.1")
    world.ban("192.0.2.1", "Apache")
    world.work()
    world.broken |= {"unban SSH", "stop SSH"}
    world.runner.finish()
    world.runner.run()
    assert world.shell.taken()[-3:] == ["unban Apache 192.0.2.1", "stop Apache", "stop all"]


def test_end_during_the_start_stops_what_was_started() -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.shell.fails = lambda command: world.runner.finish() if command == "start SSH" else False
    world.runner.run()
    assert world.shell.taken() == ["start all", "start SSH", "stop SSH", "stop all"]


def test_leftovers_of_a_killed_instance_are_removed_first() -> None:
    world = World()
    world.started, world.base = {"SSH": {"192.0.2.9"}}, True
    world.runner.finish()
    world.runner.run(unclean=True)
    assert world.shell.taken()[:2] == ["stop SSH", "stop all"]


def test_changed_commands_move_the_bans_from_the_old_to_the_new() -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.start()
    for jail in ("SSH", "Apache"):
        world.ban("192.0.2.1", jail)
    world.work()
    world.runner.reconfigure(
        world.settings, {"SSH": (action("New"),), "Apache": (action("Apache"),)}
    )
    assert world.work() == ["unban SSH 192.0.2.1", "stop SSH", "start New", "ban New 192.0.2.1"]
    assert len(world.notified) == 2


def test_removed_section_is_lifted_and_a_new_one_started() -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.start()
    world.ban("192.0.2.1", "Apache")
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (action(),), "FTP": (action("FTP"),)})
    assert world.work() == ["unban Apache 192.0.2.1", "stop Apache", "start FTP"]
    assert world.bans.jails() == set()


def test_changed_cmdstart_rebuilds_everything() -> None:
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.work()
    other = FirewallSettings("start all again", "stop all", 1.0, REINIT, -1)
    world.runner.reconfigure(other, world.actions)
    assert world.work() == [
        "unban SSH 192.0.2.1", "stop SSH", "stop all",
        "start all again", "start SSH", "ban SSH 192.0.2.1",
    ]  # fmt: skip


def test_same_commands_again_change_nothing() -> None:
    world = World()
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (action(),)})
    assert world.work() == []


def test_pauses_grow_up_to_a_limit_however_many_failures() -> None:
    assert [growing_pause(1, n, RETRY_LONGEST) for n in (1, 2, 3, 11, 5000)] == [
        1, 2, 4, 600, 600,
    ]  # fmt: skip
    assert growing_pause(0.5, 10**6, START_LONGEST) == START_LONGEST


def test_first_attempt_is_announced_even_if_it_fails() -> None:
    world = World()
    world.broken.add("start all")
    thread = threading.Thread(target=world.runner.run)
    thread.start()
    assert world.runner.started.wait(10)
    world.runner.finish()
    thread.join(10)
    assert not thread.is_alive()


# Several actions ------------------------------------------------------------------


def teller(name: str = "T", **changes: object) -> ActionSettings:
    commands: dict[str, object] = {
        "start": "",
        "stop": "",
        "check": "",
        "ban": f"tell {name} <ip>",
        "unban": "",
        "enforces": False,
    }
    return action(name, **{**commands, **changes})


def by_family(name: str, **changes: object) -> ActionSettings:
    """Return commands that are others for each family, set up on demand."""

    def command(verb: str, tag: str = "") -> Command:
        return Command(*(f"{verb} {name}{family}{tag}" for family in ("any", "4", "6")))

    commands = {
        "start": command("start"),
        "stop": command("stop"),
        "check": command("check"),
        "ban": command("ban", " <ip>"),
        "unban": command("unban", " <ip>"),
        "on_demand": True,
    }
    return action(name, **{**commands, **changes})


def test_ban_is_told_when_all_actions_have_carried_it_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=(action("A"), action("B")))
    world.start()
    world.broken.add("ban A")
    entry = world.ban("192.0.2.1")
    assert world.work() == [
        "check A", "ban A 192.0.2.1", "check A", "check B", "ban B 192.0.2.1",
    ]  # fmt: skip
    assert entry.state is State.FAILED and entry.error
    assert (entry.part("A").state, entry.part("B").state) == (State.FAILED, State.APPLIED)
    assert not world.notified and "Ban (600 s)" not in caplog.text
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["check A", "ban A 192.0.2.1"]
    assert entry.state is State.APPLIED and not entry.error
    assert caplog.text.count("Ban (600 s) 192.0.2.1") == 1 and len(world.notified) == 1


def test_actions_start_in_order_and_lift_and_stop_in_reverse() -> None:
    world = World(SSH=(action("A"), action("B")))
    world.runner._builder.set_up()
    assert world.shell.taken() == ["start all", "start A", "start B"]
    entry = world.ban("192.0.2.1")
    world.ban("192.0.2.2")
    world.work()
    world.bans.lift(entry)
    lifted = [command for command in world.work() if command.startswith("unban")]
    assert lifted == ["unban B 192.0.2.1", "unban A 192.0.2.1"]
    world.runner.finish()
    world.runner.run()
    assert world.shell.taken() == [
        "unban B 192.0.2.2", "stop B", "unban A 192.0.2.2", "stop A", "stop all",
    ]  # fmt: skip


def test_unban_is_told_once_no_action_holds_the_address(caplog: pytest.LogCaptureFixture) -> None:
    world = World(SSH=(action("A"), action("B")))
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.broken.add("unban B")
    world.bans.lift(entry)
    world.work()
    assert world.started == {"A": set(), "B": {"192.0.2.1"}}
    assert "Unban" not in caplog.text and world.bans.holds(entry)
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["check B", "unban B 192.0.2.1"]
    assert caplog.text.count("Unban 192.0.2.1") == 1 and not world.bans.holds(entry)


def test_address_banned_again_while_one_action_still_lifts_it_ends_up_banned_everywhere() -> None:
    world = World(SSH=(action("A"), action("B")))
    world.start()
    first = world.ban("192.0.2.1")
    world.work()
    world.broken.add("unban B")
    world.bans.lift(first)
    world.work()
    world.ban("192.0.2.1")
    world.broken.clear()
    world.pass_time(30)
    assert world.started == {"A": {"192.0.2.1"}, "B": {"192.0.2.1"}}


# Actions that only tell -------------------------------------------------------------


def test_who_only_tells_is_told_once_after_the_others() -> None:
    world = World(SSH=(teller(), action("A")))
    world.start()
    entry = world.ban("192.0.2.1")
    assert world.work() == ["check A", "ban A 192.0.2.1", "tell T 192.0.2.1"]
    world.flush()
    world.check("SSH")
    world.work()
    world.clock.advance(REINIT + 1)
    world.bans.renew(entry)
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (teller("New"), action("A"))})
    world.work()
    world.bans.lift(entry)
    world.work()
    assert world.told == ["192.0.2.1"]


def test_who_only_tells_neither_fails_a_ban_nor_is_run_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=(action("A"), teller()))
    world.start()
    world.broken.add("tell T")
    entries = [world.ban(f"192.0.2.{number}") for number in (1, 2, 3)]
    assert world.work().count("tell T 192.0.2.1") == 1
    assert {entry.state for entry in entries} == {State.APPLIED} and len(world.notified) == 3
    world.clock.advance(300)
    assert world.work() == []
    loud = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(loud) == 1 and "SSH/T" in loud[0].getMessage()


def test_who_only_tells_is_told_of_a_ban_that_was_tried_but_a_mail_waits() -> None:
    mail = ActionSettings("mail", mail=MailActionSettings(), enforces=False)
    world = World(SSH=(action("A"), teller(), mail))
    world.start()
    world.broken.add("ban A")
    world.ban("192.0.2.1")
    world.work()
    assert (world.told, world.post.said) == (["192.0.2.1"], ["started SSH"])
    world.broken.clear()
    world.pass_time(5)
    assert (world.told, world.post.said) == (["192.0.2.1"], ["started SSH", "banned 192.0.2.1"])
    world.flush()
    world.pass_time(5)
    assert len(world.post.said) == 2


def test_section_that_only_tells_bans_nobody_but_says_so(caplog: pytest.LogCaptureFixture) -> None:
    world = World(SSH=teller())
    world.start()
    entry = world.ban("192.0.2.1")
    assert world.work() == ["tell T 192.0.2.1"]
    assert entry.state is State.APPLIED and len(world.notified) == 1
    world.bans.lift(entry)
    assert world.work() == []
    assert "Unban 192.0.2.1" in caplog.text and world.bans.of("SSH") == []


def test_failing_start_of_who_only_tells_is_said_once_and_it_goes_on_telling(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(2, SSH=(action("A"), teller(start="start T", stop="stop T")))
    world.broken.add("start T")
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.pass_time(600, step=5)
    assert not world.gave_up and world.told == ["192.0.2.1"]
    assert caplog.text.count("start T") == 1


# Repair of one action --------------------------------------------------------------------


def test_without_a_common_ground_only_what_is_gone_is_repaired() -> None:
    world = World(base=False, SSH=(action("A"), action("B")), Apache=action("C"))
    world.start()
    world.ban("192.0.2.1")
    world.ban("192.0.2.2")
    world.ban("192.0.2.1", "Apache")
    world.work()
    del world.started["A"]
    world.check("SSH")
    assert world.work() == [
        "check A",
        "unban A 192.0.2.1", "unban A 192.0.2.2",
        "stop A", "start A",
        "ban A 192.0.2.1", "ban A 192.0.2.2",
        "check A", "check B",
    ]  # fmt: skip


def test_repair_command_takes_the_place_of_stop_and_start_and_reban_that_of_ban(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(base=False, SSH=action("A", repair="repair A", reban="reban A <ip>"))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.flush()
    world.ban("192.0.2.2")
    assert world.work() == [
        "check A", "check A",
        "unban A 192.0.2.1", "repair A", "check A",
        "reban A 192.0.2.1", "ban A 192.0.2.2",
        "check A",
    ]  # fmt: skip
    assert caplog.text.count("ReBan 192.0.2.1") == 1
    assert caplog.text.count("Ban (600 s) 192.0.2.2") == 1


def test_repair_command_that_does_not_help_is_followed_by_stop_and_start() -> None:
    world = World(base=False, SSH=action("A", repair="mend A", flush="flush A"))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.flush()
    world.broken.add("mend A")
    world.check("SSH")
    assert world.work() == [
        "check A", "flush A", "unban A 192.0.2.1", "mend A",
        "flush A", "unban A 192.0.2.1", "stop A", "start A",
        "ban A 192.0.2.1", "check A",
    ]  # fmt: skip
    assert world.started == {"A": {"192.0.2.1"}}


def test_repairs_of_one_action_are_spaced_and_end_at_maxreinits() -> None:
    world = World(3, base=False, SSH=action("A"), Apache=action("B"))
    world.start()
    world.runner._check_regularly()
    world.ban("192.0.2.1")
    world.ban("192.0.2.1", "Apache")
    world.broken.add("check A")
    repairs = []
    for _ in range(400):
        repairs += [world.clock() for command in world.work() if command == "start A"]
        world.clock.advance(0.5)
    gaps = [round(later - earlier) for earlier, later in zip(repairs, repairs[1:], strict=False)]
    assert gaps == [REINIT, 2 * REINIT]
    assert world.started["B"] == {"192.0.2.1"} and world.gave_up


@pytest.mark.parametrize("repairs", [False, True])
def test_failed_unban_is_a_reason_to_repair_only_if_the_action_says_so(repairs: bool) -> None:
    world = World(base=False, SSH=action("A", repair_on_unban=repairs))
    world.start()
    entry = world.ban("192.0.2.1")
    world.ban("192.0.2.2")
    world.work()
    world.flush()
    world.bans.lift(entry)
    commands = world.work()
    assert ("start A" in commands) is repairs
    if not repairs:
        assert commands == ["unban A 192.0.2.1"]
    world.check("SSH")
    world.pass_time(5)
    assert world.started == {"A": {"192.0.2.2"}} and world.bans.of("SSH")[1:] == []


# All at once ------------------------------------------------------------------------


def test_flush_takes_the_place_of_single_unbans_at_the_end() -> None:
    world = World(SSH=(action("A", flush="flush A"), action("B", flush="flush B")))
    world.start()
    for number in (1, 2):
        world.ban(f"192.0.2.{number}")
    world.work()
    world.runner.finish()
    world.runner.run()
    assert world.shell.taken() == ["flush B", "stop B", "flush A", "stop A", "stop all"]


def test_flush_runs_only_for_families_with_bans() -> None:
    flush = Command("flush Aany", "flush A4", "flush A6")
    world = World(SSH=by_family("A", flush=flush))
    world.start()
    entry = world.ban("192.0.2.1")
    world.ban("2001:db8::1")
    world.work()
    world.bans.lift(entry)
    world.work()
    world.runner.finish()
    world.runner.run()
    assert world.shell.taken() == ["flush A6", "stop A4", "stop A6", "stop all"]


def test_failing_flush_is_followed_by_single_unbans() -> None:
    """Upstream leaves the bans then."""
    world = World(SSH=action("A", flush="flush A"))
    world.start()
    for number in (1, 2):
        world.ban(f"192.0.2.{number}")
    world.work()
    world.broken.add("flush A")
    assert world.runner.lift_all("SSH") == 2
    assert world.work() == [
        "flush A",
        "check A", "unban A 192.0.2.1", "unban A 192.0.2.2",
    ]  # fmt: skip
    assert world.started == {"A": set()} and world.bans.of("SSH") == []


def test_all_bans_of_a_section_are_lifted_with_one_command(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(SSH=action("A", flush="flush A"), Apache=action("B"))
    world.start()
    for number in (1, 2):
        world.ban(f"192.0.2.{number}")
        world.ban(f"192.0.2.{number}", "Apache")
    world.work()
    world.runner.lift_all("SSH")
    assert world.work() == ["flush A"]
    assert caplog.text.count("SSH: Unban") == 2 and world.bans.jails() == {"Apache"}


def test_ban_decided_after_all_were_lifted_is_not_flushed_though_a_repair_came_between() -> None:
    world = World(SSH=action("A", flush="flush A"))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.flush()
    world.check("SSH")
    world.runner.lift_all("SSH")
    world.ban("192.0.2.1")
    world.ban("192.0.2.2")
    world.work()
    assert world.started == {"A": {"192.0.2.1", "192.0.2.2"}} and not world.doubles


# Longer bans, bans of an earlier run ---------------------------------------------------


def test_longer_ban_is_prolonged_where_there_is_a_command_for_that() -> None:
    world = World(SSH=(action("A", prolong="prolong A <ip> <bantime>"), action("B")))
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    assert world.bans.extend(entry, entry.ban.start + 900)
    assert world.work() == ["prolong A 192.0.2.1 900"]


def test_ban_that_is_not_in_force_yet_gets_its_new_length_when_it_is() -> None:
    world = World(SSH=action("A", ban="ban A <ip> <bantime>", prolong="prolong A <ip>"))
    world.start()
    world.broken.add("ban A")
    entry = world.ban("192.0.2.1")
    world.work()
    world.bans.extend(entry, entry.ban.start + 900)
    assert world.work() == []
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["check A", "ban A 192.0.2.1 900"]
    world.pass_time(60)
    assert world.shell.taken() == []


def test_failing_prolong_is_tried_again_and_the_ban_stays_in_force() -> None:
    world = World(SSH=action("A", prolong="prolong A <ip>"))
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.broken.add("prolong A")
    world.bans.extend(entry, entry.ban.start + 900)
    assert world.work() == ["prolong A 192.0.2.1", "check A"]
    assert entry.state is State.APPLIED
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["prolong A 192.0.2.1"]
    world.clock.advance(60)
    assert world.work() == []
    world.bans.lift(entry)
    assert world.work() == ["check A", "unban A 192.0.2.1"]


# Families -----------------------------------------------------------------------------


def test_each_family_is_set_up_at_its_first_ban_and_checked_alone() -> None:
    world = World(SSH=by_family("A"))
    world.start()
    world.ban("192.0.2.1")
    assert world.work() == ["start A4", "ban A4 192.0.2.1"]
    world.ban("2001:db8::1")
    assert world.work() == ["start A6", "ban A6 2001:db8::1"]
    world.ban("192.0.2.2")
    assert world.work() == ["check A4", "ban A4 192.0.2.2"]


def test_family_that_cannot_be_set_up_is_tried_rarely_and_all_its_bans_come_back() -> None:
    world = World(base=False, SSH=by_family("A"))
    world.start()
    world.broken.add("start A6")
    entries = [world.ban(f"2001:db8::{number}") for number in range(1, 30)]
    fine = world.ban("192.0.2.1")
    commands = world.work()
    assert commands.count("start A6") == 1 and fine.state is State.APPLIED
    assert {entry.state for entry in entries} == {State.FAILED}
    world.pass_time(100)
    world.broken.clear()
    starts = 0
    while entries[0].state is not State.APPLIED:
        world.clock.advance(1)
        starts += world.work().count("start A6")
    assert {entry.state for entry in entries} == {State.APPLIED} and starts == 1
    assert not world.doubles


def test_family_that_cannot_be_set_up_does_not_tear_down_the_other() -> None:
    world = World(base=False, SSH=by_family("A", check=""))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.broken.add("start A6")
    world.ban("2001:db8::1")
    assert world.work() == ["start A6", "stop A6"]
    assert world.started == {"A4": {"192.0.2.1"}}


def test_family_that_cannot_be_set_up_leaves_what_it_shares_with_the_other() -> None:
    stop = Command("stop A4", "stop A4", "stop A6\nstop A4")
    world = World(base=False, SSH=by_family("A", check="", stop=stop))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.broken.add("start A6")
    world.ban("2001:db8::1")
    assert world.work() == ["start A6"]
    assert world.started == {"A4": {"192.0.2.1"}}


@pytest.mark.parametrize("base", [True, False])
def test_check_that_no_repair_helps_does_not_flood_the_log(
    base: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(base=base)
    world.start()
    world.ban("192.0.2.1", bantime=None)
    world.work()
    world.broken.add("check SSH")
    world.runner._check_regularly()
    world.pass_time(600, step=5)
    errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert "check SSH" in errors.pop(0)
    assert errors == [] if base else "is not believed" in errors.pop() and not errors
    world.broken.clear()
    world.pass_time(2000, step=5)
    caplog.clear()
    world.broken.add("check SSH")
    world.pass_time(20, step=5)
    assert [one.levelname for one in caplog.records].count("ERROR") == (1 if base else 2)


def test_flushed_family_comes_back_and_the_other_is_left_alone() -> None:
    world = World(base=False, SSH=by_family("A"))
    world.start()
    world.ban("192.0.2.1")
    world.ban("2001:db8::1")
    world.work()
    world.started.clear()
    world.check("SSH")
    world.work()
    assert world.started == {"A4": {"192.0.2.1"}, "A6": {"2001:db8::1"}}


def test_family_that_is_switched_off_is_not_set_up_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(families=("ip",), SSH=by_family("A", on_demand=False))
    world.runner._builder.set_up()
    assert world.shell.taken() == ["start all", "start A4"]
    entries = [world.ban(f"2001:db8::{number}") for number in (1, 2)]
    assert world.work() == []
    assert {entry.state for entry in entries} == {State.FAILED}
    world.pass_time(300)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1 and "IPv6 is switched off" in errors[0].getMessage()


# Reload ---------------------------------------------------------------------------------


def test_action_added_by_a_reload_gets_all_bans_in_force(caplog: pytest.LogCaptureFixture) -> None:
    """Upstream loses the new action."""
    world = World(base=False, SSH=action("A"))
    world.start()
    world.ban("192.0.2.1")
    world.ban("2001:db8::1")
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (action("A"), action("B"))})
    assert world.work() == ["start B", "ban B 192.0.2.1", "ban B 2001:db8::1"]


def test_action_removed_by_a_reload_lets_go_of_its_bans_and_the_others_keep_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(base=False, SSH=(action("A", flush="flush A"), action("B")))
    world.start()
    entry = world.ban("192.0.2.1")
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (action("B"),)})
    assert world.work() == ["flush A", "stop A"]
    assert entry.state is State.APPLIED and world.started == {"B": {"192.0.2.1"}}
    assert "Unban" not in caplog.text
    world.bans.lift(entry)
    assert world.work() == ["unban B 192.0.2.1"]
    assert "Unban" in caplog.text


def test_removal_of_the_action_that_failed_puts_the_ban_in_force() -> None:
    world = World(base=False, SSH=(action("A"), action("B")))
    world.start()
    world.broken.add("ban A")
    entry = world.ban("192.0.2.1")
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (action("B"),)})
    world.work()
    assert entry.state is State.APPLIED and len(world.notified) == 1
    world.pass_time(60)
    assert world.started == {"B": {"192.0.2.1"}}


def test_late_retry_at_an_action_that_was_removed_and_came_back_does_nothing() -> None:
    world = World(base=False, SSH=(action("A"), action("B")))
    world.start()
    world.broken.add("ban A")
    world.ban("192.0.2.1")
    world.work()
    for several in ((action("B"),), (action("A"), action("B"))):
        world.runner.reconfigure(world.settings, {"SSH": several})
        world.work()
    world.clock.advance(1)
    assert world.work().count("ban A 192.0.2.1") == 1


def test_action_that_a_reload_keeps_is_told() -> None:
    world = World(base=False, SSH=(action("A", reload="check A"), action("B", reload="check B")))
    world.start()
    other = action("B", reload="check B", ban="ban B  <ip>")
    world.runner.reconfigure(world.settings, {"SSH": (world.actions["SSH"][0], other)})
    assert world.work() == ["stop B", "start B", "check A"]


def test_switching_a_family_off_takes_its_bans_out_of_force() -> None:
    world = World(base=False, SSH=by_family("A"))
    world.start()
    entry = world.ban("2001:db8::1")
    world.work()
    world.runner.reconfigure(world.settings, world.actions, ("ip",))
    world.work()
    assert entry.state is State.FAILED and world.started == {}


ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
NAMES = ["A", "B4", "B6", "C", "T"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ban"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("lift"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("renew"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("extend"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("lift all"), st.just("")),
        st.tuples(st.just("work"), st.just("")),
        st.tuples(st.just("flush"), st.just("")),
        st.tuples(st.just("lose"), st.sampled_from(NAMES)),
        st.builds(
            lambda verb, name: ("break", f"{verb} {name}"),
            st.sampled_from("start stop ban unban flush repair prolong tell".split()),
            st.sampled_from(NAMES),
        ),
        st.tuples(st.just("mend"), st.just("")),
        st.tuples(st.just("wait"), st.just("")),
        st.tuples(st.just("reload"), st.sampled_from(["AT", "ABT", "BA", "BCT", "TABC", "T"])),
    ),
    max_size=40,
)


def choices() -> dict[str, ActionSettings]:
    return {
        "A": action("A", repair="repair A", reban="reban A <ip>", prolong="prolong A <ip>"),
        "B": by_family("B", flush=Command("flush Bany", "flush B4", "flush B6")),
        "C": action("C", repair_on_unban=True, flush="flush C"),
        "T": teller(),
    }


def names(letter: str, ip: str) -> str:
    return (letter + ("6" if ":" in ip else "4")) if letter == "B" else letter


@settings(max_examples=500)
@given(st.booleans(), STEPS)
def test_firewall_holds_exactly_the_bans_in_force_once_everything_works_again(
    base: bool, steps: list[tuple[str, str]]
) -> None:
    world = World(base=base, SSH=tuple(choices()[letter] for letter in "ABT"))
    letters, decided = "ABT", 0
    world.start()
    world.runner._check_regularly()
    act: dict[str, Callable[[str], object]] = {
        "lift": lambda ip: _with(world, ip, world.bans.lift),
        "renew": lambda ip: _with(world, ip, world.bans.renew),
        "extend": lambda ip: _with(world, ip, lambda e: world.bans.extend(e, None)),
        "lift all": lambda _: world.runner.lift_all("SSH"),
        "work": lambda _: world.work(),
        "flush": lambda _: world.flush(),
        "lose": lambda name: world.started.pop(name, None),
        "break": world.broken.add,
        "mend": lambda _: world.broken.clear(),
        "wait": lambda _: world.pass_time(5),
    }
    quiet = not {"flush", "lose"} & {step for step, _ in steps}
    for step, argument in steps:
        if step == "ban":
            decided += world.bans.ban(ticket(argument), 10**6, world.clock()) is not None
        elif step == "reload":
            letters = argument
            several = tuple(choices()[letter] for letter in letters)
            world.runner.reconfigure(world.settings, {"SSH": several})
            world.work()
        else:
            act[step](argument)
        for entry in world.bans.of("SSH"):  # promise F1, against a firewall nobody flushed
            if entry.state is State.APPLIED and quiet:
                for letter in letters.replace("T", ""):
                    name = names(letter, str(entry.ban.ip))
                    assert str(entry.ban.ip) in world.started.get(name, set())
    world.broken.clear()
    world.pass_time(1300, step=5)
    held = {str(entry.ban.ip) for entry in world.bans.of("SSH")}
    assert {entry.state for entry in world.bans.of("SSH")} <= {State.APPLIED}
    for letter in "ABC":
        for ip in ADDRESSES:
            in_kernel = ip in world.started.get(names(letter, ip), set())
            if ip in held and letter in letters:
                assert in_kernel, (letter, ip)
            elif not any(step == "break" for step, _ in steps):
                assert not in_kernel, (letter, ip)
    if not any(step == "break" for step, _ in steps):
        assert not world.doubles
    assert len(world.told) <= decided
    assert not world.gave_up


def _with(world: World, ip: str, do: Callable[[Entry], object]) -> None:
    if entry := world.bans.get("SSH", ip_address(ip)):
        do(entry)


def test_check_that_fails_although_everything_works_is_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(base=False, SSH=action("A"))
    world.broken.add("check A")
    world.start()
    entries = [world.ban(f"192.0.2.{number}") for number in (1, 2, 3)]
    world.work()
    assert {entry.state for entry in entries} == {State.APPLIED}
    assert world.started == {"A": {"192.0.2.1", "192.0.2.2", "192.0.2.3"}}
    world.pass_time(600, step=5)
    assert caplog.text.count("is not believed any more") == 1
    assert world.shell.commands.count("start A") <= 2


def test_check_that_is_not_believed_is_believed_again_once_it_has_passed() -> None:
    world = World(base=False, SSH=action("A"))
    world.broken.add("check A")
    world.start()
    world.ban("192.0.2.1")
    world.work()
    world.broken.clear()
    world.check("SSH")
    world.work()
    world.started.clear()
    world.check("SSH")
    world.work()
    world.pass_time(200, step=5)
    assert world.started == {"A": {"192.0.2.1"}}
