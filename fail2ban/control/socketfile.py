# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket's place in the file system.

Source: jail-conf.md sections 12.6 and 13.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

#: Clients that may wait to be let in.
BACKLOG = 100


class SocketFile:
    """A Unix socket that only its owner may use, from its making to its removal."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._ours: os.stat_result | None = None

    def open(self) -> socket.socket:
        """Make the socket, and the last level of its folder; return it, listening.

        What a dead daemon has left behind is removed.

        Raises:
            OSError: a daemon answers there, something else is there, or it cannot be made.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(os.path.abspath(self._path)), 0o755)
        self._remove_leftover()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self._path)
            self._ours = os.lstat(self._path)
            # Nobody can have connected before: that takes a socket that listens.
            os.chmod(self._path, 0o600)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            self.remove()
            raise OSError(error.errno, error.strerror or str(error), self._path) from error
        return listener

    def remove(self) -> None:
        """Remove the socket, unless somebody else replaced it by his own."""
        if self._ours is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(self._path), self._ours):
                os.unlink(self._path)
        self._ours = None

    def _remove_leftover(self) -> None:
        try:
            mode = os.lstat(self._path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise FileExistsError(errno.EEXIST, "there is something that is no socket", self._path)
        if _answers(self._path):
            raise OSError(errno.EADDRINUSE, "another daemon answers there", self._path)
        os.unlink(self._path)


def _answers(path: str) -> bool:
    """Tell whether a living process listens; one that is too busy lives, too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except BlockingIOError:
            return True
    return True
