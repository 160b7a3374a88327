# SPDX-License-Identifier: GPL-2.0-or-later
"""What all rows share: sizes, the workshop, and the register of rows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import proc
from bench.peers import Peers
from bench.programs import CLASSIC, OURS, PEER, POLLING, Contender, Stage
from bench.results import Row


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: pairs of runs; slow_rounds: of those that take long.
        lines: of a log at most; seconds: that reading it is to take, at least about so.
        attackers: one after the other, in each round; slow_attackers: for slow programs.
        storms: attackers at once, for all; storm: for us alone.
        bans: stored ones; peer_bans: those of the peer.
        jails: idle ones; rest: seconds that they are watched.
        started: sections of the row "start".
        tracked: addresses in the tracker.
        elements: of one batch for the kernel.
        patience: seconds after which a run is cut off; what it has done until then counts.
    """

    rounds: int = 5
    slow_rounds: int = 3
    lines: int = 4_000_000
    seconds: float = 1.5
    attackers: int = 70
    slow_attackers: int = 15
    storms: int = 2_000
    storm: int = 10_000
    bans: int = 100_000
    peer_bans: int = 2_000
    jails: int = 50
    rest: float = 20.0
    started: int = 100
    tracked: int = 1_000_000
    elements: int = 100_000
    patience: float = 100.0


#: For a quick look whether everything works.
QUICK = Sizes(
    rounds=1, slow_rounds=1, lines=20_000, seconds=0.05, attackers=5, slow_attackers=2, storms=20,
    storm=50, bans=100, peer_bans=20, jails=3, rest=1.0, started=3, tracked=10_000, elements=500,
    patience=20.0,
)  # fmt: skip


@dataclass
class Workshop:
    """What a row works with.

    Attributes:
        folder: for its files; the stage's is below.
        inside: we are in a network namespace of our own, so firewalls may be touched.
        say: tells the user what is being done.
    """

    stage: Stage
    sizes: Sizes
    folder: Path
    inside: bool
    say: Callable[[str], None] = field(default=lambda text: print(text, file=sys.stderr))

    @property
    def peers(self) -> Peers:
        """The programs that we are compared with."""
        return self.stage.peers

    def contenders(self, classic: bool = True, polling: bool = False) -> list[Contender]:
        """Return who takes part, as far as he is there."""
        found = [OURS] if self.peers.tree.is_dir() else []
        found += [CLASSIC] if classic or not found else []
        if self.peers.python:
            inotify = self.peers.has_inotify
            found += [PEER] if inotify else []
            found += [POLLING] if polling or not inotify else []
        return found

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Provide a folder that is gone afterwards."""
        folder = self.folder / name
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear_firewall(self) -> None:
        """Remove all rules of our own network namespace."""
        assert self.inside
        proc.run(["nft", "flush", "ruleset"])


@dataclass(frozen=True)
class Maker:
    """Makes a row, or several that come of one measurement.

    Attributes:
        firewall: needs root, and a network namespace.
        peers: needs their files (configuration, at least).
    """

    names: tuple[str, ...]
    what: str
    make: Callable[[Workshop, tuple[str, ...]], Iterable[Row]]
    firewall: bool = False
    peers: bool = True
