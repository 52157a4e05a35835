"""Finds the file of routes."""

from __future__ import annotations

from pathlib import Path

from agents.alerts.routes import Routes
from agents.alerts.routes_text import RoutesError, parse_routes


def load_routes(path: Path) -> Routes:
    """The routes of a file.

    Raises:
        RoutesError: it cannot be read or used; every fault is told with its place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RoutesError(f"{path}: {error}") from error
    try:
        return parse_routes(text)
    except RoutesError as error:
        raise RoutesError(
            "\n".join(f"{path}: {line}" for line in str(error).split("\n"))
        ) from error
