"""Dashboards: what is committed is what the sources say, Grafana's schema knows all of it, and
every panel says what it shows, in which unit, of which data source.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from starlette.routing import Match

from agents.console.app import console_routes
from deploy.asking import DASHBOARDS, panels_of, queries_of, read
from deploy.grafana.queries import CLICKHOUSE, PROMETHEUS, register_clickhouse
from deploy.grafana.write import as_json, files

_ROOT = Path(__file__).parents[2]
_GRAFANA = _ROOT / "deploy" / "grafana"
_BOARDS = {path.stem: read(path) for path in DASHBOARDS}
_PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in _BOARDS.items()
    for panel in panels_of(board)
]
_QUERIES = [
    pytest.param(target, id=f"{name}: {place}")
    for name, board in _BOARDS.items()
    for place, target in queries_of(board)
]
_WIDTH = 24
_CONSOLE = {"/customers/${__data.fields.customer_id}", "/search?q=${__data.fields.order_id}", "/"}
_OF_ALL = {"ALERTS", "headroom_build_info", "process_start_time_seconds"}
"""Asked of all there is: alerts have no job, and marks are for all workers."""


def _ids(board: dict[str, Any]) -> list[Any]:
    return [panel["id"] for panel in board["panels"]]


def test_what_is_committed_is_what_the_sources_say() -> None:
    """After a change: `make dashboards`."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS}
    assert committed == files()


@pytest.mark.parametrize("name", _BOARDS)
def test_grafanas_schema_knows_all_of_it(name: str) -> None:
    """What the schema does not know, or has in another form, does not come back."""
    register_default_plugins()
    register_clickhouse()
    assert as_json(Dashboard.from_json(_BOARDS[name])) == _BOARDS[name]


@pytest.mark.parametrize("name", _BOARDS)
def test_a_dashboard_has_a_name_and_stays_as_it_is(name: str) -> None:
    board = _BOARDS[name]
    assert board["uid"] == name
    assert board["title"].startswith("Headroom")
    assert board["description"]
    assert board["editable"] is False
    assert len(set(_ids(board))) == len(_ids(board))


@pytest.mark.parametrize("name", _BOARDS)
def test_nothing_lies_over_anything_else_and_rows_are_full(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in _BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= _WIDTH, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]
    lines = sorted({y for _, y in taken})
    assert all(below == above + 1 for above, below in pairwise(lines))
    assert all((_WIDTH - 1, y) in taken for y in lines), "there is room at the right"


@pytest.mark.parametrize("panel", _PANELS)
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert all(letters)
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("panel", _PANELS)
def test_a_panel_asks_the_source_that_is_chosen(panel: dict[str, Any]) -> None:
    sources = {str(one.type_val): one.uid for one in (PROMETHEUS, CLICKHOUSE)}
    for asked in (panel, *panel["targets"]):
        assert sources[asked["datasource"]["type"]] == asked["datasource"]["uid"]
        assert asked["datasource"] == panel["datasource"]


@pytest.mark.parametrize("name", _BOARDS)
def test_variables_are_those_that_are_asked_for(name: str) -> None:
    board = _BOARDS[name]
    there = {one["name"] for one in board["templating"]["list"]}
    text = "\n".join(path.read_text() for path in DASHBOARDS if path.stem == name)
    asked = set(re.findall(r"\$\{?((?!__)[A-Za-z_]\w*)", text))
    assert asked == there
    assert there >= {"prometheus", "clickhouse", "runbooks", "console"}


@pytest.mark.parametrize("target", _QUERIES)
def test_a_query_is_of_what_is_chosen(target: dict[str, Any]) -> None:
    """Of the chosen workers or brokers; a recorded figure, which is of all of them, has a colon."""
    expression = target.get("expr", "")
    for metric, matchers in re.findall(r"\b([a-zA-Z_:]+)\{([^}]*)\}", expression):
        if metric not in _OF_ALL and ":" not in metric:
            assert "job=~" in matchers, metric
            assert "instance=~" in matchers, metric
    for interval in re.findall(r"\brate\([^\[]*\[([^\]]*)\]", expression):
        assert interval == "$__rate_interval"
    for macro, arguments in re.findall(r"\$__(\w+Filter)\(([^)]*)\)", target.get("rawSql", "")):
        assert re.fullmatch(r"\w+", arguments), f"{macro} of more than a column"


@pytest.mark.parametrize("panel", _PANELS)
def test_links_lead_to_pages_that_there_are(panel: dict[str, Any]) -> None:
    overrides = panel["fieldConfig"]["overrides"]
    links = [
        *panel.get("links", []),
        *(
            link
            for one in overrides
            for say in one["properties"]
            if say["id"] == "links"
            for link in say["value"]
        ),
    ]
    for link in links:
        assert link["title"]
        start, _, rest = link["url"].partition("}")
        if start == "${console":
            assert rest in _CONSOLE
        else:
            assert start == "${runbooks"
            alerts = re.fullmatch(r"/(?:\$\{__data\.fields\.alertname\}|(\w+))\.md", rest)
            assert alerts is not None
            page = alerts[1] or "HeadroomWatchdog"
            assert (_ROOT / "docs" / "runbooks" / f"{page}.md").exists()


def test_customers_and_orders_lead_to_the_console() -> None:
    """In every table that names one."""
    for board in _BOARDS.values():
        for panel in panels_of(board):
            if panel["type"] != "table" or "rawSql" not in panel["targets"][0]:
                continue
            for column in ("customer_id", "order_id"):
                if re.search(rf"\b{column}\b", panel["targets"][0]["rawSql"].partition("FROM")[0]):
                    linked = [
                        one["matcher"]["options"]
                        for one in panel["fieldConfig"]["overrides"]
                        if any(say["id"] == "links" for say in one["properties"])
                    ]
                    assert column in linked, panel["title"]


def test_files_for_provisioning_name_the_sources_that_panels_ask() -> None:
    (sources,) = (_GRAFANA / "provisioning" / "datasources").glob("*.yml")
    there = yaml.safe_load(sources.read_text())["datasources"]
    assert {one["type"] for one in there} == {PROMETHEUS.type_val, CLICKHOUSE.type_val}
    (clickhouse,) = (one for one in there if one["type"] == CLICKHOUSE.type_val)
    assert clickhouse["secureJsonData"]["password"].startswith("$")
    (boards,) = (_GRAFANA / "provisioning" / "dashboards").glob("*.yml")
    (provider,) = yaml.safe_load(boards.read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False


@pytest.mark.parametrize("path", sorted(_CONSOLE))
def test_the_console_has_the_pages_that_links_lead_to(path: str) -> None:
    asked = re.sub(r"\$\{[^}]*\}", "C-1", path).partition("?")[0]
    scope = {"type": "http", "method": "GET", "path": f"/console{asked}"}
    found = next(
        route for route in console_routes(_not_asked) if route.matches(scope)[0] is Match.FULL
    )
    assert found.path not in ("/console/{name}", "/console")


def _not_asked() -> Any:
    raise AssertionError


def test_links_lead_where_an_operator_says() -> None:
    for text in files(
        console="https://credit.example/console/", runbooks="https://w.example"
    ).values():
        constants = {
            one["name"]: one.get("query") for one in json.loads(text)["templating"]["list"]
        }
        assert constants["console"] == "https://credit.example/console"
        assert constants["runbooks"] == "https://w.example"
