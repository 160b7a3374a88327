# SPDX-License-Identifier: GPL-2.0-or-later
"""Mails about bans: what they say, and that a bad server costs nothing but them."""

from __future__ import annotations

import base64
import functools
import ipaddress
import logging
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from hypothesis import example, given
from hypothesis import strategies as st

from fail2ban.enforce import letter as letter_module
from fail2ban.enforce import mail
from fail2ban.enforce.letter import Letter, compose
from fail2ban.enforce.mail import Mailer
from fail2ban.enforce.smtp import session
from fail2ban.records import Ban, MailSettings, Ticket

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 UTC
SECRET = "correct horse"


def a_ban(number: int = 1, jail: str = "SSH", lines: tuple[str, ...] = ()) -> Ban:
    ip = ipaddress.ip_address("192.0.2.0") + number
    return Ban(NOON + number, NOON + 600, Ticket(jail, ip, 5, NOON, lines))


def a_letter(*bans: Ban, forgotten: int = 0) -> Letter:
    return Letter(bans or (a_ban(),), forgotten, "<1@mail.example>")


def parsed(data: bytes):
    return message_from_bytes(data, policy=policy.SMTP)


def body(got) -> str:
    return got.get_content().replace("\r\n", "\n")


def sent(settings: MailSettings, letter: Letter):
    """Compose, and read what a receiver would."""
    return parsed(bytes(compose(settings, letter)))


# A server for tests of time: no network -----------------------------------------


class FakeClock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeServer:
    """Stands for the server and the session with it; `errors` are raised one by one."""

    def __init__(self) -> None:
        self.down: Exception | None = None
        self.errors: list[Exception | None] = []
        self.refused: dict[str, tuple[int, bytes]] = {}
        self.attempts = 0
        self.mails: list = []

    @contextmanager
    def connect(self, settings, timeout):
        self.attempts += 1
        if self.down:
            raise self.down
        yield self

    def send_message(self, message, sender, to):
        if error := self.errors.pop(0) if self.errors else None:
            raise error
        self.mails.append(message)
        return self.refused

    def subjects(self) -> list[str]:
        return [message["Subject"] for message in self.mails]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def mailer(server, clock) -> Mailer:
    return Mailer(MailSettings(), clock, server.connect)


@pytest.fixture
def digester(server, clock) -> Mailer:
    return Mailer(MailSettings(digest=60.0), clock, server.connect)


@pytest.fixture
def errors(caplog):
    """Return a function that gives the errors logged so far; the test's server logs its own."""
    caplog.set_level(logging.DEBUG, mail.log.name)
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.name == mail.log.name and record.levelno >= logging.ERROR
    ]


DOWN = ConnectionRefusedError(111, "Connection refused")


# What a mail says ---------------------------------------------------------------


def test_a_mail_has_the_headers_of_the_configuration():
    settings = MailSettings(
        sender="fail2ban",
        to=("root", "Chief <chief@example.com>"),
        subject="[Fail2Ban] <section>: Banned <ip>",
        message="Hi,<br>\n<ip> failed <failures> times.",
    )
    got = sent(settings, a_letter())
    assert got["From"] == "fail2ban"
    assert got["To"] == "root, Chief <chief@example.com>"
    assert got["Subject"] == "[Fail2Ban] SSH: Banned 192.0.2.1"
    assert got["Message-ID"] == "<1@mail.example>"
    assert got["Auto-Submitted"] == "auto-generated"
    assert body(got) == "Hi,\n\n192.0.2.1 failed 5 times.\n"


def test_the_defaults_are_those_of_0_6():
    got = sent(MailSettings(), a_letter())
    assert (got["From"], got["To"]) == ("root", "root")
    assert got["Subject"] == "[Fail2Ban] Banned 192.0.2.1"
    assert body(got) == "Fail2Ban notification\n"


def test_date_is_utc_with_minus_zero_unless_local_time_is_wanted(monkeypatch):
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        utc = compose(MailSettings(), a_letter())["Date"]
        local = compose(MailSettings(localtime=True), a_letter())["Date"]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert utc == "Tue, 14 Nov 2023 22:13:21 -0000"
    assert local == "Wed, 15 Nov 2023 03:43:21 +0530"


def test_a_long_address_and_a_name_beyond_ascii_stay_legible():
    long = "x@" + "y" * 90 + ".example"
    raw = bytes(
        compose(MailSettings(sender="Jürgen <j@example.com>", to=(long, "root")), a_letter())
    )
    assert f"To: {long}, root\r\n".encode() in raw
    assert b"<j@example.com>" in raw
    assert parsed(raw)["From"] == "Jürgen <j@example.com>"


def test_text_beyond_ascii_arrives_over_a_channel_of_seven_bits():
    settings = MailSettings(subject="Gebührenfrei gebannt: <ip>", message="Schöne Grüße, 東京")
    raw = bytes(compose(settings, a_letter()))
    assert raw.isascii()
    assert parsed(raw)["Subject"] == "Gebührenfrei gebannt: 192.0.2.1"
    assert body(parsed(raw)) == "Schöne Grüße, 東京\n"


def test_control_characters_of_a_log_line_are_shown_not_sent():
    got = sent(MailSettings(message="<matches>"), a_letter(a_ban(lines=("a\x1b[2Jb\0c\rd",))))
    assert body(got) == "a\\x1b[2Jb\\x00c\\rd\n"


def test_a_digest_names_each_ban_newest_last_and_counts_the_forgotten():
    letter = a_letter(*map(a_ban, range(1, 13)), forgotten=3)
    got = sent(MailSettings(message="<ip>"), letter)
    assert got["Subject"] == "[Fail2Ban] 15 bans"
    assert got["Date"] == "Tue, 14 Nov 2023 22:13:32 -0000"
    lines = body(got).split()
    assert lines[0] == "(3" and lines[-1] == "192.0.2.12"
    assert [line for line in lines if line.startswith("192")] == [
        f"192.0.2.{number}" for number in range(1, 13)
    ]


def test_a_digest_of_one_ban_looks_like_its_own_mail():
    settings = MailSettings(message="<ip>", digest=60.0)
    assert bytes(compose(settings, a_letter())) == bytes(
        compose(replace(settings, digest=0.0), a_letter())
    )


def test_a_body_that_gets_too_long_loses_its_oldest_bans_and_says_so(monkeypatch):
    monkeypatch.setattr(letter_module, "BODY_LIMIT", 25)
    got = sent(MailSettings(message="<ip>"), a_letter(*map(a_ban, range(1, 10))))
    assert body(got) == "(7 earlier bans are not listed.)\n\n192.0.2.8\n\n192.0.2.9\n"


def test_even_one_text_that_is_too_long_is_cut(monkeypatch):
    monkeypatch.setattr(letter_module, "BODY_LIMIT", 6)
    monkeypatch.setattr(letter_module, "SUBJECT_LIMIT", 7)
    got = sent(MailSettings(subject="<ip>", message="<ip>"), a_letter())
    assert body(got) == "192.0.\n"
    assert got["Subject"] == "192.0.2"


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("fail2ban@mail.example", "mail.example"),
        ("Ban <ban@mail.example>", "mail.example"),
        ("root", "host7"),
        ("x@a b", "host7"),
        ("x@\r\nX: y", "host7"),
    ],
)
def test_message_id_has_the_domain_of_the_sender_else_the_host(monkeypatch, server, sender, domain):
    monkeypatch.setattr(socket, "gethostname", lambda: "host7\n")
    mailer = Mailer(MailSettings(sender=sender), FakeClock(), server.connect)
    mailer.notify(a_ban())
    mailer.step(NOON)
    assert re.fullmatch(rf"<[\w.]+@{domain}>", server.mails[0]["Message-ID"])


# Nobody adds a header -----------------------------------------------------------

HEADERS = sorted(
    "From To Date Message-ID Auto-Submitted Subject "
    "Content-Type Content-Transfer-Encoding MIME-Version".split()
)
ATTEMPTS = [
    "x\r\nBcc: evil@example.com",
    "x\nBcc: evil@example.com\n\nbody",
    "x\rBcc: y",
    "x\u2028Bcc: y\x85Bcc: z\x0bBcc: a\x1eBcc: b",
    "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
    "=?utf-8?b?eA0KQmNjOiB5?= =?utf-8?q?=0ABcc:_y?=",
    "\udc80\ud800",
    '"',
    ":;",
]
foreign = st.one_of(
    st.text(),
    st.sampled_from(ATTEMPTS),
    st.text(alphabet='<>@",.:;()[]\\ =?aü\r\n'),
    st.text(alphabet="=?utf-8qb\t _0DAab:\r\n", min_size=20, max_size=200),
)


@given(sender=foreign, to=foreign, subject=foreign, message=foreign, jail=foreign, line=foreign)
@example(*[ATTEMPTS[0]] * 6)
@example(*[ATTEMPTS[4]] * 6)
def test_no_text_adds_a_header_or_ends_them(sender, to, subject, message, jail, line):
    settings = MailSettings(
        sender=sender,
        to=(to, "root"),
        subject=subject + "<section> <matches>",
        message=message + "<section>|<matches>",
    )
    raw = bytes(compose(settings, a_letter(a_ban(jail=jail, lines=(line,)))))
    got = parsed(raw)
    assert sorted(got.keys()) == HEADERS
    assert not got.defects and not got.is_multipart()
    assert len(str(got["Subject"]).splitlines()) <= 1
    assert "|" in body(got)
    assert raw.isascii() and max(map(len, raw.split(b"\r\n"))) <= 998


# When -------------------------------------------------------------------------


def test_each_ban_gets_its_mail_in_order_and_then_there_is_nothing_to_do(mailer, server):
    assert mailer.step(NOON) is None
    for number in (3, 1, 2):
        mailer.notify(a_ban(number))
    assert mailer.step(NOON) is None
    assert server.subjects() == [f"[Fail2Ban] Banned 192.0.2.{number}" for number in (3, 1, 2)]
    assert server.attempts == 1
    assert len({message["Message-ID"] for message in server.mails}) == 3


def test_a_digest_is_sent_once_its_time_is_over(digester, server, clock):
    digester.notify(a_ban(1))
    assert digester.step(NOON) == 60
    clock.now += 59
    digester.notify(a_ban(2))
    assert digester.step(clock.now) == 1
    assert server.attempts == 0
    assert digester.step(NOON + 60) is None
    assert server.subjects() == ["[Fail2Ban] 2 bans"]


def test_the_next_digest_begins_with_the_next_ban(digester, server, clock):
    digester.notify(a_ban(1))
    digester.step(NOON + 60)
    clock.now += 1000
    digester.notify(a_ban(2))
    assert digester.step(clock.now) == 60
    digester.step(clock.now + 60)
    assert server.subjects() == [f"[Fail2Ban] Banned 192.0.2.{number}" for number in (1, 2)]


def test_a_ban_that_comes_while_a_digest_is_sent_waits_for_the_next(digester, server, clock):
    original = server.send_message

    def notified_meanwhile(message, sender, to):
        digester.notify(a_ban(2))
        return original(message, sender, to)

    server.send_message = notified_meanwhile
    digester.notify(a_ban(1))
    clock.now += 60
    assert digester.step(clock.now) == 60
    assert server.subjects() == ["[Fail2Ban] Banned 192.0.2.1"]


def test_a_clock_set_back_does_not_prolong_a_digest(digester, server):
    digester.notify(a_ban())
    assert digester.step(NOON - 3600) is None
    assert len(server.mails) == 1


def test_a_dead_server_is_tried_with_growing_pauses(mailer, server, clock):
    server.down = DOWN
    mailer.notify(a_ban())
    pauses = []
    for _ in range(10):
        pauses.append(mailer.step(clock.now))
        clock.now += pauses[-1]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert server.attempts == 10


def test_a_new_ban_does_not_shorten_a_pause(mailer, server):
    server.down = DOWN
    mailer.notify(a_ban(1))
    mailer.step(NOON)
    mailer.notify(a_ban(2))
    assert mailer.step(NOON + 2) == 3
    assert server.attempts == 1


def test_a_failure_is_logged_when_it_starts_and_when_it_ends(mailer, server, errors, caplog):
    server.down = DOWN
    mailer.notify(a_ban())
    mailer.step(NOON)
    mailer.step(NOON + 5)
    assert errors() == [
        "mail: cannot send to localhost:25, will try again: [Errno 111] Connection refused"
    ]
    server.down = None
    assert mailer.step(NOON + 15) is None
    assert len(server.mails) == 1
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.INFO] == [
        "mail: localhost:25 works again"
    ]
    server.down = DOWN
    mailer.notify(a_ban())
    assert mailer.step(NOON + 20) == 5
    assert len(errors()) == 2


def test_a_mail_whose_session_broke_is_sent_again_first_and_is_the_same(mailer, server):
    messages = []
    server.errors = [None, smtplib.SMTPServerDisconnected("gone")]
    original = server.send_message

    def remember(message, sender, to):
        messages.append(bytes(message))
        return original(message, sender, to)

    server.send_message = remember
    for number in (1, 2, 3):
        mailer.notify(a_ban(number))
    assert mailer.step(NOON) == 5
    assert mailer.step(NOON + 5) is None
    assert server.subjects() == [f"[Fail2Ban] Banned 192.0.2.{number}" for number in (1, 2, 3)]
    assert messages[1] == messages[2]


def test_a_full_queue_drops_the_oldest_says_so_once_and_the_next_mail_counts_them(
    mailer, server, errors
):
    server.down = DOWN
    for number in range(1, mail.WAITING_LIMIT + 13):
        mailer.notify(a_ban(number))
    mailer.step(NOON)
    assert [error for error in errors() if "oldest are dropped" in error] == errors()[:1]
    server.down = None
    mailer.step(NOON + 5)
    assert len(server.mails) == mail.WAITING_LIMIT
    assert server.subjects()[:2] == ["[Fail2Ban] 13 bans", "[Fail2Ban] Banned 192.0.2.14"]
    assert "(12 earlier bans are not listed.)" in body(server.mails[0])


def test_a_digest_for_a_dead_server_holds_only_the_newest_bans(digester, server, clock, errors):
    server.down = DOWN
    total = 3 * mail.WAITING_LIMIT
    for number in range(total):
        digester.notify(a_ban(number))
        if number % 100 == 0:
            clock.now += 700
            digester.step(clock.now)
    assert len(digester._waiting._bans) == mail.WAITING_LIMIT
    server.down = None
    digester.step(clock.now + 700)
    assert server.subjects() == [f"[Fail2Ban] {total} bans"]
    assert not any("dropped" in error for error in errors())


def refused(code: int, *addresses: str) -> smtplib.SMTPRecipientsRefused:
    return smtplib.SMTPRecipientsRefused({to: (code, b"not here") for to in addresses})


@pytest.mark.parametrize(
    "error",
    [
        refused(550, "root"),
        smtplib.SMTPDataError(552, b"too big"),
        smtplib.SMTPSenderRefused(550, b"who?", "root"),
    ],
)
def test_a_mail_refused_for_good_is_dropped_and_the_next_is_sent(mailer, server, errors, error):
    server.errors = [error]
    mailer.notify(a_ban(1))
    mailer.notify(a_ban(2))
    assert mailer.step(NOON) is None
    assert server.subjects() == ["[Fail2Ban] Banned 192.0.2.2"]
    [message] = errors()
    assert "localhost:25 refuses the mail about the ban of 192.0.2.1" in message
    assert re.search(r"55[02] (not here|too big|who\?)", message.replace("root: ", ""))


@pytest.mark.parametrize(
    "error",
    [
        refused(450, "root"),
        smtplib.SMTPRecipientsRefused({"a": (550, b"no"), "b": (451, b"later")}),
        smtplib.SMTPDataError(451, b"later"),
        smtplib.SMTPSenderRefused(421, b"later", "root"),
        smtplib.SMTPHeloError(550, b"your name?"),
        smtplib.SMTPNotSupportedError("no SMTPUTF8"),
    ],
)
def test_a_mail_refused_for_now_is_kept(mailer, server, error):
    server.errors = [error]
    mailer.notify(a_ban())
    assert mailer.step(NOON) == 5
    assert mailer.step(NOON + 5) is None
    assert len(server.mails) == 1


def test_recipients_refused_beside_others_are_logged_when_that_changes(mailer, server, errors):
    for answer in ({"a": (550, b"no")}, {"a": (550, b"no")}, {}, {"a": (550, b"no")}):
        server.refused = answer
        mailer.notify(a_ban())
        assert mailer.step(NOON) is None
    assert errors() == ["mail: localhost:25 refuses some recipients: a: 550 no"] * 2


def test_a_mistake_of_ours_is_not_taken_for_a_bad_server(mailer, server):
    server.errors = [RuntimeError("a bug")]
    mailer.notify(a_ban())
    with pytest.raises(RuntimeError):
        mailer.step(NOON)


# Secrets ------------------------------------------------------------------------


def test_the_password_is_in_no_log_even_if_the_server_repeats_it(server, clock, caplog):
    caplog.set_level(logging.DEBUG)
    settings = MailSettings(user="alice", password=SECRET)
    forms = [SECRET.encode(), base64.b64encode(SECRET.encode())]
    forms.append(base64.b64encode(b"\0alice\0" + forms[0]))
    server.down = smtplib.SMTPAuthenticationError(535, b"no: " + b" ".join(forms) + b"\r\n5.7.8")
    mailer = Mailer(settings, clock, server.connect)
    mailer.notify(a_ban())
    mailer.step(NOON)
    assert "login refused: 535 no: *** *** *** 5.7.8" in caplog.text
    assert SECRET not in repr(mailer) + repr(vars(mailer)) + caplog.text


def test_what_a_server_says_is_one_line_of_limited_length_in_our_log(mailer, server, errors):
    server.down = smtplib.SMTPConnectError(554, b"\x1b[2Jno\r\nERROR: all is lost " + b"x" * 5000)
    mailer.notify(a_ban())
    mailer.step(NOON)
    [message] = errors()
    assert "554  [2Jno ERROR: all is lost" in message
    assert len(message) < mail.REASON_LIMIT + 100


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (MailSettings(user="alice", password="Zürich"), "must be ASCII"),
        (MailSettings(host="mail..example"), "'mail..example' is not a host name"),
    ],
)
def test_settings_that_smtplib_cannot_use_are_a_failure_not_a_crash(settings, reason, errors):
    mailer = Mailer(settings, FakeClock())
    mailer.notify(a_ban())
    assert mailer.step(NOON) == 5
    assert reason in errors()[0]
    assert "Zürich" not in errors()[0]


# A real server ------------------------------------------------------------------


class Inbox:
    """Handler of a real server; keeps what it is sent."""

    def __init__(self, answers: dict[str, str] | None = None) -> None:
        self.envelopes: list = []
        self.arrived = threading.Semaphore(0)
        self.answers = answers or {}

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        envelope.encrypted = session.ssl
        self.envelopes.append(envelope)
        self.arrived.release()
        return "250 OK"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def serving(inbox: Inbox, port: int = 0, **options):
    """Run a server, yield its port."""
    controller = Controller(inbox, "127.0.0.1", port or free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def local(port: int, **options) -> MailSettings:
    return MailSettings(host="127.0.0.1", port=port, **options)


@contextmanager
def running(mailer: Mailer):
    """Run the mailer's thread."""
    stop = threading.Event()
    thread = threading.Thread(target=mailer.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        mailer.wake()
        thread.join(10)
    assert not thread.is_alive()


def test_a_ban_is_mailed_by_the_thread():
    inbox = Inbox()
    settings = {"sender": "fail2ban", "to": ("root", "chief@example.com"), "message": ".\n<ip>\n"}
    with serving(inbox) as port, running(mailer := Mailer(local(port, **settings))):
        mailer.notify(a_ban())
        assert inbox.arrived.acquire(timeout=10)
    [envelope] = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("fail2ban", ["root", "chief@example.com"])
    got = parsed(envelope.content)
    assert got["Subject"] == "[Fail2Ban] Banned 192.0.2.1"
    assert body(got) == ".\n192.0.2.1\n"


def test_a_server_that_is_down_at_first_gets_the_mails_later():
    inbox, port = Inbox(), free_port()
    mailer = Mailer(local(port), FakeClock())
    mailer.notify(a_ban(1))
    mailer.notify(a_ban(2))
    assert mailer.step(NOON) == 5
    with serving(inbox, port):
        assert mailer.step(NOON + 5) is None
    assert [parsed(envelope.content)["Subject"] for envelope in inbox.envelopes] == [
        "[Fail2Ban] Banned 192.0.2.1",
        "[Fail2Ban] Banned 192.0.2.2",
    ]


def check_password(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"alice", SECRET.encode())
    return AuthResult(success=right, auth_data=data.login, handled=False)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize(("password", "mails"), [(SECRET, 1), ("wrong", 0)])
def test_a_server_that_asks_for_a_login_gets_one(password, mails, errors):
    inbox = Inbox()
    options = {"authenticator": check_password, "auth_required": True, "auth_require_tls": False}
    with serving(inbox, **options) as port:
        mailer = Mailer(local(port, user="alice", password=password), FakeClock())
        mailer.notify(a_ban())
        assert mailer.step(NOON) == (None if mails else 5)
    assert len(inbox.envelopes) == mails
    assert ["login refused: 535" in error for error in errors()] == [True] * (1 - mails)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a self-signed certificate; return the contexts of server and client."""
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl")
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 "
        "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=folder / "cert.pem")


def tls_options(tls: str, context: ssl.SSLContext) -> dict:
    if tls == "ssl":
        return {"ssl_context": context}
    return {"tls_context": context, "require_starttls": True}


@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_mails_are_encrypted_if_wanted(tls, certificate):
    context, trusting = certificate
    inbox = Inbox()
    with serving(inbox, **tls_options(tls, context)) as port:
        connect = functools.partial(session, context=trusting)
        mailer = Mailer(local(port, tls=tls), FakeClock(), connect)
        mailer.notify(a_ban())
        assert mailer.step(NOON) is None
    [envelope] = inbox.envelopes
    assert tls == "ssl" or envelope.encrypted


@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(tls, certificate, errors):
    context, _ = certificate
    inbox = Inbox()
    with serving(inbox, **tls_options(tls, context)) as port:
        mailer = Mailer(local(port, tls=tls, user="alice", password=SECRET), FakeClock())
        mailer.notify(a_ban())
        assert mailer.step(NOON) == 5
    assert not inbox.envelopes
    assert "certificate verify failed" in errors()[0]


def test_starttls_is_not_given_up_for_a_server_without_it(errors):
    inbox = Inbox()
    with serving(inbox) as port:
        mailer = Mailer(local(port, tls="starttls"), FakeClock())
        mailer.notify(a_ban())
        assert mailer.step(NOON) == 5
    assert not inbox.envelopes
    assert "STARTTLS" in errors()[0]


def test_a_recipient_who_is_refused_does_not_keep_the_mail_from_the_others(errors):
    inbox = Inbox({"gone@example.com": "550 no such user"})
    with serving(inbox) as port:
        mailer = Mailer(local(port, to=("gone@example.com", "root")), FakeClock())
        mailer.notify(a_ban())
        assert mailer.step(NOON) is None
    assert [envelope.rcpt_tos for envelope in inbox.envelopes] == [["root"]]
    assert errors() == [
        f"mail: 127.0.0.1:{port} refuses some recipients: gone@example.com: 550 no such user"
    ]


def test_mails_that_all_recipients_refuse_are_dropped(errors):
    inbox = Inbox({"root": "550 no such user"})
    with serving(inbox) as port:
        mailer = Mailer(local(port), FakeClock())
        mailer.notify(a_ban(1))
        mailer.notify(a_ban(2))
        assert mailer.step(NOON) is None
    assert not inbox.envelopes
    assert len(errors()) == 2


@pytest.mark.parametrize("text", ATTEMPTS)
def test_no_sender_or_recipient_breaks_the_dialogue_with_the_server(text):
    inbox = Inbox()
    with serving(inbox) as port:
        mailer = Mailer(local(port, sender="root" + text, to=("chief" + text,)), FakeClock())
        mailer.notify(a_ban())
        mailer.step(NOON)
    assert all(len(envelope.rcpt_tos) == 1 for envelope in inbox.envelopes)


# Nobody waits -------------------------------------------------------------------


@contextmanager
def silence():
    """Run a server that accepts a connection and says nothing; yield it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def in_time(function, *args) -> bool:
    """Tell whether a call returns at all."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


def test_notify_and_finish_do_not_wait_for_a_server_that_hangs(errors):
    def notify_many():
        for number in range(2 * mail.WAITING_LIMIT):
            mailer.notify(a_ban(number))

    with silence() as listener:
        mailer = Mailer(local(listener.getsockname()[1]))
        mailer.notify(a_ban())
        with running(mailer) as thread:
            connection, _ = listener.accept()
            assert in_time(notify_many)
            assert in_time(mailer.finish, 0.2)
            assert thread.is_alive(), "the thread was not hanging; the test proves nothing"
            connection.close()
    assert f"mail: {2 * mail.WAITING_LIMIT + 1} ban(s) could not be reported" in errors()[-1]


def test_finish_is_bounded_even_if_the_name_server_hangs(clock, errors):
    release, released = threading.Event(), threading.Event()

    @contextmanager
    def hang(settings, timeout):
        release.wait(10)
        yield
        released.set()

    mailer = Mailer(MailSettings(), clock, hang)
    mailer.notify(a_ban())
    assert in_time(mailer.finish, 0.1)
    assert errors() == ["mail: 1 ban(s) could not be reported to localhost:25"]
    release.set()
    assert released.wait(5), "a mail that was counted as lost was sent after all"


def test_finish_sends_an_unfinished_digest(digester, server, errors):
    digester.notify(a_ban(1))
    digester.notify(a_ban(2))
    digester.finish(10)
    assert server.subjects() == ["[Fail2Ban] 2 bans"]
    assert not errors()


def test_finish_sends_what_waits_for_a_pause(mailer, server, errors):
    server.down = DOWN
    mailer.notify(a_ban())
    mailer.step(NOON)
    server.down = None
    mailer.finish(10)
    assert len(server.mails) == 1
    assert len(errors()) == 1, "only the failure before"


def test_finish_does_not_send_again_what_is_being_sent(mailer, server, errors):
    sending = threading.Event()
    original = server.send_message

    def slowly(message, sender, to):
        sending.set()
        time.sleep(0.2)
        return original(message, sender, to)

    server.send_message = slowly
    mailer.notify(a_ban())
    with running(mailer):
        assert sending.wait(5)
        mailer.finish(10)
    assert len(server.mails) == 1
    assert not errors()


def test_finish_tries_a_dead_server_once_and_counts_what_is_left(mailer, server, errors):
    server.down = DOWN
    for number in (1, 2, 3):
        mailer.notify(a_ban(number))
    mailer.finish(10)
    assert server.attempts == 1
    assert errors()[-1] == "mail: 3 ban(s) could not be reported to localhost:25"
    assert mailer.step(NOON + 1000) is None
    assert server.attempts == 1


def test_finish_counts_a_mail_that_was_tried_before(mailer, server, errors):
    server.errors = [smtplib.SMTPDataError(451, b"later")] * 2
    mailer.notify(a_ban())
    mailer.step(NOON)
    mailer.finish(10)
    assert errors()[-1] == "mail: 1 ban(s) could not be reported to localhost:25"


def test_finish_says_nothing_if_all_is_told(mailer, server, errors):
    mailer.notify(a_ban())
    mailer.step(NOON)
    mailer.finish(10)
    assert server.attempts == 1
    assert not errors()


def test_the_thread_ends_without_waiting_for_a_digest(digester, server):
    digester.notify(a_ban())
    with running(digester):
        pass
    assert not server.mails
