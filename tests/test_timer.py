# SPDX-License-Identifier: GPL-2.0-or-later
"""The heap of things to do later."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.timer import LONGEST_SLEEP, Timer
from tests.helpers import NOW, FakeClock


def test_nothing_happens_before_its_time_and_everything_at_it() -> None:
    clock, done = FakeClock(), list[object]()
    timer = Timer(clock, clock)
    timer.at(NOW + 10, lambda: done.append(clock()))
    assert timer.step() == 10
    assert done == []
    clock.advance(10)
    timer.step()
    assert done == [NOW + 10]
    timer.step()
    assert len(done) == 1


def test_action_may_ask_for_another() -> None:
    clock, done = FakeClock(), list[object]()
    timer = Timer(clock, clock)
    timer.at(NOW, lambda: timer.at(NOW, lambda: done.append(NOW)))
    timer.step()
    assert done == [NOW]


def test_sleep_is_bounded_since_the_wall_clock_may_be_set() -> None:
    timer = Timer(FakeClock(), FakeClock())
    timer.at(NOW + 1e9, lambda: None)
    assert timer.step() == LONGEST_SLEEP


def test_pause_takes_as_long_as_it_was_asked_for_when_the_clock_is_set_back() -> None:
    clock, ticks, done = FakeClock(), FakeClock(0), list[str]()
    timer = Timer(clock, ticks)
    timer.after(5, lambda: done.append("pause"))
    timer.at(NOW + 5, lambda: done.append("end"))
    clock.advance(-3600)
    ticks.advance(5)
    timer.step()
    assert done == ["pause"]
    clock.advance(3605)
    timer.step()
    assert done == ["pause", "end"]


@given(st.lists(st.integers(0, 100)))
def test_actions_run_in_the_order_of_their_time_then_of_asking(delays: list[int]) -> None:
    clock, done = FakeClock(), list[object]()
    timer = Timer(clock, clock)
    for number, delay in enumerate(delays):
        timer.at(NOW + delay, lambda key=(delay, number): done.append(key))
    clock.advance(200)
    timer.step()
    assert done == sorted((delay, number) for number, delay in enumerate(delays))


def test_sleeping_thread_wakes_for_something_earlier_and_for_the_end() -> None:
    timer, stop, done = Timer(time.time, time.monotonic), threading.Event(), threading.Event()
    timer.at(time.time() + 3600, lambda: None)
    thread = threading.Thread(target=timer.run, args=(stop,))
    thread.start()
    timer.at(time.time(), lambda: done.set())
    assert done.wait(10)
    stop.set()
    timer.wake()
    thread.join(10)
    assert not thread.is_alive()


def test_what_is_due_is_called_with_what_was_given() -> None:
    clock, done = FakeClock(), []
    timer = Timer(clock, clock)
    timer.at(NOW + 1, lambda *what: done.append(what), "who", 7)
    clock.advance(1)
    timer.step()
    assert done == [("who", 7)]


def test_only_what_is_due_first_wakes_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, woken = FakeClock(), []
    timer = Timer(clock, clock)
    monkeypatch.setattr(timer._changed, "notify", lambda: woken.append(len(timer._times)))
    for delay in (5, 9, 3, 7):
        timer.at(NOW + delay, lambda: None)
    assert woken == [1, 3]
