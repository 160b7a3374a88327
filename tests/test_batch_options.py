# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that carry out many bans at once, as both languages write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fail2ban.cli import regex_commands
from fail2ban.config import batch
from fail2ban.config.classic import parse
from fail2ban.config.loaded import Loaded
from fail2ban.enforce import tags
from fail2ban.enforce.farewell import Farewell, Relic
from fail2ban.records import FAMILIES, NO_COMMAND, ActionSettings, Ban, Command, Origin
from tests.helpers import NOW, ticket
from tests.test_tree import Base

JAIL = "[SSH]\nenabled = true\nlogfile = /var/log/auth.log\nfailregex = ^x <HOST>$\nbantime = 1h\n"
ONE = "fwban = add <ip>\nfwunban = del <ip>\n"


def classic(text: str) -> tuple[Loaded, list[str]]:
    loaded = parse(text, "f.conf")
    return loaded, [str(problem) for problem in loaded.problems]


def action_of(loaded: Loaded) -> ActionSettings:
    assert loaded.settings is not None
    [jail] = loaded.settings.jails
    return jail.actions[0]


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


# What a tag is about ----------------------------------------------------------


def test_every_tag_that_only_a_ban_can_fill_is_refused() -> None:
    ban = Ban(NOW, NOW + 600, ticket())
    general = tags.Facts("SSH", "ip", NOW)
    lifting = tags.Facts("SSH", "ip", NOW, ban, lifting=True)
    names = {"family", "time", "br", "sp", "fq-hostname", "sh-hostname", "jail.name", "jail.banned"}
    of_a_ban = {*tags._BAN, "unbantime"}  # all that there are
    assert all(general.lookup(name) is not None for name in names)
    assert all(lifting.lookup(name) is not None for name in of_a_ban)
    # The classic language calls the time of the last failure so.
    assert batch.OF_ONE_BAN == of_a_ban | {"failtime"}
    assert not any(batch.check([f"do <{name}>"]) for name in names)


@pytest.mark.parametrize("text", ["cat < in > out", "# not <ip>", "while read ip <&0; do x; done"])
def test_what_only_looks_like_such_a_tag_is_none(text: str) -> None:
    assert batch.check(["x", text]) is None


def test_the_line_with_the_tag_is_told() -> None:
    assert batch.check(["a", "b <F-USER>", "c <ip>"]) == (1, batch.check(["<F-USER>"])[1])  # type: ignore[index]


# The classic language ---------------------------------------------------------


def test_a_section_may_have_both_forms_or_the_one_for_many_alone() -> None:
    loaded, problems = classic(JAIL + ONE + "fwbanmany = many\nfwunbanmany = fewer\n")
    assert problems == []
    assert action_of(loaded).banmany == Command.same("many")
    loaded, problems = classic(JAIL + "fwbanmany = many\nfwunbanmany = fewer\n")
    assert problems == []
    assert (action_of(loaded).ban, action_of(loaded).families) == (NO_COMMAND, FAMILIES)


def test_sections_fall_back_to_the_command_of_default() -> None:
    loaded, problems = classic("[DEFAULT]\nfwbanmany = many %(__name__)s\n" + JAIL + ONE)
    assert problems == []
    assert action_of(loaded).banmany == Command.same("many SSH")


def test_one_that_speaks_of_a_family_is_one_for_each() -> None:
    loaded, _ = classic(JAIL + "fwbanmany = <iptables>-restore -n <family>\nfwunbanmany = x\n")
    action = action_of(loaded)
    assert (action.banmany.ip, action.banmany.ip6) == (
        "iptables-restore -n ip",
        "ip6tables-restore -n ip6",
    )
    assert action.families == FAMILIES


def test_one_command_may_lift_all_bans_of_a_family_at_once() -> None:
    loaded, problems = classic(JAIL + ONE + "fwflush = empty <family> %(__name__)s\n")
    assert problems == []
    flush = action_of(loaded).flush
    assert (flush.ip, flush.ip6) == ("empty ip SSH", "empty ip6 SSH")
    assert action_of(classic(JAIL + ONE)[0]).flush == NO_COMMAND


def test_one_that_says_iptables_alone_bans_ipv4_only_where_it_is_the_only_one() -> None:
    many = "fwbanmany = iptables-restore -n\nfwunbanmany = x\n"
    assert action_of(classic(JAIL + many)[0]).families == ("ip",)
    assert action_of(classic(JAIL + ONE + many)[0]).families == FAMILIES


def test_a_tag_of_one_ban_is_an_error_in_its_line_and_bans_go_one_by_one() -> None:
    loaded, problems = classic(JAIL + ONE + "fwbanmany =\n    read x\n    add <matches>\n")
    assert problems == [
        "f.conf:10: [SSH] fwbanmany: '<matches>' is about one ban, and this command is run once "
        "for many; expected it to read lines 'ADDRESS FAMILY SECONDS' from its standard input; "
        "they are carried out one by one"
    ]
    assert loaded.problems[0].severity == "error"
    action = action_of(loaded)
    assert (action.ban, action.banmany) == (Command.same("add <ip>"), NO_COMMAND)


def test_a_tag_of_one_ban_costs_the_section_if_nothing_else_bans() -> None:
    loaded, [_, problem] = classic(JAIL + "fwbanmany = many <ip>\nfwunbanmany = fewer\n")
    assert problem.startswith("f.conf:6: [SSH] fwbanmany: '<ip>'") and "left out" in problem
    assert loaded.settings is not None and not loaded.settings.jails


def test_an_error_in_default_is_told_once() -> None:
    second = JAIL.replace("SSH", "FTP") + ONE
    _, problems = classic("[DEFAULT]\nfwunbanmany = x <section> <ip>\n" + JAIL + ONE + second)
    [problem] = problems
    assert problem.startswith("f.conf:2: [DEFAULT] fwunbanmany: '<ip>' ")


def test_many_bans_that_nobody_lifts_are_told() -> None:
    _, [problem] = classic(JAIL + "fwbanmany = many\n")
    assert problem.startswith("f.conf:6: [SSH] fwbanmany: fwbanmany has no fwunban; expected one")
    assert classic(JAIL + "fwbanmany = many\nfwunban = x <ip>\n")[1] == []


# The tree ---------------------------------------------------------------------

MANY = "[Definition]\nactionbanmany = many <name> <t>\nactionunbanmany = fewer <family>\n[Init]\nt = 4\n"


def test_a_command_for_many_has_variants_of_a_family(base: Base) -> None:
    base.write("action.d/a.conf", MANY + "[Init?family=inet6]\nt = 6\n")
    [action] = base.jail().actions
    assert action.banmany == Command("many j 4", "many j 4", "many j 6")
    assert action.unbanmany == Command.same("fewer <family>")
    assert action.enforces and action.on_demand


def test_a_jail_may_pass_a_command_for_many(base: Base) -> None:
    [action] = base.jail("action = a[actionbanmany='<name> all', port=1]").actions
    assert action.banmany == Command.same("j all")
    assert action.ban == Command.same("add j 1 <ip>")


def test_its_value_is_shown_with_those_in_force(base: Base) -> None:
    base.write("action.d/a.conf", MANY + "[Init?family=inet6]\nt = 6\n")
    shown = {one.option: (one.text, one.origin) for one in base.load().effective}
    at = Origin("action.d/a.conf", 2)
    assert shown["actionbanmany"][0] == "many j 4"
    assert shown["actionbanmany?family=inet6"][0] == "many j 6"
    assert str(shown["actionbanmany"][1]).endswith(str(at))


def test_a_tag_of_one_ban_in_an_action_is_an_error_in_its_line(base: Base) -> None:
    text = (
        "[Definition]\nactionban = add <ip>\nactionunban = x <ip>\nactionbanmany = many\n    <u>\n"
    )
    base.write("action.d/a.conf", text + "[Init?family=inet6]\nu = to <ip>\n")
    problem = base.problem("")
    assert problem.startswith("error action.d/a.conf:5: [j] actionbanmany: '<ip>' is about one ban")
    assert problem.endswith("they are carried out one by one")
    [action] = base.reload().settings.jails[0].actions  # type: ignore[union-attr]
    assert (action.ban, action.banmany) == (Command.same("add <ip>"), NO_COMMAND)


def test_a_tag_of_one_ban_costs_the_jail_if_nothing_else_bans(base: Base) -> None:
    base.write(
        "action.d/a.conf", "[Definition]\nactionbanmany = x <bantime>\nactionunban = y <ip>\n"
    )
    problem = base.broken("")
    assert "action.d/a.conf:2: [j] actionbanmany: '<bantime>' is about one ban" in problem


def test_an_action_for_many_that_nothing_lifts_is_told(base: Base) -> None:
    base.write("action.d/a.conf", "[Definition]\nactionbanmany = nft -f -\n")
    assert "actionbanmany has no actionunban" in base.problem("")
    base.write("action.d/a.conf", "[Definition]\nactionbanmany = nft -f -\nactionunbanmany = x\n")
    base.settings()


def test_a_mistyped_name_draws_a_hint(base: Base) -> None:
    base.write("action.d/a.conf", MANY.replace("unbanmany", "unbanmeny"))
    assert "did you mean 'actionunbanmany'?" in "".join(map(str, base.load().problems))


def test_iptables_alone_in_the_only_command_bans_ipv4_only(base: Base) -> None:
    text = "[Definition]\nactionbanmany = iptables -f x\nactionunbanmany = x\n"
    base.write("action.d/a.conf", text)
    assert "actionbanmany: 'iptables' bans IPv4 only" in base.problem("")


def test_our_action_that_mails_has_no_such_command(base: Base) -> None:
    assert "smtp.py has no option 'actionbanmany'" in base.problem(
        "action = smtp.py[actionbanmany=x]"
    )


# What is made of it -----------------------------------------------------------


def test_what_a_lone_ban_would_run_is_shown_with_its_input() -> None:
    action = action_of(classic(JAIL + "fwbanmany = many\nfwunbanmany = fewer\n")[0])
    ban = Ban(NOW, NOW + 600, ticket())
    lines = list(regex_commands.of_action("SSH", action, ban, NOW, every=True))
    assert [line.strip() for line in lines if "many" in line or "192.0.2.1" in line] == [
        "many",
        "with input: 192.0.2.1 ip 600",
        "with input: 192.0.2.1 ip 600",
    ]


def test_the_next_start_knows_how_to_lift_many() -> None:
    action = ActionSettings(unban=Command.same("one <ip>"), unbanmany=Command.same("many"))
    said = Farewell("boot", relics=(Relic(action, "print", ("ip",)),)).write()
    [relic] = Farewell.read(said).relics
    assert (relic.action.unban, relic.action.unbanmany) == (action.unban, action.unbanmany)
    # Written by a version that knew of no such command.
    [old] = Farewell.read(re.sub(r'"unbanmany": \{[^}]*\}, ', "", said)).relics
    assert (old.action.unban, old.action.unbanmany) == (action.unban, NO_COMMAND)
