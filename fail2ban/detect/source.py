# SPDX-License-Identifier: GPL-2.0-or-later
"""Where lines come from, for the reader: files, or systemd's journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from fail2ban.detect.match import Line
from fail2ban.detect.sieve import Sieve


class Source(Protocol):
    """The logs of one section; belongs to the reader's thread.

    Attributes:
        revision: changes when `paths` does.
        notifies: it wakes the reader itself; nobody has to look whether there
            are new lines.
        lines: that were read so far, also those that were passed over.
    """

    revision: int
    notifies: bool
    lines: int

    def poll(self) -> Iterator[Line]:
        """Yield the lines that were completed since the last call.

        What was not taken from the iterator is lost, so take all or come back to it.
        """

    def use(self, sieve: Sieve) -> None:
        """Pass over what a sieve does not pick, from now on, as far as that pays.

        Called while nobody polls.
        """

    def marks(self) -> Mapping[str, str]:
        """Return how far the lines reach that were taken from `poll`, as texts by key.

        A source that gets them in a later run goes on there. Holds when all was taken
        that one `poll` yields. It is the same object as long as nothing changes.
        """

    def due(self) -> float:
        """Return the seconds after which `poll` is worth a call at the latest."""

    def paths(self) -> Iterable[str]:
        """Return what to watch, so that new lines wake the reader."""

    def close(self) -> None:
        """Let go of everything."""
