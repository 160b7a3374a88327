# SPDX-License-Identifier: GPL-2.0-or-later
# Read by bin/try and bin/test: make the virtual environment if it is not there.

# make_venv ROOT [EXTRA]: install fail2ban from ROOT, with an extra of setup.py,
# into ROOT/.venv. What was installed from the same setup.py stays as it is.
make_venv() {
    venv=$1/.venv
    mark=$venv/installed${2:+-$2}
    if [ -e "$mark" ] && cmp -s "$1/setup.py" "$mark"; then
        return 0
    fi
    python=$(find_python) || {
        echo "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)" >&2
        return 1
    }
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || {
        rm -rf "$venv"
        echo "the module venv is needed (Debian: apt-get install python3-venv)" >&2
        return 1
    }
    echo "Installing into $venv ..." >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --editable "$1${2:+[$2]}" || return 1
    # What the build leaves in the source tree is not needed any more.
    rm -rf "$1/fail2ban.egg-info" "$1/build"
    cp "$1/setup.py" "$mark"
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}
