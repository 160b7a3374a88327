# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's health as metrics, as a document, and as answers to clients."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli import health as shown
from fail2ban.cli.beautify import beautify
from fail2ban.control import asking
from fail2ban.control import health as commands
from fail2ban.control.commands import Commands
from fail2ban.control.host import Refused
from fail2ban.control.schema import deviations
from fail2ban.errors import Fail2BanError
from fail2ban.health import report
from fail2ban.health.exposition import Family, Sample, number, text
from fail2ban.health.facts import (
    Alarm,
    CommandCount,
    Counted,
    Health,
    JailFacts,
    LogFacts,
    Observed,
    StoreFacts,
)
from fail2ban.health.families import families
from fail2ban.health.histogram import BOUNDS, Histogram
from fail2ban.records import Settings
from tests.helpers import NOW

parser = pytest.importorskip("prometheus_client.parser")
HOSTILE = '/log"\n\\x\x1b[31m{}'

Parsed = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(written: str) -> Parsed:
    """Read samples as prometheus-client does."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(written)
        for sample in family.samples
    }


def some_health() -> Health:
    latency = Histogram()
    latency.add(0.004)
    latency.add(70)
    jail = JailFacts(
        "sshd",
        lines=10,
        matches=4,
        last_line=NOW,
        bans={"applied": 2, "failed": 1},
        failed={ip_address("192.0.2.1"): "returned 1"},
        logs=(LogFacts(HOSTILE, 10, 4, NOW, skew=-2.5), LogFacts("/gone", problem="none")),
    )
    counted = Counted(
        {("sshd", "banned"): 2, ("gone", "banned"): 9},
        {("sshd", "nft", "ban"): CommandCount(3, 1, 0.5, 0.25), ("", "", "start"): CommandCount(1)},
        {"sshd": latency.read()},
    )
    store = StoreFacts("/db", 4096, 1, "", 0.01)
    observed = Observed((jail,), 2, 0.5, 7, store)
    return Health(
        NOW, NOW - 60, "2.0", observed, counted, 5, (Alarm("leak", "sshd", NOW, "it leaks"),)
    )


# Text -------------------------------------------------------------------------

_labels = st.dictionaries(
    st.sampled_from(["jail", "log", "verb"]),
    st.text(st.characters(exclude_categories=["Cs"])),
).map(lambda labels: tuple(labels.items()))


@given(
    st.dictionaries(_labels, st.floats(allow_nan=False), max_size=5),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_what_is_written_is_read_back_whatever_the_labels_hold(
    values: dict[tuple[tuple[str, str], ...], float], help: str
) -> None:
    samples = tuple(Sample("", labels, value) for labels, value in values.items())
    written = text([Family("x_seconds", "gauge", help, samples)])
    expected = {("x_seconds", tuple(sorted(labels))): value for labels, value in values.items()}
    assert parsed(written) == expected


@given(st.floats())
def test_a_number_is_read_back_as_it_was(value: float) -> None:
    read = float(number(value))
    assert read == value or math.isnan(read) and math.isnan(value)


def test_a_family_without_samples_is_left_out() -> None:
    assert text([Family("x", "gauge", "x", ())]) == ""


# Metrics ----------------------------------------------------------------------


def test_metrics_have_the_names_units_and_types_that_prometheus_expects() -> None:
    written = text(families(some_health()))
    for family in parser.text_string_to_metric_families(written):
        assert family.name.startswith("fail2ban_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_metrics_tell_of_sections_logs_commands_and_alarms() -> None:
    read = parsed(text(families(some_health())))
    jail = ("jail", "sshd")
    assert read["fail2ban_jail_lines_total", (jail,)] == 10
    assert read["fail2ban_jail_bans", (jail, ("state", "failed"))] == 1
    assert read["fail2ban_jail_bans_applied_total", (jail,)] == 2
    assert read["fail2ban_alarm", (("alarm", "leak"), jail)] == 1
    assert read["fail2ban_log_readable", (jail, ("log", "/gone"))] == 0
    command = ("action", "nft"), jail, ("verb", "ban")
    assert read["fail2ban_command_seconds_total", command] == 0.5
    assert read["fail2ban_command_runs_total", (("action", ""), ("jail", ""), ("verb", "start"))]
    assert read["fail2ban_start_time_seconds", ()] == NOW - 60


def test_the_latency_is_a_histogram_whose_buckets_grow() -> None:
    read = parsed(text(families(some_health())))
    name, jail = "fail2ban_ban_latency_seconds", ("jail", "sshd")
    counts = [read[f"{name}_bucket", (jail, ("le", str(bound)))] for bound in BOUNDS]
    assert counts == sorted(counts) and counts[-1] == 1
    assert read[f"{name}_bucket", (jail, ("le", "+Inf"))] == read[f"{name}_count", (jail,)] == 2
    assert read[f"{name}_sum", (jail,)] == 70.004


def test_nothing_in_the_metrics_is_obeyed_by_a_terminal() -> None:
    written = text(families(some_health()))
    assert written.replace("\n", "").isprintable()
    assert r"/log\"\\n\\x\\x1b[31m{}" in written


def test_a_section_that_is_gone_leaves_no_metrics() -> None:
    assert "gone" not in text(families(some_health())).replace("/gone", "")


def test_addresses_are_no_metrics() -> None:
    assert "192.0.2.1" not in text(families(some_health()))


# The document -----------------------------------------------------------------


def test_the_document_has_the_shape_that_is_promised() -> None:
    document = json.loads(json.dumps(report.document(some_health())))
    assert deviations(document, report.SHAPE) == []
    assert (
        deviations(json.loads(json.dumps(report.document(Health(NOW, NOW, "2")))), report.SHAPE)
        == []
    )


def test_the_document_tells_what_was_counted() -> None:
    document = report.document(some_health())
    (jail,) = document["jails"]  # type: ignore[misc]
    assert jail["alarms"] == ["leak"]
    assert jail["bans"]["applied"] == 2
    assert jail["bans"]["failing"] == [{"id": "192.0.2.1", "reason": "returned 1"}]
    assert jail["latency"]["half_within"] == 0.005
    assert jail["last_match"] is None
    assert jail["logs"][0]["skew"] == -2.5


# Clients ----------------------------------------------------------------------


class Host:
    """A daemon of which only the health is known."""

    def health(self) -> Health:
        return some_health()


@pytest.mark.parametrize("command", sorted(commands.COMMANDS))
def test_what_is_asked_about_the_health_is_answered_in_its_shape(command: str) -> None:
    answer = Commands(Host()).execute([command], 1)  # type: ignore[arg-type]
    assert deviations(answer, {"schema": int, **commands.SHAPES[command]}) == []


@pytest.mark.parametrize("command", sorted(commands.COMMANDS))
def test_who_may_only_look_may_ask_about_the_health(command: str) -> None:
    asked: list[list[object]] = []

    def execute(said: list[object], wanted: int | None) -> object:
        asked.append(said)
        return None

    asking.only_asking(execute)([command], None)
    assert asked == [[command]]


@pytest.mark.parametrize("command", sorted(commands.COMMANDS))
def test_a_word_too_many_is_refused(command: str) -> None:
    with pytest.raises(Refused, match="'sshd' is a word too many"):
        Commands(Host()).execute([command, "sshd"])  # type: ignore[arg-type]


ALARMS = [
    {"name": "leak", "jail": "sshd", "since": NOW, "text": "it leaks\x1b"},
    {"name": "store", "jail": "", "since": NOW, "text": "it is full"},
    {"name": "quiet", "jail": "web", "since": NOW, "text": "it is silent"},
]


def test_alarms_are_shown_a_line_each_without_what_a_terminal_obeys() -> None:
    first, second, _ = shown.lines(ALARMS).split("\n")
    assert first.startswith("ALARM [sshd] leak since 20")
    assert first.endswith(r"it leaks\x1b")
    assert second.startswith("ALARM store since ")


def test_below_the_status_of_a_section_there_are_its_own_alarms() -> None:
    assert "[web]" not in shown.lines(ALARMS, "sshd")
    assert len(shown.lines(ALARMS, "sshd").split("\n")) == 2


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Have the server tell its alarms and a dry run; what it was asked."""
    asked: list[Sequence[str]] = []

    def answer(daemon: Settings, words: Sequence[str], schema: object, timeout: float) -> object:
        asked.append(words)
        jails = [{"name": "sshd", "dryrun": False}, {"name": "dry\x1b", "dryrun": True}]
        return {"alarms": ALARMS, "jails": jails}

    monkeypatch.setattr(shown, "answer", answer)
    return asked


DRY = "[dry\\x1b] is a dry run: its bans are not carried out\n"


@pytest.mark.parametrize(
    "words, alarms, dry",
    [
        (["status"], 3, DRY),
        (["status", "--all", "short"], 3, DRY),
        (["status", "sshd"], 2, ""),
        (["status", "dry\x1b"], 1, DRY),
        (["stats"], 0, DRY),
        (["banned", "192.0.2.1"], 0, DRY),
        (["get", "dry\x1b", "banip"], 0, DRY),
        (["get", "sshd", "banip"], 0, ""),
    ],
)
def test_alarms_and_dry_runs_are_remarked_on_the_standard_error(
    told: list[Sequence[str]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    alarms: int,
    dry: str,
) -> None:
    shown.remark(Settings(), words)
    out, err = capsys.readouterr()
    assert told == [["health"]]
    assert out == "" and err.count("ALARM") == alarms and err.startswith(dry)
    assert ("dry run" in err) == bool(dry)


@pytest.mark.parametrize("words", [["ping"], ["get", "sshd", "bantime"], ["reload"], ["unban"]])
def test_nothing_is_asked_where_there_is_nothing_to_remark(
    told: list[Sequence[str]], words: list[str]
) -> None:
    shown.remark(Settings(), words)
    assert told == []


@pytest.mark.parametrize("result", [None, [], {}, {"alarms": 1, "jails": 2}])
def test_a_server_that_answers_something_else_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], result: object
) -> None:
    monkeypatch.setattr(shown, "answer", lambda *args: result)
    shown.remark(Settings(), ["status"])
    assert capsys.readouterr() == ("", "")


def test_a_server_that_knows_no_health_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*args: object) -> object:
        raise Fail2BanError("Invalid command")

    monkeypatch.setattr(shown, "answer", answer)
    shown.remark(Settings(), ["status"])
    assert capsys.readouterr() == ("", "")


def test_the_client_prints_metrics_line_by_line() -> None:
    written = text(families(some_health()))
    assert beautify(["metrics"], written) + "\n" == written
    assert beautify(["metrics"], "a\x1b\nb\n") == "a\\x1b\nb"


def test_the_client_prints_that_there_is_no_alarm() -> None:
    assert beautify(["alarms"], []) == "No alarm"
    assert beautify(["alarms"], ALARMS) == shown.lines(ALARMS)


def test_the_client_prints_the_health_as_json() -> None:
    document = report.document(some_health())
    assert json.loads(beautify(["health"], document)) == json.loads(json.dumps(document))
