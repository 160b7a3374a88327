# SPDX-License-Identifier: GPL-2.0-or-later
"""Run one shell command of the configuration, with limits on time and output."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from fail2ban.errors import CommandError
from fail2ban.text import printable

log = logging.getLogger(__name__)

#: Bytes of output kept for the log: of a flood, the beginning tells most.
OUTPUT_LIMIT = 8 * 1024

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

    Raises:
        CommandError: it failed, or took too long.
    """

    def __call__(
        self, command: str, variables: Mapping[str, str], timeout: float, *arguments: str
    ) -> None: ...


def run(command: str, variables: Mapping[str, str], timeout: float, *arguments: str) -> None:
    """Run `command` with `/bin/sh -c`; an empty one does nothing.

    Its status is that of its last line, as it always was. The rest of a flood
    of output is read, so that the command does not block, and dropped.

    Args:
        variables: added to the environment.
        timeout: seconds; then the command's whole process group is killed.
        arguments: positional parameters, from `$0` on.

    Raises:
        CommandError: the command could not be started, exited with a status
            other than 0, was killed by a signal or took too long.
    """
    if not command.strip():
        return
    log.debug("%s", command)
    try:
        process = _start(command, variables, arguments)
    except (OSError, ValueError) as error:  # too long; with a NUL
        raise CommandError(f"'{command}' could not be started: {error}") from error
    with process:
        try:
            output, finished = _collect(process, timeout)
        except OSError as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise CommandError(f"'{command}' could not be watched: {error}") from error
        # What the command left running in the background keeps no pipe of ours
        # after a normal end, but a killed one leaves nobody.
        if not finished:
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    shown = _shown(output)
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


def dry_run(command: str, variables: Mapping[str, str], timeout: float, *arguments: str) -> None:
    """Show what `run` would run."""
    _show("", command, arguments)


def rehearsal(jail: str) -> Shell:
    """Return what shows the commands of one section instead of running them."""

    def show(command: str, variables: Mapping[str, str], timeout: float, *arguments: str) -> None:
        _show(f"[{jail}] ", command, arguments)

    return show


def _show(where: str, command: str, arguments: Sequence[str]) -> None:
    if command.strip():
        log.warning("%swould run: %s", where, command)
        for number, argument in enumerate(arguments[1:], start=1):
            log.warning("%s  with $%d: %s", where, number, printable(argument))


def _start(
    command: str, variables: Mapping[str, str], arguments: Sequence[str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", command, *arguments],
        env={"PATH": DEFAULT_PATH, **os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o077,
        # Of its own session, so that Ctrl-C on the terminal does not reach it
        # and the whole group can be killed.
        start_new_session=True,
    )


def _collect(process: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bool]:
    """Read the output until the shell ends; tell whether it did in time.

    The end of the shell counts, not that of its output: a program that it left
    in the background may hold the pipe open for ever.
    """
    assert process.stdout is not None
    pipe, output = process.stdout.fileno(), bytearray()
    os.set_blocking(pipe, False)
    deadline = time.monotonic() + timeout
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while (seconds := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(seconds)}
                if pipe in ready and not _read(pipe, output):
                    selector.unregister(pipe)
                if ended in ready:
                    _read(pipe, output)
                    return bytes(output), True
    finally:
        os.close(ended)
    return bytes(output), False


def _read(pipe: int, output: bytearray) -> bool:
    """Take what is in the pipe; return False at its end."""
    try:
        data = os.read(pipe, 64 * 1024)
    except BlockingIOError:
        return True
    output += data[: max(0, OUTPUT_LIMIT - len(output))]
    return bool(data)


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
