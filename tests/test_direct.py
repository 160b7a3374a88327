# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that are executed without a shell do what the shell would have done."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGPIPE, SIGTERM
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fail2ban.enforce import direct, shell
from fail2ban.errors import CommandError
from tests.needs import programs

SHELLS = [name for name in ("sh", "dash", "bash") if shutil.which(name)]
#: Programs of the tests: whoever is called shows how.
SHOWS = '#!/bin/sh\nprintf "<%s>" "$@"\nexit 3\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("direct")
    for name, text, mode in (
        ("shows", SHOWS, 0o755),
        ("bare", SHOWS.partition("\n")[2], 0o755),  # for which the kernel knows no interpreter
        ("empty", "", 0o755),
        ("lost", "#!/no/such/interpreter\n", 0o755),
        ("closed", SHOWS, 0o644),
        ("killed", "#!/bin/sh\necho here\nkill -KILL $$\n", 0o755),
        ("aborted", "#!/bin/sh\nkill -TERM $$\n", 0o755),
        ("unheard", "#!/bin/sh\nkill -PIPE $$\n", 0o755),
        ("tells", "#!/bin/sh\numask; ulimit -c; echo $PATH $PWD $F2B_IP; wc -c\nexit 1\n", 0o755),
        ("first/both", SHOWS, 0o644),
        ("second/both", "#!/bin/sh\necho second\nexit 4\n", 0o755),
    ):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
        (path / name).chmod(mode)
    (path / "first" / "folder").mkdir()
    (path / "second" / "folder").symlink_to(path / "second" / "both")
    return path


Outcome = tuple[str, list[str], int | None]


def outcome(command: str, **variables: str) -> Outcome:
    try:
        shell.run(command, variables, 10)
    except CommandError as error:
        return str(error), list(error.output), error.status
    return "", [], 0


def through_the_shell(command: str, **variables: str) -> Outcome:
    with mock.patch.object(direct, "plain_words", lambda text: None):
        return outcome(command, **variables)


# What is plain ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nft add element inet t s { 192.0.2.1 }", None),
        ("nft add element inet t s { 2001:db8::1 timeout 600s }", None),
        (r"nft add element inet t s \{ 192.0.2.1 \}", "nft add element inet t s { 192.0.2.1 }"),
        ("nft 'add element inet t s { 192.0.2.1 }'", ["nft", "add element inet t s { 192.0.2.1 }"]),
        ("/usr/sbin/iptables -w -I f2b-sshd 1 ! -s 192.0.2.1 -j DROP", None),
        ("\n  ipset -exist add x 192.0.2.0/24\t timeout 0\n", "ipset -exist add x 192.0.2.0/24 timeout 0"),
        ('x -m comment --comment "a ban" \'\' a"b"c', ["x", "-m", "comment", "--comment", "a ban", "", "abc"]),
        ("x a=b c,d e@f g%h i+j", None),
        ("nft '\n  add x\n  add y\n' \\\n  z", ["nft", "\n  add x\n  add y\n", "z"]),
    ],
)  # fmt: skip
def test_plain_words_are_split(command: str, words: str | list[str] | None) -> None:
    expected = words if isinstance(words, list) else (words or command).split()
    assert direct.plain_words(command) == expected


@pytest.mark.parametrize(
    "command",
    [
        *("a;b", "a b&", "a|b", "a >b", "a <b", "a (b)", "a $b", "a `b`", 'a "$b"', 'a "`b`"'),
        *(
            "a *",
            "a ?",
            "a [b]",
            "a ~",
            "a ~b",
            "a #b",
            "a\nb",
            "a b\\\nc",
            "a 'b",
            'a "b',
            "a b\\",
        ),
        *("A=b c", "{ a }", "! a", "a {b,c}", "a {1..3}", "a {b", "a b}", 'a "b!c"', 'a "b\\c"'),
        *(
            "a ^b",
            "a\rb",
            "a\x00b",
            "a é",
            "a b\x0bc",
            "'a' b",
            r"\a b",
            "",
            " ",
            "a b\r",
            "\x0ca",
            "a b\u00a0",
        ),
        *("echo a", "exec a", "if a", "test a", "cd /", ". a", "true", "kill 1", "time a", "set x"),
        *("a " + "b" * 10_000,),
    ],
)
def test_what_could_mean_more_is_left_to_the_shell(command: str) -> None:
    assert direct.plain_words(command) is None


@programs("bash")
def test_every_builtin_and_reserved_word_of_bash_is_left_to_the_shell() -> None:
    own = subprocess.run(["bash", "-c", "compgen -b -k"], capture_output=True, text=True).stdout
    assert [word for word in own.split() if direct.plain_words(f"{word} x")] == []


def test_a_text_that_fits_nearly_is_refused_at_once() -> None:
    for text in ("a " + "b" * 8000 + "*", "a" + " b" * 4000 + "*", "a " + "''" * 4000 + "*"):
        assert direct.plain_words(text[:8192]) is None


# The same outcome -------------------------------------------------------------

_PLAIN = st.one_of(
    st.text("abz019_.:/@,+=%-", min_size=1, max_size=4),
    st.sampled_from([r"\{", r"\}", r"\(", r"\)", r"\!", r"\;", "''", '""']),
    st.text(' \n!#$%&()*;>?[\\]^`{|}~"ab', max_size=4).map(lambda text: f"'{text}'"),
    st.text(" \n#%&()*;>?[]{|}~'^ab", max_size=4).map(lambda text: f'"{text}"'),
)
_MORE = st.sampled_from(["*", "'<a>'", "~", "$$", "#", "\\", "{a,b}", "é", "a'b", '"$PWD"', "!"])
_WORD = st.lists(_PLAIN, min_size=1, max_size=3).map("".join) | st.sampled_from(["{", "}", "!"])
_WORDS = st.lists(_WORD, max_size=4)
_ANY_WORDS = st.lists(_WORD | st.tuples(_WORD, _MORE).map("".join), max_size=3)


@settings(max_examples=150, deadline=None)
@given(_WORDS | _ANY_WORDS)
@example(["{", "192.0.2.1", "}"])
@example(["'a'\"b\"\\{", "!"])
def test_words_are_those_of_the_shell(folder: Path, words: list[str]) -> None:
    command = " ".join([f"{folder}/shows", *words])
    found = direct.plain_words(command)
    for name in SHELLS if found else ():
        done = subprocess.run([name, "-c", command], capture_output=True, text=True, env={})
        assert done.returncode == 3
        assert done.stdout == "".join(f"<{word}>" for word in found[1:] or [""])
    if found:
        assert found == shlex.split(command)


@pytest.mark.parametrize(
    "command",
    [
        *("shows", "shows a", "shows a 'b c' { d }", "{folder}/shows x", "bare a b", "empty", "lost"),
        *("closed", "{folder}/closed", "{folder}/none", "no-such-program-here a", "{folder}", "both"),
        *("tells", "folder", "first/both", "nice -n 5 shows a"),
    ],
)  # fmt: skip
def test_outcome_is_that_of_the_shell(folder: Path, command: str) -> None:
    command = command.replace("{folder}", str(folder))
    path = (
        f"{folder}/none:{folder}/shows:{folder}/first:{folder}:{folder}/second:{os.environ['PATH']}"
    )
    variables = {"PATH": path, "F2B_IP": "192.0.2.1"}
    assert direct.plain_words(command)
    assert outcome(command, **variables) == through_the_shell(command, **variables)


@programs("dash")
@pytest.mark.parametrize("command", ["killed", "aborted", "unheard", "killed a 'b c'"])
def test_a_signal_ends_a_program_as_dash_tells_it(folder: Path, command: str) -> None:
    with mock.patch.object(shell, "SHELL", "/bin/dash"):
        theirs = through_the_shell(f"{folder}/{command}")
    assert outcome(f"{folder}/{command}") == theirs
    assert theirs[2] in (128 + SIGKILL, 128 + SIGTERM, 128 + SIGPIPE)


@programs("dash")
def test_environment_is_that_of_the_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/somewhere/else")
    monkeypatch.setattr(shell, "SHELL", "/bin/dash")  # others add variables of their own
    monkeypatch.chdir(folder)
    # A program that is no shell, which would put the same in itself.
    command = f"{sys.executable} -c 'import os; print(sorted(os.environ.items())); exit(1)'"
    assert direct.plain_words(command)
    (_, [ours], _), (_, [theirs], _) = (
        outcome(command, F2B_IP="x"),
        through_the_shell(command, F2B_IP="x"),
    )
    assert ours == theirs and str(folder) in ours and "somewhere" not in ours


def _counted(folder: Path, command: str) -> int:
    """Return how many times /bin/sh was started for a command."""
    spawn: Callable[..., object] = subprocess.Popen
    started: list[str] = []

    def noted(*words: object, **named: object) -> object:
        started.append(str(named["executable"]))
        return spawn(*words, **named)

    with mock.patch.object(subprocess, "Popen", noted):
        outcome(command, PATH=f"{folder}:/usr/bin:/bin")
    return started.count(shell.SHELL)


def test_plain_words_need_no_shell_and_others_do(folder: Path) -> None:
    assert _counted(folder, "shows a") == 0
    assert _counted(folder, "shows a; true") == 1
    assert _counted(folder, "bare a") == 1
    assert _counted(folder, "no-such-program-here") == 1


def test_a_command_with_parameters_goes_through_the_shell(folder: Path) -> None:
    with pytest.raises(CommandError, match="exit status 3"):
        shell.run(f"{folder}/shows a", {}, 10, "sh", "x")
    assert _counted(folder, f"{folder}/shows a") == 0


def test_a_program_that_takes_too_long_is_killed_as_in_a_shell(folder: Path) -> None:
    (folder / "slow").write_text("#!/bin/sh\nsleep 600 & wait\n")
    (folder / "slow").chmod(0o755)
    said = []
    for plain in (direct.plain_words, lambda text: None):
        with (
            mock.patch.object(direct, "plain_words", plain),
            pytest.raises(CommandError) as error,
        ):
            shell.run(f"{folder}/slow", {}, 0.2)
        said.append((str(error.value), list(error.value.output), error.value.status))
    assert said[0] == said[1] and "took more than 0.2 s" in said[0][0]
