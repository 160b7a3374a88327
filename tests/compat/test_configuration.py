# SPDX-License-Identifier: GPL-2.0-or-later
"""Every jail of Debian's jail.conf means to us what it means to Debian's fail2ban.

Source: jail-conf.md sections 5.4, 5.8 and 9.3.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fail2ban.config.tree import load
from tests.compat import trees
from tests.compat.differences import OPTIONS
from tests.compat.meaning import compare, parsed, report
from tests.compat.peer import Peer

#: The jails of Debian's jail.conf, by version.
JAILS = {"1.0.2": 91}


@pytest.mark.parametrize("action", ["%(action_)s", "%(action_mwl)s"])
def test_every_jail_means_the_same(peer: Peer, tmp_path: Path, action: str) -> None:
    found = compare(peer, trees.everything(peer.tree(), tmp_path, f"action = {action}"))
    print(f"{len(found.jails)} jails, {found.actions} actions, {found.values} values compared")
    unexplained = found.unexplained(OPTIONS.keys())
    assert not unexplained, report(unexplained)
    if peer.version in JAILS:
        assert len(found.jails) == JAILS[peer.version]
        assert not found.unused(OPTIONS.keys())


def test_the_daemon_means_the_same(peer: Peer, tmp_path: Path) -> None:
    tree = trees.everything(peer.tree(), tmp_path)
    daemon, _ = parsed(peer.dump(tree))
    ours = {value.option: value.text for value in load(tree).effective if not value.section}
    assert daemon
    assert {name: ours.get(name) for name in daemon} == daemon
