# SPDX-License-Identifier: GPL-2.0-or-later
"""Store, tracker and bans against a simple model, with crashes between any two steps.

The model knows only the log: who failed how often. Whatever was lost in a crash must
come out again, and nothing twice.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fail2ban import notices
from fail2ban.decide.bans import Bans, Entry, State, Verb
from fail2ban.decide.court import Court
from fail2ban.decide.history import Memory
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.judge import Judge
from fail2ban.decide.timer import Timer
from fail2ban.queries import Queries
from fail2ban.records import Ban, Failure, Id, StoreSettings
from fail2ban.store import Store
from tests.helpers import FakeClock, jail_settings
from tests.test_ignore import FakeAsker, FakeHosts

MAXRETRY = 3
IDS: list[Id] = [ip_address(f"192.0.2.{n}") for n in (1, 2)]
LONG = 10_000_000.0


class Process:
    """All that a crash takes away."""

    def __init__(self, file: Path, clock: FakeClock, firewall: Firewall) -> None:
        self.store = Store(StoreSettings(file=str(file)), clock=clock)
        self.store.open()
        self._firewall, self.orders = firewall, deque[tuple[Verb, Entry]]()
        self.bans = Bans(Timer(clock, clock), lambda *order: self.orders.append(order), self.store)
        self.history = Memory(age=LONG)
        self.history.load(self.store.records())
        hosts = FakeHosts()
        self._court = Court(
            bans=self.bans,
            own=OwnAddresses(clock, lambda: frozenset()),
            hosts=hosts,
            history=self.history,
            notices=notices.of(True),
            asker=FakeAsker(1),
            clock=clock,
            ticks=clock,
            rng=random.Random(1),
        )
        self.begin_section()
        hosts.answer()

    def begin_section(self) -> None:
        """Begin to read with what is stored."""
        limits = jail_settings(maxretry=MAXRETRY, findtime=LONG, bantime=LONG)
        left = self.store.load("SSH")
        self.position = int(left.marks.get("log", "0"))
        self.judge = Judge(limits, self._court)
        self.judge.remember(left, self._restore)
        self.names: dict[int, Failure] = {}
        self.judge.resume(self.names.__setitem__)
        self.reading = False

    def pause_section(self) -> None:
        """Break a poll off, to go on with it later."""
        self.judge.rest()

    def restart_section(self, stopped: bool) -> None:
        """Break a poll off, and begin the section anew.

        Args:
            stopped: everybody is let in before.
        """
        old, names = self.judge, self.names
        old.rest()
        old.close()
        for entry in self.bans.of("SSH") if stopped else ():
            self._firewall.held.discard(entry.ban.id)
            self.bans.remove(entry)
        self.begin_section()
        for number, failure in names.items():  # answers that come too late
            old.settle(number, [as_address(failure)])

    def _restore(self, bans: Sequence[Ban], over: Sequence[Ban]) -> None:
        # The firewall was cleared, so that nobody need be let go.
        self.bans.restore(bans, self._carry_out)

    def _carry_out(self, entries: list[Entry]) -> None:
        self.orders.extend((Verb.BAN, entry) for entry in entries)

    def obey(self) -> None:
        """Carry out the oldest order, as the runner does."""
        verb, entry = self.orders.popleft()
        if verb is Verb.BAN and self.bans.holds(entry) and not entry.lifting:
            entry.state = State.APPLIED
            self._firewall.held.add(entry.ban.id)
        if verb is Verb.UNBAN and self.bans.holds(entry):
            self._firewall.held.discard(entry.ban.id)
            self.bans.remove(entry)
        if entry.state is State.APPLIED and entry.durable:
            self._firewall.told.add(entry.ban.id)


def as_address(failure: Failure) -> Failure:
    """Return the failure that the name server makes of one with a name."""
    return replace(failure, ip=ip_address(str(failure.ip)))


class Firewall:
    """What the kernel holds, and who was told to be banned and not to be free again."""

    def __init__(self) -> None:
        self.held: set[Id] = set()
        self.told: set[Id] = set()


class Crashes(RuleBasedStateMachine):
    """Lines are written and read, bans decided and lifted, and the process dies."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock, self.firewall = FakeClock(), Firewall()
        self.log: list[tuple[Id, bool]] = []  # who, and whether only by a name
        self.forgiven: Counter[Id] = Counter()  # failures up to the last unban by hand
        self.bans: Counter[Id] = Counter()  # those that a hand has ended
        self.process = Process(self.folder / "store", self.clock, self.firewall)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            try:
                self._all_is_as_the_log_says()
            finally:
                self.process.store.close()
                shutil.rmtree(self.folder)

    # What happens -------------------------------------------------------------

    @rule(id=st.sampled_from(IDS), named=st.booleans(), times=st.integers(1, 4))
    def fail(self, id: Id, named: bool, times: int) -> None:
        self.clock.now += 1.0
        self.log += [(id, named)] * times

    @precondition(lambda self: self.process.position < len(self.log))
    @rule(lines=st.integers(1, 8))
    def read(self, lines: int) -> None:
        for _ in range(min(lines, len(self.log) - self.process.position)):
            self._read_line()

    def _read_line(self) -> None:
        process = self.process
        if not process.reading:
            process.judge.begin()
            process.reading = True
        id, named = self.log[process.position]
        process.position += 1
        line = Failure("SSH", id, self.clock(), (f"line {process.position}",))
        if named:
            name = replace(line, ip=str(id))
            process.names[process.judge.defer(name)] = name
        else:
            process.judge.hear(line)

    @precondition(lambda self: self.process.reading)
    @rule()
    def end_of_poll(self) -> None:
        self.process.reading = False
        self.process.judge.done({"log": str(self.process.position)})

    @rule()
    def poll(self) -> None:
        """Read all there is, and save it."""
        self.read(len(self.log))
        if self.process.reading:
            self.end_of_poll()
        self.commit()

    @precondition(lambda self: self.process.names)
    @rule()
    def resolve(self) -> None:
        number, failure = self.process.names.popitem()
        self.process.judge.settle(number, [as_address(failure)])

    @rule()
    def commit(self) -> None:
        self.process.store.step()

    @precondition(lambda self: self.process.orders)
    @rule()
    def obey(self) -> None:
        self.process.obey()

    @rule()
    def pause(self) -> None:
        self.process.pause_section()

    @rule(stopped=st.booleans())
    def restart(self, stopped: bool) -> None:
        self.process.restart_section(stopped)

    @rule()
    def crash(self) -> None:
        self.process.store.close()  # without writing what waits
        self.firewall.held.clear()
        self.process = Process(self.folder / "store", self.clock, self.firewall)

    @rule()
    def end_and_begin(self) -> None:
        """Stop as the daemon does: what waits is written, everybody is let in."""
        for entry in self.process.bans.of("SSH"):
            self.process.bans.remove(entry)
        self.process.store.step()
        self.crash()

    @rule(id=st.sampled_from(IDS))
    def unban_by_hand(self, id: Id) -> None:
        self._catch_up()
        if (entry := self.process.bans.get("SSH", id)) is not None:
            self.process.bans.lift(entry)
            self.process.store.step()  # what the firewall is told is left for later
            self.firewall.told.discard(id)
            self.bans[id] += 1
            self.forgiven[id] = self._failures()[id] // MAXRETRY * MAXRETRY

    def _all_is_as_the_log_says(self) -> None:
        """Let everything come to an end, and compare."""
        self._catch_up()
        process, failures = self.process, self._failures()
        for id in IDS:
            left = failures[id] % MAXRETRY
            suspect = process.judge._tracker.suspect(id)
            assert (len(suspect.times) if suspect else 0) == left
            banned = failures[id] - self.forgiven[id] >= MAXRETRY
            assert (process.bans.get("SSH", id) is not None) == banned
            assert (id in self.firewall.held) == banned
            assert (id in self.firewall.told) == banned
            record = process.history.record("SSH", id)
            assert (record.bans if record else 0) == self.bans[id] + banned

    @invariant()
    def whoever_is_told_to_be_banned_outlives_a_crash(self) -> None:
        if hasattr(self, "process"):
            # The store itself would write first what waits.
            with closing(sqlite3.connect(self.folder / "store")) as reader:
                stored = {ban.id for ban in Queries(reader, maxmatches=1).load("SSH").bans}
            assert self.firewall.told <= stored

    # ---------------------------------------------------------------------------

    def _failures(self) -> Counter[Id]:
        return Counter(id for id, _ in self.log)

    def _catch_up(self) -> None:
        process = self.process
        while process.position < len(self.log):
            self._read_line()
        if process.reading:
            self.end_of_poll()
        while process.names:
            self.resolve()
        process.store.step()
        while process.orders:
            process.obey()
            process.store.step()


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
