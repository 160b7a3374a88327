# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `bench/run`.

As root it starts itself again in namespaces of its own (network, mounts, processes): the
firewall that is measured is not the host's, and nothing outlives the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench import budget, cost, detection, enforcement, limits, table
from bench import peers as packages
from bench.detection import OurDetection
from bench.proc import Failed
from bench.programs import CLASSIC, OURS, Stage
from bench.results import UNKNOWN, Claim, Row, as_json
from bench.rows import QUICK, Maker, Sizes, Workshop

ROOT = Path(__file__).resolve().parents[1]
MAKERS: tuple[Maker, ...] = (
    *detection.MAKERS, *enforcement.MAKERS, *cost.MAKERS, *limits.MAKERS
)  # fmt: skip
#: Lines that are read under the profiler.
PROFILED = 300_000
#: Names the host's network namespace to the process inside.
_HOST = "FAIL2BAN_BENCH_HOST"
_NET = "/proc/self/ns/net"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 0 if all was measured, 1 if a row is wrong or cannot be made."""
    options = _options(arguments)
    if options.list:
        for maker in MAKERS:
            print(f"{', '.join(maker.names):32}{maker.what}")
        return 0
    try:
        if options.install:
            packages.install(options.cache)
            return 0
        if os.geteuid() == 0 and _HOST not in os.environ:
            return _again_inside()
        return _measure(options)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measure fail2ban beside its peers: the same work, in one run. What is"
        " measured runs in network namespaces and temporary folders; the host's firewall,"
        " logs and services are not touched.",
        epilog="Without root only rows that need no firewall are measured. See bench/README.",
    )
    names = [name for maker in MAKERS for name in maker.names]
    parser.add_argument("--rows", nargs="+", metavar="NAME", choices=names, help="only these rows")
    parser.add_argument("--list", action="store_true", help="list the rows and exit")
    parser.add_argument("--quick", action="store_true", help="a minute's look; numbers mean little")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result, too")
    parser.add_argument("--rounds", type=int, help="pairs of runs for each row")
    parser.add_argument("--ours", type=Path, default=ROOT, metavar="DIR",
                        help="measure another checkout of our program")  # fmt: skip
    parser.add_argument("--cache", type=Path, default=packages.cache(), metavar="DIR",
                        help="where the peers are unpacked (%(default)s)")  # fmt: skip
    parser.add_argument("--install", action="store_true",
                        help="fetch the peers with apt, unpack them, and exit")  # fmt: skip
    parser.add_argument("--patience", type=float, metavar="SECONDS",
                        help="cut a run off after so long; what it did until then counts")  # fmt: skip
    parser.add_argument("--profile", metavar="ROW", choices=("ssh-0.1", "ssh-50", "web"),
                        help="show where our time goes in a row of throughput, and exit")  # fmt: skip
    parser.add_argument("--upstream", action="store_true",
                        help="with --profile: upstream's filter, not the classic file's")  # fmt: skip
    options = parser.parse_args(arguments)
    options.ours, options.cache = options.ours.resolve(), options.cache.resolve()
    return options


def _again_inside() -> int:
    """Run this program once more, in namespaces that end with it."""
    if shutil.which("unshare") is None:
        raise Failed("not installed: unshare (util-linux)")
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    environment = {**os.environ, _HOST: os.readlink(_NET), "TZ": "UTC"}
    return subprocess.run(
        [*command, sys.executable, "-m", "bench.cli", *sys.argv[1:]], env=environment, check=False
    ).returncode


def _inside() -> bool:
    """Tell whether the firewall is our own; a name in the environment alone proves nothing."""
    host = os.environ.get(_HOST)
    return host is not None and os.geteuid() == 0 and os.readlink(_NET) != host


def _measure(options: argparse.Namespace) -> int:
    os.environ["TZ"] = "UTC"
    time.tzset()
    with tempfile.TemporaryDirectory(prefix="fail2ban-bench-") as name:
        folder = Path(name)
        shop = Workshop(
            stage=Stage(options.ours, packages.find(options.cache), folder / "daemons"),
            sizes=_sizes(options),
            folder=folder,
            inside=_inside(),
        )
        if shop.inside:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        if options.profile:
            _profile(shop, options.profile, options.upstream)
            return 0
        machine = _machine(shop)
        rows, claims = _all(options, shop, machine)
    if options.rows:
        claims = [claim for claim in claims if claim.verdict != UNKNOWN]
    table.print_all(rows, claims)
    return int(any(row.wrong for row in rows))


def _all(
    options: argparse.Namespace, shop: Workshop, machine: Mapping[str, object]
) -> tuple[list[Row], list[Claim]]:
    """Measure; what is there is written after every row, for a run takes long."""
    rows: list[Row] = []
    claims: list[Claim] = []
    for one in make_rows(MAKERS, options.rows, shop):
        rows.append(one)
        # The budget speaks of full sizes.
        claims = [] if options.quick else budget.judge(rows)
        if options.json:
            text = json.dumps(as_json(machine, rows, claims), indent=2)
            options.json.write_text(text + "\n", encoding="utf-8")
    return rows, claims


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = vars(QUICK if options.quick else Sizes()).copy()
    if options.rounds:
        sizes["rounds"] = sizes["slow_rounds"] = options.rounds
    if options.patience:
        sizes["patience"] = options.patience
    return Sizes(**sizes)


def make_rows(
    makers: Iterable[Maker], wanted: Sequence[str] | None, shop: Workshop
) -> Iterable[Row]:
    """Make the rows that are wanted, None: all; one that fails does not stop the others."""
    for maker in makers:
        if wanted is not None and not set(wanted) & set(maker.names):
            continue
        shop.say(f"{', '.join(maker.names)}: {maker.what}")
        if reason := why_not(maker, shop):
            yield from (Row(name, maker.what, left_out=reason) for name in maker.names)
            continue
        try:
            yield from maker.make(shop, maker.names)
        except (Failed, OSError) as error:
            yield Row(maker.names[0], maker.what, left_out="it failed", wrong=str(error))


def why_not(maker: Maker, shop: Workshop) -> str:
    """Say why a row cannot be made here; empty: it can."""
    if maker.firewall and not shop.inside:
        return "needs root"
    missing = [name for name in ("nft", "ip") if maker.firewall and not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if maker.peers and not shop.peers.tree.is_dir():
        return "needs the peers: bench/run --install"
    return ""


def _profile(shop: Workshop, name: str, upstream: bool) -> None:
    """Print where our time goes."""
    if name == "web":
        reader = OurDetection(shop, OURS, detection.WEB_FILTERS)
    else:
        reader = OurDetection(shop, OURS if upstream else CLASSIC, ("sshd",))
    log, _ = detection.log_of(shop, name).head(PROFILED, shop.folder, "head")
    target = shop.folder / "profile"
    reader.ask(log, "--profile", str(target))
    print(target.read_text(encoding="utf-8"))


def _machine(shop: Workshop) -> dict[str, object]:
    """Return the facts that numbers depend on."""
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model[0] if model else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "peers": shop.peers.versions,
        "peer python": _version(shop.peers.python),
        "ours": _commit(shop.stage.ours),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load before": os.getloadavg()[2],
        "sizes": vars(shop.sizes),
    }


def _version(python: str) -> str:
    if not python:
        return ""
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    if shutil.which("git") is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
