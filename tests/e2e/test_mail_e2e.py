# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon tells a real SMTP server about its bans, and waits for none."""

from __future__ import annotations

import email
import email.policy
import signal
import socket
import time
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import RunningDaemon, wait_until
from tests.test_mail import Inbox, free_port, serving

pytestmark = needs.root()

ATTACKER, OTHER, THIRD = "203.0.113.1", "198.51.100.7", "2001:db8::3"

CONFIG = """\
[DEFAULT]
logtargets = {root}/f2b.log
socket = {root}/fail2ban.sock
dbfile = {root}/state.sqlite3
maxfailures = {failures}
[MAIL]
enabled = true
host = 127.0.0.1
port = {port}
from = fail2ban@example.org
to = root chief@example.org
subject = [Fail2Ban] <section>: Banned <ip>
message = Hi,<br>
          The IP <ip> has just been banned after
          <failures> attempts.<br>
          <matches>
{options}
[SSH]
enabled = true
logfile = {root}/auth.log
failregex = failed login of .* from <HOST>$
fwban = echo ban <ip> >> {root}/out
"""


class Scene:
    """A log that is attacked, and the mails that came of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.inbox = Inbox()

    def config(self, *options: str, failures: int = 1) -> str:
        lines = "\n".join(options)
        return CONFIG.format(root=self.root, port=self.port, options=lines, failures=failures)

    def attack(self, ip: str, user: str = "root") -> None:
        moment = time.strftime("%b %d %H:%M:%S")
        with (self.root / "auth.log").open("a") as log:
            log.write(f"{moment} host sshd: failed login of {user} from {ip}\n")

    def subjects(self) -> list[str]:
        return [str(self.mail(number)["Subject"]) for number in range(len(self.inbox.envelopes))]

    def mail(self, number: int) -> email.message.EmailMessage:
        raw = self.inbox.envelopes[number].content
        return email.message_from_bytes(raw, policy=email.policy.default)

    def wait_for_mails(self, count: int) -> None:
        wait_until(lambda: len(self.inbox.envelopes) >= count)

    def banned(self) -> list[str]:
        out = self.root / "out"
        return out.read_text().splitlines() if out.exists() else []


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "auth.log").touch()
    return Scene(tmp_path)


def told(ip: str) -> str:
    return f"[Fail2Ban] SSH: Banned {ip}"


def test_a_mail_arrives_for_each_ban_as_the_configuration_words_it(scene: Scene) -> None:
    with (
        serving(scene.inbox, scene.port),
        RunningDaemon(scene.root, scene.config(failures=2)) as daemon,
    ):
        for ip in (ATTACKER, THIRD):
            scene.attack(ip, "\x1b[2Jx\rBcc: all@example.org\r")
            scene.attack(ip)
        scene.wait_for_mails(2)
        assert daemon.stop() == 0
    assert sorted(scene.subjects()) == sorted([told(ATTACKER), told(THIRD)])
    envelope = scene.inbox.envelopes[0]
    assert envelope.mail_from == "fail2ban@example.org"
    assert envelope.rcpt_tos == ["root", "chief@example.org"]
    mail = scene.mail(scene.subjects().index(told(ATTACKER)))
    assert mail["To"] == "root, chief@example.org" and mail["Bcc"] is None
    text = mail.get_content().replace("\r\n", "\n")
    assert text.startswith(f"Hi,\n\nThe IP {ATTACKER} has just been banned after\n2 attempts.\n")
    assert f"failed login of root from {ATTACKER}" in text
    assert "\\x1b[2Jx\\rBcc: all@example.org" in text


def test_a_server_that_is_down_at_first_is_told_later(scene: Scene) -> None:
    with RunningDaemon(scene.root, scene.config()) as daemon:
        scene.attack(ATTACKER)
        daemon.wait_for(f"mail: cannot send to 127.0.0.1:{scene.port}, will try again")
        scene.attack(OTHER)
        daemon.wait_for(rf"SSH: Ban \(600 s\) {OTHER}$")
        with serving(scene.inbox, scene.port):
            scene.wait_for_mails(2)
            daemon.wait_for(f"mail: 127.0.0.1:{scene.port} works again$")
            assert daemon.stop() == 0
    assert scene.subjects() == [told(ATTACKER), told(OTHER)]
    assert daemon.count("mail: cannot send") == 1


def test_no_ban_waits_for_a_server_that_hangs_and_neither_does_the_end(scene: Scene) -> None:
    """It takes the connection and never says a word; all bans come before its first one."""
    with (
        socket.create_server(("127.0.0.1", scene.port)) as server,
        RunningDaemon(scene.root, scene.config()) as daemon,
    ):
        scene.attack(ATTACKER)
        server.settimeout(60)
        peer, _ = server.accept()
        with peer:
            for ip in (OTHER, THIRD):
                scene.attack(ip)
                daemon.wait_for(rf"SSH: Ban \(600 s\) {ip}$")
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("The configuration is in use")
            assert daemon.stop() == 0
    assert scene.banned() == [f"ban {ip}" for ip in (ATTACKER, OTHER, THIRD)]
    assert daemon.count(r"ERROR: mail: 3 ban\(s\) could not be reported") == 1


def test_a_digest_tells_all_bans_of_its_time_in_one_mail(scene: Scene) -> None:
    config = scene.config("digest = 3")
    with serving(scene.inbox, scene.port), RunningDaemon(scene.root, config) as daemon:
        for ip in (ATTACKER, OTHER, THIRD):
            scene.attack(ip)
        daemon.wait_for(r"SSH: Ban \(", times=3)
        scene.wait_for_mails(1)
        assert daemon.stop() == 0
    assert scene.subjects() == ["[Fail2Ban] 3 bans"]
    text = scene.mail(0).get_content()
    places = [text.index(f"The IP {ip} has") for ip in (ATTACKER, OTHER, THIRD)]
    assert places == sorted(places)


def test_an_unfinished_digest_is_sent_at_the_end(scene: Scene) -> None:
    config = scene.config("digest = 1d")
    with serving(scene.inbox, scene.port), RunningDaemon(scene.root, config) as daemon:
        for ip in (ATTACKER, OTHER):
            scene.attack(ip)
        daemon.wait_for(r"SSH: Ban \(", times=2)
        assert scene.subjects() == []
        assert daemon.stop() == 0
        assert scene.subjects() == ["[Fail2Ban] 2 bans"]


def test_defect_13_an_address_that_is_banned_already_makes_no_second_mail(scene: Scene) -> None:
    with serving(scene.inbox, scene.port), RunningDaemon(scene.root, scene.config()) as daemon:
        scene.attack(ATTACKER)
        scene.wait_for_mails(1)
        time.sleep(1.1)  # the log counts whole seconds; it must be after the ban
        scene.attack(ATTACKER)
        daemon.wait_for(f"SSH: {ATTACKER} already in ban list$")
        scene.attack(OTHER)
        scene.wait_for_mails(2)
        assert daemon.stop() == 0
    assert scene.subjects() == [told(ATTACKER), told(OTHER)]
    # It is banned once more, though: somebody may have let it through.
    assert scene.banned() == [f"ban {ip}" for ip in (ATTACKER, ATTACKER, OTHER)]


def test_a_reload_uses_another_server_or_none(scene: Scene) -> None:
    with serving(scene.inbox, scene.port), RunningDaemon(scene.root, scene.config()) as daemon:
        scene.attack(ATTACKER)
        scene.wait_for_mails(1)
        second = Scene(scene.root)
        with serving(second.inbox, second.port):
            daemon.config.write_text(second.config())
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("The configuration is in use")
            scene.attack(OTHER)
            second.wait_for_mails(1)
            daemon.config.write_text(second.config("enabled = false"))
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("The configuration is in use", times=2)
            scene.attack(THIRD)
            daemon.wait_for(rf"SSH: Ban \(600 s\) {THIRD}$")
            assert daemon.stop() == 0
    assert (scene.subjects(), second.subjects()) == ([told(ATTACKER)], [told(OTHER)])


def test_a_reload_that_finds_the_section_about_mail_broken_changes_nothing(scene: Scene) -> None:
    with serving(scene.inbox, scene.port), RunningDaemon(scene.root, scene.config()) as daemon:
        daemon.config.write_text(scene.config("user = 100%"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for(r"\[MAIL\] user: ")
        daemon.wait_for("The configuration cannot be used: the old settings stay")
        scene.attack(ATTACKER)
        scene.wait_for_mails(1)
        assert daemon.stop() == 0
    assert scene.subjects() == [f"[Fail2Ban] SSH: Banned {ATTACKER}"]
