# SPDX-License-Identifier: GPL-2.0-or-later
"""A search that takes too long is interrupted on the main thread; others are not."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from fail2ban.detect import budget
from fail2ban.detect.budget import FIRST, LEAST, Allowance, OutOfTime, limited, ticking, unlimited
from tests.helpers import FakeClock

#: Takes longer than the universe has lasted.
HOPELESS = re.compile("(a|a)*$")
TEXT = "a" * 64 + "!"


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    before = signal.getsignal(signal.SIGPROF)
    budget.install()
    yield
    budget._watch.thread = None
    signal.signal(signal.SIGPROF, before)
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_a_hopeless_search_ends_soon_after_its_time() -> None:
    start = time.thread_time()
    with pytest.raises(OutOfTime):
        limited(0.05, HOPELESS.search, TEXT)
    assert time.thread_time() - start < 0.05 + 0.1


def test_what_is_quick_returns_its_result_and_leaves_no_clock_running() -> None:
    assert limited(0.05, int, "7") == 7
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_an_error_of_the_function_is_its_own() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        limited(0.05, int, "x")


def test_each_call_within_ticking_has_its_own_time() -> None:
    with ticking():
        for _ in range(3):
            with pytest.raises(OutOfTime):
                limited(0.03, HOPELESS.search, TEXT)
            assert limited(0.03, "x".upper) == "X"
        spin(0.1)  # nobody limits this


def test_ticking_may_be_nested() -> None:
    with ticking():
        with ticking():
            pass
        with pytest.raises(OutOfTime):
            limited(0.03, HOPELESS.search, TEXT)


def test_a_part_may_take_its_time_and_the_rest_may_not() -> None:
    steps = []

    def work() -> None:
        with unlimited():
            spin(0.1)
            steps.append("done")
        spin(5.0)

    with pytest.raises(OutOfTime):
        limited(0.03, work)
    assert steps == ["done"]


def test_another_thread_changes_no_limit() -> None:
    limits = []

    def work() -> None:
        with unlimited():
            limits.append(budget._watch.seconds)

    def elsewhere() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    limited(5.0, elsewhere)
    assert limits == [5.0]


def test_another_thread_is_not_interrupted() -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(limited(0.01, spin, 0.1)))
    thread.start()
    thread.join()
    assert results == [None]


def test_the_work_of_other_threads_is_not_charged() -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        limited(0.1, spin, 0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_without_installation_nothing_is_interrupted() -> None:
    budget._watch.thread = None
    limited(0.01, spin, 0.05)


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_an_allowance_halves_with_each_offence_and_recovers() -> None:
    clock = FakeClock(0.0)
    allowance = Allowance(clock)
    assert allowance.seconds == FIRST
    allowance.exceeded()
    assert allowance.seconds == FIRST / 2
    for _ in range(20):
        allowance.exceeded()
    assert allowance.seconds == LEAST
    clock.advance(61)
    assert allowance.seconds == FIRST
