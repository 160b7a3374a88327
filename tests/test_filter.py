# SPDX-License-Identifier: GPL-2.0-or-later
"""A filter says whom a line blames and when, and is never led astray by its text."""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fail2ban.detect import budget
from fail2ban.detect.filter import Filter
from fail2ban.detect.match import Line, Match
from fail2ban.errors import ConfigError
from fail2ban.records import FilterSettings, Origin, Sourced

untimed = hypothesis_settings(deadline=None)  # the machine may be busy

NOON = 1124013600.0  # 2005-08-14 12:00:00 CEST
ATTACKER = "192.0.2.7"


@pytest.fixture(autouse=True, scope="module")
def _zurich():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-01CEST-02,M3.5.0,M10.5.0")
        patch.setenv("LC_ALL", "C")
        time.tzset()
        yield
    time.tzset()


def sourced(*texts: str) -> tuple[Sourced, ...]:
    """Return patterns; the nth stands on line n."""
    return tuple(Sourced(text, Origin("f.conf", line)) for line, text in enumerate(texts, 1))


def settings(*failregex: str, ignore: tuple[str, ...] = (), **dates: str) -> FilterSettings:
    """Return a section's patterns; `dates` are timeregex and timepattern, on line 9."""
    times = {option: Sourced(text, Origin("f.conf", 9)) for option, text in dates.items()}
    return FilterSettings("SSH", sourced(*failregex), sourced(*ignore), **times)


def match(line: str, *failregex: str, ignore: tuple[str, ...] = ()) -> Match | None:
    return Filter(settings(*failregex, ignore=ignore)).match(Line(line), NOON)


def problems(wrong: FilterSettings, locale: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Filter(wrong, locale)
    return [str(problem) for problem in caught.value.problems]


LINE = "Aug 14 11:59:00 host sshd[7]: Failed password for root from 192.0.2.7 port 22 ssh2"


def test_a_failure_carries_address_time_and_line():
    expected = Match(ipaddress.ip_address(ATTACKER), NOON - 60, (LINE,))
    assert match(LINE, "Failed password for .* from <HOST> port") == expected


def test_patterns_are_case_sensitive_and_see_the_timestamp():
    assert match(LINE, "failed password for .* from <HOST>") is None
    assert match(LINE, r"^Aug 14 11:59:00 host .* from <HOST> port") is not None


def test_the_first_pattern_that_matches_decides():
    line = "x from 192.0.2.1 to 192.0.2.2"
    for patterns, ip in [
        (("from <HOST>", "to <HOST>"), "192.0.2.1"),
        (("to <HOST>", "from <HOST>"), "192.0.2.2"),
        (("for <HOST>", "to <HOST>"), "192.0.2.2"),
    ]:
        found = match(line, *patterns)
        assert found is not None and str(found.host) == ip
    assert match(line, "from (?P<host>z?)", "to <HOST>") is None


def test_a_line_that_matches_ignoreregex_is_innocent():
    assert match(LINE, "from <HOST>", ignore=("nothing", "for root")) is None
    assert match(LINE, "from <HOST>", ignore=("nothing", "for admin")) is not None


def test_ignoreregex_knows_the_tag():
    assert match(LINE, "from <HOST>", ignore=(r"root from <HOST> port \d+ ssh2$",)) is None


def test_a_failure_without_a_timestamp_has_no_time():
    found = match("Failed from 192.0.2.7", "Failed from <HOST>")
    assert found is not None and found.time is None


def test_a_host_name_is_left_to_be_resolved():
    found = match("Failed from mail.example.com", "Failed from <HOST>")
    assert found is not None and found.host == "mail.example.com"


def test_defect_21_an_unmatched_or_empty_host_group_is_no_failure():
    assert match("Failed", "Failed(?: from (?P<host>.*))?") is None
    assert match("Failed from ", "Failed(?: from (?P<host>.*))?") is None


@pytest.mark.parametrize("text", ["300.1.1.1", "10", "127.1", "010.1.1.1", "192.0.2.1.5"])
def test_defect_20_what_only_looks_like_an_address_is_no_failure(text):
    for pattern in ("from <HOST> port", r"from (?P<host>\S+)", "from"):
        assert match(f"Failed from {text} port 22", pattern) is None


def test_defect_6_names_in_a_line_are_not_blamed():
    assert match("Failed: /srv/www.example.com/index.php", "Failed") is None


@pytest.mark.parametrize("pattern", ["", ".*", "a*"])
@pytest.mark.parametrize("option", ["failregex", "ignoreregex", "timeregex"])
def test_defect_24_a_pattern_that_fits_every_line_is_refused(pattern, option):
    right = {"failregex": "from <HOST>", "ignoreregex": "x", "timeregex": "^.{15}"}
    texts = right | {option: pattern}
    (problem,) = problems(
        settings(
            texts["failregex"],
            ignore=(texts["ignoreregex"],),
            timeregex=texts["timeregex"],
            timepattern="%d",
        )
    )
    assert f"[SSH] {option}: " in problem and "every line" in problem


def test_everything_that_is_wrong_is_reported_at_once():
    wrong = settings("(", "[", ignore=("*",), timeregex=")", timepattern="%Q")
    assert [problem.split(" position")[0] for problem in problems(wrong)] == [
        "f.conf:1: [SSH] failregex: missing ), unterminated subpattern at",
        "f.conf:1: [SSH] ignoreregex: nothing to repeat at",
        "f.conf:2: [SSH] failregex: unterminated character set at",
        "f.conf:9: [SSH] timeregex: unbalanced parenthesis at",
        problems(settings("<HOST>", timeregex="x", timepattern="%Q"))[0],
    ]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (settings(), "f.conf: [SSH] failregex: there is none"),
        (settings("<HOST>", timeregex="x"), "f.conf:9: [SSH] timeregex: timepattern is missing"),
        (settings("<HOST>", timepattern="x"), "f.conf:9: [SSH] timepattern: timeregex is missing"),
        (settings("<HOST>", timeregex="x", timepattern=" "), "[SSH] timepattern: it is empty"),
        (settings("<HOST>", timeregex="x", timepattern="%Q"), "'%Q' is no directive"),
    ],
)
def test_what_is_missing_or_unknown_is_named(wrong, words):
    (problem,) = problems(wrong)
    assert words.removeprefix("f.conf: ") in problem


def test_a_configured_locale_that_is_not_there_is_an_error():
    (problem,) = problems(settings("<HOST>"), locale="xx_XX.UTF-8")
    assert problem.startswith("f.conf: [DEFAULT] locale: ")
    assert "'xx_XX.UTF-8'" in problem and "locale -a" in problem


def test_a_missing_locale_of_the_environment_is_a_warning_and_english_names_work(monkeypatch):
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    working = Filter(settings("from <HOST>"))
    (problem,) = working.problems
    assert (problem.severity, problem.option) == ("warning", "locale")
    found = working.match(Line(LINE), NOON)
    assert found is not None and found.time == NOON - 60


def test_warnings_do_not_stop_a_filter():
    (problem,) = Filter(settings("Failed password")).problems
    assert problem.severity == "warning"
    assert Filter(settings("from <HOST>")).problems == ()


def test_timeregex_and_timepattern_are_used_when_given():
    dated = Filter(settings("from <HOST>", timeregex=r"<\d+\.\d+\.\d+>", timepattern="<%d.%m.%Y>"))
    found = dated.match(Line("Aug 14 11:59:00 <01.02.2005> x from 192.0.2.7"), NOON)
    assert found is not None and found.time == 1107212400.0


def test_the_patterns_of_the_0_6_files_find_the_attacker():
    ssh = "Authentication failure|Failed password|Invalid user"
    old = Filter(
        settings(
            ssh,
            timeregex=r"\S{3}\s{1,2}\d{1,2} \d{2}:\d{2}:\d{2}",
            timepattern="%b %d %H:%M:%S",
        )
    )
    assert old.match(Line(LINE), NOON) == Match(ipaddress.ip_address(ATTACKER), NOON - 60, (LINE,))


# What the attacker writes --------------------------------------------------------------------

HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "198.51.100.1",
                "::ffff:198.51.100.1",
                "2001:db8::bad",
                "evil.example.com",
                " from ",
                " port 22 ssh2",
                "Failed password for ",
                "[",
                "]: ",
                "sshd[7]",
                "Aug 13 11:00:00 ",
                "2001-01-01T00:00:00Z ",
                "rhost=",
            ]
        ),
        st.text(alphabet=st.characters(exclude_characters="\r\n"), max_size=8),
    ),
    max_size=8,
).map("".join)

ANCHORED = Filter(
    settings(
        r"sshd\[\d+\]: Failed password for .* from <HOST> port \d+ ssh2$",
        r"sshd\[\d+\]: Illegal user .* from <HOST>$",
        r"^\S+ \S+ \S+ host vsftpd: FAIL LOGIN: Client <HOST>, user .*$",
    )
)


@untimed
@given(HOSTILE, st.ip_addresses())
def test_promise_d5_a_user_name_never_changes_who_is_blamed(user, ip):
    blamed = getattr(ip, "ipv4_mapped", None) or ip
    for text in (
        f"sshd[7]: Failed password for {user} from {ip} port 4022 ssh2",
        f"sshd[7]: Illegal user {user} from {ip}",
        f"vsftpd: FAIL LOGIN: Client {ip}, user {user}",
    ):
        found = ANCHORED.match(Line(f"Aug 14 11:59:00 host {text}"), NOON)
        assert found is not None
        assert (found.host, found.time) == (blamed, NOON - 60)


LENIENT = [
    Filter(settings(pattern))
    for pattern in ("x<HOST>", "x(?P<host>.*)", "x(?P<other>.*)", "x.*", "x")
]


@untimed
@given(HOSTILE)
def test_who_is_blamed_always_stands_in_the_line(text):
    for lenient in LENIENT:
        found = lenient.match(Line(f"x{text}"), NOON)
        if found is None:
            continue
        if isinstance(found.host, str):
            assert found.host in text
        else:
            assert any(written(found.host, word) for word in words(text))


def words(text: str) -> list[str]:
    """Return all runs of characters that addresses consist of, and their ends and begins."""
    runs = "".join(c if c in "0123456789abcdefABCDEF:." else " " for c in text).split()
    return [run[i:j] for run in runs for i in range(len(run)) for j in range(i + 2, len(run) + 1)]


def written(ip, word: str) -> bool:
    try:
        read = ipaddress.ip_address(word)
    except ValueError:
        return False
    return ip in (read, getattr(read, "ipv4_mapped", None))


BROAD = Filter(settings("(?P<x>.+)"))


@untimed
@given(st.text(max_size=200), st.floats(0, 4e9))
def test_no_line_makes_a_filter_fail(line, now):
    ANCHORED.match(Line(line), now)
    BROAD.match(Line(line), now)


# When a line was written -------------------------------------------------------------


def test_the_time_of_an_innocent_line_is_known_and_a_missing_one_is_none():
    filter = Filter(settings("from <HOST>"))
    assert filter.when("Aug 14 11:59:00 host cron[1]: hello", NOON) == NOON - 60
    assert filter.when("hello", NOON) is None


def test_looking_for_a_time_reports_no_line_that_is_innocent(caplog):
    dates = {"timeregex": r"^\S+", "timepattern": "%Y-%m-%dT%H:%M:%S"}
    filter = Filter(settings("from <HOST>", **dates))
    assert filter.when("2005-08-14T11:59:00 hello", NOON) == NOON - 60
    assert filter.when("hello", NOON) is None
    assert caplog.messages == []
    filter.match(Line("hello from 192.0.2.7"), NOON)
    assert len(caplog.messages) == 2


def test_a_time_that_takes_too_long_to_find_is_none():
    budget.install()
    dates = {"timeregex": "^(?:a|aa)+$", "timepattern": "%Y"}
    assert Filter(settings("from <HOST>", **dates)).when("a" * 60 + "!", NOON) is None
