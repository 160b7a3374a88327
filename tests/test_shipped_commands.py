# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of the shipped files, run as the daemon runs them, on a real kernel.

Each test makes hosts of its own (`tests.netns`), so the machine's firewall is
never touched. Shorewall is not run: a stand-in of that name records the calls.
"""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from fail2ban.config import classic
from fail2ban.enforce.errands import Outcomes
from fail2ban.enforce.firewall import Firewall
from fail2ban.enforce.shell import Shell
from fail2ban.errors import CommandError
from fail2ban.records import ActionSettings, Ban, Settings, Ticket
from tests.needs import PATH, programs, root
from tests.netns import Namespace

CONFIG = Path(__file__).resolve().parents[1] / "config"
NOW = 1_700_000_000.0
SSH, HTTP, OTHER = 22, 80, 4711


def settings_of(flavour: str, replace: Mapping[str, str] | None = None) -> Settings:
    """Load a shipped file, with a few texts in it replaced."""
    text = (CONFIG / f"fail2ban.conf.{flavour}").read_text()
    for old, new in (replace or {}).items():
        assert old in text
        text = text.replace(old, new)
    loaded = classic.parse(text, flavour)
    assert loaded.settings is not None and not loaded.problems
    return loaded.settings


def ban_of(ip: str, seconds: float | None = 600.0, section: str = "SSH") -> Ban:
    end = None if seconds is None else NOW + seconds
    return Ban(NOW, end, Ticket(section, ip_address(ip), 5, NOW))


def do(what: Callable[[Sequence[Ban], float], Outcomes], ban: Ban) -> None:
    """Ban or unban one; raises CommandError."""
    (outcome,) = what([ban], NOW)
    if outcome is not None:
        raise outcome


def shell_in(host: Namespace) -> Shell:
    """Run commands on `host` with the daemon's umask."""

    def shell(
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        assert not arguments and feed is None
        words = ["/bin/sh", "-c", 'umask 077; exec /bin/sh -c "$1"', "sh", command]
        done = host.run(words, check=False, environment=variables, timeout=timeout)
        if done.returncode:
            raise CommandError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")

    return shell


@dataclass
class Wall:
    """One file's commands at work on one host."""

    settings: Settings
    shell: Shell

    def section(self, name: str) -> Firewall:
        jails = {jail.name: jail for jail in self.settings.jails}
        return Firewall(name, jails[name].actions[0], self.shell)

    @property
    def ssh(self) -> Firewall:
        return self.section("SSH")

    def begin(self, *names: str) -> None:
        """Run `cmdstart`, then each section's `fwstart`."""
        self.shell(self.settings.firewall.start, {}, ActionSettings.timeout)
        for name in names or ("SSH",):
            self.section(name).start()

    def end(self, *names: str) -> None:
        """Run each section's `fwend`, then `cmdend`."""
        for name in names or ("SSH",):
            self.section(name).stop()
        self.shell(self.settings.firewall.stop, {}, ActionSettings.timeout)


@dataclass
class Street:
    """A server and two clients, each with an IPv4 and an IPv6 address."""

    server: Namespace
    attacker: Namespace
    neighbour: Namespace

    # The server as the attacker sees it, the attacker, the server as the neighbour does.
    ip = ("192.0.2.1", "192.0.2.2", "198.51.100.1")
    ip6 = ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1")


@pytest.fixture
def street() -> Iterator[Street]:
    with (
        Namespace("server") as server,
        Namespace("attacker") as attacker,
        Namespace("neighbour") as neighbour,
        server.echo(SSH),
        server.echo(OTHER),
    ):
        server.link(
            attacker,
            ["192.0.2.1/24", "2001:db8:1::1/64"],
            ["192.0.2.2/24", "2001:db8:1::2/64"],
        )
        server.link(
            neighbour,
            ["198.51.100.1/24", "2001:db8:2::1/64"],
            ["198.51.100.2/24", "2001:db8:2::2/64"],
        )
        yield Street(server, attacker, neighbour)


both_families = pytest.mark.parametrize("family", ["ip", "ip6"])
both_firewalls = pytest.mark.parametrize(
    "flavour",
    [
        pytest.param("nftables", marks=programs("nft")),
        pytest.param("iptables", marks=programs("iptables", "ip6tables")),
    ],
)
RULESET = {"nftables": "nft list ruleset", "iptables": "iptables -S; ip6tables -S"}
FLUSH = {
    "nftables": "nft flush ruleset",
    "iptables": "for t in iptables ip6tables; do $t -F; $t -X; done",
}


def on_a_real_kernel(test: Callable[..., None]) -> Callable[..., None]:
    """Skip a test of namespaces where none can be made."""
    marked: Callable[..., None] = root()(programs("ip")(test))
    return marked


# nftables and iptables alike -------------------------------------------------


@on_a_real_kernel
@both_firewalls
@both_families
def test_a_banned_address_loses_the_port_and_nobody_else_does(
    street: Street, flavour: str, family: str
) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    server, attacker, other_server = getattr(street, family)
    wall.begin()
    assert street.attacker.reaches(server, SSH)

    do(wall.ssh.ban, ban_of(attacker))

    assert not street.attacker.reaches(server, SSH)
    assert street.attacker.reaches(server, OTHER)
    assert street.neighbour.reaches(other_server, SSH)

    do(wall.ssh.unban, ban_of(attacker))

    assert street.attacker.reaches(server, SSH)


@on_a_real_kernel
@both_firewalls
@both_families
def test_a_ban_ends_connections_that_are_open(street: Street, flavour: str, family: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    server, attacker, _ = getattr(street, family)
    # What most firewalls begin with lets packets of open connections pass.
    street.server.run(
        "nft 'add table inet mine; add chain inet mine in { type filter hook input priority 0; };"
        " add rule inet mine in ct state established accept'"
        if flavour == "nftables"
        else "for t in iptables ip6tables; do"
        " $t -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; done"
    )
    wall.begin()
    connection = street.attacker.talk(server, SSH)
    assert connection.say("before") == "before"

    do(wall.ssh.ban, ban_of(attacker))

    assert connection.say("after") == "nothing"


@on_a_real_kernel
@both_firewalls
@both_families
def test_a_published_port_of_a_container_is_protected(
    street: Street, flavour: str, family: str
) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    server, attacker, other_server = getattr(street, family)
    with Namespace("container") as container, container.echo(2222):
        street.server.link(
            container,
            ["203.0.113.1/24", "2001:db8:3::1/64"],
            ["203.0.113.2/24", "2001:db8:3::2/64"],
        )
        container.run("ip route add default via 203.0.113.1")
        container.run("ip -6 route add default via 2001:db8:3::1")
        street.server.run(
            "echo 1 > /proc/sys/net/ipv4/ip_forward;"
            " echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
        )
        publish(street.server, flavour)
        wall.begin()
        assert street.attacker.talk(server, SSH).say("hello") == "hello"
        connection = street.attacker.talk(server, SSH)
        assert connection.is_open

        do(wall.ssh.ban, ban_of(attacker))

        assert not street.attacker.reaches(server, SSH)
        assert connection.say("after") == "nothing"
        assert street.neighbour.reaches(other_server, SSH)


def publish(server: Namespace, flavour: str) -> None:
    """Hand the server's port 22 to port 2222 of the container, as Docker does."""
    if flavour == "iptables":
        dnat = "-t nat -A PREROUTING -p tcp --dport 22 -j DNAT --to"
        server.run(f"iptables {dnat} 203.0.113.2:2222; ip6tables {dnat} [2001:db8:3::2]:2222")
        return
    server.run(
        "nft 'add table inet docker;"
        " add chain inet docker pre { type nat hook prerouting priority dstnat; };"
        " add rule inet docker pre tcp dport 22 dnat ip to 203.0.113.2:2222;"
        " add rule inet docker pre tcp dport 22 dnat ip6 to [2001:db8:3::2]:2222'"
    )


@on_a_real_kernel
@both_firewalls
def test_each_of_several_ports_is_protected(street: Street, flavour: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    server, attacker, _ = street.ip
    with street.server.echo(HTTP), street.server.echo(443):
        wall.begin("Apache")
        do(wall.section("Apache").ban, ban_of(attacker, section="Apache"))
        assert not street.attacker.reaches(server, HTTP)
        assert not street.attacker.reaches(server, 443)
        assert street.attacker.reaches(server, SSH)


@on_a_real_kernel
@both_firewalls
def test_stop_leaves_the_firewall_as_it_was(street: Street, flavour: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    street.server.run(
        "nft 'add table inet mine; add chain inet mine in { type filter hook input priority 0; }'"
        if flavour == "nftables"
        else "iptables -A INPUT -s 203.0.113.9 -j DROP; ip6tables -N mine"
    )
    before = street.server.run(RULESET[flavour]).stdout

    wall.begin("SSH", "Apache")
    do(wall.ssh.ban, ban_of(street.ip[1]))
    do(wall.ssh.ban, ban_of(street.ip6[1], None))
    assert street.server.run(RULESET[flavour]).stdout != before
    wall.end("SSH", "Apache")

    assert street.server.run(RULESET[flavour]).stdout == before


@on_a_real_kernel
@both_firewalls
def test_sections_come_and_go_without_each_other(street: Street, flavour: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    server, attacker, _ = street.ip
    wall.begin("SSH", "Apache")
    do(wall.ssh.ban, ban_of(attacker))

    wall.section("Apache").stop()

    wall.ssh.check()
    assert not street.attacker.reaches(server, SSH)
    with pytest.raises(CommandError):
        wall.section("Apache").check()


@on_a_real_kernel
@both_firewalls
def test_everything_may_be_repeated(street: Street, flavour: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    attackers = (street.ip[1], street.ip6[1])
    wall.begin()
    once = street.server.run(RULESET[flavour]).stdout
    wall.begin()
    assert street.server.run(RULESET[flavour]).stdout == once
    for _ in range(2):
        for ip in attackers:
            do(wall.ssh.ban, ban_of(ip, None))
    wall.ssh.check()
    for _ in range(2):
        for ip in attackers:
            do(wall.ssh.unban, ban_of(ip))
    assert street.server.run(RULESET[flavour]).stdout == once


@on_a_real_kernel
@both_firewalls
def test_what_a_killed_daemon_left_is_cleared(street: Street, flavour: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    nothing = street.server.run(RULESET[flavour]).stdout
    wall.begin("SSH", "Apache")
    do(wall.ssh.ban, ban_of(street.ip[1]))
    # Half of it is gone, as after a failed start.
    street.server.run(
        "nft delete chain inet fail2ban SSH-forward; nft flush chain inet fail2ban SSH-input"
        if flavour == "nftables"
        else "iptables -F FORWARD; ip6tables -F INPUT"
    )

    wall.end("SSH", "Apache")

    assert street.server.run(RULESET[flavour]).stdout == nothing


@on_a_real_kernel
@both_firewalls
def test_a_start_after_a_crash_forgets_the_ports_of_old(street: Street, flavour: str) -> None:
    old = settings_of(flavour, {"port = 22\n": f"port = 22,{OTHER}\n"})
    Wall(old, shell_in(street.server)).begin()
    wall = Wall(settings_of(flavour), shell_in(street.server))
    wall.end()
    wall.begin()

    do(wall.ssh.ban, ban_of(street.ip[1]))

    assert street.attacker.reaches(street.ip[0], OTHER)
    assert not street.attacker.reaches(street.ip[0], SSH)


LOSSES = [
    ("nftables", "nft flush ruleset"),
    ("nftables", "nft delete table inet fail2ban"),
    ("nftables", "nft flush chain inet fail2ban SSH"),
    ("nftables", "nft flush chain inet fail2ban SSH-input"),
    ("nftables", "nft flush chain inet fail2ban SSH-forward"),
    ("iptables", FLUSH["iptables"]),
    ("iptables", "iptables -F INPUT"),
    ("iptables", "iptables -F FORWARD"),
    ("iptables", "ip6tables -F INPUT"),
    ("iptables", "ip6tables -F FORWARD"),
]


@on_a_real_kernel
@programs("nft", "iptables", "ip6tables")
@pytest.mark.parametrize(("flavour", "loss"), LOSSES)
def test_the_check_notices_a_loss_and_a_new_start_mends_it(
    street: Street, flavour: str, loss: str
) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    server, attacker, _ = street.ip
    wall.begin()
    do(wall.ssh.ban, ban_of(attacker))
    wall.ssh.check()

    street.server.run(loss)

    with pytest.raises(CommandError):
        wall.ssh.check()
    wall.end()
    wall.begin()
    do(wall.ssh.ban, ban_of(attacker))
    wall.ssh.check()
    assert not street.attacker.reaches(server, SSH)


@on_a_real_kernel
@both_firewalls
def test_a_lost_firewall_makes_ban_fail_rather_than_pretend(street: Street, flavour: str) -> None:
    wall = Wall(settings_of(flavour), shell_in(street.server))
    wall.begin()
    street.server.run(FLUSH[flavour])
    with pytest.raises(CommandError):
        do(wall.ssh.ban, ban_of(street.ip[1]))


# nftables --------------------------------------------------------------------


def elements(host: Namespace, name: str) -> dict[str, int | None]:
    """Return the addresses of a set and their timeouts in seconds, None for ever."""
    listing = json.loads(host.run(f"nft -j list set inet fail2ban {name}").stdout)
    (found,) = [entry["set"] for entry in listing["nftables"] if "set" in entry]
    timeouts: dict[str, int | None] = {}
    for element in found.get("elem", []):
        if isinstance(element, str):
            timeouts[element] = None
        else:
            timeouts[element["elem"]["val"]] = element["elem"]["timeout"]
    return timeouts


@on_a_real_kernel
@programs("nft")
@pytest.mark.parametrize(("ip", "name"), [("192.0.2.7", "SSH-ip"), ("2001:db8::7", "SSH-ip6")])
def test_nftables_knows_how_long_a_ban_lasts(street: Street, ip: str, name: str) -> None:
    wall = Wall(settings_of("nftables"), shell_in(street.server))
    wall.begin()

    do(wall.ssh.ban, ban_of(ip, 600))
    assert elements(street.server, name) == {ip: 600}
    do(wall.ssh.ban, ban_of(ip, 90_000))
    assert elements(street.server, name) == {ip: 90_000}
    do(wall.ssh.ban, ban_of(ip, None))
    assert elements(street.server, name) == {ip: None}
    do(wall.ssh.ban, ban_of(ip, 60))
    assert elements(street.server, name) == {ip: 60}
    do(wall.ssh.unban, ban_of(ip))
    assert elements(street.server, name) == {}


@on_a_real_kernel
@programs("nft")
def test_nftables_lifts_a_ban_by_itself_and_unban_does_not_mind(street: Street) -> None:
    wall = Wall(settings_of("nftables"), shell_in(street.server))
    server, attacker, _ = street.ip
    wall.begin()
    do(wall.ssh.ban, ban_of(attacker, 1))
    deadline = time.monotonic() + 30
    while not street.attacker.reaches(server, SSH):
        assert time.monotonic() < deadline
    do(wall.ssh.unban, ban_of(attacker, 1))
    assert elements(street.server, "SSH-ip") == {}


@on_a_real_kernel
@programs("nft")
def test_nftables_protects_a_port_that_is_redirected_on_the_host(street: Street) -> None:
    wall = Wall(settings_of("nftables"), shell_in(street.server))
    server, attacker, _ = street.ip
    street.server.run(
        "nft 'add table inet nat;"
        " add chain inet nat pre { type nat hook prerouting priority dstnat; };"
        f" add rule inet nat pre tcp dport 22 redirect to :{OTHER}'"
    )
    wall.begin()
    do(wall.ssh.ban, ban_of(attacker))
    assert not street.attacker.reaches(server, SSH)
    assert street.attacker.reaches(server, OTHER)


@on_a_real_kernel
@programs("nft")
def test_nftables_can_reject_instead_of_dropping(street: Street) -> None:
    settings = settings_of("nftables", {"verdict = drop": "verdict = reject"})
    wall = Wall(settings, shell_in(street.server))
    wall.begin()
    wall.ssh.check()
    do(wall.ssh.ban, ban_of(street.ip[1]))
    connect = f"import socket; socket.create_connection(('{street.ip[0]}', 22), 20)"
    refused = street.attacker.run(["python3", "-c", connect], check=False)
    assert "ConnectionRefusedError" in refused.stderr


# iptables --------------------------------------------------------------------


@on_a_real_kernel
@programs("iptables", "ip6tables")
def test_iptables_moves_to_the_chain_of_docker_once_there_is_one(street: Street) -> None:
    wall = Wall(settings_of("iptables"), shell_in(street.server))
    nothing = street.server.run("iptables -S").stdout
    wall.begin()
    wall.ssh.check()
    # Docker starts: its rules come before ours.
    docker = "iptables -N DOCKER-USER; iptables -I FORWARD -j ACCEPT;"
    street.server.run(f"{docker} iptables -I FORWARD -j DOCKER-USER")

    with pytest.raises(CommandError):
        wall.ssh.check()
    wall.end()
    wall.begin()
    wall.ssh.check()

    assert "-j fail2ban-SSH" in street.server.run("iptables -S DOCKER-USER").stdout
    assert "fail2ban" not in street.server.run("iptables -S FORWARD").stdout
    street.server.run("iptables -F FORWARD")
    wall.end()
    street.server.run("iptables -X DOCKER-USER")
    assert street.server.run("iptables -S").stdout == nothing


@on_a_real_kernel
@programs("iptables", "ip6tables")
def test_iptables_has_one_rule_for_each_ban(street: Street) -> None:
    wall = Wall(settings_of("iptables"), shell_in(street.server))
    wall.begin()
    for ip in ("192.0.2.7", "192.0.2.7", "192.0.2.8", "2001:db8::7"):
        do(wall.ssh.ban, ban_of(ip))
    rules = street.server.run("iptables -S fail2ban-SSH; ip6tables -S fail2ban-SSH").stdout
    assert [line for line in rules.splitlines() if line.startswith("-A")] == [
        "-A fail2ban-SSH -s 192.0.2.8/32 -j DROP",
        "-A fail2ban-SSH -s 192.0.2.7/32 -j DROP",
        "-A fail2ban-SSH -s 2001:db8::7/128 -j DROP",
    ]


# hosts.deny ------------------------------------------------------------------


@dataclass
class Wrapped:
    """A directory with hosts.allow and hosts.deny, and the commands that edit it."""

    folder: Path
    wall: Wall

    @property
    def deny(self) -> Path:
        return self.folder / "hosts.deny"

    def denies(self, ip: str) -> bool:
        """Ask the library's own judge."""
        said = subprocess.run(
            ["tcpdmatch", "-d", "sshd", ip],
            cwd=self.folder,
            env={"PATH": PATH},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "access:" in said
        return "denied" in said


def local_shell(path: str = PATH) -> Shell:
    """Run commands with the daemon's umask; they touch no network."""

    def shell(
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        assert not arguments and feed is None
        words = ["/bin/sh", "-c", 'umask 077; exec /bin/sh -c "$1"', "sh", command]
        done = subprocess.run(
            words, env={"PATH": path, **variables}, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode:
            raise CommandError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")

    return shell


@pytest.fixture
def wrapped(tmp_path: Path) -> Wrapped:
    (tmp_path / "hosts.allow").write_text("")
    own = {"hostsdeny = /etc/hosts.deny": f"hostsdeny = {tmp_path}/hosts.deny"}
    return Wrapped(tmp_path, Wall(settings_of("hostsdeny", own), local_shell()))


MINE = "# mine\n\nALL: 203.0.113.9\n"


@programs("tcpdmatch")
@pytest.mark.parametrize(
    ("ip", "other"), [("192.0.2.7", "192.0.2.70"), ("2001:db8::7", "2001:db8::70")]
)
def test_hostsdeny_denies_the_banned_and_nobody_else(wrapped: Wrapped, ip: str, other: str) -> None:
    wrapped.deny.write_text(MINE)
    ssh = wrapped.wall.ssh
    wrapped.wall.begin()
    assert not wrapped.denies(ip)

    do(ssh.ban, ban_of(ip))
    do(ssh.ban, ban_of(ip))
    do(ssh.ban, ban_of("198.51.100.4"))

    assert wrapped.denies(ip) and not wrapped.denies(other) and wrapped.denies("203.0.113.9")
    ssh.check()

    do(ssh.unban, ban_of(ip))
    assert not wrapped.denies(ip) and wrapped.denies("198.51.100.4")
    do(ssh.unban, ban_of(ip))
    do(ssh.unban, ban_of("198.51.100.4"))
    assert not wrapped.denies("198.51.100.4")


@pytest.mark.parametrize("content", [MINE, "ALL: 203.0.113.9", "", "\n\n"])
def test_hostsdeny_is_restored_to_the_byte_with_nothing_beside_it(
    wrapped: Wrapped, content: str
) -> None:
    wrapped.deny.write_text(content)
    wrapped.deny.chmod(0o640)
    inode = wrapped.deny.stat().st_ino
    wrapped.wall.begin("SSH", "VSFTPD")
    do(wrapped.wall.ssh.ban, ban_of("192.0.2.7"))
    do(wrapped.wall.ssh.ban, ban_of("192.0.2.8"))
    do(wrapped.wall.ssh.unban, ban_of("192.0.2.7"))
    wrapped.wall.begin("SSH", "VSFTPD")
    assert content in wrapped.deny.read_text()

    wrapped.wall.end("SSH", "VSFTPD")
    wrapped.wall.end("SSH", "VSFTPD")

    assert wrapped.deny.read_text() == content
    assert stat.S_IMODE(wrapped.deny.stat().st_mode) == 0o640
    assert wrapped.deny.stat().st_ino == inode
    assert sorted(path.name for path in wrapped.folder.iterdir()) == ["hosts.allow", "hosts.deny"]


def test_hostsdeny_says_no_empty_line_and_keeps_no_old_copy(wrapped: Wrapped) -> None:
    """Defect 22 of the sample of 0.6."""
    wrapped.deny.write_text("ALL: 203.0.113.9\n")
    wrapped.wall.begin()
    listed = wrapped.folder / "hosts.deny.SSH"
    for ip in ("192.0.2.70", "2001:db8::7", "192.0.2.7"):
        do(wrapped.wall.ssh.ban, ban_of(ip))
    assert listed.read_text() == "192.0.2.70\n[2001:db8::7]\n192.0.2.7\n"
    do(wrapped.wall.ssh.unban, ban_of("192.0.2.7"))
    assert listed.read_text() == "192.0.2.70\n[2001:db8::7]\n"

    assert wrapped.deny.read_text() == f"ALL: {listed}\nALL: 203.0.113.9\n"
    assert {path.name for path in wrapped.folder.iterdir()} == {
        "hosts.allow",
        "hosts.deny",
        "hosts.deny.SSH",
    }


def test_hostsdeny_files_that_we_make_can_be_read_by_every_service(wrapped: Wrapped) -> None:
    wrapped.wall.begin()
    do(wrapped.wall.ssh.ban, ban_of("192.0.2.7"))
    do(wrapped.wall.ssh.unban, ban_of("192.0.2.7"))
    for name in ("hosts.deny", "hosts.deny.SSH"):
        assert stat.S_IMODE((wrapped.folder / name).stat().st_mode) == 0o644


@pytest.mark.parametrize("loss", ["line", "list"])
def test_hostsdeny_check_notices_a_loss_and_a_new_start_mends_it(
    wrapped: Wrapped, loss: str
) -> None:
    wrapped.deny.write_text(MINE)
    wrapped.wall.begin()
    wrapped.wall.ssh.check()
    if loss == "line":
        wrapped.deny.write_text(MINE)
    else:
        (wrapped.folder / "hosts.deny.SSH").unlink()
    with pytest.raises(CommandError):
        wrapped.wall.ssh.check()
    do(wrapped.wall.ssh.unban, ban_of("192.0.2.7"))
    wrapped.wall.end()
    wrapped.wall.begin()
    wrapped.wall.ssh.check()


def test_hostsdeny_start_forgets_the_bans_of_a_killed_daemon(wrapped: Wrapped) -> None:
    wrapped.wall.begin()
    do(wrapped.wall.ssh.ban, ban_of("192.0.2.7"))
    wrapped.wall.begin()
    assert (wrapped.folder / "hosts.deny.SSH").read_text() == ""


# Shorewall, by a stand-in ----------------------------------------------------


@dataclass
class Shorewall:
    """Programs called shorewall and shorewall6 that write down how they are called."""

    folder: Path
    wall: Wall

    def install(self, name: str, status: int = 0) -> None:
        program = self.folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.folder}/calls\nexit {status}\n')
        program.chmod(0o755)

    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def shorewall(tmp_path: Path) -> Shorewall:
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    return Shorewall(tmp_path, Wall(settings_of("shorewall"), local_shell(path)))


def test_shorewall_drops_and_allows_by_the_family_of_the_address(shorewall: Shorewall) -> None:
    shorewall.install("shorewall")
    shorewall.install("shorewall6")
    shorewall.wall.begin()
    for ip in ("192.0.2.7", "2001:db8::7"):
        do(shorewall.wall.ssh.ban, ban_of(ip))
        do(shorewall.wall.ssh.unban, ban_of(ip))
    shorewall.wall.end()
    assert shorewall.calls() == [
        "shorewall drop 192.0.2.7",
        "shorewall allow 192.0.2.7",
        "shorewall6 drop 2001:db8::7",
        "shorewall6 allow 2001:db8::7",
    ]


def test_shorewall_check_asks_whether_both_are_up(shorewall: Shorewall) -> None:
    shorewall.install("shorewall")
    shorewall.install("shorewall6")
    shorewall.wall.ssh.check()
    assert shorewall.calls() == ["shorewall status", "shorewall6 status"]
    shorewall.install("shorewall", status=3)
    with pytest.raises(CommandError):
        shorewall.wall.ssh.check()


def test_shorewall_without_shorewall6_can_do_all_but_ban_ipv6(shorewall: Shorewall) -> None:
    shorewall.install("shorewall")
    shorewall.wall.ssh.check()
    do(shorewall.wall.ssh.ban, ban_of("192.0.2.7"))
    with pytest.raises(CommandError):
        do(shorewall.wall.ssh.ban, ban_of("2001:db8::7"))


def test_shorewall_check_fails_where_there_is_no_shorewall(shorewall: Shorewall) -> None:
    with pytest.raises(CommandError):
        shorewall.wall.ssh.check()
