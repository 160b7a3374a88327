# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader turns a section's lines into failures, in order, and stops when told."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from fail2ban.detect import budget
from fail2ban.detect.budget import OutOfTime, limited
from fail2ban.detect.logs import Logs
from fail2ban.detect.mainthread import MainThread
from fail2ban.detect.match import Line, Match, Unfinished
from fail2ban.detect.matching import LINES, QUIET, SLICE, Chunks, Matching
from fail2ban.detect.names import Addresses
from fail2ban.detect.reader import REST, WARNED_NAMES, LogReader
from fail2ban.detect.seek import GRAIN, Since
from fail2ban.detect.waker import Waker
from fail2ban.detect.watches import Watches
from fail2ban.plan import make_filter
from fail2ban.records import Address, Failure, FilterSettings, Origin, Sourced
from tests.helpers import FakeClock

NOW = 1_800_000_000.0
PATIENCE = 60  # seconds; only reached when a test fails


class FakeWaker:
    """Ends the run at the first wait; notes what is asked of it."""

    suffices = False

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


def match(line: Line, now: float) -> Match | None:
    """Understand "fail HOST AGE", AGE in seconds or "never"."""
    verb, *rest = line.text.split()
    if verb != "fail":
        return None
    host, age = rest
    who = host_of(host)
    time = None if age == "never" else now - float(age)
    return Match(who, time, (line.text,), is_name=isinstance(who, str))


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
        source=Logs([str(log)]),
        match=match,
        report=failures.append,
        resolver=FakeResolver(),  # type: ignore[arg-type]
        usedns="yes",
        waker=Waker(Watches()),
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
        Failure("SSH", first, NOW - 5, ("fail 192.0.2.1 5",)),
        Failure("SSH", second, NOW - 9, ("fail 2001:db8::1 9",)),
        Failure("SSH", first, NOW, ("fail 192.0.2.1 0",)),
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


@pytest.mark.parametrize("tagged", [False, True])
def test_of_a_large_old_log_only_few_lines_are_matched(
    reader: LogReader, log: Path, failures: list[Failure], tagged: bool
) -> None:
    filter = make_filter(
        FilterSettings("SSH", (Sourced("from <HOST>$", Origin("f")),), tagged=tagged)
    )
    fresh = [f"{NOW - age:.0f} Failed password from 192.0.2.7" for age in (9, 6, 3)]
    with open(log, "w") as stream:
        for age in range(5000, 600, -88):  # 50 MB
            stream.write(f"{NOW - age:.0f} Failed password from 192.0.2.1\n" * 24_000)
    append(log, *fresh)
    asked: list[str] = []
    seen: list[str] = []

    def when(line: str) -> float | None:
        asked.append(line)
        return filter.when(line, NOW)

    def matched(line: Line, now: float) -> Match | None:
        seen.append(line.text)
        return filter.match(line, now)

    reader.match = matched
    reader.follow(Logs([str(log)], since=Since(lambda: NOW - 600, when)))
    reader.poll()
    assert os.path.getsize(log) > 50e6
    assert seen[-3:] == fresh and len(seen) < GRAIN / 40 + 10
    assert len(asked) < 200
    assert [failure.lines for failure in failures[-3:]] == [(line,) for line in fresh]


def test_a_line_without_time_is_not_counted_and_warned_about_once(
    reader: LogReader, log: Path, failures: list[Failure], caplog: pytest.LogCaptureFixture
) -> None:
    append(log, "fail 192.0.2.1 never", "fail 192.0.2.2 never", "fail x.example never")
    reader.poll()
    append(log, "fail 192.0.2.1 never")
    reader.poll()
    assert failures == []
    assert warnings(caplog) == [
        "SSH: a line matches failregex but has no timestamp that is understood;"
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


def test_a_filter_that_is_replaced_in_a_pause_serves_from_the_next_line_on(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    stop = threading.Event()
    reader.report = lambda failure: (failures.append(failure), stop.set())[0]
    reader.polltime = 0.0
    reader._matching._ticks = lambda: 0.0  # a chunk is one slice, however busy the machine
    append(log, *["fail 192.0.2.1 0"] * (LINES + 3))
    reader.run(stop)
    assert len(failures) == 1
    reader.report = failures.append
    reader.match = lambda line, now: None
    reader.poll()
    # What was matched already, a chunk, has been counted.
    assert len(failures) == LINES


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
    while reader.source.due() == 0:
        reader.poll()
    assert [NOW - failure.time for failure in failures] == list(range(count))


def test_the_time_given_to_the_filter_is_that_of_the_line(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    times = iter([0.0, 1.0, 2.0, 3.0])  # when they are taken, then one by one
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


# What is blamed ----------------------------------------------------------------


class FakeSource:
    """Yields what it is given; notes what is asked of it."""

    revision = 0
    notifies = True

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines = list(lines)
        self.place: dict[str, str] = {}

    def poll(self) -> Iterator[Line]:
        while self.lines:
            yield self.lines.pop(0)

    def marks(self) -> Mapping[str, str]:
        return self.place

    def due(self) -> float:
        return 0.0 if self.lines else float("inf")

    def paths(self) -> list[str]:
        return []

    def close(self) -> None:
        self.lines.clear()


def matching(reader: LogReader, match: Match, lines: int = 1) -> None:
    """Let the reader find `match`."""
    reader.source.close()
    reader.source = FakeSource([Line("x")] * lines)
    reader.match = lambda line, now: match
    reader.poll()


def test_usedns_raw_blames_the_name_itself(reader: LogReader, failures: list[Failure]) -> None:
    reader.usedns = "raw"
    matching(reader, Match("x.example", NOW, ("x",), is_name=True))
    assert failures == [Failure("SSH", "x.example", NOW, ("x",))]
    assert isinstance(reader.resolver, FakeResolver) and reader.resolver.asked == []


@pytest.mark.parametrize("usedns", ["yes", "warn", "no", "raw"])
def test_a_text_that_is_no_name_is_blamed_as_it_is(
    reader: LogReader, failures: list[Failure], usedns: str
) -> None:
    reader.usedns = usedns  # type: ignore[assignment]
    matching(reader, Match("session 7", NOW, ("x",)))
    assert failures == [Failure("SSH", "session 7", NOW, ("x",))]


def test_all_that_the_filter_found_is_reported(reader: LogReader, failures: list[Failure]) -> None:
    ip = ipaddress.ip_address("192.0.2.1")
    matching(reader, Match(ip, NOW, ("a", "b"), fid="id", groups={"user": "root"}))
    assert failures == [Failure("SSH", ip, NOW, ("a", "b"), "id", {"user": "root"})]


def test_a_resolved_name_keeps_what_the_filter_found(
    reader: LogReader, failures: list[Failure]
) -> None:
    groups = {"user": "root"}
    matching(reader, Match("x.example", NOW, ("a",), is_name=True, fid="id", groups=groups))
    assert isinstance(reader.resolver, FakeResolver)
    ip = ipaddress.ip_address("192.0.2.1")
    reader.resolver.asked[0][1]((ip,))
    assert failures == [Failure("SSH", ip, NOW, ("a",), "id", groups)]


# Lines that take too long --------------------------------------------------------


def costly(line: Line, now: float) -> Match | None:
    """Fail for lines that say so."""
    if line.text.startswith("long"):
        raise OutOfTime("over 0.5 s")
    return match(line, now)


def test_a_line_that_takes_too_long_costs_that_line(
    reader: LogReader, log: Path, failures: list[Failure], caplog: pytest.LogCaptureFixture
) -> None:
    reader.match = costly
    append(log, "long \x1b[31m" + "x" * 1000, "fail 192.0.2.1 0")
    reader.poll()
    assert len(failures) == 1
    assert reader.given_up == 1
    [warning] = warnings(caplog)
    assert warning.startswith("[SSH] a line is given up (over 0.5 s): long \\x1b[31mxxx")
    assert len(warning) < 200


def test_more_lines_that_take_too_long_are_summed_up_once_a_minute(
    reader: LogReader, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = [0.0]
    reader._matching._complaints._ticks = lambda: ticks[0]
    reader.match = costly

    def attack(count: int, after: float) -> list[str]:
        caplog.clear()
        ticks[0] += after
        append(log, *["long"] * count)
        reader.poll()
        return warnings(caplog)

    assert len(attack(5, after=0.0)) == 1
    assert attack(5, after=QUIET - 1) == []
    text = "[SSH] more lines were given up, since the patterns took too long: "
    assert attack(3, after=1.0) == [text + "9"]
    assert attack(0, after=QUIET - 1) == []
    assert attack(0, after=1.0) == [text + "3"]
    assert attack(0, after=QUIET) == []
    assert attack(1, after=0.0) == ["[SSH] a line is given up (over 0.5 s): long"]
    assert reader.given_up == 14


@pytest.fixture
def served(reader: LogReader) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Match on this thread, with interruptions; return what serves while a condition holds."""
    before = signal.getsignal(signal.SIGPROF)
    budget.install()
    reader.main = MainThread(lambda: None)
    reader.__post_init__()
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop,), daemon=True)

    def serve(condition: Callable[[], bool]) -> None:
        if not thread.is_alive():
            thread.start()
        end = time.monotonic() + PATIENCE
        reader.main.serve_while(lambda: condition() and time.monotonic() < end)

    yield serve
    stop.set()
    reader.wake()
    reader.main.join(thread)
    budget._watch.thread = None
    signal.signal(signal.SIGPROF, before)


def test_a_catastrophic_line_is_given_up_within_a_second_and_the_next_is_matched(
    reader: LogReader,
    log: Path,
    failures: list[Failure],
    served: Callable[[Callable[[], bool]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    catastrophic = re.compile(r"^smtp: (?:(?:\w+ ?)+)+ \[\d+\]$")

    def patterns(line: Line, now: float) -> Match | None:
        limited(0.1, catastrophic.search, line.text)
        return match(line, now)

    reader.match = patterns
    append(log, "smtp: " + "A " * 60 + "192.0.2.5", "fail 192.0.2.1 0")
    start = time.monotonic()
    served(lambda: not failures)
    assert [str(failure.ip) for failure in failures] == ["192.0.2.1"]
    assert time.monotonic() - start < 1
    assert reader.given_up == 1
    assert "A A A" in warnings(caplog)[0]


def test_lines_wait_in_a_pause_and_are_matched_when_it_goes_on(
    reader: LogReader, log: Path, failures: list[Failure]
) -> None:
    reader.main = MainThread(lambda: None)
    reader.__post_init__()
    append(log, *(f"fail 192.0.2.{n % 250} {n}" for n in range(1000)))
    reader.main.close()
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop,))
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive() and failures == []
    reader.main = MainThread()
    reader._matching._main = reader.main
    reader.poll()
    assert [NOW - failure.time for failure in failures] == list(range(1000))


def test_a_chunk_of_slow_lines_is_matched_in_slices(reader: LogReader) -> None:
    """So the main thread gets round to signals."""
    turns: list[int] = []
    main = MainThread()
    reader.main = main
    main.call = lambda work: (turns.append(0), work())[1]  # type: ignore[method-assign]
    reader.__post_init__()
    ticks = iter(range(1_000_000))
    reader._matching._ticks = lambda: next(ticks) * SLICE / 5
    matching(reader, Match("x", NOW, ("x",)), lines=100)
    assert 100 / 6 <= len(turns) < 100 / 3


# Sources that wake the reader -----------------------------------------------------


def test_a_source_that_wakes_the_reader_is_hardly_polled(reader: LogReader) -> None:
    stop = threading.Event()
    calls: list[object] = []
    reader.source.close()
    reader.source = FakeSource()
    reader.waker.close()
    reader.waker = FakeWaker(stop, calls)  # type: ignore[assignment]
    reader.polltime = 1.0
    reader.run(stop)
    assert calls[-1] == REST


def test_who_has_lines_that_take_too_long_leaves_others_as_much_time() -> None:
    clock = FakeClock(0.0)

    def match(line: Line, now: float) -> None:
        clock.advance(float(line.text))
        if line.text != "0.1":
            raise OutOfTime("the patterns took too long")

    chunks = Chunks()
    matching = Matching("SSH", MainThread(), clock)
    for text, rest in (("0.25", 0.25), ("0.1", 0.0), ("60", budget.FIRST)):
        chunks.fill(iter([Line(text)]))
        assert matching.match(chunks, match, clock) == rest


def test_a_line_for_which_there_is_more_to_do_stays_the_next_one() -> None:
    tries = iter([False, False, True, True])
    clock = FakeClock(0.0)
    done: list[str] = []

    def match(line: Line, now: float) -> None:
        clock.advance(SLICE)
        if not next(tries):
            raise Unfinished
        done.append(line.text)

    chunks = Chunks()
    matching = Matching("SSH", MainThread(), clock)
    chunks.fill(iter([Line("a"), Line("b")]))
    for text in ("", "", "a", "ab"):
        assert matching.match(chunks, match, clock) == 0.0
        assert "".join(done) == text
    assert not chunks.lines and matching.given_up == 0


# What outlives the process ---------------------------------------------------------


class Book:
    """Writes down what the reader says."""

    def __init__(self, reader: LogReader) -> None:
        self.said: list[object] = []
        self.marks: Mapping[str, str] = {}
        self.settled: list[tuple[int, list[str]]] = []
        reader.report = lambda failure: self.said.append(str(failure.ip))
        reader.begin = lambda: self.said.append("begin")
        reader.done = self.done
        reader.defer = lambda failure: (self.said.append(f"defer {failure.ip}"), 7)[1]
        reader.settle = self.settle

    def done(self, marks: Mapping[str, str]) -> None:
        self.said.append("done")
        self.marks = marks

    def settle(self, number: int, failures: Sequence[Failure]) -> None:
        self.settled.append((number, [str(failure.ip) for failure in failures]))


def test_what_a_poll_has_brought_is_framed_and_an_empty_poll_says_nothing(
    reader: LogReader, log: Path
) -> None:
    reader.poll()
    book = Book(reader)
    reader.poll()
    assert book.said == []
    append(log, "fail 192.0.2.1 0", "hello", "fail 192.0.2.2 0")
    reader.poll()
    assert book.said == ["begin", "192.0.2.1", "192.0.2.2", "done"]
    reader.poll()
    assert len(book.said) == 4 and book.marks == reader.source.marks() != {}


def test_marks_that_change_without_any_line_are_told(reader: LogReader) -> None:
    source = FakeSource()
    reader.follow(source)
    book = Book(reader)
    reader.poll()
    source.place = {"log": "elsewhere"}
    reader.poll()
    reader.poll()
    assert book.said == ["done", "done"] and book.marks == {"log": "elsewhere"}


def test_a_poll_that_is_stopped_is_not_done(reader: LogReader, log: Path) -> None:
    stop = threading.Event()
    book = Book(reader)
    reader.report = lambda failure: stop.set()
    append(log, *["fail 192.0.2.1 0"] * 3)
    reader.run(stop)
    assert book.said == ["begin"]
    reader.poll()
    assert book.said == ["begin", "done"]


def test_what_the_filter_remembers_is_told_with_the_marks(reader: LogReader, log: Path) -> None:
    regex = Sourced("<F-MLFID>id \\d+</F-MLFID> begins$<F-NOFAIL></F-NOFAIL>", Origin("f"))
    filter = make_filter(FilterSettings("SSH", (regex,), tagged=True))
    reader.use(filter)
    book = Book(reader)
    append(log, f"{NOW} id 7 begins")
    reader.poll()
    assert filter.memory().items() <= book.marks.items()
    assert any(key.startswith("filter:connection:") for key in book.marks)


@pytest.mark.parametrize("addresses", [(), ("192.0.2.1", "2001:db8::1")])
def test_a_deferred_failure_is_settled_once_whatever_it_comes_to(
    reader: LogReader, log: Path, addresses: tuple[str, ...]
) -> None:
    book = Book(reader)
    append(log, "fail x.example 7")
    reader.poll()
    assert book.said == ["begin", "defer x.example", "done"] and book.settled == []
    assert isinstance(reader.resolver, FakeResolver)
    [(_, use)] = reader.resolver.asked
    use(tuple(map(ipaddress.ip_address, addresses)))
    assert book.settled == [(7, list(addresses))]


@pytest.mark.parametrize("usedns, came_to", [("raw", ["x.example"]), ("no", []), ("warn", None)])
def test_a_failure_that_an_earlier_run_has_deferred_is_taken_up(
    reader: LogReader, usedns: str, came_to: list[str] | None
) -> None:
    book = Book(reader)
    reader.usedns = usedns  # type: ignore[assignment]
    reader.resume(9, Failure("SSH", "x.example", NOW, ("x",)))
    assert isinstance(reader.resolver, FakeResolver)
    if came_to is None:
        [(name, use)] = reader.resolver.asked
        use((ipaddress.ip_address("192.0.2.1"),))
        assert name == "x.example"
        came_to = ["192.0.2.1"]
    assert book.settled == [(9, came_to)]


# For whoever watches ----------------------------------------------------------------


def test_lines_matches_and_their_moments_are_counted(reader: LogReader, log: Path) -> None:
    times = iter(range(100, 200))
    reader.clock = lambda: float(next(times))
    append(log, "hello", "fail 192.0.2.1 0", "fail 192.0.2.1 never")
    reader.poll()
    assert (reader.lines, reader.matches, reader.timeless) == (3, 2, 1)
    assert reader.last_line == reader.last_match == 100.0
    append(log, "hello")
    reader.poll()
    assert reader.lines == 4 and reader.last_line > reader.last_match == 100.0


def test_only_a_line_that_is_new_tells_when_we_have_seen_it(
    reader: LogReader, failures: list[Failure]
) -> None:
    reader.ticks = lambda: 5.5
    reader.follow(FakeSource([Line("fail 192.0.2.1 0", live=False), Line("fail 192.0.2.1 0")]))
    reader.poll()
    assert [failure.seen for failure in failures] == [0.0, 5.5]


@pytest.mark.parametrize("tagged", [False, True])
def test_a_clock_that_is_wrong_shows(reader: LogReader, log: Path, tagged: bool) -> None:
    regex = Sourced("from <HOST>$", Origin("f"))
    filter = make_filter(FilterSettings("SSH", (regex,), tagged=tagged))
    reader.use(filter)
    reader.poll()
    assert reader.dating.skew is None
    for late in (3600, 3599, 0, 3601):
        append(log, f"{NOW - late} Failed password from 192.0.2.1")
        reader.poll()
    append(log, "Failed password from 192.0.2.1")
    reader.poll()
    assert reader.dating.skew == pytest.approx(3599.5)
    assert reader.dating.undated == 1
