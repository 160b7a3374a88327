# SPDX-License-Identifier: GPL-2.0-or-later
"""Records for tests of the store: by hand, and every kind that there can be."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from hypothesis import strategies as st

from fail2ban.events import Event
from fail2ban.ledger import Batch, Deferred, Record, Suspect
from fail2ban.records import Ban, Failure, Id, Ticket
from tests.helpers import NOW

#: Anything an attacker can write, halves of surrogate pairs too.
texts = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(
    ["192.0.2.7", "192.0.2.0/24", "::1", "=x", "", "\0", "\ud83d\ude00", "a\nb", "' OR 1 --"]
)
times = st.floats(min_value=0, max_value=4e9, allow_nan=False)
_zones = st.sampled_from(["fe80::1%eth0", "fe80::1%1", "::ffff:192.0.2.7", "::"]).map(IPv6Address)
_nets4 = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda found: IPv4Network(found, strict=False)
)
_nets6 = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
    lambda found: IPv6Network(found, strict=False)
)
ids: st.SearchStrategy[Id] = (
    st.ip_addresses() | _zones | _nets4 | _nets6 | texts | st.just("192.0.2.7").map(IPv4Address)
)
_lines = st.lists(texts, max_size=4).map(tuple)
_groups = st.dictionaries(texts, texts | _lines, max_size=3)
_fids = st.none() | ids

suspects = st.builds(
    Suspect,
    st.lists(times, max_size=4).map(lambda found: tuple(sorted(found))),
    st.lists(st.tuples(times, _lines), max_size=3).map(tuple),
)
records = st.builds(Record, st.integers(1, 1000), times, st.none() | times)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | times | texts,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def failures(jail: str) -> st.SearchStrategy[Failure]:
    return st.builds(Failure, st.just(jail), ids, times, _lines, _fids, _groups)


def deferred(jail: str) -> st.SearchStrategy[Deferred]:
    return st.builds(Deferred, failures(jail), st.booleans(), times)


def tickets(jail: str) -> st.SearchStrategy[Ticket]:
    counts = st.integers(0, 1000)
    return st.builds(Ticket, st.just(jail), ids, counts, times, _lines, _fids, _groups)


def bans(jail: str) -> st.SearchStrategy[Ban]:
    return st.builds(
        Ban,
        times,
        st.none() | times,
        tickets(jail),
        st.integers(1, 1000),
        restored=st.just(True),
        prolonged=st.booleans(),
    )


def events(jail: str) -> st.SearchStrategy[Event]:
    kinds = st.sampled_from(["found", "banned", "alarm"])
    return st.builds(
        Event, times, kinds, st.just(jail), st.none() | ids, st.dictionaries(texts, plain)
    )


@st.composite
def batches(draw: st.DrawFn, jail: str) -> Batch:
    """Return what may be saved of one section; None for what is gone."""

    def changes(keys: st.SearchStrategy, values: st.SearchStrategy) -> dict:
        found = draw(st.dictionaries(keys, st.none() | values, max_size=4))
        return {(jail, key): value for key, value in found.items()}

    told = draw(st.lists(bans(jail), max_size=4))
    gone = draw(st.lists(ids, max_size=2))
    return Batch(
        marks=changes(texts, texts),
        suspects=changes(ids, suspects),
        deferred=changes(st.integers(0, 2**40), deferred(jail)),
        bans={**{(jail, ban.id): ban for ban in told}, **{(jail, id): None for id in gone}},
        records=changes(ids, records),
        events=draw(st.lists(events(jail), max_size=3)),
    )


def ban(
    id: str = "192.0.2.1",
    start: float = NOW,
    length: float | None = 600.0,
    jail: str = "sshd",
    lines: tuple[str, ...] = ("first line", "last line"),
) -> Ban:
    ticket = Ticket(jail, ip_address(id), 5, start, lines)
    return Ban(start, None if length is None else start + length, ticket)


def batch_of(*bans: Ban) -> Batch:
    return Batch(bans={(ban.jail, ban.id): ban for ban in bans})


def event(time: float = NOW, id: str = "192.0.2.1", jail: str = "sshd", **facts: object) -> Event:
    return Event(time, "found", jail, ip_address(id), facts)
