# SPDX-License-Identifier: GPL-2.0-or-later
"""What may travel over the control socket: plain data, small and shallow.

Plain are text, numbers, booleans, None, and lists, tuples, sets and dicts of
them. Whoever handles a command may walk through it, print it or hash its parts
without a thought for what somebody made up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from fail2ban.errors import Fail2BanError

#: The longest message taken from a client, in bytes, and the most text in one.
MAX_BYTES = 1 << 20
#: How deep lists may be within lists.
MAX_DEPTH = 16
#: The widest whole number, in bits; Python refuses to print really long ones.
MAX_BITS = 64


class MessageError(Fail2BanError):
    """What a client sent is no command; says why."""


def is_atom(value: object) -> bool:
    """Tell whether this is one value, not a container of others."""
    return value is None or type(value) in (str, bool, int, float)


def check(value: object) -> None:
    """See that what a client sent is shallow, and that its numbers are of use.

    It does not call itself, so that no depth can harm it.

    Raises:
        MessageError: it is not so.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            _check_number(item)
            below.extend(_parts(item))
        if not below:
            return
        level = below
    raise MessageError(f"lists are nested more than {MAX_DEPTH} levels deep")


def plain(value: object) -> object:
    """Turn a result into plain data; what is none, such as an address, into its text."""
    if is_atom(value):
        return value
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, Set):
        return {_key(item) for item in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return [plain(item) for item in value]
    return str(value)


def _check_number(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise MessageError(f"{value} is no number")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise MessageError("a number is too large")


def _key(value: object) -> object:
    return value if is_atom(value) else str(value)


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if isinstance(value, (list, tuple, set)) else []
