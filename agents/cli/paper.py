"""Where results are printed for a person."""

from __future__ import annotations

import os
import sys

from rich.console import Console

_PIPE_WIDTH = 200
"""Columns where nobody's terminal sets them."""


def plain_console() -> Console:
    """Standard output, on which what the records say is shown as it stands: brackets and colons
    too.
    """
    knows_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if knows_width else _PIPE_WIDTH
    return Console(markup=False, highlight=False, emoji=False, width=width)
