# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `fail2ban-client watch`: what happens, as it happens, one JSON object a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fail2ban.cli.connection import HungUp
from fail2ban.cli.flags import DONE, Flags
from fail2ban.cli.questions import stream
from fail2ban.records import Settings


def run(flags: Flags, daemon: Settings, words: Sequence[str]) -> int:
    """Print events until somebody interrupts us.

    Raises:
        NoServer, Refusal: nobody tells us of any, or any more.
    """
    try:
        for line in stream(daemon, words):
            # DEL is the one thing that JSON leaves as it is.
            print(line.decode("ascii").rstrip("\n").replace("\x7f", "\\u007f"))
            sys.stdout.flush()
    except KeyboardInterrupt:
        return DONE
    raise HungUp("the server has ended")
