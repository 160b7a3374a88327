# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a ban's life, and that those who read our log are not misled."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban import notices
from fail2ban.durations import moment
from fail2ban.notices import Notices
from fail2ban.records import Ban, Failure, Id, Ticket
from tests.helpers import NOW, failure, ticket


def ban(id: Id = "192.0.2.1", end: float | None = NOW + 600, **changes: bool) -> Ban:
    return Ban(NOW, end, Ticket("sshd", id, 5, NOW), **changes)


def told(caplog: pytest.LogCaptureFixture, tell: Callable[[], object]) -> list[tuple[str, ...]]:
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        tell()
    return [(one.name, one.levelname, one.getMessage()) for one in caplog.records]


def test_classic_words_stay_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    classic = notices.of(modern=False)
    with caplog.at_level(logging.INFO):
        classic.found(failure())
        classic.ignored(failure(), "ip")
        classic.banned(Ban(NOW, NOW + 600, ticket()))
        classic.banned(Ban(NOW, None, ticket("2001:db8::1")))
        classic.banned(Ban(NOW, NOW + 600, ticket(), restored=True))
        classic.rebanned(Ban(NOW, None, ticket()))
        classic.unbanned(Ban(NOW, None, ticket()))
        classic.repealed(Ban(NOW, None, ticket()))
        classic.already_banned(ticket())
        classic.ban_failed(Ban(NOW, None, ticket()), "no firewall")
        classic.restoring()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "SSH: 192.0.2.1 has 5 login failure(s). Banned."),
        ("WARNING", "SSH: Ban (600 s) 192.0.2.1"),
        ("INFO", "SSH: 2001:db8::1 has 5 login failure(s). Banned."),
        ("WARNING", "SSH: Ban (permanent) 2001:db8::1"),
        ("WARNING", "SSH: Restore Ban (600 s) 192.0.2.1"),
        ("WARNING", "SSH: ReBan 192.0.2.1"),
        ("WARNING", "SSH: Unban 192.0.2.1"),
        ("WARNING", "SSH: Unban 192.0.2.1"),
        ("ERROR", "SSH: 192.0.2.1 already in ban list"),
        ("ERROR", "SSH: Ban of 192.0.2.1 failed, it can still connect: no firewall"),
        ("WARNING", "Restoring firewall rules..."),
    ]


@pytest.mark.parametrize(
    ("tell", "name", "level", "text"),
    [
        (lambda n: n.found(failure()), "filter", "INFO", f"[SSH] Found 192.0.2.1 - {moment(NOW)}"),
        (lambda n: n.ignored(failure(), "ip"), "filter", "INFO", "[SSH] Ignore 192.0.2.1 by ip"),
        (
            lambda n: n.found_again(failure(), 2, 3, False),
            "observer",
            "INFO",
            f"[SSH] Found 192.0.2.1, bad - {moment(NOW)}, 2 # -> 3.0",
        ),
        (
            lambda n: n.found_again(failure(), 2, 3, True),
            "observer",
            "INFO",
            f"[SSH] Found 192.0.2.1, bad - {moment(NOW)}, 2 # -> 3.0, Ban",
        ),
        (lambda n: n.banned(ban()), "actions", "NOTICE", "[sshd] Ban 192.0.2.1"),
        (
            lambda n: n.banned(ban(restored=True)),
            "actions",
            "NOTICE",
            "[sshd] Restore Ban 192.0.2.1",
        ),
        (lambda n: n.rebanned(ban()), "actions", "NOTICE", "[sshd] Reban 192.0.2.1"),
        (lambda n: n.unbanned(ban()), "actions", "NOTICE", "[sshd] Unban 192.0.2.1"),
        (lambda n: n.repealed(ban()), "actions", "NOTICE", "[sshd] Repeal Ban 192.0.2.1"),
        (
            lambda n: n.already_banned(ban().ticket),
            "actions",
            "NOTICE",
            "[sshd] 192.0.2.1 already banned",
        ),
        (
            lambda n: n.expired(ban().ticket),
            "actions",
            "INFO",
            "[sshd] Ignore 192.0.2.1, expired bantime",
        ),
        (
            lambda n: n.ban_failed(ban(), "no firewall"),
            "actions",
            "ERROR",
            "[sshd] 192.0.2.1 could not be banned, it can still connect: no firewall",
        ),
    ],
)
def test_modern_words(
    tell: Callable[[Notices], None],
    name: str,
    level: str,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    modern = notices.of(modern=True)
    assert told(caplog, lambda: tell(modern)) == [(f"fail2ban.{name}", level, text)]


DRY: list[Callable[[Notices], object]] = [
    lambda n: n.banned(ban()),
    lambda n: n.banned(ban(restored=True)),
    lambda n: n.rebanned(ban()),
    lambda n: n.unbanned(ban()),
    lambda n: n.repealed(ban()),
    lambda n: n.increased(ban()),
    lambda n: n.already_banned(ban().ticket),
    lambda n: n.ban_failed(ban(), "no firewall"),
]


@pytest.mark.parametrize("tell", DRY)
@pytest.mark.parametrize("modern", [False, True])
def test_section_that_is_dry_is_told_of_in_words_that_nobody_takes_for_real(
    modern: bool, tell: Callable[[Notices], object], caplog: pytest.LogCaptureFixture
) -> None:
    dry = notices.of(modern, lambda jail: jail == "sshd")
    ((name, level, text),) = told(caplog, lambda: tell(dry))
    assert text.startswith("[sshd] dry run: 192.0.2.1 ")
    assert not re.search(r"\bban\b|Ban|Unban", text) and level == "NOTICE"
    real = notices.of(modern, lambda jail: jail == "other")
    assert told(caplog, lambda: tell(real)) == told(caplog, lambda: tell(notices.of(modern)))


def test_what_is_seen_in_the_logs_of_a_dry_section_is_told_as_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def tell(words: Notices) -> None:
        words.found(failure())
        words.found_again(failure(), 2, 3, True)
        words.ignored(failure(), "ip")
        words.expired(ban().ticket)
        words.restoring()

    dry = told(caplog, lambda: tell(notices.of(True, lambda jail: True)))
    assert dry == told(caplog, lambda: tell(notices.of(True))) and len(dry) == 5


def test_longer_ban_tells_how_often_how_long_and_until_when(
    caplog: pytest.LogCaptureFixture,
) -> None:
    longer = Ban(NOW, NOW + 1200, ticket(), count=2)
    text = f"[SSH] Increase Ban 192.0.2.1 (2 # 20m -> {moment(NOW + 1200)})"
    lines = told(caplog, lambda: notices.of(modern=True).increased(longer))
    assert lines == [("fail2ban.observer", "NOTICE", text)]


@pytest.mark.parametrize(
    ("id", "shown"),
    [
        (ip_network("192.0.2.0/24"), "192.0.2.0/24"),
        (ip_network("2001:db8::/64"), "2001:db8::/64"),
        ("admin@host-1.example", "admin@host-1.example"),
        ("two words", "'two words'"),
        ("x] Ban 192.0.2.9", "'x] Ban 192.0.2.9'"),
        ("", "''"),
    ],
)
def test_text_that_could_be_read_otherwise_is_quoted(id: Id, shown: str) -> None:
    assert notices.shown(id) == shown


# What a name may do ----------------------------------------------------------


@given(text=st.text(max_size=10), ip=st.sampled_from(["192.0.2.9", "2001:db8::9"]))
def test_nobody_bans_others_by_a_name_of_his_own(text: str, ip: str) -> None:
    pattern = re.compile(r"\]\s+Ban\s+(?P<host>\[?[0-9a-f.:]+\]?)\s*$")
    for id in (f"{text}] Ban {ip}", f"{text}]\tBan {ip}{text}"):
        line = f"fail2ban.actions [1]: NOTICE  [sshd] Ban {notices.shown(id)}"
        assert not pattern.search(line)


def test_failure_is_told_under_what_is_banned(caplog: pytest.LogCaptureFixture) -> None:
    one = Failure("sshd", "192.0.2.1", NOW, ("x",), fid="session")
    ((_, _, text),) = told(caplog, lambda: notices.of(modern=True).found(one))
    assert text.startswith("[sshd] Found session - ")


# What it costs -----------------------------------------------------------------


@pytest.mark.parametrize("modern", [True, False])
def test_what_nobody_reads_is_not_put_into_words(
    monkeypatch: pytest.MonkeyPatch, modern: bool
) -> None:
    def fail(id: Id) -> str:
        raise AssertionError("it was written")

    monkeypatch.setattr(notices, "shown", fail)
    words, one = notices.of(modern), Failure("sshd", ip_address("192.0.2.1"), NOW, ("x",))
    loggers = [notices.log, notices._filter, notices._observer]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        words.found(one)
        words.ignored(one, "ip")
        words.found_again(one, 1, 2, False)
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
