# SPDX-License-Identifier: GPL-2.0-or-later
"""An action of an unmodified action.d at work: our runner, our shell, real programs.

Everything runs on the test's own thread, step by step, on a clock that stands.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from fail2ban import notices
from fail2ban.config.tree import load
from fail2ban.decide.bans import Entry, State
from fail2ban.decide.timer import Timer
from fail2ban.enforce import shell
from fail2ban.enforce.runner import Runner
from fail2ban.enforce.scaffold import Scaffold
from fail2ban.enforce.tags import Lore
from fail2ban.errors import CommandError
from fail2ban.records import ActionSettings, Ban, Capture, FirewallSettings, Id, Ticket
from tests.compat import trees
from tests.helpers import FakeClock
from tests.needs import PATH
from tests.netns import Namespace

JAIL = "sshd"
REINIT = 10.0
#: Seconds; the clock stands, so no ban ends by itself.
BANTIME = 600.0


def read_action(tree: Path, folder: Path, text: str) -> ActionSettings:
    """Return an action of a tree as our configuration reads it.

    Args:
        tree: with the "action.d" and "filter.d" to use.
        folder: empty; gets a tree that links to them, with one jail.
        text: as in jail.conf: "nftables[type=allports]".
    """
    copy = trees.of_jails(tree, folder, {JAIL: {"filter": "sshd", "action": text}})
    loaded = load(copy)
    problems = [str(problem) for problem in loaded.problems if problem.severity == "error"]
    assert loaded.settings is not None and not problems, problems
    (jail,) = loaded.settings.jails
    (action,) = jail.actions
    return action


class RecordedShell:
    """Runs commands as the daemon does; remembers them and what failed.

    Args:
        host: where they run; None: beside the test, for what touches no network.
        variables: added to their environment.
        private: path -> folder or file that stands in its place for them alone.

    Attributes:
        commands: their texts; failed: those that did, with what they printed.
    """

    def __init__(
        self,
        host: Namespace | None = None,
        variables: Mapping[str, str] | None = None,
        private: Mapping[str, Path] | None = None,
    ) -> None:
        self.commands: list[str] = []
        self.failed: list[str] = []
        self._variables = {"PATH": PATH, **(variables or {})}
        self._prefix = _entry(host, private or {})

    def __call__(
        self,
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        if not command.strip():
            return
        self.commands.append(command)
        variables = {**self._variables, **variables}
        try:
            shell.run(self._prefix, variables, timeout, "sh", command, *arguments, feed=feed)
        except CommandError as error:
            self.failed.append("\n".join([command, *error.output, str(error)]))
            raise

    def popen(self, command: str) -> subprocess.Popen[bytes]:
        """Start a program of the test that goes on, run like the others."""
        return subprocess.Popen(
            ["/bin/sh", "-c", self._prefix, "sh", f"exec {command}"],
            env={**os.environ, **self._variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def output(self, command: str) -> str:
        """Return what a command of the test prints, run like the others."""
        words = ["/bin/sh", "-c", self._prefix, "sh", command]
        done = subprocess.run(
            words, env={**os.environ, **self._variables}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def taken(self) -> list[str]:
        """Return the commands since the last call."""
        commands, self.commands = self.commands, []
        return commands


def _entry(host: Namespace | None, private: Mapping[str, Path]) -> str:
    """Return a command that runs its arguments with `sh -c`, where they belong."""
    # `ip netns exec` gives every command mounts of its own.
    assert host or not private
    # By their paths: the commands may have a PATH of their own.
    mount, ip = (shutil.which(name, path=PATH) for name in ("mount", "ip"))
    mounts = [f"{mount} --bind {shlex.quote(str(p))} {at} && " for at, p in private.items()]
    enter = f"{ip} netns exec {host.name} " if host else ""
    return f"""exec {enter}/bin/sh -c '{"".join(mounts)}exec /bin/sh -c "$@"' sh "$@" """


class Wall:
    """One jail with one action.

    Attributes:
        shell: ran every command; bans: the table.
    """

    def __init__(
        self, action: ActionSettings, shell: RecordedShell, lore: Lore | None = None
    ) -> None:
        self.action, self.shell, self.clock = action, shell, FakeClock()
        timer = Timer(self.clock, self.clock)
        settings = FirewallSettings(reinittime=REINIT, maxreinits=-1)
        scaffold = Scaffold(settings, {JAIL: (action,)}, shell, ("ip", "ip6"), lore)
        self._runner = Runner(
            settings, scaffold, timer, self.clock, self.clock, notices.of(True), _ignore, _ignore
        )
        self._scaffold, self._timer, self.bans = scaffold, timer, self._runner.bans
        (self._site,) = scaffold.sites()

    def begin(self, unclean: bool = False) -> None:
        """Set up as the daemon does; unclean: after one that was killed."""
        if unclean:
            self._scaffold.clear()
            self.shell.failed.clear()  # of what is not there, nothing can be removed
        assert self._runner._builder.set_up()

    def ban(
        self,
        id: Id,
        lines: tuple[str, ...] = (),
        groups: Mapping[str, Capture] | None = None,
        bantime: float | None = BANTIME,
        restored: bool = False,
    ) -> Entry:
        """Ban an address, or a text that is none, and see it carried out."""
        ticket = Ticket(JAIL, id, 5, self.clock(), lines, groups=groups or {})
        entry = self.bans.ban(ticket, bantime, self.clock(), restored=restored)
        assert entry is not None
        self._work()
        return entry

    def ban_all(self, *ips: str) -> None:
        """Ban addresses; all of it has to work."""
        for ip in ips:
            assert self.ban(ip_address(ip)).state is State.APPLIED, self.shell.failed

    def lift(self, id: Id) -> None:
        """End a ban, whatever comes of it."""
        entry = self.bans.get(JAIL, id)
        assert entry is not None
        self.bans.lift(entry)
        self._work()

    def unban(self, ip: str) -> None:
        """End a ban; it has to work."""
        self.lift(ip_address(ip))
        assert self.bans.get(JAIL, ip_address(ip)) is None, self.shell.failed

    def unban_everybody(self) -> None:
        self._runner.lift_all(JAIL)
        self._work()
        assert not self.bans.of(JAIL), self.shell.failed

    def check(self) -> None:
        """Look after the action as the daemon does every now and then."""
        self.clock.advance(REINIT)
        self._runner._repairer.check_jail(JAIL)
        self._work()

    def is_intact(self) -> bool:
        return self._runner._repairer.intact(self._site)

    def states(self) -> Iterable[State]:
        return [entry.state for entry in self.bans.of(JAIL)]

    def end(self) -> None:
        """Take down as the daemon does."""
        self._runner._builder.end(self._scaffold.sites())

    def _work(self) -> None:
        self._timer.step()
        while self._runner.pending:
            self._runner.step()


def hostile_lines(mark: Path, ip: str = "203.0.113.9") -> tuple[str, ...]:
    """Return lines of a log that would make a file if anything in them were obeyed."""
    do = f"touch {mark}"
    return (
        f"user $({do}) from {ip}",
        f"user `{do}` from {ip}",
        f"user ';{do};' from {ip} '",
        f'user ";{do};" from {ip} "',
        f"~!{do} {ip}",
        f"~| {do} # {ip}",
        f"user ;{do} | {do} & {do} || {do} > {mark} <{mark} from {ip}",
        f"user %s%n%d ${{IFS}} $0 $1 $f2bV_matches ${{x:-$({do})}} * ~ from {ip}",
        f"user <ip> <matches> <F-USER> &amp; äöü from {ip}",
    )


def stand_in(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


class WallOn(Protocol):
    """Puts an action, written as in jail.conf, to work on a host or wherever a shell runs."""

    def __call__(
        self, host: Namespace | RecordedShell, text: str, lore: Lore | None = None
    ) -> Wall: ...


def _ignore(what: Ban | str) -> None:
    """Nobody is told."""
