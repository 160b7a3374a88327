# SPDX-License-Identifier: GPL-2.0-or-later
"""The limits: what nobody who does our work on this machine could beat by much."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import generate, proc
from bench.detection import FEW, Log, make_log
from bench.programs import Contender, JailSpec, write_classic
from bench.results import Row, interleaved, row
from bench.rows import Maker, Workshop

SCAN = Path(__file__).with_name("scan.py")
_SET = "add table inet bench; add set inet bench some { type ipv4_addr; flags timeout; }\n"


def _reading(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    shop.say("  writing a log")
    log = make_log(
        shop.folder / "limits.log", 0.001, generate.auth(shop.sizes.lines, 0.001, time.time())
    )
    folder = shop.stage.fresh(Contender("limits", "classic"))
    sample = shop.stage.ours / "config/fail2ban.conf.nftables"
    config = write_classic(sample, folder, [JailSpec("SSH", log.path, bans=False)])
    runs: dict[str, Callable[[], float]] = {
        "grep -c": lambda: _rate(log, ["grep", "-c", "sshd.*Failed password for", str(log.path)]),
        "wc -l": lambda: _rate(log, ["wc", "-l", str(log.path)]),
    }
    scan = [sys.executable, str(SCAN), str(config), str(log.path)]
    notes = []
    try:
        proc.run(scan, environment=shop.stage.environment)
    except proc.Failed as error:
        notes.append(f"no scan: {str(error).strip().splitlines()[-1]}")
    else:
        runs["ours: Hyperscan alone"] = lambda: (
            log.count / max(float(proc.run(scan, environment=shop.stage.environment).output), 1e-6)
        )
    values = interleaved(runs, shop.sizes.rounds)
    log.path.unlink()
    yield row(names[0], "auth.log, 0.1 % attack lines: limits", "lines/s", values, notes=notes)


def _rate(log: Log, command: list[str]) -> float:
    done = proc.run(command)
    return log.count / max(done.cpu, 1e-6)


def _kernel(shop: Workshop, names: tuple[str, ...]) -> Iterator[Row]:
    count = shop.sizes.elements
    batch = shop.folder / "batch.nft"
    ips = ", ".join(f"{generate.attacker(n)} timeout 1d" for n in range(count))
    batch.write_text(f"add element inet bench some {{ {ips} }}\n")

    def empty() -> None:
        shop.clear_firewall()
        proc.run(["nft", _SET])

    def many() -> float:
        empty()
        return count / proc.run(["nft", "-f", str(batch)]).wall

    def single() -> float:
        empty()
        walls = [
            proc.run(["nft", f"add element inet bench some {{ {generate.attacker(n)} }}"]).wall
            for n in range(FEW)
        ]
        return 1 / (sum(walls) / len(walls))

    values = interleaved({f"nft -f, {count:,} elements": many, "one nft each": single}, 3)
    shop.clear_firewall()
    yield row(names[0], "elements into a set of the kernel: limits", "elements/s", values)


MAKERS = (
    Maker(("limits-log",), "Hyperscan alone, grep, wc", _reading, peers=False),
    Maker(("limits-nft",), "one nft for all, one for each", _kernel, firewall=True, peers=False),
)
