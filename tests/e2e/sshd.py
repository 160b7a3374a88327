# SPDX-License-Identifier: GPL-2.0-or-later
"""A real SSH server with a real syslog, in one network namespace, and its clients.

The server sees files of its own in the places of the machine's: users, TCP wrappers,
/dev/log, /run and /var/log. They are laid over them in a mount namespace, so the
machine itself is not touched and need not be set up in any way.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.daemon import wait_until
from tests.netns import Namespace

PROGRAMS = ("sshd", "ssh", "ssh-keygen", "sshpass", "rsyslogd", "unshare", "mount", "ip")

#: May log in; her shell repeats what is typed.
USER, PASSWORD = "alice", "right password"

#: Exists, but has no password.
OTHER_USER = "bob"

#: Has been locked with `passwd -l`.
LOCKED_USER = "carol"

_PASSWD = f"""\
root:x:0:0:root:/root:/bin/sh
sshd:x:102:65534::/run/sshd:/usr/sbin/nologin
{USER}:x:1000:1000::/:/bin/cat
{OTHER_USER}:x:1001:1001::/:/bin/cat
{LOCKED_USER}:x:1002:1002::/:/bin/cat
"""

# As `openssl passwd -6` makes it.
_HASH = (
    "$6$fail2ban$noR0scnyExOED7Ff3QaegaTDtWyDY7BfKy2ii5p4LOAuk5sXG2NIie0FrdQ12MfdYtOFyu3"
    "SqF2cJ.JFr4n6R."
)

_SHADOW = f"""\
root:*:19000:0:99999:7:::
sshd:!:19000::::::
{USER}:{_HASH}:19000:0:99999:7:::
{OTHER_USER}:*:19000:0:99999:7:::
{LOCKED_USER}:!{_HASH}:19000:0:99999:7:::
"""

# Nobody is asked for names: the wrappers would wait for the answer.
_NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files
"""

_SSHD_CONFIG = """\
HostKey {folder}/host_key
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication yes
KbdInteractiveAuthentication no
AuthorizedKeysFile none
"""

_RSYSLOG_CONFIG = """\
module(load="imuxsock" SysSock.Name="/dev/log")
action(type="omfile" file="{folder}/auth.log" template="RSYSLOG_TraditionalFileFormat")
"""

# $1 is the folder with our files. The new /dev is made beside the old one, whose
# devices it borrows, and then moved over it. OpenSSH 9.8 and newer would itself lock
# an attacker out (PerSourcePenalties), older ones do not know the option.
_START = """\
set -e
mkdir "$1/dev"
mount -t tmpfs none "$1/dev"
for device in null zero full random urandom tty; do
    touch "$1/dev/$device"
    mount --bind "/dev/$device" "$1/dev/$device"
done
mount --move "$1/dev" /dev
mount -t tmpfs none /run
mount -t tmpfs none /var/log
mkdir -m 755 /run/sshd
for file in passwd shadow nsswitch.conf hosts.allow hosts.deny; do
    mount --bind "$1/$file" "/etc/$file"
done
sshd=$(command -v sshd)
"$sshd" -t -f "$1/sshd_config" -o PerSourcePenalties=no 2>/dev/null &&
    echo PerSourcePenalties no >>"$1/sshd_config"
rsyslogd -n -f "$1/rsyslog.conf" -i "$1/rsyslog.pid" &
while [ ! -S /dev/log ]; do sleep 0.05; done
exec "$sshd" -D -f "$1/sshd_config"
"""

_OPTIONS = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "GlobalKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "PreferredAuthentications": "password",
    "NumberOfPasswordPrompts": "1",
    "ConnectTimeout": "10",
}

#: Connects, and prints the first line that the server sends.
_GREET = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    peer = socket.create_connection((host, port), 1)
except OSError:
    print("no connection")
    sys.exit()
peer.settimeout(30)
try:
    print(peer.recv(100).decode().strip() or "closed")
except ConnectionError:
    print("closed")
"""


def start_server(namespace: Namespace, folder: Path, hosts_deny: str = "") -> Path:
    """Start sshd on port 22 of all addresses; it ends with the namespace.

    Args:
        folder: for configuration, keys, hosts.deny and the log.
        hosts_deny: what the server finds in /etc/hosts.deny: folder/hosts.deny.

    Returns:
        The path of auth.log, in rsyslog's traditional format.
    """
    files = {
        "passwd": _PASSWD,
        "shadow": _SHADOW,
        "nsswitch.conf": _NSSWITCH,
        "hosts.allow": "",
        "hosts.deny": hosts_deny,
        "sshd_config": _SSHD_CONFIG.format(folder=folder),
        "rsyslog.conf": _RSYSLOG_CONFIG.format(folder=folder),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    namespace.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/host_key"])
    output, log = folder / "sshd.output", folder / "auth.log"
    script = f'exec >"$1/{output.name}" 2>&1 </dev/null\n{_START}'
    server = namespace.popen(["unshare", "--mount", "/bin/sh", "-c", script, "sh", str(folder)])

    def listens() -> bool:
        assert server.poll() is None, output.read_text()
        return log.exists() and log.read_text().count("Server listening on") == 2

    wait_until(listens, explain=output.read_text)
    return log


def guess_password(client: Namespace, server: str, user: str) -> None:
    """Log in with a wrong password, once.

    Raises:
        AssertionError: the server did anything but refuse it.
    """
    done = client.run(_ssh(server, user, "wrong password"), check=False)
    assert "Permission denied" in done.stderr, f"status {done.returncode}: {done.stderr}"


def greeting(client: Namespace, server: str, port: int = 22) -> str:
    """Connect; return the server's first line, "closed" or "no connection"."""
    return client.run([sys.executable, "-c", _GREET, server, str(port)]).stdout.strip()


class Session:
    """An open session of a user who knows her password."""

    def __init__(self, client: Namespace, server: str) -> None:
        self._process: subprocess.Popen[str] = client.popen(_ssh(server, USER, PASSWORD))
        assert self.repeats("good morning", patience=30), "no session"

    def repeats(self, word: str, patience: float = 1.0) -> bool:
        """Tell whether the server's shell answers within `patience` seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        readable, _, _ = select.select([self._process.stdout], [], [], patience)
        return bool(readable) and self._process.stdout.readline() == f"{word}\n"


def _ssh(server: str, user: str, password: str) -> Sequence[str]:
    options = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
    return ["sshpass", "-p", password, "ssh", "-T", "-F", "none", *options, f"{user}@{server}"]
