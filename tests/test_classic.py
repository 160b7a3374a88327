# SPDX-License-Identifier: GPL-2.0-or-later
"""The single file of 0.6: what it means, and what is said about its mistakes.

Numbers of defects are those of fail2ban-conf-0.6.md, section 12.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config.classic import Overrides, load, parse
from fail2ban.config.loaded import Loaded
from fail2ban.records import (
    FAMILIES,
    ActionSettings,
    Command,
    FilterSettings,
    FirewallSettings,
    GrowthSettings,
    HealthSettings,
    IgnoreSettings,
    JailSettings,
    LogSettings,
    MailSettings,
    Network,
    Origin,
    Problem,
    Settings,
    Sourced,
    StoreSettings,
)

JAIL = "[SSH]\nenabled = true\nlogfile = /var/log/auth.log\nfailregex = Failed .* <HOST>\n"
#: What an empty file means.
USUAL = Settings(socket="/var/run/fail2ban/fail2ban.sock", store=StoreSettings())
JAIL_LINES = JAIL.count("\n")


def net(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def here(text: str) -> Sourced:
    """Return a pattern as it compares: where it stands does not matter."""
    return Sourced(text, Origin(""))


def read(text: str, **flags: str) -> Loaded:
    """Parse with overrides such as t="bantime=60"."""
    pairs = {f"-{flag}": given.split("=", 1) for flag, given in flags.items()}
    options = {name: (value, flag) for flag, (name, value) in pairs.items()}
    return parse(text, "f.conf", Overrides(options))


def settings(text: str, **flags: str) -> Settings:
    loaded = read(text, **flags)
    assert loaded.settings is not None
    return loaded.settings


def jail(text: str, **flags: str) -> JailSettings:
    """Return the first jail of a file that has no errors."""
    assert errors(read(text, **flags)) == []
    return settings(text, **flags).jails[0]


def errors(loaded: Loaded) -> list[Problem]:
    return [problem for problem in loaded.problems if problem.severity == "error"]


def only_error(loaded: Loaded) -> Problem:
    [problem] = errors(loaded)
    return problem


# The file --------------------------------------------------------------------


def test_empty_text_is_all_defaults_and_a_warning_that_nothing_is_watched() -> None:
    loaded = parse("", "f.conf")
    assert loaded.settings == USUAL
    assert [str(p) for p in loaded.problems if p.severity == "error"] == []
    assert "no log is watched" in loaded.problems[0].text


def test_missing_file_is_one_error_and_no_settings(tmp_path: Path) -> None:
    loaded = load(tmp_path / "none.conf")
    assert loaded.settings is None
    assert str(only_error(loaded).origin) == str(tmp_path / "none.conf")
    assert "No such file" in only_error(loaded).text


def test_directory_in_place_of_the_file_is_one_error(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.settings is None and len(loaded.problems) == 1


def test_file_is_read_as_utf_8_and_else_as_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        path.write_bytes(JAIL.replace("Failed", "Échec").encode(encoding))
        loaded = load(path)
        assert errors(loaded) == []
        assert loaded.settings is not None
        assert loaded.settings.jails[0].filter.failregex == (here("Échec .* <HOST>"),)


def test_overrides_reach_a_loaded_file(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.write_text(JAIL)
    loaded = load(path, Overrides({"bantime": ("60", "-t")}))
    assert loaded.settings is not None
    assert loaded.settings.jails[0].bantime == 60


def test_bad_line_leaves_out_its_section_and_the_others_run() -> None:
    loaded = parse(JAIL + "nonsense\n" + JAIL.replace("SSH", "Other"), "f.conf")
    assert loaded.settings is not None
    assert [found.name for found in loaded.settings.jails] == ["Other"]
    assert loaded.broken == {"SSH"}
    problem = only_error(loaded)
    assert str(problem).startswith(f"f.conf:{JAIL_LINES + 1}: [SSH] 'nonsense' fits nothing; ")
    assert problem.text.endswith("; [SSH] is left out")


@pytest.mark.parametrize("text", ["nonsense\n[DEFAULT]\n", "x = 1\n", "[DEFAULT]\nnonsense\n"])
def test_bad_line_in_default_or_above_every_section_stops_everything(text: str) -> None:
    loaded = parse(text + JAIL, "f.conf")
    assert loaded.settings is None
    assert only_error(loaded).text.endswith("; nothing can run")
    assert loaded.broken == frozenset()


def test_file_full_of_nul_bytes_stops_everything() -> None:
    assert parse(JAIL.encode("utf-16-le").decode("latin-1"), "f.conf").settings is None


def test_problems_come_in_the_order_of_the_file_and_those_of_the_command_line_first() -> None:
    text = "[DEFAULT]\nbantime = x\n[A]\nbogus = 1\nenabled = maybe\n[DEFAULT]\nfindtime = y\n"
    loaded = parse(text, "f.conf", Overrides({"maxfailures": ("z", "-r")}, enable=("b",)))
    lines = [problem.origin.line for problem in loaded.problems]
    assert lines == sorted(lines)
    assert {problem.option for problem in loaded.problems[:2]} == {"-e", "-r"}
    assert {2, 3, 4, 5, 7} <= set(lines)


# [DEFAULT] -------------------------------------------------------------------


def test_every_option_of_the_daemon_is_read() -> None:
    text = """
[DEFAULT]
background = yes
debug = on
verbose = 2
logtargets = STDERR SYSLOG /var/log/f2b.log
syslog-target = log.example:5514
syslog-facility = authpriv
pidlock = /run/f2b.pid
locale = de_DE
cmdstart = one
  # kept
  two %%
cmdend = three
polltime = 2
reinittime = 1m
maxreinits = -1
"""
    assert settings(text) == Settings(
        background=True,
        pidlock="/run/f2b.pid",
        locale="de_DE",
        log=LogSettings(
            targets=("STDERR", "SYSLOG", "/var/log/f2b.log"),
            syslog_target="log.example:5514",
            syslog_facility=10,
            verbose=2,
        ),
        firewall=FirewallSettings(
            start="one\n# kept\ntwo %",
            stop="three",
            polltime=2.0,
            reinittime=60.0,
            maxreinits=-1,
            dryrun=True,
        ),
    )


@pytest.mark.parametrize(
    ("line", "option", "instead"),
    [
        ("background = maybe", "background", "false"),
        ("debug = 2", "debug", "false"),
        ("verbose = loud", "verbose", "0"),
        ("verbose = -1", "verbose", "0"),
        ("logtargets = syslog", "logtargets", "/var/log/fail2ban.log"),
        ("syslog-facility = kernel", "syslog-facility", "1"),
        ("pidlock =", "pidlock", "/var/run/fail2ban.pid"),
        ("polltime = 0", "polltime", "1"),
        ("reinittime = -1", "reinittime", "100"),
        ("maxreinits = many", "maxreinits", "100"),
        ("maxfailures = 0", "maxfailures", "5"),
        ("findtime = 0", "findtime", "600"),
        ("bantime = 10 parsecs", "bantime", "600"),
        ("usedns = perhaps", "usedns", "warn"),
        ("pidlock = 100%", "pidlock", "/var/run/fail2ban.pid"),
        ("locale = %(lang)s", "locale", "an empty text"),
        ("socket = run/f2b.sock", "socket", "/var/run/fail2ban/fail2ban.sock"),
        ("dbfile = f2b.sqlite3", "dbfile", "/var/lib/fail2ban/fail2ban.sqlite3"),
        ("dbmaxsize = 256 pages", "dbmaxsize", "256M"),
        ("dbpurgeage = -1", "dbpurgeage", "1d"),
        ("monitorsocket = monitor", "monitorsocket", "none"),
        ("monitorgroup = no such group", "monitorgroup", "an empty text"),
        ("metricsport = 65536", "metricsport", "0"),
        ("quiettime = never", "quiettime", "7d"),
        ("clockskew = 0", "clockskew", "60"),
        ("onstop = forget", "onstop", "unban"),
        ("dryrun = perhaps", "dryrun", "false"),
    ],
)
def test_bad_value_in_default_costs_only_itself_and_the_default_used_is_named(
    line: str, option: str, instead: str
) -> None:
    loaded = parse(f"[DEFAULT]\n{line}\n", "f.conf")
    assert loaded.settings == USUAL
    problem = only_error(loaded)
    assert (str(problem.origin), problem.section, problem.option) == ("f.conf:2", "DEFAULT", option)
    assert problem.text.endswith(f"; using {instead} instead")


def test_every_option_of_what_lasts_and_who_may_look_is_read() -> None:
    text = """
[DEFAULT]
socket = /run/f2b/control
dbfile = /var/lib/f2b.db
dbmaxmatches = 3
dbpurgeage = 2d
dbmaxsize = 64M
monitorsocket = /run/f2b/monitor
monitorgroup = root
metricsport = 9191
quiettime = 1w 1d
clockskew = 2m
"""
    assert settings(text) == Settings(
        socket="/run/f2b/control",
        store=StoreSettings("/var/lib/f2b.db", 3, 2 * 86400.0, 64 << 20),
        health=HealthSettings("/run/f2b/monitor", "root", 9191, 8 * 86400.0, 120.0),
    )


@pytest.mark.parametrize("word", ["", "none", "None"])
def test_there_may_be_no_socket_and_no_database(word: str) -> None:
    found = settings(f"[DEFAULT]\nsocket = {word}\ndbfile = {word}\n")
    assert (found.socket, found.store) == ("", None)


def test_dry_run_leaves_the_socket_and_the_database_of_the_real_daemon_alone() -> None:
    for dry in (settings("[DEFAULT]\ndebug = true\n"), settings("", d="debug=true")):
        assert (dry.socket, dry.store) == ("", None)
    asked = settings("[DEFAULT]\nsocket = /tmp.sock\ndbfile = /f.db\n", d="debug=true")
    assert (asked.socket, asked.store) == ("/tmp.sock", None)


def test_what_becomes_of_bans_and_a_dry_run_are_a_matter_of_each_section() -> None:
    text = f"[DEFAULT]\nonstop = keep\ndryrun = yes\n{JAIL}[B]\n" + (
        "logfile = /b\nfailregex = x\nonstop = UNBAN\ndryrun = no\n"
        "[C]\nlogfile = /c\nfailregex = x\nonstop = whatever\n"
    )
    found = {jail.name: (jail.onstop, jail.dryrun) for jail in settings(text).jails}
    assert found == {"SSH": ("keep", True), "B": ("unban", False), "C": ("keep", True)}
    problem = only_error(read(text))
    assert (problem.origin.line, problem.section, problem.option) == (16, "C", "onstop")
    assert problem.text == ("'whatever' is unknown; expected unban or keep; using keep instead")


def test_bans_grow_by_the_options_of_a_tree_once_that_is_chosen() -> None:
    growth = (
        "bantime.factor = 2\nbantime.formula = ban.Time * ban.Count\n"
        "bantime.multipliers = 1 2 4\nbantime.maxtime = 1w\nbantime.rndtime = 5m\n"
        "bantime.overalljails = yes\n"
    )
    assert jail(JAIL + growth).growth is None
    found = jail(f"[DEFAULT]\nbantime.increment = true\n{JAIL}{growth}").growth
    assert found == GrowthSettings(
        2.0, "ban.Time * ban.Count", (1.0, 2.0, 4.0), 604800.0, 300.0, True
    )
    loaded = read(f"{JAIL}bantime.increment = on\nbantime.maxtime = long\n")
    assert only_error(loaded).text.endswith("using none instead")
    assert loaded.settings is not None
    assert loaded.settings.jails[0].growth == GrowthSettings()


def test_every_value_in_force_is_shown_with_its_place() -> None:
    text = f"[DEFAULT]\nbantime = 1h\n{JAIL}dryrun = yes\n[Off]\nlogfile = /o\nfailregex = x\n"
    shown = {(one.section, one.option): one for one in read(text).effective}
    assert (shown["", "dbmaxsize"].text, str(shown["", "dbmaxsize"].origin)) == ("256M", "built-in")
    assert str(shown["SSH", "bantime"].origin) == "f.conf:2"
    assert shown["SSH", "dryrun"].text == "yes" and shown["SSH", "onstop"].text == "unban"
    assert shown["SSH", "failregex"].text == "Failed .* <HOST>"
    assert not [section for section, _ in shown if section == "Off"]
    flag = {one.option: one for one in read(text, p="pidlock=/p").effective if not one.section}
    assert (flag["pidlock"].text, str(flag["pidlock"].origin)) == ("/p", "command line")


@pytest.mark.parametrize("option", ["cmdstart", "cmdend"])
def test_command_of_the_daemon_that_cannot_be_expanded_stops_everything(option: str) -> None:
    loaded = parse(f"[DEFAULT]\n{option} = nft %(table)s\n{JAIL}", "f.conf")
    assert loaded.settings is None
    assert only_error(loaded).text.endswith("; nothing can run")


def test_name_of_the_section_is_not_available_in_default_itself() -> None:
    loaded = parse("[DEFAULT]\ncmdstart = echo %(__name__)s\n", "f.conf")
    assert loaded.settings is None
    assert "'%(__name__)s'" in only_error(loaded).text


def test_empty_syslog_target_is_the_socket_of_the_machine() -> None:
    assert settings("[DEFAULT]\nsyslog-target =\n").log.syslog_target == "/dev/log"


def test_defect_18_whole_socket_path_is_kept_and_facility_may_be_minus_1() -> None:
    log = settings("[DEFAULT]\nsyslog-target = /run/my-dev.log\nsyslog-facility = -1\n").log
    assert (log.syslog_target, log.syslog_facility) == ("/run/my-dev.log", 1)


# Jails -----------------------------------------------------------------------


def test_every_option_of_a_jail_is_read() -> None:
    text = """
[DEFAULT]
protocol : tcp
[My Site]
enabled = 1
logfile = /var/log/a b.log
  /var/log/*.log
failregex = bad <HOST>
    # 100% of the next are rare

    (?P<host>\\S+) denied
ignoreregex = monitor
  probe;
timeregex = \\d+
timepattern = %%s
maxfailures = 3
findtime = 1h
bantime = 1d
polltime = 0.5
ignoreip = 192.0.2.1
usedns = no
port = http
fwstart = iptables -N f2b-%(__name__)s
  ip6tables -N f2b-%(__name__)s
fwend = end %(port)s/%(protocol)s
fwcheck = check
fwban = nft add element <family> s { <ip> }
fwunban = nft delete element <family> s { <ip> }
fwbanmany = <iptables> many %(port)s
fwunbanmany = fewer <section>
"""
    assert jail(text) == JailSettings(
        name="My Site",
        origin=Origin(""),
        enabled=True,
        logs=("/var/log/a b.log", "/var/log/*.log"),
        filter=FilterSettings(
            section="My Site",
            failregex=(here("bad <HOST>"), here("(?P<host>\\S+) denied")),
            ignoreregex=(here("monitor"), here("probe;")),
            timeregex=here("\\d+"),
            timepattern=here("%s"),
            usedns="no",
        ),
        actions=(
            ActionSettings(
                name="firewall",
                start=Command.same("iptables -N f2b-My Site\nip6tables -N f2b-My Site"),
                stop=Command.same("end http/tcp"),
                check=Command.same("check"),
                ban=Command(
                    *(f"nft add element {x} s {{ <ip> }}" for x in ("<family>", *FAMILIES))
                ),
                unban=Command(
                    *(f"nft delete element {x} s {{ <ip> }}" for x in ("<family>", *FAMILIES))
                ),
                banmany=Command(
                    "<iptables> many http", "iptables many http", "ip6tables many http"
                ),
                unbanmany=Command.same("fewer <jail.name>"),
                repair_on_unban=True,
            ),
        ),
        maxretry=3,
        findtime=3600.0,
        bantime=86400.0,
        ignore=IgnoreSettings(net("192.0.2.1")),
        polltime=0.5,
    )
    lines = text.split("\n")
    first, second = jail(text).filter.failregex
    assert lines[first.origin.line - 1] == "failregex = bad <HOST>"
    assert lines[second.origin.line - 1].strip() == second.text
    assert lines[jail(text).origin.line - 1] == "[My Site]"


def test_jail_that_says_little_takes_the_defaults_of_the_code() -> None:
    found = jail(JAIL)
    assert (found.maxretry, found.findtime, found.bantime, found.polltime) == (5, 600.0, 600.0, 1.0)
    assert found.ignore.networks == ()
    assert found.actions == (ActionSettings("firewall", repair_on_unban=True),)
    assert found.filter == FilterSettings("SSH", (here("Failed .* <HOST>"),))


def test_disabled_sections_are_jails_too_and_enabled_is_off_unless_said() -> None:
    text = JAIL + "[Off]\nfailregex = x\n[Also]\nenabled = no\nfailregex = y\n"
    loaded = parse(text, "f.conf")
    assert errors(loaded) == []
    assert loaded.settings is not None
    found = [(one.name, one.enabled, one.logs) for one in loaded.settings.jails]
    assert found == [("SSH", True, ("/var/log/auth.log",)), ("Off", False, ()), ("Also", False, ())]


def test_first_line_of_a_regex_may_start_with_a_number_sign() -> None:
    text = JAIL.replace("failregex = Failed .* <HOST>", "failregex = #1 <HOST>\n  # note")
    assert jail(text).filter.failregex == (here("#1 <HOST>"),)
    text = JAIL.replace("failregex = Failed .* <HOST>", "failregex =\n  # note\n  one")
    assert jail(text).filter.failregex == (here("one"),)


@pytest.mark.parametrize("regex", ["", "failregex =\n", 'failregex = ""\n', "failregex =\n  #x\n"])
@pytest.mark.parametrize("enabled", ["true", "false"])
def test_defect_24_section_without_failregex_is_left_out(regex: str, enabled: str) -> None:
    loaded = parse(f"[A]\nenabled = {enabled}\nlogfile = /a\n{regex}", "f.conf")
    assert loaded.settings is not None and loaded.settings.jails == ()
    assert loaded.broken == {"A"}
    problem = only_error(loaded)
    assert (problem.option, problem.origin.line) == ("failregex", 4 if regex else 1)
    assert problem.text.endswith("; [A] is left out")


@pytest.mark.parametrize("logfile", ["", "logfile =\n", "logfile =\n  # none\n"])
def test_enabled_section_without_a_log_is_left_out(logfile: str) -> None:
    loaded = parse(f"[A]\nenabled = true\nfailregex = x\n{logfile}", "f.conf")
    assert loaded.broken == {"A"}
    assert only_error(loaded).option == "logfile"


def test_all_that_is_wrong_with_a_section_is_said_at_once() -> None:
    loaded = parse("[A]\nenabled = true\ntimeregex = x\n", "f.conf")
    assert {problem.option for problem in errors(loaded)} == {"failregex", "logfile", "timeregex"}


@pytest.mark.parametrize("option", ["timeregex", "timepattern"])
def test_defect_24_half_a_description_of_time_leaves_the_section_out(option: str) -> None:
    loaded = parse(f"{JAIL}{option} = abc\n", "f.conf")
    assert loaded.broken == {"SSH"}
    problem = only_error(loaded)
    assert (problem.option, problem.origin.line) == (option, JAIL_LINES + 1)
    assert "expected both, or neither" in problem.text


def test_empty_description_of_time_is_none() -> None:
    found = jail(JAIL + "timeregex =\ntimepattern =\n").filter
    assert found.timeregex is None and found.timepattern is None


def test_description_of_time_may_be_shared_between_default_and_the_section() -> None:
    found = jail("[DEFAULT]\ntimepattern = tai64n\n" + JAIL + "timeregex = @\\w+\n").filter
    assert (found.timeregex, found.timepattern) == (here("@\\w+"), here("tai64n"))


def test_aliases_are_understood_and_the_canonical_name_wins() -> None:
    text = "[A]\nenabled = on\nfailregex = x\nlogpath = /a\nmaxretry = 2\n"
    assert (jail(text).logs, jail(text).maxretry) == (("/a",), 2)
    both = jail(text + "logfile = /b\nmaxfailures = 3\n")
    assert (both.logs, both.maxretry) == (("/b",), 3)


def test_alias_in_the_section_wins_over_the_canonical_name_in_default() -> None:
    assert jail("[DEFAULT]\nmaxfailures = 9\n" + JAIL + "maxretry = 2\n").maxretry == 2


@pytest.mark.parametrize(
    ("option", "text", "attribute", "value"),
    [("maxfailures", "x", "maxretry", 7), ("findtime", "-5", "findtime", 70.0),
     ("bantime", "x", "bantime", None), ("polltime", "", "polltime", 7.0)],
)  # fmt: skip
def test_bad_limit_of_a_section_is_replaced_by_that_of_default(
    option: str, text: str, attribute: str, value: object
) -> None:
    default = "[DEFAULT]\nmaxfailures = 7\nfindtime = 70\nbantime = -1\npolltime = 7\n"
    loaded = parse(f"{default}{JAIL}{option} = {text}\n", "f.conf")
    assert loaded.settings is not None and loaded.broken == frozenset()
    assert getattr(loaded.settings.jails[0], attribute) == value
    problem = only_error(loaded)
    assert (problem.section, problem.option) == ("SSH", option)
    spelled = "a permanent ban" if value is None else f"{value:g}"
    assert problem.text.endswith(f"; using {spelled} instead")


def test_unreadable_enabled_is_an_error_and_means_no() -> None:
    loaded = parse("[DEFAULT]\nenabled = true\n" + JAIL.replace("true", "ture"), "f.conf")
    assert loaded.settings is not None and not loaded.settings.jails[0].enabled
    assert "'ture' is neither yes nor no" in only_error(loaded).text


def test_default_is_a_fallback_for_every_option_of_a_section() -> None:
    text = "[DEFAULT]\nenabled = yes\nlogfile = /a\nfailregex = x\nfwban = ban <ip> %(__name__)s\n"
    assert jail(text + "[A]\n").actions[0].ban.any == "ban <ip> A"


@pytest.mark.parametrize(
    ("fwban", "families"),
    [
        ("iptables -I c 1 -s <ip> -j DROP", ("ip",)),
        ("/sbin/iptables -I c 1 -s <ip> -j DROP", ("ip",)),
        ("<iptables> -I c 1 -s <ip> -j DROP", ("ip", "ip6")),
        ("ip6tables -I c -s <ip>", ("ip", "ip6")),
        ("iptables -I c -s <ip> || ip6tables -I c -s <ip>", ("ip", "ip6")),
        ("iptables <family> <ip>", ("ip", "ip6")),
        ("myiptables <ip>", ("ip", "ip6")),
        ("shorewall drop <ip>", ("ip", "ip6")),
    ],
)
def test_command_that_names_only_iptables_bans_only_ipv4(
    fwban: str, families: tuple[str, ...]
) -> None:
    assert jail(f"{JAIL}fwban = {fwban}\nfwunban = x\n").actions[0].families == families


# Addresses -------------------------------------------------------------------


def test_ignored_addresses_are_separated_by_blanks_commas_or_lines() -> None:
    text = JAIL + "ignoreip = 192.0.2.1 198.51.100.7/24,2001:db8::/32\n  # office\n  203.0.113.1,\n"
    expected = net("192.0.2.1", "198.51.100.0/24", "2001:db8::/32", "203.0.113.1")
    assert jail(text).ignore.networks == expected


def test_ignored_addresses_of_a_section_replace_those_of_default() -> None:
    text = "[DEFAULT]\nignoreip = 192.0.2.1\n" + JAIL
    assert jail(text).ignore.networks == net("192.0.2.1")
    assert jail(text + "ignoreip = 192.0.2.2\n").ignore.networks == net("192.0.2.2")
    assert jail(text + "ignoreip =\n").ignore.networks == ()


def test_empty_list_of_ignored_addresses_is_no_problem() -> None:
    assert parse(f"[DEFAULT]\nignoreip =\n{JAIL}", "f.conf").problems == ()


def test_defect_20_bad_address_is_reported_in_its_line_and_the_others_are_kept() -> None:
    loaded = parse(f"[DEFAULT]\nignoreip = 192.0.2.1\n  127.1 192.0.2.2\n{JAIL}", "f.conf")
    assert loaded.settings is not None
    assert loaded.settings.jails[0].ignore.networks == net("192.0.2.1", "192.0.2.2")
    problem = only_error(loaded)
    assert (problem.origin.line, problem.section) == (3, "DEFAULT")
    assert problem.text.startswith("'127.1' is not a valid IP address")


def test_defect_19_mask_is_understood_and_the_usual_form_is_told() -> None:
    loaded = parse(f"[DEFAULT]\nignoreip = 192.0.2.0/255.255.255.0\n{JAIL}", "f.conf")
    assert loaded.settings is not None
    assert loaded.settings.jails[0].ignore.networks == net("192.0.2.0/24")
    [problem] = loaded.problems
    assert problem.severity == "warning"
    assert "'192.0.2.0/24'" in problem.text


def test_bad_address_in_default_is_reported_even_if_every_section_has_its_own() -> None:
    loaded = parse(f"[DEFAULT]\nignoreip = x\n{JAIL}ignoreip = 192.0.2.1\n", "f.conf")
    assert only_error(loaded).origin.line == 2


# Interpolation ---------------------------------------------------------------


@pytest.mark.parametrize("text", ["%(nothing)s", "50%", "%(fwban)s"])
def test_text_that_cannot_be_expanded_leaves_out_its_section_only(text: str) -> None:
    loaded = parse(f"{JAIL}fwban = {text}\n{JAIL.replace('SSH', 'B')}", "f.conf")
    assert loaded.settings is not None
    assert [found.name for found in loaded.settings.jails] == ["B"]
    assert loaded.broken == {"SSH"}
    problem = only_error(loaded)
    assert (problem.origin.line, problem.option) == (JAIL_LINES + 1, "fwban")
    assert text in problem.text or "'50%'" in problem.text or "'%'" in problem.text


def test_disabled_section_is_read_and_its_problems_reported_too() -> None:
    loaded = parse("[Off]\nfailregex = 100%\n" + JAIL, "f.conf")
    assert loaded.broken == {"Off"}
    assert only_error(loaded).origin.line == 2


def test_list_that_cannot_be_expanded_is_not_also_called_empty() -> None:
    loaded = parse("[A]\nenabled=1\nfailregex = %a\nlogfile = %b\ntimeregex = %c\n"
                   "timepattern = d", "f.conf")  # fmt: skip
    assert [problem.origin.line for problem in errors(loaded)] == [3, 4, 5]


def test_mistake_in_default_is_one_problem_however_many_sections_use_it() -> None:
    text = "[DEFAULT]\nfwban = drop %(chain)s\n[A]\nfailregex=x\n[B]\nfailregex=x\n"
    loaded = parse(text + "[C]\nfailregex=x\nchain = c\n[D]\nfailregex=x\nfwban = d\n", "f.conf")
    problem = only_error(loaded)
    assert (problem.section, problem.origin.line) == ("DEFAULT", 2)
    assert problem.text.endswith("; [A] is left out, [B] is left out")
    assert loaded.broken == {"A", "B"}
    assert loaded.settings is not None
    assert [found.actions[0].ban.any for found in loaded.settings.jails] == ["drop c", "d"]


def test_bad_number_in_default_is_one_problem_and_breaks_no_section() -> None:
    loaded = parse(f"[DEFAULT]\nbantime = soon\n{JAIL}", "f.conf")
    assert loaded.broken == frozenset()
    assert only_error(loaded).text.count("using 600 instead") == 1


def test_percent_sign_in_the_name_of_a_section_is_just_a_character() -> None:
    text = JAIL.replace("SSH", "50%") + "fwban = drop <ip> %(__name__)s\n"
    assert jail(text).actions[0].ban.any == "drop <ip> 50%"


def test_helper_that_nobody_uses_may_hold_anything() -> None:
    assert errors(parse(f"[DEFAULT]\nhelper = 100% sure\n{JAIL}", "f.conf")) == []


# The command line ------------------------------------------------------------

LIMITS = [
    ("bantime", "t", "bantime", ("1h", "60", "5m"), 60.0, 300.0),
    ("findtime", "f", "findtime", ("1h", "60", "5m"), 60.0, 300.0),
    ("maxfailures", "r", "maxretry", ("7", "2", "9"), 2, 9),
    ("ignoreip", "i", "ignore", ("203.0.113.7", "192.0.2.1", "192.0.2.2"),
     IgnoreSettings(net("192.0.2.1")), IgnoreSettings(net("192.0.2.2"))),
]  # fmt: skip


@pytest.mark.parametrize(("option", "flag", "attribute", "texts", "value", "own_value"), LIMITS)
def test_defect_3_command_line_wins_over_default_and_a_section_over_both(
    option: str,
    flag: str,
    attribute: str,
    texts: tuple[str, str, str],
    value: object,
    own_value: object,
) -> None:
    in_default, given_text, own = texts
    text = f"[DEFAULT]\n{option} = {in_default}\n{JAIL}"
    override = {flag: f"{option}={given_text}"}
    assert getattr(jail(JAIL, **override), attribute) == value
    assert getattr(jail(text, **override), attribute) == value
    assert getattr(jail(f"{text}{option} = {own}\n", **override), attribute) == own_value


def test_defect_3_command_line_wins_over_an_alias_in_default() -> None:
    assert jail("[DEFAULT]\nmaxretry = 9\n" + JAIL, r="maxfailures=2").maxretry == 2


def test_defect_19_bad_text_on_the_command_line_is_a_problem_of_its_flag() -> None:
    loaded = read("[DEFAULT]\nmaxfailures = 3\n" + JAIL + "maxfailures = 4\n", r="maxfailures=x")
    problem = only_error(loaded)
    assert problem.origin == Origin("command line")
    assert (problem.section, problem.option) == ("", "-r")
    assert "'x' is not a whole number" in problem.text


def test_bad_address_on_the_command_line_is_a_problem_of_its_flag() -> None:
    problem = only_error(read(JAIL, i="ignoreip=192.0.2.1 127.1"))
    assert str(problem).startswith("command line: -i: '127.1' is not a valid IP address")


def test_percent_sign_on_the_command_line_is_just_a_character() -> None:
    assert settings("[DEFAULT]\npidlock = /a\n", p="pidlock=/run/50%").pidlock == "/run/50%"


def test_blanks_around_a_text_on_the_command_line_do_not_matter() -> None:
    assert jail(JAIL, t="bantime= 60 ", i="ignoreip= 192.0.2.1 ").bantime == 60


def test_command_line_is_seen_by_references_to_default() -> None:
    text = "[DEFAULT]\nbantime = 600\nfwban = add <ip> timeout %(bantime)ss\nfwunban=x\n" + JAIL
    assert jail(text, t="bantime=60").actions[0].ban.any == "add <ip> timeout 60s"


def test_flags_of_the_daemon_override_the_file() -> None:
    text = "[DEFAULT]\nbackground = no\ndebug = no\npidlock = /a\n"
    found = settings(text, b="background=true", d="debug=true", p="pidlock=/b")
    assert (found.background, found.firewall.dryrun, found.pidlock) == (True, True, "/b")


@pytest.mark.parametrize(("flags", "written", "verbose"), [(0, 2, 2), (1, 2, 1), (2, 0, 2),
                                                           (0, 9, 3), (7, 0, 3)])  # fmt: skip
def test_counted_flags_for_verbosity_replace_what_the_file_says(
    flags: int, written: int, verbose: int
) -> None:
    loaded = parse(f"[DEFAULT]\nverbose = {written}\n", "f", Overrides({}, verbose=flags))
    assert loaded.settings is not None and loaded.settings.log.verbose == verbose


def test_named_sections_are_enabled_in_any_case_and_mail_too() -> None:
    text = "[Apache]\nlogfile=/a\nfailregex=x\n[B]\nlogfile=/b\nfailregex=x\n[MAIL]\n"
    loaded = parse(text, "f.conf", Overrides({}, enable=("aPACHE", "mail")))
    assert errors(loaded) == []
    assert loaded.settings is not None and loaded.settings.mail == MailSettings()
    assert [found.enabled for found in loaded.settings.jails] == [True, False]


def test_blanks_around_a_name_do_not_keep_a_section_from_being_enabled() -> None:
    text = "[ My Site ]\nlogfile=/a\nfailregex=x\n"
    loaded = parse(text, "f.conf", Overrides({}, enable=(" my site",)))
    assert errors(loaded) == []
    assert loaded.settings is not None
    assert [(one.name, one.enabled) for one in loaded.settings.jails] == [(" My Site ", True)]


def test_section_enabled_by_flag_needs_its_log() -> None:
    loaded = parse("[A]\nfailregex = x\n", "f.conf", Overrides({}, enable=("a",)))
    assert only_error(loaded).option == "logfile"


@pytest.mark.parametrize(("name", "hint"), [("apach", "did you mean 'Apache'?"),
                                            ("zzz", "expected one of Apache"),
                                            ("default", "expected one of Apache")])  # fmt: skip
def test_unknown_section_to_enable_is_a_problem_of_the_command_line(name: str, hint: str) -> None:
    text = "[DEFAULT]\n[Apache]\nfailregex = x\n"
    problem = only_error(parse(text, "f.conf", Overrides({}, enable=(name,))))
    assert (problem.origin, problem.option) == (Origin("command line"), "-e")
    assert repr(name) in problem.text and hint in problem.text


# [MAIL] ----------------------------------------------------------------------


def test_every_option_of_mail_is_read() -> None:
    text = """[MAIL]
enabled = true
host = mail.example
port = 587
user = me
password = 100%%;x
from = f2b@example.org
to = a@example.org
  b@example.org c@example.org
localtime = true
subject = <section>: <ip>
message = Hi,<br>
  the <ip> is out.
tls = STARTTLS
digest = 5m
"""
    assert settings(text).mail == MailSettings(
        host="mail.example",
        port=587,
        user="me",
        password="100%;x",
        sender="f2b@example.org",
        to=("a@example.org", "b@example.org", "c@example.org"),
        localtime=True,
        subject="<section>: <ip>",
        message="Hi,<br>\nthe <ip> is out.",
        tls="starttls",
        digest=300.0,
    )


def test_defect_19_mail_may_be_missing() -> None:
    loaded = parse(JAIL, "f.conf")
    assert loaded.problems == ()
    assert loaded.settings is not None and loaded.settings.mail is None


@pytest.mark.parametrize("enabled", ["true", "false"])
@pytest.mark.parametrize(
    ("line", "instead"),
    [("port = 0", "25"), ("port = 65536", "25"), ("port = smtp", "25"), ("to =", "root"),
     ("from =", "root"), ("host =", "localhost"), ("tls = maybe", "an empty text"),
     ("digest = -1", "0"), ("localtime = x", "false")],
)  # fmt: skip
def test_values_of_mail_are_checked_even_if_it_is_off(
    enabled: str, line: str, instead: str
) -> None:
    loaded = parse(f"{JAIL}[MAIL]\nenabled = {enabled}\n{line}\n", "f.conf")
    assert loaded.settings is not None
    assert loaded.settings.mail == (MailSettings() if enabled == "true" else None)
    assert only_error(loaded).text.endswith(f"; using {instead} instead")


@pytest.mark.parametrize("line", ["nonsense", "subject = 100%"])
def test_mail_that_cannot_be_read_is_left_out_and_the_jails_run(line: str) -> None:
    loaded = parse(f"{JAIL}[MAIL]\nenabled = true\n{line}\n", "f.conf")
    assert loaded.broken == {"MAIL"}
    assert loaded.settings is not None and loaded.settings.mail is None
    assert len(loaded.settings.jails) == 1


def test_password_is_in_no_message_about_it() -> None:
    loaded = parse("[MAIL]\nenabled = true\npassword = geheim%geheim\n", "f.conf")
    assert loaded.broken == {"MAIL"}
    assert not any("geheim" in str(problem) for problem in loaded.problems)


# Whole files, in the shape of each version -----------------------------------

VERSION_0_6_0 = r"""
# One file for everything, iptables in it.
[DEFAULT]
background = false
debug = false
logtargets = /var/log/fail2ban.log
syslog-target = /dev/log
syslog-facility = 1
pidlock = /var/run/fail2ban.pid
maxfailures = 5
bantime = 600
findtime = 600
ignoreip = 192.168.0.0/16
cmdstart =
cmdend =
polltime = 1
reinittime = 10
maxreinits = -1

[MAIL]
enabled = false
host = localhost
port = 25
from = fail2ban
to = root
localtime = true
subject = [Fail2Ban] Banned <ip>
message = Hello,<br>
          the address <ip> failed <failures> times.<br>
          Bye

[SSH]
enabled = true
logfile = /var/log/secure
fwstart = iptables -N fail2ban-ssh
          iptables -I INPUT -p tcp --dport ssh -j fail2ban-ssh
fwend = iptables -D INPUT -p tcp --dport ssh -j fail2ban-ssh
        iptables -X fail2ban-ssh
fwcheck = iptables -L INPUT | grep -q fail2ban-ssh
fwban = iptables -I fail2ban-ssh 1 -s <ip> -j DROP
fwunban = iptables -D fail2ban-ssh -s <ip> -j DROP
timeregex = \S{3}\s{1,2}\d{1,2} \d{2}:\d{2}:\d{2}
timepattern = %%b %%d %%H:%%M:%%S
failregex = : (?:(?:Authentication failure|Failed password) for|[Ii]llegal user)
"""


def test_file_of_version_0_6_0_means_what_it_meant() -> None:
    found = settings(VERSION_0_6_0)
    assert errors(read(VERSION_0_6_0)) == []
    assert found.firewall == FirewallSettings(reinittime=10.0, maxreinits=-1)
    assert found.mail is None
    [ssh] = found.jails
    assert ssh.ignore.networks == net("192.168.0.0/16")
    assert ssh.filter.timepattern == here("%b %d %H:%M:%S")
    assert ssh.actions[0].families == ("ip",)
    assert ssh.actions[0].start.any.count("\n") == 1
    assert [p.option for p in read(VERSION_0_6_0).problems] == ["fwban"]


VERSION_0_6_1 = r"""
[DEFAULT]
background = false
logtargets = /var/log/fail2ban.log
syslog-target = /dev/log
syslog-facility = 1
pidlock = /var/run/fail2ban.pid
maxfailures = 5
bantime = -1
findtime = 600
ignoreip =
cmdstart =
cmdend =
polltime = 1
reinittime = 10
maxreinits = -1
protocol = tcp

[MAIL]
enabled = false
host = localhost
port = 25
user =
password =
from = fail2ban
to = root
localtime = true
subject = [Fail2Ban] <section>: Banned <ip>
message = Hi,<br>

[Apache]
enabled = false
logfile = /var/log/httpd/access_log
port = http
fwstart = iptables -N fail2ban-%(__name__)s
          iptables -A fail2ban-%(__name__)s -j RETURN
          iptables -I INPUT -p %(protocol)s --dport %(port)s -j fail2ban-%(__name__)s
fwend = iptables -D INPUT -p %(protocol)s --dport %(port)s -j fail2ban-%(__name__)s
fwcheck = iptables -L INPUT | grep -q fail2ban-%(__name__)s
fwban = iptables -I fail2ban-%(__name__)s 1 -s <ip> -j DROP
fwunban = iptables -D fail2ban-%(__name__)s -s <ip> -j DROP
timeregex = \S{3} \S{3} \d{2} \d{2}:\d{2}:\d{2} \d{4}
timepattern = %%a %%b %%d %%H:%%M:%%S %%Y
failregex = authentication failure|user .* not found

[qmail]
enabled: true
logfile: /var/log/qmail/current
timeregex = @[0-9a-f]{24}
timepattern = tai64n
failregex = badauth
rem the chain of this one was made by hand
"""


def test_file_of_version_0_6_1_means_what_it_meant() -> None:
    loaded = read(VERSION_0_6_1)
    assert loaded.problems == ()
    assert loaded.settings is not None
    apache, qmail = loaded.settings.jails
    assert apache.actions[0].start.any.endswith("-p tcp --dport http -j fail2ban-Apache")
    assert (apache.bantime, qmail.bantime, qmail.enabled) == (None, None, True)
    assert qmail.filter.timepattern == here("tai64n")
    assert qmail.actions == (ActionSettings("firewall", repair_on_unban=True),)


VERSION_0_6_2 = r"""
[DEFAULT]
locale =
logtargets = SYSLOG
syslog-target = log.example
syslog-facility = 10
maxfailures = 3
bantime = 86400
hostsdeny = /etc/hosts.deny
fwban = IP=<ip> && echo "ALL: $IP" >> %(hostsdeny)s
fwunban = IP=<ip> && sed -i.old s/ALL:\ $IP// %(hostsdeny)s

[MAIL]
enabled = true
user = mailer
password = secret
to = root admin@example.org

[SSH]
enabled = true
logfile = /var/log/auth.log
timeregex = \S{3}\s{1,2}\d{1,2} \d{2}:\d{2}:\d{2}
timepattern = %%b %%d %%H:%%M:%%S
failregex = Failed password for .* from (?P<host>\S+) port

[VSFTPD]
enabled = false
logfile = /var/log/secure
hostsdeny = /srv/ftp/hosts.deny
failregex = vsftpd.* rhost=(?P<host>\S+)
"""


def test_file_of_version_0_6_2_means_what_it_meant() -> None:
    loaded = read(VERSION_0_6_2)
    assert loaded.problems == ()
    assert loaded.settings is not None
    assert loaded.settings.log == LogSettings(("SYSLOG",), "log.example", 10)
    assert loaded.settings.mail == MailSettings(
        user="mailer", password="secret", to=("root", "admin@example.org")
    )
    ssh, ftp = loaded.settings.jails
    assert ssh.actions[0].ban.any == 'IP=<ip> && echo "ALL: $IP" >> /etc/hosts.deny'
    assert ftp.actions[0].unban.any == "IP=<ip> && sed -i.old s/ALL:\\ $IP// /srv/ftp/hosts.deny"
    assert (ssh.maxretry, ssh.bantime, ssh.actions[0].families) == (3, 86400.0, ("ip", "ip6"))


DEBIAN_0_6_1_8 = r"""
[DEFAULT]
background = true
verbose = 1
debug = false
logtargets = /var/log/fail2ban.log
maxreinits = 1000
maxfailures = 5
bantime = 600
fwchain = INPUT
protocol = tcp
fwstart = iptables -N fail2ban-%(__name__)s
          iptables -I %(fwchain)s -p %(protocol)s --dport %(port)s -j fail2ban-%(__name__)s
fwend = iptables -D %(fwchain)s -p %(protocol)s --dport %(port)s -j fail2ban-%(__name__)s
fwcheck = iptables -L %(fwchain)s | grep -q fail2ban-%(__name__)s
fwban = iptables -I fail2ban-%(__name__)s 1 -s <ip> -j DROP
fwunban = iptables -D fail2ban-%(__name__)s -s <ip> -j DROP
timeregex = \S{3}\s{1,2}\d{1,2} \d{2}:\d{2}:\d{2}
timepattern = %%b %%d %%H:%%M:%%S

[MAIL]
enabled = false

[SSH]
enabled = true
port = ssh
logfile = /var/log/auth.log
failregex = (?:from|rhost=)(?P<host>\S+)|illegal user .* (?P<second>\S+)$

[ApacheAttacks]
enabled = false
port = http
logfile = /var/log/apache2/access.log
timeregex = \d{2}/\S{3}/\d{4}:\d{2}:\d{2}:\d{2}
timepattern = %%d/%%b/%%Y:%%H:%%M:%%S
failregex = ^(?P<host>\S+) .*awstats

[PROFTPD]
enabled = false
port = ftp
logfile = /var/log/proftpd/proftpd.log
failregex = USER \S+: no such user found from (?P<host>\S+)

[SASL]
enabled = false
port = smtp
logfile = /var/log/mail.log
bantime = 300
failregex = (?P<host>\S+) .*SASL .* authentication failed
"""


def test_file_of_debian_0_6_1_8_means_what_it_meant() -> None:
    loaded = parse(DEBIAN_0_6_1_8, "f.conf", Overrides({"bantime": ("60", "-t")}, ("sasl", "MAIL")))
    assert errors(loaded) == []
    assert loaded.settings is not None
    assert (loaded.settings.background, loaded.settings.log.verbose) == (True, 1)
    assert loaded.settings.firewall.maxreinits == 1000
    assert loaded.settings.mail == MailSettings()
    jails = {found.name: found for found in loaded.settings.jails}
    assert list(jails) == ["SSH", "ApacheAttacks", "PROFTPD", "SASL"]
    assert [found.enabled for found in jails.values()] == [True, False, False, True]
    assert (jails["SSH"].bantime, jails["SASL"].bantime) == (60.0, 300.0)
    assert "-I INPUT -p tcp --dport smtp -j fail2ban-SASL" in jails["SASL"].actions[0].start.any
    assert jails["ApacheAttacks"].filter.timepattern == here("%d/%b/%Y:%H:%M:%S")
    # Written once in [DEFAULT], so said once, whoever uses it.
    assert [(p.section, p.option) for p in loaded.problems] == [("DEFAULT", "fwban")]


# Properties ------------------------------------------------------------------

OPTION = st.sampled_from(
    "enabled logfile failregex timeregex timepattern bantime findtime maxfailures maxretry "
    "ignoreip fwban fwunban cmdstart polltime verbose logtargets syslog-facility port to tls "
    "host password subject helper".split()
)
WORDS = st.sampled_from(
    ["true", "no", "5", "-1", "10m", "192.0.2.1", "10.0.0.0/8", "/var/log/x", "%(port)s", "100%",
     "%(helper)s", "%(__name__)s", "%%", "iptables", "<ip>", "ssl", "SYSLOG", "\n  ", "#", ";", ""]
)  # fmt: skip
OPTION_LINE = st.builds(
    lambda option, text: f"{option} = {' '.join(text)}", OPTION, st.lists(WORDS, max_size=4)
)
HEADER = st.sampled_from(["[DEFAULT]", "[MAIL]", "[SSH]", "[My Site]", "[mail]"])
LINES = st.lists(HEADER | OPTION_LINE | st.text(max_size=12), max_size=25).map("\n".join)


@given(st.text() | LINES, st.sampled_from(["60", "x", "%", ""]), st.text(max_size=5))
def test_any_text_is_loaded_and_every_problem_has_its_place(
    text: str, bantime: str, name: str
) -> None:
    loaded = parse(text, "f.conf", Overrides({"bantime": (bantime, "-t")}, (name,)))
    for problem in loaded.problems:
        assert problem.text
        about_all = problem.severity == "warning" and not problem.section
        if problem.origin.file == "command line":
            assert problem.option in ("-t", "-e")
        else:
            assert problem.origin.file == "f.conf"
            assert problem.origin.line >= 1 or about_all
    assert len(set(loaded.problems)) == len(loaded.problems)


@given(LINES)
def test_section_is_a_jail_or_left_out_with_an_error_that_says_so(text: str) -> None:
    loaded = parse(text, "f.conf")
    said = "\n".join(problem.text for problem in errors(loaded))
    assert all(f"[{name}] is left out" in said for name in loaded.broken)
    if loaded.settings is None:
        assert "nothing can run" in said
    else:
        jails = {found.name for found in loaded.settings.jails}
        assert jails.isdisjoint(loaded.broken)
        assert all(found.logs or not found.enabled for found in loaded.settings.jails)
        assert all(found.filter.failregex for found in loaded.settings.jails)


@given(LINES)
def test_blank_lines_and_comments_move_problems_and_change_nothing_else(text: str) -> None:
    assert parse("# note\n\n" + text, "f.conf").settings == parse(text, "f.conf").settings
