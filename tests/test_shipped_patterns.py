# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shipped files count as a failure, and whom they blame.

Proved on the lines of three projects' test suites (../shared/corpora) and on
lines in which an attacker writes what he can: user names, referrers, host names.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.config import classic
from fail2ban.config.classic import VOCABULARY
from fail2ban.detect.addresses import parse_address
from fail2ban.detect.filter import Filter
from fail2ban.detect.match import Line
from fail2ban.records import FAMILIES, JailSettings, MailSettings, Settings
from tests.needs import SHARED, shared

CONFIG = Path(__file__).resolve().parents[1] / "config"
FLAVOURS = ["nftables", "iptables", "hostsdeny", "shorewall"]
SECTIONS = ["SSH", "Apache", "Nginx", "VSFTPD", "ProFTPD", "Postfix", "Dovecot"]
NOW = 1_124_013_600.0  # 2005-08-14, as in the corpora
TRUE, TRUE6, LIAR = "198.51.100.7", "2001:db8::7", "192.0.2.66"

all_flavours = pytest.mark.parametrize("flavour", FLAVOURS)


def text_of(flavour: str) -> str:
    return (CONFIG / f"fail2ban.conf.{flavour}").read_text()


def settings_of(flavour: str) -> Settings:
    settings = classic.load(CONFIG / f"fail2ban.conf.{flavour}").settings
    assert settings is not None
    return settings


@cache
def jails() -> dict[str, JailSettings]:
    return {jail.name: jail for jail in settings_of("nftables").jails}


@cache
def filter_of(section: str) -> Filter:
    return Filter(jails()[section].filter, locale="C")


def blamed(section: str, line: str) -> str | None:
    """Return the address that a line of a section's log blames, None if none.

    A host name is not looked up: the files say `usedns = no`.
    """
    match = filter_of(section).match(Line(line), NOW)
    if match is None or isinstance(match.host, str):
        return None
    assert match.time is not None, f"no time found in {line!r}"
    return str(match.host)


# The files -------------------------------------------------------------------


@all_flavours
def test_a_shipped_file_loads_without_a_remark(flavour: str) -> None:
    loaded = classic.load(CONFIG / f"fail2ban.conf.{flavour}")
    assert loaded.problems == () and not loaded.broken
    assert loaded.settings is not None
    for jail in loaded.settings.jails:
        assert Filter(jail.filter, locale="C").problems == ()
        assert jail.actions[0].families == FAMILIES


@all_flavours
def test_only_ssh_is_enabled_and_its_log_found_on_debian_and_red_hat(flavour: str) -> None:
    found = settings_of(flavour).jails
    assert [jail.name for jail in found] == SECTIONS
    assert [jail.name for jail in found if jail.enabled] == ["SSH"]
    assert found[0].logs == ("/var/log/auth.log", "/var/log/secure")


@all_flavours
def test_the_limits_are_those_of_06(flavour: str) -> None:
    settings = settings_of(flavour)
    assert not settings.background and settings.mail is None
    assert settings.log.targets == ("/var/log/fail2ban.log",)
    assert (settings.log.syslog_target, settings.log.syslog_facility) == ("/dev/log", 1)
    assert settings.pidlock == "/var/run/fail2ban.pid"
    assert (settings.firewall.polltime, settings.firewall.reinittime) == (1, 10)
    assert settings.firewall.maxreinits == -1
    for jail in settings.jails:
        assert (jail.maxretry, jail.findtime, jail.bantime) == (5, 600, 600)
        assert jail.ignore.networks == () and jail.filter.usedns == "no"


@all_flavours
def test_mail_once_enabled_is_that_of_06(flavour: str) -> None:
    enabled = (
        text_of(flavour)
        .replace("[MAIL]", "[MAIL]\nenabled = true")
        .replace("Default: false\nenabled = false\n\n# The mail server", "\n# The mail server")
    )
    loaded = classic.parse(enabled, flavour)
    assert loaded.problems == () and loaded.settings is not None
    mail = loaded.settings.mail
    assert mail is not None and "<ip>" in mail.message and "<br>" in mail.message
    assert mail == MailSettings(
        sender="fail2ban",
        localtime=True,
        subject="[Fail2Ban] <section>: Banned <ip>",
        message=mail.message,
    )


def parts(flavour: str) -> tuple[str, str, str]:
    """Cut a file into what stands above, in and below the part about commands."""
    text = text_of(flavour)
    body = text[text.index("# How to write this file:") :]
    above, rest = body.split("# --- What ban and unban mean", 1)
    commands, below = rest.split("# --- Mail ---", 1)
    return above, commands, below


@pytest.mark.parametrize("flavour", FLAVOURS[1:])
def test_the_files_differ_in_their_commands_only(flavour: str) -> None:
    above, commands, below = parts("nftables")
    assert parts(flavour)[0] == above
    assert parts(flavour)[2] == below
    assert parts(flavour)[1] != commands


@all_flavours
def test_every_option_is_written_and_explained(flavour: str) -> None:
    text = text_of(flavour)
    above, commands, below = parts(flavour)
    general = VOCABULARY.daemon - {"cmdstart", "cmdend"}
    limits = {"maxfailures", "findtime", "bantime", "ignoreip", "usedns", "polltime"}
    for option in general | limits:
        assert re.search(explained(option), above, re.MULTILINE), option
    for option in VOCABULARY.mail - {"password", "subject", "message"}:
        assert re.search(explained(option), below, re.MULTILINE), option
    for option in VOCABULARY.jail - {"maxretry", "logpath"}:
        assert re.search(rf"^#.*\b{option}\b|^{option} =", text, re.MULTILINE), option


def explained(option: str) -> str:
    """Match an option below a comment that says its values and its default."""
    return rf"Values?:[^\n]*\n(?:#[^\n]*\n)*(?<!\n\n){option} =|Default:[^\n]*\n{option} ="


@all_flavours
def test_no_pattern_is_left_open_at_either_end(flavour: str) -> None:
    for jail in settings_of(flavour).jails:
        for pattern in jail.filter.failregex:
            assert pattern.text.startswith(("^", "(?:^|^")), pattern.text
            assert pattern.text.endswith("$"), pattern.text


# The corpora -----------------------------------------------------------------


class Case(NamedTuple):
    """A line of a corpus; `ip` is whom it must blame, None for an innocent line."""

    corpus: str
    id: str
    section: str
    line: str
    attack: bool
    ip: str | None


FILTERS = {
    "sshd": "SSH",
    "apache-auth": "Apache",
    "nginx-http-auth": "Nginx",
    "vsftpd": "VSFTPD",
    "proftpd": "ProFTPD",
    "postfix": "Postfix",
    "dovecot": "Dovecot",
}
SERVICES = {**FILTERS, "apache": "Apache", "nginx": "Nginx"}


def records(corpus: str) -> Iterator[dict[str, Any]]:
    with (SHARED / "corpora" / f"{corpus}.jsonl").open() as lines:
        yield from map(json.loads, lines)


def fail2ban_cases() -> Iterator[Case]:
    for record in records("fail2ban"):
        section, line = FILTERS.get(record["filter"]), record["lines"][-1]
        if section and (section != "Postfix" or "SASL" in line):
            host, attack = record["expect"]["host"], record["expect"]["match"]
            # The journal's own time stands beside its lines, not in them.
            if record["feed"] == "file":
                yield Case("fail2ban", record["id"], section, line, attack, host)


def sshguard_cases() -> Iterator[Case]:
    for record in records("sshguard"):
        if section := FILTERS.get(record["service"]):
            attack, line = record["class"] == "attack", record.get("bannered") or record["line"]
            ip = record.get("expect_ip_canonical")
            yield Case("sshguard", record["id"], section, line, attack, ip)


def crowdsec_cases() -> Iterator[Case]:
    for record in records("crowdsec"):
        if section := SERVICES.get(record["service"]):
            expect = record["expect"]
            attack = expect["class"] == "attack"
            ip = expect["ip_canonical"]
            yield Case("crowdsec", record["id"], section, record["line"], attack, ip)


@cache
def cases() -> tuple[Case, ...]:
    return (*fail2ban_cases(), *sshguard_cases(), *crowdsec_cases())


#: Attack lines that we find with the right address: corpus, section -> how many.
FOUND = {
    ("fail2ban", "SSH"): 59,
    ("fail2ban", "Apache"): 17,
    ("fail2ban", "Nginx"): 13,
    ("fail2ban", "VSFTPD"): 8,
    ("fail2ban", "ProFTPD"): 9,
    ("fail2ban", "Postfix"): 21,
    ("fail2ban", "Dovecot"): 20,
    ("sshguard", "SSH"): 18,
    ("sshguard", "Postfix"): 4,
    ("sshguard", "Dovecot"): 4,
    ("crowdsec", "SSH"): 23,
    ("crowdsec", "Apache"): 1,
    ("crowdsec", "VSFTPD"): 2,
    ("crowdsec", "Postfix"): 1,
    ("crowdsec", "Dovecot"): 25,
}

#: Attack lines that we do not count on purpose: section -> reason -> what they say.
NOT_COUNTED = {
    "SSH": {
        "PAM's own line about it, 'error: PAM', is counted": "Failed keyboard-interactive/pam",
        "sshd also writes 'Failed password' or 'Invalid user'": (
            "attempts exceeded for|Failed unknown for invalid user"
        ),
        "a key or host key that was not accepted: clients try all they have": (
            r"Failed (?:publickey|hostbased) for"
        ),
        "the end of a connection whose attempts were counted": (
            r"(?:Connection (?:closed|reset) by|Disconnected from|Disconnecting)"
            r"(?: (?:authenticating|invalid) user|: Too many)|maximum authentication attempts"
            r"|Received disconnect from|Change of username"
        ),
        "root's password or key was right, or 'Failed password' says it, too": "ROOT LOGIN REFUSED",
        "PAM says it beside 'Failed password', whose user may be text of the attacker": (
            r"pam_unix\(sshd:auth\): authentication failure"
        ),
        "no login was tried: scanners, key exchange, time-outs": (
            r"Did not receive identification|Bad protocol version|banner exchange|kex_exchange"
            r"|[Uu]nable to negotiate|no matching mac|ssh_dispatch_run_fatal|Magic value"
            r"|Timeout before|Read from socket|drop connection"
            r"|(?:Connection (?:closed|reset) by|Disconnected from) [\d.:a-f]+(?: port|$| \[)"
        ),
        "TCP wrappers refused the connection already": "refused connect from",
        "only with the lines before it: a success, counted as the failures before": "Accepted ",
        "the line names a host, and usedns is no": r"from example\.com",
        "no address: 030 is octal to some, decimal to others": r"192\.030\.0\.6",
        "no line of syslog: no program, or it stands in brackets, or after a second time": (
            r"^\S+ (?:\S+ )?(?:auth\.info: |Failed )|\[sshd\]:? "
        ),
        "not what sshd writes: made up, or by SSH 1, or with text behind the end": (
            r"XYZ|ssh1: ruser|ssh2: from"
        ),
    },
    "Apache": {
        "no login: access denied by the configuration": (
            r"client denied by server|Authorization of user|authorization failure"
        ),
        "no login: names of hosts in TLS": "AH0203[123]",
        "a client that does Digest or Basic wrong, or with an old nonce": (
            r"invalid (?:qop|nonce)|realm mismatch|unknown algorithm|wrong authentication scheme"
        ),
    },
    "Nginx": {
        "no login: TLS or too many requests": r"SSL_(?:do_handshake|read)|limiting requests",
        "impossible: a user name of Basic authentication has no colon": (
            r"server: test, request: .*was not found in"
        ),
    },
    "VSFTPD": {
        "made up: XYZ is not how vsftpd writes a user": "XYZ FAIL LOGIN",
        "the answer to the client, beside FAIL LOGIN": "FTP response",
    },
    "ProFTPD": {
        "the end of a connection whose attempts were counted": "Maximum login attempts",
        "made up: XYZ, and a blank that ProFTPD does not write": "XYZ no such user",
    },
    "Postfix": {
        "no login, or not smtpd": (
            r"non-SMTP command|lost connection|postgrey|postscreen|NOQUEUE: reject"
        ),
        "a mechanism that the server does not offer": "Invalid authentication mechanism",
    },
    "Dovecot": {
        "the auth process, with auth_verbose: the login process says it, too": (
            r"auth(?:-worker)?[^ ]*: |auth\(info"
        ),
        "PAM says it beside the login process": r"pam_unix\(dovecot:auth\)",
        "no password was tried, or not in the clear": (
            r"no auth attempts|tried to use dis|before auth was ready|finish SASL|TLS handshake"
        ),
    },
}


@shared("corpora/fail2ban.jsonl")
def test_attacks_are_found_with_the_right_address() -> None:
    found = Counter(
        (case.corpus, case.section)
        for case in cases()
        if case.attack and blamed(case.section, case.line) is not None
    )
    assert dict(found) == FOUND


@shared("corpora/fail2ban.jsonl")
def test_no_line_of_the_corpora_blames_a_wrong_address() -> None:
    for case in cases():
        ip = blamed(case.section, case.line)
        if ip is not None and case.ip is not None:
            assert ip == str(parse_address(case.ip)), case


@shared("corpora/fail2ban.jsonl")
def test_innocent_lines_blame_nobody() -> None:
    guilty = [case for case in cases() if not case.attack and blamed(case.section, case.line)]
    assert guilty == []
    assert sum(not case.attack for case in cases()) > 200


@shared("corpora/fail2ban.jsonl")
def test_every_attack_that_is_not_counted_has_its_reason() -> None:
    used: set[tuple[str, str]] = set()
    for case in cases():
        if not case.attack or blamed(case.section, case.line) is not None:
            continue
        reasons = [
            reason
            for reason, says in NOT_COUNTED[case.section].items()
            if re.search(says, case.line)
        ]
        assert reasons, case
        used.update((case.section, reason) for reason in reasons)
    every = {(section, reason) for section, why in NOT_COUNTED.items() for reason in why}
    assert used == every


@shared("corpora/fail2ban.jsonl")
def test_a_section_finds_nothing_in_the_logs_of_other_services() -> None:
    kin = {"zzz-sshd-obsolete-multiline": "SSH", **SERVICES}
    seen = 0
    for corpus in ("fail2ban", "sshguard", "crowdsec"):
        for record in records(corpus):
            own = kin.get(record.get("filter") or record["service"])
            for line in record.get("lines") or [record["line"]]:
                for section in SECTIONS:
                    if section != own:
                        seen += 1
                        assert blamed(section, line) is None, (section, line)
    assert seen > 10_000


# What counts -----------------------------------------------------------------

#: What OpenSSH 9.2 wrote about one connection each, and how often it must count.
CONNECTIONS = {
    "two wrong passwords of a user who exists": (
        2,
        """Failed password for root from 198.51.100.7 port 52768 ssh2
        Failed password for root from 198.51.100.7 port 52768 ssh2
        Connection closed by authenticating user root 198.51.100.7 port 52768 [preauth]""",
    ),
    "a user who does not exist": (
        2,
        """Invalid user nosuch from 198.51.100.7 port 57766
        pam_unix(sshd:auth): check pass; user unknown
        pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 rhost=198.51.100.7
        Failed password for invalid user nosuch from 198.51.100.7 port 57766 ssh2
        Connection closed by invalid user nosuch 198.51.100.7 port 57766 [preauth]""",
    ),
    "two wrong answers to PAM of a user who exists": (
        2,
        """error: PAM: Authentication failure for root from 198.51.100.7
        error: PAM: Authentication failure for root from 198.51.100.7
        Failed keyboard-interactive/pam for root from 198.51.100.7 port 47208 ssh2
        Connection closed by authenticating user root 198.51.100.7 port 41874 [preauth]""",
    ),
    "PAM and a user who does not exist": (
        2,
        """Invalid user nosuch from 198.51.100.7 port 47208
        Postponed keyboard-interactive for invalid user x from 198.51.100.7 port 4 ssh2 [preauth]
        error: PAM: Authentication failure for illegal user nosuch from 198.51.100.7
        Failed keyboard-interactive/pam for invalid user nosuch from 198.51.100.7 port 47208 ssh2
        Connection closed by invalid user nosuch 198.51.100.7 port 47208 [preauth]""",
    ),
    "a server that only takes keys, a user who does not exist": (
        1,
        """Invalid user nosuch from 198.51.100.7 port 34622
        Connection closed by invalid user nosuch 198.51.100.7 port 34622 [preauth]""",
    ),
    "a user who may not log in": (
        2,
        """User root from 198.51.100.7 not allowed because not listed in AllowUsers
        Failed password for invalid user root from 198.51.100.7 port 34638 ssh2
        Connection closed by invalid user root 198.51.100.7 port 34638 [preauth]""",
    ),
    "a good login with the third key": (
        0,
        """Failed publickey for git from 198.51.100.7 port 57904 ssh2: RSA SHA256:AAAA
        Failed publickey for git from 198.51.100.7 port 57904 ssh2: ECDSA SHA256:BBBB
        Accepted publickey for git from 198.51.100.7 port 57904 ssh2: ED25519 SHA256:CCCC
        pam_unix(sshd:session): session opened for user git(uid=1000) by (uid=0)
        Disconnected from user git 198.51.100.7 port 57904""",
    ),
}


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_a_connection_to_ssh_counts_as_often_as_it_should(connection: str) -> None:
    expected, lines = CONNECTIONS[connection]
    count = sum(
        blamed("SSH", f"Jun 21 16:47:48 host sshd[4321]: {line.strip()}") == TRUE
        for line in lines.splitlines()
    )
    assert count == expected


# How syslog writes a line ----------------------------------------------------

MESSAGE = f"Failed password for root from {TRUE} port 4711 ssh2"


@pytest.mark.parametrize(
    "line",
    [
        f"Jun 21 16:47:48 host sshd[4321]: {MESSAGE}",
        f"Jun  1 06:47:48 host.example.com sshd[1]: {MESSAGE}",
        f"Jun 1 06:47:48 192.0.2.1 sshd-session[4321]: {MESSAGE}",
        f"Jun 21 16:47:48.123456 my-host sshd-auth[4321]: {MESSAGE}",
        f"<38>Jun 21 16:47:48 host sshd[4321]: {MESSAGE}",
        f"2004-06-21T16:47:48.123456+02:00 host sshd[4321]: {MESSAGE}",
        f"2004-06-21T16:47:48Z host sshd[4321]: {MESSAGE}",
        f"2004-06-21T16:47:48+0200 host sshd[4321]: {MESSAGE}",
        f"2004-06-21 16:47:48,123 host sshd[4321]: {MESSAGE}",
        f"Jun 21 16:47:48 sshd[4321]: {MESSAGE}",
        f"Jun 21 16:47:48 host auth.info sshd[4321]: {MESSAGE}",
        f"Jun 21 16:47:48 <4.6> host sshd[4321]: {MESSAGE}",
        f"Jun 21 16:47:48 host sshd[4321]: [ID 800047 auth.info] {MESSAGE}",
        f"Jun 21 16:47:48 host sshd[4321]: message repeated 2 times: [ {MESSAGE}]",
        f"<38>1 2004-06-21T16:47:48.954167-04:00 host sshd 57915 - - {MESSAGE}",
        f'<38>1 2004-06-21T16:47:48Z host sshd 57915 ID [a x="1"][b y="\\"]"] {MESSAGE}',
        f"Jun 21 16:47:48 host sshd[4321]: {MESSAGE} ",
    ],
)
def test_a_line_is_found_however_syslog_writes_it(line: str) -> None:
    assert blamed("SSH", line) == TRUE


# Lies ------------------------------------------------------------------------

S = "Jun 21 16:47:48 host "
A = "[Sat Jun 19 16:47:48.123456 2004] [auth_basic:error] [pid 7:tid 8] "
N = "2004/06/21 16:47:48 [error] 7#7: *3 "
V = "Mon Jun 21 16:47:48 2004 [pid 7] "
P = f"{S}proftpd[7] srv.example.com (evil.example.com[{TRUE}]): "
D = "(auth failed, 1 attempts in 2 secs): "
PAM = "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp "
REQUEST = 'server: s, request: "GET / HTTP/1.1", host: "h"'

#: Section, line, whom it must blame. 192.0.2.66 is the liar's victim.
LIES: list[tuple[str, str, str | None]] = [
    # User names of ssh.
    ("SSH", f"{S}sshd[1]: Invalid user x from {LIAR} from {TRUE} port 5", TRUE),
    ("SSH", f"{S}sshd[1]: Invalid user x from {LIAR} port 22 from {TRUE} port 5", TRUE),
    ("SSH", f"{S}sshd[1]: Invalid user x from {LIAR} port 22 [preauth] from {TRUE}", TRUE),
    ("SSH", f"{S}sshd[1]: Invalid user from {LIAR} from {TRUE6} port 5", TRUE6),
    ("SSH", f"{S}sshd[1]: Invalid user  from {LIAR}  from {TRUE} port 5", TRUE),
    (
        "SSH",
        f"{S}sshd[1]: Failed password for root from {LIAR} port 22 ssh2 from {TRUE} port 5 "
        "ssh2",
        TRUE,
    ),
    (
        "SSH",
        f"{S}sshd[1]: Failed password for invalid user root from {LIAR} port 22 ssh2 from "
        f"{TRUE} port 5 ssh2",
        TRUE,
    ),
    (
        "SSH",
        f"{S}sshd[1]: Failed publickey for x from {TRUE} port 5 ssh2: RSA SHA256:AAAA from "
        f"{LIAR} port 1 ssh2",
        None,
    ),
    (
        "SSH",
        f'{S}sshd[1]: Failed hostbased for x from {TRUE} port 5 ssh2: RSA aa, client user "y'
        f' from {LIAR} port 22 ssh2", client host "z"',
        None,
    ),
    (
        "SSH",
        f'{S}sshd[1]: Failed hostbased for x from {TRUE} port 5 ssh2: RSA aa, client user '
        f'"y", client host "z from {LIAR} port 22 ssh2',
        None,
    ),
    ("SSH", f"{S}sshd[1]: Accepted password for x from {TRUE} port 5 ssh2", None),
    (
        "SSH",
        f"{S}sshd[1]: error: PAM: Authentication failure for x from {LIAR} via 1.2.3.4 from "
        f"{TRUE}",
        TRUE,
    ),
    (
        "SSH",
        f"{S}sshd[1]: error: PAM: Authentication failure for x for y from {LIAR} from {TRUE}",
        TRUE,
    ),
    (
        "SSH",
        f"{S}sshd[1]: User x from {LIAR} not allowed because not listed in AllowUsers from "
        f"{TRUE} not allowed because not listed in AllowUsers",
        TRUE,
    ),
    (
        "SSH",
        f"{S}sshd[1]: Connection closed by invalid user a from {LIAR} port 22 ssh2 {TRUE} "
        "port 5 [preauth]",
        None,
    ),
    (
        "SSH",
        f"{S}sshd[1]: Disconnecting invalid user Failed password for root from {LIAR} port "
        "22 ssh2",
        None,
    ),
    (
        "SSH",
        f"{S}sshd[1]: Bad protocol version identification 'Failed password for root from "
        f"{LIAR} port 22 ssh2' from {TRUE} port 5",
        None,
    ),
    (
        "SSH",
        f"{S}sshd[1]: error: Received disconnect from {TRUE} port 5:3: Invalid user x from "
        f"{LIAR} port 22",
        None,
    ),
    ("SSH", f"{S}sshd[1]: banner exchange: Invalid user x from {LIAR} port 22", None),
    # Other programs that repeat what a client said, in the same log.
    ("SSH", f"{S}su: FAILED SU (to sshd[1]: Invalid user x from {LIAR}) root on none", None),
    ("SSH", f"{S}app: sshd[1]: Invalid user x from {LIAR} port 22", None),
    ("SSH", f"{S}app[7]: sshd[1]: Invalid user x from {LIAR} port 22", None),
    ("SSH", f"Jun 21 16:47:48 app: sshd[1]: Invalid user x from {LIAR} port 22", None),
    ("SSH", f"Jun 21 16:47:48 app[7]: sshd[1]: Invalid user x from {LIAR} port 22", None),
    ("SSH", f"{S}app[7]: x Jun 21 16:47:48 host sshd[1]: Invalid user x from {LIAR} port 22", None),
    (
        "SSH",
        f"<38>1 2004-06-21T16:47:48Z host app 7 - - sshd 7 - - Invalid user x from {LIAR} "
        "port 22",
        None,
    ),
    # Names that the owner of an address gives it in the DNS.
    ("SSH", f"{S}sshd[1]: refused connect from {LIAR} ({TRUE})", None),
    (
        "SSH",
        f"{S}sshd[1]: User root from {LIAR}.example.com not allowed because not listed in "
        "AllowUsers",
        None,
    ),
    (
        "ProFTPD",
        f"{S}proftpd[7] srv (x[{LIAR}][{TRUE}]): USER x (Login failed): Incorrect password.",
        None,
    ),
    (
        "ProFTPD",
        f"{S}proftpd[7] srv ({LIAR}[{TRUE}]): USER x (Login failed): Incorrect password.",
        TRUE,
    ),
    (
        "Postfix",
        f"{S}postfix/smtpd[7]: warning: {LIAR}[{TRUE}]: SASL LOGIN authentication failed: x",
        TRUE,
    ),
    (
        "Postfix",
        f"{S}postfix/smtpd[7]: warning: x[{LIAR}][{TRUE}]: SASL LOGIN authentication failed:"
        " x",
        None,
    ),
    # User names of Apache; what stands before them is Apache's own.
    ("Apache", f"{A}[client {TRUE}:5] AH01618: user [client {LIAR}:80] user x not found: /", TRUE),
    (
        "Apache",
        f'{A}[client {TRUE6}:5154] AH01617: user [client {LIAR}]: authentication failure for'
        ' "/": Password Mismatch',
        TRUE6,
    ),
    (
        "Apache",
        f"{A}[client {TRUE}:5] AH01618: user x not found: /[client {LIAR}:1] user y not "
        "found: /",
        TRUE,
    ),
    (
        "Apache",
        f"{A}[client {TRUE}:5] AH00128: File does not exist: /[client {LIAR}:1] user x not "
        "found: /",
        None,
    ),
    (
        "Apache",
        f"{A}[client {TRUE}:5] AH01071: Got error 'PHP message: user {LIAR} not found: x'",
        None,
    ),
    (
        "Apache",
        f"[Sat Jun 19 16:47:48 2004] [error] [client {TRUE}] user [client {LIAR}] user x not"
        f" found: /, referer: [client {LIAR}] user y not found: /",
        TRUE,
    ),
    (
        "Apache",
        f"[Sat Jun 19 16:47:48 2004] [error] [client {TRUE}] script: [client {LIAR}] user x "
        "not found: /",
        None,
    ),
    # User names and referrers of nginx; a name has no colon.
    (
        "Nginx",
        f'{N}user "x, client {LIAR}, server" was not found in "/etc/p", client: {TRUE}, '
        f'{REQUEST}',
        TRUE,
    ),
    ("Nginx", f'{N}user "x"" was not found in "/etc/p", client: {TRUE}, {REQUEST}', TRUE),
    (
        "Nginx",
        f'{N}user "x": password mismatch, client: {TRUE}, {REQUEST}, referrer: "y": password'
        f' mismatch, client: {LIAR}, {REQUEST}"',
        TRUE,
    ),
    (
        "Nginx",
        f'{N}user "x": password mismatch, client: {TRUE}, server: s, request: "GET /", '
        f'client: {LIAR}, {REQUEST}',
        None,
    ),
    (
        "Nginx",
        f'{N}user "x": password mismatch, client: {TRUE}, server: s, request: "GET '
        f'/",client:{LIAR}," HTTP/1.1", host: "h"',
        TRUE,
    ),
    (
        "Nginx",
        f'{N}user "x": password mismatch, client: {TRUE}, server: s, request: "GET /'
        f'{"A" * 1900}',
        TRUE,
    ),
    (
        "Nginx",
        f'{N}open() "/x user "y": password mismatch, client: {LIAR}, {REQUEST}" failed (2: '
        f'No such file), client: {TRUE}, {REQUEST}',
        None,
    ),
    # User names of FTP.
    ("VSFTPD", f'{V}[x] FAIL LOGIN: Client "{LIAR}"] FAIL LOGIN: Client "{TRUE}"', None),
    ("VSFTPD", f'{V}[x] FAIL LOGIN: Client "{LIAR}", "y] FAIL LOGIN: Client "{TRUE6}"', None),
    ("VSFTPD", f'{V}[x: Client {LIAR}] FAIL LOGIN: Client "{TRUE}"', TRUE),
    ("VSFTPD", f'{V}FTP command: Client "{TRUE}", "USER [y] FAIL LOGIN: Client "{LIAR}"', None),
    (
        "VSFTPD",
        f'{S}vsftpd[7]: [ftp] FTP command: Client "{TRUE}", "RETR ] FAIL LOGIN: Client "'
        f'{LIAR}"',
        None,
    ),
    ("VSFTPD", f'{V}[x] FAIL LOGIN: Client "{LIAR}"] OK LOGIN: Client "{TRUE}"', None),
    ("VSFTPD", f'{V}[x] FTP command: Client "{TRUE}", "USER y] FAIL LOGIN: Client "{LIAR}"', None),
    ("VSFTPD", f"{S}vsftpd: {PAM}ruser=rhost={LIAR} rhost={TRUE}", TRUE),
    ("VSFTPD", f"{S}vsftpd: {PAM}ruser=x rhost={LIAR} rhost={TRUE}", None),
    ("VSFTPD", f"{S}vsftpd: {PAM}ruser=x rhost={TRUE}  user=x rhost={LIAR}", None),
    (
        "ProFTPD",
        f"{P}USER srv (x[{LIAR}]): no such user found from {LIAR} [{LIAR}] to {LIAR}:21",
        TRUE,
    ),
    (
        "ProFTPD",
        f"{P}USER x (Login failed): srv (y[{LIAR}]): USER z (Login failed): Incorrect "
        "password.",
        TRUE,
    ),
    ("ProFTPD", f"{P}USER x: Login successful.", None),
    # User names of mail.
    (
        "Postfix",
        f"{S}postfix/smtpd[7]: warning: unknown[{TRUE}]: SASL LOGIN authentication failed: "
        f"x, sasl_username=unknown[{LIAR}]: SASL LOGIN authentication failed: y",
        TRUE,
    ),
    (
        "Postfix",
        f"{S}postfix/smtpd[7]: warning: non-SMTP command from unknown[{TRUE}]: warning: x["
        f"{LIAR}]: SASL LOGIN authentication failed: y",
        None,
    ),
    (
        "Dovecot",
        f"{S}dovecot: imap-login: Disconnected {D}user=<x>, method=PLAIN, rip={LIAR}, "
        f"lip=1.2.3.4, TLS>, method=PLAIN, rip={TRUE}, lip=10.0.0.1, TLS, session=<a+b>",
        TRUE,
    ),
    (
        "Dovecot",
        f"{S}dovecot: imap-login: Disconnected {D}user=<x, rip={LIAR}>, method=PLAIN, rip="
        f"{TRUE6}, lip=::1",
        TRUE6,
    ),
    (
        "Dovecot",
        f"{S}dovecot: imap-login: Disconnected {D}user=<x>, rip={LIAR}, session=<y>, rip="
        f"{TRUE}, lip=1.2.3.4, session=<z>",
        TRUE,
    ),
    (
        "Dovecot",
        f"{S}dovecot: imap-login: Disconnected (no auth attempts in 2 secs): user=<{D}rip="
        f"{LIAR}>, rip={TRUE}, lip=1.2.3.4",
        None,
    ),
    (
        "Dovecot",
        f"{S}dovecot: imap-login: Login: user=<{D}user=<x>, rip={LIAR}>, method=PLAIN, rip="
        f"{TRUE}, lip=1.2.3.4",
        None,
    ),
    ("Dovecot", f"{S}dovecot: lmtp(x): msgid=<y>: {D}user=<x>, rip={LIAR}, lip=1.2.3.4", None),
]  # fmt: skip


def test_there_are_lies_about_every_section() -> None:
    told = Counter(section for section, _, _ in LIES)
    assert set(told) == set(SECTIONS) and min(told.values()) >= 4 and told.total() >= 40


@pytest.mark.parametrize(("section", "line", "truth"), LIES)
def test_a_line_that_lies_blames_its_author_or_nobody(
    section: str, line: str, truth: str | None
) -> None:
    assert blamed(section, line) == truth


#: Lines with a user name in them, as the services write them.
TEMPLATES = {
    "SSH": [
        S + "sshd[1]: Invalid user {user} from {ip} port 5",
        S + "sshd[1]: Failed password for {user} from {ip} port 5 ssh2",
        S + "sshd[1]: error: PAM: Authentication failure for {user} from {ip}",
    ],
    "Apache": [
        A + "[client {ip}:51548] AH01618: user {user} not found: /",
        A + '[client {ip}:5154] AH01617: user {user}: authentication failure for "/":'
        " Password Mismatch",
        A + "[client {ip}:5] AH01792: user {user}: password mismatch: /",
        "[Sat Jun 19 16:47:48 2004] [error] [client {ip}] user {user} not found: /",
    ],
    "Nginx": [
        N + 'user "{user}": password mismatch, client: {ip}, ' + REQUEST,
        N + 'user "{user}" was not found in "/etc/p", client: {ip}, ' + REQUEST,
        N + "PAM: user '{user}' - not authenticated: User not known, client: {ip}, " + REQUEST,
    ],
    "VSFTPD": [
        V + '[{user}] FAIL LOGIN: Client "{ip}"',
        V + '[{user}] FAIL LOGIN: Client "{ip}", "User is not in the allow user list."',
        S + "vsftpd[7]: " + PAM + "ruser={user} rhost={ip}",
        S + "vsftpd[7]: " + PAM + "ruser={user} rhost={ip}  user={user}",
    ],
    "ProFTPD": [
        S + "proftpd[7] srv (x[{ip}]): USER {user} (Login failed): Incorrect password.",
        S + "proftpd[7]: srv (x[{ip}]) - USER {user}: no such user found from x [{ip}] to ::1:21",
    ],
    "Postfix": [
        S + "postfix/smtpd[7]: warning: x[{ip}]: SASL LOGIN authentication failed: y,"
        " sasl_username={user}",
    ],
    "Dovecot": [
        S + "dovecot: imap-login: Disconnected " + D + "user=<{user}>, rip={ip}, lip=1.2.3.4",
        S + "dovecot: imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 2 s)"
        " (auth_failed): user=<{user}>, method=PLAIN, rip={ip}, lip=::1, TLS, session=<a>",
    ],
}  # fmt: skip
FORMS = [(section, template) for section, forms in TEMPLATES.items() for template in forms]

#: Of what an attacker makes his name.
PIECES = [
    *(LIAR, "::ffff:192.0.2.66", " ", "  ", "x", '"', "'", "[", "]", "(", ")", "<", ">", ",", ":"),
    *(" from ", " port 22", " ssh2", " via 1.2.3.4", "invalid user ", " [preauth]", f"[{LIAR}]"),
    *(" not found: /", ": password mismatch: ", f"[client {LIAR}:80] ", "user ", "USER ", " - "),
    *('": password mismatch', '" was not found in "/p"', f", client: {LIAR}", ", " + REQUEST),
    *('] FAIL LOGIN: Client "', f" rhost={LIAR}", " user=x", " (Login failed): ", "ruser="),
    *(": no such user found from ", f", rip={LIAR}", f" rip={LIAR}", ", lip=::1", "session=<a>"),
    *(": SASL LOGIN authentication failed: ", "message repeated 2 times: [ ", f"Client \"{LIAR}\""),
]  # fmt: skip
names = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@pytest.mark.parametrize(("section", "template"), FORMS)
@pytest.mark.parametrize("ip", [TRUE, TRUE6])
def test_a_plain_name_blames_the_address(section: str, template: str, ip: str) -> None:
    assert blamed(section, template.format(user="root", ip=ip)) == ip


@pytest.mark.parametrize(("section", "template"), FORMS)
@given(name=names)
def test_no_name_whatever_moves_the_blame(section: str, template: str, name: str) -> None:
    if section == "Nginx":
        # RFC 7617: the name ends at the first colon.
        name = name.partition(":")[0]
    assert blamed(section, template.format(user=name, ip=TRUE)) in (None, TRUE)


@pytest.mark.parametrize(("section", "template"), FORMS)
@given(name=names)
def test_no_name_hides_an_attack_on_a_service_where_it_could_exist(
    section: str, template: str, name: str
) -> None:
    """Left out are names that the service could not have, so that nothing is lost."""
    if section == "Nginx":
        name = name.partition(":")[0]
        name = name.replace("'", "") if "PAM" in template else name
    if section == "SSH":
        # "ssh2: " could be what follows the true address; such a user does not
        # exist, and "Invalid user" counts.
        name = name.replace(":", "")
    if "pam_unix" in template:
        name = name.replace(" ", "")
    if section == "VSFTPD":
        name = name.replace('Client "', "")
    if section == "Dovecot":
        # Dovecot refuses names with characters outside auth_username_chars.
        name = re.sub(r"[^\w.@-]", "", name)
    assert blamed(section, template.format(user=name, ip=TRUE)) == TRUE


# No line, however made, takes long --------------------------------------------


@pytest.fixture
def patience() -> Iterator[None]:
    """End a test whose pattern would go on for years; `re` heeds signals."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("a pattern takes for ever")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


#: Seconds for which each measurement goes on at least, all of which must be bad: some kernels
#: count processor time in large steps.
ATTEMPTS = (0.0, 0.05, 0.1)


def seconds(section: str, line: str, least: float = 0.0) -> float:
    """Return the least of three times that a section needs for a line."""
    best = float("inf")
    for _ in range(3):
        start, took, runs = time.process_time(), 0.0, 0
        while not runs or took < least:
            filter_of(section).match(Line(line), NOW)
            took, runs = time.process_time() - start, runs + 1
        best = min(best, took / runs)
    return best


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("section", "template"), FORMS)
def test_time_grows_at_most_with_the_square_of_the_length(section: str, template: str) -> None:
    """Four times the length may cost sixteen times the time, hardly more."""
    for piece in [*PIECES, "from from ", 'user "x": ', "a.b.c.d.", "1.2.3.4 ", "1:2::", "a: "]:
        hostile = [
            template.format(user=piece * (size // len(piece)), ip=TRUE) + end
            for size in (1_000, 4_000)
            for end in ("", " \x00")
        ]
        measured = []
        for least in ATTEMPTS:
            short = max(seconds(section, line, least) for line in hostile[:2])
            long = max(seconds(section, line, least) for line in hostile[2:])
            measured.append((short, long))
            # Below a millisecond, the clock says more about itself.
            if long < 40 * max(short, 1e-3):
                break
        else:
            pytest.fail(f"{piece!r}: {measured}")


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("section", SECTIONS)
def test_a_long_line_without_any_sense_costs_no_more(section: str) -> None:
    for piece in ("Jun 21 16:47:48 ", "[", "<38>1 ", '"\\', "a.b ", "[x] ", "host ", ": ", "é"):
        short = seconds(section, f"Jun 21 16:47:48 {piece * (2_000 // len(piece))}")
        long = seconds(section, f"Jun 21 16:47:48 {piece * (8_000 // len(piece))}")
        assert long < 40 * max(short, 1e-3), (piece, short, long)


def test_the_addresses_of_these_tests_are_what_they_seem() -> None:
    assert ip_address(TRUE).version == 4 and str(ip_address(TRUE6)) == TRUE6
