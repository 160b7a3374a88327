# SPDX-License-Identifier: GPL-2.0-or-later
"""The timestamps of real log lines, as the corpora beside this project state them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fail2ban.detect.dates import UsualDates

CORPUS = Path(__file__).parents[2] / "shared" / "corpora" / "fail2ban.jsonl"
NOW = 1124013600.0

pytestmark = pytest.mark.skipif(
    not CORPUS.exists(), reason="needs ../shared/corpora/fail2ban.jsonl beside the project"
)

_OWN = "the filter has a date pattern of its own"
_TAI = "the 10 s that daemontools adds are taken away"
_INNOCENT = "an innocent line, whose time upstream's test never compares; it is an hour off"
EXCEPTIONS = {
    "counter-strike:counter-strike:2:0": _OWN,
    "counter-strike:counter-strike:4:0": _OWN,
    "cowrie:cowrie:4:0": _OWN + " that does not read the Z",
    "cowrie:cowrie:24:0": _OWN + " that does not read the Z",
    "dovecot:dovecot:2:0": _TAI,
    "dovecot:dovecot:5:0": _TAI,
    "dovecot:dovecot:8:0": _TAI,
    "dovecot:dovecot:10:0": _TAI,
    "ejabberd-auth:ejabberd-auth:9:0": "the date is in the line before",
    "guacamole:guacamole:4:0": "the date is in the line before",
    "guacamole:guacamole:8:0": "the date is in the line before",
    "guacamole:guacamole:12:0": "the date is in the line before",
    "selinux-ssh:selinux-ssh:14:0": _INNOCENT,
    "selinux-ssh:selinux-ssh:20:0": _INNOCENT,
    "squirrelmail:squirrelmail:3:0": _OWN + ", month first",
}


@pytest.fixture(autouse=True)
def _zurich(monkeypatch):
    monkeypatch.setenv("TZ", "CET-01CEST-02,M3.5.0,M10.5.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def records() -> list[dict]:
    with CORPUS.open(encoding="ascii") as file:
        all_records = [json.loads(line) for line in file]
    return [r for r in all_records if r["feed"] == "file" and r["time_epoch"] is not None]


def test_real_lines_happened_when_the_corpus_says():
    dates = UsualDates()
    wrong = {}
    for record in records():
        found = dates.find(record["lines"][-1], NOW)
        if found is None or int(found) != record["time_epoch"]:
            wrong[record["id"]] = found
    print(f"{len(records())} timestamps checked, {len(wrong)} differ as expected")
    assert wrong.keys() == EXCEPTIONS.keys()
    assert len(records()) >= 970


def test_tai64n_differs_by_exactly_ten_seconds():
    dates = UsualDates()
    differences = {
        record["time_epoch"] - int(dates.find(record["lines"][-1], NOW) or 0)
        for record in records()
        if EXCEPTIONS.get(record["id"]) == _TAI
    }
    assert differences == {10}
