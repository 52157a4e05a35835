"""Asks what a dashboard's panels ask, as Grafana would: with its variables put in.

What the ClickHouse plugin makes of its macros stands in pkg/macros/macros.go of
grafana/clickhouse-datasource, and of `$__conditionalAll` in its README; `$__rate_interval` is the
larger of four scrape intervals and of step and scrape interval together, by Grafana's documentation
of its Prometheus data source.
"""

from __future__ import annotations

import json
import math
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from deploy.prometheus_server import Prometheus

DASHBOARDS = sorted(
    (Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards").glob("*.json")
)
SCRAPE_SECONDS = 1
ALL = "$__all"

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$([A-Za-z_]\w*)")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")

Values = Mapping[str, str]
"""By name, what is chosen of each variable."""


@dataclass(frozen=True)
class Series:
    """One line of a panel: a name, and what it was when."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Rows:
    """A table: its columns, and its rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


Answer = list[Series] | Rows


def read(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text())
    return board


def panels_of(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but the titles of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@dataclass(frozen=True)
class Sources:
    """Where answers come from, and for which time.

    Args:
        prometheus, clickhouse: the data sources.
        since: when Prometheus began to look, seconds since 1970.
        until: the end of what is shown.
        days: how far back ClickHouse is asked.
        step: seconds between two points of a line of Prometheus.
    """

    prometheus: Prometheus
    clickhouse: Client
    since: float
    until: float
    days: int
    step: int

    def chosen(self, board: Mapping[str, Any]) -> dict[str, str]:
        """What Grafana chooses of each variable when nobody has."""
        values: dict[str, str] = {}
        for one in board["templating"]["list"]:
            if one["type"] == "constant":
                values[one["name"]] = one["query"]
            elif one["type"] == "query":
                found = self.options(one, values)
                if not one["includeAll"]:
                    values[one["name"]] = found[0]
                elif one["multi"]:
                    values[one["name"]] = f"({'|'.join(found)})"
                else:
                    values[one["name"]] = ALL
        return values

    def options(self, variable: Mapping[str, Any], values: Values) -> list[str]:
        """What can be chosen of a variable, given what is of those before it."""
        if variable["datasource"]["type"] != "prometheus":
            text = expanded_sql(variable["query"], values, self)
            return [str(row[0]) for row in self.clickhouse.query(text).result_rows]
        found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert found is not None, variable["query"]
        series = urllib.parse.quote(expanded_promql(found[1], values, self))
        options: list[str] = self.prometheus.ask(f"label/{found[2]}/values?match[]={series}")
        return options

    def answer(self, target: Mapping[str, Any], values: Values) -> Answer:
        """What a query gives.

        Raises:
            ValueError: Prometheus refuses it.
            DatabaseError: ClickHouse does.
        """
        if "rawSql" in target:
            found = self.clickhouse.query(expanded_sql(target["rawSql"], values, self))
            return Rows(found.column_names, [tuple(row) for row in found.result_rows])
        asked = urllib.parse.quote(expanded_promql(target["expr"], values, self))
        if target.get("instant"):
            result = self.prometheus.ask(f"query?query={asked}&time={self.until}")["result"]
            labels = sorted({label for one in result for label in one["metric"]})
            rows = [
                tuple(
                    [one["metric"].get(label) for label in labels] + [float(one["value"][1])]
                )
                for one in result
            ]  # fmt: skip
            return Rows((*labels, "Value"), rows)
        points = int(self.until - self.since) // self.step
        span = f"start={self.until - points * self.step}&end={self.until}&step={self.step}"
        result = self.prometheus.ask(f"query_range?query={asked}&{span}")["result"]
        return [
            Series(
                _legend(target.get("legendFormat", ""), one["metric"]),
                [(at, float(value)) for at, value in one["values"]],
            )
            for one in result
        ]


def is_empty(answer: Answer) -> bool:
    """Nothing that a panel could show: no rows, or not one value. A sum over nothing is 0, and a
    history that has something of everything has none of those, so 0 is no value of ClickHouse.
    """
    if isinstance(answer, Rows):
        return not any(value not in (None, "", 0) for row in answer.rows for value in row)
    return not any(math.isfinite(value) for one in answer for _, value in one.points)


# ── what Grafana and the plugin put in ──────────────────────────────────────────────────────────


def expanded_promql(text: str, values: Values, sources: Sources) -> str:
    """An expression for Prometheus, in which several values stand as alternatives."""
    rate = max(4 * SCRAPE_SECONDS, sources.step + SCRAPE_SECONDS)
    return _with_values(text.replace("$__rate_interval", f"{rate}s"), values)


def expanded_sql(text: str, values: Values, sources: Sources) -> str:
    """A statement for ClickHouse."""
    until = int(sources.until)
    since = until - sources.days * 86_400
    first, last = (datetime.fromtimestamp(one, UTC).date() for one in (since, until))
    text = re.sub(
        r"\$__conditionalAll\((.*), \$(\w+)\)",
        lambda found: "1=1" if values[found[2]] == ALL else found[1],
        text,
    )
    text = re.sub(
        r"\$__dateFilter\((\w+)\)", rf"\1 >= toDate('{first}') AND \1 <= toDate('{last}')", text
    )
    start, end = f"toDateTime({since})", f"toDateTime({until})"
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {start} AND \1 <= {end}", text)
    text = re.sub(r"\$__fromTime\b", start, text)
    text = re.sub(r"\$__toTime\b", end, text)
    return _with_values(text, values)


def _with_values(text: str, values: Values) -> str:
    """With the variables put in; one that there is not raises KeyError."""

    def put(found: re.Match[str]) -> str:
        value = values[found[1] or found[3]]
        if found[2] == "singlequote":
            return "'" + value.replace("'", "\\'") + "'"
        assert found[2] is None, found[0]
        return value

    return _VARIABLE.sub(put, text)


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template)


def place_of(panel: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """The name of a query's place: one of a dashboard only has it."""
    return f"{panel['title']} {target['refId']}"


def queries_of(board: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every query of every panel and of every kind of marks, with the name of the place."""
    for panel in panels_of(board):
        for target in panel["targets"]:
            yield place_of(panel, target), target
    for mark in board["annotations"]["list"]:
        asked = mark.get("target") or {"expr": mark["expr"], "refId": "A"}
        yield f"marks: {mark['name']}", asked
