# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of Debian's unmodified actions ban and unban many addresses with one process."""

from __future__ import annotations

from pathlib import Path

from fail2ban.config.tree import load
from fail2ban.enforce.plain import plain
from fail2ban.records import FAMILIES, ActionSettings
from tests.compat import trees
from tests.compat.peer import Peer

#: By version. All others call something else, or more than one program.
PLAIN = {
    "1.0.2": {
        "firewallcmd-ipset",
        "iptables",
        "iptables-allports",
        "iptables-ipset",
        "iptables-ipset-proto6",
        "iptables-ipset-proto6-allports",
        "iptables-multiport",
        "iptables-multiport-log",
        "iptables-new",
        "nftables",
        "nftables-allports",
        "nftables-multiport",
        "shorewall-ipset-proto6",
    }
}


def test_the_actions_of_firewalls_that_take_many_are_plain(peer: Peer, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (peer.tree() / "action.d").glob("*.conf"))
    tree = trees.of_jails(
        peer.tree(), tmp_path, {name: {"filter": "sshd", "action": name} for name in names}
    )
    loaded = load(tree).settings
    assert loaded
    actions = [action for jail in loaded.jails for action in jail.actions]
    found = {action.name for action in actions if _is_plain(action)}
    assert found == PLAIN.get(peer.version, found)


def _is_plain(action: ActionSettings) -> bool:
    """Tell whether the commands of all families are plain, to ban and to unban."""
    texts = [command.of(f) for command in (action.ban, action.unban) for f in FAMILIES]
    return any(texts) and all(plain(text) for text in texts if text.strip())
