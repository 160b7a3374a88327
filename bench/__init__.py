# SPDX-License-Identifier: GPL-2.0-or-later
"""The same work done by us and by others, in one run; see README in this folder."""
