# SPDX-License-Identifier: GPL-2.0-or-later
"""Hyperscan alone, with our expressions for a section: how fast a log could be at most.

python scan.py CONFIG LOG; prints the seconds of processor time that the scan took, or says
why there is none.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fail2ban.config import classic, tree
from fail2ban.detect.encoding import Encoding
from fail2ban.plan import make_plan

#: Bytes that are scanned at a time.
BLOCK = 1 << 20


def main() -> int:
    """Scan the log with what the first section of a configuration passes lines over with."""
    config, log = Path(sys.argv[1]), Path(sys.argv[2])
    plan = make_plan(tree.load(config) if config.is_dir() else classic.load(config))
    sieve = getattr(plan.filters[plan.jails[0].name], "sieve", None)
    if sieve is not None:
        sieve.settle(Encoding(""))
    prefilter = getattr(sieve, "prefilter", None)
    if prefilter is None:
        print("this program scans no blocks", file=sys.stderr)
        return 1
    hits, seconds = 0, 0.0
    with log.open("rb") as file:
        while block := file.read(BLOCK):
            block += file.readline()
            begin = time.process_time()
            hits += len(prefilter.named(block))
            seconds += time.process_time() - begin
    print(seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
