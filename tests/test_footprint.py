# SPDX-License-Identifier: GPL-2.0-or-later
"""What many ids and many lines cost in memory: bounded, and little.

Bounds are generous; what they catch is another object for each id, or a table that
nobody empties.
"""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from ipaddress import IPv4Address

import pytest

from fail2ban import notices
from fail2ban.decide.bans import Bans, Entry, Verb
from fail2ban.decide.court import Court
from fail2ban.decide.history import Memory
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.judge import Judge
from fail2ban.decide.timer import Timer
from fail2ban.decide.tracker import CROWD, CROWD_LENGTH, Tracker
from fail2ban.events import Events
from fail2ban.health.counters import Counters
from fail2ban.health.keeping import Keeping
from fail2ban.health.recorder import Recording
from fail2ban.ledger import Batch
from fail2ban.records import Failure
from tests.helpers import NOW, FakeClock, jail_settings
from tests.test_ignore import FakeAsker, FakeHosts

#: Fails once as many ids, and prints how many bytes each has cost.
_MEASURE = """
    import sys, tracemalloc
    from ipaddress import IPv4Address
    from fail2ban.decide.tracker import Tracker
    from fail2ban.records import Failure
    count, length = 30_000, int(sys.argv[1])
    tracker = Tracker(5, 600, capacity=count)
    tracemalloc.start()
    for number in range(count):
        line = f"{number:06}".ljust(length, "x")
        tracker.add(Failure("sshd", IPv4Address(number), float(number // 100), (line,)), 600.0)
        if number % 1000 == 0:
            tracker.changed()
    tracker.changed()
    print(tracemalloc.get_traced_memory()[0] / count)
"""


@pytest.mark.parametrize(("length", "most"), [(1, 300), (100, 400), (5000, 550)])
def test_an_id_that_failed_once_costs_a_few_hundred_bytes(length: int, most: int) -> None:
    measure = [sys.executable, "-c", textwrap.dedent(_MEASURE), str(length)]
    done = subprocess.run(measure, capture_output=True, text=True, check=True)
    assert float(done.stdout) < most


#: Bans as many ids, with a line each, and prints how many bytes each has cost.
_MEASURE_BANS = """
    import tracemalloc
    from ipaddress import IPv4Address
    from fail2ban.decide.bans import Bans
    from fail2ban.decide.history import Memory
    from fail2ban.decide.timer import Timer
    from fail2ban.records import Ticket
    count = 30_000
    bans, history = Bans(Timer(float, float), lambda *order: None), Memory()
    tracemalloc.start()
    for number in range(count):
        line = f"{number:06}".ljust(100, "x")
        entry = bans.ban(Ticket("sshd", IPv4Address(number), 5, 0.0, (line,)), 600.0, 0.0)
        assert entry is not None
        entry.part("nftables").touched = True
        history.add(entry.ban)
    print(tracemalloc.get_traced_memory()[0] / count)
"""


def test_a_ban_costs_little_more_than_a_kilobyte() -> None:
    measure = [sys.executable, "-c", textwrap.dedent(_MEASURE_BANS)]
    done = subprocess.run(measure, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1500


def test_in_a_crowd_only_the_first_line_is_kept_and_the_last_is_told() -> None:
    tracker = Tracker(3, 600)
    for number in range(CROWD + 1):
        tracker.add(Failure("sshd", IPv4Address(number), NOW, ("x",)), NOW)
    for text in ("a" * 5000, "b"):
        assert tracker.add(Failure("sshd", IPv4Address(2**31), NOW, (text,)), NOW) is None
    ticket = tracker.add(Failure("sshd", IPv4Address(2**31), NOW, ("c", "d")), NOW)
    assert ticket is not None and ticket.failures == 3
    assert ticket.lines == ("a" * CROWD_LENGTH, "c", "d")


class Shelf:
    """A store that takes everything and keeps nothing."""

    def save(self, batch: Batch) -> None:
        for done in batch.done:
            done()


class World:
    """A section under attack, whose bans are carried out at once."""

    def __init__(self) -> None:
        self.clock, self.orders = FakeClock(), list[tuple[Verb, Entry]]()
        self.timer = Timer(self.clock, self.clock)
        self.bans = Bans(self.timer, lambda *order: self.orders.append(order), Shelf())
        self.history, self.keeping = Memory(age=30.0, capacity=500), Keeping(Shelf())
        self.counters, hosts, events = Counters(self.clock), FakeHosts(), Events(self.clock)
        events.listen(self.counters.note)
        events.listen(self.keeping.note)
        court = Court(
            bans=self.bans,
            own=OwnAddresses(self.clock, frozenset),
            hosts=hosts,
            history=self.history,
            notices=Recording(notices.of(True), events),
            asker=FakeAsker(),
            events=events,
            clock=self.clock,
            ticks=self.clock,
        )
        self.judge = Judge(jail_settings(maxretry=2, findtime=20.0, bantime=10.0), court)
        self.judge.tracker.capacity = 500
        hosts.answer()

    def live(self, lines: int, rng: random.Random) -> None:
        """Hear so many failures, ten a second, half of them of ids that never come back."""
        for poll in range(lines // 100):
            self.clock.advance(10)
            self.judge.begin()
            for number in range(100):
                ip = IPv4Address(rng.randrange(100) if number % 2 else rng.randrange(2**32))
                self.judge.hear(Failure("SSH", ip, self.clock(), (f"line {poll} {number}",)))
            self.judge.done({"log": str(poll)})
            self.judge.forget(self.clock())
            self.timer.step()
            for verb, entry in self.orders:
                if verb is Verb.UNBAN:
                    self.bans.remove(entry)
            self.orders.clear()

    def sizes(self) -> dict[str, int]:
        """Return how many things each of the parts holds."""
        tracker, docket, keeping = self.judge.tracker, self.judge._docket, self.keeping
        return {
            "suspicions": len(tracker),
            "changed": len(tracker._changed),
            "bans": len(self.bans.of("SSH")),
            "timer": len(self.timer),
            "history": len(self.history),
            "waiting": len(docket._banned) + len(docket._waiting) + len(docket._moved),
            "kept": len(keeping._kept) + len(keeping._surplus),
            "counted": len(self.counters.read().events),
        }


def test_two_hundred_thousand_failures_leave_nothing_behind() -> None:
    world, rng = World(), random.Random(7)
    world.live(10_000, rng)
    early = world.sizes()
    world.live(190_000, rng)
    late = world.sizes()
    assert early.keys() == late.keys()
    assert all(late[part] <= 1.5 * early[part] + 50 for part in late), (early, late)
    assert early["bans"] and early["history"] and early["suspicions"]
