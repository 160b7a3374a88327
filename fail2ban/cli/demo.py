# SPDX-License-Identifier: GPL-2.0-or-later
"""The program `try`: attack a log of our own and show what the daemon does.

The daemon is the real one, with the shipped configuration for nftables; only
paths and times are changed. What it says is passed on as it comes.
"""

from __future__ import annotations

import argparse
import itertools
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

#: Seconds for which the log is attacked, and how long a ban lasts.
ATTACK, BANTIME = 12.0, 5
MAXFAILURES = 3

#: Documentation addresses: persistent attackers, and somebody who mistypes once.
ATTACKERS = ("192.0.2.10", "198.51.100.20", "2001:db8::30", "203.0.113.40")
HONEST = "203.0.113.99"

#: The daemon's messages worth showing, and how they are counted.
_EVENTS = {
    "found": re.compile(r"DEBUG: SSH: found (\S+)"),
    "ban": re.compile(r"WARNING: SSH: Ban \(.*\) (\S+)"),
    "unban": re.compile(r"WARNING: SSH: Unban (\S+)"),
    "error": re.compile(r"(?:ERROR|CRITICAL): (.*)"),
}
_SET = ("nft", "list", "set", "inet", "fail2ban")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; return 0 if attackers were banned and let go."""
    parser = argparse.ArgumentParser(prog="try")
    parser.add_argument("root", type=Path, help="the source tree")
    parser.add_argument("--real", action="store_true", help="change the firewall")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fail2ban-try-") as folder:
        return _Demo(options.root, Path(folder), options.real).run()


class _Demo:
    """One run.

    Args:
        folder: for log, configuration and PID file.
        real: we are in a network namespace of our own.
    """

    def __init__(self, root: Path, folder: Path, real: bool) -> None:
        self._root, self._real = root, real
        self._log, self._conf, self._pid = (folder / n for n in ("auth.log", "conf", "pid"))
        self._counts: Counter[str] = Counter()
        self._banned: set[str] = set()
        self._held: set[str] = set()

    def run(self) -> int:
        self._introduce()
        self._log.touch()
        self._conf.write_text(_configuration(self._root, self._log), encoding="utf-8")
        pipe, both = subprocess.PIPE, subprocess.STDOUT
        with subprocess.Popen(self._command(), stdout=pipe, stderr=both, text=True) as daemon:
            assert daemon.stdout is not None
            viewer = threading.Thread(target=self._show, args=(daemon.stdout,))
            viewer.start()
            try:
                written = self._attack()
            finally:
                daemon.send_signal(signal.SIGTERM)
                viewer.join()
        return self._conclude(written, daemon.returncode)

    def _introduce(self) -> None:
        where = "real nftables, in a network namespace of its own"
        if not self._real:
            where = "no root or no nft: commands are only shown, nothing is changed"
        print(f"fail2ban guards a log that is attacked ({where}).")
        print(f"{MAXFAILURES} failures lead to a ban of {BANTIME} seconds.\n", flush=True)

    def _command(self) -> list[str]:
        flags = ["-c", str(self._conf), "-p", str(self._pid), "-vv"]
        limits = ["-r", str(MAXFAILURES), "-t", str(BANTIME)]
        program = str(self._root / "bin" / "fail2ban")
        return [sys.executable, program, *flags, *limits, *([] if self._real else ["-d"])]

    def _attack(self) -> int:
        """Write lines like sshd's until the time is over; return how many."""
        end, written = time.monotonic() + ATTACK, 0
        for ip, line in _attacks():
            if time.monotonic() >= end:
                break
            time.sleep(0.2)
            self._look_into_the_kernel()
            if ip not in self._banned:  # who is locked out makes no sshd complain
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(line)
                written += 1
        time.sleep(BANTIME + 1.0)  # let the last bans expire
        return written

    def _look_into_the_kernel(self) -> None:
        for name in ("SSH-ip", "SSH-ip6") if self._real else ():
            listed = subprocess.run([*_SET, name], capture_output=True, text=True)
            self._held |= {ip for ip in ATTACKERS if f" {ip} " in listed.stdout}

    def _show(self, lines: Iterable[str]) -> None:
        for line in lines:
            for event, pattern in _EVENTS.items():
                if found := pattern.search(line):
                    self._note(event, found[1])
                    print(f"{line[11:19]}  {event:<6} {found[1]}", flush=True)

    def _note(self, event: str, subject: str) -> None:
        self._counts[event] += 1
        if event == "ban":
            self._banned.add(subject)
        elif event == "unban":
            self._banned.discard(subject)

    def _conclude(self, written: int, status: int) -> int:
        counts = self._counts
        print(f"\n{written} lines written, {counts['found']} failures found,", end=" ")
        print(f"{counts['ban']} bans, {counts['unban']} unbans.")
        if self._real:
            left = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True)
            print(f"Seen in the kernel's sets: {', '.join(sorted(self._held)) or 'nobody'}.")
            print(f"Left in the firewall: {'nothing' if not left.stdout else left.stdout}.")
        good = counts["ban"] and counts["unban"] and not counts["error"] and not status
        if self._real:
            good = good and self._held == set(ATTACKERS)
        print("It works." if good else "Something went wrong, see above.")
        return 0 if good else 1


def _configuration(root: Path, log: Path) -> str:
    """Return the shipped configuration, changed to read our log and to say all here.

    Nothing outlives the demonstration, and nothing of a real daemon is used.
    """
    text = (root / "config" / "fail2ban.conf.nftables").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^logtargets *=.*$", "logtargets = STDERR", text)
    text = re.sub(r"(?m)^(dbfile|socket) *=.*\n", "", text)
    text = text.replace("[DEFAULT]\n", "[DEFAULT]\ndbfile = none\nsocket = none\n", 1)
    ssh = text.index("[SSH]")
    section = re.sub(r"(?m)^logfile *=.*(?:\n[ \t].*)*", f"logfile = {log}", text[ssh:], count=1)
    return text[:ssh] + section


def _attacks() -> Iterator[tuple[str, str]]:
    """Yield who fails and what sshd says: one honest mistake, then attackers in turn."""
    yield HONEST, _line(f"Failed password for alice from {HONEST} port 50022 ssh2")
    for attempt, ip in zip(itertools.count(1), itertools.cycle(ATTACKERS), strict=False):
        yield ip, _line(f"Failed password for root from {ip} port {40000 + attempt} ssh2")


def _line(text: str) -> str:
    return f"{time.strftime('%b %e %H:%M:%S')} server sshd[4711]: {text}\n"


if __name__ == "__main__":
    sys.exit(main())
