# SPDX-License-Identifier: GPL-2.0-or-later
"""Sections stop together, and keep the order in which they do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fail2ban.jail import Jail, Jails
from fail2ban.plan import Plan
from fail2ban.records import JailSettings
from tests.helpers import jail_settings


class FakeJail:
    """Notes what it is told."""

    def __init__(self, settings: JailSettings, told: list[str]) -> None:
        self.settings, self._told = settings, told

    def halt(self) -> None:
        self._told.append(f"halt {self.settings.name}")

    def pause(self) -> None:
        self._told.append(f"pause {self.settings.name}")

    def close(self) -> None:
        self._told.append(f"close {self.settings.name}")

    def start(self) -> None:
        self._told.append(f"start {self.settings.name}")

    def change(self, settings: JailSettings, filter: object) -> None:
        self.settings = settings


def running(*names: str) -> tuple[Jails, list[str]]:
    """Return sections that run, and the list of what they are told."""
    told: list[str] = []
    jails = Jails(None, lambda jails: None)  # type: ignore[arg-type]
    for name in names:
        jails._running[name] = FakeJail(jail_settings(name), told)  # type: ignore[assignment]
    return jails, told


def test_all_are_asked_to_stop_before_one_is_waited_for() -> None:
    """Else each would do a chunk of its backlog for every other."""
    jails, told = running("a", "b")
    jails.close()
    assert told == ["halt a", "halt b", "close a", "close b"]


def test_a_reload_asks_those_that_change_or_end_to_stop_and_no_others() -> None:
    jails, told = running("same", "changed", "gone")
    changed = replace(jail_settings("changed"), maxretry=9)
    wanted = (jail_settings("same"), changed)
    plan = Plan(None, {"same": None, "changed": None}, (), frozenset())  # type: ignore[dict-item]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "jails", property(lambda plan: list(wanted)))
        jails.change(plan)
    assert told == ["halt changed", "halt gone", "close gone", "pause changed", "start changed"]


def test_nobody_waits_for_a_thread_that_could_not_be_started() -> None:
    class Full:
        def guard(self, name: str, body: object) -> None:
            raise AssertionError

    jail = Jail.__new__(Jail)
    jail.settings, jail._services = jail_settings(), Full()  # type: ignore[assignment]
    jail._thread = None
    with pytest.MonkeyPatch.context() as patch:

        def no_room(thread: object) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr("threading.Thread.start", no_room)
        with pytest.raises(RuntimeError):
            jail.start()
    assert jail._thread is None
