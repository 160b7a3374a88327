# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is killed at hundreds of moments, and nothing is lost or counted twice.

A real log writer goes on all the time, a real nftables holds the bans, and the moments
are drawn from a fixed seed (promises D2, F6 and S1).
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import ROOT, RunningDaemon, wait_until
from tests.netns import Namespace

pytestmark = [needs.root(), needs.programs("nft")]

SEED, KILLS, MAXRETRY = 20260101, 200, 30
#: Kills between two looks at everything, while the writer rests.
ROUND = 25
#: Kills between two rotations. Before the next one the daemon may live until it has
#: read what there is: of two generations that nobody has read, one is lost.
GENERATION = 7
#: Seconds from the start of the daemon to its death: also long before it is ready.
EARLIEST, LATEST = 0.02, 1.1

CONFIG = """\
[DEFAULT]
polltime = 0.05
reinittime = 1
bantime = 1d
findtime = 1d
maxfailures = {maxretry}
ignoreip =
[SSH]
enabled = true
logfile = {log}
failregex = failed login of .* from <HOST>$
fwstart = nft add table inet f2b; nft 'add set inet f2b banned {{ type ipv4_addr; }}'
fwend = nft delete table inet f2b
fwcheck = nft list set inet f2b banned > /dev/null
fwban = nft add element inet f2b banned '{{ <ip> }}'
fwunban = nft delete element inet f2b banned '{{ <ip> }}'
"""


class Writer:
    """The program of `attackers.py`."""

    def __init__(self, log: Path) -> None:
        script = str(ROOT / "tests" / "e2e" / "attackers.py")
        self._process = subprocess.Popen(
            [sys.executable, script, str(log), str(SEED), str(MAXRETRY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, word: str) -> Counter[str]:
        """Let it pause, go on or rotate; return who has failed so far, and how often."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return Counter(json.loads(self._process.stdout.readline()))

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def writing(log: Path) -> Iterator[Writer]:
    writer = Writer(log)
    try:
        yield writer
    finally:
        writer.end()


class Scene:
    """The daemon, the kernel's set, and what was ever told."""

    def __init__(self, folder: Path, host: Namespace) -> None:
        self.log, self._host = folder / "auth.log", host
        self._store = folder / "state.sqlite3"
        self.log.touch()
        config = CONFIG.format(log=self.log, maxretry=MAXRETRY)
        self.daemon = RunningDaemon(folder, config, namespace=host)

    def catch_up(self) -> None:
        """Wait until the daemon has stored that it has read all that there is by now."""
        status = self.log.stat()

        def read() -> bool:
            places = [json.loads(mark) for mark in self._marks()]
            return any(
                place["ident"][1] == status.st_ino and place["begun"][0] >= status.st_size
                for place in places
                if not place.get("left")
            )

        # A line that is being written is not read yet.
        wait_until(read, explain=lambda: f"{status}\n{self._marks()}\n{self.daemon.log()[-3000:]}")

    def _marks(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(f"file:{self._store}?mode=ro", uri=True)) as store:
            found = store.execute("SELECT mark FROM marks WHERE jail = 'SSH' AND key LIKE 'log:%'")
            return [mark for (mark,) in found]

    def kernel(self) -> set[str]:
        """Return whom the kernel keeps out."""
        done = self._host.run("nft -j list set inet f2b banned", check=False)
        if done.returncode:
            return set()
        found = (one["set"] for one in json.loads(done.stdout)["nftables"] if "set" in one)
        return {ip for one in found for ip in one.get("elem", [])}

    def told(self) -> set[str]:
        """Return of whom it was ever said that he is banned."""
        return set(
            re.findall(r"SSH: (?:Restore )?Ban \(86400 s\) (\S+)$", self.daemon.log(), re.MULTILINE)
        )

    def fail(self, counts: Counter[str]) -> None:
        """Log so many more failures of each."""
        moment = time.strftime("%b %d %H:%M:%S")
        with self.log.open("a") as log:
            for ip in counts.elements():
                log.write(f"{moment} host sshd: failed login of root from {ip}\n")

    def holds(self, expected: set[str]) -> None:
        """Wait until the kernel keeps out these and nobody else, and all of them are told."""

        def explain() -> str:
            kernel = self.kernel()
            lacks, has = expected - kernel, kernel - expected
            untold = expected - self.told()
            return f"lacks {lacks}, has {has}, untold {untold}\n{self.daemon.log()[-6000:]}"

        wait_until(lambda: self.kernel() == expected == self.told(), explain=explain)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Namespace("killed") as host:
        scene = Scene(tmp_path, host)
        yield scene
        if scene.daemon.running:
            scene.daemon.kill9()


def _enough(counts: Counter[str]) -> set[str]:
    return {ip for ip, count in counts.items() if count >= MAXRETRY}


def test_nothing_is_lost_and_nothing_counted_twice_whenever_it_is_killed(scene: Scene) -> None:
    moments = random.Random(SEED)
    scene.daemon.start()  # the first start begins at the end of the past
    with writing(scene.log) as writer:
        writer.say("go")
        for number in range(1, KILLS + 1):
            # A log is rotated while the daemon is away, or while it starts or reads.
            rotates, early = number % GENERATION == 0, moments.random() < 0.5
            if rotates and early:
                writer.say("rotate")
            if not scene.daemon.running:
                scene.daemon.launch()
            time.sleep(moments.uniform(EARLIEST, LATEST))
            if rotates and not early:
                writer.say("rotate")
                time.sleep(moments.uniform(0.0, EARLIEST))
            if number % GENERATION == GENERATION - 1:
                scene.catch_up()
            if number % ROUND == 0:
                scene.holds(_enough(writer.say("pause")))
                writer.say("go")
            assert scene.daemon.running, scene.daemon.log()[-6000:]
            scene.daemon.kill9()
        counts = writer.say("pause")
    scene.daemon.launch()
    scene.holds(_enough(counts))
    # Whoever was not banned has every failure of his counted, and none twice.
    others = Counter({ip: count for ip, count in counts.items() if count < MAXRETRY})
    assert others
    scene.fail(Counter({ip: MAXRETRY - 1 - count for ip, count in others.items()}))
    sentinel = "198.51.100.99"
    scene.fail(Counter({sentinel: MAXRETRY}))
    scene.holds({*_enough(counts), sentinel})
    scene.fail(Counter(others.keys()))
    scene.holds({*counts, sentinel})
    assert scene.daemon.stop() == 0
    assert scene.kernel() == set()
