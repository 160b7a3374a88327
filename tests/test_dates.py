# SPDX-License-Identifier: GPL-2.0-or-later
"""Timestamps of all usual kinds become the right moment."""

from __future__ import annotations

import locale
import logging
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fail2ban.detect import budget, directives
from fail2ban.detect.dates import USUAL_FORMATS, ClassicDates, UsualDates
from fail2ban.detect.directives import C_NAMES, Names, names_of

untimed = hypothesis_settings(deadline=None)  # the machine may be busy

ZURICH = "CET-01CEST-02,M3.5.0,M10.5.0"
JAN_23 = 1106513999.0  # 2005-01-23 21:59:59 CET
NOON = 1124013600.0  # 2005-08-14 12:00:00 CEST
ANYTHING = re.compile(".+", re.DOTALL)


@pytest.fixture(autouse=True, scope="module")
def _zurich():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", ZURICH)
        time.tzset()
        yield
    time.tzset()


def local(text: str) -> float:
    """Return the moment of "2005-01-23 21:59:59", Zurich time, as the C library sees it."""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def usual(line: str, now: float = NOON) -> float | None:
    return UsualDates().find(line, now)


def classic(text: str, timepattern: str, now: float = NOON, names: Names = C_NAMES) -> float | None:
    return ClassicDates(ANYTHING, timepattern, names, "SSH").find(text, now)


# The usual formats ---------------------------------------------------------------------------

USUAL = [
    ("2005-01-23T21:59:59.981Z", JAN_23 + 3600.981),
    ("2005-01-23T20:59:59.981234567Z", JAN_23 + 0.981234),
    ("2005-01-23T22:59:59+02:00", JAN_23),
    ("2005-01-23t22:59:59+0200", JAN_23),
    ("2005-01-23 21:59:59", JAN_23),
    ("2005-01-23  21:59:59", JAN_23),
    ("2005-01-23 21:59:59,123", JAN_23 + 0.123),
    ("2005-01-23 15:59:59 -0500", JAN_23),
    ("2005-01-23 20:59:59 UTC", JAN_23),
    ("2005/01/23 21:59:59", JAN_23),
    ("2005.01.23 21:59:59", JAN_23),
    ("Sun Jan 23 21:59:59.011 2005", JAN_23 + 0.011),
    ("Sun Jan 23 21:59:59 2005", JAN_23),
    ("Sun Jan 23 21:59:59", JAN_23),
    ("Jan 23 21:59:59", JAN_23),
    ("jan 23 21:59:59", JAN_23),
    ("Jan  1 21:59:59", JAN_23 - 22 * 86400),
    ("Jan 1  1:59:59", JAN_23 - 22 * 86400 - 72000),
    ("Sun Jan 23 2005 21:59:59.011", JAN_23 + 0.011),
    ("Jan 23 2005 21:59:59", JAN_23),
    ("23/01/2005 21:59:59", JAN_23),
    ("23/01/05 21:59:59", JAN_23),
    ("23-01-2005 21:59:59", JAN_23),
    ("23/Jan/2005:21:59:59 +0100", JAN_23),
    ("23/Jan/2005:21:59:59", JAN_23),
    ("23-Jan-2005 21:59:59.02", JAN_23 + 0.02),
    ("01/23/2005:21:59:59", JAN_23),
    ("01-23-2005 21:59:59.252", JAN_23 + 0.252),
    ("1106513999", JAN_23),
    ("1106513999.123", JAN_23 + 0.123),
    ("[1106513999.123]", JAN_23 + 0.123),
    ("audit(1106513999.123:1)", JAN_23 + 0.123),
    ("<01/23/05@21:59:59>", JAN_23),
    ("050123 21:59:59", JAN_23),
    ("050123  1:59:59", JAN_23 - 72000),
    ("Jan 23, 2005 9:59:59 PM", JAN_23),
    ("Jan 23, 2005 12:00:00 AM", JAN_23 - 79199),
    ("Jan-23-05 21:59:59", JAN_23),
    ("20050123T215959", JAN_23),
    ("20050123-21:59:59", JAN_23),
    ("20050123T205959Z", JAN_23),
    ("20050123 215959", JAN_23),
    ("EST Jan 23 15:59:59", JAN_23),
    ("CEST Jan 23 22:59:59", JAN_23),
    ("+02:00 Sun Jan 23 22:59:59 2005", JAN_23),
    ("@4000000041f41059075bcd15", JAN_23 + 0.123456),
    ("@4000000041F41059", JAN_23),
    ("09:59:59", NOON - 7201),
]


@pytest.mark.parametrize(("text", "expected"), USUAL)
@pytest.mark.parametrize(
    "around", ["{}", "{} host sshd[7]: x", "[{}] x", "{}: x", "{}, 2001-01-01"]
)
def test_every_usual_format_is_recognised_at_the_begin_of_a_line(text, expected, around):
    if text[0] == "<" or re.match("Jan-|EST|audit", text):
        around = "{} x"  # these stand bare at the very begin
    assert usual(around.format(text)) == pytest.approx(expected, abs=1e-6)


def test_the_table_of_examples_needs_every_usual_format():
    winners = {UsualDates()._regex.search(text).lastgroup for text, _ in USUAL}
    assert winners == {f"T{number}" for number in range(len(USUAL_FORMATS))}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no date here",
        "12:34:56:78:9a:bc is a MAC address",
        "at 12:34:56 in the middle of a line",
        "x2005-01-23 21:59:59",
        "2005-01-23 21:59:59x",
        "2005-13-23 21:59:59",
        "2005-01-32 21:59:59",
        "Jan 32 21:59:59",
        "Feb 30 21:59:59",
        "Jan 23 24:59:59",
        "1106513999x",
        "seen 1106513999 times",
        "9106513999",
        "@3fffffff41f41059075bcd15",
        "192.0.2.1 2001:db8::1 1.2.3.4.5",
    ],
)
def test_what_is_no_timestamp_is_not_taken_for_one(line):
    assert usual(line) is None


@pytest.mark.parametrize("text", [text for text, _ in USUAL])
def test_a_date_that_an_attacker_writes_further_right_is_not_used(text):
    usual_dates = UsualDates()
    for _ in range(3):
        assert usual_dates.find(f"Jan 23 21:59:59 host sshd[7]: user {text} failed", NOON) == JAN_23
        assert usual_dates.find(f"{text} x", NOON) is not None or text.startswith("audit")


@untimed
@given(st.lists(st.sampled_from([text for text, _ in USUAL]), min_size=1, max_size=4))
def test_the_answer_for_a_line_does_not_depend_on_earlier_lines(texts):
    seasoned = UsualDates()
    for text in texts:
        line = f"host {text} x"
        assert seasoned.find(line, NOON) == UsualDates().find(line, NOON)


PARTS = st.sampled_from([part for text, _ in USUAL for part in re.split(r"\b", text) if part])


@untimed
@given(st.lists(PARTS | st.sampled_from(" :-[x"), max_size=30).map("".join))
def test_a_text_that_is_found_is_the_one_that_is_read(line):
    dates = UsualDates()
    found, read = dates._search(line), dates._regex.search(line)
    assert (found and found.span()) == (read and read.span())


@untimed
@given(st.text(max_size=120), st.floats(0, 4e9))
def test_no_text_makes_the_search_fail(text, now):
    usual(text, now)
    usual("Jan " + text, now)
    classic(text or "x", "%d %b %H:%M", now)


MOMENTS = st.integers(1_000_000_000, 2_840_000_000)  # 2001 to 2059
WRITTEN = [
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%a %b %d %H:%M:%S %Y",
    "%b %d %Y %H:%M:%S",
    "%b %d %H:%M:%S",
    "%b %e %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S +0000",
    "%m/%d/%Y:%H:%M:%S",
    "%y%m%d %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b-%d-%y %H:%M:%S",
    "%Y%m%dT%H%M%SZ",
    "<%m/%d/%y@%H:%M:%S>",
    "GMT %b %d %H:%M:%S %Y",
    "%s",
]


@pytest.mark.parametrize("template", WRITTEN)
@untimed
@given(at=MOMENTS)
def test_a_moment_written_by_strftime_comes_back(template, at):
    in_utc = re.search("Z|GMT|0000", template)
    text = time.strftime(template, time.gmtime(at) if in_utc else time.localtime(at))
    assert usual(text + " x", at + 5.0) == at


# Years, days, zones --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Dec 31 23:59:59", "2006-01-01 00:00:05", "2005-12-31 23:59:59"),
        ("Jan  1 00:00:01", "2006-01-01 00:00:05", "2006-01-01 00:00:01"),
        ("Jan  1 00:00:01", "2005-12-31 23:59:59", "2006-01-01 00:00:01"),
        ("Jun 21 16:47:49", "2005-06-21 16:47:48", "2005-06-21 16:47:49"),
        ("Jun 22 16:47:48", "2005-06-21 16:47:48", "2005-06-22 16:47:48"),
        ("Jun 22 16:47:49", "2005-06-21 16:47:48", "2004-06-22 16:47:49"),
        ("Feb 29 12:00:00", "2006-03-01 12:00:00", "2004-02-29 12:00:00"),
        ("Feb 29 12:00:00", "2008-02-29 12:00:01", "2008-02-29 12:00:00"),
        ("Feb 29 12:00:00", "2103-03-01 12:00:00", "2096-02-29 12:00:00"),
    ],
)
def test_defect_8_a_date_without_year_is_the_latest_at_most_a_day_ahead(text, now, expected):
    assert usual(text, local(now)) == local(expected)
    assert classic(text, "%b %d %H:%M:%S", local(now)) == local(expected)


def test_defect_8_the_year_is_that_of_the_local_clock():
    now = local("2006-01-01 00:30:00")  # still 2005 in UTC
    assert usual("Jan  1 00:29:00", now) == now - 60


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("12:00:00", "2005-08-14 12:00:01", "2005-08-14 12:00:00"),
        ("12:00:02", "2005-08-14 12:00:01", "2005-08-14 12:00:02"),
        ("12:57:32", "2005-08-14 12:00:00", "2005-08-13 12:57:32"),
        ("23:59:59", "2005-08-14 00:00:01", "2005-08-13 23:59:59"),
        ("00:00:01", "2005-08-13 23:59:59", "2005-08-14 00:00:01"),
    ],
)
def test_a_time_without_a_date_is_the_latest_at_most_a_minute_ahead(text, now, expected):
    assert usual(text, local(now)) == local(expected)


def test_summer_and_winter_time_are_told_apart():
    assert usual("2005-03-27 01:59:59") == 1111885199
    assert usual("2005-03-27 03:00:00") == 1111885200
    assert usual("2005-07-01 00:00:00") == 1120168800


def test_an_hour_that_does_not_exist_is_what_the_c_library_makes_of_it():
    assert usual("2005-03-27 02:30:00") == local("2005-03-27 02:30:00")


def test_an_hour_that_comes_twice_is_the_one_near_to_now():
    first, second = 1130628600, 1130632200  # Oct 30 01:30 CEST and CET
    assert usual("Oct 30 01:30:00", first + 2.0) == first
    assert usual("Oct 30 01:30:00", second + 2.0) == second


def test_a_leap_second_is_the_next_minute():
    assert usual("2005-12-31 23:59:60") == local("2006-01-01 00:00:00")


def test_the_same_text_is_another_moment_when_time_has_passed():
    dates = UsualDates()
    assert dates.find("Jan 23 21:59:59", JAN_23 + 1) == JAN_23
    assert dates.find("Jan 23 21:59:59", JAN_23 + 86400 * 365.25) == JAN_23 + 86400 * 365


def test_more_texts_than_are_remembered_are_all_converted():
    dates = UsualDates()
    for offset in range(1000):
        text = time.strftime("%b %d %H:%M:%S", time.localtime(JAN_23 + offset))
        assert dates.find(text, NOON) == JAN_23 + offset
        assert len(dates._moments._moments) <= 256


# timeregex and timepattern -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "timepattern", "expected"),
    [
        ("Jun 21 16:47:48", "%b %d %H:%M:%S", "2005-06-21 16:47:48"),
        ("Jun  1 16:47:48", "%b %d %H:%M:%S", "2005-06-01 16:47:48"),
        ("JUN\t21 16:47:48", "%b %d %H:%M:%S", "2005-06-21 16:47:48"),
        ("Wed Jan 05 15:08:01 2005", "%a %b %d %H:%M:%S %Y", "2005-01-05 15:08:01"),
        ("Wednesday, 5. January 2005", "%A, %d. %B %Y", "2005-01-05 00:00:00"),
        ("1/5/05 3:08 pm", "%m/%d/%y %I:%M %p", "2005-01-05 15:08:00"),
        ("1/5/99 03:08", "%m/%d/%y %H:%M", "2005-01-05 03:08:00"),
        ("Jan  5 15:08:01 1900", "%b %d %H:%M:%S %Y", "2005-01-05 15:08:01"),
        ("2005-005 15", "%Y-%j %H", "2005-01-05 15:00:00"),
        ("2005 01 Wed", "%Y %U %a", "2005-01-05 00:00:00"),
        ("2005 01 3", "%Y %W %w", "2005-01-05 00:00:00"),
        ("2005 01 3", "%G %V %u", "2005-01-05 00:00:00"),
        ("Wed Jan  5 15:08:01 2005", "%c", "2005-01-05 15:08:01"),
        ("01/05/05 15:08:01", "%x %X", "2005-01-05 15:08:01"),
        ("2005-01-05T15:08:01", "%FT%T", "2005-01-05 15:08:01"),
        ("20050105150801", "%Y%m%d%H%M%S", "2005-01-05 15:08:01"),
        ("100% 2005-01-05", "100%% %Y-%m-%d", "2005-01-05 00:00:00"),
        ("[2005.01.05]", "[%Y.%m.%d]", "2005-01-05 00:00:00"),
        ("2005-01-05 14:08:01 UTC", "%Y-%m-%d %H:%M:%S %Z", "2005-01-05 15:08:01"),
        ("2005-01-05 14:08:01 cet", "%Y-%m-%d %H:%M:%S %Z", "2005-01-05 14:08:01"),
        ("2005-01-05 09:08:01 -0500", "%Y-%m-%d %H:%M:%S %z", "2005-01-05 15:08:01"),
        ("10:00:00", "%H:%M:%S", "2005-08-14 10:00:00"),
    ],
)
def test_timepattern_is_read_as_strptime_does(text, timepattern, expected):
    assert classic(text, timepattern) == local(expected)


@pytest.mark.parametrize(
    ("text", "timepattern"),
    [
        ("Jun 21 16:47:48 x", "%b %d %H:%M:%S"),
        ("xJun 21 16:47:48", "%b %d %H:%M:%S"),
        ("Jun2116:47:48", "%b %d %H:%M:%S"),
        ("Foo 21 16:47:48", "%b %d %H:%M:%S"),
        ("2005x01x05", "%Y.%m.%d"),
        ("2005-02-30", "%Y-%m-%d"),
        ("2005-000", "%Y-%j"),
        ("2005-366", "%Y-%j"),
        ("2005 54 1", "%Y %V %u"),
        ("2005 00 Mon", "%Y %W %a"),
        ("XXX 2005", "%Z %Y"),
        ("Jun 21", "tai64n"),
        ("@40000000", "tai64n"),
        ("@4000000041f4104f00", "tai64n"),
    ],
)
def test_a_text_that_does_not_fit_is_no_time_and_is_reported_once(caplog, text, timepattern):
    dates = ClassicDates(ANYTHING, timepattern, C_NAMES, "SSH")
    with caplog.at_level(logging.ERROR):
        assert [dates.find(text, NOON) for _ in range(3)] == [None] * 3
    first, hint = caplog.messages
    assert first.startswith("[SSH] ") and repr(text) in first
    assert "timepattern" in hint and "locale" in hint
    assert dates.unfit == 3


def test_nobody_is_interrupted_while_he_reports_what_does_not_fit():
    """Else the lock of `logging` would be kept, and whoever has something to say wait."""

    class Limit(logging.Handler):
        def emit(self, record):
            limits.append(budget._watch.seconds)

    limits = []
    handler = Limit()
    dates = ClassicDates(ANYTHING, "%H:%M", C_NAMES, "SSH")
    budget.install()
    logging.getLogger().addHandler(handler)
    try:
        budget.limited(5.0, dates.find, "x", NOON)
    finally:
        logging.getLogger().removeHandler(handler)
    assert limits == [None, None]


def test_the_first_match_of_timeregex_is_the_timestamp():
    dates = ClassicDates(re.compile(r"\d+:\d+"), "%H:%M", C_NAMES, "SSH")
    assert dates.find("at 10:05 and 11:06", NOON) == local("2005-08-14 10:05:00")
    assert dates.find("nothing", NOON) is None
    assert dates.unfit == 0


@pytest.mark.parametrize("timepattern", ["%Q", "%d %", "%Y-%é", "%E5"])
def test_an_unknown_directive_is_refused_by_name(timepattern):
    with pytest.raises(ValueError, match=re.escape(timepattern.split()[-1].split("-")[-1][:2])):
        ClassicDates(ANYTHING, timepattern, C_NAMES, "SSH")


@pytest.mark.parametrize("text", ["@4000000041f41059075bcd15", "@4000000041F41059075BCD15 more"])
@pytest.mark.parametrize("timepattern", ["tai64n", "TAI64N", " Tai64n"])
def test_defect_9_tai64n_is_ten_seconds_ahead_and_knows_no_local_time(text, timepattern):
    assert classic(text, timepattern) == pytest.approx(JAN_23 + 0.123456, abs=1e-6)


def test_what_daemontools_writes_in_2017_is_still_ten_seconds_ahead():
    at = int(datetime(2017, 6, 1, tzinfo=UTC).timestamp())
    assert usual(f"@{at + 10 + 2**62:016x}00000000 x") == at


@untimed
@given(at=MOMENTS, days=st.integers(0, 6))
def test_weeks_are_counted_as_strftime_does(at, days):
    for template in ("%Y %U %a", "%Y %W %A", "%Y %j", "%G %V %u"):
        day = datetime.fromtimestamp(at).date() + timedelta(days)
        found = classic(day.strftime(template), template, at)
        assert found is not None and datetime.fromtimestamp(found).date() == day


# Names ---------------------------------------------------------------------------------------

GERMAN = Names(
    months=C_NAMES.months | {"märz": 3},
    short_months=C_NAMES.short_months | {"mär": 3, "dez": 12},
    weekdays=C_NAMES.weekdays | {"sonntag": 6},
    short_weekdays=C_NAMES.short_weekdays | {"so": 6},
    halves=C_NAMES.halves,
    formats=C_NAMES.formats | {"c": ("%a %d %b %Y %T", *C_NAMES.formats["c"])},
)


@pytest.mark.parametrize("month", ["Mär", "MÄR", "Mar"])
def test_names_of_another_language_are_known_besides_the_english_ones(month):
    text = f"{month} 23 21:59:59"
    expected = local("2005-03-23 21:59:59")
    assert UsualDates(GERMAN).find(text, NOON) == expected
    assert classic(text, "%b %d %H:%M:%S", names=GERMAN) == expected


def test_the_locales_own_format_is_known_besides_the_english_one():
    for text in ("So 23 Mär 2005 21:59:59", "Sun Mar 23 21:59:59 2005"):
        assert classic(text, "%c", names=GERMAN) == local("2005-03-23 21:59:59")


def test_names_are_asked_of_the_system_and_its_locale_is_left_alone(monkeypatch):
    answers = {
        locale.ABMON_1 + 2: "Mär",
        locale.DAY_1: "Sonntag",
        locale.D_T_FMT: "%-d %Ob",
        locale.PM_STR: "",
    }
    asked = locale.nl_langinfo
    monkeypatch.setattr(directives, "_names_of", directives._names_of.__wrapped__)
    monkeypatch.setattr(locale, "nl_langinfo", lambda item: answers.get(item) or asked(item))
    before = locale.setlocale(locale.LC_ALL)
    names = names_of("C")
    assert locale.setlocale(locale.LC_ALL) == before
    assert names.short_months["mär"] == names.short_months["mar"] == 3
    assert names.weekdays["sonntag"] == names.weekdays["sunday"] == 6
    assert names.short_weekdays["mon"] == 0 and names.months["december"] == 12
    assert names.formats["c"] == ("%d %b", "%a %b %e %H:%M:%S %Y")


def test_a_locale_that_is_not_there_is_an_error_and_changes_nothing():
    before = locale.setlocale(locale.LC_ALL)
    with pytest.raises(locale.Error):
        names_of("xx_XX.UTF-8")
    assert locale.setlocale(locale.LC_ALL) == before


def test_the_environments_locale_is_used_when_none_is_named(monkeypatch):
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with pytest.raises(locale.Error):
        names_of("")


def test_sections_of_one_locale_share_what_recognises_the_usual_formats():
    """There are thousands of names of days, months and zones in it."""
    one, other = UsualDates(names_of("C")), UsualDates(names_of("C"))
    assert one._regex is other._regex
    assert UsualDates(GERMAN)._regex is not one._regex


def test_another_environment_or_time_zone_is_noticed(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    assert names_of("") is names_of("")
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with pytest.raises(locale.Error):
        names_of("")
    line = "QQT Jun 21 11:00:00 x"
    assert not UsualDates()._regex.match(line)
    monkeypatch.setattr(time, "tzname", ("QQT", "QQT"))
    assert UsualDates()._regex.match(line)
