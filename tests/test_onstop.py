# SPDX-License-Identifier: GPL-2.0-or-later
"""What stays in the firewall when the daemon ends, and what its next run makes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.decide.bans import State
from fail2ban.enforce.site import Modes, id_of, key_of
from fail2ban.records import ActionSettings, Ban
from tests.helpers import NOW, action, ticket
from tests.test_runner import ADDRESSES, FakeLedger, World, by_family, names, teller

KEPT = Modes(kept=frozenset({"SSH"}))


def end(world: World, keep: bool = True) -> list[str]:
    """End the daemon; return the commands of its end."""
    world.shell.taken()
    world.runner.finish(keep)
    world.runner._builder.set_up = lambda **how: True  # type: ignore[method-assign]
    world.runner.run()
    return world.shell.taken()


def next_run(
    old: World,
    unclean: bool = False,
    modes: Modes = KEPT,
    boot: str = "this one",
    **actions: object,
) -> World:
    """Return the next run, set up, on the same firewall."""
    base = bool(old.settings.start)
    given = actions or old.actions
    world = World(base=base, modes=modes, ledger=old.ledger, boot=boot, **given)  # type: ignore[arg-type]
    world.started, world.base, world.clock.now = old.started, old.base, old.clock.now
    world.runner._heritage.enter(unclean, old.texts)
    world.runner._remember(world.runner._heritage.farewells())
    world.runner._builder.set_up()
    return world


def restore(world: World, bans: list[Ban], over: list[Ban] | None = None) -> list[str]:
    world.runner.restore("SSH", bans, over or [])
    return world.work()


def kept_world(**actions: ActionSettings | tuple[ActionSettings, ...]) -> World:
    world = World(base=False, modes=KEPT, **actions)
    world.start()
    for ip in ("192.0.2.1", "2001:db8::1"):
        world.ban(ip)
    world.work()
    return world


def bans_of(world: World) -> list[Ban]:
    return [entry.ban for entry in world.bans.of("SSH")]


# The end ----------------------------------------------------------------------


def test_bans_of_a_section_that_wants_it_stay_and_its_tellers_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = kept_world(SSH=(action(), teller(stop="tell T stop")), FTP=action("FTP"))
    world.ban("192.0.2.9", "FTP")
    world.work()
    caplog.clear()
    caplog.set_level(logging.INFO)
    assert end(world) == ["unban FTP 192.0.2.9", "stop FTP", "tell T stop"]
    assert world.started == {"SSH": {"192.0.2.1", "2001:db8::1"}}
    assert "[SSH] the firewall keeps 2 ban(s) until the next start" in caplog.text
    assert "SSH: Unban" not in caplog.text and set(world.texts) == {"SSH", ""}


def test_common_ground_stays_as_long_as_one_section_stands_on_it() -> None:
    world = World(modes=KEPT)
    world.start()
    world.ban("192.0.2.1")
    world.work()
    assert end(world) == [] and world.base


def test_only_durable_bans_in_force_stay(caplog: pytest.LogCaptureFixture) -> None:
    ledger = FakeLedger()
    world = World(base=False, modes=KEPT, ledger=ledger)
    world.start()
    for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        world.ban(ip)
    ledger.commit()
    world.ban("192.0.2.4")  # not durable
    world.work()
    world.broken.add("unban SSH 192.0.2.2")
    world.bans.lift(world.bans.of("SSH")[1])  # over, but not lifted
    world.work()
    world.broken.clear()
    world.ban("192.0.2.5")  # not carried out any more
    assert end(world) == ["unban SSH 192.0.2.2", "unban SSH 192.0.2.4"]
    assert world.started == {"SSH": {"192.0.2.1", "192.0.2.3"}}
    assert caplog.text.count("Unban") == 1  # what was not durable was never told


def test_ban_that_never_was_in_force_does_not_keep_the_others_from_staying() -> None:
    world = kept_world(SSH=action())
    world.broken |= {"ban SSH 192.0.2.9", "unban SSH 192.0.2.9"}
    world.ban("192.0.2.9")
    world.work()
    assert end(world) == ["unban SSH 192.0.2.9"]
    assert world.started == {"SSH": {"192.0.2.1", "2001:db8::1"}}


def test_section_that_cannot_be_left_in_order_is_taken_down_whole() -> None:
    world = kept_world(SSH=action(flush="flush SSH"))
    world.broken.add("unban SSH 192.0.2.1")
    world.bans.lift(world.bans.of("SSH")[0])
    world.work()
    assert end(world)[-2:] == ["flush SSH", "stop SSH"]
    assert world.started == {} and world.texts == {}


@pytest.mark.parametrize("keep", [False, True])
def test_nothing_stays_that_the_next_run_would_not_know_or_that_is_empty(keep: bool) -> None:
    world = kept_world(SSH=action())
    if keep:
        for entry in world.bans.of("SSH"):
            world.bans.lift(entry)
        world.work()
    end(world, keep)
    assert world.started == {} and world.texts == {}


def test_nothing_stays_after_a_bug() -> None:
    world = kept_world(SSH=action())
    world.runner._put(lambda: 1 // 0)
    world.runner._builder.set_up = lambda **how: True  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        world.runner.run()
    assert world.started == {}


# The next start ----------------------------------------------------------------


def test_what_is_still_there_is_taken_over_without_a_command(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = kept_world(SSH=action())
    end(world)
    caplog.clear()
    after = next_run(world)
    assert after.shell.taken() == ["check SSH"]
    assert restore(after, bans_of(world)) == []
    assert {entry.state for entry in after.bans.of("SSH")} == {State.APPLIED}
    assert caplog.text.count("Restore Ban") == 2 and not after.notified
    assert after.started == world.started and not after.doubles


def test_ban_that_ended_meanwhile_is_lifted() -> None:
    world = kept_world(SSH=action())
    end(world)
    first, second = bans_of(world)
    after = next_run(world)
    after.shell.taken()
    assert restore(after, [second], [first]) == ["unban SSH 192.0.2.1"]
    assert after.started == {"SSH": {"2001:db8::1"}} and len(after.bans.of("SSH")) == 1


def test_ban_that_nobody_wants_any_more_is_lifted_and_one_that_is_missing_carried_out() -> None:
    world = kept_world(SSH=action())
    end(world)
    after = next_run(world)
    after.shell.taken()
    more = Ban(NOW, None, ticket("192.0.2.7"))
    assert restore(after, [*bans_of(world)[1:], more]) == [
        "unban SSH 192.0.2.1", "ban SSH 192.0.2.7",
    ]  # fmt: skip
    assert after.started == {"SSH": {"2001:db8::1", "192.0.2.7"}}


def test_firewall_that_was_flushed_meanwhile_is_set_up_and_all_come_back() -> None:
    world = kept_world(SSH=action(flush="flush SSH"))
    end(world)
    world.started = {}
    after = next_run(world)
    assert after.shell.taken() == ["check SSH", "flush SSH", "stop SSH", "start SSH"]
    restore(after, bans_of(world))
    assert after.started == {"SSH": {"192.0.2.1", "2001:db8::1"}}


def test_after_a_restart_of_the_machine_no_check_is_believed() -> None:
    """Rules may come back from a file, without or with other bans."""
    world = kept_world(SSH=action(flush="flush SSH"))
    end(world)
    world.started["SSH"] = {"192.0.2.99"}
    after = next_run(world, boot="the next one")
    assert after.shell.taken() == ["flush SSH", "stop SSH", "start SSH"]
    restore(after, bans_of(world))
    assert after.started == {"SSH": {"192.0.2.1", "2001:db8::1"}}


def test_action_without_a_check_is_cleared_and_bans_anew() -> None:
    world = kept_world(SSH=action(check="", flush="flush SSH"))
    end(world)
    after = next_run(world)
    assert after.shell.taken() == ["flush SSH", "stop SSH", "start SSH"]
    restore(after, bans_of(world))
    assert not after.doubles and after.started == world.started


def test_action_with_nothing_but_ban_and_unban_ends_up_with_each_ban_once() -> None:
    plain = action(start="", stop="", check="")
    world = World(base=False, modes=KEPT, SSH=plain)
    world.started = {"SSH": set()}
    world.start()
    world.ban("192.0.2.1")
    world.ban("192.0.2.2")
    world.work()
    end(world)
    after = next_run(world)
    first, second = bans_of(world)
    assert restore(after, [first], [second]) == [
        "unban SSH 192.0.2.2", "unban SSH 192.0.2.1", "ban SSH 192.0.2.1",
    ]  # fmt: skip
    assert not after.doubles and after.started == {"SSH": {"192.0.2.1"}}


def test_changed_commands_do_not_leave_the_old_rules() -> None:
    world = kept_world(SSH=(action("A", flush="flush A"), action("B")))
    end(world)
    after = next_run(world, SSH=(action("C"), action("B")))
    assert after.shell.taken() == ["check B", "flush A", "stop A", "start C"]
    restore(after, bans_of(world))
    both = {"192.0.2.1", "2001:db8::1"}
    assert after.started == {"B": both, "C": both} and not after.doubles


def test_section_that_is_no_more_is_removed_with_its_own_commands() -> None:
    world = kept_world(SSH=action(start="", stop="", check=""), FTP=action("FTP"))
    world.started["SSH"] = {"192.0.2.1", "2001:db8::1"}
    for entry in world.bans.of("SSH"):
        entry.part("SSH").reset()
        world.runner._banner.ban([entry])
    world.doubles.clear()
    end(world)
    after = next_run(world, FTP=action("FTP"))
    assert "unban SSH 192.0.2.1" in after.shell.taken()
    assert after.started == {"SSH": set(), "FTP": set()}


def test_changed_common_ground_takes_all_down_with_the_old_commands() -> None:
    world = World(modes=KEPT)
    world.start()
    world.ban("192.0.2.1")
    world.work()
    end(world)
    after = World(base=False, modes=KEPT)
    after.started = world.started
    after.runner._heritage.enter(False, world.texts)
    assert after.shell.taken() == ["stop SSH", "stop all"] and after.started == {}


def test_common_ground_that_was_kept_is_not_made_twice() -> None:
    world = World(modes=KEPT, SSH=action(), FTP=action("FTP"))
    world.start()
    world.ban("192.0.2.1")
    world.work()
    end(world)
    after = next_run(world)
    assert after.shell.taken() == ["check SSH", "start FTP"] and after.base


def test_killed_run_is_cleared_whatever_it_wanted_to_keep() -> None:
    world = kept_world(SSH=action(flush="flush SSH"))
    world.runner._remember(world.runner._heritage.farewells())
    after = next_run(world, unclean=True)
    assert after.shell.taken() == ["flush SSH", "stop SSH", "start SSH"]
    restore(after, bans_of(world))
    assert after.started == {"SSH": {"192.0.2.1", "2001:db8::1"}}


def test_end_before_the_bans_were_taken_over_loses_none() -> None:
    world = kept_world(SSH=action())
    end(world)
    second = next_run(world)
    assert end(second) == []  # its readers never came to run
    third = next_run(second)
    third.runner.restore("SSH", bans_of(world))
    assert end(third) == []  # ordered, but not done
    fourth = next_run(third)
    fourth.shell.taken()
    assert restore(fourth, bans_of(world)) == []
    assert fourth.started == {"SSH": {"192.0.2.1", "2001:db8::1"}} and not fourth.doubles


def test_section_that_keeps_no_longer_lets_go_of_what_it_kept_at_its_end() -> None:
    world = kept_world(SSH=action(stop=""))
    end(world)
    after = next_run(world, modes=Modes())
    end(after)
    assert after.started == {"SSH": set()}


def test_repair_before_the_bans_were_taken_over_brings_them_back() -> None:
    world = kept_world(SSH=action(flush="flush SSH"))
    end(world)
    after = next_run(world)
    after.started.clear()
    after.ban("192.0.2.9")
    after.work()
    restore(after, bans_of(world))
    assert after.started == {"SSH": {"192.0.2.1", "192.0.2.9", "2001:db8::1"}}
    assert not after.doubles


@given(st.one_of(st.text(max_size=8), st.ip_addresses(), st.just("192.0.2.1"), st.just("=x")))
def test_id_is_read_as_it_was_written(id: object) -> None:
    assert id_of(key_of(id)) == id  # type: ignore[arg-type]


# Whatever happens ------------------------------------------------------------------


def several(checked: bool) -> tuple[ActionSettings, ...]:
    """Return actions; `checked`: without a check nobody sees that one was flushed."""
    check = "check C" if checked else ""
    return (
        action("A", repair="repair A"),
        by_family("B", on_demand=False),
        action("C", check=check, flush="flush C", repair_on_unban=True),
        teller(),
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ban"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("lift"), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("commit"), st.just("")),
        st.tuples(st.just("work"), st.just("")),
        st.tuples(st.just("wait"), st.just("")),
        st.builds(
            lambda verb, name: ("break", f"{verb} {name}"),
            st.sampled_from("ban unban start stop flush repair".split()),
            st.sampled_from(["A", "B4", "B6", "C", "T"]),
        ),
        st.tuples(st.just("mend"), st.just("")),
        st.tuples(st.just("flush"), st.just("")),
        st.tuples(st.just("end"), st.sampled_from(["", "", "flushed", "booted", "early"])),
        st.tuples(st.just("kill"), st.just("")),
    ),
    max_size=30,
)


class Life:
    """One daemon after the other on one firewall, with one store."""

    def __init__(self, base: bool, clean: bool) -> None:
        self.ledger = FakeLedger()
        self.world = World(
            base=base, modes=KEPT, ledger=self.ledger, boot="boot 0", SSH=several(not clean)
        )
        self.world.runner._remember(self.world.runner._heritage.farewells())
        self.world.runner._builder.set_up()
        self.boots = 0
        self.clean = clean  # nothing fails or is flushed while a daemon runs

    def do(self, step: str, argument: str) -> None:
        world = self.world
        acts: dict[str, Callable[[], object]] = {
            "commit": self.ledger.commit,
            "work": world.work,
            "wait": lambda: world.pass_time(5),
            "break": lambda: world.broken.add(argument),
            "mend": world.broken.clear,
            "flush": world.flush,
            "end": lambda: self.end(argument),
            "kill": self.kill,
            "ban": lambda: self.ban(argument),
            "lift": lambda: self.lift(argument),
        }
        acts[step]()

    def ban(self, ip: str) -> None:
        if self.world.bans.ban(ticket(ip), 10**6, self.world.clock()):
            self.world.save(ip)

    def lift(self, ip: str) -> None:
        if entry := self.world.bans.get("SSH", ip_address(ip)):
            self.world.bans.lift(entry)

    def end(self, what: str) -> None:
        world = self.world
        if what != "early":
            self.ledger.commit()
        in_force = [e for e in world.bans.of("SSH") if e.state is State.APPLIED and e.durable]
        end(world)
        if self.clean and what != "early":
            kept = {str(entry.ban.ip) for entry in in_force}
            for ip in ADDRESSES:
                for letter in "ABC":
                    held = ip in world.started.get(names(letter, ip), set())
                    assert held == (ip in kept), (letter, ip)
        self.ledger.commit()
        if what == "flushed":
            world.flush()
        if what == "booted":
            self.boots += 1
            world.flush()
        self.begin(unclean=False)

    def kill(self) -> None:
        self.ledger.drop()
        self.begin(unclean=True)

    def begin(self, unclean: bool) -> None:
        self.world = next_run(self.world, unclean, boot=f"boot {self.boots}")
        rows = list(self.ledger.rows.values())
        over = [ban for ban in rows if ban.end is not None and ban.end <= self.world.clock()]
        bans = [ban for ban in rows if ban not in over]
        self.world.runner.restore("SSH", bans, over)


@settings(max_examples=300)
@given(st.booleans(), STEPS)
def test_after_any_ends_the_firewall_holds_exactly_the_bans_in_force(
    base: bool, steps: list[tuple[str, str]]
) -> None:
    life = Life(base, clean=not {"break", "flush"} & {step for step, _ in steps})
    for step, argument in steps:
        life.do(step, argument)
        for entry in life.world.bans.of("SSH"):
            assert not entry.announced or entry.durable
            if entry.announced:
                assert ("SSH", entry.ban.id) in life.ledger.rows
    world = life.world
    world.broken.clear()
    life.ledger.commit()
    world.runner._check_regularly()
    world.pass_time(1300, step=5)
    held = {str(entry.ban.ip) for entry in world.bans.of("SSH")}
    assert {entry.state for entry in world.bans.of("SSH")} <= {State.APPLIED}
    assert all(entry.announced for entry in world.bans.of("SSH"))
    for letter in "ABC":
        for ip in ADDRESSES:
            in_kernel = ip in world.started.get(names(letter, ip), set())
            if ip in held:
                assert in_kernel, (letter, ip)
            elif life.clean:
                assert not in_kernel, (letter, ip)
    if life.clean:
        assert not world.doubles
