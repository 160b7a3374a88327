# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of the daemon are laid out as scripts expect them, whoever wrote what is in them."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.cli.beautify import beautify

FILTER = [["Currently failed", 1], ["Total failed", 4], ["File list", ["/a.log", "/b.log"]]]
ACTIONS = [
    ["Currently banned", 1],
    ["Total banned", 1],
    ["Banned IP list", ["192.0.2.1", "192.0.2.2"]],
]
ONE = [["Filter", FILTER], ["Actions", ACTIONS]]
TWO = [["Filter", [["Currently failed", 0], ["Journal matches", []]]], ["Actions", ACTIONS[:2]]]


def shown(command: str, result: object) -> str:
    return beautify(command.split(), json.loads(json.dumps(result)))


def test_an_overview_counts_and_names_the_jails() -> None:
    assert shown("status", [("Number of jail", 2), ("Jail list", "one, two")]) == (
        "Status\n|- Number of jail:\t2\n`- Jail list:\tone, two"
    )


def test_without_jails_the_tab_stays_at_the_end_of_the_line() -> None:
    assert shown("status", [("Number of jail", 0), ("Jail list", "")]).endswith("Jail list:\t")


def test_the_status_of_a_jail_is_a_tree() -> None:
    assert shown("status one", ONE) == (
        "Status for the jail: one\n"
        "|- Filter\n"
        "|  |- Currently failed:\t1\n"
        "|  |- Total failed:\t4\n"
        "|  `- File list:\t/a.log /b.log\n"
        "`- Actions\n"
        "   |- Currently banned:\t1\n"
        "   |- Total banned:\t1\n"
        "   `- Banned IP list:\t192.0.2.1 192.0.2.2"
    )


def test_the_last_line_of_a_short_status_has_the_last_mark() -> None:
    assert shown("status two short", TWO) == (
        "Status for the jail: two\n"
        "|- Filter\n"
        "|  |- Currently failed:\t0\n"
        "|  `- Journal matches:\t\n"
        "`- Actions\n"
        "   |- Currently banned:\t1\n"
        "   `- Total banned:\t1"
    )


def test_the_status_of_all_jails_holds_a_tree_for_each() -> None:
    every = [["Number of jail", 2], ["Jail list", "one, two"]]
    each = ["Status for the jails", [["one", TWO], ["two", TWO]]]
    assert shown("status --all short", [*every, each]) == (
        "Status\n"
        "|- Number of jail:\t2\n"
        "|- Jail list:\tone, two\n"
        "`- Status for the jails:\n"
        "   |- Jail: one\n"
        "   |  |- Filter\n"
        "   |  |  |- Currently failed:\t0\n"
        "   |  |  `- Journal matches:\t\n"
        "   |  `- Actions\n"
        "   |     |- Currently banned:\t1\n"
        "   |     `- Total banned:\t1\n"
        "   `- Jail: two\n"
        "      |- Filter\n"
        "      |  |- Currently failed:\t0\n"
        "      |  `- Journal matches:\t\n"
        "      `- Actions\n"
        "         |- Currently banned:\t1\n"
        "         `- Total banned:\t1"
    )


STATS = {"one": ["polling", [1, 4], [1, 1]]}


@pytest.mark.parametrize("command", ["stats", "statistics"])
def test_the_table_is_drawn_with_lines(command: str) -> None:
    assert shown(command, STATS) == (
        "          ║          ║ Filter    ║ Actions  \n"
        " Jail     ║ Backend  ╟───────────╫───────────\n"
        "          ║          ║ cur │ tot ║ cur │ tot\n"
        "══════════╬══════════╬═══════════╬═══════════\n"
        " one      ║ polling  ║   1 │   4 ║   1 │   1\n"
        "══════════╩══════════╩═══════════╩═══════════"
    )


def test_a_terminal_without_lines_gets_ascii() -> None:
    assert beautify(["stats"], STATS, fancy=False) == (
        "          |          | Filter    | Actions  \n"
        " Jail     | Backend  |-----------x-----------\n"
        "          |          | cur | tot | cur | tot\n"
        "----------x----------x-----------x-----------\n"
        " one      | polling  |   1 |   4 |   1 |   1\n"
        "---------------------------------------------"
    )


def test_the_table_is_as_wide_as_what_is_in_it() -> None:
    lines = shown("stats", {"a-long-name": ["systemd", [1, 22222], [0, 4]], **STATS}).split("\n")
    assert lines[4] == " a-long-name ║ systemd  ║   1 │ 22222 ║   0 │   4"
    assert lines[5] == " one         ║ polling  ║   1 │     4 ║   1 │   1"
    assert lines[3] == "═════════════╬══════════╬═════════════╬═══════════"


def test_a_table_without_jails_is_a_sentence() -> None:
    assert shown("stats", {}) == "No jails found."


def test_the_old_misspelling_of_stats_is_shown_raw() -> None:
    assert shown("statistic", STATS) == "{'one': ['polling', [1, 4], [1, 1]]}"


TREE = "|- {}\n`- {}"
NO_DATABASE = "Database currently disabled"
IGNORED = "These IP addresses/networks are ignored:\n"
FILES = "Current monitored log file(s):\n"
PATTERNS = "The following regular expression are defined:\n"
DATES = "Current date pattern set to: "


@pytest.mark.parametrize(
    ("command", "result", "expected"),
    [
        ("ping", "pong", "Server replied: pong"),
        ("version", "2.0.0", "2.0.0"),
        ("echo A B", ["A", "B"], "A B"),
        ("flushlogs", "rolled over", "logs: rolled over"),
        ("start", "Server ready", "Server ready"),
        ("stop", None, "Shutdown successful"),
        ("start one", None, "Jail started"),
        ("stop one", None, "Jail stopped"),
        ("add one polling", "one", "Added jail one"),
        ("reload one", "OK", "OK"),
        ("banned", [{"one": ["192.0.2.1"]}, {"two": []}], "[{'one': ['192.0.2.1']}, {'two': []}]"),
        ("banned 192.0.2.1", [["one", "two"], []], "[['one', 'two'], []]"),
        ("unban --all", 3, "3"),
        ("get loglevel", "INFO", "Current logging level is 'INFO'"),
        ("set loglevel INFO", "INFO", "Current logging level is 'INFO'"),
        ("get logtarget", "/x", "Current logging target is:\n`- /x"),
        ("get syslogsocket", "auto", "Current syslog socket is:\n`- auto"),
        ("get dbfile", "/x", "Current database file is:\n`- /x"),
        ("get dbfile", None, NO_DATABASE),
        ("get dbpurgeage", 86400, "Current database purge age is:\n`- 86400seconds"),
        ("get dbpurgeage", None, NO_DATABASE),
        ("get dbmaxmatches", 10, "10"),
        ("get thread", {"stacksize": 0}, "{'stacksize': 0}"),
        ("set one idle on", True, "True"),
        ("get one ignoreself", False, "False"),
        ("get one ignoreip", ["::1", "10.0.0.0/8"], IGNORED + TREE.format("::1", "10.0.0.0/8")),
        ("set one delignoreip x", [], "No IP address/network is ignored"),
        ("get one ignorecommand", "", ""),
        ("get one ignorecache", ["<ip>", 10, 60], "['<ip>', 10, 60]"),
        ("get one ignorecache", None, "None"),
        ("get one logpath", ["/a", "/b"], FILES + TREE.format("/a", "/b")),
        ("set one addlogpath /a", ["/a"], FILES + "`- /a"),
        ("set one dellogpath /a", [], "No file is currently monitored"),
        ("get one logencoding", "UTF-8", "Current log encoding is set to:\nUTF-8"),
        ("get one journalmatch", [], "No journal match filter set"),
        (
            "set one addjournalmatch x",
            [["_A=1", "_B=2"], ["_C=3"]],
            "Current match filter:\n_A=1 _B=2 + _C=3",
        ),
        ("get one failregex", ["^a", "^b"], PATTERNS + TREE.format("[0]: ^a", "[1]: ^b")),
        ("set one delignoreregex 0", [], "No regular expression is defined"),
        ("get one prefregex", "^x$", "^x$"),
        ("get one datepattern", [None, "Default Detectors"], DATES + "Default Detectors"),
        ("set one datepattern %Y", ["%Y", "Year"], DATES + "%Y (Year)"),
        ("get one datepattern", None, DATES + "Not set/required"),
        ("get one findtime", 600, "600"),
        ("get one bantime.increment", None, "None"),
        ("set one banip 192.0.2.1", 1, "1"),
        ("get one banip", ["192.0.2.1", "x"], "192.0.2.1 x"),
        ("get one banip ,", ["192.0.2.1", "x"], "192.0.2.1,x"),
        ("get one banip --with-time", ["x \t1 + 2 = 3", "y \t1"], "x \t1 + 2 = 3\ny \t1"),
        ("get one banned", ["192.0.2.1"], "['192.0.2.1']"),
        ("get one banned 192.0.2.1", 1, "1"),
        ("get one actions", ["a", "b"], "The jail one has the following actions:\na, b"),
        ("get one actions", [], "No actions for jail one"),
        (
            "get one actionproperties a",
            ["actionban", "timeout"],
            "The jail one action a has the following properties:\nactionban, timeout",
        ),
        (
            "get one actionmethods a",
            ["ban"],
            "The jail one action a has the following methods:\nban",
        ),
        ("get one action a actionban", "echo <ip>\necho", "echo <ip>\necho"),
        # A jail that is called like an option of the daemon.
        ("get loglevel bantime", 600, "600"),
        ("set logtarget bantime 600", 600, "600"),
    ],
)
def test_each_answer_has_its_layout(command: str, result: object, expected: str) -> None:
    assert shown(command, result) == expected


@pytest.mark.parametrize(
    "command", ["status", "status one", "stats", "echo", "get one logpath", "get one datepattern"]
)
def test_an_answer_of_another_shape_is_shown_as_it_is(command: str) -> None:
    assert shown(command, 7) == "7"


@pytest.mark.parametrize("command", ["status", "status one", "status --all", "stats"])
def test_a_tree_of_another_shape_is_shown_as_it_is(command: str) -> None:
    assert shown(command, [[1, 2, 3], 4]) == "[[1, 2, 3], 4]"


EVIL = "\x1b]0;owned\x07\n|- \u202e"


@pytest.mark.parametrize(
    ("command", "result", "lines"),
    [
        ("status one", [["Filter", [["File list", [EVIL]]]]], 3),
        ("get one banip --with-time", [EVIL, "x"], 2),
        ("get one failregex", [EVIL], 2),
        ("banned", [{EVIL: [EVIL]}], 1),
        ("stats", {EVIL: ["polling", [1, 2], [3, 4]]}, 6),
        ("get one prefregex", EVIL, 1),
        ("get one action a actionban", EVIL, 2),
        ("ping", EVIL, 1),
    ],
)
def test_what_an_attacker_wrote_neither_moves_the_cursor_nor_begins_a_line(
    command: str, result: object, lines: int
) -> None:
    text = shown(command, result)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert len(text.split("\n")) == lines


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
COMMANDS = [
    "status", "status one", "status --all", "stats", "ping", "banned", "get logtarget",
    "get one banip", "get one failregex", "get one journalmatch", "get one datepattern",
    "get one actions", "get one action a b", "nonsense",
]  # fmt: skip


@given(command=st.sampled_from(COMMANDS), result=ANYTHING, fancy=st.booleans())
def test_whatever_is_answered_can_be_printed(command: str, result: object, fancy: bool) -> None:
    text = beautify(command.split(), result, fancy)
    controls = {char for char in text if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert controls <= {"\n", "\t"}
