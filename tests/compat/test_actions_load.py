# SPDX-License-Identifier: GPL-2.0-or-later
"""Every action of Debian's action.d means to us what it means to Debian's fail2ban.

Source: jail-conf.md sections 4.2, 9.1, 9.3 and 9.7.
"""

from __future__ import annotations

from pathlib import Path

from fail2ban.config.tree import load
from tests.compat import trees
from tests.compat.differences import ACTIONS
from tests.compat.meaning import compare, report
from tests.compat.peer import Peer

#: Files with commands in Debian's action.d, by version.
FILES = {"1.0.2": 63}


def test_every_action_means_the_same(peer: Peer, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (peer.tree() / "action.d").glob("*.conf"))
    tree = trees.of_jails(
        peer.tree(), tmp_path, {name: {"filter": "sshd", "action": name} for name in names}
    )
    found = compare(peer, tree)
    print(f"{found.actions} actions, {found.values} values compared")
    unexplained = found.unexplained(ACTIONS.keys())
    assert not unexplained, report(unexplained)
    assert found.actions == len(names) == FILES.get(peer.version, len(names))
    if peer.version in FILES:
        assert not found.unused(ACTIONS.keys())


def test_the_only_action_in_python_is_the_one_we_have_ourselves(peer: Peer, tmp_path: Path) -> None:
    names = sorted(path.name for path in (peer.tree() / "action.d").glob("*.py"))
    assert names == ["smtp.py"]
    tree = trees.of_jails(
        peer.tree(), tmp_path, {"jail": {"filter": "sshd", "action": "smtp.py[dest=me]"}}
    )
    settings = load(tree).settings
    assert settings
    (action,) = settings.jails[0].actions
    assert action.mail and action.mail.to == ("me",)
