# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics by HTTP: on the loopback interface only, and nobody stands in another's way."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from fail2ban.health import http as served
from fail2ban.health.exposition import text
from fail2ban.health.facts import Health, JailFacts, LogFacts, Observed
from fail2ban.health.families import families
from tests.helpers import NOW

parser = pytest.importorskip("prometheus_client.parser")

HEALTH = Health(NOW, NOW, "2", Observed((JailFacts("sshd", logs=(LogFacts('/a"\\'),)),)))


@pytest.fixture
def server() -> Iterator[served.MetricsServer]:
    server, stop = served.MetricsServer(0, served.writer(lambda: HEALTH)), threading.Event()
    server.open()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield server
    stop.set()
    server.wake()
    thread.join(10)
    assert not thread.is_alive()
    server.close()


def get(
    server: served.MetricsServer, path: str = "/metrics", host: str = "", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    if host:
        headers["Host"] = host
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def samples(written: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(written)
        for sample in family.samples
        if not family.name.startswith("process_")
    }


def test_the_numbers_are_those_of_the_control_socket(server: served.MetricsServer) -> None:
    answer = get(server)
    assert answer.status == 200
    assert samples(answer.read().decode()) == samples(text(families(HEALTH)))


def test_a_client_that_wants_it_gets_the_newer_format(server: served.MetricsServer) -> None:
    answer = get(server, Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.read().endswith(b"# EOF\n")


def test_other_paths_and_methods_are_refused(server: served.MetricsServer) -> None:
    assert get(server, "/").status == 404
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/metrics", b"x")
    assert connection.getresponse().status == 501


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "[x]", "1.2.3"])
def test_a_web_page_that_was_made_to_point_at_us_learns_nothing(
    server: served.MetricsServer, host: str
) -> None:
    assert get(server, host=host).status == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "[::1]:9", "127.0.0.1"])
def test_a_program_of_this_host_is_answered(server: served.MetricsServer, host: str) -> None:
    assert get(server, host=host).status == 200


def test_it_listens_on_the_loopback_interface_only(server: served.MetricsServer) -> None:
    places = {listener.getsockname()[0] for listener in server._listeners}
    assert "127.0.0.1" in places <= {"127.0.0.1", "::1"}


def test_clients_that_say_nothing_keep_nobody_out(server: served.MetricsServer) -> None:
    silent = [
        socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * served.MAX_CLIENTS)
    ]
    assert get(server).status == 200
    for client in silent:
        client.close()


def test_garbage_harms_nobody(server: served.MetricsServer) -> None:
    for said in (b"\0\xff\n\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"GET " + b"x" * 70000, b"\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(said)
    assert get(server).status == 200


def test_who_is_slow_is_parted_from(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    stop = threading.Event()
    server = served.MetricsServer(0, served.writer(lambda: HEALTH), lambda: now[0])
    server.open()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"GET /met")
        server._accept(server._listeners[0], stop)
        now[0] = served.DEADLINE
        server._part_from_slow()
        assert client.recv(1) == b""
    server.close()


def test_a_client_that_waits_does_not_keep_the_daemon_from_ending() -> None:
    stop = threading.Event()
    server = served.MetricsServer(0, served.writer(lambda: HEALTH))
    server.open()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30):
        stop.set()
        server.wake()
        thread.join(10)
        assert not thread.is_alive()
        server.close()
        server.wake()


def test_a_port_that_is_taken_is_an_error(server: served.MetricsServer) -> None:
    other = served.MetricsServer(server.port, served.writer(lambda: HEALTH))
    with pytest.raises(OSError):
        other.open()
    other.close()


def test_a_defect_costs_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    def write(accept: str) -> tuple[bytes, str]:
        raise KeyError("a defect")

    stop = threading.Event()
    server = served.MetricsServer(0, write)
    server.open()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    with pytest.raises((http.client.HTTPException, OSError)):
        get(server)
    stop.set()
    server.wake()
    thread.join(10)
    server.close()
    assert "a request failed" in caplog.text


def test_without_the_package_it_is_said_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert served.opened(9, lambda: HEALTH) is None
    assert "the package prometheus-client is not installed" in caplog.text


def test_a_port_that_is_taken_costs_the_metrics_only(
    server: served.MetricsServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert served.opened(server.port, lambda: HEALTH) is None
    assert f"no metrics at port {server.port}: " in caplog.text
