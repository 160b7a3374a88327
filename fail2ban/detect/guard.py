# SPDX-License-Identifier: GPL-2.0-or-later
"""How the body of a thread is run: its death is not to pass unnoticed."""

from __future__ import annotations

from collections.abc import Callable

#: Runs a thread's body and stops the daemon if it dies: name, body.
Guard = Callable[[str, Callable[[], None]], None]


def unguarded(name: str, body: Callable[[], None]) -> None:
    """Run a thread's body, as a `Guard`, with nobody to tell about its death."""
    body()
