# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped configuration with the real firewalls: who is locked out, and what stays.

A server and its clients are network namespaces; the daemon runs in the server's.
Of the shipped files only paths and what a test names are changed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests import needs
from tests.e2e import sshd
from tests.e2e.daemon import ROOT, RunningDaemon
from tests.netns import Namespace

pytestmark = [needs.root(), needs.programs(*sshd.PROGRAMS, "nft", "iptables", "ip6tables")]


@dataclass(frozen=True)
class Family:
    """Addresses: the server's own, and those its clients come from."""

    name: str
    server: str
    attacker: str
    friend: str


IPV4 = Family("IPv4", "203.0.113.1", "192.0.2.2", "198.51.100.2")
IPV6 = Family("IPv6", "2001:db8::1", "2001:db8:a::2", "2001:db8:f::2")
FAMILIES = (IPV4, IPV6)


@dataclass(frozen=True)
class Place:
    """Where the daemon works: its host, and the folder with its files and logs."""

    host: Namespace
    folder: Path

    @property
    def hosts_deny(self) -> Path:
        return self.folder / "hosts.deny"

    @property
    def log(self) -> Path:
        return self.folder / "auth.log"

    def fill(self, command: str) -> str:
        """Say FOLDER's name in a command."""
        return command.replace("FOLDER", str(self.folder))


@dataclass(frozen=True)
class Firewall:
    """One of the shipped configurations and how to look at what it does.

    Attributes:
        ready: succeeds once it is set up.
        owner: the administrator's own rules, made before the daemon starts.
        state: everything that could be changed, without the counters.
        banned: addresses that are locked out.
        damages: ways to break it behind the daemon's back, which the check notices.
        amnesty: lets all addresses go behind the daemon's back.
        check: finds a run of `fwcheck` in the log at level DEBUG.
        greets: what a banned client gets instead of the server's greeting.
        cuts: whether open connections end, too.
    """

    name: str
    ready: str
    owner: str
    state: Callable[[Place], str]
    banned: Callable[[Place], list[str]]
    check: str
    damages: dict[str, str]
    amnesty: str
    greets: str = "no connection"
    cuts: bool = True


def _nft_state(place: Place) -> str:
    rules = place.host.run("nft list ruleset").stdout
    return re.sub(r"counter packets \d+ bytes \d+", "counter", rules)


def _nft_banned(place: Place) -> list[str]:
    listed = place.host.run("nft list ruleset inet").stdout
    elements = re.findall(r"^\s*set SSH-ip6? \{$.*?^\s*\}$", listed, re.MULTILINE | re.DOTALL)
    return re.findall(r"([0-9a-f.:]+) timeout \S+ expires", " ".join(elements))


def _iptables_state(place: Place) -> str:
    saved = place.host.run("iptables-save && ip6tables-save").stdout
    lines = re.sub(r"\[\d+:\d+\]", "", saved).splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def _iptables_banned(place: Place) -> list[str]:
    rules = place.host.run("iptables -S && ip6tables -S").stdout
    return re.findall(r"^-A fail2ban-SSH -s (\S+)/\d+ -j DROP$", rules, re.MULTILINE)


def _wrappers_state(place: Place) -> str:
    files = sorted(path.name for path in place.folder.glob("hosts.deny*"))
    return f"{files}\n{place.hosts_deny.read_text()}"


def _wrappers_banned(place: Place) -> list[str]:
    lists = re.findall(r"^ALL: (/\S+)$", place.hosts_deny.read_text(), re.MULTILINE)
    return [line.strip("[]") for path in lists for line in Path(path).read_text().split()]


NFTABLES = Firewall(
    name="nftables",
    ready="nft list table inet fail2ban",
    owner="""nft '
        table inet filter {
            set trusted { type ipv4_addr; elements = { 203.0.113.77 }; }
            chain input {
                type filter hook input priority filter; policy accept;
                ct state established,related counter accept
                ip saddr @trusted accept
                tcp dport 22 counter accept
            }
        }'""",
    state=_nft_state,
    banned=_nft_banned,
    check="DEBUG: test .*nft -t list ruleset",
    damages={
        "ruleset": "nft flush ruleset",
        "table": "nft delete table inet fail2ban",
        "chain": "nft flush chain inet fail2ban SSH-input",
    },
    amnesty="nft flush set inet fail2ban SSH-ip; nft flush set inet fail2ban SSH-ip6",
)

IPTABLES = Firewall(
    name="iptables",
    ready="ip6tables -S FORWARD | grep fail2ban-SSH",
    owner="""
        for iptables in iptables ip6tables; do
            $iptables -N guests
            $iptables -A guests -p tcp --dport 22 -j ACCEPT
            $iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
            $iptables -A INPUT -j guests
            $iptables -A FORWARD -j ACCEPT
        done""",
    state=_iptables_state,
    banned=_iptables_banned,
    check=r"DEBUG: set -e\\nip6tables -w -C INPUT",
    damages={
        "everything": "for tool in iptables ip6tables; do $tool -F; $tool -X; done",
        "input": "iptables -F INPUT",
        "other-family": "ip6tables -F INPUT",
    },
    amnesty="iptables -F fail2ban-SSH; ip6tables -F fail2ban-SSH",
)

HOSTSDENY = Firewall(
    name="hostsdeny",
    ready="grep -q ALL: FOLDER/hosts.deny",
    owner="printf '# Mine.\nvsftpd: 203.0.113.77\n' > FOLDER/hosts.deny",
    state=_wrappers_state,
    banned=_wrappers_banned,
    check="DEBUG: test -f .*hosts.deny.SSH",
    damages={"editor": "echo '# Mine.' > FOLDER/hosts.deny"},
    amnesty=": > FOLDER/hosts.deny.SSH",
    greets="closed",
    cuts=False,
)

FIREWALLS = (NFTABLES, IPTABLES, HOSTSDENY)
KERNEL = (NFTABLES, IPTABLES)

each_firewall = pytest.mark.parametrize("firewall", FIREWALLS, ids=lambda each: each.name)
each_kernel_firewall = pytest.mark.parametrize("firewall", KERNEL, ids=lambda each: each.name)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda each: each.name)
each_damage = pytest.mark.parametrize(
    ("firewall", "damage"),
    [
        pytest.param(firewall, damage, id=f"{firewall.name}-{name}")
        for firewall in FIREWALLS
        for name, damage in firewall.damages.items()
    ],
)


@dataclass(frozen=True)
class Network:
    """A server and two clients in networks of their own; the server routes."""

    server: Namespace
    attacker: Namespace
    friend: Namespace


@pytest.fixture
def network() -> Iterator[Network]:
    with Namespace("server") as server, Namespace("attacker") as bad, Namespace("friend") as good:
        for family in FAMILIES:
            server.run(f"ip address add {family.server} dev lo")
        _connect(server, bad, ["192.0.2.1/24", "2001:db8:a::1/64"], [IPV4.attacker, IPV6.attacker])
        _connect(server, good, ["198.51.100.1/24", "2001:db8:f::1/64"], [IPV4.friend, IPV6.friend])
        yield Network(server, bad, good)


def _connect(server: Namespace, client: Namespace, ours: list[str], theirs: list[str]) -> None:
    server.link(client, ours, [f"{theirs[0]}/24", f"{theirs[1]}/64"])
    for address in ours:
        client.run(f"ip route add default via {address.partition('/')[0]}")


def shipped(firewall: Firewall, folder: Path, changes: Mapping[str, str]) -> str:
    """Return the shipped file with its paths in `folder`.

    Args:
        changes: a line of the file -> what stands there instead.
    """
    text = (ROOT / "config" / f"fail2ban.conf.{firewall.name}").read_text()
    for where in ("/var/log/", "/var/lib/fail2ban/", "/var/run/fail2ban/"):
        text = text.replace(where, f"{folder}/")
    text = text.replace("/etc/hosts.deny", f"{folder}/hosts.deny")
    for old, new in changes.items():
        assert text.count(f"\n{old}\n") == 1, f"not once in the shipped file: {old}"
        text = text.replace(f"\n{old}\n", f"\n{new}\n")
    return text


@contextmanager
def protected(
    firewall: Firewall,
    place: Place,
    *flags: str,
    owner: str = "",
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningDaemon]:
    """Run the daemon with a shipped file, and see that it leaves what it found.

    Args:
        owner: what the administrator did before, if not what `firewall` says.
        changes: a line of the shipped file -> what stands there instead.
    """
    place.host.run(place.fill(owner or firewall.owner))
    before = firewall.state(place)
    with RunningDaemon(
        place.folder,
        shipped(firewall, place.folder, changes),
        *flags,
        namespace=place.host,
        ready=place.fill(firewall.ready),
    ) as daemon:
        yield daemon
        assert firewall.state(place) != before
        assert daemon.stop() == 0, daemon.log()
    assert firewall.state(place) == before


def write_attack(place: Place, *addresses: str) -> None:
    """Write what sshd writes about five wrong passwords of a user who exists."""
    moment = time.strftime("%b %e %H:%M:%S")
    with place.log.open("a") as file:
        for address in addresses:
            text = f"Failed password for alice from {address} port 50022 ssh2"
            file.write(f"{moment} server sshd[4711]: {text}\n" * 5)


# The attacker, and nobody else ----------------------------------------------------


@each_firewall
@each_family
def test_attacker_of_sshd_is_locked_out_for_bantime_and_nobody_else_is(
    network: Network, tmp_path: Path, firewall: Firewall, family: Family
) -> None:
    place = Place(network.server, tmp_path)
    sshd.start_server(network.server, tmp_path)
    with protected(firewall, place, "-t", "10s", "-r", "4") as daemon:
        attackers = sshd.Session(network.attacker, family.server)
        friends = sshd.Session(network.friend, family.server)
        sshd.guess_password(network.friend, family.server, sshd.USER)
        # A user who does not exist counts twice: the name, and the password.
        for user in (sshd.USER, "no-such-user", sshd.OTHER_USER):
            sshd.guess_password(network.attacker, family.server, user)
        daemon.wait_for(f"SSH: {family.attacker} has 4 login failure")
        daemon.wait_for(f"SSH: Ban .* {family.attacker}$")
        assert attackers.repeats("still there?") is not firewall.cuts
        assert friends.repeats("still there?")
        assert sshd.greeting(network.friend, family.server).startswith("SSH-2.0-")
        assert daemon.count("Unban") == 0, "the machine is too slow for this test"
        assert sshd.greeting(network.attacker, family.server) == firewall.greets
        daemon.wait_for(f"SSH: Unban {family.attacker}$")
        assert sshd.greeting(network.attacker, family.server).startswith("SSH-2.0-")
        assert daemon.count("SSH: Ban") == 1


def test_guesses_at_a_locked_account_count(network: Network, tmp_path: Path) -> None:
    """Of these sshd never says "Invalid user", if it does without PAM."""
    place = Place(network.server, tmp_path)
    sshd.start_server(network.server, tmp_path)
    with protected(NFTABLES, place, "-r", "3") as daemon:
        for _ in range(3):
            sshd.guess_password(network.attacker, IPV4.server, sshd.LOCKED_USER)
        daemon.wait_for(f"SSH: Ban .* {IPV4.attacker}$", timeout=10)


@each_kernel_firewall
def test_attacker_of_a_published_port_is_locked_out(
    network: Network, tmp_path: Path, firewall: Firewall
) -> None:
    """As with a container: the router sends its port 2222 to port 22 behind it."""
    place = Place(network.server, tmp_path)
    with Namespace("container") as container, container.echo(22), container.echo(80):
        _publish(network.server, container, {2222: 22, 8080: 80})
        changes = {"port = 22": "port = 2222"}
        with protected(firewall, place, "-t", "1h", changes=changes) as daemon:
            for family in FAMILIES:
                connection = network.attacker.talk(family.server, 2222)
                assert connection.say("before") == "before"
                write_attack(place, family.attacker)
                daemon.wait_for(f"SSH: Ban .* {family.attacker}$")
                assert connection.say("after") == "nothing"
                assert not network.attacker.reaches(family.server, 2222)
                assert network.attacker.reaches(family.server, 8080)
                assert network.friend.reaches(family.server, 2222)
        assert network.attacker.reaches(IPV4.server, 2222)
        assert network.attacker.reaches(IPV6.server, 2222)


def _publish(router: Namespace, container: Namespace, ports: dict[int, int]) -> None:
    """Lay a cable to a container and send ports of the router to ports of it."""
    router.link(
        container,
        ["203.0.113.129/25", "2001:db8:c::1/64"],
        ["203.0.113.130/25", "2001:db8:c::2/64"],
    )
    container.run("ip route add default via 203.0.113.129")
    container.run("ip route add default via 2001:db8:c::1")
    router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    for family, server, inside in (
        ("ip", IPV4.server, "203.0.113.130"),
        ("ip6", IPV6.server, "[2001:db8:c::2]"),
    ):
        rules = "".join(
            f"{family} daddr {server} tcp dport {outer} dnat to {inside}:{inner}\n"
            for outer, inner in ports.items()
        )
        hook = "type nat hook prerouting priority dstnat;"
        router.run(["nft", f"table {family} docker {{\nchain nat {{\n{hook}\n{rules}}}\n}}"])


# What stays ----------------------------------------------------------------------


EVERYBODY = sorted([IPV4.attacker, "198.51.100.66", IPV6.attacker, "2001:db8:bad::1"])


@each_damage
def test_bans_come_back_when_the_firewall_was_flushed(
    network: Network, tmp_path: Path, firewall: Firewall, damage: str
) -> None:
    place = Place(network.server, tmp_path)
    # The administrator's rules are lost, and not ours to restore: lose them before.
    owner = f"{firewall.owner}\n{damage} || true"
    changes = {"reinittime = 10": "reinittime = 2"}
    with protected(firewall, place, "-v", "-t", "1h", owner=owner, changes=changes) as daemon:
        write_attack(place, *EVERYBODY)
        daemon.wait_for("SSH: Ban ", times=len(EVERYBODY))
        place.host.run(place.fill(damage))
        daemon.wait_for("SSH: ReBan ", times=len(EVERYBODY))
        daemon.wait_for(firewall.check, times=daemon.count(firewall.check) + 2)
        assert sorted(firewall.banned(place)) == EVERYBODY
        assert daemon.count("SSH: ReBan ") == len(EVERYBODY)
        assert daemon.count("#1 reinitialization of firewalls") == 1
        assert daemon.count("reinitialization of firewalls") == 1


@each_firewall
def test_ban_lifted_by_hand_comes_back_with_the_next_attack(
    network: Network, tmp_path: Path, firewall: Firewall
) -> None:
    """The check does not see it: to look at every address would take too long."""
    place = Place(network.server, tmp_path)
    with protected(firewall, place, "-t", "1h") as daemon:
        write_attack(place, *EVERYBODY)
        daemon.wait_for("SSH: Ban ", times=len(EVERYBODY))
        place.host.run(place.fill(firewall.amnesty))
        assert firewall.banned(place) == []

        def banned_again() -> bool:
            write_attack(place, IPV4.attacker)
            return IPV4.attacker in firewall.banned(place)

        daemon.wait_for(banned_again, timeout=10)


@each_firewall
def test_next_start_after_kill_9_finds_its_way(
    network: Network, tmp_path: Path, firewall: Firewall
) -> None:
    """All bans are back, nothing twice; the end leaves what was there before the first start."""
    place = Place(network.server, tmp_path)
    with protected(firewall, place, "-t", "1h") as daemon:
        write_attack(place, *EVERYBODY)
        daemon.wait_for("SSH: Ban ", times=len(EVERYBODY))
        daemon.kill9()
        assert sorted(firewall.banned(place)) == EVERYBODY
        daemon.start()
        daemon.wait_for("the last instance was killed")
        daemon.wait_for("SSH: Restore Ban ", times=len(EVERYBODY))
        assert sorted(firewall.banned(place)) == EVERYBODY
