# SPDX-License-Identifier: GPL-2.0-or-later
"""What the judges of all sections share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fail2ban.decide.bans import Bans
from fail2ban.decide.history import History
from fail2ban.decide.hosts import Hosts
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.ignorecommand import Asker
from fail2ban.events import Events
from fail2ban.notices import Notices


@dataclass(frozen=True)
class Court:
    """What the judges of all sections share.

    Attributes:
        bans: the table of all sections.
        own: the addresses of this host.
        hosts: those of names in `ignoreip`.
        history: earlier bans.
        notices: tells what happens, in the wording that was asked for.
        events: is told what is decided.
        asker: runs `ignorecommand`.
        clock: seconds since the epoch.
        ticks: seconds that only go forward.
        rng: for bans of random length.
    """

    bans: Bans
    own: OwnAddresses
    hosts: Hosts
    history: History
    notices: Notices
    asker: Asker
    events: Events = field(default_factory=Events)
    clock: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
