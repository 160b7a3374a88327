# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands `fail2ban-client why` and `why-not`: what was decided about somebody, and why."""

from __future__ import annotations

from collections.abc import Sequence

from fail2ban.cli.flags import DONE, Flags
from fail2ban.cli.output import json_text
from fail2ban.cli.questions import named
from fail2ban.cli.whylayout import lay_out
from fail2ban.errors import Fail2BanError
from fail2ban.records import Settings


def run(flags: Flags, daemon: Settings, words: Sequence[str]) -> int:
    """Ask and print.

    Raises:
        Fail2BanError: nobody is named, or the daemon does not tell.
    """
    if len(words) not in (2, 3):
        raise Fail2BanError(f"expected {words[0]} ADDRESS [JAIL]")
    found = named(daemon, words, f"{words[0]} ID")
    print(json_text(found) if flags.json else "\n".join(lay_out(found)))
    return DONE
