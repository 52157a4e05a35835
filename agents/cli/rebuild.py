"""`headroom rebuild`: all state from the journal, beside the live one or in its place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.progress import Stages
from agents.cli.reconcile import conclude, say
from agents.reconcile.replacement import Replacement
from agents.reconcile.run import Reconciliation
from agents.rule_files import load_rules
from streams.embedded.parts import with_broker
from streams.kafka_client import client_config
from streams.registry import open_codec
from streams.settings import load_settings


def rebuild(
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put it in the place of the live state; no worker may run."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, the last one the outcome.")
    ] = False,
) -> None:
    """Re-derive all state from the journal into fresh tables, and compare it with the live state,
    account by account.

    Prints every difference with its cause; exit status 1 when there is one that was not replaced.
    """
    settings = with_broker(load_settings())
    codec = open_codec(settings)
    policies = load_rules(settings)
    replacement = Replacement(settings, codec, policies) if replace else None
    with tempfile.TemporaryDirectory(prefix="headroom-rebuild-") as directory, Stages() as stages:
        run = Reconciliation(
            client_config(settings),
            codec,
            policies,
            settings.app_id,
            Path(directory),
            stages.track,
        )
        put_right = None if replacement is None else replacement.put_right
        for finding in run.rebuild(put_right):
            say(finding, as_json=as_json)
    if replacement is None or run.tally.incomplete:
        conclude(run.tally, as_json=as_json)
        return
    conclude(run.tally, as_json=as_json, replaced=replacement.entries)
