"""`headroom dunning explain|dossier`: what a step asks and why, and what there is to show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.claims import print_claim
from agents.cli.progress import Stages
from agents.dunning.claim_shown import json_of
from agents.dunning.itemised import day_of_letter, differences, itemised
from agents.dunning.law import LawMissingError
from agents.handover.archive import archive_of
from agents.handover.carrier import parcel_of_claim
from agents.handover.dossier import build
from agents.handover.history import read_history
from agents.handover.targets import Parcel, target_of
from agents.notify.carriers import CarrierAwayError, RefusedError
from agents.notify.creditor import creditor_of
from agents.rule_files import load_dunning, load_rules
from schemas.catalogue import topic_of
from schemas.dates import format_day
from schemas.events import DunningStep
from schemas.json_lines import to_payload
from streams.embedded.parts import with_broker
from streams.errors import ConfigurationError, HeadroomError
from streams.kafka_client import client_config
from streams.log_reader import open_readers
from streams.partitioning import partition_of
from streams.registry import open_codec
from streams.settings import Settings, load_settings

_STEPS = topic_of("DunningStep")
_AsJson = Annotated[bool, typer.Option("--json", help="For a program to read.")]


class UnpublishedStepError(HeadroomError):
    """No such step was published."""


class NotDeliveredError(HeadroomError):
    """The dossier could not be delivered."""


class NotAsPublishedError(HeadroomError):
    """The laws' tables come to other amounts; both have been printed."""


def explain(
    step_id: Annotated[str, typer.Argument(metavar="STEP", help="By its id.")],
    procedures: Annotated[
        Path | None, typer.Option(help="Directory of procedures; else HEADROOM_PROCEDURES_DIR.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Tell what a step asked, sum by sum, with the law behind each: recomputed from the tables of
    laws, and held against what was published. Exit status 1 when they differ.
    """
    settings = with_broker(load_settings())
    book = load_dunning(procedures or settings.procedures_dir, settings.laws_dir)
    if book is None:
        raise ConfigurationError("name --procedures or HEADROOM_PROCEDURES_DIR")
    step = _published(settings, step_id)
    try:
        claim = itemised(step, book)
    except LawMissingError as error:
        raise ConfigurationError(str(error)) from error
    if as_json:
        typer.echo(json.dumps({"step": to_payload(step), "claim": json_of(claim)}, indent=1))
    else:
        invoices = ", ".join(one.invoice_id for one in step.invoices)
        typer.echo(
            f"{step_id}, {format_day(day_of_letter(step))}: {step.template} about {invoices}"
        )
        print_claim(claim)
    different = differences(step, claim)
    if different:
        raise NotAsPublishedError(f"published otherwise: {', '.join(different)}")


def _published(settings: Settings, step_id: str, customer: str | None = None) -> DunningStep:
    """The last attempt at the step, as it stands in its topic."""
    codec = open_codec(settings)
    needle, found = step_id.encode(), None
    readers = open_readers(client_config(settings), _STEPS)
    if customer is not None:
        readers = [readers[partition_of(customer.encode(), len(readers))]]
    for reader in readers:
        for record in reader:
            if needle in (record.value or b""):
                event = codec.decode(record.value)
                if isinstance(event, DunningStep) and event.step_id == step_id:
                    found = event
    if found is None:
        raise UnpublishedStepError(f"no step {step_id} was published")
    return found


def dossier(
    step_id: Annotated[str, typer.Argument(metavar="STEP", help="The handover, by its id.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Where to write it: a file, or file:///directory, sftp://user@host/directory, "
            "https://host/path.",
        ),
    ],
    customer: Annotated[
        str | None, typer.Option(help="Whose step it is; then only their part is searched.")
    ] = None,
) -> None:
    """Make the dossier of a claim: a ZIP with a PDF to read, JSON and CSV, and every letter."""
    settings = with_broker(load_settings())
    rules = load_rules(settings)
    if rules.dunning is None:
        raise ConfigurationError("nothing is handed over without HEADROOM_PROCEDURES_DIR")
    creditor = creditor_of(settings)
    step = _published(settings, step_id, customer)
    try:
        claim = itemised(step, rules.dunning)
    except LawMissingError as error:
        raise ConfigurationError(str(error)) from error
    with Stages() as stages:
        history = read_history(
            client_config(settings), open_codec(settings), step.customer_id, stages.track
        )
    archive = archive_of(build(step, claim, history, rules, creditor))
    if "://" not in to:
        Path(to).write_bytes(archive)
        where = to
    else:
        where = _delivered(settings, to, parcel_of_claim(step, archive))
    typer.echo(f"{step_id}: {where}")


def _delivered(settings: Settings, to: str, parcel: Parcel) -> str:
    try:
        target = target_of(to, known_hosts=settings.sftp_known_hosts, key=settings.sftp_key)
    except ValueError as error:
        raise ConfigurationError(f"--to: {error}") from error
    try:
        return target.deliver(parcel)
    except (CarrierAwayError, RefusedError) as error:
        raise NotDeliveredError(str(error)) from error
