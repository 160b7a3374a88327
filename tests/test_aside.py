# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that nobody waits for."""

from __future__ import annotations

import threading

import pytest

from fail2ban.enforce import aside
from fail2ban.enforce.aside import Teller
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.records import FAMILIES, FirewallSettings
from tests.helpers import FakeShell, action


def test_jobs_are_done_in_order_and_the_end_waits_for_them() -> None:
    teller, done = Teller(), list[int]()
    thread = threading.Thread(target=teller.run)
    thread.start()
    for number in range(100):
        teller(lambda number=number: done.append(number))
    teller.finish()
    assert done == list(range(100))
    thread.join()


def test_the_end_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    teller, release = Teller(), threading.Event()
    threading.Thread(target=teller.run, daemon=True).start()
    teller(release.wait)
    teller.finish(0.05)
    assert "take too long" in caplog.text
    release.set()


def test_too_many_are_left_out_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aside, "CAPACITY", 3)
    teller, done = Teller(), list[int]()
    for number in range(10):
        teller(lambda number=number: done.append(number))
    thread = threading.Thread(target=teller.run)
    thread.start()
    teller.finish()
    assert done == [0, 1, 2] and caplog.text.count("wait already") == 1
    thread.join()


def test_what_only_tells_starts_and_stops_aside_and_what_bans_does_not() -> None:
    jobs = list[aside.Job]()
    shell = FakeShell()
    actions = {"SSH": (action("A"), action("T", enforces=False))}
    scaffold = Scaffold(FirewallSettings(), actions, shell, FAMILIES, aside=jobs.append)
    for site in scaffold.sites():
        assert scaffold.start(site)
    assert shell.taken() == ["start A"]
    for site in scaffold.sites():
        scaffold.stop(site)
    assert shell.taken() == ["stop A"]
    for job in jobs:
        job()
    assert shell.taken() == ["start T", "stop T"]
