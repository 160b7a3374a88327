# SPDX-License-Identifier: GPL-2.0-or-later
"""Why somebody is banned, or is not: found out, and laid out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli.whylayout import lay_out
from fail2ban.control.host import Held, NoJail, Refused, Regard
from fail2ban.control.watching import as_data
from fail2ban.control.why import covers, why, why_not
from fail2ban.events import Event, Kind
from fail2ban.records import Ban, Id, IgnoreSettings, Settings, Ticket
from tests.helpers import NOW, jail_settings
from tests.test_commands_control import FakeHost

IP, NET = ip_address("192.0.2.7"), ip_network("192.0.2.0/24")


class Host(FakeHost):
    """A daemon with the sections `one` and `two`, and `off`, which does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[Held] = []
        self.regards: dict[str, Regard] = {}
        self.events: list[Event] = []

    def settings(self) -> Settings:
        off = replace(jail_settings("off"), enabled=False)
        return Settings(jails=(*self.running.values(), off))

    def held(self, name: str) -> list[Held]:
        self.jail(name)
        return [held for held in self.states if held.ban.jail == name]

    def regard(self, name: str, id: Id) -> Regard:
        self.jail(name)
        return self.regards.get(name, Regard())

    def why(self, id: Id) -> list[Event]:
        return self.events

    def set(self, name: str, **changes: Any) -> None:
        self.running[name] = replace(self.running[name], **changes)

    def hold(self, id: Id, state: str = "applied", error: str = "") -> None:
        ban = Ban(NOW, NOW + 600, Ticket("one", id, 5, NOW))
        self.states.append(Held(ban, state, error))


def clock() -> float:
    return NOW


def checks(host: Host, id: str = "192.0.2.7") -> dict[str, Any]:
    found: Any = why_not(host, [id], clock)
    return {check["jail"]: check for check in found["checks"]}


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


# What is found out -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "id", "expected"),
    [
        (IP, IP, True),
        (NET, IP, True),
        (NET, NET, True),
        (NET, ip_network("192.0.2.64/26"), True),
        (ip_network("192.0.2.64/26"), NET, False),
        (NET, ip_address("198.51.100.1"), False),
        (NET, ip_address("2001:db8::1"), False),
        (NET, "192.0.2.7", False),
        ("alice", "alice", True),
        ("alice", IP, False),
    ],
)
def test_a_network_covers_what_lies_within(one: Id, id: Id, expected: bool) -> None:
    assert covers(one, id) is expected


def test_bans_of_an_id_and_of_networks_around_it_are_told(host: Host) -> None:
    for id in (IP, NET, ip_address("192.0.2.8"), "alice"):
        host.hold(id)
    found: Any = why(host, ["192.0.2.7"], clock)
    assert [ban["id"] for ban in found["bans"]] == ["192.0.2.7", "192.0.2.0/24"]
    assert (found["id"], found["now"]) == ("192.0.2.7", NOW)


def test_events_can_be_of_one_section_only(host: Host) -> None:
    host.events = [Event(NOW, "found", name, IP) for name in ("one", "two", "gone")]
    found: Any = why(host, ["192.0.2.7"], clock)
    assert [event["jail"] for event in found["events"]] == ["one", "two", "gone"]
    only: Any = why(host, ["192.0.2.7", "two"], clock)
    assert [event["jail"] for event in only["events"]] == ["two"]
    assert why(host, ["192.0.2.7", "off"], clock)["bans"] == []


def test_words_that_make_no_sense_are_told(host: Host) -> None:
    with pytest.raises(NoJail):
        why(host, ["192.0.2.7", "nope"], clock)
    for said in ([], ["192.0.2.7", "one", "two"], ["192.0.2.777"]):
        with pytest.raises(Refused):
            why_not(host, said, clock)


def test_why_not_says_who_is_ignored_and_by_which_entry(host: Host) -> None:
    ignore = IgnoreSettings(networks=(ip_network("10.0.0.0/8"), NET), texts=("alice",))
    host.set("one", ignore=ignore)
    host.regards["one"] = Regard("ip")
    assert checks(host)["one"]["verdict"] == "ignored"
    assert checks(host)["one"]["entry"] == "192.0.2.0/24"
    assert checks(host, "alice")["one"]["entry"] == "alice"
    host.regards["one"] = Regard("file:/etc/friends")
    assert checks(host, "2001:db8::1")["one"]["entry"] == ""


def test_why_not_counts_the_failures_of_the_window(host: Host) -> None:
    host.set("one", maxretry=5, findtime=600.0)
    host.regards["one"] = Regard(None, (NOW - 601, NOW - 600, NOW - 10, NOW))
    check = checks(host)["one"]
    assert (check["verdict"], check["failures"], check["maxretry"]) == ("too few", 3, 5)
    assert check["until"] == NOW
    host.regards["one"] = Regard(None, (NOW - 601,))
    assert (checks(host)["one"]["verdict"], checks(host)["one"]["until"]) == ("nothing", None)


def test_why_not_says_which_section_does_not_run_or_reads_nothing(host: Host) -> None:
    assert checks(host)["off"] == {"jail": "off", "verdict": "not running"}
    assert checks(host)["two"]["verdict"] == "nothing"
    standing = host.standing
    host.standing = lambda name: replace(standing(name), idle=True)  # type: ignore[method-assign]
    assert checks(host)["two"]["verdict"] == "idle"


def test_why_not_knows_a_ban_that_failed_from_one_in_force(host: Host) -> None:
    host.hold(IP, "failed", "no such table")
    assert checks(host)["one"]["verdict"] == "failed"
    host.hold(NET)
    assert checks(host)["one"]["verdict"] == "applied"


# What is shown ---------------------------------------------------------------------


def shown(host: Host, command: Any = why, id: str = "192.0.2.7") -> str:
    return "\n".join(lay_out(command(host, [id], clock)))


def event(kind: Kind, id: Id | None = IP, **facts: object) -> Event:
    return Event(NOW, kind, "one", id, facts)


def test_a_whole_story_can_be_read(host: Host) -> None:
    host.events = [
        event("ignored", lines=["an old line"], by="command"),
        event("found", lines=["a line"], attempts=1, time=NOW),
        event("found", lines=["another"], attempts=3, time=NOW),
        event("found", more=7),
        event("found_again", attempts=2, bans=1, time=NOW),
        event("decided", start=NOW, end=NOW + 600, failures=5, count=2, lines=["a line"]),
        event("command", action="nft", verb="ban", seconds=0.0021, error="", status=0),
        event("banned", start=NOW, end=NOW + 600, count=2, restored=False, seconds=0.0031),
        event("command", action="mail", verb="ban", seconds=2.0, error="no route", status=1),
        event("ban_failed", reason="no such table"),
        event("unbanned"),
    ]
    host.hold(IP)
    assert (
        shown(host)
        == """\
192.0.2.7
  2023-11-14 22:13:20  [one] a failure that does not count: ignored by ignorecommand
                         an old line
  2023-11-14 22:13:20  [one] a failure
                         a line
  2023-11-14 22:13:20  [one] a failure that counts 3 times
                         another
  2023-11-14 22:13:20  [one] found: 7 more, too fast to be kept one by one
  2023-11-14 22:13:20  [one] it counts 2 times, for there were 1 bans before
  2023-11-14 22:13:20  [one] 5 failures are enough: to be banned until 2023-11-14 22:23:20, \
for the 2. time
  2023-11-14 22:13:20  [one] nft ban: done in 2.1 ms
  2023-11-14 22:13:20  [one] banned, 3.1 ms after the line
  2023-11-14 22:13:20  [one] mail ban: FAILED with status 1 after 2.0 s: no route
  2023-11-14 22:13:20  [one] the ban is NOT in force: no such table
  2023-11-14 22:13:20  [one] the ban is lifted
Now:
  [one] banned until 2023-11-14 22:23:20 (10m from now)"""
    )


def test_what_served_many_says_how_many_and_whether_it_is_tried_again(host: Host) -> None:
    facts = {"action": "nft", "verb": "ban", "seconds": 0.0021, "count": 500}
    host.events = [
        event("command", None, **facts, error="no such set", status=1, divided=True),
        event("command", None, **facts, error="", status=0),
    ]
    assert (
        "nft ban for 500 at once: FAILED with status 1 after 2.1 ms,"
        " and is tried again in parts: no such set\n" in shown(host)
    )
    assert "nft ban for 500 at once: done in 2.1 ms\n" in shown(host)


def test_who_is_unknown_is_said_to_be(host: Host) -> None:
    assert shown(host) == "192.0.2.7\n  nothing is recorded\nNow:\n  it is not banned"


def test_a_dry_run_is_never_called_a_ban(host: Host) -> None:
    host.events = [
        event("command", action="nft", verb="ban", dryrun=True),
        event("banned", dryrun=True),
        event("unbanned", dryrun=True),
    ]
    host.set("one", dryrun=True)
    host.hold(IP, "applied")
    text = shown(host)
    assert "nft ban: shown, not run" in text and "would be banned; this is a dry run" in text
    assert "the ban is lifted; this is a dry run" in text
    assert "Now:\n  [one] would be banned until" in text


def test_what_is_about_a_network_names_it(host: Host) -> None:
    host.events = [event("unbanned", NET)]
    host.hold(NET, "failed", "no such table")
    text = shown(host)
    assert "[one] 192.0.2.0/24: the ban is lifted" in text
    assert "NOT in force: no such table" in text


def test_why_not_says_for_each_section_what_is_missing(host: Host) -> None:
    host.set("one", maxretry=5, findtime=600.0)
    host.set("two", ignore=IgnoreSettings(networks=(NET,)), dryrun=True)
    host.regards = {"one": Regard(None, (NOW - 60, NOW)), "two": Regard("ip")}
    assert (
        shown(host, why_not).partition("Why not:\n")[2]
        == """\
  [off] this section does not run
  [one] 2 of 5 failures within 10m; the first of them is forgotten at 2023-11-14 22:22:20
  [two] never counts: ignored by 192.0.2.0/24 of ignoreip; a dry run, which locks nobody out"""
    )


KINDS = st.sampled_from(
    "found ignored expired decided banned rebanned ban_failed prolonged already_banned"
    " unbanned repealed command alarm jail whatever".split()
)
NAMES = st.sampled_from("lines by end failures count seconds action verb error status".split())
FACTS = st.dictionaries(
    NAMES,
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.lists(st.text()),
)


@given(st.lists(st.tuples(KINDS, st.text(), st.none() | st.text(), FACTS)))
def test_no_event_harms_the_terminal_or_makes_two_lines_of_one(
    told: list[tuple[Kind, str, str | None, dict[str, object]]],
) -> None:
    events = [as_data(Event(NOW, kind, jail, id, facts)) for kind, jail, id, facts in told]
    for line in lay_out({"id": "\x1b", "now": NOW, "events": events, "bans": []}):
        assert "\n" not in line and "\x1b" not in line and "\x7f" not in line
