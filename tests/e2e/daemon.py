# SPDX-License-Identifier: GPL-2.0-or-later
"""The real daemon for end-to-end tests: a process of its own, watched by its log.

    with RunningDaemon(tmp_path, config_text, "-r", "3", namespace=server) as daemon:
        daemon.wait_for(r"SSH: Ban .* 192\\.0\\.2\\.1$")
        daemon.signal(SIGHUP)
        assert daemon.stop() == 0

It runs a file of the classic language, or a tree (see `tests.e2e.trees`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals
from types import MappingProxyType

from tests.needs import PATH
from tests.netns import Namespace

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "bin" / "fail2ban"
SERVER = ROOT / "bin" / "fail2ban-server"

#: Seconds that nothing here ever needs unless it is broken.
PATIENCE = 60.0


def wait_until(
    condition: Callable[[], bool],
    timeout: float = PATIENCE,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Look again and again until `condition` holds.

    Raises:
        AssertionError: it does not within `timeout` seconds; says what `explain` returns.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s\n{explain()}"
        time.sleep(0.05)


def with_places(config: str, folder: Path) -> str:
    """Return a text of the classic language whose database and socket lie in a folder."""
    places = {"dbfile": folder / "state.sqlite3", "socket": folder / "fail2ban.sock"}
    missing = [f"{name} = {path}" for name, path in places.items() if f"{name} =" not in config]
    head, default, rest = config.partition("[DEFAULT]\n")
    if not default:
        head, rest = "", config
    return "".join([head, "[DEFAULT]\n", *(f"{line}\n" for line in missing), rest])


class RunningDaemon:
    """`bin/fail2ban` in the foreground, with `-v` and a PID file of its own.

    A context manager: entering starts it, leaving kills it if it still runs.

    Attributes:
        config: the configuration file; write to it, then signal SIGHUP.
        pidfile: what the daemon gets as `-p`.

    Args:
        folder: for the files above and what the daemon prints; its working directory.
        config: text (what it does not say of the daemon's own files is in `folder`), or
            the path of a file, or of the folder of a tree, that is used as
            it is.
        flags: further flags of the program.
        namespace: where it runs; None: on the machine itself (then without root's powers
            over a firewall: use `-d` or commands that only write to files).
        ready: a command for /bin/sh, run beside the daemon; the start is over once it
            succeeds. For waiting until the firewall is set up, of which the log says nothing;
            after `kill9` the leftovers may satisfy it at once.
        program: what is run; `SERVER` needs the flag `-f`.
        logfile: where it writes what it does not say on the console.
        environment: variables to add.
        through: a command that runs the program, as `setpriv --no-new-privs`; in `namespace`.
        descriptors: stay open for it, under their numbers.
    """

    def __init__(
        self,
        folder: Path,
        config: str | Path,
        *flags: str,
        namespace: Namespace | None = None,
        ready: str = "true",
        program: Path = PROGRAM,
        logfile: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        through: Sequence[str] = (),
        descriptors: Sequence[int] = (),
    ) -> None:
        self.pidfile = folder / "fail2ban.pid"
        self.config = config if isinstance(config, Path) else folder / "fail2ban.conf"
        if isinstance(config, str):
            self.config.write_text(with_places(config, folder), encoding="utf-8")
        self._console = folder / "console"
        self._folder, self._flags, self._ready = folder, flags, ready
        self._program, self._added = program, environment
        self._through, self._descriptors = through, descriptors
        self._logs = [self._console, logfile] if logfile else [self._console]
        self._prefix = ["ip", "netns", "exec", namespace.name] if namespace else []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningDaemon:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ignored: object) -> None:
        if self.running:
            self.kill9()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last; its `pid` is the daemon's."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, also again after `stop` or `kill9`; returns when it runs."""
        seen = len(self.log())
        self.launch()
        self.wait_for(lambda: "is running" in self.log()[seen:])
        self.wait_for(lambda: self._succeeds(self._ready))

    def launch(self) -> None:
        """Begin to start it; returns at once."""
        program = [*self._through, sys.executable, str(self._program)]
        command = [*program, "-c", str(self.config), "-p", str(self.pidfile)]
        with open(self._console, "ab") as console:
            self._process = subprocess.Popen(
                [*self._prefix, *command, "-v", *self._flags],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=self._descriptors,
            )

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: Signals = SIGTERM) -> int:
        """Ask it to end, wait until it is gone, return its exit status."""
        self.signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, return its exit status; negative: killed by that signal."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running\n{self.log()}") from error

    def kill9(self) -> None:
        """Kill it without mercy; what it left behind stays."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """Return all that it said since the first start, on the console and in its log."""
        there = [path for path in self._logs if path.exists()]
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in there)

    def count(self, pattern: str) -> int:
        """Count the matches of a pattern (`^` and `$` are a line's) in the log."""
        return len(re.findall(pattern, self.log(), re.MULTILINE))

    def wait_for(
        self, what: str | Callable[[], bool], timeout: float = PATIENCE, times: int = 1
    ) -> None:
        """Wait until the log has a pattern so many `times`, or a condition holds.

        Raises:
            AssertionError: not within `timeout` seconds, or the daemon ended before;
                shows its log.
        """

        def holds() -> bool:
            return self.count(what) >= times if isinstance(what, str) else what()

        def held_or_ended() -> bool:
            alive = self.running  # looked at first: the last words count
            if not holds():
                assert alive, f"ended with {self.process.poll()}: {what}\n{self.log()}"
                return False
            return True

        wait_until(held_or_ended, timeout, lambda: f"{what}\n{self.log()}")

    def _succeeds(self, command: str) -> bool:
        words = [*self._prefix, "/bin/sh", "-c", command]
        done = subprocess.run(words, env=self._environment(), capture_output=True)
        return done.returncode == 0

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT), **self._added}
