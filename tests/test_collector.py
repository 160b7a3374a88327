# SPDX-License-Identifier: GPL-2.0-or-later
"""Python's collector rests while a configuration is read, and never for good."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from fail2ban import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


class Knot:
    """Knows itself, so it does not end by itself."""

    def __init__(self) -> None:
        self.self = self


def knot() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def test_nothing_is_collected_while_it_is_paused_and_all_is_afterwards():
    with collector.paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_error():
    with pytest.raises(ValueError), collector.paused():
        raise ValueError
    assert gc.isenabled()


def test_a_pause_within_a_pause_does_not_end_it():
    with collector.paused():
        with collector.paused():
            pass
        assert not gc.isenabled()


def test_what_is_over_is_collected_before_the_rest_is_left_out():
    lost = knot()
    collector.settle()
    assert lost() is None and gc.get_freeze_count() > 0


def test_what_was_left_out_and_is_over_is_collected_the_next_time():
    old = Knot()
    lost = weakref.ref(old)
    collector.settle()
    del old
    gc.collect()
    assert lost() is not None  # that is what was meant
    collector.settle()
    assert lost() is None


def test_what_comes_later_is_collected_as_ever():
    collector.settle()
    lost = knot()
    gc.collect()
    assert lost() is None
