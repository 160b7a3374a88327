# SPDX-License-Identifier: GPL-2.0-or-later
"""Read logs, recognise attackers, lock them out."""

__version__ = "2.0.0.dev0"
