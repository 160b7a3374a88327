# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer's recidive filter reads our own log: who was banned, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from fail2ban import notices
from fail2ban.config import tree
from fail2ban.detect.match import Line
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.messages import Messages
from fail2ban.notices import Notices
from fail2ban.records import Ban, Id, LogSettings, Ticket
from tests.compat.peer import Peer
from tests.helpers import NOW, failure, ticket


@pytest.fixture
def recidive(peer: Peer, tmp_path: Path) -> TaggedFilter:
    base = tmp_path / "tree"
    base.mkdir()
    (base / "filter.d").symlink_to(peer.tree() / "filter.d")
    (base / "jail.conf").write_text("[r]\nenabled = true\nfilter = recidive\nlogpath = /x\n"
                                    "backend = polling\n")  # fmt: skip
    settings = tree.load(base).settings
    assert settings is not None
    return TaggedFilter(settings.jails[0].filter)


def written(path: Path, tell: Callable[[Notices], None]) -> list[str]:
    """Return what stands in a log file of ours."""
    settings = LogSettings(targets=(str(path),), aligned=True, level=logging.DEBUG)
    level = logging.getLogger().level
    messages = Messages(settings, console=False)
    tell(notices.of(modern=True))
    messages.close()
    logging.getLogger().setLevel(level)
    return path.read_text().splitlines()


def blamed(recidive: TaggedFilter, lines: list[str]) -> list[str]:
    found = [recidive.match(Line(line), NOW) for line in lines]
    return [str(match.host) for match in found if match is not None]


def ban(id: Id = "192.0.2.1", restored: bool = False) -> Ban:
    return Ban(NOW, NOW + 600, Ticket("sshd", id, 5, NOW), restored=restored)


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_bans_are_read(recidive: TaggedFilter, ip: str, tmp_path: Path) -> None:
    lines = written(tmp_path / "log", lambda n: n.banned(Ban(NOW, None, ticket(ip))))
    assert blamed(recidive, lines) == [ip]


def test_nothing_else_is(recidive: TaggedFilter, tmp_path: Path) -> None:
    def tell(n: Notices) -> None:
        n.found(failure())
        n.found_again(failure(), 1, 2, True)
        n.ignored(failure(), "ip")
        n.banned(ban(restored=True))
        n.increased(ban())
        n.rebanned(ban())
        n.unbanned(ban())
        n.repealed(ban())
        n.already_banned(ban().ticket)
        n.expired(ban().ticket)
        n.ban_failed(ban(), "x] Ban 192.0.2.9")
        n.restoring()

    lines = written(tmp_path / "log", tell)
    assert len(lines) == 12 and blamed(recidive, lines) == []


@pytest.mark.parametrize(
    "text", ["x] Ban 192.0.2.9", "]\tBan 2001:db8::9", "x]\n[sshd] Ban 192.0.2.9"]
)
def test_a_name_bans_nobody_else(recidive: TaggedFilter, text: str, tmp_path: Path) -> None:
    lines = written(tmp_path / "log", lambda n: n.banned(ban(text)))
    assert [
        who for who in blamed(recidive, lines) if who.endswith(".9") or who.endswith(":9")
    ] == []
