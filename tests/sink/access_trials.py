"""What is tried with little right; each in an engine of its own (`engine_of_its_own`)."""

# ruff: noqa: S608  the queries are made of our own names

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from sink.sink_events import decision
from sink.sink_records import batch_of, record

from agents.sink.migrations import Migration, load_migrations, migrate
from agents.sink.writer import Writer, note_policy
from streams.errors import ConfigurationError


def make(client: Client) -> Any:
    """All tables and views; the names of what was applied."""
    return migrate(client)


def write(client: Client) -> Any:
    """All that a sink does: what was written, and what a release says whose tables are missing."""
    assert migrate(client) == []
    note_policy(client, "test", "0.05")
    Writer(lambda: client).write(batch_of("t", 0, [record(decision(), 0)]))
    count = client.command("SELECT count() FROM headroom.order_decisions_raw")
    known = load_migrations()
    view = "CREATE OR REPLACE VIEW headroom.new AS SELECT 1"
    new = Migration(len(known) + 1, "9999_new.sql", "checksum", (view,))
    try:
        migrate(client, [*known, new])
    except ConfigurationError as error:
        return [count, str(error)]
    return [count, None]


def refused(client: Client, statements: list[str]) -> Any:
    """Of each statement the error by its name, None when it ran."""
    return [_refusal(client, statement) for statement in statements]


def read(client: Client, changes: list[str], sources: list[str]) -> Any:
    """What the user `headroom_reader` is answered who reads the first source before the changes,
    and each after them. Nobody can log in here: a view with the user's rights reads for it.
    """
    before = _refusal_of_reader(client, sources[0])
    for change in changes:
        client.command(change)
    return [before, {source: _refusal_of_reader(client, source) for source in sources}]


def _refusal_of_reader(client: Client, source: str) -> str | None:
    probe = "headroom.probe DEFINER = headroom_reader SQL SECURITY DEFINER"
    client.command(f"CREATE OR REPLACE VIEW {probe} AS SELECT 1 AS a FROM headroom.{source}")
    return _refusal(client, "SELECT count() FROM headroom.probe")


def _refusal(client: Client, statement: str) -> str | None:
    try:
        client.command(statement)
    except DatabaseError as error:
        return str(error.name)
    return None
