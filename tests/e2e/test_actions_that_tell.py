# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions of upstream's action.d, unmodified, that tell somebody: by mail or over the web.

`sendmail` is msmtp's and `mail` is that of GNU Mailutils; both deliver to an SMTP
server of the test. `curl` and `jq` are real and talk to a web server of the test
in the place of the services. Only `whois` and `geoiplookup` are stand-ins.

Source: jail-conf.md sections 9.1 to 9.3.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.needs import PATH, programs
from tests.test_mail import Inbox, serving
from tests.upstream import RecordedShell, WallOn, hostile_lines, stand_in

FAR, NEAR, FAR6 = "203.0.113.9", "198.51.100.77", "2001:db8:9::9"


# Mail -------------------------------------------------------------------------

MSMTPRC = """\
defaults
syslog off
account default
host 127.0.0.1
port {port}
from fail2ban@example.org
"""


@dataclass
class PostOffice:
    """An SMTP server, and a shell whose `sendmail` and `mail` deliver there.

    Attributes:
        mark: a file that appears if text of an attacker is executed.
    """

    folder: Path
    shell: RecordedShell
    inbox: Inbox

    @property
    def mark(self) -> Path:
        return self.folder / "mark"

    def taken(self) -> list[EmailMessage]:
        """Return the mails since the last call."""
        assert not self.shell.failed
        mails = [message_from_bytes(e.content, policy=policy.SMTP) for e in self.inbox.envelopes]
        assert all(e.rcpt_tos == ["admin@example.org"] for e in self.inbox.envelopes)
        self.inbox.envelopes.clear()
        return mails

    def subjects(self) -> list[str]:
        """Return the first words of the mails' subjects since the last call."""
        return [re.sub(" +(from|on) .*", "", str(mail["Subject"])) for mail in self.taken()]


@pytest.fixture
def post(tmp_path: Path) -> Iterator[PostOffice]:
    stand_in(tmp_path / "bin", "whois", f'echo "whois of $1: \\$(touch {tmp_path}/mark)"')
    stand_in(tmp_path / "bin", "geoiplookup", "echo GeoIP: Nowhere")
    inbox = Inbox()
    with serving(inbox) as port:
        rc = tmp_path / ".msmtprc"
        rc.write_text(MSMTPRC.format(port=port))
        rc.chmod(0o600)
        variables = {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{PATH}"}
        yield PostOffice(tmp_path, RecordedShell(variables=variables), inbox)


def _text(mail: EmailMessage) -> str:
    """Return what a mail says; the actions name no character set."""
    data = mail.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data.decode().replace("\r\n", "\n")


def _is(name: str, real: str) -> bool:
    return Path(shutil.which(name, path=PATH) or "").resolve().name == real


needs_mail = pytest.mark.skipif(
    not (_is("sendmail", "msmtp") and _is("mail", "mail.mailutils")),
    reason="not installed: sendmail of msmtp-mta, mail of mailutils",
)
PLAIN = [
    "sendmail",
    "sendmail-whois",
    "sendmail-whois-lines",
    "sendmail-whois-matches",
    "sendmail-whois-ipmatches",
    "sendmail-whois-ipjailmatches",
    "sendmail-geoip-lines",
    "mail",
    "mail-whois",
    "mail-whois-lines",
]


@needs_mail
@pytest.mark.parametrize("name", PLAIN)
def test_a_mail_tells_of_the_start_of_each_ban_and_of_the_end(
    post: PostOffice, wall_on: WallOn, name: str
) -> None:
    wall = wall_on(post.shell, f"{name}[dest=admin@example.org, sender=fail2ban@example.org]")
    wall.begin()
    assert post.subjects() == ["[Fail2Ban] sshd: started"]

    wall.ban_all(FAR, FAR6)
    wall.ban(ip_address(NEAR), restored=True)

    assert post.subjects() == [f"[Fail2Ban] sshd: banned {ip}" for ip in (FAR, FAR6)]
    wall.unban_everybody()
    wall.end()
    assert post.subjects() == ["[Fail2Ban] sshd: stopped"]


@needs_mail
@pytest.mark.parametrize("name", ["sendmail-buffered", "mail-buffered"])
def test_bans_are_collected_for_a_summary(post: PostOffice, wall_on: WallOn, name: str) -> None:
    wall = wall_on(
        post.shell,
        f"{name}[dest=admin@example.org, sender=fail2ban@example.org, lines=2,"
        f" tmpfile={post.folder}/collected]",
    )
    wall.begin()
    wall.ban_all(FAR)
    assert post.subjects() == ["[Fail2Ban] sshd: started"]

    wall.ban_all(FAR6)
    (mail,) = post.taken()
    assert "ummary" in str(mail["Subject"])
    assert f"{FAR} (5 failures)" in _text(mail) and FAR6 in _text(mail)

    wall.ban_all(NEAR)
    wall.end()
    summary, stopped = post.taken()
    assert NEAR in _text(summary) and FAR not in _text(summary)
    assert "stopped" in str(stopped["Subject"])


@needs_mail
@pytest.mark.parametrize("name", PLAIN)
def test_a_mail_has_the_text_of_an_attacker_and_obeys_none_of_it(
    post: PostOffice, wall_on: WallOn, name: str
) -> None:
    lines = hostile_lines(post.mark)
    log = post.folder / "auth.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    wall = wall_on(
        post.shell,
        f"{name}[dest=admin@example.org, sender=fail2ban@example.org, logpath={log}]",
    )
    wall.begin()
    post.taken()

    wall.ban(ip_address(FAR), lines, {"user": lines[0]})

    (mail,) = post.taken()
    text = _text(mail)
    if "matches" in name or "lines" in name:
        assert "\n".join(lines) in text
    if "whois" in name:
        assert f"whois of {FAR}: $(touch {post.mark})" in text
    assert not post.mark.exists()


# The web ----------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What a service was asked for.

    Attributes:
        path: with the query; body: empty where there was none.
        headers: by name in lower case.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Web:
    """Stands in the place of every web server, and writes down what it is asked.

    Attributes:
        answer: the body of every answer; shell: where `curl` reaches it.
    """

    shell: RecordedShell
    mark: Path
    answer: str = "{}"
    requests: list[Request] = field(default_factory=list)

    def taken(self) -> list[Request]:
        """Return the requests since the last call."""
        assert not self.shell.failed
        requests, self.requests = self.requests, []
        return requests


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    curl = {"CURL_HOME": str(tmp_path), "https_proxy": "", "HTTPS_PROXY": ""}
    place = Web(RecordedShell(variables=curl), tmp_path / "mark")
    with _served(place, _certificate(tmp_path)) as port:
        rc = f'connect-to = "::127.0.0.1:{port}"\ncacert = "{tmp_path}/cert.pem"\n'
        (tmp_path / ".curlrc").write_text(rc)
        yield place


def _certificate(folder: Path) -> ssl.SSLContext:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 "
        "-subj /CN=web -addext subjectAltName=DNS:api.abuseipdb.com,DNS:api.cloudflare.com"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextmanager
def _served(web: Web, context: ssl.SSLContext) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0))).decode()
            web.requests.append(Request(self.command, self.path, headers, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(web.answer.encode())

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


needs_curl = programs("curl", "jq", "openssl")


@needs_curl
def test_abuseipdb_gets_the_text_of_an_attacker_and_nobody_obeys_it(
    web: Web, wall_on: WallOn
) -> None:
    text = 'abuseipdb[abuseipdb_apikey=secret, abuseipdb_category="18,22"]'
    wall = wall_on(web.shell, text)
    wall.begin()
    several = hostile_lines(web.mark)
    # It gets a thousand bytes of them.
    for lines in (several[:3], several[3:6], several[6:]):
        wall.ban(ip_address(FAR), (*lines, "a\\nb\\c\\\\"))

        (request,) = web.taken()
        assert request.headers["key"] == "secret"
        assert urllib.parse.parse_qs(request.body, strict_parsing=True) == {
            "comment": ["\n".join([*lines, "a\\nb\\c\\\\", "..."])],
            "ip": [FAR],
            "categories": ["18,22"],
        }
        wall.unban(FAR)
        assert not web.taken()
    wall.ban(ip_address(NEAR), restored=True)
    assert not web.taken() and not web.mark.exists()


CLOUDFLARE = {
    "cloudflare[cftoken=secret, cfuser=me]": ("x-auth-key", "secret"),
    "cloudflare-token[cftoken=secret, cfzone=zone, notes=mine]": ("authorization", "Bearer secret"),
}


@needs_curl
@pytest.mark.parametrize("text", CLOUDFLARE)
def test_cloudflare_blocks_an_address_and_unblocks_it_by_its_id(
    web: Web, wall_on: WallOn, text: str
) -> None:
    web.answer = json.dumps({"result": [{"id": "4711abc", "paused": False}], "success": True})
    wall = wall_on(web.shell, text)
    wall.begin()
    for ip, target in ((FAR, "ip"), (FAR6, "ip6")):
        wall.ban_all(ip)

        (post,) = web.taken()
        name, value = CLOUDFLARE[text]
        assert post.method == "POST" and post.headers[name] == value
        sent = json.loads(post.body)
        assert sent["configuration"] == {"target": target, "value": ip}

        wall.unban(ip)
        asked, deleted = web.taken()
        assert asked.method == "GET" and ip in urllib.parse.unquote(asked.path)
        assert deleted.method == "DELETE" and deleted.path.endswith("/4711abc")
    wall.end()
    assert not web.taken()
