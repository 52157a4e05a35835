"""`headroom reconcile`: whether state and figures are what the journal gives."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from clickhouse_connect.driver.client import Client

from agents.cli.progress import Stages
from agents.reconcile.findings import Difference, Note, Tally
from agents.reconcile.run import Reconciliation
from agents.reconcile.schedule import compare_every
from agents.rule_files import load_rules
from streams.clickhouse import open_clickhouse
from streams.embedded.clickhouse import find_endpoint
from streams.embedded.parts import clickhouse_directory, with_broker
from streams.errors import HeadroomError
from streams.kafka_client import client_config
from streams.logs import set_up_log
from streams.registry import open_codec
from streams.settings import Settings, load_settings


class NotReconciledError(HeadroomError):
    """Something differs or could not be compared; it has been printed."""


def reconcile(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, the last one the outcome.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            help="Again and again, so long after each; serves /metrics on HEADROOM_WEB_PORT.",
        ),
    ] = None,
) -> None:
    """Recompute the journal and compare it with live state, published figures and ClickHouse.

    Prints every difference with its cause. Workers may run meanwhile; nothing is changed. Exit
    status 1 when something differs or could not be compared.
    """
    settings = with_broker(load_settings())
    if as_json or every is not None:  # then nobody but a machine or a log reads stderr
        set_up_log(settings)
    if every is not None:
        asyncio.run(compare_every(settings, every))
        return
    codec = open_codec(settings)
    policies = load_rules(settings)
    with (
        tempfile.TemporaryDirectory(prefix="headroom-reconcile-") as directory,
        _clickhouse(settings) as clickhouse,
        Stages() as stages,
    ):
        run = Reconciliation(
            client_config(settings),
            codec,
            policies,
            settings.app_id,
            Path(directory),
            stages.track,
            clickhouse,
        )
        for finding in run.findings():
            say(finding, as_json=as_json)
    conclude(run.tally, as_json=as_json)


@contextmanager
def _clickhouse(settings: Settings) -> Iterator[Client | None]:
    """None when there is no engine that a sink could have written to."""
    directory = clickhouse_directory(settings)
    embedded = find_endpoint(directory) is not None or (directory / "data").is_dir()
    if settings.clickhouse_dsn is None and not embedded:
        yield None
        return
    client = open_clickhouse(settings)
    try:
        yield client
    finally:
        client.close()


def say(finding: Difference | Note, *, as_json: bool) -> None:
    """Differences on stdout; what else has to be known on stderr."""
    if as_json:
        kind = "difference" if isinstance(finding, Difference) else "note"
        typer.echo(json.dumps({"finding": kind} | msgspec.to_builtins(finding)))
    elif isinstance(finding, Difference):
        typer.echo(str(finding))
    else:
        typer.echo(finding.text, err=True)


def conclude(tally: Tally, *, as_json: bool, replaced: int | None = None) -> None:
    """Say what came of it. Raises `NotReconciledError` for what differs and was not replaced."""
    outcome: dict[str, Any] = {
        "finding": "outcome",
        "accounts": tally.accounts,
        "rows": tally.rows,
        "differences": tally.differences.total(),
        "against": dict(tally.differences),
        "not_compared": tally.incomplete,
    }
    if replaced is not None:
        outcome["replaced"] = replaced
    typer.echo(json.dumps(outcome) if as_json else str(tally))
    if replaced is not None:
        typer.echo(f"{replaced:,} entries of the state were replaced", err=True)
    elif not tally.is_clean:
        raise NotReconciledError(
            f"{tally.differences.total():,} differences; {tally.incomplete} partitions could not "
            "be compared"
        )
