# SPDX-License-Identifier: GPL-2.0-or-later
"""What a replay tells: a report for people, JSON for programs, a line a decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fail2ban.cli.replay_court import Decision
from fail2ban.cli.replay_tally import BanTally, JailTally, LogTally
from fail2ban.durations import duration, moment
from fail2ban.records import Id
from fail2ban.text import printable

#: Bans of a section that the report shows; the busiest; those who are ignored.
BANS, BUSIEST, IGNORED = 50, 10, 20

#: Of the shape of the JSON; a change that readers must know of increases it.
VERSION = 1

_SAID = {
    "found": "Found",
    "ignored": "Ignore",
    "prevented": "Prevented",
    "expired": "Expired ban of",
    "banned": "Ban",
    "unbanned": "Unban",
}


# A line a decision -------------------------------------------------------------------


def decision_line(decision: Decision) -> str:
    """Write a decision as "2026-11-20 10:00:01 [sshd] Ban 192.0.2.7 (5 failures, ...)"."""
    said = f"{_SAID[decision.kind]} {_id(decision.id)}"
    return f"{moment(decision.time)} [{printable(decision.jail)}] {said}{_details(decision)}"


def _details(decision: Decision) -> str:
    if decision.kind == "ignored":
        return f" by {printable(decision.by)}"
    if decision.kind != "banned" or decision.ban is None:
        return ""
    ban = decision.ban
    until = "for ever" if ban.end is None else f"until {moment(ban.end)}"
    return f" {until} (ban {ban.count}, {_count(ban.ticket.failures, 'failure')})"


# For people --------------------------------------------------------------------------


def report(jails: Sequence[JailTally], notes: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a report; whatever stood in the logs is safe to be shown."""
    for number, jail in enumerate(jails):
        if number:
            yield ""
        yield from _jail(jail)
    yield ""
    yield from (f"Note: {printable(note)}" for note in notes)
    yield "Nothing was executed, and nobody was banned."


def _jail(jail: JailTally) -> Iterator[str]:
    yield f"[{printable(jail.jail)}]"
    for log in jail.logs:
        yield f"  {printable(log.name)}: {_count(log.lines, 'line')}{_span(log)}"
    yield f"  {_failures(jail)}"
    yield from (f"  {text}" for text in _uncounted(jail))
    yield f"  {_would(jail)}"
    yield from _bans(jail)
    yield from _busiest(jail)
    yield from _ignored(jail)


def _span(log: LogTally) -> str:
    text = ", none with a time"
    if log.first is not None and log.last is not None:
        text = f", {moment(log.first)} to {moment(log.last)}"
    return f"{text}; the rest cannot be read: {printable(log.problem)}" if log.problem else text


def _failures(jail: JailTally) -> str:
    count, whom = jail.failures.total(), len(jail.failures)
    text = f"{_count(count, 'failure')} of {_count(whom, 'address', 'addresses')}"
    if prevented := jail.prevented.total():
        text += f"; {prevented} more would have been prevented"
    return text


def _uncounted(jail: JailTally) -> Iterator[str]:
    """Yield what failures do not count, and why."""
    for count, why in (
        (jail.undated, "without a timestamp that is understood, not counted"),
        (jail.names, "of a host name instead of an address, not counted"),
    ):
        if count:
            yield f"{_count(count, 'failure')} {why}"
    if jail.given_up:
        yield f"{_count(jail.given_up, 'line')} given up: the patterns took too long"
    if jail.expired:
        yield f"{_count(jail.expired, 'ban')} would have been over before it began"


def _would(jail: JailTally) -> str:
    if not jail.bans:
        return "Would have banned nobody."
    whom = len({one.ban.id for one in jail.bans})
    times = _count(len(jail.bans), "time")
    force = len(jail.in_force)
    text = f"Would have banned {_count(whom, 'address', 'addresses')}, {times} in all"
    return f"{text}; {_count(force, 'ban')} in force at the end."


def _bans(jail: JailTally) -> Iterator[str]:
    if not jail.bans:
        return
    yield ""
    head = ("ADDRESS", "FROM", "FOR", "BAN", "FAILURES", "PREVENTED")
    yield from _table(head, [_row(one) for one in jail.bans[-BANS:]])
    if (others := len(jail.bans) - BANS) > 0:
        yield f"  ... and {others} before these: see --list or --json"


def _row(one: BanTally) -> tuple[str, ...]:
    ban = one.ban
    length = "ever" if ban.end is None else duration(ban.end - ban.start)
    numbers = (str(ban.count), str(ban.ticket.failures), str(one.prevented))
    return (_id(ban.id), moment(ban.start), length, *numbers)


def _busiest(jail: JailTally) -> Iterator[str]:
    if len(jail.failures) < 2:
        return
    bans = _bans_of(jail)
    rows = [
        (_id(id), str(jail.failures[id]), str(jail.prevented[id]), str(bans.get(id, 0)))
        for id in jail.busiest(BUSIEST)
    ]
    yield ""
    yield from _table(("BUSIEST", "FAILURES", "PREVENTED", "BANS"), rows)


def _ignored(jail: JailTally) -> Iterator[str]:
    if not jail.ignored:
        return
    ignored = jail.ignored.most_common(IGNORED)
    rows = [(_id(id), str(count), printable(by)) for (id, by), count in ignored]
    yield ""
    yield from _table(("IGNORED", "FAILURES", "BY"), rows)
    if (others := len(jail.ignored) - IGNORED) > 0:
        yield f"  ... and {others} more: see --json"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(cell.isdigit() for cell in column[1:]) for column in columns]
    for row in (head, *rows):
        cells = [
            f"{cell:>{width}}" if numeric else f"{cell:<{width}}"
            for cell, width, numeric in zip(row, widths, right, strict=True)
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _id(id: Id) -> str:
    return printable(str(id))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


# For programs ------------------------------------------------------------------------


def as_data(jails: Iterable[JailTally], notes: Iterable[str]) -> dict[str, object]:
    """Return the report as plain data, see fail2ban-client(1); times are seconds since the epoch."""
    return {
        "version": VERSION,
        "notes": list(notes),
        "jails": {jail.jail: _jail_data(jail) for jail in jails},
    }


def _jail_data(jail: JailTally) -> dict[str, object]:
    bans = _bans_of(jail)
    return {
        "logs": [_log_data(log) for log in jail.logs],
        "lines": jail.lines,
        "failures": jail.failures.total(),
        "addresses": len(jail.failures),
        "prevented": jail.prevented.total(),
        "undated": jail.undated,
        "names": jail.names,
        "given_up": jail.given_up,
        "expired": jail.expired,
        "in_force": [str(one.ban.id) for one in jail.in_force],
        "bans": [_ban_data(one) for one in jail.bans],
        "ignored": [
            {"id": str(id), "by": by, "failures": count}
            for (id, by), count in jail.ignored.most_common()
        ],
        "busiest": [
            {
                "id": str(id),
                "failures": jail.failures[id],
                "prevented": jail.prevented[id],
                "bans": bans.get(id, 0),
            }
            for id in jail.busiest(BUSIEST)
        ],
    }


def _log_data(log: LogTally) -> dict[str, object]:
    return {
        "name": log.name,
        "lines": log.lines,
        "first": log.first,
        "last": log.last,
        "problem": log.problem,
    }


def _ban_data(one: BanTally) -> dict[str, object]:
    ban = one.ban
    return {
        "id": str(ban.id),
        "start": ban.start,
        "end": ban.end,
        "count": ban.count,
        "failures": ban.ticket.failures,
        "prevented": one.prevented,
        "in_force": one.in_force,
        "lines": list(ban.ticket.lines),
    }


def _bans_of(jail: JailTally) -> dict[Id, int]:
    bans: dict[Id, int] = {}
    for one in jail.bans:
        bans[one.ban.id] = bans.get(one.ban.id, 0) + 1
    return bans
