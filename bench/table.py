# SPDX-License-Identifier: GPL-2.0-or-later
"""Results for people: a table of the rows, and one of the budget."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.results import MET, MISSED, Claim, Row, Spread, show

#: Columns of text where nobody looks at a terminal.
WIDTH = 132


def print_all(rows: Sequence[Row], claims: Sequence[Claim], console: Console | None = None) -> None:
    """Print both tables and the notes."""
    console = console or Console(width=None if Console().is_terminal else WIDTH)
    console.print(_rows(rows))
    for row in rows:
        for note in (*row.notes, *([f"WRONG: {row.wrong}"] if row.wrong else [])):
            console.print(f"{row.name}: {note}", markup=False, highlight=False)
    if claims:
        console.print(_budget(claims))


def _rows(rows: Sequence[Row]) -> Table:
    table = Table(title="Ours and the peers: median (lowest - highest)", title_justify="left")
    for header in ("row", "what", "program", "value", "times better than"):
        table.add_column(header, overflow="fold")
    for row in rows:
        name, what = row.name, row.what
        if row.left_out:
            table.add_row(name, what, "", f"left out: {row.left_out}", "")
        for program, spread in row.values.items():
            value = f"{_spread(spread)} {row.unit}"
            table.add_row(name, what, program, value, _better(row, program))
            name = what = ""
        table.add_section()
    return table


def _better(row: Row, program: str) -> str:
    ratios = [
        f"{peer}: {_spread(spread)}" for (one, peer), spread in row.ratios.items() if one == program
    ]
    return "\n".join(ratios)


def _spread(spread: Spread) -> str:
    if spread.count == 1:
        return show(spread.median)
    return f"{show(spread.median)} ({show(spread.low)} - {show(spread.high)})"


def _budget(claims: Sequence[Claim]) -> Table:
    table = Table(title="Budget", title_justify="left")
    for header in ("promise", "target", "result", "verdict"):
        table.add_column(header, overflow="fold")
    for claim in claims:
        style = {MET: "green", MISSED: "bold red"}.get(claim.verdict, "dim")
        table.add_row(claim.what, claim.target, claim.result, Text(claim.verdict, style))
    return table
