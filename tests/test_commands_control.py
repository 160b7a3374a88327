# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of a client, carried out on a daemon that only remembers."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fail2ban
from fail2ban.control.commands import COMMANDS, GET, SET, Commands
from fail2ban.control.host import Held, NoJail, Refused, Regard, Standing
from fail2ban.enforce.tags import Counts
from fail2ban.errors import ConfigError, Fail2BanError
from fail2ban.events import Event
from fail2ban.health.facts import Health
from fail2ban.records import (
    Ban,
    Id,
    JailSettings,
    JournalSettings,
    LogSettings,
    MailActionSettings,
    Origin,
    Problem,
    Settings,
    StoreSettings,
    Ticket,
)
from tests.helpers import NOW, jail_settings

ONE = ip_address("192.0.2.1")
TWO = ip_address("192.0.2.2")
NET = ip_network("198.51.100.0/24")


class FakeHost:
    """A daemon with the sections `one`, which reads a file, and `two`, of the journal."""

    def __init__(self) -> None:
        one, two = jail_settings("one"), jail_settings("two")
        self.running = {
            "one": replace(one, filter=replace(one.filter, tagged=True)),
            "two": replace(two, logs=(), journal=JournalSettings((("_COMM=sshd",),))),
        }
        self.log = LogSettings(targets=("/f.log",), level=20)
        self.bans: dict[str, list[Ban]] = {"one": [], "two": []}
        self.done: list[object] = []
        self.problems: list[Problem] = []
        self.ignored: set[Id] = set()
        self.store: StoreSettings | None = StoreSettings(file="/f2b.sqlite3")

    def jails(self) -> list[str]:
        return sorted(self.running)

    def settings(self) -> Settings:
        return Settings(log=self.log, jails=tuple(self.running.values()))

    def jail(self, name: str) -> JailSettings:
        if name not in self.running:
            raise NoJail(name)
        return self.running[name]

    def standing(self, name: str) -> Standing:
        settings = self.jail(name)
        bans = tuple(sorted(self.bans[name], key=lambda ban: ban.end or float("inf")))
        journal = settings.journal is not None
        sources = ("_COMM=sshd",) if journal else settings.logs
        return Standing(Counts(len(bans), 9, 1, 4), sources, journal, bans)

    def change(self, name: str, change: Callable[[JailSettings], JailSettings]) -> JailSettings:
        self.running[name] = change(self.jail(name))
        return self.running[name]

    def ban(self, name: str, ids: Sequence[Id]) -> int:
        held = {ban.id for ban in self.bans[name]}
        new = [id for id in dict.fromkeys(ids) if id not in held]
        self.bans[name] += [self._ban(name, id, 600) for id in new]
        return len(new)

    def _ban(self, name: str, id: Id, seconds: float | None) -> Ban:
        start = NOW + len(self.bans[name])
        return Ban(start, seconds and start + seconds, Ticket(name, id, 1, start))

    def unban(self, names: Sequence[str], ids: Sequence[Id] | None) -> int:
        self.done.append(("unban", tuple(names), ids and tuple(ids)))
        count = 0
        for name in names:
            kept = [ban for ban in self.bans[name] if ids is not None and ban.id not in ids]
            count += len(self.bans[name]) - len(kept)
            self.bans[name] = kept
        return count

    def attempt(self, name: str, ip: Id, lines: Sequence[str]) -> bool:
        self.done.append(("attempt", name, ip, tuple(lines)))
        return ip not in self.ignored

    def enforce(self, name: str, action: str, id: Id, ban: bool) -> None:
        self.done.append(("enforce", name, action, id, ban))

    def idle(self, name: str, on: bool) -> None:
        self.done.append(("idle", name, on))

    def add_jail(self, settings: JailSettings) -> None:
        self.running[settings.name] = settings
        self.bans[settings.name] = []

    def start_jail(self, name: str) -> None:
        self.jail(name)
        self.done.append(("start", name))

    def stop_jail(self, name: str) -> None:
        self.jail(name)
        self.done.append(("stop", name))

    def reload(self, jail: str = "", restart: bool = False, unban: bool = False) -> list[Problem]:
        flags = [flag for flag, on in (("restart", restart), ("unban", unban)) if on]
        self.done.append(" ".join(["reload", *flags, *([jail] if jail else [])]))
        if self.problems:
            raise ConfigError(self.problems)
        if jail and jail not in self.running:
            raise NoJail(jail)
        return []

    def database(self) -> StoreSettings | None:
        return self.store

    def change_database(self, settings: StoreSettings) -> None:
        self.store = settings

    def held(self, name: str) -> list[Held]:
        return [Held(ban, "applied") for ban in self.standing(name).bans]

    def regard(self, name: str, id: Id) -> Regard:
        return Regard("ip" if id in self.ignored else None)

    def why(self, id: Id) -> list[Event]:
        return []

    def health(self) -> Health:
        return Health(NOW, NOW, fail2ban.__version__)

    def stop(self) -> None:
        self.done.append("stop")

    def flush_logs(self) -> None:
        self.done.append("flush")

    def change_log(self, level: int | None = None, target: str | None = None) -> None:
        self.log = replace(
            self.log,
            level=self.log.level if level is None else level,
            targets=self.log.targets if target is None else (target,),
        )


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def run(host: FakeHost) -> Callable[[str], object]:
    """Carry out a command whose words stand between blanks."""
    return lambda line: Commands(host).execute(line.split())


@pytest.fixture
def utc() -> Iterator[None]:
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
    time.tzset()


Run = Callable[[str], object]

# The daemon ------------------------------------------------------------------


def test_simple_questions_have_simple_answers(run: Run) -> None:
    assert run("ping") == run("ping 0.5") == "pong"
    assert run("version") == fail2ban.__version__
    assert run("echo A B") == ["A", "B"]
    assert run("server-status") == "Server ready"


def test_stop_ends_the_daemon(run: Run, host: FakeHost) -> None:
    assert run("stop") is None
    assert host.done == ["stop"]


def test_a_section_is_stopped_started_and_put_to_rest(run: Run, host: FakeHost) -> None:
    assert run("stop one") is run("start one") is None
    assert run("set one idle on") is True
    assert run("set one idle off") is False
    assert host.done == [
        ("stop", "one"), ("start", "one"), ("idle", "one", True), ("idle", "one", False),
    ]  # fmt: skip
    for line in ("start nope", "stop nope", "set nope idle on"):
        with pytest.raises(NoJail):
            run(line)


def test_an_added_section_has_nothing_but_the_usual_limits(run: Run, host: FakeHost) -> None:
    assert run("add five polling") == "five"
    assert run("add six systemd") == "six"
    assert run("add seven") == "seven"
    assert run("status") == [
        ("Number of jail", 5),
        ("Jail list", "five, one, seven, six, two"),
    ]
    for option, value in (
        ("bantime", 600), ("findtime", 600), ("maxretry", 3), ("usedns", "warn"),
        ("ignoreself", True), ("logpath", []), ("failregex", []), ("actions", []),
    ):  # fmt: skip
        assert run(f"get five {option}") == value
    assert host.running["five"].journal is None
    assert host.running["six"].journal == JournalSettings()
    assert run("set five addfailregex by<HOST>$") != []
    assert run("set five addlogpath /five.log") == ["/five.log"]


@pytest.mark.parametrize("line", ["add", "add five rubbish", "add --all", "add five polling x"])
def test_a_section_that_cannot_be_is_not_added(run: Run, host: FakeHost, line: str) -> None:
    with pytest.raises(Refused):
        run(line)
    assert run("status") == [("Number of jail", 2), ("Jail list", "one, two")]


def test_the_database_is_told_and_changed_but_for_its_file(run: Run, host: FakeHost) -> None:
    assert run("get dbfile") == "/f2b.sqlite3"
    assert run("get dbpurgeage") == 86400 and run("get dbmaxmatches") == 10
    assert run("set dbpurgeage 1.5h") == run("get dbpurgeage") == 5400
    assert run("set dbmaxmatches 3") == run("get dbmaxmatches") == 3
    for path in ("/other.sqlite3", "None"):
        with pytest.raises(Refused, match="^Cannot change database when there are jails present$"):
            run(f"set dbfile {path}")
    host.running = {}
    with pytest.raises(Refused, match="dbfile cannot be changed while we run"):
        run("set dbfile /other.sqlite3")
    assert run("set dbfile /f2b.sqlite3") == "/f2b.sqlite3"
    for line in ("dbpurgeage x", "dbmaxmatches -1", "dbfile x", "dbfile"):
        with pytest.raises(Refused):
            run(f"set {line}")


@pytest.mark.parametrize("line", ["nonsense", "unban", "Status", "--all", "sleep 5"])
def test_an_unknown_command_is_told(run: Run, line: str) -> None:
    with pytest.raises(Refused, match="^Invalid command$"):
        run(line)


def test_no_command_at_all_is_told(host: FakeHost) -> None:
    with pytest.raises(Refused, match="^Invalid command$"):
        Commands(host).execute([])


def test_numbers_and_truths_are_words_but_lists_are_none(host: FakeHost) -> None:
    commands = Commands(host)
    assert commands.execute(["set", "one", "bantime", 77]) == 77
    assert commands.execute(["set", "one", "ignoreself", False]) is False
    with pytest.raises(Refused, match="no word"):
        commands.execute(["set", "one", "bantime", [77]])


@pytest.mark.parametrize("line", ["get", "set", "get one", "set one", "set loglevel", "get nope"])
def test_a_command_that_lacks_a_word_is_told(run: Run, line: str) -> None:
    with pytest.raises(Refused, match="^Sorry but the command is invalid$"):
        run(line)


def test_unknown_options_are_told_in_the_usual_words(run: Run) -> None:
    with pytest.raises(Refused) as error:
        run("get one nonsense")
    assert str(error.value) == "Invalid command (no get action or not yet implemented)"
    with pytest.raises(Refused) as error:
        run("set one nonsense 3")
    expected = "Invalid command 'nonsense' (no set action or not yet implemented)"
    assert str(error.value) == expected


@pytest.mark.parametrize("option", sorted(GET))
def test_every_get_of_an_unknown_section_names_it(run: Run, option: str) -> None:
    with pytest.raises(NoJail, match="'nope'"):
        run(f"get nope {option}")


@pytest.mark.parametrize("option", sorted(SET))
def test_every_set_of_an_unknown_section_names_it(run: Run, option: str) -> None:
    with pytest.raises(NoJail, match="'nope'"):
        run(f"set nope {option} 1")


WORDS = st.sampled_from([*COMMANDS, *GET, *SET, "one", "two", "reload", "--all", "192.0.2.1"])


@given(st.lists(WORDS | st.text(max_size=5) | st.integers() | st.lists(WORDS), max_size=5))
def test_whatever_is_said_is_answered_or_refused(said: list[object]) -> None:
    try:
        Commands(FakeHost()).execute(said)
    except Fail2BanError as error:
        assert str(error)


# The log, the database -------------------------------------------------------


def test_log_level_is_told_by_name_and_changed(run: Run, host: FakeHost) -> None:
    assert run("get loglevel") == "INFO"
    assert run("set loglevel debug") == "DEBUG"
    assert host.log.level == 10
    assert run("set loglevel 3") == "INFO"
    assert run("set loglevel 15") == "15"
    with pytest.raises(Refused, match="'nonsense' is no log level"):
        run("set loglevel nonsense")
    assert host.log.level == 15


def test_log_target_is_told_and_changed(run: Run, host: FakeHost) -> None:
    assert run("get logtarget") == "/f.log"
    assert run("flushlogs") == "rolled over"
    assert run("set logtarget stderr") == "STDERR"
    assert run("flushlogs") == "flushed"
    assert host.done == ["flush", "flush"]
    with pytest.raises(Refused, match="not a log target"):
        run("set logtarget rubbish")
    with pytest.raises(Refused, match="in brackets cannot be changed"):
        run("set logtarget SYSLOG[facility=auth]")
    assert host.log.targets == ("STDERR",)


def test_what_is_fixed_can_be_asked_for_but_not_changed(run: Run) -> None:
    assert run("get syslogsocket") == run("set syslogsocket auto") == "auto"
    assert run("get thread") == {"stacksize": 0}
    for line in ("set syslogsocket /x", "set thread {}", "set allowipv6 yes"):
        with pytest.raises(Refused, match="cannot be changed"):
            run(line)


def test_without_a_database_its_options_have_no_value(run: Run, host: FakeHost) -> None:
    host.store, host.running = None, {}
    for option, value in (("dbfile", "None"), ("dbpurgeage", "2d"), ("dbmaxmatches", "3")):
        assert run(f"get {option}") is None
        assert run(f"set {option} {value}") is None
    assert host.store is None


# How it stands ---------------------------------------------------------------


def test_status_lists_the_sections(run: Run) -> None:
    assert run("status") == [("Number of jail", 2), ("Jail list", "one, two")]


def test_status_of_a_section_has_its_numbers_log_and_bans(run: Run) -> None:
    run("set one banip 192.0.2.2 192.0.2.1")
    found = [
        ("Currently failed", 1),
        ("Total failed", 4),
        ("File list", ["/var/log/auth.log"]),
    ]
    banned = [("Currently banned", 2), ("Total banned", 9)]
    ids = ("Banned IP list", ["192.0.2.2", "192.0.2.1"])
    assert run("status one") == [("Filter", found), ("Actions", [*banned, ids])]
    assert run("status one basic") == run("status one")
    assert run("status one short") == [("Filter", found), ("Actions", banned)]
    cymru = run("status one cymru")
    assert isinstance(cymru, list) and [name for name, _ in cymru[1][1]][3:] == [
        "Banned ASN list",
        "Banned Country list",
        "Banned RIR list",
    ]


def test_status_of_a_journal_has_its_matches(run: Run) -> None:
    answer = run("status two")
    assert isinstance(answer, list)
    assert answer[0][1][2] == ("Journal matches", ["_COMM=sshd"])


def test_an_unknown_flavor_is_warned_of_and_means_basic(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert run("status one rubbish") == run("status one")
    assert "rubbish" in caplog.text
    with pytest.raises(Refused, match=r"no status"):
        run("status one short x")


def test_status_of_all_has_each_section_in_turn(run: Run) -> None:
    each = [("one", run("status one short")), ("two", run("status two short"))]
    assert run("status --all short") == [
        ("Number of jail", 2),
        ("Jail list", "one, two"),
        ("Status for the jails", each),
    ]


def test_stats_has_a_row_for_each_section(run: Run) -> None:
    rows = {"one": ["polling", (1, 4), (0, 9)], "two": ["systemd", (1, 4), (0, 9)]}
    assert run("stats") == run("statistics") == run("statistic") == rows


# Bans ------------------------------------------------------------------------


def test_bans_are_made_and_lifted_by_hand(run: Run, host: FakeHost) -> None:
    assert run("set one banip 192.0.2.1 198.51.100.0/24 a-session") == 3
    assert run("set one banip 192.0.2.1/32") == 0
    assert [ban.id for ban in host.bans["one"]] == [ONE, NET, "a-session"]
    assert run("set one unbanip 192.0.2.1 192.0.2.9") == 1
    assert run("get one banned") == ["198.51.100.0/24", "a-session"]


@pytest.mark.parametrize("word", ["192.0.2.999", "192.0.2.0/33", "2001:db8::1::2", "1" * 1001])
def test_a_mistyped_address_is_not_banned(run: Run, host: FakeHost, word: str) -> None:
    with pytest.raises(Refused, match="not a valid IP"):
        run(f"set one banip 192.0.2.1 {word}")
    assert host.bans["one"] == []


def test_what_is_far_too_long_is_no_id(run: Run) -> None:
    with pytest.raises(Refused, match="is no id"):
        run(f"set one banip {'x' * 1001}")


def test_absent_ids_are_told_on_demand_and_the_others_are_lifted(run: Run) -> None:
    run("set one banip 192.0.2.1 192.0.2.2")
    with pytest.raises(Refused, match=r"^not banned: \['192.0.2.78'\]$"):
        run("set one unbanip --report-absent 192.0.2.2 192.0.2.78")
    assert run("get one banned") == ["192.0.2.1"]
    assert run("set one unbanip --report-absent 192.0.2.1") == 1


def test_a_network_with_banned_addresses_is_not_absent(run: Run) -> None:
    run("set one banip 192.0.2.1")
    run("set one unbanip --report-absent 192.0.2.0/24")
    with pytest.raises(Refused, match="198.51.100.0/24"):
        run("set one unbanip --report-absent 198.51.100.0/24")


def test_bans_are_listed_by_their_end(run: Run, host: FakeHost, utc: None) -> None:
    host.bans["one"] = [host._ban("one", ONE, None), host._ban("one", TWO, 600.0)]
    assert run("get one banip") == run("get one banip ,") == ["192.0.2.2", "192.0.2.1"]
    assert run("get one banip --with-time") == [
        "192.0.2.2 \t2023-11-14 22:13:20 + 600 = 2023-11-14 22:23:20",
        "192.0.2.1 \t2023-11-14 22:13:20 + -1 = 9999-12-31 23:59:59",
    ]


def test_whether_somebody_is_banned_is_told_as_a_number(run: Run) -> None:
    run("set one banip 192.0.2.1")
    assert run("get one banned 192.0.2.1") == 1
    assert run("get one banned 192.0.2.9") == 0
    assert run("get one banned 192.0.2.1 192.0.2.9") == [1, 0]


def test_banned_tells_of_all_sections(run: Run) -> None:
    run("set one banip 192.0.2.1")
    assert run("banned") == [{"one": ["192.0.2.1"]}, {"two": []}]
    assert run("banned 192.0.2.1 192.0.2.9") == [["one"], []]


def test_unban_lifts_in_all_sections(run: Run, host: FakeHost) -> None:
    for jail in ("one", "two"):
        run(f"set {jail} banip 192.0.2.1 192.0.2.2")
    assert run("unban 192.0.2.1") == 2
    assert run("unban --all") == 2
    both = ("one", "two")
    assert host.done == [("unban", both, (ONE,)), ("unban", both, None)]


def test_unban_of_all_and_somebody_is_refused(run: Run, host: FakeHost) -> None:
    with pytest.raises(Refused, match="too much"):
        run("unban --all 192.0.2.1")
    assert host.done == []


def test_attempts_are_counted_by_lines_and_at_least_once(run: Run, host: FakeHost) -> None:
    host.ignored = {TWO}
    assert run("set one attempt 192.0.2.1") == 1
    assert run("set one attempt 192.0.2.2 a b") == 0
    assert host.done == [("attempt", "one", ONE, ("",)), ("attempt", "one", TWO, ("a", "b"))]


# Settings of a section -------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "before", "said", "after"),
    [
        ("bantime", 600, "1h", 3600),
        ("bantime", 600, "-1", -1),
        ("findtime", 600, "10m", 600),
        ("findtime", 600, "0.5", 0.5),
        ("maxretry", 3, "7", 7),
        ("maxmatches", 10, "3", 3),
        ("maxlines", 1, "2", 2),
        ("usedns", "warn", "no", "no"),
        ("ignoreself", True, "false", False),
        ("ignorecommand", False, "/bin/check", "/bin/check"),
        ("ignorecache", None, 'key="<ip>",max-count=10,max-time=1m', ["<ip>", 10, 60]),
        ("logencoding", "UTF-8", "utf-16", "utf-16"),
        ("logtimezone", None, "UTC-0230", "UTC-0230"),
        ("bantime.increment", None, "true", True),
        ("prefregex", "", "^a<F-CONTENT>.*</F-CONTENT>$", "^a(?P<content>.*)$"),
        ("datepattern", (None, "Default Detectors"), "%Y-%m-%d", ("%Y-%m-%d", "Year-Month-Day")),
        ("datepattern", (None, "Default Detectors"), "EPOCH", (None, "Epoch")),
        ("datepattern", (None, "Default Detectors"), "{^LN-BEG}", (None, "Default Detectors")),
        ("datepattern", (None, "Default Detectors"), "%Q", ("%Q", "%Q")),
    ],
)
def test_a_setting_is_shown_and_changed(
    run: Run, option: str, before: object, said: str, after: object
) -> None:
    assert run(f"get one {option}") == before
    assert run(f"set one {option} {said}") == after
    assert run(f"get one {option}") == after
    assert run(f"get two {option}") == before


@pytest.mark.parametrize(
    "line",
    [
        "bantime rubbish",
        "findtime 0",
        "maxretry x",
        "maxlines 0",
        "usedns perhaps",
        "ignoreself x",
        "ignorecache size=3",
        "logencoding rubbish",
        "logtimezone Europe/Paris",
        "idle x",
        "bantime 1 2",
        "bantime.factor 2",
        "bantime.increment perhaps",
        "addignoreip 192.0.2.1 192.0.2.999",
        "delignoreip 192.0.2.1",
        "addlogpath /b.log sideways",
        "addlogpath b.log",
        "addlogpath /b.log tail x",
        "dellogpath /zzz.log",
        "delfailregex 1",
        "delfailregex -1",
        "delfailregex x",
        "delignoreregex 0",
        "addjournalmatch _COMM=x",
        "addaction one",
        "addaction other /a/smtp.py",
        "addaction other /a/smtp.py rubbish",
        "addaction other /a/smtp.py []",
        "addaction other /a/badips.py {}",
        'addaction other /a/smtp.py {"hots":"x"}',
        'addaction other /a/smtp.py {"matches":"x"}',
        "delaction nope",
        "action one actionban",
        "action one word x",
        "action one ban x",
        "action one name x",
        "action one timeout x",
        "action nope actionban x",
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    run: Run, host: FakeHost, line: str
) -> None:
    before = dict(host.running)
    with pytest.raises(Refused):
        run(f"set one {line}")
    assert host.running == before


def test_whether_a_section_rests_cannot_be_asked_for(run: Run, host: FakeHost) -> None:
    with pytest.raises(Refused, match="no get action"):
        run("get one idle")


def test_an_empty_text_takes_a_setting_back(host: FakeHost) -> None:
    commands = Commands(host)
    for option, text, none in (
        ("ignorecommand", "x", False),
        ("ignorecache", "max-count=3", None),
        ("prefregex", "x <F-CONTENT>y</F-CONTENT>", ""),
        ("datepattern", "%Y", (None, "Default Detectors")),
    ):
        assert commands.execute(["set", "one", option, text]) != none
        assert commands.execute(["set", "one", option, ""]) == none


def test_several_date_patterns_are_shown_by_line(host: FakeHost) -> None:
    said = "%Y-%m-%d\n\n  ^%H:%M"
    shown = Commands(host).execute(["set", "one", "datepattern", said])
    assert shown == ("%Y-%m-%d\n^%H:%M", "Year-Month-Day\n^24hour:Minute")
    assert [one.text for one in host.running["one"].filter.datepattern] == ["%Y-%m-%d", "^%H:%M"]


def test_growing_bans_are_shown_and_changed(host: FakeHost) -> None:
    commands = Commands(host)
    commands.execute(["set", "one", "bantime.increment", "true"])
    for option, before, said, after in (
        ("factor", "1", "2", "2"),
        ("formula", None, "ban.Time * 2", "ban.Time * 2"),
        ("multipliers", None, "1 2 4", "1 2 4"),
        ("maxtime", None, "1d", 86400),
        ("rndtime", None, "10m", 600),
        ("overalljails", None, "true", True),
    ):
        name = f"bantime.{option}"
        assert commands.execute(["get", "two", name]) is None
        assert commands.execute(["get", "one", name]) == before
        assert commands.execute(["set", "one", name, said]) == after
        assert commands.execute(["get", "one", name]) == after
    # Asked for once more, it keeps what was set.
    commands.execute(["set", "one", "bantime.increment", "true"])
    assert commands.execute(["get", "one", "bantime.multipliers"]) == "1 2 4"
    assert commands.execute(["set", "one", "bantime.increment", "false"]) is None


# Lists of a section ----------------------------------------------------------


def test_ignored_ids_are_listed_by_kind_added_and_removed(run: Run, host: FakeHost) -> None:
    assert run("get one ignoreip") == []
    added = run("set one addignoreip 192.0.2.50 name.example 198.51.100.0/24 file:/x 192.0.2.50")
    assert added == ["192.0.2.50", "198.51.100.0/24", "name.example", "file:/x"]
    assert "name.example" in host.running["one"].ignore.names
    assert run("set one delignoreip name.example 192.0.2.50 file:///x") == ["198.51.100.0/24"]
    assert not host.running["one"].ignore.names
    assert run("get one ignoreip") == ["198.51.100.0/24"]


def test_of_ids_to_ignore_no_more_only_known_ones_are_taken(run: Run) -> None:
    run("set one addignoreip 192.0.2.50")
    with pytest.raises(Refused, match="'192.0.2.51' is not in the list; expected one of 192.0.2.5"):
        run("set one delignoreip 192.0.2.50 192.0.2.51")
    assert run("get one ignoreip") == ["192.0.2.50"]


def test_logs_are_added_and_removed(run: Run, host: FakeHost) -> None:
    first = "/var/log/auth.log"
    assert run("set one addlogpath /b.log tail") == [first, "/b.log"]
    assert run("set one addlogpath /c.log head") == [first, "/b.log", "/c.log"]
    assert run("set one addlogpath /b.log") == [first, "/b.log", "/c.log"]
    assert host.running["one"].tails == {"/b.log"}
    assert run("set one dellogpath /b.log") == [first, "/c.log"]
    assert not host.running["one"].tails
    assert run("get one logpath") == [first, "/c.log"]


def test_a_journal_has_no_logs(run: Run) -> None:
    assert run("get two logpath") == []
    with pytest.raises(Refused, match="addjournalmatch"):
        run("set two addlogpath /b.log")


def test_journal_matches_are_added_and_removed(run: Run) -> None:
    assert run("get one journalmatch") == []
    added = run("set two addjournalmatch _A=1 _B=2 + _C=3")
    assert added == [["_COMM=sshd"], ["_A=1", "_B=2"], ["_C=3"]]
    assert run("set two deljournalmatch _A=1 _B=2") == [["_COMM=sshd"], ["_C=3"]]
    with pytest.raises(Refused, match="not in the list"):
        run("set two deljournalmatch _A=1")
    assert run("set two deljournalmatch") == []


def test_a_journal_match_may_have_blanks_but_must_be_one(host: FakeHost) -> None:
    commands = Commands(host)
    added = commands.execute(["set", "two", "addjournalmatch", "_CMDLINE=a b"])
    assert added == [["_COMM=sshd"], ["_CMDLINE=a b"]]
    with pytest.raises(ConfigError, match="'rubbish' is no condition"):
        commands.execute(["set", "two", "addjournalmatch", "rubbish"])


def test_patterns_are_shown_expanded_added_and_removed(run: Run, host: FakeHost) -> None:
    shown = run("get one failregex")
    assert isinstance(shown, list) and shown[0].startswith("failed from (?:")
    added = run("set one addfailregex ^x<ADDR>$")
    assert isinstance(added, list) and added[0] == shown[0] and "(?P<ip4>" in added[1]
    assert host.running["one"].filter.failregex[1].text == "^x<ADDR>$"
    assert run("set one delfailregex 0") == added[1:]
    assert run("set one addignoreregex abc") == ["abc"]
    assert run("get one ignoreregex") == ["abc"]
    assert run("set one delignoreregex 0") == []


def test_patterns_of_the_classic_language_and_broken_ones_are_shown_as_written(run: Run) -> None:
    assert run("get two failregex") == ["failed from <HOST>"]
    added = run("set one addfailregex (<HOST>")
    assert isinstance(added, list) and added[1] == "(<HOST>"


# Actions ---------------------------------------------------------------------


def test_actions_and_their_properties_are_listed(run: Run) -> None:
    assert run("get one actions") == ["one"]
    properties = run("get one actionproperties one")
    assert isinstance(properties, list) and properties == sorted(properties)
    assert {"actionban", "actionbanmany", "actionprolong", "actname", "name", "timeout"} <= set(
        properties
    )
    for name in properties:
        run(f"get one action one {name}")
    with pytest.raises(Refused, match="^'Invalid Action name: nope'$"):
        run("get one actionproperties nope")
    assert run("get one actionmethods one") == ["ban", "unban"]


def test_commands_of_an_action_are_called_for_somebody(run: Run, host: FakeHost) -> None:
    assert run('set one action one ban {"aInfo":{"ip":"192.0.2.1"}}') is None
    assert run('set one action one unban {"aInfo":{"ip":"192.0.2.2"}}') is None
    assert host.done == [
        ("enforce", "one", "one", ONE, True),
        ("enforce", "one", "one", TWO, False),
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ban", "names nobody; expected"),
        ('ban {"aInfo":{"ip":7}}', "names nobody; expected"),
        ('ban {"aInfo":[]}', "names nobody; expected"),
        ("ban rubbish", "is no object of JSON"),
        ("ban [1]", "is no object of JSON"),
        ('ban {"aInfo":{"ip":"192.0.2.999"}}', "192.0.2.999"),
        ("start", "start of one cannot be called by hand; expected reload --restart one"),
        ("flush", "expected set one unbanip, or unban --all"),
        ("consistencyCheck", "the daemon does that when it is due"),
        ("nomethod", "Sorry but the command is invalid"),
    ],
)
def test_what_an_action_cannot_do_by_hand_is_refused(
    run: Run, host: FakeHost, said: str, reason: str
) -> None:
    with pytest.raises(Refused, match=re.escape(reason)):
        run(f"set one action one {said}")
    assert host.done == []


def test_an_added_action_gets_its_commands_one_by_one(host: FakeHost) -> None:
    commands = Commands(host)
    assert commands.execute(["set", "one", "addaction", "new"]) == "new"
    assert commands.execute(["get", "one", "actions"]) == ["one", "new"]
    action = host.running["one"].actions[1]
    assert not (action.enforces or action.ban or action.start)
    commands.execute(["set", "one", "action", "new", "actionban", "echo <ip>"])
    assert not host.running["one"].actions[1].enforces  # it tells
    commands.execute(["set", "one", "action", "new", "actionunban", "echo not <ip>"])
    assert host.running["one"].actions[1].enforces
    with pytest.raises(Refused, match="^Action new already exists$"):
        commands.execute(["set", "one", "addaction", "new"])


def test_an_action_that_mails_is_added_with_its_options(host: FakeHost) -> None:
    options = '{"host": "mx.example:2525", "dest": "a@example, b@example", "ssl": true}'
    commands = Commands(host)
    assert commands.execute(["set", "one", "addaction", "mail", "/x/smtp.py", options]) == "mail"
    action = host.running["one"].actions[1]
    assert action.mail == MailActionSettings(
        host="mx.example:2525", to=("a@example", "b@example"), tls=True
    )
    assert not action.enforces
    assert commands.execute(["get", "one", "actionmethods", "mail"]) == []
    with pytest.raises(Refused, match="cannot be called by hand"):
        commands.execute(["set", "one", "action", "mail", "ban", '{"aInfo": {"ip": "192.0.2.1"}}'])


def test_properties_of_an_action_are_shown_and_changed(host: FakeHost) -> None:
    commands = Commands(host)
    ask = ["get", "one", "action", "one"]
    assert commands.execute([*ask, "actionban"]) == "ban one <ip>"
    assert commands.execute([*ask, "name"]) == "one"
    assert commands.execute([*ask, "timeout"]) == 60
    tell = ["set", "one", "action", "one"]
    assert commands.execute([*tell, "actionban", "echo <ip>"]) == "echo <ip>"
    assert commands.execute([*tell, "timeout", "2m"]) == 120
    action = host.running["one"].actions[0]
    assert (action.ban.any, action.ban.ip6, action.timeout) == ("echo <ip>", "echo <ip>", 120.0)
    assert commands.execute([*tell, "actionstart", "a <name> <actname>"]) == "a one one"
    assert action.unban.any == "unban one <ip>"
    assert commands.execute([*tell, "actionbanmany", "many <name>"]) == "many one"
    with pytest.raises(Refused, match="actionbanmany: '<ip>' is about one ban"):
        commands.execute([*tell, "actionbanmany", "many\nadd <ip>"])
    assert host.running["one"].actions[0].banmany.any == "many one"


def test_an_action_that_mails_has_no_commands(run: Run, host: FakeHost) -> None:
    (action,) = host.running["one"].actions
    mailing = replace(action, mail=MailActionSettings())
    host.running["one"] = replace(host.running["one"], actions=(mailing,))
    assert run("get one actionproperties one") == ["actname", "name", "timeout"]
    with pytest.raises(Refused, match="no property"):
        run("get one action one actionban")


def test_an_action_is_taken_away_alone(run: Run, host: FakeHost) -> None:
    (action,) = host.running["one"].actions
    both = (replace(action, name="a"), replace(action, name="b"))
    host.running["one"] = replace(host.running["one"], actions=both)
    assert run("set one delaction a") is None
    assert run("get one actions") == ["b"]


# Reload ----------------------------------------------------------------------


def _problem(section: str) -> Problem:
    return Problem(Origin("jail.conf", 3), section, "filter", "is broken")


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("reload", "reload"),
        ("reload --all", "reload"),
        ("reload --restart --unban", "reload restart unban"),
        ("reload one", "reload one"),
        ("reload --restart one", "reload restart one"),
        ("reload --unban --if-exists one", "reload unban one"),
    ],
)
def test_reload_passes_on_what_is_meant(run: Run, host: FakeHost, line: str, done: str) -> None:
    assert run(line) == "OK"
    assert host.done == [done]


def test_reload_understands_flags_and_commands_in_lists(host: FakeHost) -> None:
    commands = Commands(host)
    stream = [["set", "loglevel", "DEBUG"], ["add", "one", "polling"]]
    assert commands.execute(["reload", "--all", [], stream]) == "OK"
    assert commands.execute(["reload", "one", ["--restart", "--unban"], stream]) == "OK"
    assert host.done == ["reload", "reload restart unban one"]
    assert host.log.level == 20


def test_reload_of_a_section_that_does_not_run_is_asked_for_apart(run: Run, host: FakeHost) -> None:
    with pytest.raises(NoJail, match="'nope'"):
        run("reload --unban nope")
    assert host.done == []
    with pytest.raises(NoJail, match="'nope'"):
        run("reload --if-exists nope")
    assert host.done == ["reload nope"]


@pytest.mark.parametrize("line", ["reload --rubbish", "reload one two", "reload --all one"])
def test_reload_refuses_what_it_does_not_know(run: Run, host: FakeHost, line: str) -> None:
    with pytest.raises(Refused):
        run(line)
    assert host.done == []


def test_reload_tells_why_it_was_not_done(run: Run, host: FakeHost) -> None:
    host.problems = [_problem("two")]
    with pytest.raises(ConfigError, match=r"^jail.conf:3: \[two\] filter: is broken$"):
        run("reload")


@pytest.mark.parametrize("character", ["\0", "\ud800"])
def test_a_word_that_no_path_could_be_is_refused(host: FakeHost, character: str) -> None:
    for command in (["set", "one", "addlogpath"], ["set", "one", "banip"], ["echo"], ["reload"]):
        with pytest.raises(Refused, match="holds a character that no command line can"):
            Commands(host).execute([*command, f"/var/log/a{character}*"])
    assert host.done == []


def test_a_word_that_is_no_utf8_may_be_a_path(host: FakeHost) -> None:
    path = os.fsdecode(b"/var/log/\xff")
    assert Commands(host).execute(["echo", path]) == [path]
