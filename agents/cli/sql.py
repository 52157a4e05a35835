"""`headroom sql`: one question to ClickHouse, wherever it is."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from agents.sink.tables import DATABASE
from streams.clickhouse import is_there, open_clickhouse
from streams.embedded.parts import clickhouse_directory
from streams.errors import HeadroomError
from streams.settings import Settings, load_settings


class QueryError(HeadroomError):
    """ClickHouse did not answer the query; the message is its own."""


def sql(
    query: Annotated[str, typer.Argument(help="A query that reads, e.g. 'SHOW TABLES'.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a row.")] = False,
) -> None:
    """Print the rows: as a table on a terminal, else with tabs between and names on top.

    Tables without a database are those of `headroom`. Nothing can be written this way.
    """
    settings = load_settings()
    refuse_when_empty(settings)
    client = open_clickhouse(settings)
    try:
        sys.stdout.buffer.write(_ask(client, query, as_json=as_json))
    except ClickHouseError as error:
        raise QueryError(str(error).strip()) from error
    finally:
        client.close()


def _ask(client: Client, query: str, *, as_json: bool) -> bytes:
    known = client.command(
        "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": DATABASE}
    )
    client.database = DATABASE if known else None
    form = "JSONEachRow" if as_json else "TabSeparatedWithNames"
    if not as_json and sys.stdout.isatty():
        form = "PrettyCompactNoEscapes"
    # A server's user may be held to reading already; then the setting itself cannot be touched.
    reading = {"readonly": 2} if client.server_settings["readonly"].value == "0" else {}
    return client.raw_query(query.rstrip().rstrip(";"), fmt=form, settings=reading)


def refuse_when_empty(settings: Settings) -> None:
    """Opening an embedded engine that never was would make an empty one. Raises `QueryError`."""
    if not is_there(settings):
        raise QueryError(
            f"no tables in {clickhouse_directory(settings).absolute()} yet: a worker makes them;"
            " or name a server in HEADROOM_CLICKHOUSE_DSN"
        )
