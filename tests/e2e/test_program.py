# SPDX-License-Identifier: GPL-2.0-or-later
"""The program as its user meets it: flags, exit statuses, signals, one instance at a time."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fail2ban import __version__
from tests import needs
from tests.e2e.daemon import PROGRAM, ROOT, RunningDaemon, wait_until
from tests.e2e.host import Host

ATTACKER, OTHER, THIRD = "203.0.113.1", "198.51.100.7", "2001:db8::3"

needs_root = needs.root()


class Machine(Host):
    """A host on which the program is run as a user would."""

    defaults = """\
[DEFAULT]
logtargets = {root}/f2b.log
socket = {root}/fail2ban.sock
dbfile = {root}/state.sqlite3
pidlock = {root}/fail2ban.pid
maxfailures = 1
"""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.conf, self.pidfile = root / "fail2ban.conf", root / "fail2ban.pid"

    def write(self, *sections: str, default: str = "", extra: str = "") -> None:
        self.conf.write_text(self.config(*sections, default=default, extra=extra))

    def run(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end, or until it is in the background."""
        return subprocess.run(
            [sys.executable, str(PROGRAM), *flags],
            cwd=self.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def background(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return self.run("-b", "-c", str(self.conf), *flags)

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": needs.PATH, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Machine]:
    """Return a host; a daemon that is left in its background is killed."""
    host = Machine(tmp_path)
    yield host
    for pid in daemons(host.conf):
        os.kill(pid, signal.SIGKILL)


def daemons(conf: Path) -> list[int]:
    """Return the PIDs of the instances that run with a configuration."""
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and str(conf) in arguments(folder)
    ]


def arguments(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Tell whether a process runs; a dead one may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Flags and exit statuses ------------------------------------------------------


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_flag_and_the_default_file(host: Machine, flag: str) -> None:
    done = host.run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    for each in "-b -c -d -e -f -h -i -k -p -r -t -v -V --help --version --check".split():
        assert re.search(rf"(?<![\w-]){each}\b", done.stdout), each
    assert "/etc/fail2ban.conf" in done.stdout


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_is_printed(host: Machine, flag: str) -> None:
    done = host.run(flag)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fail2ban {__version__}\n", "")


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--nosuch"], "--nosuch"),
        (["-x"], "-x"),
        (["-c"], "-c"),
        (["-r", "many", "-c", "fail2ban.conf"], "'many'"),
        (["-t", "long", "-c", "fail2ban.conf"], "'long'"),
        (["-f", "0", "-c", "fail2ban.conf"], "'0'"),
        (["-i", "127.1", "-c", "fail2ban.conf"], "'127.1'"),
        (["-e", "SHH", "-c", "fail2ban.conf"], "'SSH'"),
    ],
)
def test_defect_19_a_command_line_that_makes_no_sense_is_status_2_and_says_why(
    host: Machine, flags: list[str], named: str
) -> None:
    """An unparsable `-r` ended in a traceback. Nothing is started."""
    host.write("SSH")
    done = host.run(*flags)
    assert done.returncode == 2
    assert named in done.stderr and "Traceback" not in done.stderr
    assert not host.pidfile.exists() and not host.notes()


def test_check_of_a_good_configuration_names_its_sections(host: Machine) -> None:
    host.write("SSH", "Web\nenabled = false", "Mail box")
    done = host.run("--check", "-c", str(host.conf), "words", "mean", "nothing")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The configuration is good. Sections that will run: SSH, Mail box\n"


def test_check_reports_all_errors_with_file_and_line_and_is_status_78(host: Machine) -> None:
    host.write(
        "SSH",
        "Web\nfailregex = ( from <HOST>",
        "Ftp\nmaxfailures = five",
        "Old\nfwban = 50%",
        extra="[Empty]\nenabled = true\nlogfile = /x\n",
    )
    done = host.run("--check", "-c", str(host.conf))
    assert (done.returncode, done.stdout) == (78, "")
    lines = host.conf.read_text().splitlines()
    for line, section, found in [
        ("failregex = ( from <HOST>", "Web", "( from <HOST>"),
        ("maxfailures = five", "Ftp", "five"),
        ("fwban = 50%", "Old", "%"),
        ("[Empty]", "Empty", ""),
    ]:
        option = "failregex" if section == "Empty" else line.partition(" ")[0]
        place = f"{host.conf}:{lines.index(line) + 1}: [{section}] {option}: "
        told = rf"^error: {re.escape(place)}.*'{re.escape(found)}'"
        assert re.search(told, done.stderr, re.MULTILINE), done.stderr
    assert "[SSH]" not in done.stderr


def test_check_changes_nothing_and_needs_no_root(host: Machine) -> None:
    host.write("SSH")
    done = as_nobody("--check", host=host)
    assert done.returncode == 0, done.stderr
    assert not host.pidfile.exists() and not host.log.exists() and not host.notes()


@pytest.mark.parametrize("flags", [[], ["-b"], ["--check"]])
def test_a_file_that_is_not_there_is_status_78(host: Machine, flags: list[str]) -> None:
    done = host.run(*flags, "-c", "nowhere.conf")
    assert done.returncode == 78
    assert "nowhere.conf: cannot read it (No such file or directory)" in done.stderr


def as_nobody(*flags: str, host: Machine) -> subprocess.CompletedProcess[str]:
    """Run the program without root's powers.

    They are dropped after the imports: nobody may not be allowed to read Python's folder.
    The configuration and the logs are copied to where anybody can read them.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        conf = Path(folder, "fail2ban.conf")
        conf.write_text(host.conf.read_text().replace(str(host.root), folder))
        Path(folder, "SSH.log").touch()
        drop = "os.setgroups([]); os.setgid(65534); os.setuid(65534); " * (os.geteuid() == 0)
        code = f"import os, sys; from fail2ban.cli.main import main; {drop}sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code, "-c", str(conf), *flags],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.mark.parametrize("flags", [[], ["-b"]])
def test_defect_16_not_root_is_told_on_the_terminal_and_is_status_1(
    host: Machine, flags: list[str]
) -> None:
    host.write("SSH")
    done = as_nobody(*flags, host=host)
    assert (done.returncode, done.stderr) == (1, "fail2ban: You must be root\n")


@needs_root
def test_dry_run_shows_the_commands_and_runs_none(host: Machine) -> None:
    with RunningDaemon(host.root, host.config("SSH"), "-d") as daemon:
        host.attack(ATTACKER)
        daemon.wait_for(f"would run: echo ban SSH {ATTACKER} >> ")
        assert daemon.stop() == 0
        assert daemon.count(f"would run: echo unban SSH {ATTACKER} >> ") == 1
        assert daemon.count("would run: echo end SSH >> ") == 1
    assert host.notes() == []


# What beats what --------------------------------------------------------------


@needs_root
def test_defect_3_the_command_line_beats_default_and_a_section_beats_both(host: Machine) -> None:
    default = f"maxfailures = 4\nbantime = 600\nfindtime = 10m\nignoreip = {THIRD}\n"
    own = "maxfailures = 1\nbantime = 55\nfindtime = 1w\nignoreip = 192.0.2.77"
    config = host.config("SSH", f"Own\n{own}", default=default)
    flags = ["-r", "2", "-t", "77", "-f", "1d", "-i", f"{OTHER} 192.0.2.0/25"]
    with RunningDaemon(host.root, config, *flags, "-v") as daemon:
        for _ in range(2):
            host.attack(OTHER)
            host.attack(ATTACKER, age=7200)
            host.attack(THIRD)
        host.attack(OTHER, "Own")
        host.attack(ATTACKER, "Own", age=2 * 86400)
        host.attack("192.0.2.77", "Own")
        daemon.wait_for(rf"SSH: Ban \(77 s\) {ATTACKER}$")
        daemon.wait_for(rf"SSH: Ban \(77 s\) {THIRD}$")
        daemon.wait_for(rf"Own: Ban \(55 s\) {OTHER}$")
        daemon.wait_for(rf"Own: Ban \(55 s\) {ATTACKER}$")
        daemon.wait_for(r"Own: 192\.0\.2\.77 ignored")
        assert daemon.count(f"SSH: {OTHER} ignored") == 2
        assert daemon.count(rf"{ATTACKER} has 2 login failure\(s\)\. Banned\.$") == 1
        assert daemon.count(r"Ban \(") == 4
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("The configuration is in use")
        host.attack("203.0.113.50")
        host.attack("203.0.113.50")
        # The flags are kept through a reload.
        daemon.wait_for(r"SSH: Ban \(77 s\) 203\.0\.113\.50$")


@needs_root
def test_p_beats_pidlock(host: Machine) -> None:
    elsewhere = host.root / "elsewhere.pid"
    host.write("SSH")
    assert host.background("-p", "elsewhere.pid").returncode == 0
    assert alive(int(elsewhere.read_text())) and not host.pidfile.exists()
    assert host.run("-k", "-c", str(host.conf)).returncode == 1
    assert host.run("-k", "-c", str(host.conf), "-p", "elsewhere.pid").returncode == 0
    assert not elsewhere.exists()


@needs_root
@pytest.mark.parametrize("names", ["web,FTP", "web:ftp", "Web Ftp"])
def test_e_enables_sections_in_any_case(host: Machine, names: str) -> None:
    sections = [f"{name}\nenabled = false" for name in ("Web", "Ftp", "Old")]
    config = host.config("SSH", *sections)
    with RunningDaemon(host.root, config, "-e", names) as daemon:
        for name in ("SSH", "Web", "Ftp"):
            host.wait_for(f"start {name}")
        assert daemon.stop() == 0
    assert "start Old" not in host.notes()


@needs_root
def test_each_v_says_more(host: Machine) -> None:
    host.write("SSH")
    for flags, levels in [
        ([], {"WARNING"}),
        (["-v"], {"WARNING", "INFO"}),
        (["-vv"], {"WARNING", "INFO", "DEBUG"}),
    ]:
        host.log.unlink(missing_ok=True)
        host.attack(ATTACKER)
        assert host.background(*flags).returncode == 0
        wait_until(lambda: "Ban (" in host.log.read_text())
        host.run("-k", "-c", str(host.conf))
        assert set(re.findall(r"^\S+ \S+ ([A-Z]+): ", host.log.read_text(), re.M)) == levels


@needs_root
def test_three_times_v_shows_the_place_in_the_program(host: Machine) -> None:
    with RunningDaemon(host.root, host.config("SSH"), "-vv") as daemon:
        daemon.wait_for(r"is running \[daemon\.py:\d+ MainThread\]$")


# One instance at a time -------------------------------------------------------


@needs_root
@pytest.mark.parametrize("flags", [[], ["-b"]])
def test_a_second_instance_is_refused_with_the_pid_of_the_first(
    host: Machine, flags: list[str]
) -> None:
    host.write("SSH")
    assert host.background().returncode == 0
    pid = host.pid
    second = host.run(*flags, "-c", str(host.conf))
    assert second.returncode == 1
    assert second.stderr == f"fail2ban: Fail2Ban already running with PID {pid}\n"
    assert host.pid == pid and alive(pid)
    assert host.notes() == ["start SSH"]


@needs_root
def test_of_five_started_at_the_same_instant_exactly_one_runs(host: Machine) -> None:
    host.write("SSH")
    command = [sys.executable, str(PROGRAM), "-b", "-c", str(host.conf)]
    started = [
        subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) for _ in range(5)
    ]
    told = [process.communicate(timeout=60)[1].decode() for process in started]
    assert sorted(process.returncode for process in started) == [0, 1, 1, 1, 1]
    assert daemons(host.conf) == [host.pid]
    assert sum("already running with PID" in text for text in told) == 4
    assert host.notes() == ["start SSH"]


@needs_root
def test_defect_15_a_pid_file_with_the_number_of_another_program_is_no_lock(host: Machine) -> None:
    host.write("SSH")
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            host.pidfile.write_text(f"{stranger.pid}\n")
            killed = host.run("-k", "-c", str(host.conf))
            assert killed.returncode == 1
            assert "No running Fail2Ban found" in killed.stderr
            assert host.background().returncode == 0
            assert host.pid != stranger.pid
            assert host.run("-k", "-c", str(host.conf)).returncode == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()


@needs_root
def test_k_returns_when_the_instance_is_gone_and_everything_is_undone(host: Machine) -> None:
    host.write("SSH\nfwend = sleep 1; echo end SSH >> %(o)s\no = " + str(host.out))
    host.attack(ATTACKER)
    assert host.background().returncode == 0
    host.wait_for(f"ban SSH {ATTACKER}")
    pid = host.pid
    killed = host.run("-k", "-c", str(host.conf))
    assert (killed.returncode, killed.stdout) == (0, f"Killed Fail2Ban with PID {pid}\n")
    assert not alive(pid) and not host.pidfile.exists()
    assert host.notes()[-2:] == [f"unban SSH {ATTACKER}", "end SSH"]


def test_k_without_an_instance_is_status_1(host: Machine) -> None:
    host.write("SSH")
    killed = host.run("-k", "-c", str(host.conf))
    assert (killed.returncode, killed.stderr) == (1, "fail2ban: No running Fail2Ban found\n")


# In the background ------------------------------------------------------------


@needs_root
def test_defect_16_what_fails_before_detaching_is_told_on_the_terminal(host: Machine) -> None:
    host.write("SSH\nfailregex = ( from <HOST>")
    broken = host.background()
    assert broken.returncode == 78
    assert f"{host.conf}:" in broken.stderr and "[SSH] failregex" in broken.stderr
    host.write("SSH")
    homeless = host.background("-p", "/nonexistent/folder/fail2ban.pid")
    assert homeless.returncode == 1
    assert "there is no folder /nonexistent/folder" in homeless.stderr
    assert daemons(host.conf) == []


@needs_root
def test_defect_16_what_fails_after_detaching_is_told_on_the_terminal_too(host: Machine) -> None:
    host.write("SSH\nfwstart = echo no such table; exit 4", default="maxreinits = 0\n")
    failed = host.background()
    assert failed.returncode == 1
    assert "no such table" in failed.stderr
    assert "Exiting: Too many attempts to initialize the firewall" in failed.stderr
    wait_until(lambda: daemons(host.conf) == [])


@needs_root
def test_b_returns_when_the_firewall_is_set_up(host: Machine) -> None:
    host.write("SSH\nfwstart = sleep 1; echo done >> %(o)s\no = " + str(host.out))
    assert host.background().returncode == 0
    assert host.notes() == ["done"]


@needs_root
def test_an_instance_that_is_ended_while_it_starts_is_no_success(host: Machine) -> None:
    host.write("SSH\nfwstart = echo begin >> %(o)s; sleep 1\no = " + str(host.out))
    command = [sys.executable, str(PROGRAM), "-b", "-c", str(host.conf)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as starting:
        host.wait_for("begin")
        assert host.run("-k", "-c", str(host.conf)).returncode == 0
        starting.communicate(timeout=60)
    assert starting.returncode == 1
    assert host.notes() == ["begin", "end SSH"]


@needs_root
def test_the_daemon_leaves_the_terminal_its_folder_and_its_files(host: Machine) -> None:
    """Started on a terminal of its own, with a file open that is not the daemon's."""
    host.write("SSH")
    host.attack(ATTACKER)
    child, terminal = pty.fork()
    if child == 0:
        inherited = os.open(host.conf, os.O_RDONLY)
        os.set_inheritable(inherited, True)
        os.chdir(host.root)
        os.execve(
            sys.executable,
            [sys.executable, str(PROGRAM), "-b", "-c", str(host.conf)],
            environment(),
        )
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        host.wait_for(f"ban SSH {ATTACKER}")
        process = Path(f"/proc/{host.pid}")
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        parent, group, session, tty = map(int, fields[1:5])
        assert tty == 0 and parent != os.getpid()
        assert session not in (child, os.getsid(0)) and group == session
        assert os.readlink(process / "cwd") == "/"
        files = {int(fd.name): os.readlink(fd) for fd in (process / "fd").iterdir()}
        assert [files[number] for number in range(3)] == ["/dev/null"] * 3
        assert str(host.conf) not in files.values()
        assert not any("pts" in name or "ptmx" in name for name in files.values())
        assert len(files) < 25
        # And it outlives its terminal.
        os.close(terminal)
        host.attack(OTHER)
        host.wait_for(f"ban SSH {OTHER}")
    finally:
        for pid in daemons(host.conf):
            os.kill(pid, signal.SIGKILL)


@needs_root
@pytest.mark.parametrize("redirections", ["<&- >&- 2>&-", "<&-", ">&- 2>&-"])
def test_b_works_without_standard_input_and_output(host: Machine, redirections: str) -> None:
    """As some init scripts and cron jobs close them."""
    host.write("SSH")
    command = f'exec "{sys.executable}" "{PROGRAM}" -b -c "{host.conf}" {redirections}'
    done = subprocess.run(["sh", "-c", command], env=environment(), timeout=60)
    assert done.returncode == 0
    assert daemons(host.conf) == [host.pid]
    host.attack(ATTACKER)
    host.wait_for(f"ban SSH {ATTACKER}")


@needs_root
def test_what_the_daemon_and_its_commands_write_is_for_root_only(host: Machine) -> None:
    host.write(f"SSH\nfwban = echo <ip> > {host.root}/made")
    host.attack(ATTACKER)
    before = os.umask(0)
    try:
        assert host.background().returncode == 0
    finally:
        os.umask(before)
    wait_until((host.root / "made").exists)
    for path in (host.log, host.pidfile, host.root / "made"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@needs_root
def test_paths_of_the_command_line_mean_where_the_user_stood(host: Machine) -> None:
    """Also at a reload, when the daemon stands in `/`."""
    host.write("SSH")
    assert host.run("-b", "-c", host.conf.name, "-v").returncode == 0
    try:
        os.kill(host.pid, signal.SIGHUP)
        wait_until(lambda: re.search("in use|old settings", host.log.read_text()) is not None)
        assert "The configuration is in use" in host.log.read_text()
    finally:
        os.kill(host.pid, signal.SIGKILL)


# A broken section, a reload ---------------------------------------------------


@needs_root
def test_a_broken_section_is_told_and_left_out_and_the_others_run(host: Machine) -> None:
    config = host.config("SSH", "Web\nfailregex = ( from <HOST>", "Old\nfwban = 50%")
    with RunningDaemon(host.root, config) as daemon:
        assert daemon.count(r"ERROR: \S+:\d+: \[Web\] failregex: ") == 1
        assert daemon.count(r"ERROR: \S+:\d+: \[Old\] fwban: ") == 1
        host.attack(ATTACKER)
        host.wait_for(f"ban SSH {ATTACKER}")
        assert daemon.stop() == 0
    assert not any("Web" in note or "Old" in note for note in host.notes())


def reload(daemon: RunningDaemon, config: str) -> None:
    used = daemon.count("The configuration is in use")
    daemon.config.write_text(config)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for("The configuration is in use", times=used + 1)


@needs_root
def test_a_reload_touches_only_what_has_changed(host: Machine) -> None:
    """Same is left alone, Changed moves its ban, Gone is lifted, New starts."""
    old = host.config("Same\nmaxfailures = 3", "Changed", "Gone")
    new = host.config(
        "Same\nmaxfailures = 3",
        f"Changed\nfwban = echo newban <ip> >> {host.out}",
        "New",
    )
    with RunningDaemon(host.root, old, ready=f"grep 'start Gone' {host.out}") as daemon:
        host.attack(ATTACKER, "Same")
        host.attack(ATTACKER, "Same")
        host.attack(OTHER, "Same")
        for section in ("Changed", "Gone"):
            host.attack(ATTACKER, section)
            host.wait_for(f"ban {section} {ATTACKER}")
        host.out.write_text("")
        reload(daemon, new)
        host.wait_for("start New")
        assert host.notes() == [
            f"unban Gone {ATTACKER}",
            "end Gone",
            f"unban Changed {ATTACKER}",
            "end Changed",
            "start Changed",
            f"newban {ATTACKER}",
            "start New",
        ]
        # Counts stay: one more makes three.
        host.attack(ATTACKER, "Same")
        host.attack(THIRD, "New")
        for note in (f"ban Same {ATTACKER}", f"ban New {THIRD}"):
            host.wait_for(note)
        assert f"ban Same {OTHER}" not in host.notes()
        host.attack(ATTACKER, "Gone")
        host.attack(THIRD, "Changed")
        host.wait_for(f"newban {THIRD}")
        assert f"ban Gone {ATTACKER}" not in host.notes()
        assert daemon.stop() == 0


@needs_root
def test_one_broken_section_keeps_a_reload_from_changing_anything(host: Machine) -> None:
    old = host.config("SSH", "Broken\nmaxfailures = 2")
    new = host.config("SSH\nmaxfailures = 2", "Broken\nfailregex = ( from <HOST>", "New")
    with RunningDaemon(host.root, old, ready=f"grep 'start Broken' {host.out}") as daemon:
        host.attack(OTHER, "Broken")
        daemon.config.write_text(new)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("The configuration cannot be used: the old settings stay")
        assert daemon.count(r"ERROR: \S+:\d+: \[Broken\] failregex: ") == 1
        host.attack(ATTACKER)
        host.attack(OTHER, "Broken")
        for note in (f"ban SSH {ATTACKER}", f"ban Broken {OTHER}"):
            host.wait_for(note)
        assert "start New" not in host.notes()
        reload(daemon, new.replace("( from <HOST>", "( from <HOST>)"))
        host.wait_for("start New")
        assert daemon.stop() == 0


@needs_root
@pytest.mark.parametrize("broken", ["[DEFAULT\n", "nonsense\n", "", "[DEFAULT]\n", None])
def test_a_file_that_cannot_be_used_changes_nothing_at_a_reload(
    host: Machine, broken: str | None
) -> None:
    with RunningDaemon(host.root, host.config("SSH")) as daemon:
        host.attack(ATTACKER)
        host.wait_for(f"ban SSH {ATTACKER}")
        if broken is None:
            daemon.config.unlink()
        else:
            daemon.config.write_text(broken)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("The configuration cannot be used: the old settings stay")
        host.attack(OTHER)
        host.wait_for(f"ban SSH {OTHER}")
        reload(daemon, host.config("SSH"))
        assert host.notes() == ["start SSH", f"ban SSH {ATTACKER}", f"ban SSH {OTHER}"]
        assert daemon.stop() == 0


@needs_root
def test_other_limits_hold_from_the_reload_on_and_an_ignored_address_is_let_go(
    host: Machine,
) -> None:
    with RunningDaemon(host.root, host.config("SSH\nmaxfailures = 2")) as daemon:
        for _ in range(2):
            host.attack(ATTACKER)
        host.attack(OTHER)
        host.wait_for(f"ban SSH {ATTACKER}")
        options = f"maxfailures = 3\nbantime = -1\nignoreip = {ATTACKER}"
        reload(daemon, host.config(f"SSH\n{options}"))
        host.wait_for(f"unban SSH {ATTACKER}")
        for _ in range(2):
            host.attack(OTHER)
        daemon.wait_for(rf"SSH: Ban \(permanent\) {OTHER}$")
        assert daemon.count(rf"{OTHER} has 3 login failure\(s\)") == 1
        assert host.notes()[:2] == ["start SSH", f"ban SSH {ATTACKER}"]
        assert host.notes().count("start SSH") == 1


# The daemon's own log ---------------------------------------------------------


@needs_root
def test_sigusr1_opens_the_log_again(host: Machine) -> None:
    with RunningDaemon(host.root, host.config("SSH")) as daemon:
        host.log.rename(host.root / "f2b.log.1")
        daemon.signal(signal.SIGUSR1)
        wait_until(host.log.exists)
        host.attack(ATTACKER)
        wait_until(lambda: f"SSH: Ban (600 s) {ATTACKER}" in host.log.read_text())
        assert "Ban (" not in (host.root / "f2b.log.1").read_text()


@needs_root
def test_several_log_targets_one_of_which_is_syslog_and_one_cannot_be_opened(host: Machine) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(host.root / "dev-log.sock"))
        syslog.settimeout(60)
        default = f"logtargets = /nonexistent/x.log SYSLOG {host.log} STDERR\n"
        default += f"syslog-target = {host.root}/dev-log.sock\nsyslog-facility = daemon\n"
        with RunningDaemon(host.root, host.config("SSH", default=default)) as daemon:
            assert daemon.count("ERROR: Unable to log to /nonexistent/x.log") == 1
            host.attack(ATTACKER)
            ban = f"SSH: Ban (600 s) {ATTACKER}"
            wanted = rf"<28>\w+ [ \d]+ [\d:]+ fail2ban\[{daemon.process.pid}\]: WARNING: "
            while ban not in (received := syslog.recv(4096).decode()):
                pass
            assert re.fullmatch(wanted + re.escape(ban), received)
            wait_until(lambda: ban in host.log.read_text())
            assert daemon.stop() == 0


@needs_root
def test_defect_23_a_first_look_at_a_log_announces_no_rotation(host: Machine) -> None:
    host.write("SSH")
    host.attack(ATTACKER)
    with RunningDaemon(host.root, host.conf, "-v") as daemon:
        daemon.wait_for(rf"SSH: Ban \(600 s\) {ATTACKER}$")
        assert daemon.count("(?i)rotat|truncat") == 0


@needs_root
def test_defect_2_a_ban_ends_and_failures_are_forgotten_while_no_log_changes(host: Machine) -> None:
    config = host.config("SSH\nbantime = 1\nmaxfailures = 2\nfindtime = 3")
    with RunningDaemon(host.root, config, "-v") as daemon:
        host.attack(OTHER)
        for _ in range(2):
            host.attack(ATTACKER)
        daemon.wait_for(f"SSH: Unban {ATTACKER}$")
        assert host.notes()[-1] == f"unban SSH {ATTACKER}"
        time.sleep(4)
        host.attack(OTHER)
        daemon.wait_for(f"SSH: found {OTHER}$", times=2)
        assert daemon.stop() == 0
    assert f"ban SSH {OTHER}" not in host.notes()
