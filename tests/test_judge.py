# SPDX-License-Identifier: GPL-2.0-or-later
"""From failures to ordered bans."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from fail2ban import notices
from fail2ban.decide.bans import Bans, State, Verb
from fail2ban.decide.court import Court
from fail2ban.decide.history import Memory
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.inquiry import Inquiry
from fail2ban.decide.judge import COMPLAINT_INTERVAL, Judge
from fail2ban.decide.timer import Timer
from fail2ban.records import (
    Ban,
    Command,
    Failure,
    GrowthSettings,
    Id,
    IgnoreSettings,
    JailSettings,
    Ticket,
)
from tests.helpers import NOW, FakeClock, failure, jail_settings
from tests.test_ignore import FakeAsker, FakeHosts


class Trial:
    """A judge with everything around it; what takes time is done by `inquire`."""

    def __init__(
        self, settings: JailSettings | None = None, modern: bool = False, *answers: int
    ) -> None:
        self.clock, self.orders = FakeClock(), list[Verb]()
        self.bans = Bans(
            Timer(self.clock, self.clock), lambda verb, entry: self.orders.append(verb)
        )
        self.hosts, self.asker, self.history = FakeHosts(), FakeAsker(*answers), Memory()
        self.court = Court(
            bans=self.bans,
            own=OwnAddresses(self.clock, lambda: frozenset({ip_address("198.51.100.1")})),
            hosts=self.hosts,
            history=self.history,
            notices=notices.of(modern),
            asker=self.asker,
            clock=self.clock,
            ticks=self.clock,
            rng=random.Random(1),
        )
        self.judge = Judge(settings or jail_settings(), self.court)
        self.judge._inquiry._start = lambda: None  # type: ignore[method-assign]
        self.hosts.answer()

    def fail(self, times: int, ip: str = "192.0.2.1") -> None:
        for _ in range(times):
            self.judge.hear(failure(ip, self.clock()))

    def inquire(self) -> None:
        """Do what waits for its time."""
        while self.judge._inquiry._queue:
            work = self.judge._inquiry._next()
            assert work is not None
            work()

    def apply(self) -> None:
        for entry in self.bans.of("SSH"):
            entry.state, entry.applied_at = State.APPLIED, self.clock()
            entry.announced = True

    def banned(self) -> list[str]:
        return [str(entry.ban.id) for entry in self.bans.of("SSH")]

    def only(self) -> Ban:
        (entry,) = self.bans.of("SSH")
        return entry.ban

    def lift(self) -> None:
        for entry in self.bans.of("SSH"):
            self.bans.lift(entry)
            self.bans.remove(entry)


def growing(**growth: object) -> JailSettings:
    return replace(jail_settings(), growth=GrowthSettings(**growth))  # type: ignore[arg-type]


def asking(**ignore: object) -> JailSettings:
    settings = IgnoreSettings(command=Command.same("ask"), **ignore)  # type: ignore[arg-type]
    return replace(jail_settings(), ignore=settings)


def test_too_many_failures_order_a_ban() -> None:
    trial = Trial()
    trial.fail(2)
    assert trial.banned() == []
    trial.fail(1)
    assert trial.banned() == ["192.0.2.1"]


def test_ignored_addresses_are_never_counted() -> None:
    trial = Trial()
    trial.fail(10, "127.0.0.1")
    trial.fail(10, "198.51.100.1")
    assert (trial.banned(), trial.judge.found, trial.judge.found_total) == ([], 0, 0)


def test_what_counted_is_summed_and_who_is_watched_is_counted() -> None:
    trial = Trial()
    trial.fail(4)
    trial.fail(1, "192.0.2.2")
    assert (trial.judge.found, trial.judge.found_total, trial.judge.banned_total) == (2, 5, 1)


def test_address_that_gets_through_its_ban_is_reported_and_banned_once_more_and_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trial = Trial()
    trial.fail(3)
    trial.apply()
    trial.clock.advance(1)
    trial.fail(30)
    assert caplog.text.count("SSH: 192.0.2.1 already in ban list") == 1
    assert trial.orders == [Verb.BAN, Verb.PROLONG, Verb.RENEW]
    assert trial.only().end == NOW + 601
    trial.clock.advance(COMPLAINT_INTERVAL)
    trial.fail(3)
    assert trial.orders[3:] == [Verb.PROLONG, Verb.RENEW]
    assert trial.only().end == NOW + 661


def test_permanent_ban_grows_no_longer() -> None:
    trial = Trial(jail_settings(bantime=None))
    trial.fail(3)
    trial.apply()
    trial.fail(3)
    assert trial.orders == [Verb.BAN, Verb.RENEW]


def test_a_ban_that_was_not_told_of_yet_is_no_reason_to_complain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may be in force before the poll ends that led to it, and is stored."""
    trial = Trial()
    trial.fail(3)
    trial.apply()
    (entry,) = trial.bans.of("SSH")
    entry.announced = False
    trial.clock.advance(5)
    trial.fail(3)
    assert "already" not in caplog.text
    assert trial.orders == [Verb.BAN]


def test_failures_from_before_the_ban_took_hold_are_no_reason_to_complain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trial = Trial()
    trial.fail(30)
    trial.clock.advance(0.5)
    trial.apply()
    for _ in range(3):
        trial.judge.hear(failure(time=trial.clock() - 0.5))
    assert "already" not in caplog.text
    assert trial.orders == [Verb.BAN]


def test_changed_limits_keep_what_was_counted() -> None:
    trial = Trial()
    trial.fail(2)
    trial.judge.configure(jail_settings(maxretry=4))
    trial.fail(1)
    assert trial.banned() == []
    trial.fail(1)
    assert len(trial.banned()) == 1


def test_address_that_is_ignored_from_now_on_is_let_go() -> None:
    trial = Trial()
    trial.fail(3, "192.0.2.1")
    trial.fail(3, "203.0.113.1")
    trial.judge.configure(jail_settings(ignoreip=(ip_network("192.0.2.0/24"),)))
    states = {str(entry.ban.ip): entry.state for entry in trial.bans.of("SSH")}
    assert states == {"192.0.2.1": State.LIFTING, "203.0.113.1": State.WANTED}


def test_bantime_of_the_section_is_used_and_may_be_for_ever() -> None:
    trial = Trial()
    trial.judge.configure(jail_settings(bantime=None))
    trial.fail(3)
    assert trial.only().end is None


def test_maxmatches_of_the_section_is_used_and_may_change() -> None:
    trial = Trial(replace(jail_settings(), maxmatches=1))
    trial.fail(3)
    assert trial.only().ticket.lines == ("x",)
    trial.judge.configure(replace(jail_settings(), maxmatches=0))
    trial.fail(3, "192.0.2.2")
    assert trial.bans.of("SSH")[1].ban.ticket.lines == ()


# Ids ---------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["session-7", ip_network("203.0.113.0/24")])
def test_who_is_counted_is_who_is_banned_not_who_is_to_blame(id: Id) -> None:
    trial = Trial()
    for number in (1, 2, 3):
        ip = ip_address(f"192.0.2.{number}")
        trial.judge.hear(Failure("SSH", ip, NOW, ("x",), fid=id))
    assert (trial.only().id, str(trial.only().ip)) == (id, "192.0.2.3")


def test_who_is_ignored_is_not_counted_under_another_id_either() -> None:
    trial = Trial()
    for _ in range(3):
        trial.judge.hear(Failure("SSH", ip_address("127.0.0.1"), NOW, ("x",), fid="session"))
    assert trial.banned() == []


@pytest.mark.parametrize("id", ["admin", ip_address("198.51.100.1")])
def test_ignored_id_is_not_counted_whoever_is_to_blame(id: Id) -> None:
    trial = Trial(replace(jail_settings(), ignore=IgnoreSettings(texts=("admin",))))
    for _ in range(3):
        trial.judge.hear(Failure("SSH", ip_address("192.0.2.1"), NOW, ("x",), fid=id))
    assert trial.banned() == [] and trial.judge.found == 0


def test_ignored_id_is_let_go_whoever_is_to_blame() -> None:
    trial = Trial()
    for _ in range(3):
        trial.judge.hear(Failure("SSH", ip_address("192.0.2.1"), NOW, ("x",), fid="admin"))
    trial.judge.configure(replace(jail_settings(), ignore=IgnoreSettings(texts=("admin",))))
    assert trial.bans.of("SSH")[0].state is State.LIFTING


def test_hits_of_the_list_are_told_with_their_source(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trial = Trial(None, True)
    trial.fail(1, "127.0.0.1")
    trial.fail(1)
    assert caplog.messages[0] == "[SSH] Ignore 127.0.0.1 by ignoreself rule"
    assert caplog.messages[1].startswith("[SSH] Found 192.0.2.1 - ")


# Growing -----------------------------------------------------------------------


def test_ban_of_one_who_comes_back_is_longer_from_the_first_moment_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    trial = Trial(growing(), True)
    lengths = []
    for _ in range(3):
        trial.fail(3)
        ban = trial.only()
        assert ban.end is not None
        lengths.append((ban.count, ban.end - ban.start))
        trial.lift()
        trial.clock.advance(10)
    assert lengths == [(1, 600), (2, 1200), (3, 2400)]
    increases = [text for text in caplog.messages if "Increase" in text]
    assert [text.split(" -> ")[0] for text in increases] == [
        "[SSH] Increase Ban 192.0.2.1 (2 # 20m",
        "[SSH] Increase Ban 192.0.2.1 (3 # 40m",
    ]


def test_without_growth_bans_are_counted_but_as_long_as_ever() -> None:
    trial = Trial()
    trial.fail(3)
    trial.lift()
    trial.clock.advance(10)
    trial.fail(2)
    assert trial.banned() == []
    trial.fail(1)
    assert (trial.only().count, trial.only().end) == (2, NOW + 610)


def test_failures_of_one_who_comes_back_count_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trial = Trial(growing(), True)
    trial.fail(3)
    trial.lift()
    trial.clock.advance(10)
    trial.fail(1)
    assert trial.banned() == []
    trial.fail(1)
    assert trial.only().ticket.failures == 4
    weighed = [text.partition(", 1 # ")[2] for text in caplog.messages if ", bad" in text]
    assert weighed == ["-> 2.0", "-> 2.0, Ban"]


def test_failures_not_newer_than_the_last_ban_count_once() -> None:
    trial = Trial(growing())
    trial.fail(3)
    trial.lift()
    trial.clock.advance(10)
    for _ in range(2):
        trial.judge.hear(failure(time=NOW))
    assert trial.banned() == []


@pytest.mark.parametrize(("everywhere", "count"), [(True, 2), (False, 1)])
def test_bans_of_other_sections_count_only_when_wanted(everywhere: bool, count: int) -> None:
    trial = Trial(growing(all_jails=everywhere))
    trial.history.add(Ban(NOW - 60, NOW, Ticket("web", ip_address("192.0.2.1"), 5, NOW)))
    trial.fail(3)
    assert trial.only().count == count


def test_ban_that_was_grown_is_prolonged_by_its_own_length() -> None:
    trial = Trial(growing())
    trial.fail(3)
    trial.lift()
    trial.clock.advance(10)
    trial.fail(3)
    trial.apply()
    trial.clock.advance(5)
    trial.fail(3)
    assert trial.only().end == NOW + 15 + 1200


# What takes time ---------------------------------------------------------------


def test_command_is_asked_on_another_thread_and_its_answer_decides() -> None:
    trial = Trial(asking(), False, 0, 1, 1, 1)
    trial.fail(4)
    assert trial.asker.asked == [] and trial.judge.found_total == 0
    trial.inquire()
    assert len(trial.asker.asked) == 4
    assert trial.judge.found_total == 3 and trial.banned() == ["192.0.2.1"]


def test_failure_counts_as_of_when_it_was_heard_but_the_ban_begins_now() -> None:
    trial = Trial(asking(), False, 1, 1, 1)
    trial.fail(3)
    trial.clock.advance(1000)  # longer than findtime
    trial.inquire()
    assert trial.only().start == NOW + 1000


@pytest.mark.parametrize(
    "tagged, age, start",
    [(True, 90, NOW - 90), (True, 30, NOW), (False, 90, NOW)],
)
def test_ban_of_a_tree_begins_with_a_failure_that_is_old(
    tagged: bool, age: float, start: float
) -> None:
    trial = Trial(old_lines(tagged, bantime=600))
    trial.judge.hear(failure(time=NOW - age))
    assert (trial.only().start, trial.only().end) == (start, start + 600)


def test_ban_that_would_be_over_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trial = Trial(old_lines(True, bantime=100), True)
    trial.judge.hear(failure(time=NOW - 100))
    assert trial.banned() == []
    assert caplog.messages[-1] == "[SSH] Ignore 192.0.2.1, expired bantime"
    trial.judge.hear(failure(time=NOW - 99))
    assert trial.only().end == NOW + 1


def test_ban_for_ever_is_never_over() -> None:
    trial = Trial(old_lines(True, bantime=None))
    trial.judge.hear(failure(time=NOW - 599))
    assert trial.only().start == NOW - 599 and trial.only().end is None


def old_lines(tagged: bool, bantime: float | None) -> JailSettings:
    settings = jail_settings(maxretry=1, findtime=600, bantime=bantime)
    return replace(settings, filter=replace(settings.filter, tagged=tagged))


def test_what_is_remembered_takes_no_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trial = Trial(asking(cache="<ip>"), True, 0, 1)
    trial.fail(1, "192.0.2.1")
    trial.fail(1, "192.0.2.2")
    trial.inquire()
    trial.fail(2, "192.0.2.1")
    trial.fail(2, "192.0.2.2")
    assert caplog.messages.count("[SSH] Ignore 192.0.2.1 by command") == 3
    assert trial.banned() == ["192.0.2.2"] and len(trial.asker.asked) == 2


def test_the_list_comes_before_the_command() -> None:
    trial = Trial(asking())
    trial.fail(1, "127.0.0.1")
    trial.inquire()
    assert trial.asker.asked == []


def test_one_who_fails_often_does_not_keep_others_from_being_heard() -> None:
    trial = Trial(asking(), False, *[1] * 100)
    trial.fail(500, "192.0.2.1")
    trial.fail(3, "192.0.2.2")
    trial.inquire()
    assert len(trial.asker.asked) == 23
    assert {"192.0.2.1", "192.0.2.2"} == set(trial.banned())


def test_as_many_wait_as_a_ban_needs() -> None:
    trial = Trial(replace(asking(), maxretry=30), False, *[1] * 100)
    trial.fail(500)
    trial.inquire()
    assert len(trial.asker.asked) == 30 and len(trial.banned()) == 1


def test_who_fails_before_the_names_are_known_is_judged_afterwards() -> None:
    ignore = IgnoreSettings(names=("friend.example",))
    trial = Trial()
    trial.hosts.known["friend.example"] = {"192.0.2.1"}
    trial.judge.configure(replace(jail_settings(), ignore=ignore))
    trial.fail(3, "192.0.2.1")
    trial.fail(3, "192.0.2.2")
    assert trial.banned() == []
    trial.hosts.answer()
    trial.inquire()
    assert trial.banned() == ["192.0.2.2"]
    trial.fail(3, "192.0.2.3")
    assert trial.banned() == ["192.0.2.2", "192.0.2.3"]


def test_who_is_banned_is_let_go_when_a_name_turns_out_to_be_his() -> None:
    trial = Trial()
    trial.fail(3)
    trial.hosts.known["friend.example"] = {"192.0.2.1"}
    ignore = IgnoreSettings(names=("friend.example",))
    trial.judge.configure(replace(jail_settings(), ignore=ignore))
    trial.hosts.answer()
    trial.inquire()
    assert trial.bans.of("SSH")[0].state is State.LIFTING


def test_nothing_is_heard_after_the_end() -> None:
    trial = Trial(asking(), False, 1, 1, 1)
    trial.fail(3)
    work = [trial.judge._inquiry._next() for _ in range(3)]
    trial.judge.close()
    for one in work:
        assert one is not None
        one()  # was being done
    trial.fail(3)
    assert (trial.banned(), len(trial.judge._inquiry._queue)) == ([], 0)


def test_change_of_other_things_keeps_the_answers() -> None:
    trial = Trial(asking(cache="<ip>"), False, 1)
    trial.fail(1)
    trial.inquire()
    trial.judge.configure(replace(asking(cache="<ip>"), maxretry=2))
    trial.fail(1)
    assert len(trial.asker.asked) == 1 and trial.banned() == ["192.0.2.1"]


@pytest.fixture
def inquiry() -> Iterator[Inquiry]:
    inquiry = Inquiry("SSH")
    yield inquiry
    inquiry.close()


def test_inquiry_does_one_thing_after_the_other_on_its_thread(inquiry: Inquiry) -> None:
    done, threads = list[int](), set[str]()
    finished = threading.Event()

    def work(number: int) -> Callable[[], None]:
        def note() -> None:
            done.append(number)
            threads.add(threading.current_thread().name)
            if number == 9:
                finished.set()

        return note

    for number in range(10):
        inquiry.put("x", work(number))
    assert finished.wait(60)
    assert (done, threads) == (list(range(10)), {"inquiry/SSH"})


def test_full_inquiry_drops_what_comes_and_says_so_once(
    inquiry: Inquiry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fail2ban.decide.inquiry.CAPACITY", 3)
    monkeypatch.setattr(inquiry, "_start", lambda: None)
    for number in range(5):
        inquiry.put(str(number), lambda: None)
    inquiry.put(None, lambda: None)
    assert (inquiry.dropped, len(inquiry._queue)) == (2, 4)
    assert caplog.text.count("[SSH] 3 failures wait") == 1


def test_inquiry_whose_thread_has_died_says_so_to_who_comes_next(
    inquiry: Inquiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def bug() -> None:
        raise ZeroDivisionError

    inquiry.put(None, bug)
    assert inquiry._thread is not None
    inquiry._thread.join(60)
    with pytest.raises(RuntimeError, match="has died"):
        inquiry.put(None, bug)
