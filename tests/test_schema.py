# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs get the answers that they are promised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from fail2ban.control import schema
from fail2ban.control.asking import QUERIES
from fail2ban.control.commands import Commands
from fail2ban.control.host import Held, NoJail, Refused, Regard
from fail2ban.control.plain import plain
from fail2ban.control.schema import SHAPES, VERSION, deviations
from fail2ban.control.watching import KINDS, Watch, as_data
from fail2ban.events import Event
from fail2ban.records import Id
from tests.helpers import NOW
from tests.test_commands_control import FakeHost

ROOT = Path(__file__).parent.parent
ONE, NET = ip_address("192.0.2.1"), ip_network("198.51.100.0/24")
#: What the capitals in a form stand for.
EXAMPLES = {"WORD": "x", "JAIL": "one", "ID": "192.0.2.1", "OPTION": "maxretry"}


class Known(FakeHost):
    """A daemon about which there is something to tell."""

    def held(self, name: str) -> list[Held]:
        held = super().held(name)
        return [*held, *(Held(one.ban, "failed", "no such table") for one in held[:1])]

    def regard(self, name: str, id: Id) -> Regard:
        return Regard(None, (1.0, 2.0))

    def why(self, id: Id) -> list[Event]:
        return [
            Event(NOW, "found", "one", ONE, {"lines": ("a", "b"), "time": NOW}),
            Event(NOW, "jail", "one", None, {"state": "started"}),
        ]


@pytest.fixture
def host() -> FakeHost:
    host = Known()
    host.ban("one", [ONE, NET, "alice"])
    return host


def asked(host: FakeHost, words: list[str]) -> Any:
    """Return the answer as it arrives."""
    return json.loads(json.dumps(plain(Commands(host).execute(words, VERSION))))


def example(form: str) -> list[str]:
    words = [EXAMPLES.get(word, word) for word in form.split()]
    return ["get", "loglevel"] if form == "get OPTION" else words


@pytest.mark.parametrize("form", SHAPES)
def test_every_question_is_answered_as_promised(form: str, host: FakeHost) -> None:
    answer = asked(host, example(form))
    assert deviations(answer, {"schema": int, **SHAPES[form]}) == []
    assert answer["schema"] == VERSION


def test_every_question_has_a_shape() -> None:
    assert {form.split()[0] for form in SHAPES} == QUERIES - {"watch"}


def test_events_have_the_promised_shape() -> None:
    for event in Known().why(ONE):
        assert deviations(json.loads(json.dumps(as_data(event))), schema.LINES) == []
    assert isinstance(Commands(FakeHost()).execute(["watch"], VERSION), Watch)


def test_what_changes_something_has_a_result(host: FakeHost) -> None:
    assert asked(host, ["unban", "alice"]) == {"schema": 1, "result": 1}
    assert asked(host, ["set", "one", "maxretry", "9"]) == {"schema": 1, "result": 9}


def test_a_jail_tells_its_numbers_and_its_bans(host: FakeHost) -> None:
    jail = asked(host, ["status", "one"])["jail"]
    assert jail["failed"] == {"now": 1, "total": 4}
    assert jail["banned"] == {"now": 3, "total": 9, "wanted": 0, "applied": 3, "failed": 1}
    assert [ban["id"] for ban in jail["bans"][:3]] == ["192.0.2.1", "198.51.100.0/24", "alice"]
    assert jail["bans"][0]["end"] == NOW + 600


def test_bans_that_are_only_rehearsed_say_so(host: FakeHost) -> None:
    host.running["one"] = replace(host.running["one"], dryrun=True)
    assert asked(host, ["status", "one"])["jail"]["bans"][0]["dryrun"]
    assert {ban["dryrun"] for ban in asked(host, ["banned"])["bans"]} == {True}
    assert asked(host, ["banned", "alice"])["ids"][0]["dryrun"] == ["one"]


def test_ids_are_told_with_the_sections_that_ban_them(host: FakeHost) -> None:
    assert asked(host, ["banned", "alice", "bob"])["ids"] == [
        {"id": "alice", "jails": ["one"], "dryrun": []},
        {"id": "bob", "jails": [], "dryrun": []},
    ]


def test_a_schema_that_is_not_known_is_refused(host: FakeHost) -> None:
    with pytest.raises(Refused, match="there is no schema 2; expected 1"):
        Commands(host).execute(["ping"], 2)


def test_refusals_are_the_same_in_every_shape(host: FakeHost) -> None:
    for words in (["status", "nope"], ["get", "nope", "maxretry"], ["why", "x", "nope"]):
        with pytest.raises(NoJail):
            Commands(host).execute(words, VERSION)
    with pytest.raises(Refused):
        Commands(host).execute(["status", "a", "b", "c"], VERSION)


class Fading(FakeHost):
    """A daemon from which a reload has just taken the section `gone`."""

    def jails(self) -> list[str]:
        return ["gone", *super().jails()]


@pytest.mark.parametrize("wanted", [None, VERSION])
@pytest.mark.parametrize(
    "line", ["status --all", "stats", "banned", "banned 192.0.2.1", "status --all short"]
)
def test_a_section_that_goes_meanwhile_is_left_out(line: str, wanted: int | None) -> None:
    answers = [Commands(host).execute(line.split(), wanted) for host in (FakeHost(), Fading())]
    assert answers[0] == answers[1]


# The words of the table -----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (1, int),
        (1, float),
        (1.5, float),
        ("a", str),
        (True, bool),
        (None, None),
        (None, (str, None)),
        ([], [int]),
        ([1, 2], [int]),
        ({"a": 1}, {"a": int}),
        ({"b": 1}, dict),
        ("anything", object),
        ({"a": 1}, ({"a": str}, {"a": int})),
    ],
)
def test_what_fits_has_no_deviation(value: object, shape: object) -> None:
    assert deviations(value, shape) == []


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (True, int),
        (True, float),
        (1.5, int),
        (1, str),
        (1, bool),
        ("", None),
        (1, (str, None)),
        ({}, [int]),
        ([1, "2"], [int]),
        ({}, {"a": int}),
        ([], {"a": int}),
        ({"a": 1, "b": 1}, {"a": int}),
        ({"a": 1}, ({"a": str}, {"b": int})),
    ],
)
def test_what_does_not_fit_is_told(value: object, shape: object) -> None:
    assert deviations(value, shape)


def test_a_reader_passes_over_names_that_are_new() -> None:
    assert deviations({"a": [{"b": 1, "new": 2}]}, {"a": [{"b": int}]}, strict=False) == []
    assert deviations({"a": [{"new": 2}]}, {"a": [{"b": int}]}, strict=False)


# The page ---------------------------------------------------------------------------


def names(shape: Any) -> Iterator[str]:
    """Yield the names of all parts."""
    if isinstance(shape, dict):
        yield from shape
    if isinstance(shape, dict | list | tuple):
        for part in shape.values() if isinstance(shape, dict) else shape:
            yield from names(part)


def test_the_page_explains_every_name_and_every_question() -> None:
    page = (ROOT / "man/fail2ban-protocol.7").read_text().replace("\\-", "-").replace("\\", "")
    words = set(re.findall(r"[\w-]+", page))
    wanted = {*names(list(SHAPES.values())), *names(schema.LINES), *names(schema.REFUSAL)}
    assert wanted - words == set()
    assert {*QUERIES, *KINDS} - words == set()
