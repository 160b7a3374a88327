# SPDX-License-Identifier: GPL-2.0-or-later
"""What waits for the store, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fail2ban.enforce import shell
from fail2ban.errors import StoreError
from fail2ban.ledger import Remembered
from fail2ban.records import Settings
from fail2ban.works import LONG_PATIENCE, PATIENCE, REST, Links, Works
from tests.helpers import FakeClock
from tests.stored import ban


class SilentStore:
    """Never answers in time; notes how long somebody would have waited."""

    def __init__(self) -> None:
        self.patience: list[float | None] = []

    def ask(self, work: Callable[..., Any], timeout: float | None = None) -> Any:
        self.patience.append(timeout)
        raise StoreError("the database has not answered")

    def load(self, jail: str, timeout: float | None = None) -> Remembered:
        return self.ask(lambda queries: None, timeout)


@pytest.fixture
def store() -> SilentStore:
    return SilentStore()


@pytest.fixture
def works(store: SilentStore) -> Works:
    links = Links(
        settings=Settings,
        guard=lambda name, body: None,
        ring=lambda: None,
        shell=shell.dry_run,
        applied=lambda ban: None,
        give_up=lambda reason: None,
        act=lambda jails, anew: None,
    )
    works = Works(Settings(), [], links)
    works.store = store  # type: ignore[assignment]
    return works


def test_commands_wait_once_and_then_not_for_a_while(
    works: Works, store: SilentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, one = FakeClock(), ban()
    monkeypatch.setattr("fail2ban.works.time.monotonic", clock)
    for _ in range(3):
        assert works._merged(one, True).lines == one.ticket.lines
    assert store.patience == [PATIENCE]
    clock.advance(REST)
    works._merged(one, True)
    assert store.patience == [PATIENCE, PATIENCE]


def test_a_section_that_begins_and_a_client_do_not_wait_for_ever(
    works: Works, store: SilentStore
) -> None:
    """The main thread matches the lines of all sections."""
    assert works._load("sshd") == Remembered()
    with pytest.raises(StoreError, match="has not answered"):
        works.recorded([])
    assert not works.keeps_faith()
    assert store.patience == [LONG_PATIENCE] * 3
