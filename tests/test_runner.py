# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner: order, retry, check, repair, start and end; no threads, no shell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.decide.bans import Entry, State
from fail2ban.decide.timer import Timer
from fail2ban.enforce.runner import (
    LIFT_BUDGET,
    RETRY_LONGEST,
    START_LONGEST,
    Runner,
    growing_pause,
)
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.records import FAMILIES, ActionSettings, Ban, FirewallSettings
from tests.helpers import FakeClock, FakeShell, action, ticket

REINIT = 10.0


class World:
    """A runner, and a firewall that commands change and tests break.

    The firewall knows of each section whether it is started and whom it bans;
    commands fail as real ones would: a check or ban without a start does.
    """

    def __init__(self, maxreinits: int = -1, **actions: ActionSettings) -> None:
        self.clock, self.shell = FakeClock(), FakeShell()
        self.started: dict[str, set[str]] = {}
        self.base = False
        self.broken: set[str] = set()  # commands that fail whatever the firewall holds
        self.shell.fails = self._execute
        self.notified: list[Ban] = []
        self.gave_up: list[str] = []
        self.timer = Timer(self.clock, self.clock)
        self.settings = FirewallSettings("start all", "stop all", 1.0, REINIT, maxreinits)
        self.actions = actions or {"SSH": action()}
        scaffold = Scaffold(self.settings, self.actions, self.shell, FAMILIES)
        self.runner = Runner(
            self.settings,
            scaffold,
            self.timer,
            self.clock,
            self.clock,
            self.notified.append,
            self.gave_up.append,
        )
        self.bans = self.runner.bans

    def _execute(self, command: str) -> bool:
        """Change the firewall; tell whether the command fails."""
        verb, name, *rest = command.split()
        if command in self.broken or f"{verb} {name}" in self.broken:
            return True
        if name == "all":
            self.base = verb == "start"
            return False
        if verb == "start":
            already = name in self.started
            self.started.setdefault(name, set())
            return already or not self.base
        if name not in self.started:
            return True
        if verb == "stop":
            del self.started[name]
        elif verb == "ban":
            self.started[name].add(rest[0])
        elif verb == "unban":
            if rest[0] not in self.started[name]:
                return True
            self.started[name].remove(rest[0])
        return False

    def flush(self) -> None:
        """What `nft flush ruleset` by somebody else does."""
        self.started, self.base = {}, False

    def start(self) -> None:
        self.runner._set_up()
        self.shell.taken()

    def ban(self, ip: str, jail: str = "SSH", bantime: float | None = 600) -> Entry:
        entry = self.bans.ban(ticket(ip, jail=jail), bantime, self.clock())
        assert entry is not None
        return entry

    def check(self, jail: str) -> None:
        """What the regular check does."""
        self.runner._jobs.put(lambda: self.runner._check(jail))

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
    world.runner._set_up()
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
    world = World(SSH=action(ban="ban SSH <ip>-<section>-<failures>"))
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
    world.runner._jobs.put(lambda: 1 // 0)
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
    world.runner._set_up()
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
    world.runner._set_up()
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
    world.runner._set_up()
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
    assert world.work() == ["check SSH"]
    assert entry.state is State.FAILED
    world.pass_time(300)
    assert caplog.text.count("<iptables>") == 1
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
    world.runner._set_up()
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
    world.runner.reconfigure(world.settings, {"SSH": action("New"), "Apache": action("Apache")})
    assert world.work() == ["unban SSH 192.0.2.1", "stop SSH", "start New", "ban New 192.0.2.1"]
    assert len(world.notified) == 2


def test_removed_section_is_lifted_and_a_new_one_started() -> None:
    world = World(SSH=action(), Apache=action("Apache"))
    world.start()
    world.ban("192.0.2.1", "Apache")
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": action(), "FTP": action("FTP")})
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
    world.runner.reconfigure(world.settings, {"SSH": action()})
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


ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ban"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("lift"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("work"), st.just("")),
        st.tuples(st.just("flush"), st.just("")),
        st.tuples(st.just("break"), st.sampled_from(["ban SSH", "unban SSH", "start SSH"])),
        st.tuples(st.just("mend"), st.just("")),
        st.tuples(st.just("wait"), st.just("")),
    ),
    max_size=40,
)


@settings(max_examples=500)
@given(STEPS)
def test_firewall_holds_exactly_the_bans_in_force_once_everything_works_again(
    steps: list[tuple[str, str]],
) -> None:
    world = World()
    world.start()
    world.runner._check_regularly()
    act: dict[str, Callable[[str], object]] = {
        "ban": lambda ip: world.bans.ban(ticket(ip), None, world.clock()),
        "lift": lambda ip: _lift(world, ip),
        "work": lambda _: world.work(),
        "flush": lambda _: world.flush(),
        "break": world.broken.add,
        "mend": lambda _: world.broken.clear(),
        "wait": lambda _: world.pass_time(5),
    }
    for step, argument in steps:
        act[step](argument)
        for entry in world.bans.of("SSH"):  # promise F1, against a firewall nobody flushed
            if entry.state is State.APPLIED and "flush" not in dict(steps):
                assert str(entry.ban.ip) in world.started["SSH"]
    world.broken.clear()
    world.pass_time(1300, step=5)
    held = {str(entry.ban.ip) for entry in world.bans.of("SSH")}
    assert {entry.state for entry in world.bans.of("SSH")} <= {State.APPLIED}
    in_kernel = world.started.get("SSH", set())
    assert held <= in_kernel
    if not any(step == "break" for step, _ in steps):
        assert held == in_kernel
    assert not world.gave_up


def _lift(world: World, ip: str) -> None:
    if entry := world.bans.get("SSH", ip_address(ip)):
        world.bans.lift(entry)
