# SPDX-License-Identifier: GPL-2.0-or-later
"""From failures to ordered bans."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from fail2ban.decide.bans import Bans, State, Verb
from fail2ban.decide.ignore import OwnAddresses
from fail2ban.decide.judge import COMPLAINT_INTERVAL, Judge
from fail2ban.decide.timer import Timer
from tests.helpers import FakeClock, failure, jail_settings


class Court:
    """A judge with everything around it."""

    def __init__(self) -> None:
        self.clock, self.orders = FakeClock(), list[Verb]()
        self.bans = Bans(Timer(self.clock, self.clock), lambda verb, entry: self.orders.append(verb))
        own = OwnAddresses(self.clock, lambda: frozenset({ip_address("198.51.100.1")}))
        self.judge = Judge(jail_settings(), self.bans, own, self.clock)

    def fail(self, times: int, ip: str = "192.0.2.1") -> None:
        for _ in range(times):
            self.judge.hear(failure(ip, self.clock()))

    def apply(self) -> None:
        for entry in self.bans.of("SSH"):
            entry.state, entry.applied_at = State.APPLIED, self.clock()


def test_too_many_failures_order_a_ban() -> None:
    court = Court()
    court.fail(2)
    assert court.bans.of("SSH") == []
    court.fail(1)
    assert [str(entry.ban.ip) for entry in court.bans.of("SSH")] == ["192.0.2.1"]


def test_ignored_addresses_are_never_counted() -> None:
    court = Court()
    court.fail(10, "127.0.0.1")
    court.fail(10, "198.51.100.1")
    assert court.bans.of("SSH") == []


def test_address_that_gets_through_its_ban_is_reported_and_banned_once_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    court = Court()
    court.fail(3)
    court.apply()
    court.clock.advance(1)
    court.fail(30)
    assert caplog.text.count("SSH: 192.0.2.1 already in ban list") == 1
    assert court.orders == [Verb.BAN, Verb.RENEW]
    court.clock.advance(COMPLAINT_INTERVAL)
    court.fail(3)
    assert court.orders == [Verb.BAN, Verb.RENEW, Verb.RENEW]


def test_failures_from_before_the_ban_took_hold_are_no_reason_to_complain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    court = Court()
    court.fail(30)
    court.clock.advance(0.5)
    court.apply()
    for _ in range(3):
        court.judge.hear(failure(time=court.clock() - 0.5))
    assert "already" not in caplog.text


def test_changed_limits_keep_what_was_counted() -> None:
    court = Court()
    court.fail(2)
    court.judge.configure(jail_settings(maxretry=4))
    court.fail(1)
    assert court.bans.of("SSH") == []
    court.fail(1)
    assert len(court.bans.of("SSH")) == 1


def test_address_that_is_ignored_from_now_on_is_let_go() -> None:
    court = Court()
    court.fail(3, "192.0.2.1")
    court.fail(3, "203.0.113.1")
    court.judge.configure(jail_settings(ignoreip=(ip_network("192.0.2.0/24"),)))
    states = {str(entry.ban.ip): entry.state for entry in court.bans.of("SSH")}
    assert states == {"192.0.2.1": State.LIFTING, "203.0.113.1": State.WANTED}


def test_bantime_of_the_section_is_used_and_may_be_for_ever() -> None:
    court = Court()
    court.judge.configure(jail_settings(bantime=None))
    court.fail(3)
    assert court.bans.of("SSH")[0].ban.end is None
