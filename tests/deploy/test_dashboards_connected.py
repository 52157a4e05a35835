"""Every query of every dashboard, asked of a real Prometheus and a real ClickHouse engine that a
real run has filled: none is refused, and none shows nothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from deploy.asking import (
    DASHBOARDS,
    Answer,
    Rows,
    Sources,
    is_empty,
    panels_of,
    place_of,
    queries_of,
    read,
)

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_BOARDS = {path: read(path) for path in DASHBOARDS}
_QUERIES = {path: dict(queries_of(board)) for path, board in _BOARDS.items()}
_by_board = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


@cache
def _chosen(sources: Sources, path: Path) -> dict[str, str]:
    return sources.chosen(_BOARDS[path])


@cache
def _answer(sources: Sources, path: Path, place: str) -> Answer:
    return sources.answer(_QUERIES[path][place], _chosen(sources, path))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        pytest.param(path, place, id=f"{path.stem}: {place}")
        for path, queries in _QUERIES.items()
        for place in queries
    ],
)
def test_a_query_has_an_answer(sources: Sources, path: Path, place: str) -> None:
    assert not is_empty(_answer(sources, path, place))


@_by_board
def test_every_variable_has_something_to_choose_and_every_choice_can_be_asked(
    sources: Sources, path: Path
) -> None:
    values = dict(_chosen(sources, path))
    for variable in _BOARDS[path]["templating"]["list"]:
        if variable["type"] == "query":
            options = sources.options(variable, values)
            assert options, variable["name"]
            values[variable["name"]] = options[0]
    if values == _chosen(sources, path):
        return
    for place, target in _QUERIES[path].items():
        try:
            sources.answer(target, values)
        except (ValueError, ClickHouseError) as refusal:
            raise AssertionError(f"{place}: {refusal}") from refusal


@_by_board
def test_what_is_said_of_columns_is_said_of_columns_that_there_are(
    sources: Sources, path: Path
) -> None:
    for panel in panels_of(_BOARDS[path]):
        answers = [_answer(sources, path, place_of(panel, target)) for target in panel["targets"]]
        there = {
            name
            for answer in answers
            for name in (
                answer.columns if isinstance(answer, Rows) else [one.name for one in answer]
            )
        }
        named = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        if panel["type"] == "barchart":
            named.add(panel["options"]["xField"])
        # Grafana has the time of an instant answer as a column of its own.
        assert named <= there | {"Time"}, panel["title"]
