# SPDX-License-Identifier: GPL-2.0-or-later
"""The name of an address, for a command that shows it, within a short time.

Whoever owns the address writes its name: only letters, digits, dots, hyphens
and underscores are believed. A name server that does not answer cannot be
interrupted, so it is asked on a thread that nobody waits for long.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable

from fail2ban.records import Address

#: Seconds that a command waits for a name.
PATIENCE = 2.0
#: Questions that may be open at a time; further ones get no answer.
OPEN_LIMIT = 8

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_])?\.?")

#: Returns the name of an address given as text; raises OSError.
Ask = Callable[[str], str]

_open = threading.BoundedSemaphore(OPEN_LIMIT)


def _ask(address: str) -> str:
    return socket.gethostbyaddr(address)[0]


def host_name(address: Address, ask: Ask = _ask, patience: float = PATIENCE) -> str:
    """Return the name of an address, or an empty text if none is known soon."""
    if not _open.acquire(blocking=False):
        return ""
    answers: list[str] = []

    def work() -> None:
        try:
            answers.append(ask(str(address).partition("%")[0]))
        except (OSError, UnicodeError):
            pass  # it has no name
        finally:
            _open.release()

    thread = threading.Thread(target=work, name="ip-host", daemon=True)
    thread.start()
    thread.join(patience)
    return answers[0] if answers and _NAME.fullmatch(answers[0]) else ""
