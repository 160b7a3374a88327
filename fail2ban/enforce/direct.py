# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell which commands mean the same without a shell, and which program they call.

Starting a shell takes as long as what most commands do. So a command of plain
words is executed as it is; anything that could mean more to some shell than it
says is left to the shell, and so is what can go wrong before the program runs:
the shell has its own words for it.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Mapping

from fail2ban.enforce import words

#: What some /bin/sh does itself, or takes for a part of its language: dash, bash,
#: busybox, ksh, mksh, yash and zsh. Source: their manual pages.
_OWN = frozenset(
    ". - alias array autoload bg bind bindkey break breaksw builtin bye caller case cat cd chdir"
    " clone command comparguments compctl compgen complete compopt continue coproc cp declare"
    " dirs disable disown do done echo echotc echoti elif else emulate enable end enum esac eval"
    " exec exit export false fc fg fi float for foreach function functions getconf getln getopts"
    " global hash help hist history if in inlib integer jobs kill let limit list local log logout"
    " ls mapfile mkdir mv nameref newgrp nocorrect noglob nosort popd print printf pushd pushln"
    " pwd r read readarray readonly redirect rehash rename repeat return rm rmdir sched select"
    " set setopt shift shopt sleep source stat stop suspend sync test then time times tr trap"
    " true ttyctl type typeset ulimit umask unalias uncomplete unfunction unhash unlimit unset"
    " unsetopt until vared vpath wait whence where which while zcompile zformat zle zmodload"
    " zparseopts zstat zstyle".split()
)
#: Of these ends a shell says nothing.
_UNREMARKED = frozenset({signal.SIGINT, signal.SIGPIPE})


def plain_words(command: str) -> list[str] | None:
    """Split a command as a shell would; None: only a shell can tell what it means."""
    # No tag is left, so that a `<` redirects; other blanks are none to a shell.
    if "<" in command or command.strip() != command.strip(" \t\n"):
        return None
    found = words.split(command)
    return None if found is None or found[0] in _OWN else found


def program(name: str, variables: Mapping[str, str]) -> str | None:
    """Return the file that a shell with this environment would execute.

    None: there is none, and the shell is to say so. As in a shell, a file that
    may not be executed is passed over where another folder has one that may.
    """
    if "/" in name:
        return name if _is_program(name) else None
    folders = filter(None, variables.get("PATH", "").split(":"))
    return next(filter(_is_program, (os.path.join(one, name) for one in folders)), None)


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as a shell would pass it on: it says where we are.

    Raises:
        OSError: the folder we are in is gone.
    """
    return {**variables, "PWD": os.getcwd()}


def ended(status: int) -> tuple[int, list[str]]:
    """Return the exit status that a shell makes of its program's, and what it prints.

    Args:
        status: 0 or more; a signal's number, negative, if one killed the program.
    """
    if status >= 0:
        return status, []
    remark = None if -status in _UNREMARKED else signal.strsignal(-status)
    return 128 - status, [remark] if remark else []
