# SPDX-License-Identifier: GPL-2.0-or-later
"""Let a file take many messages at once.

Where a thread has thousands of things to say, to look for the file and to write to it
for each costs more than all else. So what it says in a burst is written in portions of
whole lines; what another thread says comes behind it, as ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_here = threading.local()


@contextmanager
def burst() -> Iterator[None]:
    """Say many things; nothing that takes long in between. All is written at the end."""
    if is_on():
        yield
        return
    _here.is_on = True
    try:
        yield
    finally:
        _here.is_on = False
        for handler in logging.getLogger().handlers:
            handler.flush()


def is_on() -> bool:
    """Tell whether this thread is saying many things."""
    return getattr(_here, "is_on", False)
