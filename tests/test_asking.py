# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may only ask is told what he asks, no secret, and changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.control.asking import QUERIES, SECRETS, ReadOnly, only_asking
from fail2ban.control.commands import COMMANDS, GET, SET, Commands
from fail2ban.control.discreet import HIDDEN, discreet
from fail2ban.control.watching import Watch, Watcher
from fail2ban.errors import Fail2BanError
from fail2ban.events import Event
from tests.test_commands_control import FakeHost

CHANGES = sorted({*COMMANDS, "reload"} - QUERIES)


def test_every_question_is_a_command() -> None:
    assert QUERIES <= set(COMMANDS)


def test_what_the_table_leaves_out_is_known_to_change_something() -> None:
    internal = {"add", "config-error", "multi-set", "server-stream", "sleep"}
    expected = {"flushlogs", "reload", "set", "start", "stop", "unban"}
    assert set(CHANGES) - internal == expected


@pytest.mark.parametrize("command", [*CHANGES, "nonsense", "", 5, None, ["ping"], {}])
def test_what_is_no_question_is_refused(command: object) -> None:
    host = FakeHost()
    with pytest.raises(ReadOnly, match="this socket only answers questions"):
        only_asking(Commands(host).execute)([command, "one"], None)
    assert host.done == []


@pytest.mark.parametrize("option", sorted(GET))
def test_options_are_told_but_no_command_of_the_configuration(option: str) -> None:
    host = FakeHost()
    ask, words = only_asking(Commands(host).execute), ["get", "one", option]
    if option == "actionproperties":
        words.append(host.running["one"].actions[0].name)
    if option in SECRETS:
        with pytest.raises(ReadOnly, match="may show passwords"):
            ask([*words, "name", "actionban"], None)
    elif option != "actionmethods":  # there are none
        ask(list(words), None)


def test_the_command_of_an_action_is_a_secret_in_either_shape() -> None:
    ask = only_asking(Commands(FakeHost()).execute)
    for schema in (None, 1):
        with pytest.raises(ReadOnly):
            ask(["get", "one", "action", "SSH", "actionban"], schema)


def test_words_that_are_no_texts_are_refused() -> None:
    for word in (["action"], {"action"}, {"action": 1}):
        with pytest.raises(Fail2BanError, match="no word of a command"):
            only_asking(Commands(FakeHost()).execute)(["get", "one", word, "x"], None)


FAILED = "'curl -H token:s3cret' returned 1"


def test_the_text_of_a_command_that_failed_is_told_nowhere() -> None:
    said = {
        "bans": [{"id": "192.0.2.1", "error": FAILED}, {"id": "192.0.2.2", "error": ""}],
        "failing": ({"reason": FAILED},),
    }
    assert discreet(said) == {
        "bans": [{"id": "192.0.2.1", "error": HIDDEN}, {"id": "192.0.2.2", "error": ""}],
        "failing": ({"reason": HIDDEN},),
    }


def test_nor_is_it_to_those_who_watch() -> None:
    watch = only_asking(Commands(FakeHost()).execute)(["watch"], None)
    assert isinstance(watch, Watch)
    watcher = Watcher(watch, lambda: None)
    watcher(Event(0, "command", "one", None, {"verb": "ban", "error": FAILED, "status": 1}))
    (line,) = watcher.take().splitlines()
    assert json.loads(line)["facts"] == {"verb": "ban", "error": HIDDEN, "status": 1}


WORDS = st.sampled_from([*COMMANDS, *GET, *SET, "one", "two", "reload", "--all", "192.0.2.1", "on"])


@given(st.lists(WORDS, min_size=1, max_size=6), st.sampled_from([None, 1]))
def test_nothing_that_is_said_changes_anything(said: list[object], schema: int | None) -> None:
    host = FakeHost()
    host.ban("one", ["alice"])
    before = dict(host.running), {name: list(bans) for name, bans in host.bans.items()}, host.log
    try:
        result = only_asking(Commands(host).execute)(said, schema)
    except Fail2BanError:
        result = None
    assert isinstance(result, Watch) or result is None or said[0] in QUERIES
    assert host.done == []
    assert (host.running, host.bans, host.log) == before
