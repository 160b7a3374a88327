# SPDX-License-Identifier: GPL-2.0-or-later
"""How the daemon is: counted, shown, and told when something is wrong."""
