# SPDX-License-Identifier: GPL-2.0-or-later
"""Every filter of Debian's filter.d finds the same failures here as in Debian's fail2ban.

Both read the same files; lines are given in replay order, to one object of each.

Source: samples.md, corpora/README.md; jail-conf.md sections 7 and 8.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fail2ban.config.tree import load
from fail2ban.records import FilterSettings
from tests import needs
from tests.compat import answers, corpora, trees
from tests.compat.answers import Outcome
from tests.compat.corpora import Subject
from tests.compat.differences import FAILURES
from tests.compat.peer import LINE_SECONDS, NOW, ZONE, Peer

pytestmark = needs.shared("corpora/fail2ban.jsonl")

#: By version: filters with patterns in filter.d; cases of the corpus whose filter is there,
#: and of these those whose `reference` the peer reproduces.
FILTERS = {"1.0.2": 89}
CASES = {"1.0.2": (1401, 1323)}


@pytest.fixture(autouse=True)
def _scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", ZONE)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass
class Replay:
    """What the peer and we made of the lines of one subject; innocent lines are left out."""

    subject: Subject
    theirs: dict[int, Outcome]
    ours: dict[int, Outcome]


@dataclass
class Tally:
    """How many lines were compared, how many said something, and what differs.

    Attributes:
        known: why -> how often.
    """

    lines: int = 0
    failures: int = 0
    known: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)


def replays(peer: Peer, folder: Path, subjects: Sequence[Subject]) -> list[Replay]:
    """Give each subject its lines, here and there."""
    settings = _settings(peer, folder, subjects)
    found = peer.ask(_requests(peer, subjects))
    return [
        Replay(subject, answers.of_peer(answer["found"]), answers.ours(ours, subject.feeds))
        for subject, ours, answer in zip(subjects, settings, found, strict=True)
    ]


def _settings(peer: Peer, folder: Path, subjects: Sequence[Subject]) -> list[FilterSettings]:
    """Read the filters of all subjects as those of jails, which only count."""
    made: dict[int, FilterSettings] = {}
    for config_dir in {subject.config_dir for subject in subjects}:
        jails = {
            str(number): {"filter": str(subject), "usedns": "raw"}
            for number, subject in enumerate(subjects)
            if subject.config_dir == config_dir
        }
        place = folder / str(len(made))
        place.mkdir()
        loaded = load(trees.of_jails(peer.tree(config_dir), place, jails))
        assert loaded.settings and not loaded.broken, loaded.problems
        made |= {int(jail.name): jail.filter for jail in loaded.settings.jails}
    return [made[number] for number in range(len(subjects))]


def _requests(peer: Peer, subjects: Sequence[Subject]) -> Iterator[dict[str, Any]]:
    before = None
    for subject in subjects:
        request: dict[str, Any] = {
            "do": "filter",
            "base": str(peer.tree(subject.config_dir)),
            "name": subject.filter,
            "options": subject.options,
            "seconds": LINE_SECONDS,
        }
        if subject.feeds is not before:
            request["feeds"] = [[feed.text, feed.time] for feed in subject.feeds]
        before = subject.feeds
        yield request


def tally(found: Sequence[Replay]) -> Tally:
    """Compare; what differs without a known reason is shown."""
    result = Tally()
    for replay in found:
        result.lines += len(replay.subject.feeds)
        for number in sorted(replay.theirs.keys() | replay.ours.keys()):
            result.failures += 1
            theirs, ours = replay.theirs.get(number), replay.ours.get(number)
            if theirs == ours:
                continue
            feed = replay.subject.feeds[number]
            known = next((one for one in FAILURES if one.explains(feed, theirs, ours)), None)
            if known:
                result.known[known.reason] += 1
            else:
                result.unknown.append(f"{replay.subject} {feed}\n  peer {theirs}\n  ours {ours}")
    return result


def _show(result: Tally) -> None:
    print(f"{result.lines} lines given, {result.failures} say something; known differences:")
    for reason, count in result.known.items():
        print(f"  {count} times: {reason}")


def test_every_filter_finds_the_same_failures_in_every_line(peer: Peer, tmp_path: Path) -> None:
    subjects = [Subject("config", name) for name in peer.names("filter.d")]
    assert len(subjects) == FILTERS.get(peer.version, len(subjects))
    subjects += [one for one in corpora.instances(_cases(peer), NOW) if one.options]
    feeds = {journal: corpora.every_line(NOW if journal else None) for journal in (False, True)}
    for subject in subjects:
        subject.feeds = feeds[subject.options.get("logtype") == "journal"]
    subjects.sort(key=lambda subject: subject.options.get("logtype") == "journal")
    result = tally(replays(peer, tmp_path, subjects))
    print(f"{len(subjects)} filters, {len(feeds[False])} lines")
    _show(result)
    assert not result.unknown, "\n".join(result.unknown[:40])
    if peer.version in FILTERS:
        unused = {one.reason for one in FAILURES if one.always} - result.known.keys()
        assert not unused


def test_cases_of_the_corpus_come_out_as_there(peer: Peer, tmp_path: Path) -> None:
    cases = {case["id"]: case for case in _cases(peer)}
    found = replays(peer, tmp_path, corpora.instances(cases.values(), NOW))
    result = tally(found)
    reproduced, wrong = 0, []
    for replay in found:
        for number, feed in enumerate(replay.subject.feeds):
            expected = answers.of_reference(cases[feed.name])
            if answers.essence(replay.theirs.get(number)) != expected:
                continue
            reproduced += 1
            if answers.essence(replay.ours.get(number)) != expected:
                wrong.append((feed.name, expected, replay.ours.get(number)))
    print(f"{len(cases)} cases, {reproduced} of them as the corpus says")
    _show(result)
    assert not wrong
    assert not result.unknown, "\n".join(result.unknown[:40])
    assert (len(cases), reproduced) == CASES.get(peer.version, (len(cases), reproduced))


def _cases(peer: Peer) -> list[dict[str, Any]]:
    """Return the records whose filter the peer has."""
    return [
        case
        for case in corpora.cases()
        if (peer.tree(case["config_dir"]) / f"filter.d/{case['filter']}.conf").exists()
    ]
