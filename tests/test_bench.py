# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark: its logs are what it says, and its numbers are what was measured."""

from __future__ import annotations

import io
import json
import math
import re
import struct
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from bench import budget, cli, generate, table
from bench.detection import CLASSIC_NAME, PEER_NAME, make_log
from bench.kernel import addresses
from bench.peers import Peers
from bench.proc import Failed
from bench.programs import JailSpec, Stage, write_classic, write_tree
from bench.results import (
    MET,
    MISSED,
    UNKNOWN,
    Row,
    Spread,
    as_json,
    at_least,
    at_most,
    interleaved,
    pairwise,
    row,
    show,
)
from bench.rows import QUICK, Maker, Workshop
from fail2ban.config import classic, tree
from fail2ban.detect.match import Line
from fail2ban.plan import make_plan

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "config" / "fail2ban.conf.nftables"
END = 1_780_000_000.0
ATTACK = re.compile(
    r"sshd\[\d+\]: (?:Failed password for (?:invalid user )?\S+|Invalid user \S+) from "
)

# Logs ----------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_log():
    assert list(generate.auth(500, 0.5, END)) == list(generate.auth(500, 0.5, END))
    assert list(generate.access(500, 0.5, END)) == list(generate.access(500, 0.5, END))


def test_another_seed_makes_another_log():
    assert list(generate.auth(50, 0.5, END)) != list(generate.auth(50, 0.5, END, seed=2))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_the_share_of_attack_lines_is_exact(share):
    lines = list(generate.auth(4000, share, END))
    assert len(lines) == 4000
    assert sum(bool(ATTACK.search(line)) for line in lines) == int(4000 * share)


def test_attacks_are_spread_over_the_log():
    lines = list(generate.auth(4000, 0.5, END))
    for part in range(0, 4000, 500):
        assert sum(bool(ATTACK.search(line)) for line in lines[part : part + 500]) == 250


def test_lines_are_varied():
    lines = list(generate.auth(4000, 0.5, END))
    assert len({line[16:] for line in lines}) == 4000
    programs = {re.sub(r"\[.*", "", line.split()[4]) for line in lines}
    assert {"CRON", "sshd", "sudo", "systemd", "systemd-logind", "kernel:"} <= programs
    assert len({line.split()[3] for line in lines}) > 3


def test_a_process_is_one_connection_of_one_client():
    clients: dict[str, set[str]] = {}
    for line in generate.auth(4000, 0.5, END):
        if found := re.search(r"sshd\[(\d+)\]: .* (\d+\.\d+\.\d+\.\d+) port", line):
            clients.setdefault(found[1], set()).add(found[2])
    assert clients and all(len(some) == 1 for some in clients.values())


def test_an_attacker_tries_again_and_again_and_then_another_comes():
    attempts: dict[str, int] = {}
    for line in generate.auth(20_000, 0.5, END):
        if ATTACK.search(line):
            ip = line.split(" from ")[1].split()[0]
            attempts[ip] = attempts.get(ip, 0) + 1
    low, high = generate.BURST
    assert len(attempts) > 10_000 / high
    assert max(attempts.values()) <= high
    assert sum(count >= low for count in attempts.values()) >= len(attempts) - generate.CROWD


def test_attackers_have_addresses_of_their_own():
    assert len({generate.attacker(number) for number in range(50_000)}) == 50_000


def test_times_never_fall_back_and_end_now(tmp_path):
    filter = _classic_filter(tmp_path)
    times = [filter.when(line, END) for line in generate.auth(2000, 0.1, END)]
    assert times == sorted(times)
    assert END - 1 <= times[-1] <= END
    assert times[-1] - times[0] == pytest.approx(generate.SPAN, rel=0.01)


def test_every_attack_line_is_a_failure_and_no_other_is(tmp_path):
    filter = _classic_filter(tmp_path)
    for line in generate.auth(2000, 0.5, END):
        assert (filter.match(Line(line), END) is not None) == bool(ATTACK.search(line)), line


def test_a_made_attack_is_a_failure_of_its_address(tmp_path):
    found = _classic_filter(tmp_path).match(Line(generate.attack("203.0.113.7", END, 3)), END)
    assert found is not None
    assert (str(found.host), found.time) == ("203.0.113.7", END)


def test_access_logs_hold_three_kinds_of_attacks():
    lines = list(generate.access(9000, 0.1, END))
    assert all(re.fullmatch(r'\S+ - - \[[^]]+\] "[^"]+" \d+ \d+ "[^"]+" "[^"]+"', x) for x in lines)
    for attack in (r"/wp-login\.php\S* HTTP\S+\" 404", 'Email(?:Collector|Siphon)"$', "=http://"):
        assert sum(bool(re.search(attack, line)) for line in lines) == 300


def test_the_beginning_of_a_log_has_so_many_lines(tmp_path):
    log = make_log(tmp_path / "log", 0.5, generate.auth(12_000, 0.5, END))
    whole = (tmp_path / "log").read_text().splitlines()
    for wanted, count in ((5, 10), (5_000, 5_000), (11_000, 10_000), (99_000, 10_000)):
        path, lines = log.head(wanted, tmp_path, "head")
        assert lines == count
        assert path.read_text().splitlines() == whole[:count]


def _classic_filter(folder):
    config = write_classic(SAMPLE, folder, [JailSpec("SSH", folder / "auth.log")])
    return make_plan(classic.load(config)).filters["SSH"]


# Configurations ------------------------------------------------------------------------


def test_the_sample_is_used_as_shipped_but_for_logs_and_limits(tmp_path):
    jails = [JailSpec("one", tmp_path / "1.log", maxretry=3), JailSpec("two", tmp_path / "2.log")]
    plan = make_plan(classic.load(write_classic(SAMPLE, tmp_path, jails)))
    shipped = {jail.name: jail for jail in make_plan(classic.load(SAMPLE)).jails}["SSH"]
    assert not plan.errors
    one, two = plan.jails
    assert (one.name, two.name) == ("one", "two")
    assert (one.maxretry, two.maxretry) == (3, 1)
    assert one.logs == (str(tmp_path / "1.log"),)
    assert len(one.filter.failregex) == len(shipped.filter.failregex)
    assert plan.settings.socket == str(tmp_path / "daemon.sock")
    assert plan.settings.store.file == str(tmp_path / "daemon.sqlite3")


def test_a_sample_of_another_shape_is_refused(tmp_path):
    sample = tmp_path / "sample"
    sample.write_text("[DEFAULT]\nfindtime = 5\n")
    with pytest.raises(Failed, match="SSH"):
        write_classic(sample, tmp_path, [])


def test_a_tree_has_upstreams_files_and_our_jails(tmp_path):
    source = tmp_path / "source"
    (source / "filter.d").mkdir(parents=True)
    (source / "action.d").mkdir()
    (source / "filter.d/sshd.conf").write_text("[Definition]\nfailregex = ^bad <HOST>$\n")
    (source / "action.d/nftables.conf").write_text("[Definition]\nactionban = nft <ip>\n")
    (tmp_path / "log").touch()
    jails = [JailSpec("a", tmp_path / "log"), JailSpec("b", tmp_path / "log", bans=False)]
    loaded = tree.load(write_tree(source, tmp_path, jails, "polling"))
    assert loaded.settings is not None
    assert [(jail.name, len(jail.actions)) for jail in loaded.settings.jails] == [
        ("a", 1),
        ("b", 0),
    ]


# Numbers -------------------------------------------------------------------------------


def test_runs_take_turns():
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    assert interleaved(runs, 3) == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert calls == list("ababab")


def test_a_ratio_is_the_median_of_pairs():
    """And not the ratio of medians: the machine was slow for one pair of these."""
    found = row("r", "what", "lines/s", {"ours": [100, 10, 90], "peer": [10, 2, 30]})
    assert found.ratios["ours", "peer"] == Spread(5, 3, 10, 3)
    assert found.values["ours"] == Spread(90, 10, 100, 3)


def test_a_ratio_says_how_many_times_better_also_where_less_is():
    assert pairwise([2.0], [10.0], more=False) == [5.0]
    assert pairwise([2.0], [10.0], more=True) == [0.2]
    assert pairwise([0.0], [1.0], more=False) == [math.inf]


def test_only_ours_is_compared_with_peers():
    found = row("r", "w", "s", {"ours": [1], "ours, other": [1], "x": [1], "y": [1]})
    assert set(found.ratios) == {(a, b) for a in ("ours", "ours, other") for b in "xy"}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (at_least("w", 10, 10, " x"), MET),
        (at_least("w", 9.99, 10, " x"), MISSED),
        (at_most("w", 5, 5, " ms"), MET),
        (at_most("w", 5.01, 5, " ms"), MISSED),
        (at_least("w", None, 10, ""), UNKNOWN),
        (at_most("w", math.nan, 10, ""), UNKNOWN),
    ],
)
def test_a_verdict_follows_the_number(claim, verdict):
    assert claim.verdict == verdict


def test_a_budget_lists_every_promise_even_if_nothing_was_measured():
    claims = budget.judge([])
    assert len(claims) >= 15
    assert {claim.verdict for claim in claims} == {UNKNOWN}


def test_a_budget_judges_the_ratio_of_its_row():
    fast = row("ssh-0.1", "w", "lines/s", {CLASSIC_NAME: [1000.0], PEER_NAME: [5.0]})
    claim = budget.judge([fast])[0]
    assert (claim.result, claim.verdict) == ("200 x", MET)


def test_a_row_that_is_wrong_meets_no_promise():
    values = {CLASSIC_NAME: [1000.0], PEER_NAME: [5.0]}
    wrong = row("ssh-0.1", "w", "lines/s", values, wrong="answers differ")
    assert {claim.verdict for claim in budget.judge([wrong])} == {UNKNOWN}


def test_a_budget_takes_the_slower_of_our_configurations():
    slow = row("latency", "w", "ms", {"ours": [2.0], "ours, classic file": [7.0]}, more=False)
    (claim,) = (
        one for one in budget.judge([slow]) if "idle" in one.what and one.verdict != UNKNOWN
    )
    assert (claim.result, claim.verdict) == ("7 ms", MISSED)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.0, "1,234,567"),
        (12.345, "12.3"),
        (0.01234, "0.0123"),
        (3.0, "3"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_shown_with_three_digits(value, text):
    assert show(value) == text


# Results -------------------------------------------------------------------------------


def _result():
    good = row("r1", "a thing", "s", {"ours": [1.0, 2.0], "peer": [4.0, 4.0]}, False, ["a note"])
    bad = Row("r2", "another", wrong="answers differ", left_out="it failed")
    return [good, bad], [at_most("promise", 1.5, 1, " s")]


def test_the_table_has_every_row_and_verdict():
    text = io.StringIO()
    table.print_all(*_result(), console=Console(file=text, width=200))
    shown = text.getvalue()
    for part in ("r1", "1.50 (1 - 2) s", "peer: 3 (2 - 4)", "r1: a note", "left out: it failed",
                 "WRONG: answers differ", "promise", "at most 1 s", "missed"):  # fmt: skip
        assert part in shown, shown


def test_the_json_has_all_of_it():
    rows, claims = _result()
    found = json.loads(json.dumps(as_json({"cores": 2}, rows, claims)))
    assert found["schema"] == 1
    assert found["machine"] == {"cores": 2}
    first, second = found["rows"]
    assert first["values"]["ours"] == {"median": 1.5, "low": 1.0, "high": 2.0, "count": 2}
    assert first["ratios"] == [
        {"of": "ours", "to": "peer", "median": 3.0, "low": 2.0, "high": 4.0, "count": 2}
    ]
    assert (first["better"], second["wrong"]) == ("less", "answers differ")
    assert found["budget"][0]["verdict"] == MISSED


def test_the_readme_of_the_benchmark_names_every_row():
    text = (ROOT / "bench" / "README").read_text(encoding="utf-8")
    assert [name for maker in cli.MAKERS for name in maker.names if name not in text] == []


def _shop(tmp_path):
    stage = Stage(ROOT, Peers(tmp_path / "none", "", None, {}), tmp_path)
    return Workshop(stage, QUICK, tmp_path, inside=False, say=lambda text: None)


def test_a_row_that_fails_does_not_stop_the_others(tmp_path):
    def fails(shop, names):
        raise Failed("no such program")

    makers = [
        Maker(("one",), "w", fails, peers=False),
        Maker(("two",), "w", lambda shop, names: [Row("two", "w")], peers=False),
    ]
    one, two = cli.make_rows(makers, None, _shop(tmp_path))
    assert (one.wrong, two.name) == ("no such program", "two")


def test_what_cannot_be_measured_says_why(tmp_path):
    made = {
        row.name: row.left_out
        for row in cli.make_rows(cli.MAKERS, ["web", "storm"], _shop(tmp_path))
    }
    assert "needs root" in made["storm"]
    assert "--install" in made["web"]


def test_a_firewall_is_never_touched_on_the_host(tmp_path):
    with pytest.raises(AssertionError):
        _shop(tmp_path).clear_firewall()


# The kernel ----------------------------------------------------------------------------


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def _message(kind: int, *keys: bytes) -> bytes:
    elements = b"".join(
        _attribute(
            1 | 0x8000, _attribute(1 | 0x8000, _attribute(1, key)) + _attribute(3, b"\0" * 4)
        )
        for key in keys
    )
    body = _attribute(1, b"table\0") + _attribute(2, b"set\0") + _attribute(3 | 0x8000, elements)
    data = b"\x01\0\0\0" + body
    return struct.pack("=IHHII", len(data) + 16, 10 << 8 | kind, 0, 0, 0) + data


def test_addresses_are_found_in_what_the_kernel_tells():
    six = bytes.fromhex("20010db8000000000000000000000001")
    data = _message(12, b"\xcb\0\x71\x01", b"\xcb\0\x71\x02") + _message(14, b"\xcb\0\x71\x03")
    data += _message(12, six)
    assert list(addresses(data)) == ["203.0.113.1", "203.0.113.2", "2001:db8::1"]


def test_a_cut_message_of_the_kernel_is_survived():
    data = _message(12, b"\xcb\0\x71\x01")
    for length in range(len(data)):
        assert list(addresses(data[:length])) in ([], ["203.0.113.1"])


# The program ---------------------------------------------------------------------------


def test_the_program_measures(tmp_path):
    """A smoke test: one row of each kind that needs neither root nor a peer."""
    target = tmp_path / "result.json"
    command = [ROOT / "bench" / "run", "--quick", "--cache", tmp_path / "none", "--json", target]
    done = subprocess.run(
        [*command, "--rows", "ssh-50", "tracked"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ssh, tracked = json.loads(target.read_text())["rows"]
    assert ssh["name"] == "ssh-50" and ssh["values"][CLASSIC_NAME]["median"] > 0
    lines, found, expected = (
        int(n.replace(",", "")) for n in re.findall(r"\b\d[\d,]*", ssh["notes"][0])
    )
    assert (found, expected) == (lines // 2, lines // 2)
    assert tracked["values"]["ours"]["median"] > 0
    assert "ours, classic file" in done.stdout
