# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `fail2ban-server`: runs a configuration tree.

Its flags and exit statuses are those that init scripts and units of
distributions rely on. Source: jail-conf.md sections 12.1 and 12.2.
"""

from __future__ import annotations

import functools
import getopt
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fail2ban import __version__, launch
from fail2ban.cli import dump
from fail2ban.cli.start import start
from fail2ban.config import arithmetic, tree
from fail2ban.config.loaded import Effective, Loaded
from fail2ban.errors import Fail2BanError
from fail2ban.plan import make_plan

DEFAULT_CONFIG = "/etc/fail2ban"
DONE, FAILED = 0, 255

_SHORT = "hVc:s:p:divqxbftN"
_LONG = (
    "help version conf= socket= pidfile= loglevel= logtarget= syslogsocket= pname= dp"
    " dump-pretty test async timeout= str2sec="
).split()

_USAGE = """\
Usage: fail2ban-server [OPTIONS] [start]

Read logs, recognise attackers, lock them out: run the configuration in /etc/fail2ban.

  -c, --conf DIR          configuration directory (/etc/fail2ban)
  -s, --socket FILE       control socket, instead of the one of fail2ban.conf
  -p, --pidfile FILE      PID file
      --loglevel LEVEL    CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG
      --logtarget TARGET  a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL
      --syslogsocket PATH the socket of syslog, or auto
  -d                      show the configuration in force, each value with its file
                          and line, and exit
      --dp, --dump-pretty the same, laid out like a configuration file
  -t, --test              check the configuration, report all problems, and exit
  -b                      run in the background (default)
  -f                      run in the foreground
  -v, -q                  say more, or less, on the terminal
  -x                      take over a socket that was left behind
      --str2sec TEXT      show a duration such as 1d12h in seconds, and exit
  -V, --version           show the version and exit
  -h, --help              show this text and exit

Exit status: 0 done, 255 failed."""


@dataclass
class _Flags:
    """What the command line says.

    Attributes:
        task: what to do instead of to start.
        words: what follows the flags.
    """

    config: str = DEFAULT_CONFIG
    overrides: tree.TreeOverrides = tree.NOTHING
    task: Callable[[_Flags], int] | None = None
    words: Sequence[str] = ()

    def read(self) -> Loaded:
        return tree.load(Path(self.config), self.overrides)


class _Done(Exception):
    """A flag has done all there is to do; holds the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    launch.open_standard_streams()
    try:
        flags = _parse(sys.argv[1:] if arguments is None else arguments)
    except _Done as done:
        return int(done.args[0])
    except getopt.GetoptError as error:
        return _fail(str(error), "see fail2ban-server --help", "Init of command line failed")
    try:
        return (flags.task or _start)(flags)
    except Fail2BanError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return FAILED


def _parse(arguments: Sequence[str]) -> _Flags:
    """Read the flags, each at its place: `-V` ends what stands before `-t` does."""
    options, words = getopt.getopt(list(arguments), _SHORT, _LONG)
    flags = _Flags(words=words)
    for flag, value in options:
        _set(flags, flag, value)
    return flags


def _set(flags: _Flags, flag: str, value: str) -> None:
    if at_once := _AT_ONCE.get(flag):
        raise _Done(at_once(value))
    if flag in _TASKS:
        flags.task = _TASKS[flag]
    elif flag in ("-c", "--conf"):
        flags.config = os.path.abspath(value)
    elif flag in _OVERRIDES:
        given = {**flags.overrides.options, _OVERRIDES[flag]: (value, flag)}
        flags.overrides = replace(flags.overrides, options=given)
    elif flag in ("-b", "-f"):
        flags.overrides = replace(flags.overrides, background=flag == "-b")
    elif flag == "-v":
        flags.overrides = replace(flags.overrides, verbose=flags.overrides.verbose + 1)
    # The others mean nothing here: one process at a time is what the PID file is for.


_OVERRIDES = {
    "-s": "socket",
    "--socket": "socket",
    "-p": "pidfile",
    "--pidfile": "pidfile",
    "--loglevel": "loglevel",
    "--logtarget": "logtarget",
    "--syslogsocket": "syslogsocket",
}


# What to do -------------------------------------------------------------------


def _start(flags: _Flags) -> int:
    if list(flags.words) not in ([], ["start"]):
        command = " ".join(flags.words)
        return _fail(f"unknown command {command!r}; expected start, or no command at all")
    status = start(make_plan(flags.read()), flags.read)
    return DONE if status == 0 else FAILED


def _test(flags: _Flags) -> int:
    plan = make_plan(flags.read())
    for problem in plan.problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)
    if plan.errors:
        print("ERROR: test configuration failed")
        return FAILED
    print("OK: configuration test is successful")
    return DONE


def _show(lay_out: Callable[[Iterable[Effective]], Iterable[str]], flags: _Flags) -> int:
    loaded = flags.read()
    for problem in loaded.problems:
        print(f"{problem.severity}: {problem}", file=sys.stderr)
    try:
        for line in lay_out(loaded.effective):
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, as in `-d | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE if loaded.settings and not loaded.broken else FAILED


def _no_dialogue(flags: _Flags) -> int:
    return _fail("there is no interactive mode; expected start, or no command at all")


_TASKS: dict[str, Callable[[_Flags], int]] = {
    "-d": functools.partial(_show, dump.one_a_line),
    "--dp": functools.partial(_show, dump.in_sections),
    "--dump-pretty": functools.partial(_show, dump.in_sections),
    "-t": _test,
    "--test": _test,
    "-i": _no_dialogue,
}


# What is done as soon as it is read --------------------------------------------


def _version(name: str, _: str) -> int:
    print(f"{name}{__version__}")
    return DONE


def _help(_: str) -> int:
    print(_USAGE)
    return DONE


def _seconds(text: str) -> int:
    try:
        print(f"{arithmetic.seconds(text):.15g}")
    except ValueError as error:
        return _fail(str(error))
    return DONE


_AT_ONCE: dict[str, Callable[[str], int]] = {
    "-h": _help,
    "--help": _help,
    "-V": functools.partial(_version, ""),
    "--version": functools.partial(_version, "Fail2Ban v"),
    "--str2sec": _seconds,
}


def _fail(*sentences: str) -> int:
    for sentence in sentences:
        print(f"fail2ban-server: {sentence}", file=sys.stderr)
    return FAILED
