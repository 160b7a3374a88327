# SPDX-License-Identifier: GPL-2.0-or-later
"""A service under attack, as a program of its own: it logs failures and rotates its log.

    python attackers.py LOG SEED MAXRETRY

It obeys lines on its standard input: `pause` stops writing, `go` goes on, `rotate`
rotates in one way or the other. To each it
answers with the failures that it has logged so far, as a JSON object of address and
number. The end of its input is its end.
"""

from __future__ import annotations

import json
import random
import select
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

#: Attackers at a time; addresses that ever attack.
POOL, ADDRESSES = 12, 140
#: Seconds between two failures.
PAUSE = 0.012


class Service:
    """Writes one line at a time."""

    def __init__(self, log: Path, seed: int, maxretry: int) -> None:
        self.log, self.counts = log, Counter[str]()
        self._random, self._maxretry = random.Random(seed), maxretry
        self._fresh = (f"203.0.{112 + n // 250}.{n % 250 + 1}" for n in range(ADDRESSES))
        self._left: dict[str, int] = {}
        self._file = log.open("ab", buffering=0)

    def fail(self) -> None:
        """Log a failure of somebody."""
        while len(self._left) < POOL and (ip := next(self._fresh, None)):
            # One too few, just enough, and a few that come when he is banned.
            extra = self._random.choice((-1, -1, 0, 3))
            self._left[ip] = self._maxretry + extra
        if not self._left:
            return
        ip = self._random.choice(sorted(self._left))
        self._left[ip] -= 1
        if not self._left[ip]:
            del self._left[ip]
        self._write(ip)
        self.counts[ip] += 1

    def _write(self, ip: str) -> None:
        moment = time.strftime("%b %d %H:%M:%S")
        line = f"{moment} host sshd: failed login of root from {ip}\n".encode()
        if self._random.random() < 0.1:  # a writer may be caught in the middle of a line
            self._file.write(line[:20])
            time.sleep(PAUSE / 4)
            line = line[20:]
        self._file.write(line)

    def rotate(self) -> None:
        """Rename the log, or copy and empty it; one older generation is kept."""
        older = self.log.with_suffix(".log.1")
        if self._random.random() < 0.5:
            self.log.rename(older)
            self._file.close()
            self._file = self.log.open("ab", buffering=0)
        else:
            shutil.copy2(self.log, older)
            self._file.truncate(0)


def serve(service: Service) -> None:
    running = False
    while True:
        wait = PAUSE if running else None
        if select.select([sys.stdin], [], [], wait)[0]:
            word = sys.stdin.readline().strip()
            if not word:
                return
            if word == "rotate":
                service.rotate()
            else:
                running = word == "go"
            print(json.dumps(service.counts), flush=True)
        elif running:
            service.fail()


if __name__ == "__main__":
    serve(Service(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
