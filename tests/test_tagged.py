# SPDX-License-Identifier: GPL-2.0-or-later
"""The patterns of a filter.d see a line without its date, and say whom it blames."""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.detect import budget
from fail2ban.detect.linebuffer import Seen
from fail2ban.detect.match import Line, Match
from fail2ban.detect.tagged import Hit, TaggedFilter
from fail2ban.errors import ConfigError
from fail2ban.records import FilterSettings, Origin, Sourced

NOON = 1124013600.0  # 2005-08-14 12:00:00 CEST
STAMP = "Aug 14 11:59:30"
TIME = NOON - 30
ATTACKER = ipaddress.ip_address("192.0.2.7")


@pytest.fixture(autouse=True, scope="module")
def _zurich():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-01CEST-02,M3.5.0,M10.5.0")
        time.tzset()
        yield
    time.tzset()


def sourced(*texts: str) -> tuple[Sourced, ...]:
    """Return patterns; the nth stands on line n."""
    return tuple(Sourced(text, Origin("f.conf", line)) for line, text in enumerate(texts, 1))


def settings(
    *failregex: str,
    ignore: tuple[str, ...] = (),
    prefix: str = "",
    dates: tuple[str, ...] = (),
    **others: object,
) -> FilterSettings:
    return FilterSettings(
        "sshd",
        sourced(*failregex),
        sourced(*ignore),
        tagged=True,
        prefregex=Sourced(prefix, Origin("f.conf", 9)) if prefix else None,
        datepattern=sourced(*dates),
        **others,  # type: ignore[arg-type]
    )


def matched(text: str, *failregex: str, **options: object) -> Match | None:
    """Return what a line behind a date says to a filter of its own."""
    return TaggedFilter(settings(*failregex, **options)).match(Line(f"{STAMP} {text}"), NOON)


def blamed(text: str, *failregex: str, **options: object) -> str | None:
    found = matched(text, *failregex, **options)
    return str(found.host) if found else None


# One line -----------------------------------------------------------------------------


def test_a_failure_carries_address_time_evidence_and_captured_texts():
    text = f"{STAMP} host sshd[7]: Failed password for root from 192.0.2.7 port 22"
    found = TaggedFilter(settings("for <F-USER>\\S+</F-USER> from <HOST> port")).match(
        Line(text), NOON
    )
    assert found == Match(ATTACKER, TIME, (text,), groups={"user": "root", "ip4": "192.0.2.7"})


def test_the_date_is_cut_out_and_the_line_has_an_end():
    assert blamed("from 192.0.2.7", r"^ from <HOST>$")
    assert blamed("from 192.0.2.7", r"\A from <HOST>\n\Z")
    assert not blamed("from 192.0.2.7", r"Aug .* from <HOST>")
    front = TaggedFilter(settings("^at: from <HOST>$", dates=(r"\[(%b %d %H:%M:%S)\]",)))
    assert not front.match(Line(f"at[{STAMP}]: from 192.0.2.7"), NOON)
    middle = TaggedFilter(settings(r"^at\[\]: from <HOST>$", dates=(r"\[(%b %d %H:%M:%S)\]",)))
    found = middle.match(Line(f"at[{STAMP}]: from 192.0.2.7"), NOON)
    assert found and found.time == TIME


def test_a_line_whose_time_is_known_is_not_searched_for_a_date():
    journal = TaggedFilter(settings(rf"^{STAMP} from <HOST>$"))
    line = Line(f"{STAMP} from 192.0.2.7", NOON - 9, "2005-08-14T11:59:51 ")
    found = journal.match(line, NOON)
    assert found and (found.time, found.lines) == (NOON - 9, (line.stamp + line.text,))


def test_zone_and_date_pattern_of_the_settings_are_used():
    zoned = TaggedFilter(settings("from <HOST>", logtimezone=3600), doubting=False)
    found = zoned.match(Line(f"{STAMP} from 192.0.2.7"), NOON)
    assert found and found.time == TIME + 3600


def test_the_first_pattern_that_matches_decides():
    assert blamed("from 192.0.2.1 to 192.0.2.2", "from <HOST>", "to <HOST>") == "192.0.2.1"
    assert blamed("from 192.0.2.1 to 192.0.2.2", "for <HOST>", "to <HOST>") == "192.0.2.2"
    assert not blamed("from 300.1.1.1 to 192.0.2.2", "from <HOST>", "to <HOST>")


def test_prefregex_must_match_and_its_content_is_what_failregex_see():
    prefix = r"^ \S+ sshd\[\d+\]: <F-CONTENT>.+</F-CONTENT>$"
    assert blamed("host sshd[7]: from 192.0.2.7", "^from <HOST>$", prefix=prefix)
    assert not blamed("host ftpd[7]: from 192.0.2.7", "^from <HOST>$", prefix=prefix)
    assert not blamed("host sshd[7]: from 192.0.2.7", "sshd.*from <HOST>$", prefix=prefix)


def test_without_content_failregex_see_the_line():
    for prefix in (r"sshd", r"sshd(?P<content>x*)"):
        assert blamed("host sshd: from 192.0.2.7", "^ host sshd: from <HOST>$", prefix=prefix)


def test_groups_of_prefregex_count_and_may_name_whom_to_blame():
    found = matched(
        "root@192.0.2.7: failed",
        "^failed(?P<user>x?)$",
        prefix="^ <F-USER>\\w+</F-USER>@<ADDR>: <F-CONTENT>.*</F-CONTENT>$",
    )
    assert found and (found.host, found.groups["user"]) == (ATTACKER, "")


@pytest.mark.parametrize(
    "failregex", [("from <HOST>",), ("a <HOST>", "b <HOST>", "from <HOST>", "c <HOST>")]
)
def test_a_line_that_matches_ignoreregex_is_innocent(failregex):
    assert not blamed("from 192.0.2.7", *failregex, ignore=("nothing", r"192\.0\.2"))
    assert blamed("from 192.0.2.7", *failregex, ignore=("nothing", r"198\.51\.100"))
    assert not blamed("from 192.0.2.7", *failregex, ignore=("from <HOST>$",))


def test_after_an_ignored_match_no_other_pattern_is_tried():
    assert not blamed("from 192.0.2.7", "from <HOST>", "m <HOST>", ignore=("m 192",))


def test_few_ignoreregex_see_the_whole_line_and_many_what_failregex_see():
    prefix = "^ host <F-CONTENT>.*</F-CONTENT>$"
    few = {"ignore": ("^ host",), "prefix": prefix}
    assert not blamed(
        "host from 192.0.2.7", "a <HOST>", "b <HOST>", "c <HOST>", "^from <HOST>", **few
    )
    assert blamed("host from 192.0.2.7", "a <HOST>", "^from <HOST>", **few)
    assert not blamed("host from 192.0.2.7", "^from <HOST>", ignore=("^from",), prefix=prefix)


def test_item_12_nofail_is_no_failure_without_a_connection_too():
    assert not blamed("ok 192.0.2.7", "<F-NOFAIL>ok</F-NOFAIL> <HOST>")
    assert not blamed("ok 192.0.2.7", "<F-MLFGAINED>ok</F-MLFGAINED> <HOST>")


@pytest.mark.parametrize("usedns", ["yes", "warn", "no"])
def test_item_11_what_is_no_address_blames_nobody_and_is_told_once(usedns, caplog):
    found = TaggedFilter(settings("from <HOST>$", usedns=usedns))
    for text in ("300.1.1.1", "300.1.1.2"):
        assert found.match(Line(f"{STAMP} from {text}"), NOON) is None
    (warning,) = caplog.messages
    assert "[sshd] failregex at f.conf:1: '300.1.1.1' is no address" in warning


def test_names_are_resolved_by_somebody_else_taken_as_they_are_or_not_at_all():
    for usedns, expected in [
        ("yes", ("a.example", True)),
        ("warn", ("a.example", True)),
        ("raw", ("a.example", False)),
    ]:
        found = matched("from a.example", "from <HOST>$", usedns=usedns)
        assert found and (found.host, found.is_name) == expected
    assert not matched("from a.example", "from <HOST>$", usedns="no")


def test_an_id_is_counted_and_the_address_blamed():
    found = matched("s7 from 192.0.2.7", "<F-ID>s\\d</F-ID> from <HOST>")
    assert found and (found.host, found.fid) == (ATTACKER, "s7")


def test_item_10_an_old_date_in_a_new_line_counts_as_now_but_not_for_samples(caplog):
    line = "Aug 13 11:59:30 from 192.0.2.7"
    for live, doubting, expected in [
        (True, True, NOON),
        (False, True, TIME - 86400),
        (True, False, TIME - 86400),
    ]:
        found = TaggedFilter(settings("from <HOST>"), doubting)
        match = found.match(Line(line, live=live), NOON)
        assert match and match.time == expected
    assert "logtimezone" in caplog.text


def test_a_line_without_a_date_counts_for_that_of_an_innocent_line_before_it():
    dated = TaggedFilter(settings("from <HOST>"))
    assert dated.match(Line(f"{STAMP} hello"), NOON) is None
    found = dated.match(Line("from 192.0.2.7", live=False), NOON)
    assert found and found.time == TIME


def test_where_a_pattern_says_so_no_date_is_missed(caplog):
    found = TaggedFilter(settings("^from <HOST>", dates=("{NONE}",)))
    match = found.match(Line("from 192.0.2.7"), NOON)
    assert match and match.time == NOON
    assert not caplog.text


# Several lines ------------------------------------------------------------------------

PREFIX = r"^<F-MLFID>.*?sshd\[\d+\]: </F-MLFID><F-CONTENT>.+</F-CONTENT>$"
SSHD = settings(
    r"^Failed for <F-USER>\S+</F-USER>$",
    r"^<F-NOFAIL>Connection from</F-NOFAIL> <HOST>$",
    r"^<F-NOFAIL><F-MLFFORGET>Closed</F-MLFFORGET></F-NOFAIL>$",
    prefix=PREFIX,
)


def log_lines(*texts: str) -> list[Line]:
    return [Line(f"{STAMP} host sshd[7]: {text}") for text in texts]


def test_lines_of_a_connection_make_one_failure_with_all_of_them_as_evidence():
    sshd = TaggedFilter(SSHD)
    lines = log_lines("Connection from 192.0.2.7", "Failed for root", "Failed for root", "Closed")
    first, second, third, last = (sshd.match(line, NOON) for line in lines)
    assert first is None and last is None
    assert second and (second.host, second.lines) == (ATTACKER, tuple(x.text for x in lines[:2]))
    assert third and third.lines == (lines[2].text,)
    assert third.groups["users"] == ("root",)


def test_a_failure_waits_for_the_address():
    sshd = TaggedFilter(SSHD)
    lines = log_lines("Failed for root", "Connection from 192.0.2.7")
    assert sshd.match(lines[0], NOON) is None
    found = sshd.match(lines[1], NOON)
    assert found and found.lines == tuple(line.text for line in lines)


def test_patterns_that_span_lines_see_the_last_ones_and_use_them_up():
    two = TaggedFilter(settings("^ Failed$<SKIPLINES>^ by <HOST>$", maxlines=3))
    texts = ["Failed", "hello", "by 192.0.2.7", "by 192.0.2.8"]
    lines = [Line(f"{STAMP} {text}") for text in texts]
    found = [two.match(line, NOON) for line in lines]
    assert [bool(one) for one in found] == [False, False, True, False]
    assert found[2] and found[2].lines == (lines[0].text, lines[2].text)


def test_a_line_too_far_back_is_not_seen():
    two = TaggedFilter(settings("^ Failed$<SKIPLINES>^ by <HOST>$", maxlines=3))
    for text in ("Failed", "hello", "hello", "by 192.0.2.7"):
        assert two.match(Line(f"{STAMP} {text}"), NOON) is None


def test_ignored_lines_are_used_up_and_others_do_not_ignore_for_them():
    two = TaggedFilter(
        settings("^ Failed$<SKIPLINES>^ by <HOST>$", ignore=(r"192\.0\.2\.1$", "hello"), maxlines=4)
    )
    texts = ["Failed", "by 192.0.2.1", "hello", "Failed", "by 192.0.2.7"]
    found = [two.match(Line(f"{STAMP} {text}"), NOON) for text in texts]
    assert [bool(one) for one in found] == [False] * 4 + [True]


def test_prefregex_judges_each_line_by_itself():
    two = TaggedFilter(
        settings(
            "^Failed$<SKIPLINES>^by <HOST>$", prefix="^ p <F-CONTENT>.*</F-CONTENT>$", maxlines=2
        )
    )
    texts = ["p Failed", "hello", "p by 192.0.2.7"]
    found = [two.match(Line(f"{STAMP} {text}"), NOON) for text in texts]
    assert found[2] and len(found[2].lines) == 2


# What the settings may hold -----------------------------------------------------------


def problems(wrong: FilterSettings) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        TaggedFilter(wrong)
    return [str(problem) for problem in caught.value.problems]


def test_item_2_a_bad_pattern_is_an_error_and_the_others_work():
    found = TaggedFilter(
        settings(
            "from <HOST>(",
            "by <HOST>",
            "nobody",
            ignore=("[", "innocent"),
            dates=("%Q", "%b %d %H:%M:%S"),
        )
    )
    wrong = {(p.severity, p.option, p.origin.line) for p in found.problems}
    assert wrong == {
        ("error", "failregex", 1),
        ("error", "failregex", 3),
        ("error", "ignoreregex", 1),
        ("error", "datepattern", 1),
    }
    assert found.match(Line(f"{STAMP} by 192.0.2.7"), NOON)
    assert not found.match(Line(f"{STAMP} innocent by 192.0.2.7"), NOON)


def test_without_a_usable_failregex_everything_that_is_wrong_is_told():
    found = problems(settings("from <HOST>(", "nobody", ignore=("[",), dates=("%Q",)))
    assert [text.split(" ")[2] for text in found] == [
        "failregex:", "failregex:", "ignoreregex:", "datepattern:"
    ]  # fmt: skip
    assert "does not say whom to blame; expected <HOST>" in found[1]


def test_filter_in_which_no_failregex_is_written_finds_nothing():
    assert TaggedFilter(settings()).match(Line(f"{STAMP} from 192.0.2.7"), NOON) is None


def test_without_its_prefregex_a_filter_does_not_run():
    (text,) = problems(settings("from <HOST>", prefix="("))
    assert text.startswith("f.conf:9: [sshd] prefregex: ")


def test_a_pattern_for_every_line_is_a_warning():
    found = TaggedFilter(settings("from <HOST>", ignore=(".*", r"^\s*$")))
    (problem,) = found.problems
    assert (problem.severity, problem.option, problem.origin.line) == ("warning", "ignoreregex", 1)


def test_patterns_of_old_trees_work():
    assert (
        blamed("from ::ffff:192.0.2.7", "(?:::f{4,6}:)?(?P<host>[\\w\\-.^_]*\\w)$") == "192.0.2.7"
    )
    assert blamed("FROM 192.0.2.7", "((?i)from) <HOST>") == "192.0.2.7"
    assert TaggedFilter(settings("from <HOST>")).problems == ()


# Time and examination -----------------------------------------------------------------


def test_a_line_that_takes_too_long_is_given_up_and_changes_nothing():
    budget.install()
    both = settings(
        r"^Connection from <F-NOFAIL>x</F-NOFAIL>?<HOST>$",
        r"^(?:a|aa)+$<HOST>",
        r"^Failed$",
        prefix=PREFIX,
    )
    sshd = TaggedFilter(both)
    assert sshd.match(log_lines("Failed")[0], NOON) is None
    with pytest.raises(budget.OutOfTime) as caught:
        sshd.match(log_lines("a" * 60 + "!")[0], NOON)
    assert str(caught.value) == "[sshd] failregex at f.conf:2 takes too long for a line"
    found = sshd.match(log_lines("Connection from 192.0.2.7")[0], NOON)
    assert found and len(found.lines) == 2


def test_lines_that_make_later_ones_take_too_long_are_forgotten():
    budget.install()
    filter = TaggedFilter(settings(r"user=(a|a)+!<SKIPLINES>.*from <HOST>$", maxlines=3))
    filter._buffer.keep((Seen("user=" + "a" * 64, ""),))
    with pytest.raises(budget.OutOfTime):
        filter.match(Line("user=a!", TIME), NOON)
    assert filter.match(Line("user=a!", TIME), NOON) is None
    assert filter.match(Line("from 192.0.2.7", TIME), NOON)


def test_an_examination_tells_each_step():
    both = TaggedFilter(
        settings("from <HOST>", "to <HOST>", "<F-NOFAIL>to</F-NOFAIL> (?P<dns>x?)", prefix="x")
    )
    seen = both.examine(Line(f"{STAMP} x from 192.0.2.7 to 192.0.2.8"), NOON)
    assert seen.stamp and (seen.stamp.start, seen.stamp.end) == (0, len(STAMP))
    assert seen.sight.text == " x from 192.0.2.7 to 192.0.2.8\n"
    assert seen.sight.prefix and seen.sight.ignored is None
    assert [(hit.number, hit.verdict) for hit in seen.hits] == [
        (0, "failure"), (1, "failure"), (2, "nofail")
    ]  # fmt: skip
    assert seen.hits[1].match and str(seen.hits[1].match.host) == "192.0.2.8"
    assert seen.hits[2].match is None


def test_lines_that_one_pattern_uses_up_are_not_there_for_the_next():
    for maxlines, hits in [(1, [0, 1]), (2, [0])]:
        both = TaggedFilter(settings("from <HOST>", "^ from <HOST>", maxlines=maxlines))
        seen = both.examine(Line(f"{STAMP} from 192.0.2.7"), NOON)
        assert [hit.number for hit in seen.hits] == hits


def test_an_examination_tells_which_pattern_ignored_the_line():
    one = TaggedFilter(settings("from <HOST>", ignore=("a", "b")))
    seen = one.examine(Line(f"{STAMP} b from 192.0.2.7"), NOON)
    assert (seen.sight.ignored, seen.hits) == (1, ())


def test_an_examination_of_a_line_that_prefregex_does_not_match():
    seen = TaggedFilter(settings("from <HOST>", prefix="x")).examine(Line("from 192.0.2.7"), NOON)
    assert (seen.stamp, seen.sight.prefix, seen.sight.reached, seen.hits) == (None, None, False, ())


def test_an_examination_remembers_what_the_first_pattern_found_only():
    sshd = TaggedFilter(SSHD)
    for line in log_lines("Connection from 192.0.2.7", "Failed for root"):
        seen = sshd.examine(line, NOON)
    (hit,) = seen.hits
    assert isinstance(hit, Hit) and hit.match and hit.match.host == ATTACKER


# What the attacker writes -------------------------------------------------------------

HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            ["198.51.100.1", "2001:db8::bad", "evil.example", " from ", " port 22", "sshd[7]: "]
            + ["Connection from ", "Failed for ", "Aug 13 11:00:00 ", "[", "2001-01-01T00:00:00Z "]
        ),
        st.text(alphabet=st.characters(exclude_characters="\r\n"), max_size=8),
    ),
    max_size=8,
).map("".join)


ANCHORED = TaggedFilter(
    settings(r"^ host sshd\[\d+\]: Failed for <F-USER>.*</F-USER> from <ADDR>$")
)


@given(HOSTILE, st.ip_addresses().filter(lambda ip: str(ip) != "::"))  # the tag does not know it
def test_promise_d5_a_user_name_never_changes_who_is_blamed(user, ip):
    found = ANCHORED.match(Line(f"{STAMP} host sshd[7]: Failed for {user} from {ip}"), NOON)
    assert found is not None
    assert (found.host, found.time) == (getattr(ip, "ipv4_mapped", None) or ip, TIME)


BROAD = TaggedFilter(
    settings("(?P<fid>.+)", "<HOST>", prefix="(?P<mlfid>.?)", ignore=("x",), maxlines=3)
)


@given(st.text(max_size=100), st.floats(0, 4e9), st.none() | st.floats(0, 4e9), st.booleans())
def test_no_line_makes_a_filter_fail(line, now, known, live):
    BROAD.match(Line(line, known, live=live), now)


# When a line was written -------------------------------------------------------------


def test_the_time_of_an_innocent_line_is_known_and_a_missing_one_is_none():
    filter = TaggedFilter(settings("from <HOST>"))
    assert filter.when(f"{STAMP} hello", NOON) == TIME
    assert filter.when("hello", NOON) is None
    undated = TaggedFilter(settings("from <HOST>", dates=("{NONE}",)))
    assert undated.when(f"{STAMP} hello", NOON) is None


def test_looking_for_a_time_follows_date_pattern_and_zone():
    filter = TaggedFilter(settings("x<HOST>", dates=(r"<%H:%M:%S %d/%m/%Y>",), logtimezone=0))
    assert filter.when("<11:00:00 14/08/2005> hello", NOON) == NOON + 3600


def test_looking_for_a_time_teaches_the_filter_nothing():
    filter = TaggedFilter(settings("from <HOST>", r"^Failed <HOST>$"))
    before = [(t.name, t.hits, t.place, t.used) for t in filter.stamps.templates]
    for text in ("2005-08-14 11:59:30 x", f"{STAMP} from 192.0.2.7", "Aug 14 11:00:00 2005 y"):
        assert filter.when(text, NOON) is not None
    assert [(t.name, t.hits, t.place, t.used) for t in filter.stamps.templates] == before
    # Nor is it the time of the next line.
    found = filter.match(Line("from 192.0.2.7", live=False), NOON)
    assert found is None or found.time is None


def test_a_time_that_takes_too_long_to_find_is_none():
    budget.install()
    filter = TaggedFilter(settings("from <HOST>", dates=("^(?:a|aa)+$",)))
    assert filter.when("a" * 60 + "!", NOON) is None


def test_a_bad_date_pattern_is_reported_once():
    filter = TaggedFilter(settings("from <HOST>", dates=("(", "%Y-%m-%d")))
    assert filter.when("2005-08-14 x", NOON) is not None
    assert len(filter.problems) == 1
