# SPDX-License-Identifier: GPL-2.0-or-later
"""The flags that `fail2ban-server` and `fail2ban-client` share.

Source: jail-conf.md section 12.1.
"""

from __future__ import annotations

import functools
import getopt
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fail2ban import __version__
from fail2ban.config import arithmetic, tree
from fail2ban.config.common import SOCKET_PATH
from fail2ban.config.loaded import Loaded
from fail2ban.config.options import Findings
from fail2ban.config.tree_daemon import daemon_settings, level
from fail2ban.config.tree_options import Above, Options
from fail2ban.config.trees import Fetch, Tree
from fail2ban.errors import ConfigError, Fail2BanError
from fail2ban.records import Origin, Problem, Settings
from fail2ban.text import printable

DEFAULT_CONFIG, DEFAULT_FILE = "/etc/fail2ban", "/etc/fail2ban.conf"
DONE, FAILED = 0, 255
# How long a start or an end may take, in seconds.
_PATIENCE = 30.0

_SHORT = "hVc:s:p:divqxbftN"
_LONG = (
    "help version conf= socket= pidfile= loglevel= logtarget= syslogsocket= pname= dp"
    " dump-pretty test async timeout= str2sec="
).split()


@dataclass(frozen=True)
class Program:
    """One of the two programs.

    Attributes:
        more: the long flags that only this one has.
    """

    name: str
    usage: str
    more: tuple[str, ...] = ()


@dataclass
class Flags:
    """What the command line says.

    Attributes:
        config: the folder of a tree, or a file of the language of 0.6.
        task: what to do before the command, or instead of it: a key of `tasks.TASKS`.
        words: the command, which follows the flags.
        dialogue: `-i`.
        json: print answers as JSON.
        force: `-x`.
        timeout: how long a start or an end may take; empty: as usual.
    """

    program: Program
    config: str = DEFAULT_CONFIG
    overrides: tree.TreeOverrides = tree.NOTHING
    task: str = ""
    words: Sequence[str] = ()
    dialogue: bool = False
    json: bool = False
    force: bool = False
    timeout: str = ""

    def read(self) -> Loaded:
        """Read the whole configuration: a tree, or one file of the language of 0.6."""
        path = Path(self.config)
        if path.is_file():
            return _load_classic(path, self.overrides)
        return tree.load(path, self.overrides)

    def daemon(self) -> Settings:
        """Read where the daemon is found; tell if that cannot be read, and is as usual."""
        settings, problems = self._of_file() if os.path.isfile(self.config) else self._of_tree()
        given = self.overrides.options
        for problem in problems:
            # The rest concerns the daemon, which tells it in its log.
            if problem.option in _PATHS or not (problem.option or "socket" in given):
                print(f"{problem.severity}: {problem}", file=sys.stderr)
        return settings

    def _of_file(self) -> tuple[Settings, Sequence[Problem]]:
        loaded = self.read()
        if loaded.settings is not None:
            places = [problem for problem in loaded.problems if problem.option in _PATHS]
            return loaded.settings, places
        given = self.overrides.options
        path, _ = given.get("socket", (SOCKET_PATH, ""))
        pidfile, _ = given.get("pidfile", (Settings().pidlock, ""))
        return Settings(socket=path, pidlock=pidfile), loaded.problems

    def _of_tree(self) -> tuple[Settings, Sequence[Problem]]:
        findings, given = Findings(), self.overrides.options
        fetch: Fetch | None = None
        try:
            fetch = Tree(Path(self.config), findings).section("fail2ban", "Definition")
        except ConfigError as error:
            for problem in error.problems:
                findings.add(problem, "using the usual values of fail2ban.conf instead")
        header = Origin(os.path.join(self.config, "fail2ban.conf"))
        options = Options(Above(fetch, given), "", header, findings)
        return daemon_settings(options, None, 0), findings.problems()

    def patience(self) -> float:
        """Return how long a start or an end may take, in seconds.

        Raises:
            Fail2BanError: `--timeout` is no duration.
        """
        try:
            return float(arithmetic.seconds(self.timeout)) if self.timeout else _PATIENCE
        except ValueError as error:
            raise Fail2BanError(f"--timeout: {error}") from None

    def for_server(self) -> list[str]:
        """Return the flags that make a server run as this command line says."""
        given = ["-c", self.config]
        for text, flag in self.overrides.options.values():
            given += [flag, text]
        if self.force:
            given.append("-x")
        return [*given, "-b" if self.overrides.background is not False else "-f"]


class Done(Exception):
    """A flag has done all there is to do; holds the exit status."""


def parse(program: Program, arguments: Sequence[str]) -> Flags:
    """Read the flags, each at its place: `-V` ends what stands before `-t` does.

    Raises:
        Done: there is nothing left to do.
    """
    try:
        options, words = getopt.getopt(list(arguments), _SHORT, [*_LONG, *program.more])
    except getopt.GetoptError as error:
        see = f"see {program.name} --help"
        raise Done(fail(program, str(error), see, "Init of command line failed")) from None
    flags = Flags(program, _usual_config(), words=words)
    for flag, value in options:
        _set(flags, flag, value)
    return flags


def _usual_config() -> str:
    """Return the file of 0.6 only where there is no tree but such a file."""
    has_tree = os.path.exists(os.path.join(DEFAULT_CONFIG, "jail.conf"))
    return DEFAULT_FILE if os.path.isfile(DEFAULT_FILE) and not has_tree else DEFAULT_CONFIG


def _set(flags: Flags, flag: str, value: str) -> None:
    if at_once := _AT_ONCE.get(flag):
        raise Done(at_once(flags.program, value))
    if flag in _TASKS:
        flags.task = _TASKS[flag]
    elif flag in _SWITCHES:
        setattr(flags, _SWITCHES[flag], True)
    elif flag in ("-c", "--conf"):
        flags.config = os.path.abspath(value)
    elif flag == "--timeout":
        flags.timeout = value
    else:
        flags.overrides = _overridden(flags.overrides, flag, value)


def _overridden(overrides: tree.TreeOverrides, flag: str, value: str) -> tree.TreeOverrides:
    if option := _OVERRIDES.get(flag):
        text = os.path.abspath(value) if option in _PATHS and value else value
        return replace(overrides, options={**overrides.options, option: (text, flag)})
    if flag in ("-b", "-f"):
        return replace(overrides, background=flag == "-b")
    if flag == "-v":
        return replace(overrides, verbose=overrides.verbose + 1)
    # The others mean nothing here: one process at a time is what the PID file is for.
    return overrides


def _load_classic(path: Path, overrides: tree.TreeOverrides) -> Loaded:
    """Read a file of the language of 0.6, to which the same is said in its own words."""
    from fail2ban.config import classic  # few have such a file

    said = {
        _CLASSIC_NAMES[option]: (_verbosity(text) if option == "loglevel" else text, flag)
        for option, (text, flag) in overrides.options.items()
    }
    background = "true" if overrides.background is not False else "false"
    options = {"background": (background, "-b"), **said}
    return classic.load(path, classic.Overrides(options, overrides.enable, overrides.verbose))


def _verbosity(text: str) -> str:
    """Return how often `-v` would say as much as a log level; text that is none as it is."""
    try:
        found = level(text)
    except ValueError:
        return text
    return str(sum(found <= step for step in (logging.INFO, logging.DEBUG)))


_CLASSIC_NAMES = {
    "socket": "socket",
    "pidfile": "pidlock",
    "loglevel": "verbose",
    "logtarget": "logtargets",
    "syslogsocket": "syslog-target",
}
_OVERRIDES = {
    "-s": "socket",
    "--socket": "socket",
    "-p": "pidfile",
    "--pidfile": "pidfile",
    "--loglevel": "loglevel",
    "--logtarget": "logtarget",
    "--syslogsocket": "syslogsocket",
}
_PATHS = ("socket", "pidfile", "pidlock")
_SWITCHES = {"-i": "dialogue", "-x": "force", "--json": "json"}
_TASKS = {"-d": "list", "--dp": "sections", "--dump-pretty": "sections", "-t": "test",
          "--test": "test"}  # fmt: skip


# What is done as soon as it is read --------------------------------------------


def _version(before: str, program: Program, _: str) -> int:
    print(f"{before}{__version__}")
    return DONE


def _help(program: Program, _: str) -> int:
    print(program.usage)
    return DONE


def _seconds(program: Program, text: str) -> int:
    try:
        print(f"{arithmetic.seconds(text):.15g}")
    except ValueError as error:
        return fail(program, str(error))
    return DONE


_AT_ONCE: dict[str, Callable[[Program, str], int]] = {
    "-h": _help,
    "--help": _help,
    "-V": functools.partial(_version, ""),
    "--version": functools.partial(_version, "Fail2Ban v"),
    "--str2sec": _seconds,
}


def fail(program: Program, *sentences: str) -> int:
    """Write sentences to standard error; return the exit status."""
    for sentence in sentences:
        for line in sentence.split("\n"):
            print(f"{program.name}: {printable(line)}", file=sys.stderr)
    return FAILED
