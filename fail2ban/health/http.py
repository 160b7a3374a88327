# SPDX-License-Identifier: GPL-2.0-or-later
"""Serve the metrics by HTTP to programs on this host: GET /metrics.

It listens on the loopback addresses only, and any local user may ask: there are
numbers and names of sections, actions and logs, but no addresses of anybody. The
package prometheus-client speaks whatever format of text the other side likes best.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from fail2ban.health.facts import Health
from fail2ban.health.families import families
from fail2ban.text import printable

if TYPE_CHECKING:
    from prometheus_client import Metric

log = logging.getLogger(__name__)

#: Clients served at a time; who comes then takes the place of the first.
MAX_CLIENTS = 8
#: Seconds that a client has for all, and for each step.
DEADLINE, STEP = 10.0, 5.0
#: Seconds without new clients when the system has no room for one.
RESPITE = 1.0

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
#: What a host says that has no IPv6.
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
#: Makes the body for a client that accepts some types; returns that of the body, too.
_Write = Callable[[str], tuple[bytes, str]]


def writer(health: Callable[[], Health]) -> _Write:
    """Return what writes the metrics.

    Raises:
        ImportError: prometheus-client is not installed.
    """
    from prometheus_client import CollectorRegistry, Metric, ProcessCollector
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Bridge(Collector):
        def collect(self) -> Iterator[Metric]:
            for family in families(health()):
                metric = Metric(family.name, family.help, family.kind)
                for suffix, labels, value in family.samples:
                    metric.add_sample(family.name + suffix, dict(labels), value)
                yield metric

        def describe(self) -> Iterator[Metric]:
            return iter(())  # or else it would be asked for metrics to learn their names

    registry = CollectorRegistry()
    registry.register(Bridge())
    ProcessCollector(registry=registry)  # memory, processor time, open files

    def write(accept: str) -> tuple[bytes, str]:
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type

    return write


def opened(port: int, health: Callable[[], Health]) -> MetricsServer | None:
    """Return a server that listens; None: there can be none, and it was said why.

    Without it the daemon does all the rest.
    """
    try:
        write = writer(health)
    except ImportError:
        log.error(
            "no metrics at port %d: the package prometheus-client is not installed;"
            " `fail2ban-client metrics` shows them all the same",
            port,
        )
        return None
    server = MetricsServer(port, write)
    try:
        server.open()
    except OSError as error:
        log.error("no metrics at port %d: %s", port, error.strerror or error)
        server.close()
        return None
    return server


class MetricsServer:
    """Answers HTTP on the loopback interface; each client on a thread that ends soon.

    Args:
        port: 0: any that is free.
        write: makes the answer; called on any thread.
        clock: seconds, only ever growing.
    """

    def __init__(
        self, port: int, write: _Write, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.port = port
        self._write, self._clock = write, clock
        self._lock = threading.Lock()  # guards what follows
        self._clients: dict[socket.socket, float] = {}  # by deadline, the first one first
        self._wakeups, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeups, selectors.EVENT_READ)
        self._listeners: list[socket.socket] = []

    def open(self) -> None:
        """Listen; clients wait until `run` is called.

        Raises:
            OSError: the port is taken, or may not be used.
        """
        for family, address in _LOOPBACK:
            try:
                listener = socket.create_server((address, self.port), family=family)
            except OSError as error:
                if family is socket.AF_INET6 and error.errno in _NO_IPV6:
                    continue
                raise
            self.port = listener.getsockname()[1]
            listener.setblocking(False)
            self._listeners.append(listener)
            self._selector.register(listener, selectors.EVENT_READ, listener)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set and `wake` was called; the body of a thread."""
        while not stop.is_set():
            self._part_from_slow()
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._wakeups.recv(4096)
                else:
                    self._accept(key.data, stop)

    def wake(self) -> None:
        """Have `run` look at its stop event. Any thread, also late."""
        with contextlib.suppress(OSError):  # a full pair wakes as well
            self._wake.send(b"!")

    def close(self) -> None:
        """Give everything back; `run` has ended, or never began."""
        with self._lock:
            for client in self._clients:
                _hang_up(client)
        for each in (*self._listeners, self._wakeups, self._wake):
            each.close()
        self._selector.close()

    def _patience(self) -> float | None:
        with self._lock:
            first = min(self._clients.values(), default=math.inf)
        return None if first == math.inf else max(0.0, first - self._clock())

    def _part_from_slow(self) -> None:
        with self._lock:
            for client, deadline in self._clients.items():
                if deadline <= self._clock():
                    self._clients[client] = math.inf  # its thread ends now, and forgets it
                    _hang_up(client)

    def _accept(self, listener: socket.socket, stop: threading.Event) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            log.warning("metrics: no room for a client: %s", error.strerror)
            stop.wait(RESPITE)
            return
        client.settimeout(STEP)
        with self._lock:
            if len(self._clients) >= MAX_CLIENTS:
                _hang_up(next(iter(self._clients)))
                self._clients.pop(next(iter(self._clients)))
            self._clients[client] = self._clock() + DEADLINE
        self._start(client)

    def _start(self, client: socket.socket) -> None:
        thread = threading.Thread(
            target=self._serve, args=(client,), name="metrics client", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system has no room for it
            log.warning("metrics: no room for a client: %s", error)
            self._forget(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            _Handler(client, self._write)
        except OSError as error:
            log.debug("metrics: a client is gone: %s", error)
        except Exception:
            # Not even a defect may cost the others their numbers.
            log.exception("metrics: a request failed")
        finally:
            self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.pop(client, None)
            client.close()


class _Handler(BaseHTTPRequestHandler):
    """Deals with one request."""

    server_version = "fail2ban"
    sys_version = ""

    def __init__(self, client: socket.socket, write: _Write) -> None:
        self._metrics = write
        super().__init__(client, ("", 0), None)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if not _is_local(self.headers.get("Host", "")):
            self._answer(403, b"expected an address or localhost as the host\n")
        elif self.path.partition("?")[0] != "/metrics":
            self._answer(404, b"expected /metrics\n")
        else:
            self._answer(200, *self._metrics(self.headers.get("Accept", "")))

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug("metrics: %s", printable(format % args))


def _is_local(host: str) -> bool:
    """Tell whether a name cannot be that of a web page which was made to point at us."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _hang_up(client: socket.socket) -> None:
    """End a client's connection; its thread notices at once, and closes it."""
    with contextlib.suppress(OSError):  # it is gone
        client.shutdown(socket.SHUT_RDWR)
