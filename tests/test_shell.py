# SPDX-License-Identifier: GPL-2.0-or-later
"""Running one command: its status, its output, its limits."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from fail2ban.enforce import shell
from fail2ban.errors import CommandError


def test_successful_command_has_run_when_we_return(tmp_path: Path) -> None:
    shell.run(f"echo done > {tmp_path}/out", {}, 10)
    assert (tmp_path / "out").read_text() == "done\n"


def test_empty_command_does_nothing() -> None:
    shell.run("", {}, 10)
    shell.run(" \n ", {}, 10)


def test_failing_command_raises_with_its_status_as_os_system_gives_it() -> None:
    with pytest.raises(CommandError, match=r"'exit 3' returned 768 \(exit status 3\)"):
        shell.run("exit 3", {}, 10)


def test_killed_command_raises_with_its_signal() -> None:
    with pytest.raises(CommandError, match=r"returned 9 \(killed by signal 9\)"):
        shell.run("kill -9 $$", {}, 10)


def test_status_is_that_of_the_last_line(tmp_path: Path) -> None:
    """Defect 12 of 0.6 is kept: multi-line commands rely on it."""
    shell.run("false\ntrue", {}, 10)
    with pytest.raises(CommandError):
        shell.run("true\nfalse", {}, 10)


def test_output_of_a_failing_command_is_logged_line_by_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(CommandError) as raised:
        shell.run("echo first; echo second >&2; exit 1", {}, 10)
    shell.report(raised.value, what="[SSH] fwstart: ")
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "  first",
        "  second",
        "[SSH] fwstart: 'echo first; echo second >&2; exit 1' returned 256 (exit status 1)",
    ]


def test_output_cannot_forge_terminal_sequences() -> None:
    with pytest.raises(CommandError) as raised:
        shell.run(r"printf '\033[2Jgone\377'; exit 1", {}, 10)
    assert raised.value.output == ("\\x1b[2Jgone\ufffd",)


def test_flood_of_output_neither_blocks_nor_is_kept() -> None:
    with pytest.raises(CommandError, match="exit status 1") as raised:
        shell.run("yes | head -c 20000000; exit 1", {}, 60)
    assert sum(len(line) + 1 for line in raised.value.output) < 2 * shell.OUTPUT_LIMIT
    assert "only the first 8192 bytes" in raised.value.output[-1]


def test_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    command = f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/shell; wait"
    with pytest.raises(CommandError, match="took more than 0.3 s and was killed"):
        shell.run(command, {}, 0.3)
    for name in ("child", "shell"):
        assert _is_gone(int((tmp_path / name).read_text()))


def test_program_left_in_the_background_does_not_hold_us_up(tmp_path: Path) -> None:
    shell.run(f"sleep 600 & echo $! > {tmp_path}/child", {}, 30)
    os.kill(int((tmp_path / "child").read_text()), 9)


def test_variables_arrive_and_input_is_empty(tmp_path: Path) -> None:
    shell.run(f'printf %s "$F2B_IP" > {tmp_path}/ip; cat > {tmp_path}/input', {"F2B_IP": "a b"}, 9)
    assert (tmp_path / "ip").read_text() == "a b"
    assert (tmp_path / "input").read_text() == ""


def test_text_in_a_variable_is_not_run(tmp_path: Path) -> None:
    hostile = f"$(touch {tmp_path}/hacked)`touch {tmp_path}/hacked`; touch {tmp_path}/hacked"
    shell.run(f'echo "$F2B_MATCHES" > {tmp_path}/out', {"F2B_MATCHES": hostile}, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (tmp_path / "out").read_text() == hostile + "\n"


def test_arguments_arrive_as_positional_parameters(tmp_path: Path) -> None:
    command = f'printf "%s|" "$0" "$@" > {tmp_path}/out'
    shell.run(command, {}, 10, "sh", "a b", "$(touch hacked)", "")
    assert (tmp_path / "out").read_text() == "sh|a b|$(touch hacked)||"


def test_argument_longer_than_the_kernel_takes_is_an_error_not_a_crash() -> None:
    with pytest.raises(CommandError, match="could not be started"):
        shell.run(":", {}, 10, "sh", "x" * 300_000)


def test_files_of_a_command_are_for_its_user_alone(tmp_path: Path) -> None:
    shell.run(f"touch {tmp_path}/made", {}, 10)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


def test_missing_program_is_explained() -> None:
    with pytest.raises(CommandError, match="exit status 127: a program is missing"):
        shell.run("no-such-program-anywhere", {}, 10)


def test_command_gets_a_path_even_if_the_daemon_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PATH")
    shell.run("ls / > /dev/null", {}, 10)


def test_command_longer_than_the_kernel_takes_is_an_error_not_a_crash() -> None:
    with pytest.raises(CommandError, match="could not be started"):
        shell.run(": " + "x" * 300_000, {}, 10)


def test_dry_run_shows_and_does_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shell.dry_run(f"touch {tmp_path}/made", {}, 10)
    assert list(tmp_path.iterdir()) == []
    assert f"would run: touch {tmp_path}/made" in caplog.text
    shell.dry_run("echo $1", {}, 10, "sh", "a\nb")
    assert "with $1: a\\nb" in caplog.text


def _is_gone(pid: int) -> bool:
    """Wait until a process is dead; it may stay a zombie of nobody's."""
    for _ in range(500):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
        )
        if state.stdout.strip() in ("", "Z"):
            return True
        time.sleep(0.01)
    return False


def test_a_command_may_have_years(tmp_path: Path) -> None:
    shell.run(f"sleep 0.01; touch {tmp_path}/made", {}, 1e10)
    assert (tmp_path / "made").exists()


# Standard input ---------------------------------------------------------------

#: More than any pipe holds.
MUCH = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} ip 600\n" for n in range(300_000))


def test_a_command_finds_what_it_is_fed_and_then_its_end(tmp_path: Path) -> None:
    shell.run(f"cat > {tmp_path}/out", {}, 10, feed="192.0.2.1 ip 600\n2001:db8::1 ip6 -1\n")
    assert (tmp_path / "out").read_text() == "192.0.2.1 ip 600\n2001:db8::1 ip6 -1\n"
    shell.run(f"cat > {tmp_path}/out", {}, 10, feed="")
    assert (tmp_path / "out").read_text() == ""


def test_a_program_without_a_shell_is_fed_too(tmp_path: Path) -> None:
    shell.run(f"tee {tmp_path}/out", {}, 10, feed="192.0.2.1 ip 600\n")
    assert (tmp_path / "out").read_text() == "192.0.2.1 ip 600\n"


def test_megabytes_are_fed_whole(tmp_path: Path) -> None:
    shell.run(f"cat > {tmp_path}/out", {}, 60, feed=MUCH)
    assert (tmp_path / "out").read_text() == MUCH


def test_a_command_that_prints_while_it_is_fed_does_not_block() -> None:
    with pytest.raises(CommandError) as error:
        shell.run("tee /dev/stderr; exit 1", {}, 60, feed=MUCH)
    assert error.value.output[0] == "10.0.0.0 ip 600"


@pytest.mark.parametrize("command", [":", "head -n 1 > /dev/null", "exec < /dev/null; sleep 0.1"])
def test_a_command_need_not_read_what_it_is_fed(command: str) -> None:
    shell.run(command, {}, 60, feed=MUCH)


def test_a_command_that_reads_nothing_and_fails_has_its_own_error() -> None:
    with pytest.raises(CommandError, match="exit status 3"):
        shell.run("exit 3", {}, 60, feed=MUCH)


def test_a_command_that_waits_forever_with_its_input_is_killed_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"took more than 0.3 s"):
        shell.run("sleep 600; cat", {}, 0.3, feed=MUCH)
    assert time.monotonic() - started < 60


def test_feeding_leaves_no_open_file() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_files()
    for command in ("cat", "exit 1", ":", "no-such-program"):
        with contextlib.suppress(CommandError):
            shell.run(command, {}, 10, feed=MUCH)
    assert open_files() == before


def test_dry_run_shows_the_first_lines_of_the_input(caplog: pytest.LogCaptureFixture) -> None:
    shell.dry_run("many", {}, 10, feed="192.0.2.1 ip 600\nnot \x1b[2J\n")
    shell.rehearsal("SSH")("many", {}, 10, feed="x\n" * (shell.SHOWN_LINES + 2))
    shell.dry_run("", {}, 10, feed="x\n")
    assert caplog.messages == [
        "would run: many",
        "  with input: 192.0.2.1 ip 600",
        "  with input: not \\x1b[2J",
        "[SSH] would run: many",
        *["[SSH]   with input: x"] * shell.SHOWN_LINES,
        "[SSH]   with 2 more lines of input",
    ]
