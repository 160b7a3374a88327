# SPDX-License-Identifier: GPL-2.0-or-later
"""One section at run time."""

from __future__ import annotations

import pytest

from fail2ban.jail import Jail
from tests.helpers import jail_settings


def test_nobody_waits_for_a_thread_that_could_not_be_started() -> None:
    class Full:
        def guard(self, name: str, body: object) -> None:
            raise AssertionError

    jail = Jail.__new__(Jail)
    jail.settings, jail._services = jail_settings(), Full()  # type: ignore[assignment]
    jail._left = jail._thread = None
    with pytest.MonkeyPatch.context() as patch:

        def no_room(thread: object) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr("threading.Thread.start", no_room)
        with pytest.raises(RuntimeError):
            jail.start()
    assert jail._thread is None
