# SPDX-License-Identifier: GPL-2.0-or-later
"""Show how the daemon is, and below its status what is wrong.

That goes to the standard error: scripts read the status itself, word for word.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from fail2ban.cli.connection import ask
from fail2ban.durations import moment
from fail2ban.errors import Fail2BanError
from fail2ban.text import printable

#: Seconds that the daemon may think about it: the status is shown already.
PATIENCE = 5.0


def show(socket: str, jail: str = "") -> None:
    """Write the alarms that are on, of one section or of all, to the standard error."""
    try:
        alarms = ask(socket, ["alarms"], PATIENCE)
    except Fail2BanError:
        # A server of another make knows no alarms; and what was asked for is shown.
        return
    text = lines(alarms, jail)
    if text:
        sys.stdout.flush()
        print(text, file=sys.stderr)


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


def _line(alarm: Mapping[str, object]) -> str:
    since = alarm.get("since")
    when = moment(since) if isinstance(since, int | float) else "?"
    where = f"[{alarm['jail']}] " if alarm.get("jail") else ""
    return printable(f"ALARM {where}{alarm.get('name')} since {when}: {alarm.get('text')}")
