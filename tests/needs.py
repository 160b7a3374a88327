# SPDX-License-Identifier: GPL-2.0-or-later
"""Say what of the machine a test needs; without it the test is skipped, by name."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"


def programs(*names: str) -> pytest.MarkDecorator:
    """Skip unless these programs of the system are installed."""
    missing = [name for name in names if shutil.which(name, path=PATH) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def root() -> pytest.MarkDecorator:
    """Skip unless we are root: namespaces and firewalls are the kernel's."""
    return pytest.mark.skipif(os.geteuid() != 0, reason="must be root")


def shared(name: str) -> pytest.MarkDecorator:
    """Skip unless a file of the project's shared material is there."""
    there = (SHARED / name).exists()
    return pytest.mark.skipif(not there, reason=f"../shared/{name} is not there")


def module(name: str) -> pytest.MarkDecorator:
    """Skip unless a package of Python is installed that we can do without."""
    there = importlib.util.find_spec(name) is not None
    return pytest.mark.skipif(not there, reason=f"the package {name} is not installed")
