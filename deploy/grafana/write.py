"""Writes the dashboards to `dashboards/`: `python -m deploy.grafana.write`, or `make dashboards`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana import collecting, credit, live, pipeline, slo

DIRECTORY = Path(__file__).parent / "dashboards"


def dashboards() -> list[Dashboard]:
    """All of them."""
    return [one.board() for one in (live, credit, collecting, pipeline, slo)]


def files() -> dict[str, str]:
    """What is to stand in `DIRECTORY`, by the names of its files."""
    return {f"{board.uid}.json": _text(as_json(board)) for board in dashboards()}


def as_json(board: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana reads it.

    The SDK has every link and every kind of mark put away in a menu and knows no other place; where
    none is named, Grafana shows them above the panels.
    """
    found: dict[str, Any] = json.loads(JSONEncoder().encode(board))
    for one in (*found["links"], *found["annotations"]["list"]):
        del one["placement"]
    return found


def _text(board: dict[str, Any]) -> str:
    return json.dumps(board, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every dashboard, and take away what is none any more."""
    DIRECTORY.mkdir(exist_ok=True)
    wanted = files()
    for path in DIRECTORY.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
        print(DIRECTORY / name)


if __name__ == "__main__":
    main()
