# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket's place in the file system.

Source: jail-conf.md sections 12.6 and 13.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat

#: Clients that may wait to be let in.
BACKLOG = 100


class SocketFile:
    """A Unix socket that only its owner may use, from its making to its removal.

    Args:
        group: may use it, too; empty: nobody.
        inherited: listens already, for whoever has started us has made it. Then it is not
            ours to make, to change or to remove.
    """

    def __init__(self, path: str, group: str = "", inherited: socket.socket | None = None) -> None:
        self.path = path
        self._group, self._inherited = group, inherited
        self._ours: os.stat_result | None = None

    def open(self) -> socket.socket:
        """Make the socket, and the last level of its folder; return it, listening.

        What a dead daemon has left behind is removed.

        Raises:
            OSError: a daemon answers there, something else is there, or it cannot be made.
        """
        if self._inherited is not None:
            self._inherited.setblocking(False)
            return self._inherited
        self._make_folder()
        self._remove_leftover()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.path)
            self._ours = os.lstat(self.path)
            # Nobody can have connected before: that takes a socket that listens.
            self._admit()
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            self.remove()
            raise OSError(error.errno, error.strerror or str(error), self.path) from error
        return listener

    def _make_folder(self) -> None:
        folder = os.path.dirname(os.path.abspath(self.path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
            # Whatever our umask is: members of a group have to pass through.
            os.chmod(folder, 0o755)

    def _admit(self) -> None:
        """Say who may connect."""
        if self._group:
            os.chown(self.path, -1, _number(self._group))
        os.chmod(self.path, 0o660 if self._group else 0o600)

    def remove(self) -> None:
        """Remove the socket, unless somebody else replaced it by his own."""
        if self._ours is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(self.path), self._ours):
                os.unlink(self.path)
        self._ours = None

    def _remove_leftover(self) -> None:
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise FileExistsError(errno.EEXIST, "there is something that is no socket", self.path)
        if _answers(self.path):
            raise OSError(errno.EADDRINUSE, "another daemon answers there", self.path)
        os.unlink(self.path)


def _number(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(errno.ENOENT, f"there is no group {group}") from None


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
