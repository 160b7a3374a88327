# SPDX-License-Identifier: GPL-2.0-or-later
"""The service manager hears of the daemon's life in the right order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fail2ban.lifeline import Lifeline
from fail2ban.sd import Notifier, Supervisor
from tests.activation import Manager


class Scene:
    """A lifeline, its manager, and a timer that the test works off."""

    def __init__(self, address: str, interval: float) -> None:
        self.manager = Manager(address)
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.rings = 0
        self.lifeline = Lifeline(
            Supervisor(Notifier(address), interval), self.remember, self.ring, lambda: 1000.0
        )

    def remember(self, seconds: float, action: Callable[[], object]) -> None:
        self.later.append((seconds, action))

    def ring(self) -> None:
        self.rings += 1

    def heard(self) -> list[str]:
        """Return the first variable of each message since the last time."""
        found = []
        while True:
            try:
                found.append(next(iter(self.manager.heard(0.05))))
            except TimeoutError:
                return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(str(tmp_path / "notify"), 30.0)
    yield found
    found.manager.close()


def test_the_first_sign_of_life_follows_the_start_and_asks_for_the_next(scene: Scene) -> None:
    scene.lifeline.step()
    assert scene.heard() == [] and scene.later == []
    scene.lifeline.started("2 sections")
    assert scene.heard() == ["READY", "WATCHDOG"]
    [(seconds, action)] = scene.later
    action()
    assert (seconds, scene.rings) == (30.0, 1)
    scene.lifeline.step()
    assert scene.heard() == ["WATCHDOG"] and len(scene.later) == 2


def test_a_reload_ends_for_the_manager_however_it_ends(scene: Scene) -> None:
    scene.lifeline.started()
    scene.heard()
    with scene.lifeline.reload():
        assert scene.heard() == ["RELOADING"]
    assert scene.heard() == ["READY"]
    with pytest.raises(ValueError, match="broken"), scene.lifeline.reload():
        raise ValueError("broken")
    assert scene.heard() == ["RELOADING", "READY"]


def test_a_reload_during_the_start_does_not_end_it(scene: Scene) -> None:
    with scene.lifeline.reload():
        pass
    assert scene.heard() == []


def test_who_ends_gives_no_more_signs_of_life(scene: Scene) -> None:
    scene.lifeline.started()
    scene.heard()
    scene.lifeline.stopping()
    scene.lifeline.step()
    with scene.lifeline.reload():
        pass
    assert scene.heard() == ["STOPPING"]


def test_a_worker_that_is_stuck_is_waited_for_no_longer_than_told(scene: Scene) -> None:
    scene.lifeline.watch("runner", lambda answer: None, lambda: -1.0)
    scene.lifeline.started()
    assert scene.heard() == ["READY"]


def test_without_a_watchdog_nobody_is_woken(tmp_path: Path) -> None:
    scene = Scene(str(tmp_path / "notify"), 0.0)
    scene.lifeline.started()
    assert scene.heard() == ["READY"] and scene.later == []
    scene.manager.close()


def test_without_a_manager_nothing_happens() -> None:
    later: list[object] = []
    lifeline = Lifeline(Supervisor(), lambda *given: later.append(given), list, lambda: 0.0)
    lifeline.started()
    with lifeline.reload():
        pass
    lifeline.step()
    lifeline.stopping()
    assert later == []
