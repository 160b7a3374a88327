# SPDX-License-Identifier: GPL-2.0-or-later
"""Python pickles as clients of Fail2Ban send and expect them, without unpickling.

Python's own reader runs what a pickle names, and even one that may name nothing
can be made to fill the memory or to overflow its stack. So a pickle is read here
by a machine that knows only the instructions that plain data is made of: there
is none that calls, imports or copies. Of what a pickle refers back to, only
single values are given again: then its size bounds what comes out.

Source: jail-conf.md section 13; the pickletools module of Python 3.11.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable, Sequence

from fail2ban.control.plain import MAX_BYTES, MessageError, check, is_atom, plain

#: The most instructions in one pickle; the longest command needs some hundred.
MAX_STEPS = 100_000
#: Answers are understood by every Python 3; an error is made by hand in the older.
_PROTOCOL = 4
_PROTOCOL_OF_ERRORS = 3


def loads(data: bytes) -> object:
    """Read plain data from a pickle of protocol 2 or later.

    Raises:
        MessageError: it is damaged, too large, or means anything but plain data.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= MAX_STEPS:
                raise MessageError("the pickle has too many parts")
            machine.step(opcode.name, argument)
        value = machine.value()
    # OverflowError: a length that no memory has.
    except (ValueError, LookupError, OverflowError) as error:
        raise MessageError(f"the pickle is damaged: {error}") from error
    check(value)
    return value


def dumps(value: object) -> bytes:
    """Pickle a result; addresses and the like become text."""
    return pickle.dumps(plain(value), _PROTOCOL)


def dumps_error(module: str, name: str, arguments: Sequence[object]) -> bytes:
    """Pickle the pair (1, error), the error being one of a class that we need not have.

    Args:
        module: where the client finds the class.
        name: of the class.
        arguments: what the class is called with.
    """
    call = pickle.dumps(plain(tuple(arguments)), _PROTOCOL_OF_ERRORS)
    head, call = call[:2], call[2:-1]  # its protocol; without the STOP at the end
    named = b"".join((pickle.GLOBAL, module.encode("ascii"), b"\n", name.encode("ascii"), b"\n"))
    return b"".join(
        (head, pickle.BININT1, b"\x01", named, call, pickle.REDUCE, pickle.TUPLE2, pickle.STOP)
    )


class _Machine:
    """Executes the harmless instructions of a pickle.

    A mark sets the stack aside and begins a new one, so that no instruction
    reaches below it.
    """

    def __init__(self) -> None:
        self._stack: list[object] = []
        self._aside: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._text = 0

    def step(self, name: str, argument: object) -> None:
        """Execute one instruction.

        Raises:
            MessageError: it is none that plain data needs.
            ValueError, LookupError: it makes no sense here.
        """
        if name in _LITERALS:
            self._push(argument)
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _IDLE:
            raise MessageError(f"the pickle is not plain data: {name} is not allowed")

    def value(self) -> object:
        """Return what was made.

        Raises:
            ValueError: it is not one thing.
        """
        if len(self._stack) != 1 or self._aside:
            raise ValueError("it ends too early or too late")
        return self._stack[0]

    def _push(self, value: object) -> None:
        if isinstance(value, str):
            # A text may be given again and again, at a byte or two each time.
            self._text += len(value)
            if self._text > MAX_BYTES:
                raise MessageError("the pickle has too much text")
        self._stack.append(value)

    def _mark(self, _: object) -> None:
        self._aside.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[object]:
        items, self._stack = self._stack, self._aside.pop()
        return items

    def _put(self, argument: object) -> None:
        key = argument if isinstance(argument, int) else len(self._memo)
        self._memo[key] = self._stack[-1]

    def _get(self, argument: object) -> None:
        assert isinstance(argument, int)
        value = self._memo[argument]
        if not is_atom(value):
            raise MessageError("the pickle is not plain data: a list is in it twice")
        self._push(value)

    def _tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise ValueError("a tuple of too few")
        items = tuple(self._stack[-size:])
        del self._stack[-size:]
        self._push(items)

    def _append(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise ValueError("no list to append to")
        target.extend(items)

    def _set_items(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("no dict to fill, or a key without a value")
        target.update(zip(_keys(items[::2]), items[1::2], strict=True))

    def _add(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, set):
            raise ValueError("no set to fill")
        target.update(_keys(items))

    def _take(self, count: int) -> list[object]:
        return [self._stack.pop() for _ in range(count)][::-1]


def _keys(items: list[object]) -> list[object]:
    # Hashing tuples within tuples has no limit of depth.
    if not all(map(is_atom, items)):
        raise ValueError("a key that is no single value")
    return items


#: What says where data ends or how it is cut; of no meaning for what it is.
_IDLE = frozenset(("PROTO", "FRAME", "STOP"))
_LITERALS = frozenset(
    "BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8".split()
)
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_STEPS: dict[str, Callable[[_Machine, object], None]] = {
    "MARK": _Machine._mark,
    "MEMOIZE": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "APPEND": lambda machine, _: machine._append(machine._take(1)),
    "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
    "SETITEM": lambda machine, _: machine._set_items(machine._take(2)),
    "SETITEMS": lambda machine, _: machine._set_items(machine._since_mark()),
    "ADDITEMS": lambda machine, _: machine._add(machine._since_mark()),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
}
