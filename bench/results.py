# SPDX-License-Identifier: GPL-2.0-or-later
"""What a measurement yields: rows of values and ratios, and verdicts on a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

#: The programs of a row, by the names that tables show. What is ours begins so.
OURS = "ours"


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing.

    Attributes:
        low, high: the extremes; count: how many there were.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes:
        name: as given to `--rows`; what: a phrase for the table.
        unit: of the values; more: whether more is better.
        values: by program.
        ratios: how many times better the first program of a pair is than the second:
            the median of the ratios of runs that followed each other.
        notes: what a reader should know.
        wrong: why the row says nothing, as when answers differ; empty: it is sound.
        left_out: why nothing was measured.
        facts: further numbers, by name, for the budget and the JSON.
    """

    name: str
    what: str
    unit: str = ""
    more: bool = True
    values: Mapping[str, Spread] = field(default_factory=dict)
    ratios: Mapping[tuple[str, str], Spread] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wrong: str = ""
    left_out: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)


def interleaved(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run each in turn, and all of them so many times; return the values by name.

    What disturbs the machine for a while so meets all of them.
    """
    values: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            values[name].append(run())
    return values


def row(
    name: str,
    what: str,
    unit: str,
    values: Mapping[str, Sequence[float]],
    more: bool = True,
    notes: Sequence[str] = (),
    wrong: str = "",
    facts: Mapping[str, float] | None = None,
) -> Row:
    """Return the row of what `interleaved` has brought: each of ours against each peer."""
    ours = [one for one in values if one.startswith(OURS)]
    peers = [one for one in values if not one.startswith(OURS)]
    ratios = {
        (one, peer): Spread.of(pairwise(values[one], values[peer], more))
        for one in ours
        for peer in peers
    }
    spreads = {program: Spread.of(some) for program, some in values.items()}
    return Row(name, what, unit, more, spreads, ratios, tuple(notes), wrong, facts=facts or {})


def pairwise(ours: Sequence[float], peers: Sequence[float], more: bool) -> list[float]:
    """Return how many times better each run was than the one beside it."""
    pairs = zip(ours, peers, strict=False)
    return [_quotient(a, b) if more else _quotient(b, a) for a, b in pairs]


def _quotient(a: float, b: float) -> float:
    return a / b if b else math.inf


# Verdicts ----------------------------------------------------------------------------

MET, MISSED, UNKNOWN = "met", "missed", "not measured"


@dataclass(frozen=True)
class Claim:
    """One promise of the budget, and what came of it.

    Attributes:
        what: the promise; target: its number, as text.
        result: what was measured, as text; verdict: MET, MISSED or UNKNOWN.
    """

    what: str
    target: str
    result: str
    verdict: str


def at_least(what: str, value: float | None, target: float, unit: str) -> Claim:
    """Judge a promise of at least so much; None: it was not measured."""
    return _claim(what, f"at least {show(target)}{unit}", value, unit, lambda v: v >= target)


def at_most(what: str, value: float | None, target: float, unit: str) -> Claim:
    """Judge a promise of at most so much; None: it was not measured."""
    return _claim(what, f"at most {show(target)}{unit}", value, unit, lambda v: v <= target)


def _claim(
    what: str, target: str, value: float | None, unit: str, holds: Callable[[float], bool]
) -> Claim:
    if value is None or math.isnan(value):
        return Claim(what, target, "-", UNKNOWN)
    return Claim(what, target, f"{show(value)}{unit}", MET if holds(value) else MISSED)


def show(value: float) -> str:
    """Return a number with three digits that matter."""
    if value in (math.inf, -math.inf) or math.isnan(value):
        return str(value)
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{digits}f}"


# JSON --------------------------------------------------------------------------------


def as_json(
    machine: Mapping[str, object], rows: Sequence[Row], claims: Sequence[Claim]
) -> dict[str, object]:
    """Return the whole result; the README in this folder tells what is what."""
    return {
        "schema": 1,
        "machine": dict(machine),
        "rows": [_row_json(one) for one in rows],
        "budget": [vars(claim) for claim in claims],
    }


def _row_json(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "what": row.what,
        "unit": row.unit,
        "better": "more" if row.more else "less",
        "values": {program: vars(spread) for program, spread in row.values.items()},
        "ratios": [
            {"of": one, "to": peer, **vars(spread)} for (one, peer), spread in row.ratios.items()
        ],
        "facts": dict(row.facts),
        "notes": list(row.notes),
        "wrong": row.wrong,
        "left_out": row.left_out,
    }
