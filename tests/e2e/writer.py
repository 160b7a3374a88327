# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that writes an attack line every millisecond, as a service under attack does.

It keeps its log open and opens it again on SIGUSR1, so it can be rotated in every
way; SIGSTOP makes it wait. Each line names an address of its own, counted up from
2001:db8::1, so that one that is lost or counted twice shows. Each tenth line is written
in two halves. Run it as a program: `writer.py PATH COUNT`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

PAUSE = 0.001

#: Finds the address in the writer's lines.
FAILREGEX = "sshd: failed login of user[0-9]+ from <HOST>$"


def address(number: int) -> str:
    return f"2001:db8::{number:x}"


def line(number: int, source: str = "") -> str:
    """Return the line that tells of failure `number`."""
    moment = time.strftime("%b %d %H:%M:%S")
    return f"{moment} host sshd: failed login of user{number} from {source or address(number)}\n"


class Writer:
    """The running program.

    Args:
        source: the address in every line; by default each has its own.
    """

    def __init__(self, path: Path, count: int, source: str = "") -> None:
        self.count = count
        self._process = subprocess.Popen([sys.executable, __file__, str(path), str(count), source])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def busy(self) -> bool:
        return self._process.poll() is None

    def reopen(self) -> None:
        """Have it close its log and open the file that has the name now."""
        self._process.send_signal(signal.SIGUSR1)

    def stop(self) -> None:
        """Hold it; returns when it stands still."""
        self._process.send_signal(signal.SIGSTOP)
        while self.busy and not self._stands():
            time.sleep(0.001)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Wait until it has written everything."""
        assert self._process.wait(120) == 0

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _stands(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Tally:
    """Which addresses the daemon says it has found, and how often; reads on at each call."""

    def __init__(self, log: Path) -> None:
        self._log, self._offset = log, 0
        self._found: Counter[str] = Counter()

    def count(self) -> Counter[str]:
        data = self._log.read_bytes()[self._offset :] if self._log.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._found.update(re.findall(r"DEBUG: \S+: found (\S+)", whole.decode()))
        return self._found


def write(path: str, count: int, source: str) -> None:
    """Write `count` lines, one a millisecond; the program's body."""
    reopen = False

    def note(number: int, frame: object) -> None:
        nonlocal reopen
        reopen = True

    signal.signal(signal.SIGUSR1, note)
    log = _open(path)
    for number in range(1, count + 1):
        if reopen:
            reopen = False
            os.close(log)
            log = _open(path)
        text = line(number, source).encode()
        for part in (text[:30], text[30:]) if number % 10 == 0 else (text,):
            os.write(log, part)
            time.sleep(PAUSE)
    # Or a late request would kill us while Python cleans up.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), sys.argv[3])
