# SPDX-License-Identifier: GPL-2.0-or-later
"""The store of a process that is killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from fail2ban.ledger import Remembered
from fail2ban.records import StoreSettings
from fail2ban.store import Store

#: Fixed, so that a failure can be seen again.
SEEDS = range(50)

#: Of one batch there are so many parts in each of four tables.
PARTS = 5

# Saves batch after batch, each a mark and suspects, bans and records that carry its
# number, and tells the number of each that is durable.
_CHILD = """
import os, sys, threading, time
from dataclasses import replace
from ipaddress import ip_address
from fail2ban.events import Event
from fail2ban.ledger import Batch, Record, Suspect
from fail2ban.records import Ban, StoreSettings, Ticket
from fail2ban.store import Store
store = Store(StoreSettings(sys.argv[1]))
store.open()
threading.Thread(target=store.run, args=(threading.Event(),), daemon=True).start()
now, first = time.time(), ip_address("198.51.100.0")
for number in range(int(sys.argv[2]), 1 << 40):
    batch = Batch(marks={("sshd", "log"): str(number)})
    for part in range(int(sys.argv[3])):
        key = "sshd", first + part
        batch.suspects[key] = Suspect((now + number,), ((now, ("x" * 200,)),))
        batch.bans[key] = Ban(float(number), None, Ticket("sshd", key[1], number, now))
        batch.records[key] = Record(number, now, None)
        batch.events.append(Event(now, "found", *key, {"number": number}))
    batch.done.append(lambda number=number: os.write(1, b"%d\\n" % number))
    store.save(batch)
    time.sleep(0.0002)
"""


def killed(file: Path, begin: int, seconds: float) -> int:
    """Run the child from a number on, kill it; return the last number it told."""
    command = [sys.executable, "-c", _CHILD, str(file), str(begin), str(PARTS)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": _root()}
    ) as child:
        assert child.stdout is not None
        told = child.stdout.readline()
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
    lines = (told + rest).split(b"\n")[:-1]
    assert lines, "the child has told nothing"
    return int(lines[-1])


def _root() -> str:
    return str(Path(__file__).parents[1])


def whole(found: Remembered, records: dict[object, int]) -> int:
    """Return the number of the last batch, after a look at whether all of it is there."""
    number = int(found.marks["log"])
    ids = {ip_address("198.51.100.0") + part for part in range(PARTS)}
    assert {ban.id: ban.ticket.failures for ban in found.bans} == dict.fromkeys(ids, number)
    assert records == dict.fromkeys(ids, number)
    assert set(found.suspects) == ids
    assert len({suspect.times for suspect in found.suspects.values()}) == 1
    return number


@pytest.mark.parametrize("rounds", [SEEDS[begin : begin + 10] for begin in range(0, 50, 10)])
def test_after_a_kill_each_batch_is_there_as_a_whole_and_none_that_was_told_is_missing(
    rounds: range, tmp_path: Path
) -> None:
    file, last = tmp_path / "db", 0
    for seed in rounds:
        told = killed(file, last + 1, random.Random(seed).uniform(0, 0.1))
        store = Store(StoreSettings(str(file)))
        store.open()
        assert store.health().file == str(file)
        records = {id: record.bans for _, id, record in store.records()}
        last = whole(store.load("sshd"), records)
        assert last >= told
        events = store.ask(lambda queries: queries.events(10**6))
        numbers = [event.facts["number"] for event in events]
        assert numbers == [number for number in range(1, last + 1) for _ in range(PARTS)]
        store.close()
