# SPDX-License-Identifier: GPL-2.0-or-later
"""Show how the daemon is, and below its status what is wrong, and what is only rehearsed.

That goes to the standard error: scripts read the status itself, word for word.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from fail2ban.cli.questions import answer
from fail2ban.durations import moment
from fail2ban.errors import Fail2BanError
from fail2ban.records import Settings
from fail2ban.text import printable

#: Seconds that the daemon may think about it: the status is shown already.
PATIENCE = 5.0


def remark(daemon: Settings, words: Sequence[str]) -> None:
    """Write to the standard error what else there is to know of what a command has shown."""
    match words:
        case ["status", str(jail), *_] if jail != "--all":
            _remark(daemon, jail, alarms=True)
        case ["status", *_]:
            _remark(daemon, "", alarms=True)
        case ["stats" | "statistic" | "statistics" | "banned", *_]:
            _remark(daemon, "")
        case ["get", jail, "banip" | "banned", *_]:
            _remark(daemon, jail)


def _remark(daemon: Settings, jail: str, alarms: bool = False) -> None:
    try:
        health = answer(daemon, ["health"], None, PATIENCE)
    except Fail2BanError:
        # A server of another make knows no health; and what was asked for is shown.
        return
    if not isinstance(health, Mapping):
        return
    text = [rehearsals(health.get("jails"), jail)]
    if alarms:
        text.append(lines(health.get("alarms"), jail))
    if any(text):
        sys.stdout.flush()
        print("\n".join(filter(None, text)), file=sys.stderr)


def lay_out_alarms(words: Sequence[str], result: object) -> str:
    """Lay out the answer to `alarms`."""
    return lines(result) or "No alarm"


def lay_out_metrics(words: Sequence[str], result: object) -> str:
    """Lay out the answer to `metrics`: its lines are ours, not what is in them."""
    return "\n".join(printable(line) for line in str(result).rstrip("\n").split("\n"))


def lay_out_health(words: Sequence[str], result: object) -> str:
    """Lay out the answer to `health`."""
    # JSON escapes all that a terminal obeys, except DEL.
    return json.dumps(result, indent=2).replace("\x7f", "\\u007f")


def lines(alarms: object, jail: str = "") -> str:
    """Lay out what the daemon answers to `alarms`, a line each.

    Args:
        jail: leave out what concerns another section only.
    """
    listed = alarms if isinstance(alarms, list) else []
    told = [alarm for alarm in listed if isinstance(alarm, Mapping)]
    return "\n".join(_line(one) for one in told if not jail or one.get("jail") in ("", jail))


def rehearsals(jails: object, jail: str = "") -> str:
    """Name the sections that lock nobody out, a line each.

    Args:
        jails: as the daemon's health has them.
        jail: only this one matters; empty: all do.
    """
    listed = jails if isinstance(jails, list) else []
    dry = [one.get("name") for one in listed if isinstance(one, Mapping) and one.get("dryrun")]
    text = "is a dry run: its bans are not carried out"
    return "\n".join(printable(f"[{one}] {text}") for one in dry if jail in ("", one))


def _line(alarm: Mapping[str, object]) -> str:
    since = alarm.get("since")
    when = moment(since) if isinstance(since, int | float) else "?"
    where = f"[{alarm['jail']}] " if alarm.get("jail") else ""
    return printable(f"ALARM {where}{alarm.get('name')} since {when}: {alarm.get('text')}")
