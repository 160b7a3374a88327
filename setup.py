# SPDX-License-Identifier: GPL-2.0-or-later
"""How the package is built and installed."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "fail2ban/__init__.py").read_text())[1]

REQUIRED = [
    # Detaching from the terminal has a dozen steps, and all of them matter.
    "python-daemon>=3.0",
    # The PID file; python-daemon enters it once the process is detached.
    "lockfile>=0.12",
    # Wakes a reader as soon as its log grows, instead of at the next poll.
    "inotify-simple>=2.0",
    # The addresses of our own interfaces, which are never banned: the standard
    # library cannot list them.
    "ifaddr>=0.2",
    # Finds the few lines of a log that are worth matching, at the speed of memory. It has
    # wheels for these machines only; elsewhere, and without it, every line is matched.
    "hyperscan>=0.9; platform_machine in 'x86_64 aarch64 arm64'",
    # Progress bars for large logs and the live view of fail2ban-client top; the daemon
    # does not import it.
    "rich>=12",
]

# Only what `metricsport` needs: metrics by HTTP, in every format that is asked for.
METRICS = ["prometheus-client>=0.14"]

TESTS = [
    *METRICS,
    "pytest>=8",
    # Random inputs for parsers, tracker and everything that escapes text.
    "hypothesis>=6",
    # A real SMTP server for the mails.
    "aiosmtpd>=1.4",
    # Types and style, see pyproject.toml.
    "mypy>=1.10",
    "ruff>=0.5",
]


def files(folder, pattern="*"):
    """Return the files in a folder of ours, without the folders in it."""
    found = (path for path in (HERE / folder).glob(pattern) if path.is_file())
    return sorted(str(path.relative_to(HERE)) for path in found)


setup(
    name="fail2ban",
    version=VERSION,
    description="Read logs, recognise attackers, lock them out",
    long_description=(HERE / "README").read_text(encoding="utf-8"),
    long_description_content_type="text/plain",
    license="GPL-2.0-or-later",
    python_requires=">=3.11",
    packages=find_packages(include=["fail2ban", "fail2ban.*"]),
    scripts=["bin/fail2ban", "bin/fail2ban-server", "bin/fail2ban-client", "bin/fail2ban-regex"],
    install_requires=REQUIRED,
    extras_require={"test": TESTS, "metrics": METRICS},
    data_files=[
        (
            "share/man/man1",
            ["man/fail2ban-server.1", "man/fail2ban-client.1", "man/fail2ban-regex.1"],
        ),
        ("share/man/man5", ["man/fail2ban.conf.5", "man/jail.conf.5"]),
        ("share/man/man7", ["man/fail2ban-protocol.7"]),
        ("share/man/man8", ["man/fail2ban.8"]),
        # bash-completion looks for files with the names of programs.
        ("share/bash-completion/completions", files("config/completion", "*.bash")),
        ("share/zsh/site-functions", ["config/completion/_fail2ban"]),
        (
            # Samples, not /etc: a packager or the administrator chooses one.
            "share/doc/fail2ban/examples",
            files("config"),
        ),
    ],
)
