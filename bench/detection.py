# SPDX-License-Identifier: GPL-2.0-or-later
"""Throughput: lines of a log -> failures.

What a run costs is its processor time, less that of the same run with a few lines, so that
nobody's start counts. All programs here use one thread for this work.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import generate, proc
from bench.programs import CLASSIC, OURS, Contender, JailSpec, Running, write_classic, write_tree
from bench.results import Row, interleaved, row
from bench.rows import Maker, Workshop

DETECT = Path(__file__).with_name("detect.py")
WEB_FILTERS = ("nginx-botsearch", "apache-badbots", "php-url-fopen")
#: Of the lines of the access log, how many are attacks.
WEB_SHARE = 0.005
#: Lines of the log that stands for none.
FEW = 10
#: Lines from which the speed of a program is estimated.
TRIAL = 5_000
#: Who comes last in each log of a daemon, and how often it takes to be banned.
LAST, TRIES = "203.0.113.254", 5

CLASSIC_NAME, UPSTREAM_NAME = "ours, classic file", "ours, upstream's filter"
PEER_NAME, SSHGUARD_NAME = "fail2ban-regex", "sshg-parser"


@dataclass(frozen=True)
class Log:
    """A log of which any beginning can be had.

    Attributes:
        share: of its lines, how many are attacks.
        offsets: behind each `TRIAL` lines.
        last: text that ends each beginning, too.
    """

    path: Path
    share: float
    count: int
    offsets: Sequence[int]
    last: str = ""

    def head(self, lines: int, folder: Path, name: str) -> tuple[Path, int]:
        """Write about the first `lines` lines to a file; return it and how many they are."""
        steps = max(1, min(round(lines / TRIAL), len(self.offsets) - 1)) if lines > FEW else 0
        path = folder / f"{name}.log"
        with self.path.open("rb") as source, path.open("wb") as target:
            if not steps:
                target.writelines(source.readline() for _ in range(FEW))
            left = self.offsets[steps]
            while left:
                left -= target.write(source.read(min(left, 1 << 24)))
            target.write(self.last.encode())
        return path, steps * TRIAL or FEW


def make_log(path: Path, share: float, lines: Iterable[str]) -> Log:
    """Write a log and note where its parts begin."""
    offsets, count, size = [0], 0, 0
    with path.open("w", encoding="ascii", buffering=1 << 20) as file:
        for count, line in enumerate(lines, 1):
            file.write(line + "\n")
            size += len(line) + 1
            if count % TRIAL == 0:
                offsets.append(size)
    return Log(path, share, count, offsets)


# Programs that read a whole log ---------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a run has cost, and how many failures it has found."""

    cpu: float
    failures: int


#: Reads a log.
Reader = Callable[[Path], Answer]


class OurDetection:
    """The daemon's own parts; every jail of a configuration reads the log."""

    def __init__(self, shop: Workshop, contender: Contender, filters: Sequence[str]) -> None:
        self._shop, self._kind, self._filters = shop, contender.kind, filters
        self._folder = shop.stage.fresh(Contender(f"detect {contender.kind}", contender.kind))

    def __call__(self, log: Path) -> Answer:
        answer = self.ask(log)
        return Answer(answer["cpu"], answer["failures"])

    def ask(self, log: Path, *flags: str) -> dict[str, Any]:
        """Return what `detect.py` prints."""
        jails = [JailSpec(name, log, name, bans=False) for name in self._filters]
        if self._kind == "classic":
            sample = self._shop.stage.ours / "config/fail2ban.conf.nftables"
            config = write_classic(sample, self._folder, [JailSpec("SSH", log, bans=False)])
        else:
            config = write_tree(self._shop.peers.tree, self._folder, jails, "polling")
        command = [sys.executable, str(DETECT), str(config), *flags]
        done = proc.run(command, environment=self._shop.stage.environment)
        found: dict[str, Any] = json.loads(done.output)
        return found


def peer_regex(shop: Workshop, filters: Sequence[str]) -> Reader:
    """Return `fail2ban-regex` of the peer, run once for each filter."""

    def read(log: Path) -> Answer:
        answers = [_regex(shop, log, name) for name in filters]
        return Answer(sum(a.cpu for a in answers), sum(a.failures for a in answers))

    return read


def _regex(shop: Workshop, log: Path, name: str) -> Answer:
    # As its server does, it stops at the first pattern that matches.
    flags = ["--no-check-all", "--print-no-missed", "--print-no-ignored"]
    command = [*shop.peers.program("fail2ban-regex"), "-c", str(shop.peers.tree), *flags]
    done = proc.run([*command, str(log), name], environment=shop.peers.environment)
    found = re.search(r"^Failregex: (\d+) total", done.output, re.MULTILINE)
    return Answer(done.cpu, int(found[1]) if found else 0)


def sshguard(shop: Workshop) -> Reader:
    """Return sshguard's parser, which reads its standard input."""
    assert shop.peers.parser
    parser = str(shop.peers.parser)

    def read(log: Path) -> Answer:
        output = shop.folder / "sshguard.out"
        done = proc.run([parser], stdin=log, output=output)
        with output.open("rb") as lines:
            return Answer(done.cpu, sum(1 for _ in lines))

    return read


# The rows -------------------------------------------------------------------------------


def _ssh(shop: Workshop, name: str, what: str) -> Iterator[Row]:
    readers: dict[str, Reader] = {CLASSIC_NAME: OurDetection(shop, CLASSIC, ("sshd",))}
    upstream = None
    if shop.peers.tree.is_dir():
        upstream = readers[UPSTREAM_NAME] = OurDetection(shop, OURS, ("sshd",))
    if shop.peers.python:
        readers[PEER_NAME] = peer_regex(shop, ("sshd",))
    if shop.peers.parser:
        readers[SSHGUARD_NAME] = sshguard(shop)
    log = log_of(shop, name)
    yield _throughput(shop, name, what, readers, log)
    if upstream and shop.peers.python:
        yield _same(shop, f"{name}-same", f"{what}: failures, ours and fail2ban's", upstream, log)
    log.path.unlink()


def _web(shop: Workshop, name: str, what: str) -> Iterator[Row]:
    readers: dict[str, Reader] = {UPSTREAM_NAME: OurDetection(shop, OURS, WEB_FILTERS)}
    if shop.peers.python:
        readers[PEER_NAME] = peer_regex(shop, WEB_FILTERS)
    log = log_of(shop, name)
    yield _throughput(shop, name, what, readers, log)
    log.path.unlink()


def log_of(shop: Workshop, name: str) -> Log:
    """Write the log that a row reads."""
    shop.say("  writing a log")
    share = WEB_SHARE if name == "web" else float(name.rpartition("-")[2]) / 100
    if name == "web":
        lines = generate.access(shop.sizes.lines // 2, share, time.time())
    else:
        lines = generate.auth(shop.sizes.lines, share, time.time())
    return make_log(shop.folder / f"{name}.log", share, lines)


def _throughput(
    shop: Workshop, name: str, what: str, readers: Mapping[str, Reader], log: Log
) -> Row:
    """Let each program read as many lines as keep it busy for a while."""
    with shop.scratch("heads") as folder:
        runs, heads, found = {}, {}, {}
        for number, (program, read) in enumerate(readers.items()):
            shop.say(f"  {program}")
            few, _ = log.head(FEW, folder, f"few{number}")
            idle = min(read(few).cpu for _ in range(min(3, shop.sizes.rounds)))
            lines = _enough(shop, log, folder, read, idle)
            heads[program] = log.head(lines, folder, f"head{number}")

            def run(program: str = program, read: Reader = read, idle: float = idle) -> float:
                path, count = heads[program]
                answer = read(path)
                found[program] = answer.failures
                return count / max(answer.cpu - idle, 1e-3)

            runs[program] = run
        values = interleaved(runs, shop.sizes.rounds)
    expected = {program: int(log.share * count) for program, (_, count) in heads.items()}
    notes = [
        f"{program}: {count:,} lines, {found[program]:,} failures of {expected[program]:,}"
        for program, (_, count) in heads.items()
    ]
    ours = [program for program in heads if program.startswith("ours")]
    bad = [program for program in ours if found[program] != expected[program]]
    wrong = f"{', '.join(bad)}: not every attack line is a failure, or others are" if bad else ""
    return row(name, what, "lines/s", values, notes=notes, wrong=wrong)


def _enough(shop: Workshop, log: Log, folder: Path, read: Reader, idle: float) -> int:
    """Return how many lines keep a program busy for as long as we want."""
    lines = TRIAL
    while True:
        path, count = log.head(lines, folder, "trial")
        cpu = max(read(path).cpu - idle, 1e-3)
        wanted = int(count * shop.sizes.seconds / cpu)
        if cpu > shop.sizes.seconds / 5 or count >= log.count:
            return min(wanted, log.count)
        lines = min(max(wanted, count * 2), log.count)


def _same(shop: Workshop, name: str, what: str, ours: OurDetection, log: Log) -> Row:
    """Compare each failure, its time and address, in the order of the log."""
    with shop.scratch("same") as folder:
        path, count = log.head(20 * TRIAL, folder, "head")
        found = ours.ask(path, "--list")["found"]
        mine = [(float(moment), ip) for moment, ip in found]
        theirs = _their_failures(shop, path, "sshd")
    values = {"ours": [float(len(mine))], PEER_NAME: [float(len(theirs))]}
    wrong = "" if mine == theirs else f"of {count:,} lines the failures differ"
    facts = {"identical": float(mine == theirs)}
    return row(name, what, "failures", values, wrong=wrong, facts=facts)


def _their_failures(shop: Workshop, log: Path, name: str) -> list[tuple[float, str]]:
    command = [*shop.peers.program("fail2ban-regex"), "-c", str(shop.peers.tree)]
    command += ["--no-check-all", "-o", "<time> <ip>", str(log), name]
    done = proc.run(command, environment=shop.peers.environment)
    pairs = (line.split() for line in done.output.splitlines())
    return [(float(words[0]), words[1]) for words in pairs if len(words) == 2]


# Daemons --------------------------------------------------------------------------------


def _daemons(shop: Workshop, name: str, what: str) -> Iterator[Row]:
    """Measure the processor time of whole daemons, which ban in memory, without commands."""
    last = "".join(generate.attack(LAST, time.time()) + "\n" for _ in range(TRIES))
    log = replace(log_of(shop, name), last=last)
    contenders = shop.contenders()
    with shop.scratch("heads") as folder:
        runs, notes = {}, []
        for number, contender in enumerate(contenders):
            shop.say(f"  {contender.name}")

            def read(path: Path, contender: Contender = contender) -> Answer:
                return Answer(_daemon_cpu(shop, contender, path), 0)

            few, _ = log.head(FEW, folder, f"few{number}")
            idle = min(read(few).cpu for _ in range(min(3, shop.sizes.rounds)))
            lines = _enough(shop, log, folder, read, idle)
            path, count = log.head(lines, folder, f"head{number}")
            notes.append(f"{contender.name} read {count:,} lines")
            runs[contender.name] = lambda read=read, path=path, count=count, idle=idle: (
                count / max(read(path).cpu - idle, 1e-2)
            )
        values = interleaved(runs, shop.sizes.slow_rounds)
    log.path.unlink()
    yield row(name, what, "lines/s", values, notes=["; ".join(notes)])


def _daemon_cpu(shop: Workshop, contender: Contender, log: Path) -> float:
    """Let a daemon read a log from its beginning; return the processor time it took."""
    shop.stage.fresh(contender)
    jail = JailSpec("sshd", log, maxretry=TRIES, bans=False)
    with shop.stage.start(contender, [jail]) as daemon:
        _wait_banned(daemon, LAST, shop.sizes.patience)
        used = daemon.cpu()
        daemon.stop()
    return used


def _wait_banned(daemon: Running, ip: str, patience: float) -> None:
    daemon.wait_for(rf"Ban\b.* {re.escape(ip)}$", patience)


MAKERS = (
    Maker(
        ("ssh-0.1", "ssh-0.1-same"), "auth.log, 0.1 % attack lines, detection alone",
        lambda shop, names: _ssh(shop, names[0], "auth.log, 0.1 % attack lines, detection"),
        peers=False,
    ),
    Maker(
        ("ssh-50", "ssh-50-same"), "auth.log, 50 % attack lines, detection alone",
        lambda shop, names: _ssh(shop, names[0], "auth.log, 50 % attack lines, detection"),
        peers=False,
    ),
    Maker(
        ("web",), "access log, three jails, detection alone",
        lambda shop, names: _web(shop, names[0], "access log, three jails, detection"),
    ),
    Maker(
        ("daemon-0.1",), "auth.log, 0.1 % attack lines, the whole daemon",
        lambda shop, names: _daemons(shop, names[0], "auth.log, 0.1 %, the whole daemon"),
        firewall=True,
    ),
    Maker(
        ("daemon-50",), "auth.log, 50 % attack lines, the whole daemon",
        lambda shop, names: _daemons(shop, names[0], "auth.log, 50 %, the whole daemon"),
        firewall=True,
    ),
)  # fmt: skip
