"""The tables of this release, empty, in the engine that the session shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from sink.ledger import Live, living

from agents.sink.migrations import migrate
from agents.sink.tables import TABLES
from streams.settings import Settings


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


@pytest.fixture
def live(settings: Settings) -> Iterator[Live]:
    """Starts sinks as processes of their own."""
    with living(settings) as start:
        yield start
