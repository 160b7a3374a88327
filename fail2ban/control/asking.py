# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client may say who may look, but not steer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fail2ban.config.values import quoted
from fail2ban.control.discreet import discreet
from fail2ban.control.watching import Watch
from fail2ban.control.worker import Execute
from fail2ban.errors import Fail2BanError

#: The commands that only ask; all others change something, or do not exist.
QUERIES = frozenset(
    "ping version echo status stats statistic statistics banned get why why-not watch"
    " server-status health alarms metrics".split()
)
#: What `get JAIL` shows of the commands of the configuration, in which there may be passwords.
SECRETS = frozenset({"action", "ignorecommand"})


class ReadOnly(Fail2BanError):
    """This socket only answers questions."""


def only_asking(execute: Execute) -> Execute:
    """Return `execute` for clients who may only ask.

    What it returns raises `ReadOnly` for everything else, and tells no text of a command
    of the configuration.
    """

    def ask(said: list[object], wanted: int | None) -> object:
        _check(said)
        result = execute(said, wanted)
        if isinstance(result, Watch):
            return replace(result, discreet=True)
        return discreet(result)

    return ask


def _check(said: Sequence[object]) -> None:
    name = said[0]
    if not isinstance(name, str) or name not in QUERIES:
        raise ReadOnly(
            f"{quoted(str(name))} is no question, and this socket only answers questions"
        )
    # `get JAIL OPTION ...`, whatever a section may be called.
    if name == "get" and len(said) > 2 and isinstance(said[2], str) and said[2] in SECRETS:
        text = "may show passwords, which this socket does not tell"
        raise ReadOnly(f"get {quoted(str(said[2]))} {text}")
