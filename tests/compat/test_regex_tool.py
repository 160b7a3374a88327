# SPDX-License-Identifier: GPL-2.0-or-later
"""fail2ban-regex prints what Debian's prints, for the same files and lines.

Filters are given by their path: a name means a jail first, as it does since 1.1.

Source: jail-conf.md section 14; corpora/README.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import needs
from tests.compat import corpora
from tests.compat.peer import Peer

ROOT = Path(__file__).parents[2]

#: Of filters with prefregex, of several lines, of web servers and of our own log.
FILTERS = (
    "apache-modsecurity",
    "asterisk",
    "courier-auth",
    "sogo-auth",
    "named-refused",
    "nginx-http-auth",
    "postfix",
    "proftpd",
    "recidive",
    "vsftpd",
)
LINES = """\
# a comment

Nov 20 10:00:01 h svc[1]: fail of joe from 198.51.100.1
2026-11-20 10:00:02 h svc[2]: fail of al from 2001:db8::2
   \t
nothing at all
2026-11-20 10:00:03 h svc[3]: well of joe from 198.51.100.3
"""
FILTER = r"""
[Definition]
failregex = ^ h svc\[(?P<mlfid>\d+)\]: fail of <F-USER>\S+</F-USER> from <ADDR>$
            ^.*<F-NOFAIL>well</F-NOFAIL> of <F-USER>\S+</F-USER> from <<TAG>>
ignoreregex = nobody
TAG = HOST
"""
#: Flags and words; a report, or with -o its output, is to be the same.
RUNS = (
    ["a.log", "of <F-USER>.*</F-USER> from <HOST>"],
    ["a.log", "of \\S+ from <HOST>", "joe"],
    ["-v", "a.log", "./svc.conf"],
    ["-vv", "--VD", "-d", "^%Y-%m-%d %H:%M:%S", "a.log", "./svc.conf[TAG=ADDR]"],
    ["--print-no-missed", "--print-all-matched", "a.log", "./svc.conf"],
    ["--print-no-ignored", "-L", "1", "a.log", "./svc.conf"],
    ["-L", "2", "a.log", "nothing.*\\n.*from <HOST>"],
    ["-L", "3", "-v", "a.log", "fail of \\S+ from <HOST>$"],
    ["-d", "{NONE}", "a.log", "from <HOST>"],
    ["--TZ", "UTC+0300", "-v", "a.log", "from <HOST>"],
    ["-D", "--print-all-matched", "a.log", "from <HOST>", "well"],
    ["no file", "from <HOST>"],
    ["a line from 198.51.100.1 that is quite long, so that it is shown shortened", "from <HOST>"],
    ["1 from 198.51.100.1\n2\n#3\n\n5\n6 from ::1\n7", "from <HOST>"],
    ["--no-check-all", "-o", "id", "a.log", "./svc.conf"],
    *(
        ["-r", "-o", token, "a.log", "(?P<Xy>of) <F-USER>.*</F-USER> from <HOST>"]
        for token in ("ip", "fid", "msg", "row", "user", "none", "Xy", "<ip> <F-USER> <time>|<x>")
    ),
)


def ours(folder: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = str(ROOT / "bin/fail2ban-regex")
    return _run([sys.executable, program, *words], folder, ROOT)


def theirs(peer: Peer, folder: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    program = str(peer.root / "usr/bin/fail2ban-regex")
    return _run([peer.python, "-B", program, *words], folder, peer.packages)


def _run(words: list[str], folder: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(packages), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        words, cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False, timeout=60
    )


def plain(text: str) -> list[str]:
    """Leave out what takes time, and what 1.0.2 calls otherwise than we do."""
    text = re.sub(r"\[processed in .*", "", text)
    text = re.sub(r"Use   failregex (?:filter )?file :", "Use      filter file :", text)
    # Since 1.1 this format may have a hyphen and colons in it.
    text = text.replace("Ex24hourExMinuteExSecond", "Ex24hour:?ExMinute:?ExSecond")
    text = text.replace("ExDay(?:T|  ?)Ex24", "ExDay(?:-|T|  ?)Ex24")
    # How a date is looked for is each program's own affair; a whole second is 1.0 to us.
    text = re.sub(r"# regex:.*|, pattern:.*|Real  filter options : .*", "", text)
    text = re.sub(r"(?m)^(\[.*,\t\d+),\t", r"\1.0,\t", text)
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_the_same_is_printed(peer: Peer, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.log").write_text(LINES)
    (tmp_path / "svc.conf").write_text(FILTER)
    expected, found = theirs(peer, tmp_path, words), ours(tmp_path, words)
    assert expected.returncode == found.returncode == 0, found.stderr
    assert plain(found.stdout) == plain(expected.stdout)


def samples(peer: Peer, folder: Path, name: str) -> list[str]:
    """Write the sample lines of a filter; return LOG and REGEX."""
    lines: dict[str, list[str]] = defaultdict(list)
    for case in corpora.cases():
        if case["filter"] == name and case["config_dir"] == "config" and case["feed"] != "journal":
            options = ", ".join(f"{key}={value}" for key, value in case["filter_options"].items())
            lines[options].append(case["lines"][-1])
    assert lines
    options = min(lines)
    (folder / "a.log").write_text("".join(f"{line}\n" for line in lines[options]))
    path = f"{peer.tree()}/filter.d/{name}.conf" + (f"[{options}]" if options else "")
    return ["a.log", path]


@needs.shared("corpora/fail2ban.jsonl")
@pytest.mark.parametrize("name", FILTERS)
def test_the_same_is_reported_of_the_samples_of_a_filter(
    peer: Peer, tmp_path: Path, name: str
) -> None:
    words = ["-r", "--print-all-missed", "--print-all-ignored", *samples(peer, tmp_path, name)]
    expected, found = theirs(peer, tmp_path, words), ours(tmp_path, words)
    assert found.returncode == 0, found.stderr
    assert plain(found.stdout) == plain(expected.stdout)


@pytest.mark.parametrize("words", [[], ["a.log"], ["a.log", "bad( <HOST>"], ["a.log", "nobody"]])
def test_the_same_fails(peer: Peer, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.log").write_text(LINES)
    assert theirs(peer, tmp_path, words).returncode == ours(tmp_path, words).returncode == 255


@needs.shared("corpora/fail2ban.jsonl")
def test_a_line_fails_if_the_first_of_several_patterns_says_so(peer: Peer, tmp_path: Path) -> None:
    """1.0.2 ignores it if any of them has <F-NOFAIL>, though its daemon stops at the first."""
    words = ["-r", "--print-all-ignored", "--print-all-missed", *samples(peer, tmp_path, "sshd")]
    expected, found = (
        plain(theirs(peer, tmp_path, words).stdout),
        plain(ours(tmp_path, words).stdout),
    )
    differing = set(expected) ^ set(found)
    lines = [line for line in differing if not line.startswith("Lines: ")]
    assert len(lines) == 2 and len(differing) == 4
    assert all("Failed publickey for invalid user" in line for line in lines)
