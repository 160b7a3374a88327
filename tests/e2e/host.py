# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder with logs that tests attack, and with the notes that commands make.

The commands write down what they do, so no firewall is needed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from tests.e2e.daemon import wait_until

SECTION = """
[{name}]
enabled = true
logfile = {root}/{name}.log
failregex = failed login of .* from <HOST>$
fwstart = echo start {name} >> {root}/out
fwend = echo end {name} >> {root}/out
fwban = echo ban {name} <ip> >> {root}/out
fwunban = echo unban {name} <ip> >> {root}/out
"""


class Host:
    """What a daemon of a test works on.

    Attributes:
        defaults: the section [DEFAULT]; `{root}` is the folder.
    """

    defaults: ClassVar[str]

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out, self.log = root / "out", root / "f2b.log"
        self.out.touch()

    def config(self, *sections: str, default: str = "", extra: str = "", **options: str) -> str:
        """Return a configuration.

        Args:
            sections: each a name, or a name and its options by line.
            default: goes to the end of [DEFAULT], `extra` to that of the file.
            options: are added to the first section.
        """
        texts = [self._section(section) for section in sections]
        texts[:1] = [
            "".join([text, *(f"{name} = {value}\n" for name, value in options.items())])
            for text in texts[:1]
        ]
        return self.defaults.format(root=self.root) + default + "".join(texts) + extra

    def attack(self, ip: str, section: str = "SSH", user: str = "root", age: float = 0.0) -> None:
        """Log a failure; `age` in seconds."""
        moment = time.strftime("%b %d %H:%M:%S", time.localtime(time.time() - age))
        with (self.root / f"{section}.log").open("a", newline="") as log:
            log.write(f"{moment} host sshd: failed login of {user} from {ip}\n")

    def notes(self) -> list[str]:
        return self.out.read_text().splitlines()

    def wait_for(self, note: str) -> None:
        wait_until(lambda: note in self.notes(), explain=lambda: f"{note}: {self.notes()}")

    def _section(self, section: str) -> str:
        name, _, options = section.partition("\n")
        (self.root / f"{name}.log").touch()
        return SECTION.format(root=self.root, name=name) + options + "\n"
