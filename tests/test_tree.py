# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration tree -> settings: every option, whatever version wrote it."""

from __future__ import annotations

import ipaddress
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.config.loaded import Loaded
from fail2ban.config.tree import TreeOverrides, load
from fail2ban.records import (
    FAMILIES,
    Command,
    GrowthSettings,
    HealthSettings,
    JailSettings,
    JournalSettings,
    MailActionSettings,
    Settings,
    StoreSettings,
)

FILTER = "[Definition]\nfailregex = ^fail <HOST>$\n"
ACTION = (
    "[Definition]\nactionstart = new <name>\nactionstop = del <name>\nactioncheck = has <name>\n"
    "actionban = add <name> <port> <ip>\nactionunban = rm <name> <ip>\n[Init]\nport = ssh\n"
)
DAEMON = "[Definition]\n"


class Base:
    """A folder that becomes a tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "a.log"
        self.log.touch()
        self.write("fail2ban.conf", DAEMON)
        self.write("filter.d/f.conf", FILTER)
        self.write("action.d/a.conf", ACTION)

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def load(self, jail: str = "", **overrides: object) -> Loaded:
        """Load the tree with the options `jail` of the jail j."""
        usual = {"enabled": "true", "filter": "f", "action": "a", "logpath": str(self.log)}
        said = {line.partition("=")[0].strip() for line in jail.split("\n")}
        # What the jail says itself leaves a line, so that all others keep their numbers.
        head = [f"#{one}" if one in said else f"{one} = {usual[one]}" for one in usual]
        self.write("jail.conf", "\n".join(["[j]", *head, jail]))
        return self.reload(**overrides)

    def reload(self, **overrides: object) -> Loaded:
        return load(self.path, TreeOverrides(**overrides))  # type: ignore[arg-type]

    def settings(self, jail: str = "", **overrides: object) -> Settings:
        """Return the settings of a tree without any problem."""
        loaded = self.load(jail, **overrides)
        assert [str(problem) for problem in loaded.problems] == []
        assert loaded.settings is not None
        return loaded.settings

    def jail(self, jail: str = "", **overrides: object) -> JailSettings:
        [found] = self.settings(jail, **overrides).jails
        return found

    def problem(self, jail: str) -> str:
        """Return the one problem of a tree, without the folder's name."""
        [problem] = self.load(jail).problems
        return f"{problem.severity} {problem}".replace(f"{self.path}/", "")

    def broken(self, jail: str) -> str:
        """Return the one problem of a tree whose jail is left out."""
        problem = self.problem(jail)
        loaded = self.reload()
        assert loaded.broken == {"j"} and loaded.settings and loaded.settings.jails == ()
        assert problem.startswith("error ") and problem.endswith("; [j] is left out")
        return problem.removeprefix("error ").removesuffix("; [j] is left out")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


# A jail ----------------------------------------------------------------------


def test_jail_that_says_little_has_the_usual_values(base: Base) -> None:
    jail = base.jail()
    assert (jail.name, jail.enabled, jail.logs) == ("j", True, (str(base.log),))
    assert (jail.maxretry, jail.findtime, jail.bantime, jail.maxmatches) == (3, 600, 600, 5)
    assert (jail.growth, jail.journal, jail.encoding) == (None, None, "")
    assert jail.ignore.own and not jail.ignore.command
    assert jail.filter.tagged and jail.filter.usedns == "warn" and jail.filter.maxlines == 1
    assert jail.origin.line == 1


def test_jail_says_its_limits_in_any_form(base: Base) -> None:
    jail = base.jail(
        "maxretry = 5\nfindtime = 1.5h\nbantime = 600   # ten minutes\nmaxmatches = %(maxretry)s\n"
        "logencoding = latin-1\nlogtimezone = UTC+0200\n"
    )
    assert (jail.maxretry, jail.findtime, jail.bantime, jail.maxmatches) == (5, 5400, 600, 5)
    assert (jail.encoding, jail.filter.logtimezone) == ("iso8859-1", 7200)


@pytest.mark.parametrize("text", ["-1", "-600", "-1d"])
def test_any_negative_ban_time_is_for_ever(base: Base, text: str) -> None:
    assert base.jail(f"bantime = {text}").bantime is None


def test_bad_value_costs_its_default_and_names_its_line(base: Base) -> None:
    assert base.problem("maxretry = five") == (
        "error jail.conf:6: [j] maxretry: 'five' is not a whole number; expected digits, as in 5; "
        "using 3 instead"
    )
    [jail] = base.reload().settings.jails  # type: ignore[union-attr]
    assert jail.maxretry == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bantime = 1x", "'1x' is not a duration"),
        ("findtime = 0", "'0' is not above 0"),
        ("logencoding = klingon", "'klingon' is no encoding"),
        ("logencoding = rot13", "'rot13' is no encoding"),
        ("logtimezone = Europe/Paris", "'Europe/Paris' is no time zone"),
        ("usedns = maybe", "'maybe' is unknown; expected yes, warn, no or raw; using no instead"),
        ("bantime.factor = x", "'x' is no factor"),
        ("bantime.formula = ban.X", "'ban.X' is unknown"),
        ("bantime.formula = 1/0", "'1/0' has no result: it divides by 0"),
        ("bantime.multipliers = 1 x", "'x' is no number"),
        ("ignorecache = key", "'key' cannot be read"),
        ("ignorecache = keys=x", "'keys' is unknown; expected key, max-count, max-time"),
        ("ignoreip = 10.0.0.300", "'10.0.0.300' is not a valid IP address"),
        ("maxlines = 0", "'0' is too small"),
    ],
)
def test_bad_option_is_told_and_the_jail_still_runs(base: Base, line: str, said: str) -> None:
    problem = base.problem(line)
    assert problem.startswith("error jail.conf:6: [j] ") and said in problem
    assert len(base.reload().settings.jails) == 1  # type: ignore[union-attr]


def test_word_that_is_neither_yes_nor_no_means_no(base: Base) -> None:
    assert base.problem("ignoreself = perhaps").startswith("warning jail.conf:6: [j] ignoreself: ")
    assert not base.reload().settings.jails[0].ignore.own  # type: ignore[union-attr]


def test_mistake_in_default_is_told_once_and_costs_what_it_must(base: Base) -> None:
    base.write("jail.d/z.conf", "[DEFAULT]\nmaxretry = x\n[k]\nenabled = true\nfilter = f\n"
               f"action = a\nlogpath = {base.log}\n")  # fmt: skip
    [problem] = base.load().problems
    assert (problem.section, problem.origin.line) == ("DEFAULT", 2)


def test_disabled_jails_are_not_looked_at(base: Base) -> None:
    base.write("jail.d/z.conf", "[k]\nenabled = no\nfilter = missing\nbackend = %(nowhere)s\n"
               "[l]\nfilter = missing\n")  # fmt: skip
    loaded = base.load()
    assert loaded.problems == () and loaded.disabled == {"k", "l"}


def test_reference_to_nothing_costs_one_jail_only(base: Base) -> None:
    base.write("jail.d/z.conf", "[k]\nenabled = true\nfilter = f\nlogpath = %(nowhere)s\n")
    loaded = base.load()
    assert loaded.settings and [jail.name for jail in loaded.settings.jails] == ["j"]
    assert loaded.broken == {"k"}
    [problem] = loaded.problems
    assert problem.origin.line == 4 and "[k] is left out" in problem.text


def test_duplicate_keys_and_sections_are_warned_of_and_the_last_wins(base: Base) -> None:
    loaded = base.load("maxretry = 5\nmaxretry = 7\n[j]\nfindtime = 60\n")
    assert loaded.problems and all(one.severity == "warning" for one in loaded.problems)
    [jail] = loaded.settings.jails  # type: ignore[union-attr]
    assert (jail.maxretry, jail.findtime) == (7, 60)


def test_long_name_draws_a_warning_and_a_name_that_means_all_is_refused(base: Base) -> None:
    body = f"]\nenabled = true\nfilter = f\naction = a\nlogpath = {base.log}\n"
    base.write("jail.conf", f"[{'j' * 26}{body}[{'k' * 25}{body}[--all{body}")
    loaded = base.reload()
    assert [one.severity for one in loaded.problems] == ["warning", "error"]
    assert loaded.broken == {"--all"}
    assert len(loaded.settings.jails) == 2  # type: ignore[union-attr]


def test_tree_without_jails_cannot_run(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.settings is None
    assert all("jail.conf" in str(one) or "fail2ban.conf" in str(one) for one in loaded.problems)
    assert loaded.problems


# What it reads ---------------------------------------------------------------


def test_log_paths_are_lines_that_may_end_with_where_to_start(base: Base) -> None:
    other = base.path / "b.log"
    jail = base.jail(f"logpath = {base.log} tail\n  {other} head\n  {base.path}/c*.log\n")
    assert jail.logs == (str(base.log), str(other), f"{base.path}/c*.log")
    assert jail.tails == {str(base.log)}


def test_jail_waits_for_logs_that_are_not_there(base: Base) -> None:
    problem = base.problem(f"logpath = {base.path}/none*.log")
    assert problem.startswith("warning jail.conf:6: [j] logpath: ")
    assert problem.endswith("does not exist now; it will be read as soon as it does")
    assert len(base.reload().settings.jails) == 1  # type: ignore[union-attr]


def test_jail_without_logs_is_skipped_if_it_says_so(base: Base) -> None:
    loaded = base.load("logpath = /nowhere\nskip_if_nologs = true\n")
    assert loaded.settings and loaded.settings.jails == () and loaded.broken == frozenset()
    assert loaded.disabled == {"j"}
    assert "[j] is skipped, as skip_if_nologs says" in loaded.problems[0].text
    assert loaded.problems[0].severity == "warning"


def test_link_to_nothing_is_told(base: Base) -> None:
    (base.path / "b.log").symlink_to("nowhere")
    problem = base.problem(f"logpath = {base.path}/*.log\n")
    assert "is a link to what is not there; it is waited for" in problem


@pytest.mark.parametrize("name", ["auto", "polling", "pyinotify", "gamin", "Gamin", ""])
def test_every_backend_of_files_reads_files(base: Base, name: str) -> None:
    assert base.jail(f"backend = {name}").journal is None


def test_unknown_backend_costs_its_jail_and_is_suggested_for(base: Base) -> None:
    assert base.broken("backend = systemdd") == (
        "jail.conf:6: [j] backend: there is no backend 'systemdd'; did you mean 'systemd'?"
    )


def test_journal_is_read_with_matches_and_options(base: Base) -> None:
    base.write("filter.d/f.conf", FILTER + "journalmatch = _SYSTEMD_UNIT=a.service + _COMM=a\n"
               "    'MESSAGE=x y' _UID=0\n")  # fmt: skip
    jail = base.jail(
        "logpath =\nbackend = systemd[journalfiles='/a/*.journal, /b', journalflags=4,"
        " namespace=n, rotated=ON]\n"
    )
    assert jail.journal == JournalSettings(
        matches=(("_SYSTEMD_UNIT=a.service",), ("_COMM=a",), ("MESSAGE=x y", "_UID=0")),
        files=("/a/*.journal", "/b"),
        namespace="n",
        flags=4,
        rotated=True,
    )
    assert jail.logs == ()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("journalpth=/x", "warning jail.conf:6: [j] backend: the journal has no option"),
        ("journalflags=x", "using the usual ones instead"),
    ],
)
def test_bad_option_of_the_journal_is_told(base: Base, option: str, said: str) -> None:
    problem = base.problem(f"backend = systemd[{option}]\njournalmatch = _COMM=a")
    assert said in problem


@pytest.mark.parametrize(
    ("match", "said"),
    [("'_COMM=a", "has a quote that is not closed"), ("a.service", "is no condition")],
)
def test_bad_journal_match_costs_its_jail(base: Base, match: str, said: str) -> None:
    assert said in base.broken(f"backend = systemd\njournalmatch = {match}")


def test_whole_journal_is_warned_of(base: Base) -> None:
    assert "every entry of the journal is read" in base.problem("backend = systemd")


def test_jail_without_logs_turns_to_the_journal_and_its_lines(base: Base) -> None:
    base.write("filter.d/f.conf", "[Definition]\nfailregex = ^<p/<logtype>> <HOST>\n"
               "journalmatch = _COMM=a\n[p]\nfile = F\njournal = J\n")  # fmt: skip
    loaded = base.load("logpath = /nowhere")
    assert "'/nowhere' does not exist now; the journal is read" in loaded.problems[0].text
    [jail] = loaded.settings.jails  # type: ignore[union-attr]
    assert jail.journal == JournalSettings((("_COMM=a",),)) and jail.logs == ()
    assert jail.filter.failregex[0].text == "^J <HOST>"
    jail = base.jail()
    assert jail.journal is None and jail.filter.failregex[0].text == "^F <HOST>"
    for said in ("systemd_if_nologs = false", "backend = polling"):
        [found] = base.load(f"logpath = /nowhere\n{said}").settings.jails  # type: ignore[union-attr]
        assert found.journal is None and found.logs == ("/nowhere",)


def test_log_that_we_write_ourselves_will_be_there(base: Base) -> None:
    base.write("filter.d/f.conf", FILTER + "journalmatch = _COMM=a\n")
    base.write("fail2ban.conf", "[Definition]\nlogtarget = /nowhere/f2b.log\n")
    jail = base.jail("logpath = /nowhere/f2b.log")
    assert jail.journal is None and jail.logs == ("/nowhere/f2b.log",)


def test_threads_may_have_a_stack_of_a_given_size(base: Base) -> None:
    base.write("fail2ban.conf", DAEMON + "[Thread]\nstacksize = 64\n")
    assert base.settings().stack_size == 64
    base.write("fail2ban.conf", DAEMON + "[Thread]\nstacksize = 8\n")
    assert "expected 0, or KiB from 32 on; using 0 instead" in base.problem("")
    assert base.load().settings.stack_size == 0  # type: ignore[union-attr]


# Its filter ------------------------------------------------------------------


def test_filter_says_patterns_and_the_jail_replaces_them(base: Base) -> None:
    base.write("filter.d/f.conf", FILTER + "    ^other <HOST>\nignoreregex = ^ok\n"
               "prefregex = ^<F-CONTENT>.+</F-CONTENT>$\nmaxlines = 3\n"
               "datepattern = ^%%Y\n    {NONE}\nusedns = no\n")  # fmt: skip
    found = base.jail().filter
    assert [one.text for one in found.failregex] == ["^fail <HOST>$", "^other <HOST>"]
    assert found.failregex[1].origin.line == 3
    assert found.failregex[1].origin.file.endswith("filter.d/f.conf")
    assert [one.text for one in found.ignoreregex] == ["^ok"]
    assert found.prefregex and found.prefregex.text == "^<F-CONTENT>.+</F-CONTENT>$"
    assert [one.text for one in found.datepattern] == ["^%Y", "{NONE}"]
    assert (found.maxlines, found.usedns) == (3, "no")
    found = base.jail(
        "failregex = ^mine <HOST>\n  %(known/failregex)s\nignoreregex =\nprefregex =\nmaxlines = 2\n"
        "datepattern = EPOCH\nusedns = raw\n"
    ).filter
    assert [one.text for one in found.failregex] == [
        "^mine <HOST>",
        "^fail <HOST>$",
        "^other <HOST>",
    ]
    assert (found.ignoreregex, found.prefregex) == ((), None)
    assert [one.text for one in found.datepattern] == ["EPOCH"]
    assert (found.maxlines, found.usedns) == (2, "raw")


def test_filter_gets_arguments(base: Base) -> None:
    base.write("filter.d/f.conf", "[Definition]\nfailregex = ^<mode> <HOST>\n[Init]\nmode = a\n")
    assert base.jail("filter = f[mode=b]").filter.failregex[0].text == "^b <HOST>"
    assert base.jail("filter = f").filter.failregex[0].text == "^a <HOST>"


def test_missing_filter_costs_its_jail_and_is_suggested_for(base: Base) -> None:
    base.write("filter.d/sshd.conf", FILTER)
    problem = base.broken("filter = shd")
    assert problem.startswith("jail.conf:6: [j] filter: ") and "'sshd'" in problem


def test_bad_brackets_cost_their_jail(base: Base) -> None:
    assert "closed" in base.broken("filter = f[mode='x]")
    assert base.broken("action = a\n    a[port").startswith("jail.conf:7: [j] action: ")


def test_empty_filter_and_empty_action_draw_warnings(base: Base) -> None:
    assert "names no filter" in base.problem("filter =")
    assert "names no action" in base.problem("action =")


def test_filter_without_patterns_draws_a_warning(base: Base) -> None:
    problem = base.problem("failregex =")
    assert problem.startswith("warning ") and "it finds nobody" in problem


# Whom it ignores -------------------------------------------------------------


def test_ignored_are_addresses_networks_names_texts_and_files(base: Base) -> None:
    ignore = base.jail(
        "ignoreip = 192.0.2.1, 198.51.100.0/255.255.255.0 2001:db8::/ffff:ffff::\n"
        "    host.example.org file:///etc/a file:b no@body\nignoreself = no\n"
        "ignorecommand = /bin/x <ip> <F-USER>\n"
        'ignorecache = key="<fid>", max-count=7, max-time=1h\n'
    ).ignore
    assert [str(one) for one in ignore.networks] == [
        "192.0.2.1/32",
        "198.51.100.0/24",
        "2001:db8::/32",
    ]
    assert ignore.names == ("host.example.org",)
    assert ignore.texts == ("host.example.org", "no@body")
    assert ignore.files == ("/etc/a", "b")
    assert not ignore.own and ignore.command == Command.same("/bin/x <ip> <F-USER>")
    assert (ignore.cache, ignore.cache_size, ignore.cache_time) == ("<fid>", 7, 3600)


def test_bad_address_is_left_out_and_the_others_stay(base: Base) -> None:
    problem = base.problem("ignoreip = 192.0.2.1\n    300.1.1.1 192.0.2.2\n")
    assert problem.startswith("error jail.conf:7: [j] ignoreip: '300.1.1.1' is not a valid")
    ignore = base.reload().settings.jails[0].ignore  # type: ignore[union-attr]
    assert ignore.networks == (
        ipaddress.ip_network("192.0.2.1"),
        ipaddress.ip_network("192.0.2.2"),
    )


# How bans grow ---------------------------------------------------------------


def test_growth_has_every_option_and_a_switch(base: Base) -> None:
    options = (
        "bantime.factor = 2*1.5\nbantime.formula = ban.Time * 2\nbantime.multipliers = 1 2 4\n"
        "bantime.maxtime = 5w\nbantime.rndtime = 10m\nbantime.overalljails = true\n"
    )
    assert base.jail(options).growth is None
    assert base.jail(f"bantime.increment = true\n{options}").growth == GrowthSettings(
        factor=3.0,
        formula="ban.Time * 2",
        multipliers=(1.0, 2.0, 4.0),
        longest=3024000.0,
        jitter=600.0,
        all_jails=True,
    )
    assert base.jail("bantime.increment = 1").growth == GrowthSettings()


# What it does ----------------------------------------------------------------


def test_action_is_made_of_its_options_and_arguments(base: Base) -> None:
    [action] = base.jail('action = a[port="80,443"]').actions
    assert action.name == "a"
    assert action.start == Command.same("new j")
    assert action.ban == Command.same("add j 80,443 <ip>")
    assert action.unban == Command.same("rm j <ip>")
    assert (action.stop, action.check) == (Command.same("del j"), Command.same("has j"))
    assert not action.on_demand and action.families == FAMILIES and action.timeout == 60
    assert action.enforces


def test_variants_of_a_family_make_commands_of_a_family_on_demand(base: Base) -> None:
    base.write("action.d/a.conf", "[Definition]\nactionban = <t> <ip> <family>\n"
               "actionunban = <t> -d\n[Init]\nt = t4\n[Init?family=inet6]\nt = t6\n")  # fmt: skip
    [action] = base.jail().actions
    assert action.ban == Command("t4 <ip> <family>", "t4 <ip> <family>", "t6 <ip> <family>")
    assert action.on_demand
    [action] = base.jail("action = a[actionstart_on_demand=false, t=x]").actions
    assert not action.on_demand and action.ban == Command.same("x <ip> <family>")


def test_action_has_switches_and_a_time(base: Base) -> None:
    base.write("action.d/a.conf", ACTION.replace("[Init]", "timeout = 2m\nnorestored = 1\n"
               "actionrepair_on_unban = true\nactionreban = again <ip>\nactionprolong = more\n"
               "actionflush = all\nactionrepair = mend\nactionreload = re\n"
               "actionbanmany = many <name>\nactionunbanmany = fewer\n[Init]"))  # fmt: skip
    [action] = base.jail().actions
    assert (action.timeout, action.norestored, action.repair_on_unban) == (120, True, True)
    texts = [getattr(action, verb).any for verb in "reban prolong flush repair reload".split()]
    assert texts == ["again <ip>", "more", "all", "mend", "re"]
    assert action.banmany == Command.same("many j")
    assert action.unbanmany == Command.same("fewer")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [("", "a"), ("[name=j]", "a"), ("[name=B]", "a-B"), ("[name=jB]", "aB"), ("[actname=x]", "x")],
)
def test_action_is_called_by_its_file_and_whom_it_is_for(
    base: Base, argument: str, expected: str
) -> None:
    [action] = base.jail(f"action = a{argument}").actions
    assert action.name == expected


def test_second_action_of_a_name_is_numbered(base: Base) -> None:
    loaded = base.load("action = a[port=1] a[port=2]\n    a[port=3]\n")
    [jail] = loaded.settings.jails  # type: ignore[union-attr]
    assert [one.name for one in jail.actions] == ["a", "a-2", "a-3"]
    assert [one.severity for one in loaded.problems] == ["warning", "warning"]
    assert loaded.problems[1].origin.line == 7 and "'a-3'" in loaded.problems[1].text


def test_missing_action_costs_its_jail_at_the_line_that_names_it(base: Base) -> None:
    problem = base.broken("action = a\n    b[x=1]\n")
    assert problem.startswith("jail.conf:7: [j] action: ") and "action.d/b.conf" in problem


def test_iptables_alone_bans_ipv4_only(base: Base) -> None:
    base.write("action.d/a.conf", "[Definition]\nactionban = iptables -I x -s <ip>\n"
               "actionunban = iptables -D x -s <ip>\n")  # fmt: skip
    assert "'iptables' bans IPv4 only" in base.problem("")
    [action] = base.reload().settings.jails[0].actions  # type: ignore[union-attr]
    assert action.families == ("ip",)


def test_firewall_rule_that_nothing_lifts_enforces_and_a_report_only_tells(base: Base) -> None:
    base.write("action.d/a.conf", "[Definition]\nactionban = <what>\n")
    loaded = base.load("action = a[what='nft add <ip>'] a[actname=b, what='report <ip>']")
    assert [one.enforces for one in loaded.settings.jails[0].actions] == [True, False]  # type: ignore[union-attr]
    base.write("action.d/a.conf", "[Definition]\nactionban = x <ip>\nactionflush = y\n")
    assert base.jail().actions[0].enforces


def test_action_may_list_its_families(base: Base) -> None:
    [action] = base.jail("action = a[families=INET6]").actions
    assert action.families == ("ip6",)


def test_unknown_option_of_the_mail_action_draws_a_hint(base: Base) -> None:
    assert "did you mean 'dest'?" in base.problem("action = a smtp.py[dst=x]")
    assert "expected matches" in base.problem("action = a smtp.py[matches=all]")


def test_mail_action_of_python_is_ours(base: Base) -> None:
    [_, action] = base.jail(
        "action = a\n  smtp.py[host='mx:25', user=u, password=p, sendername=N, sender=s@x,"
        ' dest="a@x, b@x", matches=ipmatches]\n'
    ).actions
    assert action.name == "smtp.py" and action.norestored and not action.enforces
    assert action.mail == MailActionSettings(
        "mx:25", "u", "p", "N", "s@x", ("a@x", "b@x"), "ipmatches"
    )


def test_options_of_the_mail_action_are_listed_but_settings_hide_its_password(base: Base) -> None:
    loaded = base.load("action = a smtp.py[password=geheim]")
    texts = {one.option: one.text for one in loaded.effective if one.part == "action smtp.py"}
    assert texts == {"password": "geheim"}
    assert "geheim" not in repr(loaded.settings)


def test_other_python_is_left_out_where_something_else_keeps_attackers_out(base: Base) -> None:
    problem = base.problem("action = a\n    mine.py[x=1]\n")
    assert problem.startswith("error jail.conf:7: [j] action: 'mine.py' is a part of another")
    assert problem.endswith("; the other actions run")
    assert len(base.reload().settings.jails[0].actions) == 1  # type: ignore[union-attr]
    assert "mine.py" in base.broken("action = mine.py")


# The daemon ------------------------------------------------------------------


def test_daemon_that_says_nothing_has_the_usual_values(base: Base) -> None:
    settings = base.settings()
    assert settings.modern and settings.background and settings.ipv6 is None
    assert settings.socket == "/var/run/fail2ban/fail2ban.sock"
    assert settings.pidlock == "/var/run/fail2ban/fail2ban.pid"
    assert settings.log.targets == ("/var/log/fail2ban.log",)
    assert (settings.log.level, settings.log.aligned) == (logging.INFO, True)
    assert settings.log.syslog_target == "/dev/log" and settings.log.syslog_facility == 3
    assert settings.store and settings.store.file == "/var/lib/fail2ban/fail2ban.sqlite3"
    assert (settings.store.maxmatches, settings.store.purgeage) == (10, 86400)


@pytest.mark.parametrize("section", ["Definition", "DEFAULT"])
def test_daemon_is_told_in_definition_or_in_default_alone(base: Base, section: str) -> None:
    base.write("fail2ban.conf", f"[{section}]\nloglevel = debug\nsocket = /run/s\npidfile = /p\n"
               "allowipv6 = no\ndbfile = None\nlogtarget = syslog\nsyslogsocket = /run/log\n"
               "dbpurgeage = 7d\n")  # fmt: skip
    settings = base.settings()
    assert (settings.log.level, settings.socket, settings.pidlock) == (10, "/run/s", "/p")
    assert settings.ipv6 is False and settings.store is None
    assert settings.log.targets == ("SYSLOG",) and settings.log.syslog_target == "/run/log"


def test_what_lasts_and_who_may_look_is_told_as_in_the_language_of_0_6(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\nmonitorsocket = /run/m\nmonitorgroup = root\n"
               "metricsport = 9191\nquiettime = 0\nclockskew = 1m\ndbmaxsize = 64M\n"
               "dbmaxmatches = 3\ndbfile = :memory:\n")  # fmt: skip
    settings = base.settings()
    assert settings.health == HealthSettings("/run/m", "root", 9191, 0.0, 60.0)
    assert settings.store == StoreSettings(":memory:", 3, 86400.0, 64 << 20)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("dbmaxsize = 64 pages", "'64 pages' is not a size; expected bytes, or a number with k"),
        ("dbmaxsize = 4k", "'4k' is too small for a database; expected at least 1M; using 256M"),
        ("dbfile = bans.sqlite3", "'bans.sqlite3' is no path; expected a path that starts with"),
        ("monitorsocket = m", "'m' is no path; expected one that starts with '/'; using none"),
        ("monitorgroup = nobodies", "'nobodies' is no group of this host; expected the name or"),
        ("metricsport = 99999", "'99999' is not a port; expected a number from 1 to 65535; using"),
    ],
)
def test_mistake_in_what_lasts_or_who_may_look_is_told_with_what_would_be_right(
    base: Base, line: str, text: str
) -> None:
    base.write("fail2ban.conf", f"[Definition]\n{line}\n")
    problem = base.problem("")
    assert f"fail2ban.conf:2: [Definition] {line.split()[0]}: {text}" in problem


def test_what_becomes_of_bans_and_a_dry_run_are_a_matter_of_each_jail(base: Base) -> None:
    assert (base.jail("").onstop, base.jail("").dryrun) == ("unban", False)
    loaded = base.load("onstop = Keep\ndryrun = true")
    assert loaded.settings is not None
    [jail] = loaded.settings.jails
    assert (jail.onstop, jail.dryrun) == ("keep", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 20),
        ("0", 50),
        ("1", 40),
        ("2", 30),
        ("4", 10),
        ("25", 25),
        ("notice", 25),
        ("MSG", 18),
    ],
)
def test_log_levels_have_names_numbers_and_the_meaning_of_0_8(
    base: Base, text: str, expected: int
) -> None:
    base.write("fail2ban.conf", f"[Definition]\nloglevel = {text}\n")
    assert base.settings().log.level == expected


def test_log_target_has_options(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\nlogtarget = SYSLOG[facility=auth, datetime=on,"
               " padding=on, format='%%(message)s']\n")  # fmt: skip
    log = base.settings().log
    assert (log.targets, log.syslog_facility, log.clock, log.padding) == (
        ("SYSLOG",),
        4,
        True,
        True,
    )
    assert log.pattern == "%(message)s"
    base.write("fail2ban.conf", "[Definition]\nlogtarget = /x y.log[datetime=off]\n")
    log = base.settings().log
    assert (log.targets, log.clock, log.padding) == (("/x y.log",), False, True)
    base.write("fail2ban.conf", "[Definition]\nlogtarget = sysout\n")
    assert base.settings().log.targets == ("SYSOUT",) and not base.settings().log.clock


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("loglevel = loud", "'loud' is no log level; expected one of CRITICAL, "),
        ("logtarget = here", "'here' is not a log target"),
        ("logtarget = SYSLOG[x=1]", "'x' is unknown"),
        ("socket = s", "'s' is no path"),
        ("allowipv6 = x", "'x' is neither yes nor no"),
        ("dbmaxmatches = x", "'x' is not a whole number"),
    ],
)
def test_bad_value_of_the_daemon_costs_its_default(base: Base, line: str, said: str) -> None:
    base.write("fail2ban.conf", f"[Definition]\n{line}\n")
    problem = base.problem("")
    assert problem.startswith("error fail2ban.conf:2: [Definition] ") and said in problem
    assert " instead" in problem


def test_daemon_runs_without_a_file_of_its_own(base: Base) -> None:
    (base.path / "fail2ban.conf").unlink()
    loaded = base.load()
    assert loaded.settings and len(loaded.settings.jails) == 1
    [problem] = loaded.problems
    assert "fail2ban.conf" in str(problem)


# The command line ------------------------------------------------------------


def test_command_line_stands_above_the_daemon_and_default_but_below_a_jail(base: Base) -> None:
    base.write("fail2ban.conf", "[Definition]\nsocket = /a\nloglevel = INFO\n")
    base.write("jail.d/0.conf", "[DEFAULT]\nbantime = 1h\nmaxretry = 9\n[j]\nmaxretry = 4\n")
    options = {"bantime": ("60", "-t"), "maxretry": ("1", "-r"), "socket": ("/b", "-s")}
    settings = base.settings(options=options, background=False, verbose=2)
    [jail] = settings.jails
    assert (jail.bantime, jail.maxretry, settings.socket) == (60, 4, "/b")
    assert not settings.background and settings.log.level == logging.DEBUG


def test_command_line_enables_jails_in_any_case(base: Base) -> None:
    base.write("jail.d/z.conf", f"[K]\nfilter = f\naction = a\nlogpath = {base.log}\n")
    assert [jail.name for jail in base.settings(enable=("k",)).jails] == ["j", "K"]
    [problem] = base.load(enable=("kk",)).problems
    assert str(problem) == "command line: -e: there is no jail 'kk'; did you mean 'K'?"


def test_bad_flag_is_told_once_by_its_name(base: Base) -> None:
    base.write("jail.d/z.conf", f"[k]\nenabled=1\nfilter = f\naction = a\nlogpath = {base.log}\n")
    [problem] = base.load(options={"bantime": ("x", "-t")}).problems
    assert str(problem).startswith("command line: -t: 'x' is not a duration")
    assert not str(problem).endswith("instead")


# Everything in force ---------------------------------------------------------


def test_every_value_in_force_is_listed_with_its_place(base: Base) -> None:
    loaded = base.load("bantime = 10m\n")
    found = {(one.section, one.part, one.option): one for one in loaded.effective}
    assert len(found) == len(loaded.effective)
    assert found["j", "", "bantime"].text == "10m" and found["j", "", "bantime"].origin.line == 6
    assert found["j", "", "findtime"].origin.file == "built-in"
    assert found["j", "", "enabled"].text == "true"
    assert found["j", "filter f", "failregex"].text == "^fail <HOST>$"
    assert found["j", "action a", "actionban"].text == "add j ssh <ip>"
    assert found["j", "action a", "actionban"].origin.line == 5
    assert found["j", "action a", "name"].text == "j"
    assert found["", "", "loglevel"].text == "INFO"


def test_value_of_the_filter_is_listed_where_the_jail_says_nothing(base: Base) -> None:
    base.write("filter.d/f.conf", FILTER + "usedns = no\njournalmatch = _COMM=a\n")
    parts = [(one.part, one.option) for one in base.load().effective if one.section == "j"]
    assert ("filter f", "usedns") in parts and ("", "usedns") not in parts
    assert ("filter f", "journalmatch") in parts
    parts = [(one.part, one.option) for one in base.load("usedns = yes").effective]
    assert ("", "usedns") in parts and ("filter f", "usedns") not in parts
    for jail in ("filter =", "filter =\nusedns = no"):
        listed = [(one.section, one.part, one.option) for one in base.load(jail).effective]
        assert len(listed) == len(set(listed))


def test_variants_of_a_family_are_listed_under_their_own_names(base: Base) -> None:
    base.write("action.d/a.conf", "[Definition]\nactionban = <t> <ip>\n[Init]\nt = t4\n"
               "[Init?family=inet6]\nt = t6\n")  # fmt: skip
    texts = {one.option: one.text for one in base.load().effective if one.part == "action a"}
    assert (texts["actionban"], texts["actionban?family=inet6"]) == ("t4 <ip>", "t6 <ip>")


# Old trees -------------------------------------------------------------------


def test_tree_of_0_8_runs_unchanged(base: Base) -> None:
    base.write("fail2ban.conf", "# Fail2Ban 0.8\n[Definition]\nloglevel = 3\n"
               "logtarget = /var/log/fail2ban.log\nsocket = /tmp/fail2ban.sock\n")  # fmt: skip
    base.write("filter.d/sshd.conf", "[INCLUDES]\nbefore = common.conf\n[Definition]\n"
               "_daemon = sshd\nfailregex = ^%(__prefix)sFailed .* from <HOST>\\s*$\n"
               "            ^%(__prefix)sBad .* <HOST>\\s*$\nignoreregex =\n")  # fmt: skip
    base.write("filter.d/common.conf", "[DEFAULT]\n_daemon = \\S*\n__prefix = %(_daemon)s:\\s\n")
    base.write("action.d/iptables.conf", "[Definition]\n"
               "actionstart = iptables -N fail2ban-<name>\n"
               "              iptables -I INPUT -p <protocol> --dport <port> -j fail2ban-<name>\n"
               "actionstop =\nactioncheck = iptables -n -L INPUT | grep -q fail2ban-<name>\n"
               "actionban = iptables -I fail2ban-<name> 1 -s <ip> -j DROP\n"
               "actionunban = iptables -D fail2ban-<name> -s <ip> -j DROP\n"
               "[Init]\nname = default\nport = ssh\nprotocol = tcp\n")  # fmt: skip
    base.write("action.d/sendmail-whois.conf", "[Definition]\nactionban = printf '<ip> <failures>'"
               " | sendmail <dest>\n[Init]\nname = default\ndest = root\n")  # fmt: skip
    base.write("jail.conf", "[DEFAULT]\nignoreip = 127.0.0.1\nbantime  = 600   # ten minutes\n"
               "findtime  = 600\nmaxretry = 3\nbackend = gamin\nbackend = auto\n"
               "[ssh-iptables]\nenabled  = true\nfilter   = sshd\n"
               "action   = iptables[name=SSH, port=ssh, protocol=tcp]\n"
               f"           sendmail-whois[name=SSH, dest=root]\nlogpath  = {base.log}\n"
               "maxretry = 5\nmaxretry = 6\n")  # fmt: skip
    loaded = base.reload()
    assert {one.severity for one in loaded.problems} == {"warning"}
    assert loaded.settings and loaded.settings.log.level == logging.INFO
    [jail] = loaded.settings.jails
    assert (jail.bantime, jail.maxretry, jail.journal) == (600, 6, None)
    assert [one.text for one in jail.filter.failregex] == [
        "^sshd:\\sFailed .* from <HOST>\\s*$",
        "^sshd:\\sBad .* <HOST>\\s*$",
    ]
    firewall, mail = jail.actions
    assert (firewall.name, mail.name) == ("iptables-SSH", "sendmail-whois-SSH")
    assert firewall.start.any == (
        "iptables -N fail2ban-SSH\niptables -I INPUT -p tcp --dport ssh -j fail2ban-SSH"
    )
    assert firewall.ban.any == "iptables -I fail2ban-SSH 1 -s <ip> -j DROP"
    assert firewall.families == ("ip",) and firewall.enforces
    assert mail.ban.any == "printf '<ip> <failures>' | sendmail root" and not mail.enforces


# Anything --------------------------------------------------------------------

_NAMES = st.sampled_from(
    "enabled filter backend logpath maxretry bantime ignoreip action failregex journalmatch "
    "bantime.increment bantime.formula ignorecache logtimezone actionban actionban?family=inet6 "
    "timeout loglevel logtarget dbfile mode".split()
)
_TEXTS = st.lists(
    st.sampled_from(
        "true f a f[mode=x] a[ ] %(known/failregex)s %(maxretry)s %(x)s % <mode> <known/mode> "
        "<HOST> systemd gamin 5 -1 1h / * /nowhere 192.0.2.1 :: file: _COMM=a + ' \" , = x.py "
        "smtp.py a[name=y] STDOUT[ SYSLOG[format=%%] None ban.Time**9".split()
    ),
    max_size=4,
).map(" ".join)
_LINES = st.tuples(_NAMES, _TEXTS).map(" = ".join)
_FILES = st.lists(_LINES, max_size=6).map("\n".join)


@settings(max_examples=150, deadline=None)
@given(_FILES, _FILES, _FILES, _FILES, _FILES)
def test_any_tree_is_loaded_and_every_jail_runs_or_is_accounted_for(
    default: str, jail: str, failing: str, acting: str, daemon: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Base(Path(folder))
        base.write("filter.d/f.conf", f"{FILTER}{failing}\n")
        base.write("action.d/a.conf", f"{ACTION}{acting}\n")
        base.write("fail2ban.conf", f"[Definition]\n{daemon}\n")
        base.write("jail.conf", f"[DEFAULT]\n{default}\n[j]\n{jail}\n[k]\nenabled = yes\n")
        loaded = base.reload()
    assert loaded.settings is not None
    running = {one.name for one in loaded.settings.jails}
    assert running | loaded.broken | loaded.disabled == {"j", "k"}
    assert not (running & loaded.broken or running & loaded.disabled)
    assert not loaded.broken or any(one.severity == "error" for one in loaded.problems)
