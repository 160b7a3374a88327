# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's filters and actions with real firewalls: who is locked out, and what stays.

A real SSH server with a real syslog is attacked from another network.
"""

from __future__ import annotations

import email
import re
import shutil
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from signal import SIGHUP

import pytest

from tests import needs
from tests.e2e import sshd
from tests.e2e.daemon import wait_until
from tests.e2e.trees import FAIL2BAN_CONF, Network, Site, banned, network, unbanned
from tests.netns import Namespace

pytestmark = [needs.root(), needs.programs(*sshd.PROGRAMS, "nft", "iptables", "ip6tables")]

#: The attacker's addresses, and one that only the log knows.
BAD, BAD6 = Network.bad
GOOD = Network.good[0]
OURS, OURS6 = Network.ours
ELSEWHERE = "203.0.113.77"

#: As guides have told it since 0.8, but for the log's place and where the friend lives.
TUTORIAL = """\
[DEFAULT]

# "ignoreip" can be an IP address, a CIDR mask or a DNS host
ignoreip = 127.0.0.1 198.51.100.0/24
bantime  = 600
maxretry = 3

[ssh-iptables]

enabled  = true
filter   = sshd
action   = iptables[name=SSH, port=ssh, protocol=tcp]
           sendmail-whois[name=SSH, dest=root]
logpath  = {root}/auth.log
maxretry = 5
"""

#: What an administrator of Debian writes.
JAIL_LOCAL = """\
[DEFAULT]
banaction = nftables
banaction_allports = nftables[type=allports]
sshd_log = {root}/auth.log
"""

MSMTPRC = """\
account default
host 127.0.0.1
port {port}
from fail2ban@example.org
auto_from off
tls off
"""

SMTP_PORT = 2525


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as net:
        yield net


class Mailbox:
    """What a host's `sendmail` brings to a real SMTP server on port 2525.

    Attributes:
        environment: tells `sendmail`, which is msmtp, of the server.
    """

    def __init__(self, host: Namespace, root: Path) -> None:
        self._folder = root / "mails"
        self.environment = {"HOME": str(root)}
        settings = root / ".msmtprc"
        settings.write_text(MSMTPRC.format(port=SMTP_PORT))
        settings.chmod(0o600)
        handler = ("-c", "aiosmtpd.handlers.Mailbox", str(self._folder))
        where = f"127.0.0.1:{SMTP_PORT}"
        host.popen([sys.executable, "-m", "aiosmtpd", "-n", "-l", where, *handler])
        wait_until(lambda: host.reaches("127.0.0.1", SMTP_PORT))

    def mails(self) -> list[Message]:
        files = sorted((self._folder / "new").iterdir())
        return [email.message_from_bytes(file.read_bytes()) for file in files]

    def mail(self, subject: str) -> Message:
        """Wait for a mail whose subject begins so, and return it."""
        found: list[Message] = []

        def arrived() -> bool:
            found[:] = [mail for mail in self.mails() if mail["Subject"].startswith(subject)]
            return bool(found)

        wait_until(arrived, explain=lambda: f"{subject}: {[m['Subject'] for m in self.mails()]}")
        return found[0]


def guess(client: Namespace, server: str, times: int) -> None:
    for _ in range(times):
        sshd.guess_password(client, server, sshd.OTHER_USER)


def rules(host: Namespace) -> str:
    """Return both families' rules of iptables, without counters."""
    return host.run("iptables -S; ip6tables -S").stdout


# The tutorial ------------------------------------------------------------------


@needs.programs("sendmail")
def test_the_tutorial_of_0_8_locks_the_attacker_out_and_tells_root(
    net: Network, tmp_path: Path, upstream: Path
) -> None:
    site = Site(tmp_path, upstream)
    shutil.rmtree(site.tree / "jail.d")
    site.put("fail2ban.local", FAIL2BAN_CONF.replace("INFO", "3"))
    site.put("jail.conf", TUTORIAL)
    mailbox = Mailbox(net.server, tmp_path)
    sshd.start_server(net.server, tmp_path)
    before = rules(net.server)
    with site.running(namespace=net.server, environment=mailbox.environment) as daemon:
        assert mailbox.mail("[Fail2Ban] SSH: started on ")["To"] == "root"
        guess(net.friend, OURS, times=6)
        guess(net.attacker, OURS, times=5)
        daemon.wait_for(banned("ssh-iptables", BAD))
        assert sshd.greeting(net.attacker, OURS) == "no connection"
        assert sshd.greeting(net.friend, OURS).startswith("SSH-2.0-")
        assert f"-A f2b-SSH -s {BAD}/32 -j REJECT" in rules(net.server)
        daemon.wait_for(rf"\[ssh-iptables\] Ignore {GOOD} by ", times=6)
        mail = mailbox.mail(f"[Fail2Ban] SSH: banned {BAD} from ")
        assert (mail["To"], mail["X-RcptTo"]) == ("root", "root")
        assert f"The IP {BAD} has just been banned by Fail2Ban after\n5 attempts" in body(mail)
        assert daemon.stop() == 0
    assert daemon.count(rf"Ban {GOOD}$") == 0
    mailbox.mail("[Fail2Ban] SSH: stopped on ")
    assert rules(net.server) == before
    assert sshd.greeting(net.attacker, OURS).startswith("SSH-2.0-")
    assert daemon.count("ERROR|CRITICAL") == 0


def body(mail: Message) -> str:
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")


def test_a_ban_of_iptables_ends_after_bantime(net: Network, tmp_path: Path, upstream: Path) -> None:
    site = Site(tmp_path, upstream)
    action = "iptables[name=SSH, port=ssh, protocol=tcp]"
    options = {"filter": "sshd", "logpath": "{root}/auth.log", "maxretry": "2", "bantime": "10"}
    site.jails(site.jail("ssh", action=action, **options))
    sshd.start_server(net.server, tmp_path)
    with site.running(namespace=net.server) as daemon:
        for client, server in ((BAD, OURS), (BAD6, OURS6)):
            guess(net.attacker, server, times=2)
            daemon.wait_for(banned("ssh", client))
            assert sshd.greeting(net.attacker, server) == "no connection"
        assert daemon.count("Unban") == 0, "the machine is too slow for this test"
        for client, server in ((BAD, OURS), (BAD6, OURS6)):
            daemon.wait_for(unbanned("ssh", client))
            assert sshd.greeting(net.attacker, server).startswith("SSH-2.0-")


# Debian's tree of today ----------------------------------------------------------


def kernel_set(host: Namespace, name: str) -> list[str]:
    """Return the addresses in a set of nft; none if it is not there."""
    done = host.run(f"nft list set inet f2b-table {name}", check=False)
    return re.findall(r"[0-9a-f]+[.:][0-9a-f.:]+", done.stdout.partition("elements")[2])


def ruleset(host: Namespace) -> str:
    return host.run("nft list ruleset").stdout


@pytest.fixture
def debian(tmp_path: Path, upstream: Path) -> Site:
    """Debian's tree with the jail of sshd, which Debian enables, and nftables."""
    site = Site(tmp_path, upstream)
    site.put("jail.local", JAIL_LOCAL)
    return site


def test_sshd_of_debians_tree_with_nftables(net: Network, debian: Site) -> None:
    sshd.start_server(net.server, debian.root)
    with debian.running(namespace=net.server) as daemon:
        assert ruleset(net.server) == ""  # until somebody is to be banned
        for number, (client, server) in enumerate(((BAD, OURS), (BAD6, OURS6)), 1):
            guess(net.attacker, server, times=5)
            daemon.wait_for(banned("sshd", client))
            assert sshd.greeting(net.attacker, server) == "no connection"
            assert sshd.greeting(net.friend, server).startswith("SSH-2.0-")
            assert ruleset(net.server).count("\tset ") == number
        assert kernel_set(net.server, "addr-set-sshd") == [BAD]
        assert kernel_set(net.server, "addr6-set-sshd") == [BAD6]
        assert daemon.stop() == 0
    assert ruleset(net.server) == ""
    assert sshd.greeting(net.attacker, OURS).startswith("SSH-2.0-")
    assert daemon.count("ERROR|CRITICAL") == 0


@pytest.mark.parametrize("damage", ["nft flush ruleset", "nft delete table inet f2b-table"])
def test_bans_come_back_when_the_firewall_was_flushed(
    net: Network, debian: Site, damage: str
) -> None:
    debian.log("auth").touch()
    with debian.running(namespace=net.server) as daemon:
        for address in (BAD, BAD6):
            attack(debian, address)
            daemon.wait_for(banned("sshd", address))
        net.server.run(damage)
        attack(debian, ELSEWHERE)
        daemon.wait_for(banned("sshd", ELSEWHERE))
        wait_until(
            lambda: (
                kernel_set(net.server, "addr6-set-sshd") == [BAD6]
                and sorted(kernel_set(net.server, "addr-set-sshd")) == sorted([BAD, ELSEWHERE])
            ),
            explain=lambda: ruleset(net.server) + daemon.log(),
        )
        assert not net.attacker.reaches(OURS, 22)
        assert daemon.stop() == 0
    assert ruleset(net.server) == ""


def test_who_got_through_a_firewall_that_was_flushed_is_banned_again(
    net: Network, debian: Site
) -> None:
    debian.log("auth").touch()
    with debian.running(namespace=net.server) as daemon:
        attack(debian, BAD)
        daemon.wait_for(banned("sshd", BAD))
        net.server.run("nft flush ruleset")

        def banned_again() -> bool:
            attack(debian, BAD)
            return kernel_set(net.server, "addr-set-sshd") == [BAD]

        daemon.wait_for(banned_again)


def test_what_a_killed_daemon_left_in_the_firewall_is_cleaned_up(
    net: Network, debian: Site
) -> None:
    debian.log("auth").touch()
    with debian.running(namespace=net.server) as daemon:
        for address in (BAD, BAD6):
            attack(debian, address)
            daemon.wait_for(banned("sshd", address))
        daemon.kill9()
        assert kernel_set(net.server, "addr-set-sshd") == [BAD]
        daemon.start()
        daemon.wait_for("the last instance was killed")
        daemon.wait_for(rf"\[sshd\] (Restore )?Ban {BAD}$", times=2)
        assert ruleset(net.server).count("chain f2b-chain {") == 1
        assert ruleset(net.server).count("@addr-set-sshd") == 1
        assert daemon.stop() == 0
    assert ruleset(net.server) == ""


@needs.programs("sendmail")
def test_the_mail_with_the_lines_of_the_log_has_them_as_they_are(
    net: Network, debian: Site
) -> None:
    """Debian's action_mwl; what the attacker chose runs nothing, and adds nobody to the mail."""
    debian.log("auth").touch()
    debian.put("jail.d/mail.conf", "[sshd]\naction = %(action_mwl)s\nmaxretry = 2\n")
    mailbox = Mailbox(net.server, debian.root)
    evil = f"$(touch {debian.root}/evil)`touch {debian.root}/evil`';\"\\nBcc: all@example.org"
    message = f"server sshd[4711]: Failed password for invalid user {evil} from {BAD} port 5 ssh2"
    with debian.running(namespace=net.server, environment=mailbox.environment) as daemon:
        debian.write("auth", message, message)
        daemon.wait_for(banned("sshd", BAD))
        assert kernel_set(net.server, "addr-set-sshd") == [BAD]
        mail = mailbox.mail(f"[Fail2Ban] sshd: banned {BAD} from ")
        assert daemon.stop() == 0
    assert (mail["To"], mail["X-RcptTo"], mail["Bcc"]) == ("root@localhost", "root@localhost", None)
    assert "after\n2 attempts against sshd" in body(mail)
    assert body(mail).count(f"from {BAD} port 5 ssh2") == 2
    assert not (debian.root / "evil").exists()


def test_a_jail_that_goes_leaves_the_others_in_the_firewall(net: Network, debian: Site) -> None:
    """All jails share a table and a chain, which the last one takes along."""
    debian.log("auth").touch()
    web = debian.jail("web", action="%(action_)s", port="80")
    debian.jails(web, name="jail.d/web.conf")
    with net.server.echo(80), net.server.echo(22), debian.running(namespace=net.server) as daemon:
        attack(debian, BAD)
        debian.attack(BAD, "web")
        for jail in ("sshd", "web"):
            daemon.wait_for(banned(jail, BAD))
        for port in (22, 80):
            assert not net.attacker.reaches(OURS, port)
        (debian.tree / "jail.d" / "web.conf").unlink()
        daemon.signal(SIGHUP)
        daemon.wait_for(rf"\[web\] Repeal Ban {BAD}$")
        wait_until(lambda: "addr-set-web" not in ruleset(net.server))
        assert net.attacker.reaches(OURS, 80)
        assert not net.attacker.reaches(OURS, 22)
        debian.put("jail.d/port.conf", "[sshd]\nport = 80\n")
        daemon.signal(SIGHUP)
        wait_until(lambda: not net.attacker.reaches(OURS, 80), explain=daemon.log)
        assert net.attacker.reaches(OURS, 22)
        assert daemon.stop() == 0
    assert ruleset(net.server) == ""
    assert daemon.count("ERROR|CRITICAL") == 0


def attack(site: Site, address: str) -> None:
    """Write what sshd writes about five wrong passwords of a user who exists."""
    message = f"server sshd[4711]: Failed password for alice from {address} port 50022 ssh2"
    site.write("auth", *[message] * 5)
