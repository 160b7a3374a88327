# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader turns a section's lines into failures, in order, and stops when told."""

from __future__ import annotations

import ipaddress
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fail2ban.detect.filter import Match
from fail2ban.detect.logs import Logs
from fail2ban.detect.names import Addresses
from fail2ban.detect.reader import WARNED_NAMES, LogReader
from fail2ban.detect.waker import Waker
from fail2ban.records import Address, Failure

NOW = 1_800_000_000.0
PATIENCE = 60  # seconds; only reached when a test fails


class FakeWaker:
    """Ends the run at the first wait; notes what is asked of it."""

    def __init__(self, stop: threading.Event, calls: list[object]) -> None:
        self.stop, self.calls = stop, calls

    def watch(self, paths: list[str]) -> None:
        self.calls.append(paths)

    def wait(self, seconds: float) -> None:
        self.calls.append(seconds)
        self.stop.set()

    def close(self) -> None:
        pass


class FakeResolver:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Callable[[Addresses], None]]] = []

    def resolve(self, name: str, use: Callable[[Addresses], None]) -> None:
        self.asked.append((name, use))


def match(line: str, now: float) -> Match | None:
    """Understand "fail HOST AGE", AGE in seconds or "never"."""
    verb, *rest = line.split()
    if verb != "fail":
        return None
    host, age = rest
    return Match(host_of(host), None if age == "never" else now - float(age), line)


def host_of(text: str) -> Address | str:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return text


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "log"
    log.write_text("")
    return log


@pytest.fixture
def failures() -> list[Failure]:
    return []


@pytest.fixture
def reader(log: Path, failures: list[Failure]) -> Iterator[LogReader]:
    reader = LogReader(
        jail="SSH",
        logs=Logs([str(log)]),
        match=match,
        report=failures.append,
        resolver=FakeResolver(),  # type: ignore[arg-type]
        usedns="yes",
        waker=Waker(),
        clock=lambda: NOW,
        polltime=60.0,
        idle=lambda now: None,
    )
    yield reader
    reader.close()


@pytest.fixture
def running(reader: LogReader) -> Iterator[Callable[[], None]]:
    """Return a function that starts the reader on a thread; stop it in the end."""
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop,), daemon=True)
    yield thread.start
    stop.set()
    reader.wake()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def append(log: Path, *lines: str) -> None:
    with open(log, "a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_failures_come_in_the_order_of_the_log(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    append(log, "fail 192.0.2.1 5", "hello", "fail 2001:db8::1 9", "fail 192.0.2.1 0")
    reader.poll()
    first, second = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")
    assert failures == [
        Failure("SSH", first, NOW - 5, "fail 192.0.2.1 5"),
        Failure("SSH", second, NOW - 9, "fail 2001:db8::1 9"),
        Failure("SSH", first, NOW, "fail 192.0.2.1 0"),
    ]
    reader.poll()
    assert len(failures) == 3


def test_idle_is_called_once_a_poll_after_its_lines(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    seen: list[tuple[float, int]] = []
    reader.idle = lambda now: seen.append((now, len(failures)))
    append(log, "fail 192.0.2.1 0")
    reader.poll()
    reader.poll()
    assert seen == [(NOW, 1), (NOW, 1)]


def test_a_line_without_time_is_not_counted_and_warned_about_once(
    reader: LogReader, log: Path, failures: list[Failure], caplog: pytest.LogCaptureFixture
) -> None:
    append(log, "fail 192.0.2.1 never", "fail 192.0.2.2 never", "fail x.example never")
    reader.poll()
    append(log, "fail 192.0.2.1 never")
    reader.poll()
    assert failures == []
    assert warnings(caplog) == [
        "SSH: a line matches failregex but has no timestamp that timeregex finds;"
        " such lines are not counted"
    ]


def test_the_addresses_of_a_name_are_blamed_when_they_are_known(
    reader: LogReader, log: Path, failures: list[Failure], caplog: pytest.LogCaptureFixture
) -> None:
    append(log, "fail x.example 7", "fail 192.0.2.9 0")
    reader.poll()
    assert [str(failure.ip) for failure in failures] == ["192.0.2.9"]
    resolver = reader.resolver
    assert isinstance(resolver, FakeResolver)
    [(name, use)] = resolver.asked
    use((ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")))
    assert name == "x.example"
    assert [str(failure.ip) for failure in failures[1:]] == ["192.0.2.1", "2001:db8::1"]
    assert {failure.time for failure in failures[1:]} == {NOW - 7}
    assert warnings(caplog) == []


def test_usedns_no_leaves_names_alone(
    reader: LogReader, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reader.usedns = "no"
    append(log, "fail x.example 0")
    reader.poll()
    assert isinstance(reader.resolver, FakeResolver) and reader.resolver.asked == []
    assert "ignoring the host name 'x.example'" in caplog.text


def test_usedns_warn_warns_once_a_name_in_bounded_memory(
    reader: LogReader, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader.usedns = "warn"
    append(log, "fail x.example 0", "fail y.example 0", "fail x.example 0", "fail not/one 0")
    reader.poll()
    assert isinstance(reader.resolver, FakeResolver)
    assert [name for name, _ in reader.resolver.asked] == ["x.example", "y.example", "x.example"]
    assert [text.split()[2] for text in warnings(caplog)] == ["x.example,", "y.example,"]
    append(log, *(f"fail n{number}.example 0" for number in range(WARNED_NAMES)))
    reader.poll()
    assert len(reader._warned) == WARNED_NAMES


def test_a_bug_in_the_filter_is_loud(reader: LogReader, log: Path) -> None:
    append(log, "fail")
    with pytest.raises(ValueError):
        reader.poll()


def test_a_filter_that_is_replaced_serves_from_the_next_line_on(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    def last(line: str, now: float) -> Match | None:
        reader.match = lambda line, now: None
        return match(line, now)

    reader.match = last
    append(log, "fail 192.0.2.1 0", "fail 192.0.2.2 0")
    reader.poll()
    assert [str(failure.ip) for failure in failures] == ["192.0.2.1"]


def test_a_reader_that_is_stopped_in_a_backlog_goes_on_at_the_same_line(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    count = 100_000  # several chunks, and more than one poll reads
    append(log, *(f"fail 192.0.2.{n % 250} {n}" for n in range(count)))
    stops = iter((10, 5000, 70_000))
    stop = threading.Event()
    at = next(stops)

    def report(failure: Failure) -> None:
        failures.append(failure)
        if len(failures) == at:
            stop.set()

    reader.report = report
    while at:
        stop.clear()
        reader.run(stop)
        assert len(failures) == at
        at = next(stops, 0)
    reader.poll()
    while reader.logs.due() == 0:
        reader.poll()
    assert [NOW - failure.time for failure in failures] == list(range(count))


def test_the_time_given_to_the_filter_is_that_of_the_line(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    times = iter([1.0, 2.0, 3.0])
    reader.clock = lambda: next(times)
    append(log, "fail 192.0.2.1 0", "fail 192.0.2.2 0")
    reader.poll()
    assert [failure.time for failure in failures] == [1.0, 2.0]


def test_a_written_line_wakes_a_reader_that_polls_rarely(
    reader: LogReader, log: Path, running: Callable[[], None]
) -> None:
    found = threading.Semaphore(0)
    reader.report = lambda failure: found.release()
    reader.polltime = 3600.0
    running()
    for round in range(20):
        append(log, "fail 192.0.2.1 0")
        assert found.acquire(timeout=PATIENCE)
        if round % 5 == 4:
            os.rename(log, f"{log}.{round}")


def test_it_polls_again_after_watching_and_then_waits(reader: LogReader, log: Path) -> None:
    stop = threading.Event()
    calls: list[object] = []
    reader.waker.close()
    reader.waker = FakeWaker(stop, calls)  # type: ignore[assignment]
    reader.idle = lambda now: calls.append("poll")
    reader.run(stop)
    assert calls == ["poll", [str(log)], "poll", 60.0]
    calls.clear()
    stop.clear()
    os.rename(log, f"{log}.1")
    append(log, "hello")
    reader.run(stop)
    assert calls == ["poll", [str(log)], "poll", 60.0]


def test_a_backlog_is_not_waited_for(reader: LogReader, log: Path) -> None:
    stop = threading.Event()
    calls: list[object] = []
    reader.waker.close()
    reader.waker = FakeWaker(stop, calls)  # type: ignore[assignment]
    reader.poll()
    reader.run(stop)
    stop.clear()
    append(log, *["hello" * 1000] * 1000)
    reader.run(stop)
    assert calls[-1] == 0


def test_stop_ends_a_long_wait(reader: LogReader, running: Callable[[], None]) -> None:
    polled = threading.Event()
    reader.polltime = 3600.0
    reader.idle = lambda now: polled.set()
    running()
    assert polled.wait(PATIENCE)  # the fixture stops it


def test_a_log_that_cannot_be_read_does_not_end_the_reader(
    reader: LogReader, log: Path, running: Callable[[], None], failures: list[Failure]
) -> None:
    found = threading.Event()
    reader.report = lambda failure: found.set()
    os.unlink(log)
    os.mkdir(log)
    reader.polltime = 0.01
    running()
    os.rmdir(log)
    append(log, "fail 192.0.2.1 0")
    assert found.wait(PATIENCE)
