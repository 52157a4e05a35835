"""`headroom sink`: what the sink has written, made anew."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli.progress import Stages
from agents.cli.sql import refuse_when_empty
from agents.sink.rebuild import TableRebuild
from agents.sink.stored import are_read, refresh
from streams.clickhouse import open_clickhouse
from streams.embedded.parts import with_broker
from streams.registry import open_codec
from streams.settings import load_settings

app = typer.Typer(
    help="Make a table of ClickHouse anew from the topics.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.callback()(lambda: None)  # a group, though it has one verb


@app.command()
def rebuild(
    table: Annotated[str, typer.Argument(help="Its name in docs/clickhouse.md, e.g. invoices.")],
    from_what_is_there: Annotated[
        bool,
        typer.Option(
            "--from-what-is-there",
            help="Also if the topics do not hold all any more: rows of what is gone are lost.",
        ),
    ] = False,
) -> None:
    """Fill a fresh table from the topics and put it in the place of the old one.

    The sink may run meanwhile. Nothing is changed when it fails. Where answers are stored, they are
    stored anew.
    """
    settings = with_broker(load_settings())
    codec = open_codec(settings)
    refuse_when_empty(settings)
    client = open_clickhouse(settings)
    try:
        with Stages() as stages:
            made = TableRebuild(client, settings, codec, stages.track).run(
                table, from_what_is_there=from_what_is_there
            )
        if are_read(client):
            for name in refresh(client):
                typer.echo(f"{name}: stored anew", err=True)
    finally:
        client.close()
    for one in made:
        name = one.table.removesuffix("_raw")
        typer.echo(f"{name}: {one.rows_after:,} rows ({one.rows_before:,} before)")
