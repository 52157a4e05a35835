"""The page that people read about ClickHouse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from agents.sink.migrations import statements_of

PAGE = (Path(__file__).parents[2] / "docs" / "clickhouse.md").read_text()


@pytest.mark.connected
def test_every_example_of_the_page_runs(tables: Client) -> None:
    blocks = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    examples = [statement for block in blocks for statement in statements_of(block)]
    assert len(examples) >= 4
    for example in examples:
        assert tables.query(example).result_rows == []


@pytest.mark.connected
def test_the_page_names_every_view(tables: Client) -> None:
    views = tables.query(
        "SELECT name FROM system.tables WHERE database = 'headroom' AND engine = 'View'"
    ).result_rows
    named = set(re.findall(r"[a-z_]+", PAGE))
    assert {view.removesuffix("_now") for (view,) in views} - named == set()
