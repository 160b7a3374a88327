# SPDX-License-Identifier: GPL-2.0-or-later
"""Many bans at once: one command for all of them, and the same end as one by one."""

from __future__ import annotations

import copy
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.decide.bans import Entry, State
from fail2ban.enforce import orders
from fail2ban.enforce.firewall import Firewall
from fail2ban.enforce.halving import ENOUGH
from fail2ban.enforce.site import Modes
from fail2ban.events import Event, Events
from fail2ban.records import ActionSettings, Ban
from tests.helpers import NOW, FakeShell, action, ticket
from tests.test_restore import old, restore
from tests.test_runner import FakeLedger, World, teller

#: A whole set of nft commands in one transaction.
BATCH = "nft -f -"


class Kernel(World):
    """A world that also knows plain commands of nft, and the user's own for many.

    Attributes:
        fed: what commands for many have found on their standard input.
    """

    def __init__(self, **given: object) -> None:
        self.fed: list[str] = []
        super().__init__(**given)  # type: ignore[arg-type]

    def _execute(self, command: str) -> bool:
        verb, *rest = command.split()
        if verb == "nft":
            feed = self.shell.feeds[-1]
            return self._nft(command[4:] if feed is None else feed)
        if verb in ("banmany", "unbanmany", "tellmany"):
            return self._many(verb.removesuffix("many"), rest[0])
        return super()._execute(command)

    def _nft(self, text: str) -> bool:
        """Do all or nothing."""
        before = copy.deepcopy(self.started)
        for line in text.splitlines():
            verb, _, _, _, name, _, ip, _ = line.split()
            if super()._execute(f"{'ban' if verb == 'add' else 'unban'} {name} {ip}"):
                self.started = before
                return True
        return False

    def _many(self, verb: str, name: str) -> bool:
        """Stop at the first failure; what was done may be done again."""
        feed = self.shell.feeds[-1] or ""
        self.fed.append(feed)
        if f"{verb}many {name}" in self.broken:
            return True
        for line in feed.splitlines():
            ip = line.split()[0]
            if verb == "unban" and ip not in self.started.get(name, {ip}):
                continue
            if super()._execute(f"{verb} {name} {ip}"):
                return True
        return False


def plain(name: str = "A", **changes: object) -> ActionSettings:
    commands = {
        "ban": f"nft add element inet t {name} {{ <ip> }}",
        "unban": f"nft delete element inet t {name} {{ <ip> }}",
    }
    return action(name, **{**commands, **changes})


def own(name: str = "A", **changes: object) -> ActionSettings:
    """Return an action with the user's own command for many, and none for one."""
    commands = {
        "ban": "",
        "unban": "",
        "banmany": f"banmany {name}",
        "unbanmany": f"unbanmany {name}",
    }
    return action(name, **{**commands, **changes})


def kernel(*actions: ActionSettings, base: bool = False, **given: object) -> Kernel:
    world = Kernel(base=base, SSH=actions or (plain(),), **given)
    world.start()
    return world


def addresses(count: int, network: str = "192.0.2") -> list[str]:
    return [f"{network}.{number}" for number in range(1, count + 1)]


def ban(world: World, ips: list[str], jail: str = "SSH") -> list[Entry]:
    return [world.ban(ip, jail) for ip in ips]


# Together ---------------------------------------------------------------------


def test_a_lone_ban_is_carried_out_at_once_and_as_the_user_wrote_it() -> None:
    world = kernel()
    world.ban("192.0.2.1")
    world.runner.step()
    assert world.shell.taken() == ["nft add element inet t A { 192.0.2.1 }", "check A"]
    assert world.started == {"A": {"192.0.2.1"}}


@pytest.mark.parametrize("how", [plain(), own()])
def test_bans_that_wait_are_one_command_and_so_are_their_ends(how: ActionSettings) -> None:
    world = kernel(how)
    entries = ban(world, addresses(100))
    assert world.work() == ["check A", BATCH if how.ban else "banmany A"]
    assert world.started == {"A": set(addresses(100))} and len(world.notified) == 100
    for entry in entries:
        world.bans.lift(entry)
    assert world.work() == [BATCH if how.ban else "unbanmany A"]
    assert world.started == {"A": set()} and world.bans.of("SSH") == []


def test_each_family_is_checked_and_banned_apart() -> None:
    world = kernel(own())
    ban(world, ["192.0.2.1", "2001:db8::1", "192.0.2.2"])
    assert world.work() == ["check A", "banmany A", "check A", "banmany A"]
    assert world.fed == ["192.0.2.1 ip 600\n192.0.2.2 ip 600\n", "2001:db8::1 ip6 600\n"]


def test_a_command_for_many_is_told_who_and_for_how_many_seconds_more() -> None:
    world = kernel(own())
    world.ban("192.0.2.1", bantime=None)
    world.ban("192.0.2.2", bantime=1000)
    world.clock.advance(10)
    world.work()
    assert world.fed == ["192.0.2.1 ip -1\n192.0.2.2 ip 990\n"]


def test_a_lone_ban_has_its_own_command_where_there_is_one() -> None:
    world = kernel(own(ban="ban A <ip>", unban="unban A <ip>"))
    entry = world.ban("192.0.2.1")
    assert world.work() == ["check A", "ban A 192.0.2.1"]
    ban(world, ["192.0.2.2", "192.0.2.3"])
    assert world.work() == ["check A", "banmany A"]
    world.bans.lift(entry)
    assert world.work() == ["unban A 192.0.2.1"]


def test_ban_and_unban_of_an_address_keep_their_order_in_a_flood() -> None:
    world = kernel()
    first, second, *_ = ban(world, addresses(10))
    world.work()
    world.bans.lift(first)
    world.bans.lift(second)
    world.ban("192.0.2.1")
    world.ban("192.0.2.99")
    commands = world.work()
    assert commands == [BATCH, "check A", BATCH]
    assert world.started == {"A": {*addresses(10), "192.0.2.99"} - {"192.0.2.2"}}
    assert not world.doubles


def test_sections_that_wait_together_have_each_their_own_command() -> None:
    world = Kernel(base=False, SSH=plain("A"), Web=plain("B"))
    world.start()
    for ip in addresses(3):
        world.ban(ip, "SSH")
        world.ban(ip, "Web")
    assert world.work() == ["check A", BATCH, "check B", BATCH]
    assert world.started == {"A": set(addresses(3)), "B": set(addresses(3))}


def test_where_each_ban_is_a_command_of_its_own_others_have_their_turn_between() -> None:
    world = kernel(action("A"))
    ban(world, addresses(3))
    world.runner.step()
    assert world.shell.taken() == ["check A", "ban A 192.0.2.1"]


def test_where_each_ban_is_a_command_of_its_own_all_keep_their_place() -> None:
    world = kernel(action("A", check=""))
    ban(world, addresses(3))
    world.runner.do(lambda: world.shell.commands.append("later"))
    assert world.work() == [*(f"ban A {ip}" for ip in addresses(3)), "later"]


def test_many_are_in_the_first_action_before_the_slow_second_is_through() -> None:
    world = kernel(plain("A"), action("B"))
    ban(world, addresses(3))
    world.runner.step()
    assert world.shell.taken() == ["check A", BATCH, "check B", "ban B 192.0.2.1"]
    assert world.started == {"A": set(addresses(3)), "B": {"192.0.2.1"}}
    assert len(world.notified) == 1  # promise F1: it is in force where all have carried it out
    world.runner.do(lambda: world.shell.commands.append("another's"))
    assert world.work() == [
        "check B", "ban B 192.0.2.2", "another's", "check B", "ban B 192.0.2.3",
    ]  # fmt: skip
    assert len(world.notified) == 3


def test_what_is_over_before_its_turn_at_the_slow_action_never_gets_there() -> None:
    world = kernel(plain("A"), action("B"))
    entries = ban(world, addresses(3))
    world.runner.step()
    world.bans.lift(entries[1])
    world.work()
    assert world.started == {"A": {"192.0.2.1", "192.0.2.3"}, "B": {"192.0.2.1", "192.0.2.3"}}


def test_the_end_comes_between_two_commands_of_the_slow_action() -> None:
    world = kernel(plain("A"), action("B"))
    ban(world, addresses(50))
    world.runner.step()
    world.runner.finish()
    world.work()
    assert world.started["B"] == {"192.0.2.1"}


def test_news_that_bans_are_durable_come_behind_the_bans() -> None:
    ledger = FakeLedger()
    world = kernel(ledger=ledger)
    ban(world, addresses(3))
    ledger.commit()
    world.runner.step()
    assert world.runner.pending == 0 and len(world.notified) == 3


def test_a_command_of_an_action_that_only_tells_gets_them_all() -> None:
    tells = teller("T", ban="tell T <ip>", banmany="tellmany T")
    world = kernel(plain(), tells)
    ban(world, addresses(3))
    assert world.work() == ["check A", BATCH, "tellmany T"]
    assert world.told == addresses(3)
    world.ban("192.0.2.9")
    assert world.work()[-1] == "tell T 192.0.2.9"


def test_what_is_only_shown_is_shown_as_it_was_written() -> None:
    world = Kernel(base=False, modes=Modes(dry=frozenset({"SSH"})), SSH=plain())
    world.start()
    world.shown.clear()
    ban(world, addresses(2))
    world.work()
    assert [one for one in world.shown if "add" in one] == [
        f"nft add element inet t A {{ {ip} }}" for ip in addresses(2)
    ]


def test_a_text_is_no_line_for_a_command_for_many(caplog: pytest.LogCaptureFixture) -> None:
    world = kernel(own())
    texts = [replace(ticket(), ip=name) for name in ("alice", "bob 192.0.2.1 ip -1\n")]
    entries = [world.bans.ban(text, 600, world.clock()) for text in texts]
    world.work()
    assert world.fed == [] and "none for a text" in caplog.text
    assert {entry.state for entry in entries if entry} == {State.FAILED}


@pytest.mark.parametrize(
    "how",
    [
        plain(),
        own(),
        action("A", ban="ipset add s <ip>"),
        action("A", ban="iptables -t raw -A c -s <ip> -j DROP"),
        action("A", ban="nft add element ip t s { <ip> }\\; add element ip t r { <ip> }"),
    ],
)
def test_one_event_is_told_of_a_command_for_many(how: ActionSettings) -> None:
    shell, happened = FakeShell(), list[Event]()
    events = Events()
    events.listen(happened.append)
    wall = Firewall("SSH", how, shell, events=events)
    bans = [Ban(NOW, None, ticket(ip)) for ip in addresses(30)]
    assert wall.ban(bans, NOW) == [None] * 30
    if len(shell.commands) == 1:
        (event,) = happened
        assert (event.id, event.facts["count"], event.facts["verb"]) == (None, 30, "ban")
    else:
        assert [event.id for event in happened] == [one.id for one in bans]


def test_the_event_of_a_command_for_many_says_for_whom_it_was_if_it_was_one() -> None:
    world = kernel(own())
    world.ban("192.0.2.1")
    world.work()
    told = [event for event in world.happened if event.facts.get("verb") == "ban"]
    assert [(str(one.id), "count" in one.facts) for one in told] == [("192.0.2.1", False)]


def test_each_text_is_looked_at_for_itself() -> None:
    world = kernel(plain())
    good, bad = (replace(ticket(), ip=name) for name in ("alice", "a } ; flush"))
    entries = [world.bans.ban(text, 600, world.clock()) for text in (good, bad)]
    world.runner._banner.ban([entry for entry in entries if entry])
    assert [entry.state for entry in entries if entry] == [State.APPLIED, State.FAILED]
    assert entries[1] is not None and "are for addresses" in entries[1].error


def test_an_action_that_tells_and_fails_for_many_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = kernel(plain(), teller("T", ban="", banmany="tellmany T"))
    world.broken.add("tellmany T")
    ban(world, addresses(200))
    world.work()
    said = [one for one in caplog.records if "tellmany" in one.getMessage()]
    assert [one.levelname for one in said].count("ERROR") == 1 and len(said) <= ENOUGH


# What fails -------------------------------------------------------------------


@pytest.mark.parametrize("how", [plain(), own()])
def test_the_innocent_pass_and_the_guilty_is_reported_and_tried_again_alone(
    how: ActionSettings, caplog: pytest.LogCaptureFixture
) -> None:
    world = kernel(how)
    world.broken.add("ban A 192.0.2.33")
    entries = ban(world, addresses(100))
    world.work()
    bad = entries[32]
    assert {entry.ban.ip for entry in entries if entry.state is State.FAILED} == {bad.ban.ip}
    assert world.started == {"A": set(addresses(100)) - {"192.0.2.33"}}
    assert "192.0.2.33" in bad.error or not how.ban
    assert caplog.text.count("can still connect") == 1 and len(world.notified) == 99
    world.broken.clear()
    world.clock.advance(1)
    commands = world.work()
    assert "check A" in commands and len(commands) == 2
    assert bad.state is State.APPLIED and len(world.notified) == 100


def test_bans_that_fail_together_are_tried_again_together() -> None:
    world = kernel(own())
    world.broken.add("banmany A")
    ban(world, addresses(4))
    world.work()
    assert len(world.timer) == 4 + 1  # their ends, and one attempt
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["check A", "banmany A"]
    assert world.started == {"A": set(addresses(4))}


def test_one_command_that_failed_for_many_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = kernel()
    world.broken.add("check A")
    world.runner._builder.settings = replace(world.settings, maxreinits=0)
    ban(world, addresses(20))
    world.work()
    loud = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert sum("check A" in text and "connect" not in text for text in loud) == 1
    assert sum("can still connect" in text for text in loud) == 20


def test_a_flushed_firewall_is_set_up_once_for_a_batch_and_all_come_back_in_one() -> None:
    world = kernel(plain(flush="flush A"))
    ban(world, addresses(50))
    world.work()
    world.flush()
    ban(world, addresses(50, "198.51.100"))
    commands = [command for command in world.work() if command.split()[0] != "unban"]
    assert commands.count("start A") == 1
    assert commands[commands.index("start A") :] == ["start A", BATCH, BATCH, "check A"]
    assert world.started == {"A": {*addresses(50), *addresses(50, "198.51.100")}}


def test_lifting_many_from_a_firewall_that_is_gone_costs_few_commands() -> None:
    world = kernel()
    ban(world, [f"10.0.{high}.{low}" for high in range(10) for low in range(200)])
    world.work()
    world.flush()
    world.check("SSH")
    commands = world.work()
    assert len(commands) < 150 and len(world.started["A"]) == 2000


def test_those_behind_many_that_fail_have_their_turn_at_the_next_attempt() -> None:
    world = kernel(own())
    bad = addresses(100, "198.51.100")
    world.broken |= {f"ban A {ip}" for ip in bad}
    ban(world, bad)
    good = ban(world, addresses(20))
    world.work()
    assert {entry.state for entry in good} == {State.FAILED}  # nothing seemed to work
    world.pass_time(64)
    assert {entry.state for entry in good} == {State.APPLIED}
    assert world.started == {"A": set(addresses(20))}


def test_many_that_failed_are_tried_again_in_smaller_parts() -> None:
    world = kernel(own())
    world.broken.add("banmany A")
    ban(world, [f"10.0.{high}.{low}" for high in range(10) for low in range(150)])
    world.work()
    world.broken.clear()
    world.clock.advance(1)
    assert world.work() == ["check A", "banmany A"] * 2
    assert [feed.count("\n") for feed in world.fed[-2:]] == [1000, 500]


def test_lifting_that_fails_for_one_lifts_the_others_and_goes_on_trying() -> None:
    world = kernel()
    entries = ban(world, addresses(20))
    world.work()
    world.broken.add("unban A 192.0.2.7")
    for entry in entries:
        world.bans.lift(entry)
    world.work()
    assert world.started == {"A": {"192.0.2.7"}} and len(world.bans.of("SSH")) == 1
    world.broken.clear()
    world.pass_time(2)
    assert world.started == {"A": set()} and world.bans.of("SSH") == []


# Start and end ----------------------------------------------------------------


@pytest.mark.parametrize(("how", "command"), [(plain(), BATCH), (own(), "banmany A")])
def test_bans_of_an_earlier_run_come_back_with_one_command(
    how: ActionSettings, command: str
) -> None:
    world = kernel(how)
    entries = restore(world, old(*addresses(200)))
    assert world.work() == [command]
    assert {entry.state for entry in entries} == {State.APPLIED}


def test_bans_come_back_at_the_first_action_at_once_and_at_the_slow_one_by_one() -> None:
    world = kernel(plain("A"), action("B"))
    restore(world, old(*addresses(3)))
    world.runner.step()
    assert world.shell.taken() == [BATCH, "ban B 192.0.2.1"]
    world.work()
    assert world.started == {"A": set(addresses(3)), "B": set(addresses(3))}


def test_what_a_killed_run_has_left_is_lifted_with_one_command_and_banned_with_one() -> None:
    world = kernel(plain(start="", stop="", check=""))
    world.started = {"A": set(addresses(20))}
    world.runner._heritage.enter(True, {})
    restore(world, old(*addresses(10)), old(*addresses(20)[10:], end=NOW - 1))
    assert world.work() == [BATCH, BATCH, BATCH]
    assert world.started == {"A": set(addresses(10))} and not world.doubles


def test_what_a_section_of_an_earlier_run_has_left_is_lifted_with_its_command_for_many() -> None:
    first = Kernel(
        base=False,
        modes=Modes(kept=frozenset({"Web"})),
        SSH=action(),
        Web=own("W", start="", stop="", check=""),
    )
    first.started["W"] = set()
    first.start()
    ban(first, addresses(20), "Web")
    first.work()
    first.runner.finish()
    first.runner._builder.set_up = lambda **how: True  # type: ignore[method-assign]
    first.runner.run()
    second = Kernel(base=False, SSH=action())
    second.started = first.started
    second.runner._heritage.enter(False, first.texts)
    assert "unbanmany W" in second.shell.taken() and second.started["W"] == set()


def test_where_what_was_left_is_lifted_one_by_one_others_have_their_turn_between() -> None:
    world = kernel(plain(start="", stop="", check="", unban="unban A <ip>"))
    world.started = {"A": set(addresses(3))}
    world.runner._heritage.enter(True, {})
    restore(world, old(*addresses(3)))
    world.runner.step()
    assert [command.split()[0] for command in world.shell.taken()] == ["unban", "nft"]


@pytest.mark.parametrize(("how", "command"), [(plain(), BATCH), (own(), "unbanmany A")])
def test_the_end_lifts_all_with_one_command(how: ActionSettings, command: str) -> None:
    world = kernel(how)
    ban(world, addresses(200))
    world.work()
    world.runner.finish()
    world.runner._builder.set_up = lambda **how: True  # type: ignore[method-assign]
    world.runner.run()
    assert world.shell.taken() == [command, "stop A"]


def test_the_end_lifts_what_must_not_stay_with_one_command() -> None:
    ledger = FakeLedger()
    world = kernel(ledger=ledger, modes=Modes(kept=frozenset({"SSH"})))
    ban(world, addresses(5))
    ledger.commit()
    ban(world, addresses(50, "198.51.100"))  # not durable
    world.work()
    world.runner.finish()
    world.runner._builder.set_up = lambda **how: True  # type: ignore[method-assign]
    world.runner.run()
    assert world.shell.taken() == [BATCH]
    assert world.started == {"A": set(addresses(5))}


def test_all_bans_of_a_section_are_lifted_with_one_command_where_there_is_no_flush() -> None:
    world = kernel(plain())
    ban(world, addresses(50))
    world.work()
    world.runner.lift_all("SSH")
    assert world.work() == [BATCH]
    assert world.started == {"A": set()} and world.bans.of("SSH") == []


def test_a_new_action_gets_all_bans_with_one_command() -> None:
    world = kernel(plain("A"))
    ban(world, addresses(50))
    world.work()
    world.runner.reconfigure(world.settings, {"SSH": (plain("A"), plain("B"))})
    assert world.work() == ["start B", BATCH]
    assert world.started["B"] == set(addresses(50))


# The same end -----------------------------------------------------------------

IPS = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "2001:db8::1", "2001:db8::2"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ban"), st.sampled_from(IPS)),
        st.tuples(st.just("ban"), st.sampled_from(IPS)),
        st.tuples(st.just("lift"), st.sampled_from(IPS)),
        st.tuples(st.just("lift all"), st.just("")),
        st.tuples(st.just("work"), st.just("")),
        st.tuples(st.just("wait"), st.just("")),
        st.tuples(st.just("commit"), st.just("")),
        st.builds(
            lambda verb, ip: ("break", f"{verb} A {ip}"),
            st.sampled_from(["ban", "unban"]),
            st.sampled_from(IPS),
        ),
        st.tuples(st.just("mend"), st.just("")),
    ),
    max_size=40,
)


def live(how: ActionSettings, steps: list[tuple[str, str]], most: int) -> Kernel:
    """Live through some steps; at most so many orders are carried out together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "MOST", most)
        ledger = FakeLedger()
        world = kernel(how, ledger=ledger)
        act: dict[str, Callable[[str], object]] = {
            "ban": lambda ip: _ban(world, ip),
            "lift": lambda ip: _lift(world, ip),
            "lift all": lambda _: world.runner.lift_all("SSH"),
            "work": lambda _: world.work(),
            "wait": lambda _: world.pass_time(3),
            "commit": lambda _: ledger.commit(),
            "break": world.broken.add,
            "mend": lambda _: world.broken.clear(),
        }
        for step, argument in steps:
            act[step](argument)
        world.work()
        return world


def _ban(world: World, ip: str) -> None:
    if world.bans.ban(ticket(ip), 10**6, world.clock()):
        world.save(ip)


def _lift(world: World, ip: str) -> None:
    if entry := world.bans.get("SSH", ip_address(ip)):
        world.bans.lift(entry)


def story(world: World) -> dict[str, list[str]]:
    """Return what was told of each address, in order."""
    told: defaultdict[str, list[str]] = defaultdict(list)
    for event in world.happened:
        if event.kind != "command":
            told[str(event.id)].append(event.kind)
    return dict(told)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sampled_from([plain(), own(unban="unban A <ip>", unbanmany="")]))
def test_many_at_once_end_as_one_by_one(steps: list[tuple[str, str]], how: ActionSettings) -> None:
    logging.disable(logging.CRITICAL)
    try:
        many, single = live(how, steps, orders.MOST), live(how, steps, 1)
    finally:
        logging.disable(logging.NOTSET)
    assert many.started == single.started
    assert story(many) == story(single)
    assert how.banmany or sorted(many.doubles) == sorted(single.doubles)
    for one, other in zip(many.bans.of("SSH"), single.bans.of("SSH"), strict=True):
        assert (one.ban, one.state, one.announced) == (other.ban, other.state, other.announced)
    assert sorted(map(_who, many.notified)) == sorted(map(_who, single.notified))


def _who(ban: Ban) -> tuple[str, float]:
    return str(ban.id), ban.start
