# SPDX-License-Identifier: GPL-2.0-or-later
"""Two capabilities suffice, and the places that the systemd unit lets us write to.

The daemon runs as the unit says: as root with an empty hand, in a file system of which
only these places can be written. The shipped configurations are used as they are, but
for the log that is read.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import needs
from tests.e2e.daemon import ROOT, RunningDaemon
from tests.netns import Namespace

pytestmark = [
    needs.root(),
    needs.programs("nft", "iptables", "ip6tables", "ip", "setpriv", "unshare"),
]

UNIT = (ROOT / "config" / "fail2ban.service").read_text()
#: Numbers of linux/capability.h.
CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12}
STRANGER = 4711
ATTACKER, ATTACKER6 = "203.0.113.1", "2001:db8::1"

# Makes everything read-only but what the unit says: /run, /var/log, and the folders of
# StateDirectory and RuntimeDirectory, for which folders of the test stand in.
SANDBOX = """
set -e
folder=$1; shift
mount --make-rprivate /
mount --bind $folder/run /run
mount --bind $folder/log /var/log
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/fail2ban
mount --bind $folder/state /var/lib/fail2ban
mount -o remount,bind,ro /var/lib
mount -o remount,bind,ro /
exec "$@"
"""


def setting(name: str) -> str:
    """Return what the unit says about something."""
    [found] = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(found)


def dropping() -> list[str]:
    """Return the command that runs another one with the capabilities of the unit."""
    kept = setting("CapabilityBoundingSet").lower().replace("cap_", "").split()
    bounding = ",".join(["-all", *(f"+{name}" for name in kept)])
    return ["setpriv", f"--bounding-set={bounding}", "--inh-caps=-all", "--no-new-privs"]


class Sandbox:
    """The folders of the unit, and a log that only somebody else may read."""

    def __init__(self, folder: Path, flavour: str) -> None:
        self.folder = folder
        for name in ("run/fail2ban", "log", "state", "theirs"):
            (folder / name).mkdir(parents=True)
        (folder / "state").chmod(0o700)
        self.log = folder / "theirs" / "auth.log"
        self.log.touch()
        for path in (self.log, self.log.parent):
            path.chmod(0o700)
            os.chown(path, STRANGER, STRANGER)
        text = (ROOT / "config" / f"fail2ban.conf.{flavour}").read_text()
        self.config = folder / "shipped.conf"
        self.config.write_text(
            re.sub(r"(?m)^logfile =.*(\n .*)*", f"logfile = {self.log}", text, count=1)
        )
        assert str(self.log) in self.config.read_text()

    def attack(self, ip: str) -> None:
        moment = time.strftime("%b %d %H:%M:%S")
        text = f"Failed password for alice from {ip} port 50022 ssh2"
        with self.log.open("a") as log:
            log.write(f"{moment} server sshd[4711]: {text}\n" * 5)

    @contextmanager
    def daemon(self, host: Namespace, ready: str) -> Iterator[RunningDaemon]:
        """Run the daemon in the sandbox; it ends well."""
        sandbox = ["unshare", "--mount", "sh", "-c", SANDBOX, "sh", str(self.folder)]
        pidfile = re.findall(r" -p (\S+)", setting("ExecStart"))
        with RunningDaemon(
            self.folder,
            self.config,
            *("-p", *pidfile),
            namespace=host,
            ready=ready,
            through=[*sandbox, *dropping()],
            logfile=self.folder / "log" / "fail2ban.log",
        ) as daemon:
            yield daemon
            assert daemon.stop() == 0, daemon.log()

    def written(self) -> set[str]:
        """Return what lies in the folders that can be written."""
        return {
            str(path.relative_to(self.folder))
            for name in ("run", "log", "state")
            for path in (self.folder / name).rglob("*")
            if not path.is_dir()
        }


def capabilities(pid: int) -> dict[str, int]:
    """Return the sets of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {name: int(bits, 16) for name, bits in re.findall(r"^Cap(\w+):\t(\w+)$", text, re.M)}


FLAVOURS = {
    "nftables": ("nft list table inet fail2ban", "nft list ruleset"),
    "iptables": ("iptables -S fail2ban-SSH", "iptables-save; ip6tables-save"),
}


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace("server") as found:
        yield found


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest, host: Namespace) -> str:
    if request.param == "iptables" and "nf_tables" not in host.run("iptables --version").stdout:
        pytest.skip("legacy iptables needs CAP_NET_RAW, as the unit says")
    return str(request.param)


def holds(host: Namespace, state: str) -> Callable[[str], bool]:
    """Return what tells whether the kernel knows an address."""
    return lambda ip: (
        re.search(rf"(?<![\w.:]){re.escape(ip)}(?![\w.:])", host.run(state).stdout) is not None
    )


def test_the_unit_grants_two_capabilities_and_no_more() -> None:
    assert set(setting("CapabilityBoundingSet").split()) == CAPABILITIES.keys()
    assert setting("NoNewPrivileges") == "yes"


def test_two_capabilities_suffice_for_a_ban_from_a_log_of_somebody_else(
    host: Namespace, tmp_path: Path, flavour: str
) -> None:
    ready, state = FLAVOURS[flavour]
    sandbox, banned = Sandbox(tmp_path, flavour), holds(host, state)
    with sandbox.daemon(host, ready) as daemon:
        found = capabilities(daemon.process.pid)
        allowed = sum(1 << number for number in CAPABILITIES.values())
        assert found["Bnd"] == found["Prm"] == found["Eff"] == allowed
        assert found["Inh"] == found["Amb"] == 0
        for ip in (ATTACKER, ATTACKER6):
            sandbox.attack(ip)
            daemon.wait_for(lambda ip=ip: banned(ip))  # type: ignore[misc]
    assert not banned(ATTACKER) and "fail2ban" not in host.run(state).stdout
    assert daemon.count("ERROR|CRITICAL|Traceback") == 0, daemon.log()


def test_all_that_is_written_lies_where_the_unit_allows_it(host: Namespace, tmp_path: Path) -> None:
    ready, _ = FLAVOURS["nftables"]
    sandbox = Sandbox(tmp_path, "nftables")
    with sandbox.daemon(host, ready) as daemon:
        sandbox.attack(ATTACKER)
        daemon.wait_for(rf"Ban .*{ATTACKER}")
        there = sandbox.written()
        assert {"run/fail2ban.pid", "run/fail2ban/fail2ban.sock", "log/fail2ban.log"} <= there
        control = (tmp_path / "run/fail2ban/fail2ban.sock").stat()
        assert stat.S_IMODE(control.st_mode) == 0o600
        assert "state/fail2ban.sqlite3" in there
    assert not sandbox.written() & {"run/fail2ban.pid", "run/fail2ban/fail2ban.sock"}
    with sqlite3.connect(tmp_path / "state" / "fail2ban.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_without_the_capabilities_the_test_would_notice(host: Namespace, tmp_path: Path) -> None:
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    sandbox = Sandbox(tmp_path, "nftables")
    with pytest.raises(AssertionError):
        host.run([*bare, "cat", str(sandbox.log)])
    with pytest.raises(AssertionError):
        host.run([*bare, "nft", "add table inet x"])
    host.run([*dropping(), "cat", str(sandbox.log)])
    host.run([*dropping(), "nft", "add table inet x"])
