# SPDX-License-Identifier: GPL-2.0-or-later
"""The action that tells by mail: what it says, and that nobody waits for it."""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.enforce.mailaction import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    WAITING_LIMIT,
    MailAction,
    compose,
    server_of,
)
from fail2ban.enforce.tags import Lore, Merged
from fail2ban.records import Ban, MailActionSettings, MailSettings, Ticket
from tests.helpers import NOW, FakeClock

SETTINGS = MailActionSettings(host="mail.example:2525", to=("root", "admin@example.org"))


def a_ban(number: int = 1, lines: tuple[str, ...] = ("one", "two")) -> Ban:
    return Ban(NOW, NOW + 600, Ticket("sshd", ip_address("192.0.2.0") + number, 5, NOW, lines))


class Server:
    """Stands in for a mail server; fails as it is told."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.connections = 0
        self.down: Exception | None = None
        self.refuses: smtplib.SMTPException | None = None
        self.envelope: tuple[str, list[str]] | None = None

    @contextmanager
    def connect(self, settings: MailSettings, timeout: float) -> Iterator[Server]:
        self.connections += 1
        if self.down:
            raise self.down
        yield self

    def send_message(self, mail: EmailMessage, sender: str, to: list[str]) -> dict[str, object]:
        if self.refuses:
            raise self.refuses
        self.mails.append(mail)
        self.envelope = (sender, to)
        return {}


class World:
    def __init__(self, lore: Lore | None = None) -> None:
        self.server, self.clock = Server(), FakeClock()
        self.action = MailAction(lore, self.clock, self.server.connect)  # type: ignore[arg-type]

    def step(self) -> float | None:
        return self.action.step(self.clock())

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.server.mails]


@pytest.fixture(autouse=True)
def host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "gate")


def test_start_ban_and_stop_are_told_in_order() -> None:
    world = World()
    world.action.started(SETTINGS, "sshd")
    world.action.banned(SETTINGS, a_ban())
    world.action.stopped(SETTINGS, "sshd")
    assert world.server.connections == 0  # nobody waits
    assert world.step() is None
    assert world.server.connections == 1
    assert world.subjects() == [
        "[Fail2Ban] sshd: started on gate",
        "[Fail2Ban] sshd: banned 192.0.2.1 from gate",
        "[Fail2Ban] sshd: stopped on gate",
    ]
    assert world.server.envelope == ("fail2ban", ["root", "admin@example.org"])
    text = world.server.mails[1].get_content()
    assert text == "gate has banned 192.0.2.1 in [sshd] after 5 failure(s).\n"


@pytest.mark.parametrize(
    ("matches", "expected"), [("matches", "one"), ("ipmatches", "all"), ("ipjailmatches", "own")]
)
def test_lines_are_added_if_asked_for(matches: str, expected: str) -> None:
    world = World(Lore(merged=lambda ban, all: Merged(("all" if all else "own", "\x1b[2J"), 9)))
    settings = replace(SETTINGS, matches=matches)  # type: ignore[arg-type]
    world.action.banned(settings, a_ban(lines=("one", "\x1b[2J")))
    world.step()
    assert world.server.mails[0].get_content().endswith(f"\n\n{expected}\n\\x1b[2J\n")


anything = st.text(st.characters(exclude_categories=()), max_size=200)


@given(anything, anything, anything, anything)
def test_no_text_adds_a_header(name: str, jail: str, who: str, line: str) -> None:
    world = World()
    settings = replace(SETTINGS, sender_name=name, sender=jail, to=(who,), matches="matches")
    ticket = Ticket(jail + "\r\nBcc: evil@example.org", "a\nBcc: x", 5, NOW, (line,), fid=who)
    world.action.banned(settings, Ban(NOW, None, ticket))
    world.step()
    got = message_from_bytes(bytes(world.server.mails[0]), policy=policy.SMTP)
    allowed = {"From", "To", "Date", "Message-ID", "Auto-Submitted", "Subject", "MIME-Version"}
    assert set(got.keys()) <= allowed | {"Content-Type", "Content-Transfer-Encoding"}
    assert len(got.keys()) == len(set(got.keys()))
    sender, to = world.server.envelope or ("", [])
    assert not {"\r", "\n"} & set(sender + "".join(to))


def test_sender_has_a_name_and_an_address() -> None:
    for name, expected in [
        ("Fail2Ban", "Fail2Ban <fail2ban>"),
        ("The gate, at home", '"The gate, at home" <fail2ban>'),
        ("Wächter", "Wächter <fail2ban>"),
    ]:
        mail = compose(replace(SETTINGS, sender_name=name), "x", "y", NOW)
        got = message_from_bytes(bytes(mail), policy=policy.SMTP)
        assert str(got["From"]) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", ("localhost", 25)),
        ("mail.example:587", ("mail.example", 587)),
        ("[2001:db8::1]:587", ("2001:db8::1", 587)),
        ("2001:db8::25", ("2001:db8::25", 25)),
        ("name:smtp", ("name:smtp", 25)),
    ],
)
def test_host_may_name_a_port(host: str, expected: tuple[str, int]) -> None:
    server = server_of(replace(SETTINGS, host=host))
    assert (server.host, server.port) == expected


def test_tls_is_started_if_asked_for() -> None:
    assert server_of(replace(SETTINGS, tls=True)).tls == "starttls"
    assert server_of(SETTINGS).tls == ""


def test_server_that_is_down_is_tried_with_growing_pauses_and_complained_about_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.server.down = ConnectionRefusedError("refused")
    world.action.banned(SETTINGS, a_ban())
    pauses = []
    for _ in range(12):
        pauses.append(world.step())
        world.clock.advance(pauses[-1] or 0)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert caplog.text.count("cannot send to mail.example:2525") == 1
    world.server.down = None
    assert world.step() is None
    assert len(world.server.mails) == 1


def test_pause_is_kept_when_more_mails_come() -> None:
    world = World()
    world.server.down = ConnectionRefusedError("refused")
    world.action.banned(SETTINGS, a_ban())
    world.step()
    world.action.banned(SETTINGS, a_ban(2))
    assert world.step() == FIRST_PAUSE and world.server.connections == 1


def test_clock_that_is_set_back_does_not_stop_the_mail() -> None:
    world = World()
    world.server.down = ConnectionRefusedError("refused")
    world.action.banned(SETTINGS, a_ban())
    world.step()
    world.server.down = None
    world.clock.advance(-1e6)
    assert world.step() is None and len(world.server.mails) == 1


def test_mail_that_is_refused_for_good_is_dropped_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.server.refuses = smtplib.SMTPDataError(554, b"no")
    world.action.banned(SETTINGS, a_ban())
    assert world.step() is None
    assert "refuses a mail: 554 no" in caplog.text
    world.server.refuses = None
    world.action.banned(SETTINGS, a_ban(2))
    world.step()
    assert world.subjects() == ["[Fail2Ban] sshd: banned 192.0.2.2 from gate"]


def test_one_server_does_not_hold_up_another() -> None:
    world = World()
    world.server.down = ConnectionRefusedError("refused")
    world.action.banned(SETTINGS, a_ban())
    world.step()
    world.server.down = None
    world.action.banned(replace(SETTINGS, host="other"), a_ban(2))
    assert world.step() == FIRST_PAUSE
    assert world.subjects() == ["[Fail2Ban] sshd: banned 192.0.2.2 from gate"]


def test_mails_that_wait_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.server.down = ConnectionRefusedError("refused")
    for _ in range(WAITING_LIMIT + 50):
        world.action.stopped(SETTINGS, "sshd")
    world.server.down = None
    world.step()
    assert len(world.server.mails) == WAITING_LIMIT
    assert caplog.text.count("the oldest are dropped") == 1


def test_password_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    settings = replace(SETTINGS, user="me", password="correct horse")
    world.server.down = smtplib.SMTPAuthenticationError(
        535, b"no correct horse AG1lAGNvcnJlY3QgaG9yc2U="
    )
    world.action.banned(settings, a_ban())
    world.step()
    assert "535 no *** ***" in caplog.text and "horse" not in caplog.text


def test_end_sends_what_waits_and_tells_what_it_could_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.action.stopped(SETTINGS, "sshd")
    world.action.finish(10)
    assert len(world.server.mails) == 1
    world = World()
    world.server.down = ConnectionRefusedError("refused")
    world.action.stopped(SETTINGS, "sshd")
    world.action.finish(10)
    assert "1 mail(s) were not taken by mail.example:2525" in caplog.text


def test_end_does_not_wait_for_a_server_that_hangs() -> None:
    release = threading.Event()

    @contextmanager
    def hang(settings: MailSettings, timeout: float) -> Iterator[Server]:
        release.wait(30)
        yield Server()

    action = MailAction(None, FakeClock(), hang)  # type: ignore[arg-type]
    action.stopped(SETTINGS, "sshd")
    action.finish(0.01)
    release.set()


def test_thread_sends_to_a_real_server_and_ends() -> None:
    class Handler:
        mails: list[bytes] = []

        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
            self.mails.append(envelope.content)  # type: ignore[attr-defined]
            got.set()
            return "250 OK"

    got = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        action, stop = MailAction(), threading.Event()
        thread = threading.Thread(target=action.run, args=(stop,))
        thread.start()
        action.banned(replace(SETTINGS, host=f"127.0.0.1:{port}"), a_ban())
        assert got.wait(20)
        stop.set()
        action.wake()
        thread.join(20)
        assert not thread.is_alive()
    finally:
        controller.stop()
    assert b"Subject: [Fail2Ban] sshd: banned 192.0.2.1 from gate\r\n" in Handler.mails[0]
