# SPDX-License-Identifier: GPL-2.0-or-later
"""What the client writes: JSON that no terminal obeys, and lines of a log."""

from __future__ import annotations

import json
import os
import sys
import time

from fail2ban.text import printable


def json_text(value: object) -> str:
    """Write JSON on one line; DEL is the one thing that it would leave as it is."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def log_error(text: str) -> None:
    """Write an error to standard error as a line of a log; one for each line of it."""
    sys.stdout.flush()  # so that the answers of a dialogue stay in their order
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    head = f"{stamp},{int(now % 1 * 1000):03d} {'fail2ban':<23} [{os.getpid()}]: ERROR  "
    for line in text.split("\n"):
        print(f"{head} {printable(line)}", file=sys.stderr)
