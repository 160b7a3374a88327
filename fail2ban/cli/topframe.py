# SPDX-License-Identifier: GPL-2.0-or-later
"""What `fail2ban-client top` shows at one moment.

Attackers wrote ids and lines, so each text is made printable, and none is taken for
markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fail2ban.cli.rates import Rate, Rates
from fail2ban.durations import duration, moment
from fail2ban.text import printable

#: An object of JSON, see `health.report`.
Object = Mapping[str, Any]

_COUNTERS = ("lines", "failures", "bans")
#: State of a ban -> heading; those being lifted are soon gone.
_STATES = {"applied": "banned", "wanted": "due", "failed": "FAILED"}
#: Events that somebody should look into.
_BAD = ("alarm", "ban_failed")
_JAIL = "Jail"
_NUMBERS = (
    *(heading for counter in ("line", "fail", "ban") for heading in (f"{counter}/s", "/min")),
    "watch",
    *_STATES.values(),
    "delay",
)


def counters(health: Object) -> dict[str, float]:
    """Return what grows: "section/counter" -> how far it has come."""
    found = {}
    for jail in health["jails"]:
        totals = jail["lines"], jail["failures"]["counted"], jail["bans"]["decided"]
        for counter, total in zip(_COUNTERS, totals, strict=True):
            found[_key(jail["name"], counter)] = float(total)
    return found


def frame(health: Object, rates: Rates, events: Sequence[Object], rows: int) -> RenderableType:
    """Return everything, laid out to be shown.

    Args:
        events: the newest last.
        rows: that the terminal has; what is less important is left out.
    """
    table = _table(health["jails"], rates)
    alarms = [_alarm(alarm) for alarm in health["alarms"]]
    left = max(0, rows - len(health["jails"]) - len(alarms) - 6)
    newest = [_event(event) for event in list(events)[-left:]] if left else []
    return Group(_head(health), *alarms, table, *newest)


def _head(health: Object) -> Text:
    daemon = health["daemon"]
    parts = [
        f"Fail2Ban v{health['version']}",
        f"up {duration(health['uptime'])}",
        f"queue {daemon['queue']['jobs']}",
        f"unwritten {daemon['store']['pending']}",
        moment(health["time"]),
    ]
    return _text("   ".join(parts), "bold")


def _alarm(alarm: Object) -> Text:
    where = f"[{alarm['jail']}] " if alarm["jail"] else ""
    return _text(f"! {where}{alarm['text']} (since {moment(alarm['since'])})", "bold red")


def _table(jails: Iterable[Object], rates: Rates) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="reverse")
    table.add_column(_JAIL, min_width=8)  # the one that gives way where it is narrow
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    for jail in jails:
        table.add_row(*_row(jail, rates))
    return table


def _row(jail: Object, rates: Rates) -> list[Text]:
    states = jail["bans"]["now"]
    name = f"{jail['name']} (dry run)" if jail["dryrun"] else jail["name"]
    grown = [rates.of(_key(jail["name"], counter)) for counter in _COUNTERS]
    return [
        _text(name, "bold red" if jail["alarms"] else ""),
        *(_text(text) for rate in grown for text in _rate(rate)),
        _text(str(jail["tracked"]["now"])),
        *(_state(states.get(state, 0), state) for state in _STATES),
        _text(_latency(jail["latency"]["half_within"])),
    ]


def _rate(rate: Rate) -> tuple[str, str]:
    return _number(rate.second), _number(rate.minute)


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _state(count: int, state: str) -> Text:
    return _text(str(count), "bold red" if state == "failed" and count else "")


def _latency(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f}ms" if seconds < 10 else f"{seconds:.0f}s"


def _event(event: Object) -> Text:
    if "lost" in event:
        return _text(f"({event['lost']} events are not shown)", "dim")
    facts = event["facts"]
    more = facts.get("reason") or facts.get("text") or facts.get("state") or ""
    parts = (event["kind"].replace("_", " "), event["id"] or "", more)
    what = " ".join(part for part in parts if part)
    style = "red" if event["kind"] in _BAD else ""
    return _text(f"{moment(event['time'])}  [{event['jail']}] {what}", style)


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _key(jail: str, counter: str) -> str:
    return f"{jail}/{counter}"
