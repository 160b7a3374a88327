# SPDX-License-Identifier: GPL-2.0-or-later
"""A progress bar for whoever waits at a terminal for a large log."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator

#: Bytes of a file from which on there is a bar.
LARGE = 4 * 1024 * 1024


@contextlib.contextmanager
def progress(path: str, writes: bool) -> Iterator[Callable[[int], None]]:
    """Show how much of a file was read; see `bar`."""
    with bar(_size(path), writes) as advance:
        yield advance


@contextlib.contextmanager
def bar(size: int, writes: bool) -> Iterator[Callable[[int], None]]:
    """Show how much of so many bytes was read; give what is told of every piece.

    Args:
        writes: results appear meanwhile, which a bar on the same terminal would garble.
    """
    if size < LARGE or not sys.stderr.isatty() or (writes and sys.stdout.isatty()):
        yield lambda read: None
        return
    # It takes a while to import, and most runs need none.
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=size)
        yield lambda read: shown.advance(task, read)


def _size(path: str) -> int:
    """Return the size of a file; 0 where it does not tell how much there is to read."""
    try:
        status = os.stat(path)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
