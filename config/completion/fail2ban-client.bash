# SPDX-License-Identifier: GPL-2.0-or-later
# bash-completion looks for a file of the program's name.
# shellcheck source=config/completion/fail2ban.bash
. "${BASH_SOURCE[0]%/*}/fail2ban.bash"
