# SPDX-License-Identifier: GPL-2.0-or-later
"""The program fail2ban-regex, run as its users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "bin" / "fail2ban-regex"

LINES = """\
# a comment

2026-11-20 10:00:01 h svc[1]: Failed login of root from 198.51.100.1
2026-11-20 10:00:02 h svc[2]: Failed login of joe from 198.51.100.2
2026-11-20 10:00:03 h svc[3]: Welcome joe from 198.51.100.2
nothing at all
"""
FILTER = r"""
[Definition]
prefregex = ^ h svc\[\d+\]: <F-CONTENT>.+</F-CONTENT>$
failregex = ^Failed login of <F-USER>\S+</F-USER> from <HOST>$
            ^<F-NOFAIL>Welcome</F-NOFAIL> <F-USER>\S+</F-USER> from <HOST>$
            ^Never <what> <HOST>$
ignoreregex =
what = matches
"""
JAIL = """
[DEFAULT]
maxretry = 4
findtime = 300
bantime = 1h
ignoreself = false

[svc]
enabled = true
usedns = no
filter = svc[what=fits]
logpath = {log}
ignoreip = 198.51.100.2
action = wall[port="22"]

[off]
filter = svc
logpath = {log}
action = wall
"""
ACTION = """
[Definition]
actionstart = wall new <name>
actionban = wall add <name> <ip> <port> '<F-USER>'
actionunban = wall del <name> <ip>
[Init]
port = 0
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "a.log": LINES,
        "jail.conf": JAIL.format(log=tmp_path / "a.log"),
        "filter.d/svc.conf": FILTER,
        "action.d/wall.conf": ACTION,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), "-c", str(tree), *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": "UTC"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def report(tree: Path, *words: str) -> str:
    done = run(tree, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(r"processed in \d\.\d\d sec", "processed in 0.00 sec", done.stdout)


def test_the_report_has_the_layout_that_scripts_know(tree: Path) -> None:
    assert report(tree, "a.log", "./filter.d/svc.conf[what=fits]") == (
        "\nRunning tests\n=============\n\n"
        "Use      filter file : svc, basedir: .\n"
        "Use   filter options : {'what': 'fits'}\n"
        "Use         log file : a.log\n"
        "Use         encoding : UTF-8\n"
        "\n\nResults\n=======\n\n"
        "Prefregex: 3 total\n"
        "|  ^ h svc\\[\\d+\\]: (?P<content>.+)$\n"
        "`-\n\n"
        "Failregex: 3 total\n"
        "|-  #) [# of hits] regular expression\n"
        "|   1) [2] ^Failed login of <F-USER>\\S+</F-USER> from <HOST>$\n"
        "|   2) [1] ^<F-NOFAIL>Welcome</F-NOFAIL> <F-USER>\\S+</F-USER> from <HOST>$\n"
        "`-\n\n"
        "Ignoreregex: 0 total\n\n"
        "Date template hits:\n"
        "|- [# of hits] date format\n"
        "|  [3] {^LN-BEG}ExYear(?P<_sep>[-/.])Month(?P=_sep)Day(?:T|  ?)24hour:Minute:Second"
        "(?:[.,]Microseconds)?(?:\\s*Zone offset)?\n"
        "`-\n\n"
        "Lines: 4 lines, 1 ignored, 2 matched, 1 missed\n"
        "[processed in 0.00 sec]\n\n"
        "|- Ignored line(s):\n"
        "|  2026-11-20 10:00:03 h svc[3]: Welcome joe from 198.51.100.2\n"
        "`-\n"
        "|- Missed line(s):\n"
        "|  nothing at all\n"
        "`-\n"
    )


def test_verbose_tells_whom_each_hit_blames_and_when(tree: Path) -> None:
    text = report(tree, "-v", "a.log", "svc")
    assert "|      {'content': 'Failed login of root from 198.51.100.1'}\n" in text
    assert "|      198.51.100.1  Fri Nov 20 10:00:01 2026\n" in text
    assert "|   3) [0] ^Never fits <HOST>$\n" in text
    assert "|  [0] ^<Month/Day/ExYear2@24hour:Minute:Second>\n" in text


def test_a_jail_stands_before_a_filter_of_its_name(tree: Path) -> None:
    text = report(tree, "a.log", "svc[what=is]", "-vv")
    assert "Use             jail : svc\nUse jail/flt options : {'what': 'is'}\n" in text
    assert "Real  filter options : {" in text and "^Never is <HOST>$" in text


def test_usedns_of_the_jail_is_honoured(tree: Path) -> None:
    line = "2026-11-20 10:00:01 h svc[1]: Failed login of root from localhost"
    assert report(tree, "-o", "ip", line, "svc") == ""
    assert report(tree, "-o", "ip", "--usedns", "raw", line, "svc") == "localhost\n"


@pytest.mark.parametrize(
    ("token", "first"),
    [
        ("id", "198.51.100.1"),
        ("ip", "198.51.100.1"),
        ("user", "root"),
        ("nosuch", "None"),
        ("msg", "2026-11-20 10:00:01 h svc[1]: Failed login of root from 198.51.100.1"),
        ("<ip> <F-USER> <time>|<family>", "198.51.100.1 root 1795168801.0|inet4"),
        (
            "row",
            "['198.51.100.1',\t1795168801.0,\t{'user': 'root', 'ip4': '198.51.100.1',"
            " 'ip6': None}],",
        ),
    ],
)
def test_out_prints_one_line_for_each_failure(tree: Path, token: str, first: str) -> None:
    lines = report(tree, "-o", token, "a.log", "svc").splitlines()
    assert (lines[0], len(lines)) == (first, 2)


def test_invert_prints_the_other_lines(tree: Path) -> None:
    text = report(tree, "-i", "-o", "msg", "a.log", "svc")
    assert text.splitlines() == LINES.splitlines()[4:]


def test_nothing_matched_is_no_failure_unless_it_is_asked_for(tree: Path) -> None:
    assert run(tree, "a.log", "nothing <HOST>").returncode == 0
    assert run(tree, "--require-match", "a.log", "nothing <HOST>").returncode == 1
    assert run(tree, "--require-match", "a.log", "from <HOST>").returncode == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "provide both LOG and REGEX"),
        (["a.log", "bad( <HOST>"], "bad( <HOST>"),
        (["a.log", "no address"], "does not say whom to blame"),
        (["a.log", ""], "empty"),
        (["a.log", "scv"], "did you mean 'svc'?"),
        (["a.log", "./a.log"], "ends in .conf"),
        (["-d", "(bad", "a.log", "from <HOST>"], "datepattern"),
        (["-e", "nope", "a.log", "from <HOST>"], "'nope' is no encoding"),
        (["systemd-journal[nope=1]", "svc"], "no option 'nope'"),
        (["--explain", "x", "svx"], "did you mean 'svc'?"),
    ],
)
def test_what_cannot_be_done_ends_with_255(tree: Path, words: list[str], complaint: str) -> None:
    done = run(tree, *words)
    assert done.returncode == 255
    assert complaint in done.stderr


def test_what_a_log_says_cannot_control_the_terminal(tree: Path) -> None:
    (tree / "b.log").write_bytes(b"\x1b[2J from 198.51.100.1 \xff\r\n\x1b]0;x\x07\n")
    for words in ([], ["-v"], ["-o", "msg"], ["-o", "row"], ["-i", "-o", "msg"], ["-D"]):
        done = run(tree, *words, "--print-all-matched", "b.log", "<F-X>\\S+</F-X> from <HOST>")
        assert done.returncode == 0
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", done.stdout)


def test_a_reader_that_goes_away_ends_it_quietly(tree: Path) -> None:
    (tree / "b.log").write_text("from 198.51.100.1\n" * 20_000)
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "-c", str(tree), "-o", "row", "b.log", "from <HOST>"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, b"")


def test_ctrl_c_ends_it_quietly(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with (
        subprocess.Popen(
            [sys.executable, str(PROGRAM), "-c", str(tree), "pipe", "from <HOST>"],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # A shell that starts something in the background has Ctrl-C ignored there.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
        open(tree / "pipe", "wb"),
    ):
        time.sleep(0.2)  # it waits in its read now, or soon
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert (process.wait(60), process.stderr.read()) == (130, b"")


def test_a_pattern_that_hangs_costs_its_line_only(tree: Path) -> None:
    (tree / "b.log").write_text(f"{'a' * 60}!\nfrom 198.51.100.1\n")
    done = run(tree, "b.log", "(?:(?:a+)+)+b|from <HOST>")
    assert done.returncode == 0
    assert "Lines: 2 lines, 0 ignored, 1 matched, 1 missed\n" in done.stdout
    assert "takes too long" in done.stderr and "a line is given up" in done.stderr


def test_explain_walks_a_line_through_a_jail(tree: Path) -> None:
    text = report(tree, "-v", "--explain", LINES.splitlines()[2], "svc")
    assert [line for line in text.splitlines() if line[:1] != " "] == [
        f"Jail         svc, {tree}/jail.conf:8",
        f"Line         {LINES.splitlines()[2]}",
        "Date         2026-11-20 10:00:01 +0000",
        f"Prefix       matches, {tree}/filter.d/svc.conf:3",
        "Failregex    tried in 'Failed login of root from 198.51.100.1'",
        "Ignoreregex  the filter has none",
        "Decides      failregex 1, the first that matches",
        "Address      198.51.100.1",
        "Ignored      no",
        "Count        one failure at 2026-11-20 10:00:01 +0000;",
        "Ban          for 3600 seconds",
        "Action       wall",
    ]
    assert "             ban:\n               wall add svc 198.51.100.1 22 'root'\n" in text
    assert "               wall new svc\n" in text and "wall del svc 198.51.100.1\n" in text


def test_explain_shows_how_a_dangerous_text_reaches_the_shell(tree: Path) -> None:
    line = LINES.splitlines()[2].replace("root", "$(reboot)")
    text = report(tree, "--explain", line, "svc")
    assert "wall add svc 198.51.100.1 22 ''\"${f2bV_F_USER}\"''\n" in text
    assert "  with $1 = '$(reboot)'\n" in text


@pytest.mark.parametrize(
    ("jail", "line", "says"),
    [
        ("svc", "2026-11-20 10:00:02 h svc[2]: Failed login of joe from 198.51.100.2",
         "Ignored      yes, by ip: it is not counted"),
        ("svc", LINES.splitlines()[4], "Result       no failure, as <F-NOFAIL>"),
        ("svc", "nothing at all", "Prefix       does not match"),
        ("svc", "nothing at all", "Result       nothing: the line is innocent"),
        ("svc", "nothing at all", "Date         none is found"),
        ("off", "nothing at all", "it is not enabled"),
    ],
)  # fmt: skip
def test_explain_says_why_nothing_would_happen(tree: Path, jail: str, line: str, says: str) -> None:
    text = report(tree, "--explain", line, jail)
    assert says in text and "wall add" not in text
    matched = says.startswith("Ignored")
    status = run(tree, "--require-match", "--explain", line, jail).returncode
    assert status == (0 if matched else 1)


def test_the_journal_is_read_to_its_end(tree: Path) -> None:
    entry = (
        "MESSAGE=Failed login of root from 198.51.100.1\nSYSLOG_IDENTIFIER=svc\n"
        "_PID=1\n_HOSTNAME=h\n__REALTIME_TIMESTAMP=1795168801000000\n__CURSOR=c\n"
    )
    program = tree / "journalctl"
    program.write_text(f"#!/bin/sh\necho '{entry}'\n")
    program.chmod(0o755)
    (tree / "filter.d/svc.local").write_text(
        "[Definition]\nprefregex = ^h svc\\[\\d+\\]: <F-CONTENT>.+</F-CONTENT>$\n"
    )
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "-c", str(tree), "systemd-journal", "svc"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tree}:{os.environ['PATH']}"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.stderr == ""
    assert "Use         systemd journal\nUse         encoding : UTF-8\n" in done.stdout
    assert "Lines: 1 lines, 0 ignored, 1 matched, 0 missed\n" in done.stdout
