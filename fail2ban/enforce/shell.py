# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one shell command of the configuration, with limits on time and output."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from fail2ban.enforce import direct
from fail2ban.enforce.pipes import OUTPUT_LIMIT, collect
from fail2ban.errors import CommandError
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Lines of a command's standard input that are shown where it is not run.
SHOWN_LINES = 10

#: What reads commands.
SHELL = "/bin/sh"

#: Where commands are looked for if the daemon was started without a PATH.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: What the shell says of a program that it does not find.
_NOT_FOUND = 127


class Shell(Protocol):
    """Runs a command; what the runner uses, so that tests can plug in another.

    Args:
        command: for `/bin/sh -c`.
        variables: added to the environment.
        timeout: seconds.
        arguments: positional parameters, from `$0` on; usually there are none.
        feed: what it finds on its standard input; None: /dev/null.

    Raises:
        CommandError: it failed, or took too long.
    """

    def __call__(
        self,
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None: ...


def run(
    command: str,
    variables: Mapping[str, str],
    timeout: float,
    *arguments: str,
    feed: str | None = None,
) -> None:
    """Run `command` with `/bin/sh -c`; an empty one does nothing.

    One that means the same without a shell is executed itself, see `direct`.
    Its status is that of its last line, as it always was. The rest of a flood
    of output is read, so that the command does not block, and dropped.

    Args:
        variables: added to the environment.
        timeout: seconds; then the command's whole process group is killed.
        arguments: positional parameters, from `$0` on.
        feed: its standard input; None: /dev/null. A command need not read it.

    Raises:
        CommandError: the command could not be started, exited with a status
            other than 0, was killed by a signal or took too long.
    """
    if not command.strip():
        return
    log.debug("%s", command)
    try:
        data = None if feed is None else os.fsencode(feed)
        process, alone = _start(command, variables, arguments, fed=data is not None)
    except (OSError, ValueError) as error:  # too long; with a NUL
        raise CommandError(f"'{command}' could not be started: {error}") from error
    attend(command, process, timeout, data, alone)


def attend(
    command: str,
    process: subprocess.Popen[bytes],
    timeout: float,
    feed: bytes | None,
    alone: bool,
) -> None:
    """Feed the process of a command, and see how it ends; see `run`.

    Args:
        alone: it is the program itself, without a shell.
    """
    with process:
        try:
            output, finished = collect(process, timeout, feed)
        except OSError as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise CommandError(f"'{command}' could not be watched: {error}") from error
        # What the command left running in the background keeps no pipe of ours
        # after a normal end, but a killed one leaves nobody.
        if not finished:
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    shown = _shown(output)
    if alone and finished:
        status, remarks = direct.ended(status)
        shown += remarks
    if not finished:
        raise CommandError(f"'{command}' took more than {timeout:g} s and was killed", shown)
    if status:
        reason = f"returned {_wait_status(status)} ({_explain(status)})"
        raise CommandError(f"'{command}' {reason}", shown, status if status > 0 else None)
    for line in shown:  # of several lines, one before the last may have failed
        log.info("  %s", line)


def report(error: CommandError, level: int = logging.ERROR, what: str = "") -> None:
    """Log what a failed command was, what it printed and how it ended.

    Args:
        what: which command it was; goes before the message.
    """
    for line in error.output:
        log.log(level, "  %s", line)
    log.log(level, "%s%s", what, error)


def dry_run(
    command: str,
    variables: Mapping[str, str],
    timeout: float,
    *arguments: str,
    feed: str | None = None,
) -> None:
    """Show what `run` would run."""
    _show("", command, arguments, feed)


def rehearsal(jail: str) -> Shell:
    """Return what shows the commands of one section instead of running them."""

    def show(
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        _show(f"[{jail}] ", command, arguments, feed)

    return show


def _show(where: str, command: str, arguments: Sequence[str], feed: str | None) -> None:
    if not command.strip():
        return
    log.warning("%swould run: %s", where, command)
    for number, argument in enumerate(arguments[1:], start=1):
        log.warning("%s  with $%d: %s", where, number, printable(argument))
    lines = (feed or "").splitlines()
    for line in lines[:SHOWN_LINES]:
        log.warning("%s  with input: %s", where, printable(line))
    if len(lines) > SHOWN_LINES:
        log.warning("%s  with %d more lines of input", where, len(lines) - SHOWN_LINES)


def _start(
    command: str, variables: Mapping[str, str], arguments: Sequence[str], fed: bool
) -> tuple[subprocess.Popen[bytes], bool]:
    """Start a command; tell whether it could do without a shell."""
    variables = environment(variables)
    words = None if arguments else direct.plain_words(command)
    if words and (file := direct.program(words[0], variables)):
        # What the kernel does not execute, a script without "#!" for one, a shell may.
        with contextlib.suppress(OSError):
            return spawn(file, words, direct.environment(variables), fed), True
    return spawn(SHELL, [SHELL, "-c", command, *arguments], variables, fed), False


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command that gets some variables of its own."""
    return {"PATH": DEFAULT_PATH, **os.environ, **variables}


def spawn(
    file: str, words: Sequence[str], variables: Mapping[str, str], fed: bool
) -> subprocess.Popen[bytes]:
    """Start a program.

    Args:
        fed: it is given something on its standard input.

    Raises:
        OSError, ValueError: that is not possible.
    """
    return subprocess.Popen(
        words,
        executable=file,
        env=variables,
        bufsize=0,
        stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o077,
        # Of its own session, so that Ctrl-C on the terminal does not reach it
        # and the whole group can be killed.
        start_new_session=True,
    )


def _shown(output: bytes) -> list[str]:
    """Return what a command printed, by line, for our log."""
    lines = [printable(line) for line in output.decode("utf-8", "replace").splitlines()]
    if len(output) >= OUTPUT_LIMIT:
        lines.append(f"(only the first {OUTPUT_LIMIT} bytes of the output are shown)")
    return lines


def _wait_status(status: int) -> int:
    """Return the status as `os.system` would, which our messages always showed."""
    return -status if status < 0 else status << 8


def _explain(status: int) -> str:
    if status < 0:
        return f"killed by signal {-status}"
    hint = ": a program is missing, or not in PATH" if status == _NOT_FOUND else ""
    return f"exit status {status}{hint}"
