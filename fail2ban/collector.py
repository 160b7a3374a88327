# SPDX-License-Identifier: GPL-2.0-or-later
"""When Python looks for objects that only know each other.

It looks through all that there is, again and again while more is made. What a
configuration is made into lives as long as the configuration does.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: New containers, less those that are gone, before young ones are looked through; Python's
#: own number is 700, which a single poll of a log exceeds many times.
YOUNG = 20_000


def calm() -> None:
    """Look less often; called once, when the daemon starts."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


@contextmanager
def paused() -> Iterator[None]:
    """Do not look meanwhile: much is made that stays."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def settle() -> None:
    """Look once, and leave out from now on what there is.

    Else the whole daemon would stand still for it time and again, for tens of
    milliseconds with many sections.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
