# SPDX-License-Identifier: GPL-2.0-or-later
"""Our tracker alone: what an address costs that has failed once.

python tracked.py COUNT [--no-lines]; prints the bytes of memory for each address.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from ipaddress import IPv4Address

from fail2ban.decide.tracker import Tracker
from fail2ban.records import Failure

_LINE = "Jun  1 10:00:00 web1 sshd[{}]: Failed password for root from {} port {} ssh2"


def main() -> None:
    """Track addresses, each with a line of a usual length."""
    count, lines = int(sys.argv[1]), "--no-lines" not in sys.argv
    tracker = Tracker(5, 600.0, None if lines else 0, capacity=count)
    before, now = _memory(), time.time()
    for number in range(count):
        ip = IPv4Address(0x0A000000 + number)
        text = _LINE.format(300 + number, ip, 1024 + number % 60000)
        tracker.add(Failure("sshd", ip, now + number * 1e-6, (text,)), now + 2)
    gc.collect()
    assert len(tracker) == count
    print((_memory() - before) / count)


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
