# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell by how much totals have grown."""

from __future__ import annotations

from collections.abc import Hashable


class Growth:
    """Remembers totals that only grow, unless what they count begins anew."""

    def __init__(self) -> None:
        self._last: dict[Hashable, int] = {}

    def of(self, key: Hashable, total: int) -> int:
        """Return what has come since the last call with this key."""
        before = self._last.get(key, 0)
        self._last[key] = total
        return total - before if total >= before else total
