# SPDX-License-Identifier: GPL-2.0-or-later
"""From a line in a log to an address in a set of the kernel: latency, storms, restores.

All daemons ban with nftables. Times are those at which the kernel announced the element.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles

from bench import generate, proc
from bench.kernel import Elements
from bench.programs import CLASSIC, OURS, POLLING, Contender, JailSpec, Running
from bench.results import Row, Spread, interleaved, row
from bench.rows import Maker, Workshop

#: Logs of other jails that grow meanwhile, and lines a second for each.
BUSY, PACE = 2, 2000
#: Seconds that a lone ban may take before it counts as never done.
LONE = 10.0
#: Seconds of rest after a start.
SETTLE = 0.5
#: Seconds of processor time, and of that many, of a daemon that rests.
RESTING, REST = 0.02, 0.5


@contextmanager
def _guarded(
    shop: Workshop, contender: Contender, jails: Sequence[JailSpec], elements: Elements
) -> Iterator[Running]:
    """Run a daemon until it has banned somebody, so that all is set up."""
    shop.clear_firewall()
    shop.stage.fresh(contender)
    for jail in jails:
        jail.log.write_bytes(b"")
    with shop.stage.start(contender, jails) as daemon:
        daemon.wait_ready()
        _write(jails[0].log, "203.0.113.1")
        if elements.when("203.0.113.1", 30.0) is None:
            raise proc.Failed(f"{contender.name} bans nobody:\n{daemon.log.read_text()[-2000:]}")
        time.sleep(SETTLE)
        elements.forget()
        yield daemon
        daemon.stop(5.0)
    shop.clear_firewall()


def _write(log: Path, *ips: str) -> float:
    """Let addresses attack at once; return when."""
    now = time.time()
    text = "".join(generate.attack(ip, now, number) + "\n" for number, ip in enumerate(ips))
    begin = time.monotonic()
    with log.open("ab", buffering=0) as file:
        file.write(text.encode())
    return begin


# Latency ------------------------------------------------------------------------------


def _latency(shop: Workshop, names: tuple[str, ...], busy: bool) -> Iterator[Row]:
    contenders = shop.contenders(polling=True)
    times: dict[str, list[float]] = {one.name: [] for one in contenders}
    medians: dict[str, list[float]] = {one.name: [] for one in contenders}
    with shop.scratch("logs") as folder, Elements() as elements:
        for number in range(shop.sizes.slow_rounds):
            for one in contenders:
                shop.say(f"  {one.name}, round {number + 1}")
                slow = one is POLLING
                count = shop.sizes.slow_attackers if slow else shop.sizes.attackers
                found = _round(shop, one, folder, elements, count, busy)
                times[one.name] += found
                medians[one.name].append(Spread.of(found).median)
    state = f"with {BUSY} other jails that read {PACE} lines/s each" if busy else "idle"
    notes = [f"{name}: {len(some)} attackers, one at a time" for name, some in times.items()]
    what = f"line -> address in the kernel, {state}"
    yield _milliseconds(row(names[0], f"{what}: median", "ms", medians, False, notes))
    tails = {name: [_percentile(some, 99)] for name, some in times.items()}
    yield _milliseconds(row(names[1], f"{what}: 99th percentile", "ms", tails, False))


def _milliseconds(row: Row) -> Row:
    values = {
        name: Spread(s.median * 1e3, s.low * 1e3, s.high * 1e3, s.count)
        for name, s in row.values.items()
    }
    return Row(**{**vars(row), "values": values})


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _round(
    shop: Workshop, one: Contender, folder: Path, elements: Elements, count: int, busy: bool
) -> list[float]:
    """Let some attackers come, one after the other; return the seconds that each had."""
    jails = [JailSpec("sshd", folder / "sshd.log")]
    others = [folder / f"busy{number}.log" for number in range(BUSY if busy else 0)]
    jails += [JailSpec(log.stem, log, maxretry=5, bans=False) for log in others]
    rng = random.Random(generate.SEED)
    with _guarded(shop, one, jails, elements), _pouring(others):
        found = []
        for number in range(count):
            # At no particular moment of its rhythm.
            time.sleep(rng.uniform(0.03, 0.15))
            ip = f"198.18.{number >> 8}.{number & 255}"
            begin = _write(jails[0].log, ip)
            banned = elements.when(ip, LONE)
            found.append(LONE if banned is None else banned - begin)
        return found


@contextmanager
def _pouring(logs: Sequence[Path]) -> Iterator[None]:
    if not logs:
        yield
        return
    command = [sys.executable, "-m", "bench.pour", str(PACE), *map(str, logs)]
    with subprocess.Popen(command) as process:
        try:
            time.sleep(1.0)
            yield
        finally:
            process.kill()


# Storms -------------------------------------------------------------------------------


def _storms(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    with shop.scratch("logs") as folder, Elements() as elements:
        for name, count, contenders in (
            (names[0], shop.sizes.storms, shop.contenders()),
            (names[1], shop.sizes.storm, [OURS, CLASSIC]),
        ):
            shop.say(f"  {count:,} at once")
            runs = {
                one.name: partial(_storm, shop, one, folder, elements, count) for one in contenders
            }
            values = interleaved(runs, shop.sizes.slow_rounds)
            notes = _rates(count, values)
            what = f"{count:,} attackers at once -> all in the kernel"
            yield row(name, what, "s", values, False, notes)


def _storm(shop: Workshop, one: Contender, folder: Path, elements: Elements, count: int) -> float:
    """Return the seconds until all are banned."""
    jail = JailSpec("sshd", folder / "sshd.log")
    with _guarded(shop, one, [jail], elements):
        begin = _write(jail.log, *map(generate.attacker, range(count)))
        return _until(elements, begin, count, shop.sizes.patience)


def _until(elements: Elements, begin: float, count: int, patience: float) -> float:
    """Return the seconds until so many have come; estimated, where that takes too long.

    Infinite, if nobody has come at all.
    """
    there = elements.count(count, patience)
    if not there:
        return math.inf
    seconds = max(elements.seen.values()) - begin
    return seconds if there >= count else seconds * count / there


def _rates(count: int, values: dict[str, list[float]]) -> list[str]:
    rates = (
        f"{name} {count / Spread.of(some).median:,.0f}" for name, some in values.items() if some
    )
    return [f"bans/s: {', '.join(rates)}"]


# Restore and stop ---------------------------------------------------------------------


def _restore(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    contenders = shop.contenders()
    measured: dict[str, list[_Restored]] = {one.name: [] for one in contenders}
    empty: dict[str, float] = {}
    with shop.scratch("logs") as folder, Elements() as elements:
        for one in contenders:
            count = _bans_of(shop, one)
            shop.say(f"  {one.name}: {count:,} bans are made")
            empty[one.name] = _empty(shop, one, folder)
            _fill(shop, one, folder, count)
        for number in range(shop.sizes.slow_rounds):
            for one in contenders:
                shop.say(f"  {one.name}, round {number + 1}")
                count = _bans_of(shop, one)
                measured[one.name].append(_restored(shop, one, folder, elements, count))
    yield from _restore_rows(names, measured)
    sizes = {
        program: [(one.memory - empty[program]) / one.bans for one in some]
        for program, some in measured.items()
    }
    yield row(names[2], "memory for each ban in force", "bytes", sizes, False)


class _Restored:
    """What a start with stored bans took: seconds, bytes; of so many `bans`.

    Attributes:
        cut_off: it took too long; the seconds are estimated.
    """

    def __init__(self, bans: int) -> None:
        self.bans, self.cut_off = bans, False
        self.ready = self.kernel = self.stop = self.memory = 0.0


def _bans_of(shop: Workshop, one: Contender) -> int:
    return shop.sizes.peer_bans if one.kind == "peer" else shop.sizes.bans


def _empty(shop: Workshop, one: Contender, folder: Path) -> float:
    """Return the memory of a daemon that has banned nobody."""
    log = folder / "sshd.log"
    log.write_bytes(b"")
    shop.clear_firewall()
    shop.stage.fresh(one)
    with shop.stage.start(one, [JailSpec("sshd", log)]) as daemon:
        daemon.wait_ready()
        time.sleep(SETTLE)
        size = proc.memory(daemon.pid)
        daemon.stop(5.0)
    return float(size)


def _fill(shop: Workshop, one: Contender, folder: Path, count: int) -> None:
    """Let a daemon ban so many, without commands, and end: they are in its database."""
    log = folder / "sshd.log"
    shop.stage.fresh(one)
    ips = [generate.attacker(number) for number in range(count)]
    log.write_bytes(b"")
    _write(log, *ips)
    with shop.stage.start(one, [JailSpec("sshd", log, bans=False)]) as daemon:
        daemon.wait_for(r"\bBan\b", 300.0, times=count)
        if daemon.stop(300.0) is None:
            raise proc.Failed(f"{one.name} does not end")


def _restored(
    shop: Workshop, one: Contender, folder: Path, elements: Elements, count: int
) -> _Restored:
    shop.clear_firewall()
    elements.forget()
    log = folder / "sshd.log"
    log.write_bytes(b"")
    result = _Restored(count)
    with shop.stage.start(one, [JailSpec("sshd", log)]) as daemon:
        daemon.wait_ready(shop.sizes.patience + 200)
        result.ready = daemon.ready_after
        result.kernel = _until(elements, daemon.begin, count, shop.sizes.patience)
        result.cut_off = len(elements.seen) < count
        _wait_for_rest(daemon, shop.sizes.patience)  # it tells of its bans, and stores them
        result.memory = proc.memory(daemon.pid)
        begin = time.monotonic()
        ended = daemon.stop(shop.sizes.patience)
        result.stop = time.monotonic() - begin if ended is None else ended
    shop.clear_firewall()
    return result


def _wait_for_rest(daemon: Running, patience: float) -> None:
    """Wait until a daemon does nothing for a moment."""
    deadline, before = time.monotonic() + patience, -1.0
    while daemon.cpu() - before > RESTING and time.monotonic() < deadline:
        before = daemon.cpu()
        time.sleep(REST)


def _restore_rows(names: tuple[str, ...], measured: dict[str, list[_Restored]]) -> Iterator[Row]:
    """Rows of rates: the peer has fewer bans, or it would take hours."""
    phases: Sequence[tuple[str, str, Callable[[_Restored], float]]] = (
        (names[0], "stored bans -> kernel, from the start on", lambda one: one.kernel),
        (names[1], "bans in force -> the end of the daemon", lambda one: one.stop),
    )
    for name, what, seconds in phases:
        values = {
            program: [one.bans / max(seconds(one), 1e-3) for one in some]
            for program, some in measured.items()
        }
        notes = [
            f"{program}: {some[0].bans:,} bans in {Spread.of([seconds(o) for o in some]).median:.2f}"
            f" s; says that it runs after {Spread.of([o.ready for o in some]).median:.2f} s;"
            f" resident {Spread.of([o.memory for o in some]).median / 1e6:.1f} MB"
            + ("; estimated, for it was cut off" if any(o.cut_off for o in some) else "")
            for program, some in measured.items()
        ]
        facts = {
            f"seconds, {p}": Spread.of(list(map(seconds, s))).median for p, s in measured.items()
        }
        facts |= {
            f"memory, {p}": Spread.of([o.memory for o in s]).median for p, s in measured.items()
        }
        yield row(name, what, "bans/s", values, True, notes, facts=facts)


MAKERS = (
    Maker(
        ("latency", "latency-99"), "a lone attacker: line -> kernel, idle",
        lambda shop, names: _latency(shop, names, busy=False), firewall=True,
    ),
    Maker(
        ("latency-busy", "latency-busy-99"), "a lone attacker: line -> kernel, under load",
        lambda shop, names: _latency(shop, names, busy=True), firewall=True,
    ),
    Maker(("storm", "storm-large"), "many attackers at once -> kernel", _storms, firewall=True),
    Maker(("restore", "stop", "ban-memory"), "start and stop with stored bans", _restore, firewall=True),
)  # fmt: skip
