# SPDX-License-Identifier: GPL-2.0-or-later
"""What bash and zsh offer to complete a command line of ours, asked of the real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from fail2ban.cli import client, flags, main, regex_arguments
from fail2ban.control import commands, daemonvalues
from fail2ban.events import Kind
from tests import needs

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "config" / "completion"
BASH, ZSH = FOLDER / "fail2ban.bash", FOLDER / "_fail2ban"

needs_bash, needs_zsh = needs.programs("bash"), needs.programs("zsh")

#: Answers as the client does, for a jail with a name that a shell must not see.
CLIENT = r"""#!/bin/sh
echo "$*" >> "$(dirname "$0")/asked"
case $* in
*"get sshd actions") printf 'The jail sshd has the following actions:\nwall, tell[x]\n' ;;
*"get sshd banip") printf '192.0.2.7 2001:db8::7 $(touch hit)\n' ;;
*banned) printf "[{'sshd': ['192.0.2.7', '2001:db8::7', '\$(touch hit)']}]\n" ;;
*status) printf 'Status\n|- Number of jail:\t6\n`- Jail list:\t%s\n' \
    'sshd, sieve, $(touch hit), `touch hit`, ;touch hit;, "$(touch hit)", -x, s$(touch hit)' ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with the programs, a tree with filters, and a log."""
    for name in ("fail2ban", "fail2ban-client", "fail2ban-server", "fail2ban-regex"):
        program = tmp_path / name
        program.write_text(CLIENT if name == "fail2ban-client" else "#!/bin/sh\n")
        program.chmod(0o755)
    (tmp_path / "tree" / "filter.d").mkdir(parents=True)
    for name in ("nginx.conf", "nginx.local", "sshd.conf", "s$(touch hit).conf", "notes.txt"):
        (tmp_path / "tree" / "filter.d" / name).touch()
    (tmp_path / "some.log").touch()
    return tmp_path


# The lists are those of the programs ----------------------------------------------------


def listed(name: str, file: Path) -> set[str]:
    """Return the words of one of the lists in a file; bash and zsh write them alike."""
    found = re.search(rf"^{name}='([^']*)'$", file.read_text(), re.MULTILINE)
    assert found, f"{file.name} has no list {name}"
    words = found[1].split()
    assert len(words) == len(set(words)), f"{name} says something twice"
    return set(words)


#: Which nobody types: clients send them to servers of the peer.
INTERNAL = {"config-error", "multi-set", "server-status", "server-stream", "statistic"}
#: Options of the daemon that can only be asked for.
REFUSED = {"allowipv6", "thread"}
#: Accepted, and without effect.
SILENT = {"-N", "--async", "--pname"}


def spelled(short: str, long: Sequence[str]) -> set[str]:
    """Return the flags that `getopt` is told of."""
    return {f"-{letter}" for letter in short if letter != ":"} | {
        f"--{word.removesuffix('=')}" for word in long
    }


def valued(short: str, long: Sequence[str]) -> set[str]:
    """Return those that a value follows."""
    letters = {f"-{letter}" for letter in re.findall("(.):", short)}
    return letters | {f"--{word.removesuffix('=')}" for word in long if word.endswith("=")}


CLASSIC = main._parser()._actions
OF_TREE = (flags._SHORT, flags._LONG)
OF_REGEX = (regex_arguments._SHORT, regex_arguments._LONG)

LISTS = {
    "_fail2ban_flags": {flag for action in CLASSIC for flag in action.option_strings},
    "_fail2ban_valued": {
        flag for action in CLASSIC if action.nargs is None for flag in action.option_strings
    },
    "_fail2ban_server_flags": spelled(*OF_TREE) - SILENT,
    "_fail2ban_client_more": {f"--{flag}" for flag in client.CLIENT.more},
    "_fail2ban_client_valued": valued(*OF_TREE),
    "_fail2ban_regex_flags": spelled(*OF_REGEX),
    "_fail2ban_regex_valued": valued(*OF_REGEX),
    "_fail2ban_commands": {*commands.COMMANDS, *client._OWN, *client.OURS, "help", "reload"}
    - INTERNAL,
    "_fail2ban_kinds": set(get_args(Kind)),
    "_fail2ban_get": set(daemonvalues.GET),
    "_fail2ban_set": set(daemonvalues.SET) - REFUSED,
    "_fail2ban_get_jail": set(commands.GET),
    "_fail2ban_set_jail": set(commands.SET),
}


@pytest.mark.parametrize("file", [BASH, ZSH], ids=["bash", "zsh"])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_the_completion_is_that_of_the_program(name: str, file: Path) -> None:
    assert listed(name, file) == LISTS[name]


# What the shells offer --------------------------------------------------------------------


#: Returns what a shell offers in a folder at the end of a line.
Shell = Callable[[Path, str], list[str]]


def bash(place: Path, line: str) -> list[str]:
    """Return what bash offers at the end of a line; "FILES" stands for files."""
    words = [part for word in line.split(" ") for part in re.findall("[:=]+|[^:=]+", word) or [""]]
    script = f"""
compopt() {{ echo FILES; }}
. {shlex.quote(str(BASH))}
COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
_fail2ban "${{COMP_WORDS[0]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return ran(place, ["bash", "--noprofile", "--norc", "-c", script])


def zsh(place: Path, line: str) -> list[str]:
    """Return the same of zsh."""
    words = line.split(" ")
    script = f"""
compadd() {{ while [[ $1 == -?* && $1 != -- ]]; do shift; done; shift; print -rl -- "$@"; }}
_files() {{ print FILES; }}
compset() {{ PREFIX=${{PREFIX#*=}}; }}
autoload -Uz _fail2ban
words=({" ".join(map(shlex.quote, words))}) CURRENT={len(words)} PREFIX={shlex.quote(words[-1])}
_fail2ban
"""
    fpath = f"fpath=({shlex.quote(str(FOLDER))} $fpath)"
    offered = ran(place, ["zsh", "-f", "-c", fpath + script])
    beginning = words[-1].partition("=")[2] if "=" in words[-1] else words[-1]
    return [word for word in offered if word.startswith(beginning) or word == "FILES"]


def ran(place: Path, command: list[str]) -> list[str]:
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    return [word for word in done.stdout.split("\n") if word]


SHELLS = [
    pytest.param(bash, id="bash", marks=needs_bash),
    pytest.param(zsh, id="zsh", marks=needs_zsh),
]

OFFERED = {
    # Commands and flags.
    "fail2ban-client sta": "start stats statistics status",
    "fail2ban-client --lo": "--loglevel --logtarget",
    "fail2ban-client -c tree rest": "restart",
    "fail2ban-client -t relo": "reload",
    "fail2ban-client --js": "--json",
    "fail2ban-server --js": "",
    "fail2ban-server sta": "start stats statistics status",
    "fail2ban --ch": "--check",
    "fail2ban sta": "",
    # What follows a flag.
    "fail2ban-client --loglevel D": "DEBUG",
    "fail2ban-client --loglevel=D": "DEBUG",
    "fail2ban-client --logtarget SYS": "SYSLOG SYSOUT SYSTEMD-JOURNAL FILES",
    "fail2ban-client -c ": "FILES",
    "fail2ban-client --conf=tr": "FILES",
    "fail2ban-client --timeout ": "",
    "fail2ban -e s": "sshd sieve",
    "fail2ban -c ": "FILES",
    # The daemon's jails, and the options of a jail.
    "fail2ban-client status s": "sshd sieve",
    "fail2ban-client status -": "--all",
    "fail2ban-client status sshd ": "basic short cymru",
    "fail2ban-client reload --un": "--unban",
    "fail2ban-client reload --unban ss": "sshd",
    "fail2ban-client restart ss": "sshd",
    "fail2ban-client get s": "sshd sieve syslogsocket",
    "fail2ban-client get log": "loglevel logtarget",
    "fail2ban-client get sshd ban": " ".join(
        sorted(name for name in commands.GET if name.startswith("ban"))
    ),
    "fail2ban-client get loglevel ": "",
    "fail2ban-client get sshd banip ": "--with-time",
    "fail2ban-client get sshd action ": "wall tell[x]",
    "fail2ban-client set sshd addl": "addlogpath",
    "fail2ban-client set sshd usedns ": "yes warn no raw",
    "fail2ban-client set sshd idle ": "on off",
    "fail2ban-client set sshd bantime.increment ": "true false",
    "fail2ban-client set sshd addlogpath ": "FILES",
    "fail2ban-client set sshd addlogpath x ": "head tail",
    "fail2ban-client set loglevel W": "WARNING",
    "fail2ban-client set sshd unbanip 1": "192.0.2.7",
    "fail2ban-client set sshd unbanip 192.0.2.7 1": "192.0.2.7",
    "fail2ban-client unban ": "--all 192.0.2.7 2001:db8::7",
    "fail2ban-client why 1": "192.0.2.7",
    "fail2ban-client why-not 192.0.2.7 ss": "sshd",
    "fail2ban-client stop ss": "sshd",
    "fail2ban-client watch --": "--jail --kind",
    "fail2ban-client watch --jail sshd --kind ban_": "ban_failed",
    "fail2ban-client top -": "--once",
    "fail2ban-client ping ": "",
    # Old logs.
    "fail2ban-client replay --": "--jail --list --verbose --resolve",
    "fail2ban-client replay --jail ss": "sshd",
    "fail2ban-client replay ": "FILES",
    # Patterns.
    "fail2ban-regex --print-no": "--print-no-ignored --print-no-missed",
    "fail2ban-regex ": "systemd-journal FILES",
    "fail2ban-regex -c tree some.log ": "nginx sshd sieve FILES",
    "fail2ban-regex -c tree some.log ng": "nginx FILES",
    "fail2ban-regex -c tree some.log sshd ng": "nginx FILES",
    "fail2ban-regex --usedns w": "warn",
    "fail2ban-regex -l W": "WARNING",
    "fail2ban-regex -o i": "id ip",
    "fail2ban-regex --explain line s": "sshd sieve",
    "fail2ban-regex some.log sshd -v": "-v",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", OFFERED)
def test_the_shell_offers_what_can_stand_there(shell: Shell, line: str, place: Path) -> None:
    if "tell[x]" in (expected := OFFERED[line]):
        expected = "wall"  # what is no plain name is left out
    assert sorted({*shell(place, line)}) == sorted(expected.split())
    assert not (place / "hit").exists()


@needs_bash
def test_of_an_address_with_colons_bash_gets_the_part_that_it_replaces(place: Path) -> None:
    assert bash(place, "fail2ban-client set sshd unbanip 2001:d") == ["db8::7"]
    assert bash(place, "fail2ban-client set sshd unbanip 2001:") == ["db8::7"]
    assert bash(place, "fail2ban-client set sshd unbanip 2001:db8::") == ["7"]
    assert bash(place, "fail2ban-client set sshd unbanip 2") == ["2001:db8::7"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_daemon_of_the_command_line_is_asked(shell: Shell, place: Path) -> None:
    shell(place, "fail2ban-client -c tree --socket run/f.sock -t status ")
    assert (place / "asked").read_text() == "-c tree -s run/f.sock status\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 255\n", "#!/bin/sh\necho no >&2\n", ""])
def test_without_a_daemon_there_is_silence(shell: Shell, program: str, place: Path) -> None:
    client = place / "fail2ban-client"
    client.write_text(program)
    if not program:
        client.unlink()
    for line in ("status s", "set sshd unbanip 1", "get sshd action "):
        assert shell(place, f"./fail2ban-client {line}") == []


# At a terminal ----------------------------------------------------------------------------


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> None:
        """Wait until it shows a text; what was shown up to there is taken away."""
        deadline = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self.shown += os.read(self._descriptor, 65536).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]


@contextmanager
def terminal(place: Path, *command: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    environment = {
        "PATH": f"{place}:{os.environ['PATH']}",
        "HOME": str(place),
        "TERM": "dumb",
        "PS1": "$ ",
        "INPUTRC": os.devnull,
    }
    with subprocess.Popen(
        command,
        cwd=place,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            shell.kill()
            os.close(ours)


LOADER = Path("/usr/share/bash-completion/bash_completion")


@needs_bash
@pytest.mark.parametrize("loaded", ["by itself", "by bash-completion"])
def test_somebody_who_presses_tab_in_bash_gets_a_jail(loaded: str, place: Path) -> None:
    if loaded == "by itself":
        load = f". {shlex.quote(str(BASH))}"
    elif not LOADER.exists():
        pytest.skip("bash-completion is not installed")
    else:
        load = f"BASH_COMPLETION_USER_DIR={place}/user; . {LOADER}"
        (place / "user").mkdir()
        (place / "user" / "completions").symlink_to(FOLDER)
    with terminal(place, "bash", "--noprofile", "--norc", "-i") as shell:
        shell.type(f"{load}; echo ready$((1))\r")
        shell.wait_for("ready1")
        shell.type("echo fail2ban; fail2ban-client status ss\t")
        shell.wait_for("status sshd ")
        shell.type("\x15fail2ban-client status \t\t")
        shell.wait_for("sieve")
        shell.type("\x15fail2ban-client replay so\t")
        shell.wait_for("replay some.log")
        shell.type("\x15echo done$((1))\r")
        shell.wait_for("done1")
    assert not (place / "hit").exists()


@needs_zsh
def test_somebody_who_presses_tab_in_zsh_gets_a_jail(place: Path) -> None:
    with terminal(place, "zsh", "-f", "-i") as shell:
        shell.type(f"PS1='$ '; fpath=({shlex.quote(str(FOLDER))} $fpath)\r")
        shell.type(f"autoload -Uz compinit && compinit -u -d {place}/dump; echo ready$((1))\r")
        shell.wait_for("ready1")
        shell.type("fail2ban-client status ss\t")
        shell.wait_for("status sshd")
        shell.type("\x15fail2ban-client status \t\t")
        shell.wait_for("sieve")
        shell.type("\x15fail2ban-client replay so\t")
        shell.wait_for("replay some.log")
        shell.type("\x15echo done$((1))\r")
        shell.wait_for("done1")
    assert not (place / "hit").exists()


# In a package -----------------------------------------------------------------------------


@needs.programs("shellcheck")
@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.bash")), ids=lambda file: file.name)
def test_shellcheck_has_nothing_to_say(file: Path) -> None:
    done = subprocess.run(
        ["shellcheck", "-x", "-s", "bash", str(file.relative_to(ROOT))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("", 0)


@needs_bash
@pytest.mark.parametrize("name", ["fail2ban-client", "fail2ban-server", "fail2ban-regex"])
def test_bash_completion_finds_a_file_of_the_name_of_each_program(name: str) -> None:
    script = f". {shlex.quote(str(FOLDER / name))}.bash; complete -p {name}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == f"complete -F _fail2ban {name}\n"


def test_no_file_of_the_completion_is_a_program() -> None:
    assert not [file for file in FOLDER.iterdir() if file.stat().st_mode & stat.S_IXUSR]
