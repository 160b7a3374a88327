# SPDX-License-Identifier: GPL-2.0-or-later
"""Work is handed to the main thread, once, and its outcome comes back."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from fail2ban.detect.mainthread import Closed, MainThread

PATIENCE = 60  # seconds; only reached when a test fails


def started(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def ask(main: MainThread, outcomes: list[object], work: Callable[[], object]) -> threading.Thread:
    def body() -> None:
        try:
            outcomes.append(main.call(work))
        except BaseException as error:
            outcomes.append(error)

    return started(body)


def test_work_of_another_thread_is_done_on_the_main_thread() -> None:
    woken = threading.Event()
    main, outcomes = MainThread(woken.set), list[object]()
    thread = ask(main, outcomes, threading.current_thread)
    assert woken.wait(PATIENCE)
    assert outcomes == []
    main.serve()
    thread.join(PATIENCE)
    assert outcomes == [threading.main_thread()]


def test_work_of_the_main_thread_is_done_at_once() -> None:
    main = MainThread(lambda: pytest.fail("nobody is to be woken"))
    assert main.call(lambda: 7) == 7


def test_everybody_works_for_himself_where_nobody_serves() -> None:
    main, outcomes = MainThread(), list[object]()
    thread = ask(main, outcomes, threading.current_thread)
    thread.join(PATIENCE)
    assert outcomes == [thread]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_work_raises_reaches_the_caller_and_not_the_main_thread(
    error: BaseException,
) -> None:
    def work() -> None:
        raise error

    main, outcomes = MainThread(lambda: None), list[object]()
    main.join(ask(main, outcomes, work))
    assert outcomes == [error]


def test_close_refuses_what_waits_and_what_is_asked_later() -> None:
    woken = threading.Event()
    main, outcomes = MainThread(woken.set), list[object]()
    thread = ask(main, outcomes, lambda: pytest.fail("this must not run"))
    assert woken.wait(PATIENCE)
    main.close()
    thread.join(PATIENCE)
    ask(main, outcomes, lambda: pytest.fail("this must not run")).join(PATIENCE)
    assert [type(outcome) for outcome in outcomes] == [Closed, Closed]


def test_serve_returns_although_more_is_asked_for_meanwhile() -> None:
    main = MainThread(lambda: None)
    outcomes: list[object] = []
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(ask(main, outcomes, lambda: "later"))
        while len(main._waiting) < 1:
            pass

    threads.append(ask(main, outcomes, work))
    while not main._waiting:
        pass
    main.serve()
    threads[0].join(PATIENCE)
    assert outcomes == [None]
    main.join(threads[1])
    assert outcomes == [None, "later"]


def test_many_threads_get_each_their_own_answers_in_order() -> None:
    wakeups = threading.Semaphore(0)
    main = MainThread(wakeups.release)
    seen: dict[int, list[int]] = {number: [] for number in range(8)}
    running = threading.Lock()  # taken by the work: two at a time would show

    def body(number: int) -> None:
        dice = random.Random(number)
        for turn in range(300):

            def work(turn: int = turn) -> int:
                assert running.acquire(blocking=False)
                running.release()
                assert threading.current_thread() is threading.main_thread()
                if turn % 7 == 3:
                    raise LookupError(turn)
                return number * 1000 + turn

            try:
                seen[number].append(main.call(work) - number * 1000)
            except LookupError as error:
                seen[number].append(error.args[0])
            if dice.random() < 0.01:
                threading.Event().wait(0.001)

    threads = [started(lambda number=number: body(number)) for number in seen]  # type: ignore[misc]
    for thread in threads[:4]:
        main.join(thread)
    while any(thread.is_alive() for thread in threads):
        wakeups.acquire(timeout=0.01)
        main.serve()
    assert all(turns == list(range(300)) for turns in seen.values())
