# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed a process and read what it prints, until it ends or its time is over."""

from __future__ import annotations

import os
import select
import subprocess
import time

#: Bytes of output kept for the log: of a flood, the beginning tells most.
OUTPUT_LIMIT = 8 * 1024

#: Seconds that are waited for a process at a time; the kernel counts to 24 days.
_LONGEST_WAIT = 3600.0


def collect(
    process: subprocess.Popen[bytes], timeout: float, feed: bytes | None
) -> tuple[bytes, bool]:
    """Feed the command and read its output until it ends; tell whether it did in time.

    The end of the command counts, not that of its output: a program that it left
    in the background may hold the pipe open for ever.

    Args:
        timeout: seconds.
        feed: for its standard input, if that is a pipe. It need not read it.

    Returns:
        the beginning of its output, and whether it has ended.
    """
    assert process.stdout is not None
    pipe, output = process.stdout.fileno(), bytearray()
    os.set_blocking(pipe, False)
    deadline = time.monotonic() + timeout
    feeder = None if feed is None else _Feeder(process, feed)
    # Not epoll, which must be opened and closed for each command.
    poll = select.poll()
    ended = os.pidfd_open(process.pid)
    try:
        poll.register(pipe, select.POLLIN)
        poll.register(ended, select.POLLIN)
        if feeder is not None:
            poll.register(feeder.pipe, select.POLLOUT)
        while (seconds := deadline - time.monotonic()) > 0:
            ready = {number for number, _ in poll.poll(min(seconds, _LONGEST_WAIT) * 1000)}
            if feeder is not None and feeder.pipe in ready and not feeder.step():
                poll.unregister(feeder.pipe)
                feeder.close()
                feeder = None
            if pipe in ready and not _read(pipe, output):
                poll.unregister(pipe)
            if ended in ready:
                _read(pipe, output)
                return bytes(output), True
    finally:
        os.close(ended)
    return bytes(output), False


class _Feeder:
    """Gives a command its standard input, as fast as it takes it.

    Attributes:
        pipe: to be asked whether it can take more.
    """

    def __init__(self, process: subprocess.Popen[bytes], data: bytes) -> None:
        assert process.stdin is not None
        self._file, self._rest = process.stdin, memoryview(data)
        self.pipe = self._file.fileno()
        os.set_blocking(self.pipe, False)

    def step(self) -> bool:
        """Write what the pipe takes; tell whether there is more to write."""
        try:
            self._rest = self._rest[os.write(self.pipe, self._rest) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:  # it has ended, or wants no more: its status says how it went
            return False
        return bool(self._rest)

    def close(self) -> None:
        """Let the command see the end of its input."""
        self._file.close()


def _read(pipe: int, output: bytearray) -> bool:
    """Take what is in the pipe; return False at its end."""
    try:
        data = os.read(pipe, 64 * 1024)
    except BlockingIOError:
        return True
    output += data[: max(0, OUTPUT_LIMIT - len(output))]
    return bool(data)
