# SPDX-License-Identifier: GPL-2.0-or-later
"""Sections stop together, and keep the order in which they do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.jails import Jails
from fail2ban.plan import Plan
from fail2ban.records import JailSettings, Settings
from tests.helpers import jail_settings


class FakeJail:
    """Notes what it is told.

    Attributes:
        reads: whether it was started last, and not told to pause since.
    """

    def __init__(self, settings: JailSettings, told: list[str]) -> None:
        self.settings, self._told = settings, told
        self.reads = False

    def halt(self) -> None:
        self._told.append(f"halt {self.settings.name}")

    def pause(self) -> None:
        self._told.append(f"pause {self.settings.name}")
        self.reads = False

    def close(self) -> None:
        self._told.append(f"close {self.settings.name}")
        self.reads = False

    def start(self) -> None:
        assert not self.reads, "two threads would read one log"
        self._told.append(f"start {self.settings.name}")
        self.reads = True

    def change(self, settings: JailSettings, filter: object) -> None:
        self.settings = settings


def running(*names: str) -> tuple[Jails, list[str]]:
    """Return sections that run, and the list of what they are told."""
    told: list[str] = []

    def act(jails: Mapping[str, JailSettings], anew: Collection[str]) -> None:
        told.append(" ".join(["act", *sorted(jails), *(f"anew:{name}" for name in sorted(anew))]))

    jails = Jails(None, act)  # type: ignore[arg-type]
    for name in names:
        jails._running[name] = FakeJail(jail_settings(name), told)  # type: ignore[assignment]
    return jails, told


def test_all_are_asked_to_stop_before_one_is_waited_for() -> None:
    """Else each would do a chunk of its backlog for every other."""
    jails, told = running("a", "b")
    jails.close()
    assert told == ["halt a", "halt b", "close a", "close b"]


def test_a_reload_asks_those_that_change_or_end_to_stop_and_no_others() -> None:
    jails, told = running("same", "changed", "gone")
    changed = replace(jail_settings("changed"), maxretry=9)
    jails.change(planned(jail_settings("same"), changed))
    assert told == [
        "halt changed", "halt gone", "close gone", "pause changed", "act changed same",
        "start changed",
    ]  # fmt: skip


def test_a_restart_ends_all_and_begins_anew(fresh: list[str]) -> None:
    jails, told = running("a", "b")
    jails.change(planned(jail_settings("a"), jail_settings("c")), restart=True)
    assert sorted(told[:4]) == ["close a", "close b", "halt a", "halt b"]
    assert told[4:] == ["act a c anew:a"]
    assert sorted(fresh) == ["start a", "start c"]


def test_a_reload_of_one_section_leaves_all_others_alone(fresh: list[str]) -> None:
    jails, told = running("a", "b")
    other = replace(jail_settings("b"), maxretry=9)
    new = replace(jail_settings("a"), maxretry=9)
    jails.change(planned(new, other, jail_settings("c")), only="a")
    assert told == ["halt a", "pause a", "act a b", "start a"]
    assert jails.names() == ["a", "b"] and fresh == []
    assert jails.settings("b") == jail_settings("b")


def test_a_reload_of_one_section_starts_it_or_ends_it(fresh: list[str]) -> None:
    jails, told = running("a")
    plan = planned(jail_settings("a"), jail_settings("new"))
    jails.change(plan, only="new")
    assert (told, fresh) == (["act a new"], ["start new"])
    jails.change(planned(jail_settings("new")), only="a")
    assert told[1:] == ["halt a", "close a", "act new"]


def test_one_section_is_restarted_alone(fresh: list[str]) -> None:
    jails, told = running("a", "b")
    jails.change(planned(jail_settings("a"), jail_settings("b")), only="a", restart=True)
    assert told == ["halt a", "close a", "act a b anew:a"]
    assert fresh == ["start a"]


def test_a_reload_ends_what_a_hand_has_done(fresh: list[str]) -> None:
    jails, told = running("rests", "stopped", "kept")
    jails.rest("rests")
    jails.stop("stopped")
    jails.add(jail_settings("added"), None)  # type: ignore[arg-type]
    assert jails.names() == ["added", "kept", "rests"]
    del told[:]
    jails.change(planned(*map(jail_settings, ("rests", "stopped", "kept"))))
    assert told == ["act kept rests stopped", "start rests"]
    assert fresh == ["halt added", "close added", "start stopped"]
    assert not jails.rests("rests") and jails.stopped("stopped") is None


def test_a_reload_of_one_section_leaves_another_at_rest(fresh: list[str]) -> None:
    jails, told = running("rests", "a")
    jails.rest("rests")
    del told[:]
    jails.change(planned(jail_settings("rests"), jail_settings("a")), only="a")
    assert told == ["act a rests"]
    jails.change(planned(jail_settings("rests"), jail_settings("a")), only="rests")
    assert told[1:] == ["act a rests", "start rests"]


def test_an_added_section_has_no_actions_until_it_is_started(fresh: list[str]) -> None:
    seen: list[Mapping[str, JailSettings]] = []
    jails = Jails(None, lambda jails, anew: seen.append(jails))  # type: ignore[arg-type]
    jails.add(jail_settings("added"), None)  # type: ignore[arg-type]
    jails.alter(replace(jail_settings("added"), maxretry=9), None)  # type: ignore[arg-type]
    assert fresh == ["pause added"] and seen[0]["added"].actions == ()
    jails.go_on("added")
    assert fresh[1:] == ["start added"] and len(seen[1]["added"].actions) == 1


def test_a_section_that_cannot_be_made_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError("too many open files")

    monkeypatch.setattr("fail2ban.jails.Jail", no_room)
    jails, told = running("a", "b")
    with pytest.raises(OSError, match="too many"):
        jails.add(jail_settings("new"), None)  # type: ignore[arg-type]
    jails.stop("b")
    with pytest.raises(OSError, match="too many"):
        jails.launch(jail_settings("b"), None)  # type: ignore[arg-type]
    assert told == ["act a b new", "act a b", "close b", "act a", "act a b", "act a"]
    assert jails.names() == ["a"] and not jails.rests("new")
    assert jails.stopped("b") == jail_settings("b")


def test_actions_are_there_before_a_section_begins(fresh: list[str]) -> None:
    seen: list[int] = []
    jails = Jails(None, lambda jails, anew: seen.append(len(fresh)))  # type: ignore[arg-type]
    jails.change(planned(jail_settings("a")))
    jails.stop("a")
    jails.launch(jail_settings("a"), None)  # type: ignore[arg-type]
    assert (seen, fresh) == ([0, 2, 2], ["start a", "close a", "start a"])


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of what sections are told that are new."""
    told: list[str] = []
    monkeypatch.setattr("fail2ban.jails.Jail", lambda settings, *_: FakeJail(settings, told))
    return told


def planned(*wanted: JailSettings) -> Plan:
    """Return a plan that wants these sections."""
    settings = Settings(jails=wanted)
    return Plan(settings, dict.fromkeys(one.name for one in wanted), (), frozenset())  # type: ignore[arg-type]


# Whatever hands and reloads do ---------------------------------------------------

NAMES = ("a", "b", "c")
STEPS = ("reload", "restart", "reload one", "restart one", "rest", "go on", "alter", "stop")
HAND = st.tuples(st.sampled_from((*STEPS, "launch", "add")), st.sampled_from(NAMES))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(HAND, st.sets(st.sampled_from(NAMES))), max_size=20))
def test_after_any_steps_a_section_reads_unless_it_rests_and_acts_unless_it_was_added(
    steps: list[tuple[tuple[str, str], set[str]]],
) -> None:
    acting: list[dict[str, bool]] = [{}]

    def act(jails: Mapping[str, JailSettings], anew: Collection[str]) -> None:
        acting.append({name: bool(one.actions) for name, one in jails.items()})

    made: list[FakeJail] = []

    def make(settings: JailSettings, *_: object) -> FakeJail:
        made.append(FakeJail(settings, []))
        return made[-1]

    there: dict[str, str] = {}  # the model: name -> how it is
    stopped: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fail2ban.jails.Jail", make)
        jails = Jails(None, act)  # type: ignore[arg-type]
        for (step, name), wanted in steps:
            plan, one = planned(*map(jail_settings, sorted(wanted))), jail_settings(name)
            match step.split():
                case ["reload" | "restart" as what]:
                    jails.change(plan, restart=what == "restart")
                    there, stopped = dict.fromkeys(wanted, "reads"), set()
                case ["reload" | "restart" as what, "one"]:
                    jails.change(plan, name, what == "restart")
                    there.pop(name, None)
                    there |= {name: "reads"} if name in wanted else {}
                    stopped.discard(name)
                case ["rest"] if name in there:
                    jails.rest(name)
                    there[name] = "rests" if there[name] == "reads" else there[name]
                case ["go", "on"] if name in there:
                    jails.go_on(name)
                    there[name] = "reads"
                case ["alter"] if name in there:
                    jails.alter(replace(one, maxretry=9), None)  # type: ignore[arg-type]
                case ["stop"] if name in there:
                    jails.stop(name)
                    del there[name]
                    stopped.add(name)
                case ["launch"] if name in stopped:
                    jails.launch(one, None)  # type: ignore[arg-type]
                    there[name] = "reads"
                    stopped.discard(name)
                case ["add"] if name not in there:
                    jails.add(one, None)  # type: ignore[arg-type]
                    there[name] = "added"
                    stopped.discard(name)
            assert jails.names() == sorted(there)
            assert acting[-1] == {name: how != "added" for name, how in there.items()}
            assert {n for n in NAMES if jails.rests(n)} == there.keys() - _reading(there)
            assert sorted(j.settings.name for j in made if j.reads) == sorted(_reading(there))
            assert {n for n in NAMES if jails.stopped(n)} == stopped


def _reading(there: Mapping[str, str]) -> set[str]:
    return {name for name, how in there.items() if how == "reads"}
