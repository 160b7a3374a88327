# SPDX-License-Identifier: GPL-2.0-or-later
"""What was promised (DESIGN, section 6), and whether it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bench.detection import CLASSIC_NAME, PEER_NAME, SSHGUARD_NAME, UPSTREAM_NAME
from bench.programs import OURS
from bench.results import Claim, Row, at_least, at_most

_RATIO, _LOG = " x", "auth.log, {} % attack lines, lines/s"


def judge(rows: Iterable[Row]) -> list[Claim]:
    """Return every promise, with what was measured."""
    known = {row.name: row for row in rows if row.values and not row.wrong}
    return [*_detection(known), *_enforcement(known), *_cost(known)]


def _detection(rows: dict[str, Row]) -> Sequence[Claim]:
    few, many = _LOG.format("0.1"), _LOG.format("50")
    own = "with upstream's sshd filter"

    def ratio(name: str, ours: str, peer: str) -> float | None:
        spread = rows[name].ratios.get((ours, peer)) if name in rows else None
        return spread.median if spread else None

    def same(name: str) -> float | None:
        return rows[name].facts.get("identical") if name in rows else None

    return (
        at_least(f"{few}: ours/fail2ban", ratio("ssh-0.1", CLASSIC_NAME, PEER_NAME), 100, _RATIO),
        at_least(f"{few}: ours/sshguard", ratio("ssh-0.1", CLASSIC_NAME, SSHGUARD_NAME), 10, _RATIO),
        at_least(f"{many}: ours/fail2ban", ratio("ssh-50", CLASSIC_NAME, PEER_NAME), 16, _RATIO),
        at_least(f"{many}: ours/sshguard", ratio("ssh-50", CLASSIC_NAME, SSHGUARD_NAME), 1, _RATIO),
        at_least(f"{few}, {own}: ours/fail2ban", ratio("ssh-0.1", UPSTREAM_NAME, PEER_NAME), 20, _RATIO),
        at_least(f"{many}, {own}: ours/fail2ban", ratio("ssh-50", UPSTREAM_NAME, PEER_NAME), 8, _RATIO),
        at_least(f"{few}, {own}: identical failures (1: yes)", same("ssh-0.1-same"), 1, ""),
        at_least(f"{many}, {own}: identical failures (1: yes)", same("ssh-50-same"), 1, ""),
    )  # fmt: skip


def _enforcement(rows: dict[str, Row]) -> Sequence[Claim]:
    def milliseconds(name: str) -> float | None:
        return _slowest(rows, name)

    def seconds(name: str) -> float | None:
        if name not in rows:
            return None
        facts = rows[name].facts.items()
        return max(n for key, n in facts if key.startswith(f"seconds, {OURS.name}"))

    lone = "line written -> address in the kernel's set"
    return (
        at_most(f"{lone}, median, idle", milliseconds("latency"), 5, " ms"),
        at_most(f"{lone}, median, other jails under load", milliseconds("latency-busy"), 5, " ms"),
        at_most(f"{lone}, 99 %, other jails under load", milliseconds("latency-busy-99"), 20, " ms"),
        at_most("10,000 addresses attack at once -> all in the kernel",
                _slowest(rows, "storm-large"), 1, " s"),
        at_most("restore 100,000 bans at start", seconds("restore"), 3, " s"),
        at_most("stop with 100,000 bans", seconds("stop"), 3, " s"),
    )  # fmt: skip


def _cost(rows: dict[str, Row]) -> Sequence[Claim]:
    return (
        at_most("idle, 50 sections: processor time", _slowest(rows, "idle"), 0.2, " % of a core"),
        at_most("idle, 50 sections: wake-ups", _slowest(rows, "wakeups"), 1, "/s"),
        at_most("memory with one section", _slowest(rows, "memory"), 45, " MB"),
        at_most("memory for each tracked address", _of(rows, "tracked", "ours"), 250, " bytes"),
        at_most("growth of memory over ten million lines", _slowest(rows, "growth"), 2, " MB"),
        at_most("start with 100 sections, warm", _slowest(rows, "start"), 2, " s"),
    )


def _slowest(rows: dict[str, Row], name: str) -> float | None:
    """Return the median of ours that is worse, of the tree and the classic file."""
    if name not in rows:
        return None
    ours = [s.median for program, s in rows[name].values.items() if program.startswith(OURS.name)]
    return max(ours, default=math.nan)


def _of(rows: dict[str, Row], name: str, program: str) -> float | None:
    return rows[name].values[program].median if name in rows else None
