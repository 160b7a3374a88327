# SPDX-License-Identifier: GPL-2.0-or-later
"""More sections than the kernel allows a user instances of inotify."""

from __future__ import annotations

import os
from pathlib import Path

from tests import needs
from tests.e2e.test_tree_reload import Reloads
from tests.e2e.trees import ATTACKER, OTHER, Site, banned

pytestmark = needs.root()

COUNT = 200


def instances(pid: int) -> int:
    """Return how many instances of inotify a process has."""
    folder = f"/proc/{pid}/fd"
    return sum(os.readlink(f"{folder}/{one}") == "anon_inode:inotify" for one in os.listdir(folder))


def test_two_hundred_sections_are_woken_by_one_instance_of_inotify(tmp_path: Path) -> None:
    site = Site(tmp_path)
    names = [f"jail{number}" for number in range(COUNT)]
    site.jails(*(site.jail(name) for name in names))
    with site.running() as daemon:
        reload = Reloads(daemon)
        for name in names:
            site.attack(ATTACKER, name)
        for name in names:
            daemon.wait_for(banned(name, ATTACKER))
        assert instances(daemon.process.pid) == 1
        site.log(names[0]).rename(site.root / "rotated")
        site.attack(OTHER, names[0])
        daemon.wait_for(banned(names[0], OTHER))
        assert daemon.count("inotify is not fully available") == 0
        site.jails(*(site.jail(name) for name in names[:3]))
        reload()
        site.attack(OTHER, names[1])
        daemon.wait_for(banned(names[1], OTHER))
        assert instances(daemon.process.pid) == 1
        assert daemon.stop() == 0
