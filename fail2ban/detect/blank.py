# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter of a section that has no patterns yet."""

from __future__ import annotations

from collections.abc import Mapping

from fail2ban.detect.dating import Dating
from fail2ban.detect.match import Line, Match
from fail2ban.detect.sieve import Sieve
from fail2ban.records import Problem


class Blank:
    """A filter without any pattern: nobody is to blame."""

    problems: tuple[Problem, ...] = ()

    def __init__(self) -> None:
        self.dating, self.sieve = Dating(), Sieve()

    def match(self, line: Line, now: float) -> Match | None:
        """Return None, see `Matcher`."""
        return None

    def when(self, line: str, now: float) -> float | None:
        """Return None, see `Matcher`."""
        return None

    def memory(self) -> Mapping[str, str]:
        """Return nothing, see `Matcher`."""
        return {}

    def recall(self, texts: Mapping[str, str]) -> None:
        """Do nothing, see `Matcher`."""
