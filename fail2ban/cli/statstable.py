# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of `stats`: a row a jail.

Source: jail-conf.md section 12.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.cli.layouts import NotLaidOut, flat, pairs

#: Jail, backend, failing now and in total, banned now and in total.
Row = tuple[str, str, str, str, str, str]

_HEAD: Row = ("Jail", "Backend", "cur", "tot", "cur", "tot")
_WIDTHS = (8, 8, 3, 3, 3, 3)
# For a terminal that cannot draw lines.
_PLAIN = str.maketrans("║═╟╫╬╩│─", "|-|xx-|-")


def table(result: object, fancy: bool) -> str:
    """Return the table of name -> [backend, [failing, failed], [banned, ever banned]].

    Raises:
        NotLaidOut: the answer is something else.
    """
    rows = [_row(name, values) for name, values in pairs(result)]
    if not rows:
        return "No jails found."
    text = "\n".join(_lines(rows, _widths(rows)))
    return text if fancy else text.translate(_PLAIN)


def _row(name: str, values: object) -> Row:
    match values:
        case [backend, [found, found_total], [banned, banned_total]]:
            numbers = (flat(found), flat(found_total), flat(banned), flat(banned_total))
            return name, flat(backend), *numbers
    raise NotLaidOut


def _widths(rows: Sequence[Row]) -> list[int]:
    columns = zip(*rows, strict=True)
    return [max(least, *map(len, column)) for least, column in zip(_WIDTHS, columns, strict=True)]


def _lines(rows: Sequence[Row], widths: Sequence[int]) -> list[str]:
    jail, backend, found, found_total, banned, banned_total = widths
    pair_of = (found + found_total + 3, banned + banned_total + 3)
    first, second = " " * (jail + 2), " " * (backend + 2)
    spans = [jail + 2, backend + 2, pair_of[0] + 2, pair_of[1] + 2]
    title = f" {'Jail':<{jail}} ║ {'Backend':<{backend}} ╟{'─' * spans[2]}╫{'─' * spans[3]}"
    return [
        f"{first}║{second}║ {'Filter':<{pair_of[0]}} ║ {'Actions':<{pair_of[1]}}",
        title,
        _cells(("", "", *_HEAD[2:]), widths),
        "╬".join("═" * span for span in spans),
        *[_cells(row, widths) for row in rows],
        "╩".join("═" * span for span in spans),
    ]


def _cells(row: Row, widths: Sequence[int]) -> str:
    jail, backend, *numbers = row
    found, found_total, banned, banned_total = (
        f"{number:>{width}}" for number, width in zip(numbers, widths[2:], strict=True)
    )
    names = f" {jail:<{widths[0]}} ║ {backend:<{widths[1]}} "
    return f"{names}║ {found} │ {found_total} ║ {banned} │ {banned_total}"
