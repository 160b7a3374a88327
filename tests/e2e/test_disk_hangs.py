# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that answers nobody: bans are carried out, nobody waits, and the end comes."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.daemon import ROOT, SERVER, RunningDaemon, wait_until
from tests.e2e.test_control import ask
from tests.e2e.trees import ATTACKER, OTHER, Site, banned

#: The real program, but what it writes to its database waits while a file is there.
HANGING = f"""\
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from fail2ban import daemon, works
from fail2ban.storekeeper import Storekeeper
write = Storekeeper.write
def hang(self, batch):
    while os.path.exists(os.environ["HANG"]):
        time.sleep(0.01)
    write(self, batch)
Storekeeper.write = hang
daemon.STORE_PATIENCE = works.LONG_PATIENCE = 1.0
sys.argv[0] = {str(SERVER)!r}
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


def hanging(site: Site, mark: Path) -> RunningDaemon:
    program = site.root / "program"
    program.write_text(HANGING)
    return RunningDaemon(
        site.root,
        site.tree,
        "-xf",
        program=program,
        logfile=site.logfile,
        environment={"HANG": str(mark)},
    )


def test_bans_are_in_force_at_once_and_told_when_the_disk_answers(tmp_path: Path) -> None:
    site, mark = Site(tmp_path), tmp_path / "hang"
    site.jails(site.jail("one"))
    with hanging(site, mark) as daemon:
        site.wait_for("start one")
        mark.touch()
        site.attack(ATTACKER, "one")
        site.wait_for(f"ban one {ATTACKER}")
        site.attack(OTHER, "one")
        site.wait_for(f"ban one {OTHER}")
        assert ask(site, "status", "one")[1] == 0
        assert not daemon.count(banned("one", ATTACKER))
        mark.unlink()
        daemon.wait_for(banned("one", ATTACKER))
        assert daemon.stop() == 0


def test_the_end_does_not_wait_for_the_disk_and_keeps_nothing_that_nobody_will_know(
    tmp_path: Path,
) -> None:
    site, mark = Site(tmp_path), tmp_path / "hang"
    site.jails(site.jail("one", onstop="keep"))
    with hanging(site, mark) as daemon:
        site.wait_for("start one")
        site.attack(OTHER, "one")
        daemon.wait_for(banned("one", OTHER))
        mark.touch()
        site.attack(ATTACKER, "one")
        site.wait_for(f"ban one {ATTACKER}")
        assert daemon.stop() == 0
        assert daemon.count("what happened last: that is forgotten") == 1
        seen = len(site.notes())
        assert {f"unban one {ATTACKER}", f"unban one {OTHER}", "stop one"} <= set(site.notes())
        mark.unlink()
        daemon.start()
        wait_until(lambda: f"ban one {OTHER}" in site.notes()[seen:])
        assert daemon.stop() == 0
