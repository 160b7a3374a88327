# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of upstream's actions share: its files, and a street to enforce them on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fail2ban.enforce.tags import Lore
from tests.compat.peer import fetch
from tests.e2e import street as streets
from tests.e2e.street import Street
from tests.netns import Namespace
from tests.upstream import RecordedShell, Wall, WallOn, read_action


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree as /etc/fail2ban, of which nothing was changed."""
    return fetch(tmp_path_factory.mktemp("upstream")).tree()


@pytest.fixture(scope="module")
def built_street() -> Iterator[Street]:
    with streets.built() as street:
        yield street


@pytest.fixture
def street(built_street: Street) -> Iterator[Street]:
    """Return a street on which nothing is enforced."""
    yield built_street
    built_street.clean()


@pytest.fixture
def host(street: Street) -> Namespace:
    """Return the server, for tests without clients."""
    return street.server


@pytest.fixture
def wall_on(upstream: Path, tmp_path: Path) -> WallOn:
    """Return a function that puts an action to work on a host."""
    numbers = iter(range(99))

    def wall(host: Namespace | RecordedShell, text: str, lore: Lore | None = None) -> Wall:
        folder = tmp_path / f"tree{next(numbers)}"
        folder.mkdir()
        shell = RecordedShell(host) if isinstance(host, Namespace) else host
        return Wall(read_action(upstream, folder, text), shell, lore)

    return wall
