# SPDX-License-Identifier: GPL-2.0-or-later
"""Write to logs at a steady pace until killed: a load for daemons.

python -m bench.pour LINES_PER_SECOND LOG...
"""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path

from bench import generate

#: Of the lines, how many are attacks; seconds between two writes.
SHARE, BEAT = 0.01, 0.02
#: Lines that are made at a time.
STOCK = 20_000


def main() -> None:
    """Append to each log, in pieces as a busy service does."""
    pace, logs = int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    piece, seed = max(1, int(pace * BEAT)), 0
    files = [log.open("ab", buffering=0) for log in logs]
    due = time.monotonic()
    while True:
        seed += 1
        # All at one time, as of now: the stock lasts for some seconds.
        lines = generate.auth(STOCK, SHARE, time.time() + STOCK / pace / 2, seed, span=0.0)
        while text := "\n".join(islice(lines, piece)):
            for file in files:
                file.write(text.encode() + b"\n")
            due += BEAT
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
