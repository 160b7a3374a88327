# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetch the peer once for all tests that compare with it."""

from __future__ import annotations

import pytest

from tests.compat.peer import Peer, fetch


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    return fetch(tmp_path_factory.mktemp("peer"))
