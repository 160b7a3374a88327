# SPDX-License-Identifier: GPL-2.0-or-later
"""Warnings about configuration trees that can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_tree import ACTION, FILTER, Base


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def warning(base: Base, jail: str) -> str:
    problem = base.problem(jail)
    assert problem.startswith("warning ")
    return problem.removeprefix("warning ")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("maxrety = 3", "unknown option 'maxrety', did you mean 'maxretry'?"),
        ("zzz = 3", "unknown option 'zzz', it has no effect"),
    ],
)
def test_unknown_option_of_a_jail_draws_a_hint(base: Base, line: str, hint: str) -> None:
    name = line.partition(" ")[0]
    assert warning(base, line) == f"jail.conf:6: [j] {name}: {hint}"


def test_helpers_of_other_options_are_known(base: Base) -> None:
    base.settings("zzz = 3\nmaxretry = %(zzz)s\nport = ssh\nbanaction = a\nsshd_log = /x\n")


def test_helper_that_another_section_refers_to_is_known(base: Base) -> None:
    base.write("jail.d/z.conf", "[k]\nmaxretry = %(j/zzz)s\n")
    base.settings("zzz = 3\n")


def test_shared_options_are_told_only_if_they_look_like_real_ones(base: Base) -> None:
    base.write("jail.d/z.conf", "[DEFAULT]\nmine = 1\nbantme = 1h\n")
    assert warning(base, "") == (
        "jail.d/z.conf:3: [DEFAULT] bantme: unknown option 'bantme', did you mean 'bantime'?"
    )


def test_unknown_option_of_the_daemon_draws_a_hint(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\nlogtargt = /x\nmine = 1\n[Thread]\nstacksize = 0\n")
    assert warning(base, "") == (
        "fail2ban.conf:2: [Definition] logtargt: unknown option 'logtargt', "
        "did you mean 'logtarget'?"
    )


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("filter.d/f.conf", FILTER + "ignoreregx = x\n", "ignoreregex"),
        ("action.d/a.conf", ACTION.replace("actionstop", "actionstopp"), "actionstop"),
    ],
)
def test_mistyped_option_of_a_filter_or_action_draws_a_hint(
    base: Base, file: str, text: str, name: str
) -> None:
    base.write(file, text)
    assert warning(base, "").endswith(f"did you mean {name!r}?")


def test_helpers_of_filters_and_actions_are_known(base: Base) -> None:
    base.write("filter.d/f.conf", FILTER + "_failregex = x\nmode = y\ncmnfailregex = z\n")
    base.write("action.d/a.conf", ACTION + "_actionban = x\nblocktype = y\n")
    base.settings()


def test_command_that_does_not_say_whom_to_ban_is_told(base: Base) -> None:
    base.write("action.d/a.conf", ACTION.replace("<port> <ip>", "<port>"))
    assert warning(base, "") == (
        "action.d/a.conf:5: [j] actionban: the command does not say whom to ban; "
        "expected '<ip>' in it"
    )


def test_firewall_rule_that_nothing_lifts_is_told_unless_bans_are_for_ever(base: Base) -> None:
    base.write("action.d/a.conf", "[Definition]\nactionban = nft add <ip>\n")
    assert "actionban has no actionunban" in warning(base, "")
    base.settings("bantime = -1")


def test_ban_of_no_time_is_told(base: Base) -> None:
    assert "0 lifts every ban at once" in warning(base, "bantime = 0")


def test_growth_without_a_database_is_told(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\ndbfile = none\n")
    assert "earlier bans are forgotten at the end" in warning(base, "bantime.increment = true")


def test_bans_that_are_kept_without_a_check_are_told(base: Base) -> None:
    base.write("action.d/a.conf", ACTION.replace("actioncheck", "ignored"))
    found = warning(base, "onstop = keep")
    assert ": [j] onstop: " in found and "has no actioncheck" in found


def test_socket_of_a_group_that_has_none_is_told_where_it_is_written(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\nmonitorgroup = root\n")
    assert "fail2ban.conf:2: monitorgroup: 'root' gets no socket" in warning(base, "")


def test_mistyped_option_of_what_lasts_is_told(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\ndbmaxsiz = 1G\n")
    assert "did you mean 'dbmaxsize'?" in warning(base, "")


def test_tree_that_does_nothing_is_told(base: Base) -> None:
    assert "no log is watched" in warning(base, "enabled = false")
