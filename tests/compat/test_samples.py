# SPDX-License-Identifier: GPL-2.0-or-later
"""Upstream's sample logs come out as its testers say, by the filters that Debian ships.

The samples are younger than these filters, so some lines fit no pattern yet.

Source: samples.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from fail2ban.config.tree import load
from fail2ban.detect import budget
from fail2ban.detect.tagged import TaggedFilter
from fail2ban.records import FilterSettings
from tests import needs
from tests.compat import corpora, replay, trees
from tests.compat.peer import NOW, ZONE, Peer

pytestmark = needs.shared("corpora/fail2ban.jsonl")

#: By version: how many samples there are of filters that it has, and how many of them,
#: by filter, only fit patterns of later versions.
KNOWN: dict[str, tuple[int, dict[str, int]]] = {
    "1.0.2": (
        1401,
        {
            "apache-auth": 1,
            "apache-badbots": 1,
            "apache-overflows": 3,
            "asterisk": 2,
            "domino-smtp": 1,
            "dovecot": 8,
            "froxlor-auth": 4,
            "mysqld-auth": 3,
            "named-refused": 1,
            "nginx-botsearch": 2,
            "nginx-http-auth": 7,
            "nginx-limit-req": 5,
            "postfix": 21,
            "recidive": 1,
            "selinux-ssh": 1,
            "sendmail-reject": 4,
            "sshd": 11,
            "vsftpd": 3,
            "zzz-sshd-obsolete-multiline": 2,
        },
    )
}


@pytest.fixture(autouse=True)
def _scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", ZONE)
    time.tzset()
    budget.install()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def cases(peer: Peer) -> list[dict[str, Any]]:
    """Return the cases whose filter the peer has."""
    found = corpora.cases()
    return [
        case
        for case in found
        if (peer.tree(case["config_dir"]) / f"filter.d/{case['filter']}.conf").exists()
    ]


@pytest.fixture(scope="module")
def settings(
    peer: Peer, cases: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, FilterSettings]:
    """Return the filter of each instance, as our loader reads it."""
    found = {}
    for config_dir in {case["config_dir"] for case in cases}:
        mine = [case for case in cases if case["config_dir"] == config_dir]
        names = {str(number): one for number, one in enumerate(corpora.instances(mine, NOW))}
        instances = dict.fromkeys(case["instance"] for case in mine)
        jails = {name: {"filter": str(one), "usedns": "raw"} for name, one in names.items()}
        folder = tmp_path_factory.mktemp("tree")
        loaded = load(trees.of_jails(peer.tree(config_dir), folder, jails))
        assert loaded.settings and not loaded.broken, loaded.problems
        filters = (jail.filter for jail in loaded.settings.jails)
        found |= dict(zip(instances, filters, strict=True))
    return found


@pytest.mark.parametrize("way", [replay.replay, replay.alone], ids=["replayed", "alone"])
def test_samples_come_out_as_their_testers_say(
    peer: Peer, cases: list[dict[str, Any]], settings: dict[str, FilterSettings], way: Any
) -> None:
    wrong = way(cases, lambda case: TaggedFilter(settings[case["instance"]], doubting=False))
    by_filter = dict(sorted(Counter(name.partition(":")[0] for name in wrong).items()))
    told = "\n".join(f"{name}  {difference}" for name, difference in wrong.items())
    print(f"{len(cases)} samples, {len(wrong)} fit a later filter only:\n{told}")
    assert (len(cases), by_filter) == KNOWN.get(peer.version, (len(cases), by_filter)), told
