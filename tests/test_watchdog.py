# SPDX-License-Identifier: GPL-2.0-or-later
"""Signs of life are given while everybody works, and only then."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from fail2ban.watchdog import Watchdog


class Scene:
    """A watchdog, its time, and one worker with a queue that the test works off."""

    def __init__(self) -> None:
        self.now, self.fed = 1000.0, 0
        self.queue: list[Callable[[], None]] = []
        self.watchdog = Watchdog(self.feed, lambda: self.now)
        self.pulse = self.watchdog.watch("runner", self.queue.append, lambda: 120.0)

    def feed(self) -> None:
        self.fed += 1

    def steps(self, seconds: float) -> int:
        """Let time pass in steps of 30 seconds; return how many signs of life there were."""
        before, end = self.fed, self.now + seconds
        while self.now < end:
            self.now += 30
            self.watchdog.step()
        return self.fed - before

    def work(self) -> None:
        """Do all that is in the queue."""
        while self.queue:
            self.queue.pop(0)()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_who_answers_is_fed_at_every_step(scene: Scene) -> None:
    for _ in range(20):
        assert scene.steps(30) == 1
        assert len(scene.queue) == 1
        scene.work()


def test_a_worker_that_is_stuck_ends_the_signs_of_life_and_says_so_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert scene.steps(600) == 5  # asked at the first, late from the sixth on
    assert caplog.messages == ["runner is stuck: if it stays so, the service manager ends us"]


def test_a_question_is_not_put_twice(scene: Scene) -> None:
    scene.steps(600)
    assert len(scene.queue) == 1


def test_a_long_queue_is_no_reason_to_die_while_it_gets_shorter(scene: Scene) -> None:
    for _ in range(20):
        assert scene.steps(90) == 3
        scene.pulse.beat()
    assert len(scene.queue) == 1


def test_work_that_begins_and_ends_is_a_sign_of_progress(scene: Scene) -> None:
    def half(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number // 2

    watched = scene.pulse.around(half)
    for _ in range(10):
        assert scene.steps(90) == 3
        assert watched(4) == 2
        assert scene.steps(90) == 3
        with pytest.raises(ValueError, match="3 is odd"):
            watched(number=3)


def test_a_worker_that_works_again_is_told_and_fed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.steps(600)
    scene.work()
    with caplog.at_level(logging.WARNING):
        assert scene.steps(30) == 1
    assert caplog.messages[-1] == "runner works again"


def test_one_who_is_stuck_is_enough(scene: Scene) -> None:
    other: list[Callable[[], None]] = []
    scene.watchdog.watch("other", other.append, lambda: 120.0)
    for _ in range(10):
        scene.steps(30)
        scene.work()
    assert scene.steps(30) == 0
    assert len(other) == 1


def test_patience_may_change_with_the_settings(scene: Scene) -> None:
    patience = [60.0]
    queue: list[Callable[[], None]] = []
    scene.watchdog.watch("store", queue.append, lambda: patience[0])
    scene.steps(60)
    scene.work()
    patience[0] = 600.0
    assert scene.steps(120) == 4
