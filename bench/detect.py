# SPDX-License-Identifier: GPL-2.0-or-later
"""Our detection alone: lines -> failures, through the parts that the daemon runs.

A program of its own, so that it can run the code of any checkout (PYTHONPATH):

    python detect.py CONFIG [--list | --profile FILE]

CONFIG is what the daemon would get, a file or a tree. Each of its sections in turn reads
its logs to their end, on the main thread. Prints one JSON object: `lines` read and
`failures` found by all sections together, `seconds` of wall time and `cpu` of processor
time that reading took, without the start; with `--list` also `found`, a list of [time,
address] in the order of the log.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import logging
import pstats
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fail2ban import collector
from fail2ban.config import classic, tree
from fail2ban.jail import Jail, Services
from fail2ban.ledger import Remembered
from fail2ban.plan import Plan, make_plan
from fail2ban.records import Failure, StoreSettings
from fail2ban.works import Links, Works

#: Lines of a profile.
SHOWN = 45


def main() -> int:
    """Read what a configuration says; print what was found."""
    parser = argparse.ArgumentParser(description="detection alone, of a whole log")
    parser.add_argument("config", type=Path)
    parser.add_argument("--list", action="store_true", help="print each failure")
    parser.add_argument("--profile", type=Path, help="write where the time goes")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    collector.calm()  # as the daemon does when it starts, and when it has
    jails = _jails(_plan(arguments.config))
    collector.settle()
    found: list[Failure] = []
    count = 0

    def note(failure: Failure) -> None:
        nonlocal count
        count += 1

    for jail in jails:
        jail.reader.report = found.append if arguments.list else note
    seconds, cpu = _measured(lambda: _read_all(jails), arguments.profile)
    answer: dict[str, object] = {
        "lines": sum(jail.reader.lines for jail in jails),
        "failures": len(found) or count,
        "seconds": seconds,
        "cpu": cpu,
    }
    if arguments.list:
        answer["found"] = [[failure.time, str(failure.ip)] for failure in found]
    print(json.dumps(answer))
    return 0


def _plan(path: Path) -> Plan:
    plan = make_plan(tree.load(path) if path.is_dir() else classic.load(path))
    if plan.errors:
        sys.exit("\n".join(str(problem) for problem in plan.errors))
    return plan


def _jails(plan: Plan) -> list[Jail]:
    """Make the sections as the daemon does; they remember nothing and ban nobody."""
    assert plan.settings is not None
    settings = replace(plan.settings, store=StoreSettings(file=""))
    works = Works(
        settings,
        plan.jails,
        Links(
            settings=lambda: settings,
            guard=lambda name, body: None,
            ring=lambda: None,
            shell=lambda *arguments, **named: None,
            applied=lambda ban: None,
            give_up=lambda reason: None,
            act=lambda jails, anew: None,
        ),
    )
    services: Services = replace(works.services, load=lambda name: Remembered())
    return [Jail(one, plan.filters[one.name], services) for one in plan.jails]


def _read_all(jails: list[Jail]) -> None:
    for jail in jails:
        jail.reader.poll()
        # A long log is read in shares.
        while jail.reader.source.due() <= 0:
            jail.reader.poll()


def _measured(work: Callable[[], None], profile: Path | None) -> tuple[float, float]:
    """Do it; return its wall time and its processor time."""
    profiler = cProfile.Profile() if profile else None
    begin, cpu = time.perf_counter(), time.process_time()
    if profiler:
        profiler.runcall(work)
    else:
        work()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    if profiler and profile:
        text = io.StringIO()
        for order in ("tottime", "cumulative"):
            pstats.Stats(profiler, stream=text).strip_dirs().sort_stats(order).print_stats(SHOWN)
        profile.write_text(text.getvalue(), encoding="utf-8")
    return seconds, cpu


if __name__ == "__main__":
    sys.exit(main())
