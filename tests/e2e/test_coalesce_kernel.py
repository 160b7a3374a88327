# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel holds the same after a batch as after its commands one by one.

Each variant gets random sequences of commands, many of them wrong, in one network
namespace as batches and in another one by one.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fail2ban.enforce import shell
from fail2ban.enforce.coalesce import carry_out
from fail2ban.enforce.plain import Line, plain
from fail2ban.enforce.standby import Standby
from fail2ban.errors import CommandError
from tests import needs
from tests.netns import Namespace

pytestmark = [needs.root(), needs.programs("ip", "nsenter")]

#: Seconds; elements of a set keep them to the millisecond, but tests take some.
SHORT, LONG = 5_000, 500_000

Step = tuple[str, str]  # template, address

ADDRESSES = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.9"]
ADDRESSES6 = ["2001:db8::1", "2001:db8::2", "2001:db8::3"]
NETWORKS = ["203.0.113.0/30", "203.0.113.2/31", "203.0.113.1-203.0.113.2"]
NONSENSE = ["203.0.113.999", "nonsense/8", "@nothing", "203.0.113.1,198.51.100.9"]


@dataclass(frozen=True)
class Variant:
    """A kind of commands.

    Attributes:
        programs: that it needs.
        make: makes what the commands need, anew, from whatever state.
        templates: the commands.
        addresses: what they are about.
        state: what is compared of a host.
    """

    programs: tuple[str, ...]
    make: str
    templates: tuple[str, ...]
    addresses: Sequence[str]
    state: Callable[[Namespace], object]


def _nft_state(host: Namespace) -> object:
    """Return the ruleset, its sets sorted, without what differs by the hour."""
    found = json.loads(host.run("nft -j list ruleset").stdout)["nftables"]
    return [_comparable(part) for part in found if "metainfo" not in part]


def _comparable(part: Any) -> Any:
    if isinstance(part, list):
        return [_comparable(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = {k: _comparable(v) for k, v in part.items() if k not in ("handle", "expires")}
    if isinstance(elements := kept.get("elem"), list):
        kept["elem"] = sorted(elements, key=json.dumps)
    return kept


def _ipset_state(host: Namespace) -> object:
    lines = host.run("ipset save").stdout.splitlines()
    return sorted(
        re.sub(r"timeout (\d+)", lambda left: f"{round(int(left[1]) / 1000)}000", line)
        for line in lines
        if line.startswith("add ")
    )


def _iptables_state(save: str) -> Callable[[Namespace], object]:
    def state(host: Namespace) -> object:
        return [line for line in host.run(save).stdout.splitlines() if line.startswith("-")]

    return state


def _nft(set_: str, templates: Sequence[str], addresses: Sequence[str]) -> Variant:
    make = f"""nft 'table inet t
        delete table inet t
        table inet t {{ set s {{ {set_} }}; chain c {{ tcp dport 1; tcp dport 2; }}; }}'"""
    return Variant(("nft",), make, tuple(templates), addresses, _nft_state)


def _ipset(options: str, templates: Sequence[str]) -> Variant:
    make = f"ipset destroy; ipset create s hash:ip maxelem 65536 {options}"
    return Variant(("ipset",), make, tuple(templates), ADDRESSES + NONSENSE, _ipset_state)


def _iptables(program: str, addresses: Sequence[str], chain: str = "c") -> Variant:
    make = f"{program} -w -F; {program} -w -N {chain} 2>/dev/null; true"
    templates = (
        f"{program} -w -I {chain} 1 -s <ip> -j DROP",
        f"{program} -w -A {chain} -s <ip> -m comment --comment 'two words' -j RETURN",
        f"{program} -w -D {chain} -s <ip> -j DROP",
        f"{program} -w -t filter -D {chain} -s <ip> -m comment --comment 'two words' -j RETURN",
        f"{program} -w -I nowhere -s <ip> -j DROP",
    )
    save = _iptables_state(f"{program}-save -t filter")
    return Variant((program, f"{program}-restore"), make, templates, addresses, save)


ADD, DELETE = (rf"nft {verb} element inet t s \{{ <ip> \}}" for verb in ("add", "delete"))
SHIPPED = f"""nft '
    add element inet t s {{ <ip> }}
    delete element inet t s {{ <ip> }}
    add element inet t s {{ <ip> timeout {LONG}s }}
    '"""

VARIANTS = {
    "nft set": _nft("type ipv4_addr;", [ADD, DELETE], ADDRESSES + ADDRESSES6 + NONSENSE),
    "nft intervals": _nft(
        "type ipv4_addr; flags interval;", [ADD, DELETE], ADDRESSES + NETWORKS + NONSENSE
    ),
    "nft merged intervals": _nft(
        "type ipv4_addr; flags interval; auto-merge;", [ADD, DELETE], ADDRESSES + NETWORKS
    ),
    "nft timeouts": _nft(
        "type ipv4_addr; flags timeout;",
        [
            SHIPPED,
            f"nft 'add element inet t s {{ <ip> timeout {SHORT}s }}'",
            DELETE,
            "nft create element inet t s { <ip> }",
        ],
        ADDRESSES + ADDRESSES6,
    ),
    "nft rules": _nft(
        "type ipv4_addr;",
        [
            "nft add rule inet t c ip saddr <ip> counter drop",
            "nft insert rule inet t c ip saddr <ip> drop comment '\"two words\"'",
            "nft delete rule inet t c handle <ip>",
            "nft add rule inet t nowhere ip saddr <ip> drop",
        ],
        ["3", "4", "99", *ADDRESSES, *NETWORKS, *NONSENSE],
    ),
    "ipset": _ipset("", ["ipset add s <ip>", "ipset del s <ip>", "ipset add nothing <ip>"]),
    "ipset -exist": _ipset(
        f"timeout {SHORT}",
        [
            "ipset -exist add s <ip>",
            f"ipset add s <ip> timeout {LONG} -exist",
            "ipset del s <ip> -exist",
            "ipset -exist del nothing <ip>",
        ],
    ),
    "iptables-nft": _iptables("iptables-nft", ADDRESSES + NETWORKS[:2] + NONSENSE),
    "iptables-legacy": _iptables("iptables-legacy", ADDRESSES + NETWORKS[:2] + NONSENSE),
    "ip6tables-nft": _iptables("ip6tables-nft", ADDRESSES6 + ADDRESSES),
    "ip6tables-legacy": _iptables("ip6tables-legacy", ADDRESSES6 + ADDRESSES),
    "iptables INPUT": _iptables("iptables", ADDRESSES, "INPUT"),
}


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    with Namespace("batch") as batch, Namespace("single") as single:
        yield batch, single


def inside(host: Namespace) -> shell.Shell:
    """Return our own shell, whose commands run on a host."""

    def run(
        command: str,
        variables: Mapping[str, str],
        timeout: float,
        *arguments: str,
        feed: str | None = None,
    ) -> None:
        entered = f"nsenter --net=/run/netns/{host.name} {command.strip()}"
        shell.run(entered, {**variables, "PATH": needs.PATH}, timeout, *arguments, feed=feed)

    return run


def line(step: Step) -> Line:
    template, address = step
    found = plain(template)
    assert found, template
    made = found.line({"ip": address}.get)
    assert made
    return made


def run_alone(host: Namespace, step: Step) -> None:
    template, address = step
    inside(host)(template.replace("<ip>", address), {}, 60.0)


def as_batch(host: Namespace, steps: Sequence[Step]) -> list[bool]:
    """Carry out commands as batches; tell of each whether it was done."""
    outcomes = carry_out(
        [line(step) for step in steps],
        lambda number: run_alone(host, steps[number]),
        lambda command, feed, _, seconds, divides: inside(host)(command, {}, seconds, feed=feed),
        60.0,
    )
    return [outcome is None for outcome in outcomes]


def by_those_that_stand_by(folder: Path, host: Namespace, steps: Sequence[Step]) -> list[bool]:
    """Carry out each command by a process that was there before the one before it.

    Args:
        folder: of programs that do their work on the host.
    """
    standby, done = Standby(), []
    try:
        for step in steps:
            (outcome,) = carry_out(
                [line(step)],
                lambda number, step=step: run_alone(host, step),  # type: ignore[misc]
                lambda command, feed, _, seconds, divides: standby.run(
                    f"{folder}/{command}", {}, seconds, feed=feed
                ),
                60.0,
                lambda command: True,
            )
            done.append(outcome is None)
    finally:
        standby.close()
    return done


def one_by_one(host: Namespace, steps: Sequence[Step]) -> list[bool]:
    return [_is_done(host, step) for step in steps]


def _is_done(host: Namespace, step: Step) -> bool:
    try:
        run_alone(host, step)
    except CommandError:
        return False
    return True


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, id=name, marks=needs.programs(*v.programs)) for name, v in VARIANTS.items()],
)
def test_the_kernel_holds_the_same_as_after_one_by_one(
    variant: Variant, hosts: tuple[Namespace, Namespace]
) -> None:
    steps = st.tuples(st.sampled_from(variant.templates), st.sampled_from(variant.addresses))
    all_steps = [(t, a) for t in variant.templates for a in variant.addresses[:3]]

    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
    @example(all_steps)
    @given(st.lists(steps, min_size=2, max_size=8))
    def check(steps: list[Step]) -> None:
        found = []
        for host, do in zip(hosts, (as_batch, one_by_one), strict=True):
            host.run(variant.make)
            outcomes = do(host, steps)
            found.append((outcomes, variant.state(host)))
        assert found[0] == found[1]

    check()


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, id=name, marks=needs.programs(*v.programs)) for name, v in VARIANTS.items()],
)
def test_it_holds_the_same_where_processes_stand_by(
    variant: Variant, hosts: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    for program in variant.programs:
        entered = f'exec nsenter --net=/run/netns/{hosts[0].name} {program} "$@"'
        (tmp_path / program).write_text(f"#!/bin/sh\nPATH={needs.PATH}\n{entered}\n")
        (tmp_path / program).chmod(0o755)
    found = []
    # Each is there, then there already, gone, and not there any more.
    steps = [(t, a) for t in variant.templates for a in (*variant.addresses[:3], *NONSENSE[:1])]
    lone = functools.partial(by_those_that_stand_by, tmp_path)
    for host, do in zip(hosts, (lone, one_by_one), strict=True):
        host.run(variant.make)
        found.append((do(host, steps * 2), variant.state(host)))
    assert found[0] == found[1]


MANY = 2_000


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(VARIANTS[name], id=name, marks=needs.programs(*VARIANTS[name].programs))
        for name in ("nft set", "nft timeouts", "ipset", "iptables-nft", "iptables-legacy")
    ],
)
def test_one_that_is_wrong_among_very_many_is_found(
    variant: Variant, hosts: tuple[Namespace, Namespace]
) -> None:
    host, _ = hosts
    host.run(variant.make)
    steps = [(variant.templates[0], f"10.0.{n // 256}.{n % 256}") for n in range(MANY)]
    steps[1_234] = (variant.templates[0], "nonsense/8")
    done = as_batch(host, steps)
    assert [number for number, is_done in enumerate(done) if not is_done] == [1_234]
    held = json.dumps(variant.state(host))
    assert all(
        re.search(rf"\b{re.escape(steps[n][1])}\b", held) for n in (0, 1_233, 1_235, MANY - 1)
    )
