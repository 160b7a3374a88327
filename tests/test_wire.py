# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages are understood whole or refused; none of them can do any harm."""

from __future__ import annotations

import collections
import datetime
import io
import json
import os
import pickle
import struct
import time
import tracemalloc
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fail2ban.control import pickles
from fail2ban.control.host import NoJail, Refused
from fail2ban.control.plain import MAX_BYTES, MessageError, plain
from fail2ban.control.wire import CLOSE, END, Classic, Inbox, Lines

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
PLAIN = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(ATOMS, inner, max_size=4)
        | st.sets(ATOMS, max_size=4)
    ),
    max_leaves=20,
)


class NamedError:
    """What stands for an error of a class that we do not have."""

    def __init__(self, name: str, args: tuple[object, ...]) -> None:
        self.name, self.args = name, args


class ClientUnpickler(pickle.Unpickler):
    """Reads an answer as a client does, but calls nothing."""

    def find_class(self, module: str, name: str) -> Any:
        return lambda *args: NamedError(f"{module}.{name}", args)


def read_answer(data: bytes) -> Any:
    assert data.endswith(END)
    return ClientUnpickler(io.BytesIO(data.removesuffix(END))).load()


def take_all(inbox: Inbox) -> list[tuple[type, bytes]]:
    found = []
    while (message := inbox.take()) is not None:
        found.append((type(message[0]), message[1]))
    return found


# Pickles that clients send.


@given(PLAIN, st.integers(4, pickle.HIGHEST_PROTOCOL))
def test_a_pickle_of_plain_data_is_read_as_python_reads_it(value: object, protocol: int) -> None:
    data = pickle.dumps(separate(value), protocol)
    assert pickles.loads(data) == pickle.loads(data)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_command_is_read_in_every_protocol(protocol: int) -> None:
    command = ["set", "x", 1, -(2**40), 1.5, True, None, ["a", "b"], ("t",), {"k": "v"}]
    assert pickles.loads(pickle.dumps(command, protocol)) == command


def separate(value: Any) -> Any:
    """Copy all containers, so that none is in the pickle twice."""
    if isinstance(value, (list, set)) or type(value) is tuple and value:
        return type(value)(separate(item) for item in value)
    if isinstance(value, dict):
        return {key: separate(item) for key, item in value.items()}
    return value


def test_a_word_that_is_said_twice_is_read_twice() -> None:
    word = "192.0.2.1"
    command = ["set", "sshd", "banip", word, word]
    assert pickles.loads(pickle.dumps(command)) == command


class Reduced:
    def __reduce__(self) -> Any:
        return (os.system, ("touch /tmp/never",))


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: object) -> Any:
        return "it" if isinstance(obj, str) else None


def persistent() -> bytes:
    stream = io.BytesIO()
    Persistent(stream).dump(["word"])
    return stream.getvalue()


SHARED: list[object] = ["x"]

HOSTILE = {
    "a call": pickle.dumps([Reduced()]),
    "a call in the oldest form": pickle.dumps([Reduced()], 0),
    "a class": pickle.dumps([collections.OrderedDict]),
    "an object": pickle.dumps([datetime.date(2026, 1, 1)]),
    "a global": b"\x80\x04cos\nsystem\n.",
    "a global by name on the stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "an instance": b"\x80\x02(ios\nsystem\n.",
    "an object of old": b"\x80\x02(cos\nsystem\no.",
    "a state": b"\x80\x04]}b.",
    "a persistent id": persistent(),
    "a persistent id as text": b"\x80\x02Pit\n.",
    "a registered extension": b"\x80\x02\x82\x01.",
    "a registered extension, 2 bytes": b"\x80\x02\x83\x01\x00.",
    "a registered extension, 4 bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "a buffer out of band": b"\x80\x05\x97.",
    "bytes": pickle.dumps([b"x"]),
    "a bytearray": pickle.dumps([bytearray(b"x")]),
    "a frozenset": pickle.dumps([frozenset("x")]),
    "a doubling": b"\x80\x04]" + b"2\x86" * 60 + b".",
    "a list within itself": b"\x80\x04]\x94h\x00a.",
    "a list twice": pickle.dumps([SHARED, SHARED]),
    "lists that double by reference": b"\x80\x04]" + b"\x94]h\x00ah\x00a" * 2 + b".",
    "deep lists": b"\x80\x04" + b"]" * 40_000 + b"a" * 39_999 + b".",
    "deep tuples": b"\x80\x04N" + b"\x85" * 90_000 + b".",
    "deep tuples as a key": b"\x80\x04}N" + b"\x85" * 90_000 + b"Ns.",
    "deep marks": b"\x80\x04" + b"(" * 90_000 + b"l" * 90_000 + b".",
    "too many parts": b"\x80\x04](" + b"N" * 200_000 + b"e.",
    "a text given again and again": b"\x80\x04](X"
    + struct.pack("<I", 60_000)
    + b"x" * 60_000
    + b"\x94"
    + b"h\x00" * 90_000
    + b"e.",
    "a wide number": b"\x80\x04]\x8a\xff" + b"\x7f" * 255 + b"a.",
    "a wider number": b"\x80\x04]\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000 + b"a.",
    "a number in digits": b"\x80\x02L" + b"9" * 500_000 + b"L\n.",
    "no number": pickle.dumps([float("nan")]),
    "no end of a number": pickle.dumps([float("inf")]),
    "a text that ends far beyond": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",
    "a text that ends beyond": b"\x80\x04X\xff\xff\xff\x7f.",
    "bytes that end beyond": b"\x80\x04\x8e\x00\x00\x00\x00\x10\x00\x00\x00.",
    "a reference to nothing": b"\x80\x04h\x07.",
    "an append to nothing": b"\x80\x04Na.",
    "an append to text": b"\x80\x04\x8c\x01xNa.",
    "items for a list": b"\x80\x04]NNs.",
    "half an item": b"\x80\x04}(Nu.",
    "a list as a key": b"\x80\x04}]Ns.",
    "a tuple of nothing": b"\x80\x04\x87.",
    "a tuple across a mark": b"\x80\x04N(\x85.",
    "a mark that nobody ends": b"\x80\x04](.",
    "two things": b"\x80\x04]].",
    "nothing": b"\x80\x04.",
    "no end": b"\x80\x04]",
    "no bytes": b"",
    "text that is none": b"\x80\x04\x8c\x01\xff.",
    "no instruction": b"\x80\x04\xfe.",
    "a protocol to come": b"\x80",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_is_not_plain_data_is_refused_soon_and_small(name: str) -> None:
    began = time.process_time()
    with pytest.raises(MessageError):
        pickles.loads(HOSTILE[name])
    assert time.process_time() - began < 3.0


@pytest.mark.parametrize("bomb", [b"r\xff\xff\xff\x7f", b"\x95" + b"\xff" * 7 + b"\x7f"])
def test_a_place_or_a_frame_that_is_said_to_be_huge_takes_no_memory(bomb: bytes) -> None:
    tracemalloc.start()
    assert pickles.loads(b"\x80\x04]" + bomb + b".") == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for message in (data, b"\x80\x04" + data, b"\x80\x04](" + data + b"e."):
        try:
            pickles.loads(message)
        except MessageError:
            pass


@given(st.lists(st.sampled_from([bytes((code,)) for code in range(256)]), max_size=60))
def test_any_instructions_are_executed_or_refused(codes: list[bytes]) -> None:
    harmless = [c for c in codes if c in b"]})(NK\x88\x89aeus\x90t\x85\x86\x87\x94h\x00\x01\x8f"]
    try:
        pickles.loads(b"\x80\x04" + b"".join(harmless) + b".")
    except MessageError:
        pass


def test_a_damaged_command_is_read_or_refused() -> None:
    data = pickle.dumps(["set", "sshd", "banip", "192.0.2.1", 3, 1.5, {"a": [True]}])
    for place in range(len(data)):
        for byte in range(256):
            try:
                pickles.loads(data[:place] + bytes((byte,)) + data[place + 1 :])
            except MessageError:
                pass


# Messages out of bytes.


@given(st.data())
def test_messages_do_not_depend_on_how_their_bytes_arrive(data: st.DataObject) -> None:
    parts = st.sampled_from(
        [b'{"command": ["ping"]}\n', b"\n", b"nonsense\n", b"nonsense" + END, CLOSE + END]
        + [pickle.dumps(["ping", "a\nb" * 9]) + END]
    )
    stream = b"".join(data.draw(st.lists(parts, max_size=6))) + b"\x80half"
    whole, pieces = Inbox(), Inbox()
    whole.feed(stream)
    found = []
    while stream:
        size = data.draw(st.integers(1, 40))
        pieces.feed(stream[:size])
        stream = stream[size:]
        found += take_all(pieces)
    assert found == take_all(whole)
    assert pieces


def test_both_languages_are_understood_on_one_connection() -> None:
    inbox = Inbox()
    pickled = pickle.dumps(["a\nb"])
    inbox.feed(b'{"command": ["ping"]}\n' + pickled + END + b"x\n" + b"x" + END + CLOSE + END)
    assert take_all(inbox) == [
        (Lines, b'{"command": ["ping"]}'),
        (Classic, pickled),
        (Lines, b"x"),
        (Classic, b"x"),
        (Classic, CLOSE),
    ]
    assert not inbox


def test_what_ends_a_classic_message_may_be_in_a_line() -> None:
    inbox = Inbox()
    body = b'{"command": ["echo", "' + END + b'"]}'
    inbox.feed(body + b"\n")
    assert take_all(inbox) == [(Lines, body)]


@pytest.mark.parametrize("end", [b"", END, b"\n"])
def test_a_message_may_be_so_long_and_no_longer(end: bytes) -> None:
    first = b"{" if end == b"\n" else b"\x80"
    inbox = Inbox()
    inbox.feed(first + b"x" * (MAX_BYTES - 1) + end)
    assert (inbox.take() is None) == (not end)
    inbox = Inbox()
    inbox.feed(first + b"x" * MAX_BYTES + end)
    with pytest.raises(MessageError, match="longer than 1048576 bytes"):
        inbox.take()


# Lines of JSON.


def test_a_line_is_a_command() -> None:
    body = b'{"command": ["set", "sshd", "x", 1, 2.5, true, null, ["a"]], "id": 7}'
    assert Lines().request(body).words == ["set", "sshd", "x", 1, 2.5, True, None, ["a"]]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"ping", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 500_000, "no JSON"),
        (b'{"command": [' + b"9" * 5000 + b"]}", "no JSON"),
        (b'["ping"]', "expected"),
        (b'{"comand": ["ping"]}', "expected"),
        (b'{"command": "ping"}', "list of at least one word"),
        (b'{"command": []}', "list of at least one word"),
        (b'{"command": [NaN]}', "nan is no number"),
        (b'{"command": [1e999]}', "inf is no number"),
        (b'{"command": [' + b"9" * 40 + b"]}", "too large"),
        (b'{"command": ' + b"[" * 100 + b"]" * 100 + b"}", "deep"),
    ],
)
def test_a_line_that_is_no_command_is_refused_with_a_reason(body: bytes, why: str) -> None:
    with pytest.raises(MessageError, match=why):
        Lines().request(body)


@given(PLAIN)
def test_an_answer_is_one_line_of_json(value: object) -> None:
    data = Lines().answer(value)
    assert data.endswith(b"\n") and data.count(b"\n") == 1
    assert json.loads(data)["ok"] is True


def test_a_result_keeps_its_shape_in_json() -> None:
    result = [("File list", ["/a.log"]), {"x": {ip_address("192.0.2.1"), "b"}}, None, 3]
    answer = json.loads(Lines().answer(result))
    assert answer == {
        "ok": True,
        "result": [["File list", ["/a.log"]], {"x": ["192.0.2.1", "b"]}, None, 3],
    }


@pytest.mark.parametrize(
    ("error", "text", "kind"),
    [
        (NoJail("x"), "Sorry but the jail 'x' does not exist", "NoJail"),
        (Refused("not so"), "not so", "Refused"),
        (KeyError("as it is"), "as it is", "KeyError"),
        (OSError(2, "No file"), "[Errno 2] No file", "FileNotFoundError"),
        (ValueError(), "ValueError", "ValueError"),
        (MessageError("hm\n"), "hm\n", "MessageError"),
    ],
)
def test_an_error_is_told_in_json(error: Exception, text: str, kind: str) -> None:
    data = Lines().error(error)
    assert data.count(b"\n") == 1
    assert json.loads(data) == {"ok": False, "error": text, "kind": kind}


# Classic answers.


@given(PLAIN)
def test_a_classic_answer_is_a_pair(value: object) -> None:
    assert read_answer(Classic().answer(value)) == (0, value)


def test_an_address_travels_as_its_text() -> None:
    result = [ip_address("2001:db8::1"), (ip_address("192.0.2.1"),)]
    assert read_answer(Classic().answer(result)) == (0, ["2001:db8::1", ("192.0.2.1",)])


@pytest.mark.parametrize(
    ("error", "name", "args"),
    [
        (NoJail("x"), "fail2ban.exceptions.UnknownJailException", ("x",)),
        (Refused("not so"), "builtins.Exception", ("not so",)),
        (ValueError("no", 3), "builtins.ValueError", ("no", 3)),
        (ValueError(b"no"), "builtins.ValueError", ("b'no'",)),
        (FileNotFoundError(2, "gone"), "builtins.OSError", ("[Errno 2] gone",)),
        (UnicodeEncodeError("a", "b", 0, 1, "c"), "builtins.ValueError", None),
        (ExceptionGroup("many", [ValueError("x")]), "builtins.Exception", None),
        (RecursionError("deep"), "builtins.RuntimeError", ("deep",)),
    ],
)
def test_an_error_travels_as_a_class_that_the_client_has(
    error: Exception, name: str, args: tuple[object, ...] | None
) -> None:
    status, told = read_answer(Classic().error(error))
    assert (status, told.name) == (1, name)
    assert args is None and len(told.args) == 1 or told.args == args


def test_an_error_can_really_be_unpickled() -> None:
    error = pickle.loads(Classic().error(ValueError("it\nis", "so")).removesuffix(END))[1]
    assert type(error) is ValueError and error.args == ("it\nis", "so")


def test_what_cannot_be_read_is_answered_by_a_text() -> None:
    with pytest.raises(MessageError) as caught:
        Classic().request(b"garbage")
    assert read_answer(Classic().error(caught.value)).startswith("ERROR: the pickle ")


def test_at_the_end_a_command_is_answered_by_the_word() -> None:
    assert read_answer(Classic().stopping()) == ["SHUTDOWN"]
    assert json.loads(Lines().stopping())["kind"] == "Stopping"


@given(PLAIN)
def test_plain_data_stays_as_it_is(value: object) -> None:
    assert plain(value) == value
