# SPDX-License-Identifier: GPL-2.0-or-later
"""No line of the corpora in which a filter of Debian's filter.d finds something is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from fail2ban.config.tree import load
from fail2ban.detect import budget
from fail2ban.detect.budget import FIRST, OutOfTime, limited
from fail2ban.detect.cuts import common
from fail2ban.detect.encoding import UTF8
from fail2ban.detect.linebuffer import LineBuffer
from fail2ban.detect.prefilter import ANY, Prefilter, prefilter
from fail2ban.detect.tagged import TaggedFilter
from tests import needs
from tests.compat import corpora, trees
from tests.compat.corpora import Feed
from tests.compat.peer import NOW, Peer

pytestmark = [needs.shared("corpora/fail2ban.jsonl"), pytest.mark.usefixtures("hyperscan")]

#: By version: filters of one line each, and those of which every line must be tried.
FILTERS = {"1.0.2": (85, ["3proxy"])}
#: Of the lines that belong to other filters, every so many is given to a filter.
EVERY = 10


@pytest.fixture
def hyperscan() -> None:
    pytest.importorskip("hyperscan")
    budget.install()


def test_every_line_with_a_match_is_named(peer: Peer, tmp_path: Path) -> None:
    names = peer.names("filter.d")
    jails = {name: {"filter": name, "usedns": "raw"} for name in names}
    loaded = load(trees.of_jails(peer.tree(), tmp_path, jails))
    assert loaded.settings
    own = {
        one.filter: one.feeds for one in corpora.instances(corpora.cases(), NOW) if not one.options
    }
    others = corpora.every_line(None)[::EVERY]
    single, unfiltered, matches = 0, [], 0
    for jail in loaded.settings.jails:
        if jail.filter.maxlines > 1:
            continue
        single += 1
        matcher = TaggedFilter(jail.filter)
        if found := _prefilter(matcher):
            matches += _check(matcher, found, [*own.get(jail.name, []), *others])
        else:
            unfiltered.append(jail.name)
    print(f"{single} filters, {unfiltered} of them unfiltered, {matches} matches")
    assert (single, unfiltered) == FILTERS.get(peer.version, (single, unfiltered))
    assert matches > 500


def _prefilter(matcher: TaggedFilter) -> Prefilter | None:
    cut = common((one.form.regex, one.form.cut) for one in matcher.stamps.templates)
    patterns = [one.regex for one in matcher.patterns.failregex]
    prefix = matcher.patterns.prefix
    return prefilter(patterns, cut, UTF8, prefix)


def _check(matcher: TaggedFilter, found: Prefilter, feeds: list[Feed]) -> int:
    lines = [feed.text.encode(errors="surrogateescape") for feed in feeds]
    told = found.named(b"".join(line + b"\n" for line in lines))
    named = {end: set(numbers) for _, end, numbers in told}
    end = matches = 0
    for feed, line in zip(feeds, lines, strict=True):
        end += len(line) + 1
        text = UTF8.text(line)[0]
        stamp = matcher.stamps.find(text, NOW) if feed.time is None else None
        seen = text[: stamp.start] + text[stamp.end :] if stamp else text
        try:
            sight = limited(FIRST, matcher.patterns.look, seen, text, LineBuffer(1), True)
        except OutOfTime:  # given up by the daemon, too
            continue
        for one in sight.found:
            matches += 1
            assert named.get(end, set()) & {one.number, ANY}, (feed, one)
    return matches
