"""The tables of this release, empty, in the engine that the session shares."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.client import Client

from agents.sink.migrations import migrate
from agents.sink.tables import TABLES


@pytest.fixture
def tables(clickhouse: Client) -> Client:
    """A client of ClickHouse with all tables and views, and no rows."""
    migrate(clickhouse)
    empty(clickhouse)
    return clickhouse


def empty(client: Client) -> None:
    """Take all rows out of all tables."""
    for table in (*TABLES, "policies_raw"):
        client.command(f"TRUNCATE TABLE headroom.{table}")
