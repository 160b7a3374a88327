# SPDX-License-Identifier: GPL-2.0-or-later
"""Which file system a path lies on, as Linux tells.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re

MOUNTS = "/proc/self/mountinfo"

#: Where everything that happens to a file happens through this kernel, so that inotify
#: tells of it. A network's or another machine's files are changed by others, too.
LOCAL = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "ramfs", "tmpfs", "xfs", "zfs")
)

_ESCAPED = re.compile(r"\\([0-7]{3})")


def is_local(path: str, mounts: str = MOUNTS) -> bool:
    """Tell whether a path without symbolic links surely lies on a local file system."""
    kind, longest = "", -1
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                first, _, second = line.partition(" - ")
                point = _unescaped(first.split()[4])
                # What was mounted last on the same point covers the others.
                if _is_within(path, point) and len(point) >= longest:
                    kind, longest = second.split()[0], len(point)
    except (OSError, IndexError):
        return False
    return kind in LOCAL


def _is_within(path: str, point: str) -> bool:
    return point == os.sep or path == point or path.startswith(point + os.sep)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
