"""`headroom reconcile`: whether state and figures are what the journal gives."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agents.cli.progress import Stages
from agents.policy_file import load_policy
from agents.reconcile.findings import Difference, Note, Tally
from agents.reconcile.run import Reconciliation
from streams.codec import Codec
from streams.embedded.parts import with_broker
from streams.errors import HeadroomError
from streams.kafka_client import client_config
from streams.registry import open_schema_ids
from streams.settings import load_settings


class NotReconciledError(HeadroomError):
    """Something differs or could not be compared; it has been printed."""


def reconcile(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, the last one the outcome.")
    ] = False,
) -> None:
    """Recompute the journal and compare it with the live state and the published figures.

    Prints every difference with its cause. Workers may run meanwhile; nothing is changed. Exit
    status 1 when something differs or could not be compared.
    """
    settings = with_broker(load_settings())
    codec = Codec(
        open_schema_ids(settings.schema_registry_url), bytes_max=settings.max_record_bytes
    )
    policies = load_policy(settings.policy_file)
    with tempfile.TemporaryDirectory(prefix="headroom-reconcile-") as directory, Stages() as stages:
        run = Reconciliation(
            client_config(settings),
            codec,
            policies,
            settings.app_id,
            Path(directory),
            stages.track,
        )
        for finding in run.findings():
            _say(finding, as_json=as_json)
    _conclude(run.tally, as_json=as_json)


def _say(finding: Difference | Note, *, as_json: bool) -> None:
    if as_json:
        kind = "difference" if isinstance(finding, Difference) else "note"
        typer.echo(json.dumps({"finding": kind} | msgspec.to_builtins(finding)))
    elif isinstance(finding, Difference):
        typer.echo(str(finding))
    else:
        typer.echo(finding.text, err=True)


def _conclude(tally: Tally, *, as_json: bool) -> None:
    outcome: dict[str, Any] = {
        "finding": "outcome",
        "accounts": tally.accounts,
        "differences": tally.differences.total(),
        "not_compared": tally.incomplete,
    }
    typer.echo(json.dumps(outcome) if as_json else str(tally))
    if not tally.is_clean:
        raise NotReconciledError(
            f"{tally.differences.total():,} differences; {tally.incomplete} partitions could not "
            "be compared"
        )
