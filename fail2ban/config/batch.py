# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that carry out many bans at once: what they cannot speak of.

They are run once and find one line "ADDRESS FAMILY SECONDS" for each ban on their
standard input. A tag that is about one ban would be about none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fail2ban.config.values import quoted

#: Tags that are about one ban, in either language; see `enforce.tags`.
OF_ONE_BAN = frozenset(
    "ip fid ip-rev ip-host failures failtime bantime bancount restored banstart seconds unbantime"
    " matches ipmatches ipjailmatches ipfailures ipjailfailures raw-ticket".split()
)
_TAG = re.compile(r"<(F-[A-Z0-9_-]+|[a-z-]+)>")


def check(lines: Iterable[str]) -> tuple[int, str] | None:
    """Look for what a command for many cannot say, in what it says.

    Returns:
        the line, counted from 0, and what is wrong with it; None: nothing is.
    """
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("#") and (found := _of_one_ban(line)):
            text = f"{quoted(found)} is about one ban, and this command is run once for many"
            expected = "expected it to read lines 'ADDRESS FAMILY SECONDS' from its standard input"
            return number, f"{text}; {expected}"
    return None


def _of_one_ban(line: str) -> str | None:
    tags = _TAG.finditer(line)
    return next((t[0] for t in tags if t[1] in OF_ONE_BAN or t[1].startswith("F-")), None)
