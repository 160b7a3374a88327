# SPDX-License-Identifier: GPL-2.0-or-later
"""A hand on the wheel: what an administrator asks of a running daemon."""
