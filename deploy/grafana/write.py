"""Writes the dashboards: `python -m deploy.grafana.write`, or `make dashboards`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana import collecting, credit, live, pipeline, slo
from deploy.grafana.frame import CONSOLE, RUNBOOKS

DIRECTORY = Path(__file__).parent / "dashboards"


def dashboards() -> list[Dashboard]:
    """All of them."""
    return [one.board() for one in (live, credit, collecting, pipeline, slo)]


def files(*, console: str = CONSOLE, runbooks: str = RUNBOOKS) -> dict[str, str]:
    """The dashboards by the names of their files, with the addresses to which their links lead."""
    addresses = {"console": console, "runbooks": runbooks}
    return {
        f"{board.uid}.json": _text(_leading(as_json(board), addresses)) for board in dashboards()
    }


def as_json(board: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana reads it.

    The SDK has every link and every kind of mark put away in a menu and knows no other place; where
    none is named, Grafana shows them above the panels.
    """
    found: dict[str, Any] = json.loads(JSONEncoder().encode(board))
    for one in (*found["links"], *found["annotations"]["list"]):
        del one["placement"]
    return found


def _leading(board: dict[str, Any], addresses: dict[str, str]) -> dict[str, Any]:
    for variable in board["templating"]["list"]:
        if variable["name"] in addresses:
            variable["query"] = addresses[variable["name"]].rstrip("/")
    return board


def _text(board: dict[str, Any]) -> str:
    return json.dumps(board, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every dashboard, and take away what is none any more."""
    options = argparse.ArgumentParser(prog="make dashboards", description=main.__doc__)
    options.add_argument("--console", default=CONSOLE, help="where the console is")
    options.add_argument("--runbooks", default=RUNBOOKS, help="where the pages of alerts are")
    options.add_argument("--to", type=Path, default=DIRECTORY, help="directory of the files")
    given = options.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    wanted = files(console=given.console, runbooks=given.runbooks)
    for path in given.to.glob("headroom-*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (given.to / name).write_text(text, encoding="utf-8")
        print(given.to / name)


if __name__ == "__main__":
    main()
