# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of a ban's life, and that those who read our log understand them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban import notices
from fail2ban.durations import moment
from fail2ban.messages import Messages
from fail2ban.notices import Notices
from fail2ban.records import Ban, Failure, Id, LogSettings, Ticket
from tests.helpers import NOW, failure, ticket

RECIDIVE = Path("/tmp/peer/root/etc/fail2ban/filter.d/recidive.conf")


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


# Read by the recidive filter --------------------------------------------------


def recidive() -> re.Pattern[str]:
    """Return the pattern of the stock filter for lines of a file.

    Its prefix of syslog lines may be absent, and is, in a file of ours.
    """
    if not RECIDIVE.exists():
        pytest.skip(f"{RECIDIVE} is not there: no stock filter to try")
    found = re.search(r"^failregex = (.*)$", RECIDIVE.read_text(), re.MULTILINE)
    assert found
    return compiled(found[1])


def compiled(pattern: str) -> re.Pattern[str]:
    values = {
        "%(__prefix_line)s": r"\s*",
        "%(__pid_re)s": r"(?:\[\d+\])",
        "%(_jailname)s": "recidive",
        "<HOST>": r"(?P<host>\[?[\w.:%/-]+\]?)",
    }
    for name, value in values.items():
        pattern = pattern.replace(name, value)
    return re.compile(pattern)


def written(path: Path, tell: Callable[[Notices], None], dates: bool = False) -> list[str]:
    """Return what stands in a log file, without the dates as a filter sees it."""
    settings = LogSettings(targets=(str(path),), aligned=True, level=logging.DEBUG)
    level = logging.getLogger().level
    messages = Messages(settings, console=False)
    tell(notices.of(modern=True))
    messages.close()
    logging.getLogger().setLevel(level)
    stamp = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}")
    return [stamp.sub("", line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_stock_recidive_filter_reads_our_bans(ip: str, tmp_path: Path) -> None:
    (line,) = written(tmp_path / "log", lambda n: n.banned(Ban(NOW, None, ticket(ip))))
    found = recidive().search(line)
    assert found and found["host"] == ip


def test_stock_recidive_filter_reads_nothing_else_of_ours(tmp_path: Path) -> None:
    def tell(n: Notices) -> None:
        n.found(failure())
        n.found_again(failure(), 1, 2, True)
        n.ignored(failure(), "ip")
        n.banned(ban(restored=True))
        n.increased(ban())
        n.rebanned(ban())
        n.unbanned(ban())
        n.repealed(ban())
        n.already_banned(ban().ticket)
        n.expired(ban().ticket)
        n.ban_failed(ban(), "x] Ban 192.0.2.9")
        n.restoring()

    lines = written(tmp_path / "log", tell)
    assert len(lines) == 12
    assert [line for line in lines if recidive().search(line)] == []


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
