# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens is told to whoever listens."""

from __future__ import annotations

from ipaddress import ip_address

from fail2ban.events import Event, Events
from tests.helpers import NOW, FakeClock

IP = ip_address("192.0.2.1")


def test_everybody_who_listens_hears_an_event_with_its_time() -> None:
    events, first, second = Events(FakeClock()), [], []
    events.listen(first.append)
    events.listen(second.append)
    events.tell("found", "sshd", IP, attempts=1)
    assert first == second == [Event(NOW, "found", "sshd", IP, {"attempts": 1})]


def test_who_has_stopped_listening_hears_no_more() -> None:
    events, heard = Events(FakeClock()), []
    events.listen(heard.append)
    events.ignore(heard.append)
    events.tell("found", "sshd", IP)
    assert heard == []


def test_a_fact_may_be_called_time_or_name() -> None:
    events, heard = Events(FakeClock()), []
    events.listen(heard.append)
    events.tell("alarm", name="quiet", time=1.0)
    assert heard[0].facts == {"name": "quiet", "time": 1.0}
    assert heard[0].time == NOW


def test_who_wants_some_kinds_hears_only_those() -> None:
    events, heard = Events(FakeClock()), []
    events.listen(heard.append, {"banned"})
    assert events.reach("banned") and not events.reach("found")
    events.tell("found", "sshd", IP)
    events.tell("banned", "sshd", IP)
    assert [event.kind for event in heard] == ["banned"]
    events.ignore(heard.append)
    assert not events.reach("banned")
