# SPDX-License-Identifier: GPL-2.0-or-later
"""How the real daemon is: as JSON, as metrics at its socket and by HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fail2ban.control.schema import SHAPES, deviations
from tests.e2e.daemon import RunningDaemon, wait_until
from tests.e2e.trees import Site, banned

parser = pytest.importorskip("prometheus_client.parser")

ROOT = Path(__file__).resolve().parents[2]
FIRST = "203.0.113.1"


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def site(tmp_path: Path, port: int) -> Site:
    site = Site(tmp_path)
    site.jails(
        "[DEFAULT]\nbackend = polling\n",
        site.jail("one", maxretry="2", bantime="1h", findtime="10m"),
        site.jail("two", action=""),
    )
    site.put("fail2ban.local", f"[Definition]\nmetricsport = {port}\n")
    return site


@pytest.fixture
def daemon(site: Site) -> Iterator[RunningDaemon]:
    """Run the daemon until it has banned somebody."""
    with site.running() as daemon:
        # What is there at the start says nothing about how fast we are.
        site.write("one", "host service: ready")
        wait_until(lambda: lines_of(site) == 1)
        site.attack(FIRST, "one", times=2)
        daemon.wait_for(banned("one", FIRST))
        yield daemon


def client(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bin/fail2ban-client"), "-c", str(site.tree), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def lines_of(site: Site) -> int:
    """Return how many lines the first section has read."""
    return int(json.loads(client(site, "--json", "health").stdout)["jails"][0]["lines"])


def samples(written: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(written)
        for sample in family.samples
    }


def test_the_status_as_json_tells_how_everything_is(site: Site, daemon: RunningDaemon) -> None:
    done = client(site, "--json", "status")
    answer = json.loads(done.stdout)
    assert deviations(answer, {"schema": int, **SHAPES["status"]}) == []
    one, two = answer["health"]["jails"]
    assert one["lines"] == 3 and one["matches"] == 2 and one["failures"]["counted"] == 2
    assert one["bans"]["now"]["applied"] == 1
    assert one["latency"]["count"] == 1
    assert [(log["lines"], log["matches"]) for log in one["logs"]] == [(3, 2)]
    assert one["logs"][0]["last_match"] == one["last_match"]
    assert two["matches"] == 0
    assert answer["health"]["alarms"] == []


def test_without_an_alarm_the_status_is_what_scripts_expect(
    site: Site, daemon: RunningDaemon
) -> None:
    done = client(site, "status")
    assert done.stdout == "Status\n|- Number of jail:\t2\n`- Jail list:\tone, two\n"
    assert done.stderr == ""


def test_metrics_are_the_same_at_the_socket_and_by_http(
    site: Site, daemon: RunningDaemon, port: int
) -> None:
    at_socket = samples(client(site, "metrics").stdout)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        by_http = samples(answer.read().decode())
    assert at_socket.keys() <= by_http.keys()
    one = ("jail", "one")
    for read in (at_socket, by_http):
        assert read["fail2ban_jail_failures_total", (one,)] == 2
        assert read["fail2ban_jail_bans", (one, ("state", "applied"))] == 1
        assert read["fail2ban_ban_latency_seconds_count", (one,)] == 1


def test_a_log_that_is_rotated_stays_one_log_for_those_who_measure(
    site: Site, daemon: RunningDaemon
) -> None:
    site.log("one").rename(site.root / "one.log.1")
    site.attack("203.0.113.2", "one", times=2)
    daemon.wait_for(banned("one", "203.0.113.2"))
    written = client(site, "metrics").stdout
    name = f'fail2ban_log_lines_total{{jail="one",log="{site.log("one")}"}}'
    assert [line.split()[-1] for line in written.splitlines() if line.startswith(name)] == ["5"]


def test_a_client_that_waits_for_nothing_does_not_keep_the_daemon_from_ending(
    daemon: RunningDaemon, port: int
) -> None:
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET /met")
        assert daemon.stop() == 0


def test_a_reload_that_fails_is_seen(site: Site, daemon: RunningDaemon) -> None:
    assert client(site, "reload").returncode == 0
    site.put("jail.local", "[one\n")
    assert client(site, "reload").returncode != 0

    def failed() -> bool:
        return (
            samples(client(site, "metrics").stdout)["fail2ban_config_reload_failures_total", ()]
            == 1
        )

    wait_until(failed)
    reloads = samples(client(site, "metrics").stdout)
    assert reloads["fail2ban_config_reloads_total", ()] == 2
    assert reloads["fail2ban_config_last_reload_successful", ()] == 0
