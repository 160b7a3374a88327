# SPDX-License-Identifier: GPL-2.0-or-later
"""Which commands are one plain call of a firewall's program, and how they are written in bulk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fail2ban.config import classic
from fail2ban.enforce import words
from fail2ban.enforce.plain import LONGEST, plain
from tests.needs import PATH

CONFIG = Path(__file__).resolve().parents[1] / "config"

VALUES = {"ip": "203.0.113.7", "bantime": "600", "seconds": "599", "F-USER": "root"}

#: Template, the batch's command, the line for VALUES.
PLAIN = [
    # Debian's nftables, iptables, iptables-ipset and shorewall-ipset-proto6.
    (
        r"nft add element inet f2b-table addr-set-sshd \{ <ip> \}",
        "nft -f -",
        "add element inet f2b-table addr-set-sshd { 203.0.113.7 }",
    ),
    (
        "iptables -w -I f2b-sshd 1 -s <ip> -j REJECT --reject-with icmp-port-unreachable",
        "iptables-restore --noflush -w",
        "-I f2b-sshd 1 -s 203.0.113.7 -j REJECT --reject-with icmp-port-unreachable",
    ),
    (
        "ip6tables -w -D f2b-sshd -s <ip> -j DROP",
        "ip6tables-restore --noflush -w",
        "-D f2b-sshd -s 203.0.113.7 -j DROP",
    ),
    (
        "ipset -exist add f2b-sshd <ip> timeout <bantime>",
        "ipset -exist restore",
        "add f2b-sshd 203.0.113.7 timeout 600",
    ),
    ("ipset del f2b-sshd <ip> -exist", "ipset -exist restore", "del f2b-sshd 203.0.113.7"),
    # Our own fail2ban.conf.nftables.
    (
        "nft '\nadd element inet fail2ban SSH-ip { <ip> }\n"
        "delete element inet fail2ban SSH-ip { <ip> }\n"
        "  add element inet fail2ban SSH-ip { <ip> timeout <seconds>s }\n'",
        "nft -f -",
        "add element inet fail2ban SSH-ip { 203.0.113.7 }\n"
        "delete element inet fail2ban SSH-ip { 203.0.113.7 }\n"
        "add element inet fail2ban SSH-ip { 203.0.113.7 timeout 599s }",
    ),
    # What administrators write.
    (
        "\n  nft add element ip t s { <ip> }  \n",
        "nft -f -",
        "add element ip t s { 203.0.113.7 }",
    ),
    (
        "/usr/sbin/nft -a 'add element ip t s {<ip>}'",
        "/usr/sbin/nft -a -f -",
        "add element ip t s {203.0.113.7}",
    ),
    (
        'nft "delete element ip t s { <ip> }"',
        "nft -f -",
        "delete element ip t s { 203.0.113.7 }",
    ),
    (
        "nft insert rule inet f input ip saddr <ip> counter drop comment '\"two words\"'",
        "nft -f -",
        'insert rule inet f input ip saddr 203.0.113.7 counter drop comment "two words"',
    ),
    (
        "nft delete rule inet f input handle <F-USER>",
        "nft -f -",
        "delete rule inet f input handle root",
    ),
    ("/sbin/ipset --add s <ip>", "/sbin/ipset restore", "add s 203.0.113.7"),
    ("ipset -D s <ip>", "ipset restore", "del s 203.0.113.7"),
    (
        "ipset -! add s <ip> comment 'two words'",
        "ipset -exist restore",
        'add s 203.0.113.7 comment "two words"',
    ),
    (
        "/sbin/iptables-legacy -t raw -w 5 -A f2b -s <ip>/32 -j DROP",
        "/sbin/iptables-legacy-restore --noflush -w 5",
        "-A f2b -s 203.0.113.7/32 -j DROP",
    ),
    (
        "iptables-nft --wait --table mangle --insert f2b ! -s <ip> -j DROP",
        "iptables-nft-restore --noflush -w",
        "-I f2b ! -s 203.0.113.7 -j DROP",
    ),
    (
        """iptables -I f2b -s <ip> -m comment --comment "of '<F-USER>', 100%" -j DROP""",
        "iptables-restore --noflush -w",
        """-I f2b -s 203.0.113.7 -m comment --comment "of 'root', 100%" -j DROP""",
    ),
    (
        "iptables -I f2b -p tcp --tcp-flags SYN,ACK SYN -s <ip> \\\n  -j DROP",
        "iptables-restore --noflush -w",
        "-I f2b -p tcp --tcp-flags SYN,ACK SYN -s 203.0.113.7 -j DROP",
    ),
]

NOT_PLAIN = [
    "",
    "\n",
    "<ip>",
    "echo <ip>",
    "nft",
    "ipset",
    "iptables",
    # More than one command, or words that a shell makes.
    "nft add element ip t s { <ip> } || true",
    "nft add element ip t s { <ip> } | logger",
    "nft add element ip t s { <ip> } &",
    "nft add element ip t s { <ip> }; true",
    "nft add element ip t s { <ip> }\ntrue",
    "nft add element ip t s { <ip> } 2>/dev/null",
    "nft add element ip t s { <ip> } # one",
    "nft add element ip t $SET { <ip> }",
    'nft add element ip t "$SET" { <ip> }',
    "nft add element ip t `echo s` { <ip> }",
    "nft delete rule ip t c handle $(nft -a list chain ip t c | grep <ip> | sed 's/.* //')",
    "nft add element ip t s {1,<ip>}",
    "nft add element ip t s* { <ip> }",
    "nft add element ip ~ s { <ip> }",
    "nft add element ip t s { <ip> } \\",
    "nft add element ip t s { <ip> } '",
    "IP=<ip> nft add element ip t s { <ip> }",
    "sudo nft add element ip t s { <ip> }",
    "! nft add element ip t s { <ip> }",
    "if nft add element ip t s { <ip> }",
    "<ip> add element ip t s { <ip> }",
    "/sbin/nft* add element ip t s { <ip> }",
    "nft add element ip t s\u00a0{ <ip> }",
    "nft add element ip t s { < ip> }",
    "nft add element ip t s { <ip> }\r\n",
    "\u00a0nft add element ip t s { <ip> }",
    # nft: another command, another input, or a line that is not whole.
    "nft add table ip t",
    "nft add set ip t s { type ipv4_addr; }",
    "nft -f file",
    "nft -c add element ip t s { <ip> }",
    "nft -j add element ip t s { <ip> }",
    "nft flush set ip t s",
    "nft 'add element ip t s { <ip> }; flush ruleset'",
    "nft 'add element ip t s { <ip> }\nflush ruleset'",
    "nft 'add element ip t s { <ip>\n}'",
    "nft 'add element ip t s { <ip>'",
    "nft 'add element ip t $s { <ip> }'",
    "nft 'add element ip t s { <ip> } # all'",
    "nft 'add rule ip t c ip saddr <ip> log prefix \"x'",
    "nft add rule ip t c index 3 ip saddr <ip> drop",
    "nft add rule ip t c meta priority -1 ip saddr <ip>",
    # ipset: neither add nor del, or with other options.
    "ipset add $SET <ip>",
    'ipset add "$SET" <ip>',
    'ipset add "`echo s`" <ip>',
    'ipset add "a\\\\b" <ip>',
    "ipset add {s,u} <ip>",
    "ipset test s <ip>",
    "ipset flush s",
    "ipset add s",
    "ipset -q add s <ip>",
    "ipset add s <ip> -q",
    "ipset add s <ip> comment 'a\"b'",
    "ipset add s <ip> comment ''",
    "ipset add s <ip> comment 'a\nb'",
    # iptables: neither, or what is not for a line.
    "iptables -F f2b",
    "iptables -w -C f2b -s <ip> -j DROP",
    "iptables -w -N f2b",
    "iptables -A",
    "iptables -s <ip> -A f2b",
    "iptables -t <F-USER> -A f2b -s <ip>",
    "iptables -A f2b -s <ip> -t nat",
    "iptables -A f2b -s <ip> --tab nat",
    "iptables -A f2b -s <ip> -w",
    "iptables -A f2b -s <ip> --wait=3",
    "iptables -A f2b -s <ip> -4",
    "iptables -A f2b -s <ip> -h",
    "iptables -A f2b -s <ip> --hel",
    "iptables -A f2b -s <ip> -vw",
    "iptables -A f2b -m comment --comment -x -s <ip>",
    "iptables -A f2b -m comment --comment '' -s <ip>",
    r"iptables -A f2b -m comment --comment 'a\b' -s <ip>",
    "iptables-restore --noflush",
    "ip6tables-save -A f2b -s <ip>",
    "arptables -A f2b -s <ip>",
]


@pytest.mark.parametrize(("template", "command", "text"), PLAIN)
def test_a_plain_call_is_written_as_a_line(template: str, command: str, text: str) -> None:
    found = plain(template)
    assert found
    line = found.line(VALUES.get)
    assert line
    assert (line.batch.command, line.text) == (command, text)


@pytest.mark.parametrize("template", NOT_PLAIN)
def test_what_may_mean_more_is_not_plain(template: str) -> None:
    assert plain(template) is None


def test_our_own_file_for_nftables_has_plain_commands() -> None:
    loaded = classic.parse((CONFIG / "fail2ban.conf.nftables").read_text(), "nftables").settings
    assert loaded
    for action in loaded.jails[0].actions:
        for command in (action.ban, action.unban):
            assert plain(command.ip) and plain(command.ip6)


def test_a_rule_goes_into_its_table() -> None:
    found = plain("iptables -t nat -A f2b -s <ip> -j DROP")
    assert found
    assert (found.batch.before, found.batch.after) == ("*nat\n", "COMMIT\n")


def test_two_commands_share_a_batch_if_program_and_options_are_the_same() -> None:
    def batch(template: str) -> object:
        found = plain(template)
        assert found
        return found.batch

    add = batch("nft add element ip t s { <ip> }")
    assert add == batch("nft delete element inet u v { <ip> }")
    assert add != batch("/sbin/nft add element ip t s { <ip> }")
    assert batch("ipset add s <ip>") == batch("ipset del u <ip>")
    assert batch("ipset add s <ip>") != batch("ipset add s <ip> -exist")
    drop = batch("iptables -A f2b -s <ip>")
    assert drop == batch("iptables -w -D other -s <ip>")
    assert drop != batch("ip6tables -A f2b -s <ip>")
    assert drop != batch("iptables -t raw -A f2b -s <ip>")
    assert drop != batch("iptables -w 5 -A f2b -s <ip>")


@pytest.mark.parametrize(
    "value",
    [None, "", "-exist", "-1", ",a", "two words", "a;b", "$(reboot)", "a\nflush ruleset", "a'b"]
    + ['a"b', "{", "#", "ä", "a\\", "x" * 257],
)
@pytest.mark.parametrize(
    "template",
    ["ipset add s <ip>", "iptables -A c -s '<ip>'", 'nft "add element ip t s { <ip> }"'],
)
def test_a_value_that_could_mean_more_than_a_word_has_no_line(
    template: str, value: str | None
) -> None:
    found = plain(template)
    assert found
    assert found.line({"ip": value}.get) is None


def test_a_line_is_not_longer_than_the_programs_read() -> None:
    found = plain("ipset add s <a> comment <b><c><d><e>")
    assert found

    def long(length: int) -> Mapping[str, str]:
        return dict.fromkeys("abcde", "x" * length)

    line = found.line(long(190).get)
    assert line and len(line.text) <= LONGEST
    assert found.line(long(200).get) is None


# Of any text -------------------------------------------------------------------------

UNQUOTED = [template for template, _, _ in PLAIN if not set(template) & set("'\"\\")]
META = "|&;$`<>()*?[]~#^\n\\\"'"


@given(st.sampled_from(UNQUOTED), st.sampled_from(META), st.data())
def test_what_means_something_to_a_shell_is_never_plain(
    template: str, meta: str, data: st.DataObject
) -> None:
    template = template.strip()
    at = data.draw(st.integers(1, len(template) - 1))
    assert plain(template[:at] + meta + template[at:]) is None


SHELLS = [name for name in ("sh", "dash", "bash") if shutil.which(name, path=PATH)]

#: Pieces of words, so that much of what they make is accepted.
PIECES = st.sampled_from(
    ["a", "-b", "1.2.3.4", "=", "%", ",", "\\{", "\\}", "{", "}", "!", "'", '"', "''", '""']
    + ["'a b'", '"c d"', "'{'", "'\n'", '"\t"', " ", "  ", "\t", "\\\n", "\n", " \\\n ", "/", ":"]
    + ["'\"'", '"\'"', "'$x'", "'#'", '"#"', "\\;", "\\!", "+", "@", "\\a", "\\\\", "$x", "*", "#"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_words_are_split_as_shells_split_them(text: str) -> None:
    split = words.split(f"program {text}")
    if split is None:
        return
    for shell in SHELLS:
        done = subprocess.run(
            [shell, "-c", f"program() {{ printf '%s\\0' \"$@\"; }}\nprogram {text}"],
            capture_output=True,
            text=True,
        )
        expected = split[1:] or [""]  # printf writes its format once in any case
        assert (done.stdout, done.stderr) == ("".join(f"{word}\0" for word in expected), "")
