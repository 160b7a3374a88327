# SPDX-License-Identifier: GPL-2.0-or-later
"""Earlier bans: counted by section, forgotten in time, bounded."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from fail2ban.decide.history import Memory, Past
from fail2ban.records import Ban, Id
from tests.helpers import NOW, ticket

ID = ip_address("192.0.2.1")


def ban(
    ip: str = "192.0.2.1", start: float = NOW, length: float | None = 600, jail: str = "a"
) -> Ban:
    return Ban(start, None if length is None else start + length, ticket(ip, start, jail))


def test_nobody_has_a_past_at_first() -> None:
    assert Memory().past("a", ID, NOW) == Past(0, 0.0)


def test_bans_are_counted_by_section_and_summed_over_all() -> None:
    memory = Memory()
    for start, jail in ((NOW, "a"), (NOW + 9, "a"), (NOW + 5, "b")):
        memory.add(ban(start=start, jail=jail))
    memory.add(ban("192.0.2.2"))
    assert memory.past("a", ID, NOW) == Past(2, NOW + 9)
    assert memory.past("b", ID, NOW) == Past(1, NOW + 5)
    assert memory.past(None, ID, NOW) == Past(3, NOW + 9)
    assert memory.past("c", ID, NOW) == Past()


def test_texts_have_a_past_too() -> None:
    memory = Memory()
    memory.add(Ban(NOW, None, ticket()))
    assert memory.past("SSH", "192.0.2.1", NOW) == Past()


def test_ban_is_forgotten_after_the_age_and_thrice_its_length() -> None:
    memory = Memory(age=1000)
    memory.add(ban(length=600))
    assert memory.past("a", ID, NOW + 2800).bans == 1
    assert memory.past("a", ID, NOW + 2801).bans == 0


def test_who_comes_back_after_he_was_forgotten_starts_from_nothing() -> None:
    memory = Memory(age=1000)
    memory.add(ban())
    memory.add(ban(start=NOW + 5000))
    assert memory.past("a", ID, NOW + 5000) == Past(1, NOW + 5000)


def test_permanent_ban_is_not_forgotten() -> None:
    memory = Memory(age=1000)
    memory.add(ban(length=None))
    assert memory.past("a", ID, NOW + 1e9).bans == 1


def test_forgetting_one_section_keeps_the_others() -> None:
    memory = Memory()
    memory.add(ban(jail="a"))
    memory.add(ban(jail="b"))
    memory.forget("a", ID)
    assert memory.past(None, ID, NOW).bans == 1
    memory.forget("b", ID)
    assert (memory.past(None, ID, NOW).bans, len(memory)) == (0, 0)


def test_old_ids_make_room_by_themselves() -> None:
    memory = Memory(age=10)
    memory.add(ban("192.0.2.1"))
    memory.add(ban("192.0.2.2", NOW + 10_000))
    assert len(memory) == 1


@given(st.lists(st.integers(1, 20), max_size=100), st.integers(1, 5))
def test_never_more_ids_than_the_capacity_and_the_newest_stay(who: list[int], room: int) -> None:
    memory = Memory(capacity=room)
    for number in who:
        memory.add(ban(f"192.0.2.{number}"))
        assert len(memory) <= room
    newest = list(dict.fromkeys(reversed(who)))[:room]
    known: list[Id] = [ip_address(f"192.0.2.{number}") for number in newest]
    assert all(memory.past("a", id, NOW).bans for id in known)
