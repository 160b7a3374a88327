# SPDX-License-Identifier: GPL-2.0-or-later
"""What it costs to have a daemon: wake-ups and processor time when idle, memory, the start."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import generate, proc
from bench.detection import TRIES, make_log
from bench.programs import CLASSIC, Contender, JailSpec, Running
from bench.results import Row, interleaved, row
from bench.rows import Maker, Workshop

TRACKED = Path(__file__).with_name("tracked.py")
#: Seconds after a start in which a daemon still has something to do.
SETTLE = 3.0
#: Of the lines of a log, how many are attacks; and how often it is read.
SHARE, TIMES = 0.001, 4


def _jails(folder: Path, count: int) -> list[JailSpec]:
    """Return sections that ban nobody, each with an empty log."""
    jails = [JailSpec(f"jail{n}", folder / f"{n}.log", bans=False) for n in range(count)]
    for jail in jails:
        jail.log.touch()
    return jails


def _ready(daemon: Running, one: Contender, count: int, patience: float) -> None:
    """Wait until all sections read."""
    if one.kind == "peer":
        daemon.wait_for(r"Jail '\S+' started", patience, times=count)
    else:
        daemon.wait_ready(patience)


def _idle(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    contenders, count = shop.contenders(polling=True), shop.sizes.jails
    wakeups: dict[str, list[float]] = {one.name: [] for one in contenders}
    shares: dict[str, list[float]] = {one.name: [] for one in contenders}
    with shop.scratch("logs") as folder:
        jails = _jails(folder, count)
        for number in range(min(2, shop.sizes.slow_rounds)):
            for one in contenders:
                shop.say(f"  {one.name}, round {number + 1}")
                woken, share = _rest(shop, one, jails)
                wakeups[one.name].append(woken)
                shares[one.name].append(share)
    what = f"{count} sections, all logs at rest"
    yield row(names[0], f"{what}: wake-ups", "/s", wakeups, False)
    yield row(names[1], f"{what}: processor time", "% of a core", shares, False)


def _rest(shop: Workshop, one: Contender, jails: list[JailSpec]) -> tuple[float, float]:
    """Return wake-ups a second, and percent of a core."""
    shop.stage.fresh(one)
    with shop.stage.start(one, jails) as daemon:
        _ready(daemon, one, len(jails), shop.sizes.patience)
        time.sleep(min(SETTLE, shop.sizes.rest))
        woken, used = proc.wakeups(daemon.pid), proc.threads_cpu(daemon.pid)
        begin = time.monotonic()
        time.sleep(shop.sizes.rest)
        seconds = time.monotonic() - begin
        woken, used = proc.wakeups(daemon.pid) - woken, proc.threads_cpu(daemon.pid) - used
        daemon.stop(5.0)
    return woken / seconds, 100 * used / seconds


def _memory(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    with shop.scratch("logs") as folder:
        jails = _jails(folder, 1)
        runs = {one.name: partial(_resident, shop, one, jails) for one in shop.contenders()}
        values = interleaved(runs, shop.sizes.slow_rounds)
    yield row(names[0], "one section: resident memory", "MB", values, False)


def _resident(shop: Workshop, one: Contender, jails: list[JailSpec]) -> float:
    shop.stage.fresh(one)
    with shop.stage.start(one, jails) as daemon:
        _ready(daemon, one, 1, shop.sizes.patience)
        time.sleep(min(SETTLE, shop.sizes.rest))
        size = proc.memory(daemon.pid)
        daemon.stop(5.0)
    return size / 1e6


def _start(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    """Start many sections for the second time, when what may be cached is."""
    contenders, count = shop.contenders(), shop.sizes.started
    with shop.scratch("logs") as folder:
        jails = _jails(folder, count)
        for one in contenders:
            shop.stage.fresh(one)
            _starting(shop, one, jails)
        runs = {one.name: partial(_starting, shop, one, jails) for one in contenders}
        values = interleaved(runs, shop.sizes.slow_rounds)
    yield row(names[0], f"start with {count} sections, again", "s", values, False)


def _starting(shop: Workshop, one: Contender, jails: list[JailSpec]) -> float:
    with shop.stage.start(one, jails) as daemon:
        _ready(daemon, one, len(jails), shop.sizes.patience)
        seconds = time.monotonic() - daemon.begin
        daemon.stop()
    return seconds


def _tracked(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    count = shop.sizes.tracked

    def size(*flags: str) -> float:
        command = [sys.executable, str(TRACKED), str(count), *flags]
        return float(proc.run(command, environment=shop.stage.environment).output)

    values = {"ours": [size("--no-lines")], "ours, with the line": [size()]}
    what = f"{count:,} tracked addresses: memory for each"
    yield row(names[0], what, "bytes", values, False)


def _growth(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    """Read one log again and again, and see what stays in memory."""
    shop.say("  writing a log")
    source, count = shop.folder / "growth.log", shop.sizes.lines
    make_log(source, SHARE, generate.auth(count, SHARE, time.time()))
    contender = CLASSIC
    with shop.scratch("logs") as folder:
        jail = JailSpec("sshd", folder / "sshd.log", maxretry=TRIES, bans=False)
        jail.log.touch()
        shop.stage.fresh(contender)
        with shop.stage.start(contender, [jail]) as daemon:
            daemon.wait_ready()
            sizes = [_after(shop, daemon, source, jail.log, number) for number in range(TIMES)]
            daemon.stop()
    source.unlink()
    what = f"growth of memory from {count:,} lines to {TIMES * count:,}"
    grown = max(0.0, sizes[-1] - sizes[0]) / 1e6
    shown = ", ".join(f"{size / 1e6:.1f}" for size in sizes)
    notes = [f"MB after each {count:,} lines: {shown}"]
    yield row(names[0], what, "MB", {contender.name: [grown]}, False, notes)


def _after(shop: Workshop, daemon: Running, source: Path, log: Path, number: int) -> float:
    """Append a log to the one that is watched; return the memory when it is read."""
    last = f"203.0.113.{number + 1}"
    with source.open("rb") as some, log.open("ab") as file:
        shutil.copyfileobj(some, file, 1 << 20)
        file.write((generate.attack(last, time.time()) + "\n").encode() * TRIES)
    daemon.wait_for(rf"\bBan\b.* {re.escape(last)}$", shop.sizes.patience)
    # The log is read; what it was read into may be let go.
    log.write_bytes(b"")
    time.sleep(min(SETTLE, shop.sizes.rest))
    return float(proc.memory(daemon.pid))


MAKERS = (
    Maker(("wakeups", "idle"), "many sections at rest", _idle, firewall=True),
    Maker(("memory",), "memory with one section", _memory, firewall=True),
    Maker(("growth",), "memory after millions of lines", _growth, firewall=True, peers=False),
    Maker(("start",), "start with many sections", _start, firewall=True),
    Maker(("tracked",), "memory for each tracked address", _tracked, peers=False),
)
