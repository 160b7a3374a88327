# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that are counted, and kept as far as they are to be printed.

A log may be larger than the memory: what is to be printed at the end anyway waits
in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

#: Characters or so that stay in memory.
_IN_MEMORY = 256 * 1024


class Kept:
    """Lines of one kind.

    Args:
        limit: as soon as there are so many, none is kept any more; None: all are.

    Attributes:
        count: how many there were.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.count = 0
        self._limit = limit
        self._file = tempfile.SpooledTemporaryFile(
            _IN_MEMORY, "w+", encoding="utf-8", errors="surrogatepass", newline="\n"
        )

    def add(self, line: str) -> None:
        """Count a line, which has no newline in it."""
        self.count += 1
        if not self.too_many:
            self._file.write(f"{line}\n")
        elif self.count == self._limit:
            self._file.truncate(0)

    @property
    def too_many(self) -> bool:
        """Whether there are more than are kept."""
        return self._limit is not None and self.count >= self._limit

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        for line in self._file:
            yield line.removesuffix("\n")
