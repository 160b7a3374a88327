# SPDX-License-Identifier: GPL-2.0-or-later
"""Lay out for people what `why` and `why-not` answer.

Attackers wrote the lines of logs, so each line that we print is made printable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fail2ban.durations import duration, moment
from fail2ban.text import printable

#: An object of JSON, see `control.schema`.
Object = Mapping[str, Any]

_NEVER = "for ever"


def lay_out(answer: Object) -> list[str]:
    """Return the lines to be shown."""
    return [printable(line) for line in _lines(answer)]


def _lines(answer: Object) -> Iterator[str]:
    id, now = answer["id"], answer["now"]
    yield id
    for event in answer["events"]:
        yield from _event(event, id)
    if not answer["events"]:
        yield "  nothing is recorded"
    yield "Now:"
    for ban in answer["bans"]:
        yield f"  [{ban['jail']}] {_named(ban, id)}{_ban(ban, now)}"
    if not answer["bans"]:
        yield "  it is not banned"
    if checks := answer.get("checks"):
        yield "Why not:"
        for check in checks:
            yield f"  [{check['jail']}] {_check(check)}"


def _named(one: Object, id: str) -> str:
    """Name whom something is about unless that is clear."""
    return "" if one["id"] in (id, None) else f"{one['id']}: "


def _ban(ban: Object, now: float) -> str:
    until = _until(ban["end"])
    if ban["end"] is not None:
        until += f" ({duration(ban['end'] - now)} from now)"
    if ban["dryrun"]:
        return f"would be banned {until}; this is a dry run"
    match ban["state"]:
        case "applied":
            return f"banned {until}"
        case "failed":
            return f"to be banned {until}, but the ban is NOT in force: {ban['error']}"
    return f"about to be banned {until}"


def _until(end: object) -> str:
    return _NEVER if end is None else f"until {_moment(end)}"


# What happened ------------------------------------------------------------------


def _event(event: Object, id: str) -> Iterator[str]:
    kind, facts = event["kind"], event["facts"]
    if "more" in facts:
        text = f"{kind.replace('_', ' ')}: {facts['more']} more, too fast to be kept one by one"
    else:
        text = _EVENTS.get(kind, _other(kind))(facts)
        if facts.get("dryrun") and kind not in _DRY:
            text += "; this is a dry run"
    head = f"  {moment(event['time'])} "
    yield f"{head} [{event['jail']}] {_named(event, id)}{text}"
    for line in _log_lines(event):
        yield f"{' ' * len(head)}   {line}"


def _log_lines(event: Object) -> list[str]:
    """Return the lines that led to an event; those of a ban were shown as they counted."""
    lines = event["facts"].get("lines")
    counted = event["kind"] in ("found", "ignored")
    return [str(line) for line in lines] if counted and isinstance(lines, list) else []


def _found(facts: Object) -> str:
    attempts = facts.get("attempts", 1)
    return "a failure" if attempts == 1 else f"a failure that counts {attempts} times"


def _ignored(facts: Object) -> str:
    return f"a failure that does not count: {_ignored_by(facts.get('by'))}"


def _decided(facts: Object) -> str:
    until = _until(facts.get("end"))
    count = facts.get("count", 1)
    again = f", for the {count}. time" if count != 1 else ""
    if facts.get("manual"):
        return f"a hand decides to ban it {until}{again}"
    return f"{facts.get('failures')} failures are enough: to be banned {until}{again}"


def _banned(facts: Object) -> str:
    if facts.get("dryrun"):
        return "would be banned; this is a dry run"
    text = "the ban of an earlier run is in force" if facts.get("restored") else "banned"
    seconds = facts.get("seconds")
    return text if seconds is None else f"{text}, {_seconds(seconds)} after the line"


def _command(facts: Object) -> str:
    what = f"{facts.get('action')} {facts.get('verb')}"
    if (count := facts.get("count", 1)) != 1:
        what += f" for {count} at once"
    if facts.get("dryrun"):
        return f"{what}: shown, not run, for this is a dry run"
    took = _seconds(facts.get("seconds"))
    if not (error := facts.get("error")):
        return f"{what}: done in {took}"
    status = facts.get("status")
    ended = "" if status is None else f" with status {status}"
    again = ", and is tried again in parts" if facts.get("divided") else ""
    return f"{what}: FAILED{ended} after {took}{again}: {error}"


def _other(kind: str) -> Callable[[Object], str]:
    def text(facts: Object) -> str:
        return " ".join([kind, *(f"{name}={fact}" for name, fact in facts.items())])

    return text


def _seconds(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "some time"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _moment(time: object) -> str:
    return moment(time) if isinstance(time, int | float) else "an unknown time"


#: Events that say so in words of their own.
_DRY = ("banned", "command")
_EVENTS: dict[str, Callable[[Object], str]] = {
    "found": _found,
    "found_again": lambda facts: (
        f"it counts {facts.get('attempts')} times, for there were {facts.get('bans')} bans before"
    ),
    "ignored": _ignored,
    "expired": lambda facts: "failures enough, but so old that a ban would be over",
    "decided": _decided,
    "banned": _banned,
    "rebanned": lambda facts: "banned again, for the firewall had lost it",
    "ban_failed": lambda facts: f"the ban is NOT in force: {facts.get('reason')}",
    "prolonged": lambda facts: f"the ban lasts longer, {_until(facts.get('end'))}",
    "already_banned": lambda facts: "a failure although it is banned",
    "unbanned": lambda facts: "the ban is lifted",
    "repealed": lambda facts: "the ban is lifted, for the section ends",
    "command": _command,
}


# What keeps it from being banned --------------------------------------------------


def _check(check: Object) -> str:
    verdict = check["verdict"]
    if verdict == "not running":
        return "this section does not run"
    dry = "; a dry run, which locks nobody out" if check["dryrun"] else ""
    text = _VERDICTS[verdict](check) if verdict in _VERDICTS else str(verdict)
    return text + dry


def _too_few(check: Object) -> str:
    within = f"{check['failures']} of {check['maxretry']} failures within"
    first = f"the first of them is forgotten at {_moment(check['until'])}"
    return f"{within} {duration(check['findtime'])}; {first}"


def _never(check: Object) -> str:
    return f"never counts: {_ignored_by(check['ignored'], check['entry'])}"


def _ignored_by(reason: object, entry: str = "") -> str:
    """Say in words by what an id is ignored, see `decide.ignore`."""
    named = f" {entry}" if entry else ""
    match reason:
        case "ip":
            return f"ignored by{named or ' an entry'} of ignoreip"
        case "dns":
            return f"ignored by{named or ' a host name'} of ignoreip"
        case "ignoreself rule":
            return "ignored because it is this host (ignoreself)"
        case "command":
            return "ignored by ignorecommand"
        case str() if reason.startswith("file:"):
            return f"ignored by the list {reason.removeprefix('file:')}"
    return f"ignored by {reason}"


_VERDICTS: dict[str, Callable[[Object], str]] = {
    "applied": lambda check: "it is banned",
    "wanted": lambda check: "it is about to be banned",
    "failed": lambda check: "its ban was decided, but is NOT in force; see above",
    "ignored": _never,
    "idle": lambda check: "this section is idle, and reads nothing",
    "too few": _too_few,
    "nothing": lambda check: f"no failure within the last {duration(check['findtime'])}",
}
