# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says of processes: time, memory, wake-ups. Source: proc(5)."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Done:
    """A command that has run.

    Attributes:
        wall, cpu: seconds that passed, and of processor time, with its children.
    """

    output: str
    wall: float
    cpu: float


class Failed(Exception):
    """A program did not do what a measurement needs; says what."""


def run(
    command: Sequence[str],
    stdin: Path | None = None,
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a command to its end and measure it.

    Args:
        stdin: a file for it to read.
        output: gets what it prints; None: that is returned.

    Raises:
        Failed: its exit status is not 0.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    source = open(stdin or os.devnull, "rb")
    target = open(output, "wb") if output else None
    try:
        done = subprocess.run(
            command,
            stdin=source,
            stdout=target or subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    finally:
        source.close()
        if target:
            target.close()
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        errors = done.stderr.decode(errors="replace")[-2000:]
        raise Failed(f"{' '.join(command)}: status {done.returncode}\n{errors}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Done((done.stdout or b"").decode(errors="replace"), wall, cpu)


def cpu(pid: int) -> float:
    """Return the seconds of processor time of a process and the children it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(text) for text in fields[11:15]) / _TICKS


def threads_cpu(pid: int) -> float:
    """Return the seconds of processor time of the threads that live, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def wakeups(pid: int) -> int:
    """Return how often the threads of a process gave the processor away and got it back."""
    found = (
        re.search(r"^voluntary_ctxt_switches:\s+(\d+)", task.read_text(), re.MULTILINE)
        for task in Path(f"/proc/{pid}/task").glob("*/status")
    )
    return sum(int(match[1]) for match in found if match)


def memory(pid: int) -> int:
    """Return the bytes of memory that a process has resident."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found, f"{pid} has no memory"
    return int(found[1]) * 1024
